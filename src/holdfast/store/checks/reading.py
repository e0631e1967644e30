"""What is read back: rows by id, whole scans, odd ids and payloads, and what was deleted."""

from __future__ import annotations

from functools import partial
from typing import Any

from ...contract import broken, equal, refuses
from ...errors import InvalidInput, MissingIds
from .bench import Bench, names
from .compare import pages, rows_problem, snapshot

ODD_IDS = (
    " ", "a", "a ", "A", "ä", "a\u0308", "日本", "😀", "\n", "\t", "'", '"', "a'; --", "%", "_",
    "\\", "/", "../a", "a/b", "*", "?", "{}", "[1]", "0", "00", "1", "1.0", "-1", "true", "null",
    "None", "nan", "x" * 1000, "00000000-0000-0000-0000-000000000000", "\u200b", "ﬀ", "ﬁ",
)  # fmt: skip

ODD_PAYLOADS: tuple[dict[str, Any], ...] = (
    {},
    {"a": None},
    {"a": []},
    {"a": {}},
    {"a": True, "b": 1, "c": 1.5, "d": "1"},
    {"a": False, "b": 0, "c": -0.25, "d": ""},
    {"a": [1, "1", True, None, 1.5, ["deep"], {"deep": [{}]}]},
    {"a": {"b": {"c": [1, 2, {"d": None}]}}},
    {"größe": "übergroß", "日本": "語", "😀": "😀\n\t\"'\\"},
    {"a b": 1, "a.b": 2, "a[0]": 3, "": 4, "$a": 5, "id": "not the id", "vector": [0.0]},
    {"a": 2**53 + 1, "b": -(2**53) - 1, "c": 2**62, "d": 1e-300, "e": 1e300},
    {"a": "x" * 10_000},
)


def check_get(bench: Bench) -> None:
    """Rows come in the order asked for, with what was written; absent ids are named."""
    pair = bench.pair(50, [{"n": i} for i in range(50)])
    ids = names(50)[::-3]
    for vectors in (True, False):
        problem = rows_problem(pair.store.get(ids, vectors), pair.oracle.get(ids, vectors))
        if problem:
            raise broken(f"get with vectors={vectors}", "what was written", problem)
    refuses("get of an absent id", MissingIds, lambda: pair.store.get(["row 1", "absent"]))
    equal(
        "revisions with an absent id", pair.store.revisions(["absent", "row 1"]).tolist(), [-1, 0]
    )


def check_scan(bench: Bench) -> None:
    """Every row once in a stable order, whatever the limit, the last page included."""
    pair = bench.pair(23, [{"n": i} for i in range(23)])
    pair.hide(names(23)[5:8])
    order = [row[0] for row in snapshot(pair.store)]
    equal("ids of a scan", sorted(order), sorted(names(23)))
    for limit in (1, 2, 7, 22, 23, 24, 1000):
        seen: list[str] = []
        for page in pages(pair.store, limit, vectors=True):
            if len(page.rows) > limit:
                raise broken("rows of a page", f"at most {limit}", len(page.rows))
            problem = rows_problem(page.rows, pair.oracle.get(page.rows.ids))
            if problem:
                raise broken(f"scan by {limit}", "rows as they are stored", problem)
            seen.extend(page.rows.ids)
        equal(f"ids of a scan by {limit}", seen, order)
    equal("vectors nobody asked for", pair.store.scan(limit=3).rows.vectors, None)
    for limit in (0, -1):
        refuses(f"scan by {limit}", InvalidInput, partial(pair.store.scan, limit=limit))


def check_scan_resumes(bench: Bench) -> None:
    """From the cursor of any page a scan goes on where that page ended, by any limit."""
    pair = bench.pair(23)
    order = [row[0] for row in snapshot(pair.store)]
    for first in (1, 2, 5, 11):
        seen = 0
        for page in pages(pair.store, first):
            seen += len(page.rows)
            if page.after is None:
                continue
            for limit in (1, 4, 50):
                rest = [i for p in pages(pair.store, limit, page.after) for i in p.rows.ids]
                equal(f"scan resumed after {seen} rows by {limit}", rest, order[seen:])


