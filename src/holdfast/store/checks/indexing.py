"""Many rows, and upkeep between the changes: what a store answers once it has built an index.

An exact store still finds the nearest; another one keeps its recall floor, for queries from
where the rows are, short of what 100 queries leave to chance. `bench.many` must be
more rows than the store compares one by one, or these checks see no index.
"""

from __future__ import annotations

from typing import Any

from .bench import Bench, Pair, names


def _asked(bench: Bench, pair: Pair, when: str, where: Any = None) -> None:
    pair.agree(f"{when}, many rows", bench.rows(100, seed=1), 10, where)


def _tended(bench: Bench, pair: Pair, when: str) -> None:
    """The same questions before upkeep and after it."""
    _asked(bench, pair, when)
    pair.store.tend()
    _asked(bench, pair, f"{when} and upkeep")


def check_recall(bench: Bench) -> None:
    """Clustered rows, then a third of them deleted, then others replaced and added."""
    many = bench.many
    pair, ids = bench.pair(many), names(many)
    _tended(bench, pair, "at first")
    pair.delete(ids[::3])
    _tended(bench, pair, "after deletions")
    some = ids[1::6]
    pair.upsert(some, bench.rows(len(some), seed=2))
    pair.upsert(names(many // 4, "new"), bench.rows(many // 4, seed=3))
    _tended(bench, pair, "after replacing and adding")
    pair.upsert(some, -bench.rows(len(some)), None, [0] * len(some))  # older: ignored
    _asked(bench, pair, "after older writes")
    pair.delete(ids)
    _tended(bench, pair, "after deleting most")
    pair.same("after many changes")


def check_index_hidden(bench: Bench) -> None:
    """Hidden step by step until few rows are left, as in an upgrade, and given back."""
    many = bench.many
    pair, ids = bench.pair(many), names(many)
    pair.store.tend()
    for share in (0.3, 0.6, 0.9, 0.99):
        pair.hide(ids[: int(share * many)])
        _tended(bench, pair, f"with {share:.0%} hidden")
    moved = ids[: many // 10]
    pair.upsert(moved, bench.rows(len(moved), seed=4), None, [7] * len(moved))
    _asked(bench, pair, "after writes to hidden rows")
    pair.unhide(ids[: many // 2])
    _tended(bench, pair, "with half given back")
    pair.unhide(ids)
    _tended(bench, pair, "with all given back")
    pair.upsert(moved, bench.rows(many)[: len(moved)], None, [8] * len(moved))
    pair.same("after hiding many rows")


def check_index_filter(bench: Bench) -> None:
    """Filters that few, some and most rows pass, with hidden rows among them."""
    many = bench.many
    pair = bench.pair(many, [{"n": i, "part": i % 10} for i in range(many)])
    filters: tuple[dict[str, Any], ...] = (
        {"n": {"lt": 20}},
        {"n": 5},
        {"part": [1, 2]},
        {"not": {"part": 3}},
        {"part": 4, "n": {"gte": many // 2}},
    )
    pair.store.tend()
    for when in ("at first", "with hidden rows", "after upkeep"):
        if when == "with hidden rows":
            pair.hide(names(many)[::2])
            pair.upsert(names(9), bench.rows(9, seed=5), [{"part": 4}] * 9)
        elif when == "after upkeep":
            pair.store.tend()
        for where in filters:
            _asked(bench, pair, f"where {where} {when}", where)


def check_index_reopen(bench: Bench) -> None:
    """A built index survives closing, also when rows changed after it was built."""
    many = bench.many
    pair, ids = bench.pair(many), names(many)
    pair.store.tend()
    pair = Pair(bench.reopen(pair.store), pair.oracle)
    _asked(bench, pair, "after reopening")
    pair.delete(ids[: many // 10])
    pair.upsert(ids[many // 2 :: 5], bench.rows(len(ids[many // 2 :: 5]), seed=6))
    pair.hide(ids[many // 5 : many // 3])
    pair = Pair(bench.reopen(pair.store), pair.oracle)
    _asked(bench, pair, "after changes and reopening")
    pair.unhide(ids)
    _tended(bench, pair, "after unhiding what was hidden before closing")
    pair.same("after reopening")
