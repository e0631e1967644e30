"""What a write does: replace whole rows, count revisions, and leave the caller's data alone."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

from ...arrays import as_vectors
from ...contract import broken, equal
from .bench import Bench, names
from .compare import snapshot


def check_upsert_replaces(bench: Bench) -> None:
    """A second write of an id replaces vector and payload, and adds no row."""
    pair = bench.pair(40, [{"old": i, "both": "old"} for i in range(40)])
    old, new = bench.rows(40), -bench.rows(40)
    pair.agree("before replacing", old, 5)
    pair.upsert(names(40)[:20], new[:20], [{"both": "new"}] * 20)
    equal("len after replacing", len(pair.store), 40)
    pair.same("after replacing")
    pair.agree("for what was replaced", old, 5)
    pair.agree("for what replaced it", new, 5)
    pair.agree("by a replaced payload", old, 40, {"both": "old"})
    pair.agree("by the new payload", old, 40, {"both": "new"})
    pair.upsert(names(5), new[:5])
    pair.same("after replacing payloads by none")


def check_upsert_twice(bench: Bench) -> None:
    """The same batch with the same revisions a second time changes nothing."""
    pair = bench.pair()
    batch = names(30), bench.rows(30), [{"n": i} for i in range(30)], list(range(30))
    pair.upsert(*batch)
    once = snapshot(pair.store)
    pair.store.upsert(*batch)
    equal("rows after the same batch twice", snapshot(pair.store), once)
    equal("len and visible", (len(pair.store), pair.store.visible), (30, 30))
    pair.agree("after the same batch twice", bench.rows(5, seed=1), 40)


def check_read_and_write_back(bench: Bench) -> None:
    """Rows read and written again keep every bit: moving them must not wear them out."""
    pair = bench.pair(50)
    once = snapshot(pair.store)
    revisions = pair.store.revisions(names(50))
    vectors = pair.store.get(names(50)).vectors
    if vectors is None:
        raise broken("get with vectors", "vectors", "None")
    pair.store.upsert(names(50), vectors, None, revisions)
    equal("rows written back as Vectors", snapshot(pair.store), once)
    pair.store.upsert(names(50), vectors.array, None, revisions)
    equal("rows written back as an array", snapshot(pair.store), once)


def check_older_revision(bench: Bench) -> None:
    """A row older than the stored one is ignored, and only that row."""
    pair = bench.pair()
    ids, rows = names(9), bench.rows(9)
    pair.upsert(ids[:6], rows[:6], [{"from": "first"}] * 6, [5] * 6)
    mixed = [4, 5, 6, 0, 7, 3, 1, 0, 9]
    pair.upsert(ids, -rows, [{"from": "second"}] * 9, mixed)
    pair.same("after a batch of older, equal, newer and new rows")
    pair.agree("for ignored and replaced rows", rows, 12)
    pair.agree("by payloads of ignored rows", rows, 12, {"from": "second"})
    pair.upsert(ids[:3], rows[:3], None, [0, 0, 0])
    pair.same("after a batch of older rows only")
    pair.agree("after a batch of older rows only", rows, 12)


def check_equal_revision(bench: Bench) -> None:
    """A row of the stored revision overwrites it."""
    pair = bench.pair()
    pair.upsert(names(4), bench.rows(4), [{"n": 1}] * 4, [3, 3, 0, 0])
    pair.upsert(names(4), -bench.rows(4), [{"n": 2}] * 4, [3, 3, 0, 0])
    pair.same("after equal revisions")
    pair.agree("after equal revisions", -bench.rows(4), 4)


def check_counted_revisions(bench: Bench) -> None:
    """Without revisions a row gets the stored one plus one; absent ids are at -1."""
    pair = bench.pair()
    rows, ids = bench.rows(6), names(6)
    equal("revisions of absent ids", pair.store.revisions(ids).tolist(), [-1] * 6)
    pair.upsert(ids[:3], rows[:3])
    equal("first revisions", pair.store.revisions(ids).tolist(), [0, 0, 0, -1, -1, -1])
    pair.upsert(ids[:2], rows[:2], None, [41, 3])
    pair.upsert(ids, rows)
    equal("counted revisions", pair.store.revisions(ids).tolist(), [42, 4, 1, 0, 0, 0])
    big = 2**62
    pair.upsert(ids[:1], rows[:1], None, np.array([big]))
    equal("a large revision", pair.store.revisions(ids[:1]).tolist(), [big])
    equal("revisions, in the order asked", pair.store.revisions(ids[2:0:-1]).tolist(), [1, 4])
    equal("dtype of revisions", str(pair.store.revisions(ids).dtype), "int64")
    pair.same("after counted revisions")


def check_arguments_unchanged(bench: Bench) -> None:
    """Nothing the caller passes is written to: arrays, ids, payloads, revisions, filters."""
    store = bench.fresh()
    rows, queries = 3.0 * bench.rows(30), 5.0 * bench.rows(4, seed=1)
    ids, revisions = names(30), np.arange(30)
    payloads = [{"n": i, "tags": ["a", {"deep": i}]} for i in range(30)]
    where = {"n": {"gte": 0}, "or": [{"tags": ["a", "b"]}]}
    given = (rows, queries, ids, revisions, payloads, where)
    kept = deepcopy(given)
    store.upsert(ids, rows, payloads, revisions)
    store.search(queries, 5, where if bench.limits.filters else None)
    store.tend()
    store.hide(ids[:3])
    store.unhide(ids[:3])
    store.delete(ids[:2])
    labels = ("vectors", "queries", "ids", "revisions", "payloads", "where")
    for label, now, then in zip(labels, given, kept, strict=True):
        if not np.array_equal(np.asarray(now, dtype=object), np.asarray(then, dtype=object)):
            raise broken(f"the caller's {label}", "no change", "another value")
    for array in (rows, queries):
        array.setflags(write=False)
    store.upsert(ids, rows, payloads)
    store.search(queries, 5)


def check_later_changes(bench: Bench) -> None:
    """What the caller does to its arrays and dicts after a write does not reach the store."""
    pair = bench.pair()
    ids, rows = names(20), bench.rows(20)
    unit = as_vectors(rows.copy(), bench.space, "the contract")
    payloads: list[dict[str, Any]] = [
        {"n": i, "tags": ["a", "b"], "deep": {"n": i}} for i in range(20)
    ]
    pair.oracle.upsert(ids, unit.array.copy(), payloads)
    pair.oracle.upsert([f"as Vectors {i}" for i in range(20)], unit.array.copy())
    own = unit.array.copy()
    pair.store.upsert(ids, own, payloads)
    pair.store.upsert([f"as Vectors {i}" for i in range(20)], unit)
    own[:] = 1.0
    unit.array[:] = 1.0
    ids.reverse()
    for payload in payloads:
        payload["n"] = -1
        payload["deep"]["n"] = -1
        payload["tags"].append("c")
    pair.same("after the caller changed its data")
    pair.agree("after the caller changed its data", rows, 10)


def check_kinds_of_rows(bench: Bench) -> None:
    """Lists, float64, strided arrays and tuples of ids are written like float32 rows."""
    pair = bench.pair()
    rows = bench.rows(24)
    wide = np.zeros((6, 2 * bench.space.dim), dtype=np.float32)
    wide[:, ::2] = rows[12:18]
    kinds: tuple[Any, ...] = (
        rows[:6].tolist(),
        rows[6:12].astype(np.float64),
        wide[:, ::2],
        np.asfortranarray(rows[18:]),
    )
    for i, kind in enumerate(kinds):
        part = slice(6 * i, 6 * i + 6)
        pair.oracle.upsert(names(24)[part], rows[part])
        pair.store.upsert(tuple(names(24)[part]), kind)
    pair.same("of every kind of array")
    pair.agree("after every kind of array", rows, 5)


def check_nothing_to_write(bench: Bench) -> None:
    """Batches of no rows are fine and change nothing."""
    pair = bench.pair(5)
    before = snapshot(pair.store)
    pair.store.upsert([], bench.rows(5)[:0])
    pair.store.upsert([], bench.rows(5)[:0], [], [])
    pair.store.delete([])
    pair.store.hide([])
    pair.store.unhide([])
    equal("get of no ids", list(pair.store.get([]).ids), [])
    equal("revisions of no ids", pair.store.revisions([]).tolist(), [])
    equal("rows after batches of nothing", snapshot(pair.store), before)


def check_large_batch(bench: Bench) -> None:
    """Tens of thousands of ids in one call are read, written, hidden and deleted."""
    count = 33_000  # just beyond what SQLite binds in one statement
    pair = bench.pair(count)
    ids = names(count)
    pair.same("after a large batch")
    pair.agree("after a large batch", bench.rows(5, seed=1), 10)
    pair.hide(ids[1:])
    equal("visible rows of a large batch", pair.store.visible, 1)
    pair.unhide(ids[1:])
    pair.delete(ids[5:])
    pair.same("after a large deletion")
    pair.agree("after a large deletion", bench.rows(5, seed=1), 10)


def check_many_changes(bench: Bench) -> None:
    """A few hundred changes of all kinds in a row leave both stores alike at every step."""
    rng = np.random.default_rng(0)
    pair = bench.pair()
    ids, queries = names(60), bench.rows(3, seed=1)
    for step in range(150):
        some = [ids[i] for i in rng.choice(60, size=rng.integers(1, 9), replace=False)]
        match rng.choice(["upsert", "upsert", "revise", "delete", "hide", "unhide", "tend"]):
            case "upsert":
                pair.upsert(some, bench.rows(len(some), seed=step), [{"step": step}] * len(some))
            case "revise":
                numbers = rng.integers(0, 9, size=len(some))
                pair.upsert(some, bench.rows(len(some), seed=step), None, numbers)
            case "delete":
                pair.delete(some)
            case "hide":
                pair.hide(some)
            case "unhide":
                pair.unhide(some)
            case _:
                pair.store.tend()
        pair.agree(f"after {step + 1} changes", queries, 5)
        if step % 15 == 0:
            pair.same(f"after {step + 1} changes")
    pair.same("after all changes")
