"""What lasts: upkeep that changes no answer, closing, reopening, and writes from threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from ...arrays import FloatArray
from ...contract import broken, equal, refuses
from ...errors import HoldfastError, OccupiedStore
from ..base import VectorStore
from .bench import Bench, Pair, names
from .compare import form_problem, snapshot


def check_declarations(bench: Bench) -> None:
    """A store has every method, the space it was made for, and limits that make sense."""
    store = bench.fresh()
    if not isinstance(store, VectorStore):
        raise broken("the store", "every method of VectorStore", type(store).__name__)
    equal("space", store.space, bench.space)
    floor = store.limits.recall_floor
    if not 0.0 < floor <= 1.0 or (store.limits.exact and floor < 1.0):
        raise broken("recall_floor", "above 0, and 1 for an exact store", floor)
    if not store.limits.filters:
        refuses(
            "a filter the store does not know",
            HoldfastError,
            lambda: store.search(bench.rows(1), 1, {"lang": "en"}),
        )


def check_two_stores(bench: Bench) -> None:
    """Two stores share nothing."""
    first, second = bench.pair(10), bench.fresh()
    equal("len of another store", len(second), 0)
    second.upsert(names(10), -bench.rows(10), [{"second": True}] * 10)
    second.delete(names(3))
    first.same("after writes to another store")
    first.agree("after writes to another store", bench.rows(3, seed=1), 5)


def check_tend(bench: Bench) -> None:
    """Upkeep changes no row and no answer, whenever and however often it is done."""
    pair = bench.pair(150, [{"n": i} for i in range(150)])
    ids, queries = names(150), bench.rows(10, seed=1)
    for when in ("of new rows", "of nothing new"):
        before = snapshot(pair.store)
        pair.store.tend()
        equal(f"rows after upkeep {when}", snapshot(pair.store), before)
        pair.agree(f"after upkeep {when}", queries, 10)
    pair.hide(ids[:40])
    pair.delete(ids[30:90])
    pair.upsert(ids[85:95], -bench.rows(10), [{"n": -1}] * 10)
    pair.agree("after changes that follow upkeep", queries, 100)
    pair.store.tend()
    pair.same("after upkeep of changed rows")
    pair.agree("after upkeep of changed rows", queries, 100)
    pair.unhide(ids[:30])
    pair.agree("after unhiding rows hidden during upkeep", queries, 100)


def check_seen_at_once(bench: Bench) -> None:
    """Each write is seen by the very next search, get and scan: nothing stale is answered."""
    pair = bench.pair(30)
    ids, queries = names(30), bench.rows(30)
    for i in range(6):
        pair.agree("before a write", queries, 4)
        pair.upsert(ids[i : i + 2], -queries[i : i + 2])
        pair.agree("right after a write", queries, 4)
        pair.same("right after a write")
        pair.delete([ids[29 - i]])
        pair.agree("right after a deletion", queries, 4)
        pair.hide([ids[15 + i]])
        pair.agree("right after hiding", queries, 4)
        equal("ids of a scan", len(snapshot(pair.store)), len(pair.oracle))


def check_close(bench: Bench) -> None:
    """Closing twice is fine, with rows and without."""
    for store in (bench.fresh(), bench.pair(5).store):
        store.close()
        store.close()


def check_reopen(bench: Bench) -> None:
    """Rows, payloads, revisions, hidden rows and deletions survive closing."""
    pair = bench.pair(80, [{"n": i, "tags": ["a", None, {"ü": 1.5}]} for i in range(80)])
    ids, queries = names(80), bench.rows(10, seed=1)
    pair.upsert(ids[:20], -bench.rows(20), None, list(range(20)))
    pair.hide(ids[10:30])
    pair.delete(ids[25:40])
    pair.unhide(ids[12:14])
    before = snapshot(pair.store)
    for tended in (False, True):
        if tended:
            pair.store.tend()
        pair = Pair(bench.reopen(pair.store), pair.oracle)
        equal("rows after reopening", snapshot(pair.store), before)
        pair.same("after reopening")
        pair.agree("after reopening", queries, 10)
        pair.agree("after reopening", queries, 90)
        if bench.limits.filters:
            pair.agree("by payloads after reopening", queries, 10, {"n": {"gte": 40}})


def check_reopen_and_write(bench: Bench) -> None:
    """A reopened store goes on: revisions count, hidden rows stay so, deleted ids return."""
    pair = bench.pair(30)
    ids, rows = names(30), bench.rows(30, seed=1)
    pair.hide(ids[:5])
    pair.delete(ids[20:])
    for i in range(3):
        pair = Pair(bench.reopen(pair.store), pair.oracle)
        pair.upsert(ids[2 * i : 25], rows[2 * i : 25], [{"i": i}] * (25 - 2 * i))
        pair.upsert(ids[10:12], -rows[10:12], None, [0, 0])
        pair.delete(ids[14 + i : 15 + i])
        pair.unhide(ids[i : i + 1])
        pair.same(f"after reopening {i + 1} times")
        pair.agree(f"after reopening {i + 1} times", rows, 30)


def check_reopen_empty(bench: Bench) -> None:
    """A store that was never written to, or emptied, reopens as empty and usable."""
    pair = bench.pair()
    for _ in range(2):
        pair = Pair(bench.reopen(pair.store), pair.oracle)
        equal("len of an empty store reopened", (len(pair.store), pair.store.visible), (0, 0))
        pair.agree("in an empty store reopened", bench.rows(2), 3)
        pair.upsert(names(5), bench.rows(5))
        pair.agree("after writing to a store reopened empty", bench.rows(2), 3)
        pair.delete(names(5))


def check_reopen_as_another_space(bench: Bench) -> None:
    """The vectors of one space are never opened as those of another, nor harmed by the attempt."""
    pair = bench.pair(10)
    before = snapshot(pair.store)
    refuses(
        "opening as another space",
        OccupiedStore,
        lambda: bench.reopen(pair.store, bench.other),
    )
    again = bench.reopen(pair.store)
    equal("rows after a refused opening", snapshot(again), before)


def check_threads(bench: Bench) -> None:
    """Beside writes a search finds what stays, and nothing that was never there."""
    pair = bench.pair(50)
    queries = bench.rows(5, seed=1)
    moving = names(40, "moving")

    def write(part: int) -> None:
        mine = moving[part::2]
        for i in range(8):
            pair.store.upsert(mine, bench.rows(len(mine), seed=i))
            pair.store.hide(mine[:5])
            pair.store.unhide(mine[:5])
            pair.store.delete(mine)

    known = {*names(50), *moving, ""}
    with ThreadPoolExecutor(2) as pool:
        writers = [pool.submit(write, part) for part in range(2)]
        for _ in range(200):
            _look(pair.store, queries, known)
            if all(writer.done() for writer in writers):
                break
        for writer in writers:
            writer.result()
    pair.same("after writes from two threads")
    pair.agree("after writes from two threads", queries, 10)


def _look(store: VectorStore, queries: FloatArray, known: set[str]) -> None:
    hits = store.search(queries, 100)
    problem = form_problem(hits, len(queries), 100)
    if problem:
        raise broken("search beside writes", "well-formed hits", problem)
    for row in hits.ids:
        found = [name for name in row if name]
        if len(set(found)) != len(found) or not set(found) <= known:
            raise broken("search beside writes", "stored ids, each once", found)
        lost = set(names(50)) - set(found)
        if store.limits.exact and lost:
            got = f"{len(found)} rows without {sorted(lost)}"
            raise broken("search beside writes", "all 50 rows that stay", got)
