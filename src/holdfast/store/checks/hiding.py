"""Hidden rows: out of search, in everything else."""

from __future__ import annotations

from typing import Any

from ...contract import equal
from .bench import Bench, names
from .compare import snapshot


def check_hide(bench: Bench) -> None:
    """Search skips hidden rows; get, scan, revisions and len see them."""
    pair = bench.pair(60, [{"n": i} for i in range(60)])
    ids, rows = names(60), bench.rows(60)
    pair.hide(ids[::3])
    equal("len and visible with hidden rows", (len(pair.store), pair.store.visible), (60, 40))
    pair.same("with hidden rows")
    flags = {row[0]: row[3] for row in snapshot(pair.store)}
    equal("hidden rows of a scan", sorted(i for i in ids if flags[i]), sorted(ids[::3]))
    for k in (1, 10, 40, 60):
        pair.agree(f"for {k} among hidden rows", rows, k)
    pair.store.tend()
    pair.agree("among hidden rows after upkeep", rows, 10)


def check_hide_all(bench: Bench) -> None:
    """With every row hidden a search finds nothing, and each row comes back when given back."""
    pair = bench.pair(20)
    ids, rows = names(20), bench.rows(20)
    pair.hide(ids)
    equal("len and visible of hidden rows", (len(pair.store), pair.store.visible), (20, 0))
    pair.agree("among hidden rows only", rows, 5)
    for i in range(0, 20, 5):
        pair.unhide(ids[i : i + 5])
        pair.agree(f"after {i + 5} rows came back", rows, 25)


def check_hide_repeatedly(bench: Bench) -> None:
    """Hiding what is hidden, giving back what is visible, and absent ids change nothing."""
    pair = bench.pair(30)
    ids, rows = names(30), bench.rows(5, seed=1)
    for _ in range(3):
        pair.hide([*ids[:10], "absent", ids[0]])
        pair.hide(ids[:10])
        equal("visible after hiding twice", pair.store.visible, 20)
        pair.agree("after hiding twice", rows, 30)
        pair.unhide([*ids[:10], "absent", ids[0]])
        pair.unhide(ids)
        equal("visible after unhiding twice", pair.store.visible, 30)
        pair.agree("after unhiding twice", rows, 30)
    pair.same("after hiding repeatedly")
    equal("revision of an absent id", pair.store.revisions(["absent"]).tolist(), [-1])


def check_unhide_restores(bench: Bench) -> None:
    """Rows given back are what they were: bits, revisions, payloads and hits."""
    pair = bench.pair(50, [{"n": i} for i in range(50)])
    before = snapshot(pair.store)
    for some in (names(50)[:5], names(50)[::2], names(50)):
        pair.hide(some)
        pair.unhide(some)
        equal("rows after hiding and unhiding", snapshot(pair.store), before)
        pair.agree("after hiding and unhiding", bench.rows(10, seed=1), 10)


def check_update_hidden(bench: Bench) -> None:
    """A hidden row that is replaced stays hidden, and comes back with what replaced it."""
    pair = bench.pair(20, [{"n": "old"}] * 20)
    ids, new = names(20), -bench.rows(20)
    pair.hide(ids[:6])
    pair.upsert(ids[:8], new[:8], [{"n": "new"}] * 8)
    equal("visible after updating hidden rows", (len(pair.store), pair.store.visible), (20, 14))
    pair.same("after updating hidden rows")
    pair.agree("after updating hidden rows", new, 20)
    pair.upsert(ids[:3], bench.rows(3), [{"n": "older"}] * 3, [0, 0, 0])
    pair.same("after older writes to hidden rows")
    pair.unhide(ids[:4])
    pair.same("after unhiding updated rows")
    pair.agree("after unhiding updated rows", new, 20)


def check_delete_hidden(bench: Bench) -> None:
    """A hidden row that is deleted is gone; the counts and the others stay right."""
    pair = bench.pair(20)
    ids, rows = names(20), bench.rows(20)
    pair.hide(ids[:8])
    pair.delete(ids[4:12])
    equal("counts after deleting hidden rows", (len(pair.store), pair.store.visible), (12, 8))
    pair.unhide(ids)
    equal("revisions of deleted rows", pair.store.revisions(ids[4:12]).tolist(), [-1] * 8)
    pair.same("after unhiding deleted rows")
    pair.agree("after unhiding deleted rows", rows, 20)


def check_filter_hidden(bench: Bench) -> None:
    """A filter never brings a hidden row back, nor drops a visible one."""
    pair = bench.pair(40, [{"even": i % 2 == 0} for i in range(40)])
    pair.hide(names(40)[:20])
    filters: tuple[dict[str, Any], ...]
    filters = ({"even": True}, {"even": False}, {"not": {"even": True}}, {"or": []})
    for where in filters:
        for k in (3, 50):
            pair.agree(f"where {where} with hidden rows", bench.rows(4, seed=1), k, where)