def check_scan_under_change(bench: Bench) -> None:
    """Rows that stay are visited once, though others come, go and change in between."""
    pair = bench.pair(40)
    pages_seen = []
    after = None
    for step in range(100):
        page = pair.store.scan(after, 4)
        pages_seen.extend(page.rows.ids)
        after = page.after
        if after is None:
            break
        # What was just read is deleted or written again, and new rows come everywhere.
        pair.delete([page.rows.ids[-1]])
        pair.upsert([page.rows.ids[0]], bench.rows(1, seed=step))
        pair.hide(page.rows.ids[1:2])
        if step < 5:
            pair.upsert([f"a {step}", f"row {step}x", f"z {step}"], bench.rows(3, seed=step))
    old = [name for name in pages_seen if name in set(names(40))]
    equal("old rows of a scan under change", sorted(old), sorted(names(40)))
    equal("rows seen twice", len(pages_seen) - len(set(pages_seen)), 0)


def check_odd_ids(bench: Bench) -> None:
    """Any non-empty string is an id, and no two of them are confused."""
    pair = bench.pair()
    rows = bench.rows(len(ODD_IDS))
    pair.upsert(ODD_IDS, rows, [{"n": i} for i in range(len(ODD_IDS))])
    pair.same("with odd ids")
    pair.agree("with odd ids", rows, 3)
    for limit in (1, 5):
        seen = [name for page in pages(pair.store, limit) for name in page.rows.ids]
        equal(f"odd ids of a scan by {limit}", sorted(seen), sorted(ODD_IDS))
    pair.hide(ODD_IDS[::2])
    pair.delete(ODD_IDS[::3])
    pair.same("after deleting odd ids")
    pair.agree("after deleting odd ids", rows, len(ODD_IDS))


def check_odd_payloads(bench: Bench) -> None:
    """Any JSON object is a payload and comes back equal."""
    pair = bench.pair()
    count = len(ODD_PAYLOADS)
    pair.upsert(names(count), bench.rows(count), ODD_PAYLOADS)
    pair.same("with odd payloads")
    pair.upsert(names(count), bench.rows(count), ODD_PAYLOADS[::-1])
    pair.same("with odd payloads replaced")


def check_delete(bench: Bench) -> None:
    """Deleted ids are gone from search, get, scan and counts; absent ones are fine."""
    pair = bench.pair(60, [{"n": i} for i in range(60)])
    ids, rows = names(60), bench.rows(60)
    pair.agree("before deleting", rows, 10)
    pair.delete([*ids[::2], "absent", ids[0]])
    pair.delete(ids[:4])
    equal("len after deleting", (len(pair.store), pair.store.visible), (28, 28))
    pair.same("after deleting")
    pair.agree("for what was deleted", rows, 40)
    refuses("get of a deleted id", MissingIds, lambda: pair.store.get([ids[0]]))
    equal("revision of a deleted id", pair.store.revisions(ids[:1]).tolist(), [-1])
    seen = [name for page in pages(pair.store, 7) for name in page.rows.ids]
    equal("scan after deleting", sorted(seen), sorted(set(ids[1::2]) - {ids[1], ids[3]}))
    pair.store.tend()
    pair.agree("for what was deleted, after upkeep", rows, 40)


def check_insert_again(bench: Bench) -> None:
    """A deleted id that is written again is a new row: revision 0, its own payload, visible."""
    pair = bench.pair()
    ids, rows = names(6), bench.rows(6)
    pair.upsert(ids, rows, [{"old": True}] * 6, [8] * 6)
    pair.hide(ids[:2])
    pair.delete(ids[:4])
    pair.upsert(ids[:4], -rows[:4])
    equal("revisions after inserting again", pair.store.revisions(ids).tolist(), [0] * 4 + [8] * 2)
    pair.same("after inserting again")
    pair.agree("after inserting again", -rows, 8)
