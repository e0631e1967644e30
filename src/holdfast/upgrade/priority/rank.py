"""Ranks the items of a gallery before the first of them moves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ...arrays import FloatArray, IntArray, Vectors
from ...errors import ConfigError
from ...hits import Hits
from ...settings import path_of
from ...store.base import Rows, VectorStore, get_known, pages
from ..mover import Mover
from ..order import fair_sample, read_ids, read_rows, strange
from ..plan import Plan
from ..side import Side
from .centers import FIT, Centers, ClassMeans
from .gain import Pair, expected_gain
from .log import Log, read_log
from .searched import DEPTH, ITEMS, Floats, most_searched, without_self
from .slices import balanced, in_turn
from .uncertain import Uncertainty

Found: TypeAlias = tuple[list[str], IntArray]  # n ids, and (q, k) hits as places among them

NEEDS_FILE = ("given", "gain")
READS_FILE = (*NEEDS_FILE, "searched")
NEEDS_FIELD = ("slice", "balanced")
MAY_NAME = (*NEEDS_FIELD, "central")  # a field
_PAGE = 10_000
_SEARCHES = 256  # searches made at once
ASKING = 4_096  # items that ask


class Ranking:
    """Works the order of a plan out.

    What "gain" and "uncertain" know of the new space they learn from the random sample that
    moves first anyway: it is embedded for this once more, at most 256 items.

    Args:
        plan: Names the order, its file and its field.
        home: Folder that the file is relative to.
        old: The old side; with a model, or a bridge, where there is a log of searches.
        new: The new side.
        mover: Embeds the sample.
    """

    def __init__(self, plan: Plan, home: Path, old: Side, new: Side, mover: Mover) -> None:
        self._plan, self._home = plan, home
        self._old, self._new, self._mover = old, new, mover
        self._store: VectorStore = old.store

    def __call__(self) -> list[str]:
        """Ids, the first to move first; those that nothing is known of are left out."""
        plan = self._plan
        if plan.order == "given":
            return read_ids(self._file())
        ways: dict[str, Callable[[], list[str]]] = {
            "searched": self._searched,
            "gain": self._gain,
            "uncertain": self._uncertain,
            "central": self._central,
            "slice": self._slices,
            "balanced": self._slices,
        }
        if plan.order not in ways:
            raise ConfigError("plan: order", f"one of {', '.join(ways)}", repr(plan.order))
        return ways[plan.order]()

    def _file(self) -> Path:
        return path_of(self._plan.order_file or "", self._home, "plan: order_file")

    # by past searches

    def _searched(self) -> list[str]:
        log = read_log(self._file()) if self._plan.order_file else Log({}, {})
        tally: dict[str, float] = dict(log.items)
        if log.searches:
            found = _numbered(self._found(self._asked(log)[0], DEPTH))
            _add(tally, found, list(log.searches.values()))
        if not log.items:  # reads that were counted need nobody to stand in
            self._add_items(tally)
        return _falling(list(tally), np.array(list(tally.values())))

    def _gain(self) -> list[str]:
        log = read_log(self._file())
        _refuse_ids_only(log)
        asked = self._asked(log)
        names, _ = _numbered(self._found(asked[0], DEPTH))
        waiting = get_known(self._store, names)
        weights = list(log.searches.values())
        worth = expected_gain(asked, weights, waiting.vectors_read, self._known())
        tally = {waiting.ids[i]: float(worth[i]) for i in np.flatnonzero(worth)}
        self._add_items(tally)
        return _falling(list(tally), np.array(list(tally.values())))

    def _add_items(self, tally: dict[str, float]) -> None:
        found = self._found_by_items()
        _add(tally, found, [ITEMS / len(found[1])] * len(found[1]))

    def _asked(self, log: Log) -> Pair:
        texts = list(log.searches)
        if self._plan.order == "searched" and self._old.encoder is not None:
            old = self._old.encoder.encode(texts, "query")
            return old, old
        new = self._new.reach(texts, "query", lambda: _no_way(self._new))
        return self._old.reach(texts, "query", lambda: new), new

    def _found_by_items(self) -> Found:
        """What items find, other than themselves, when they ask."""
        ids, _ = read_rows(self._store)
        drawn = np.random.default_rng(self._plan.seed).permutation(len(ids))[:ASKING]
        rows = get_known(self._store, ids[drawn].tolist())
        names, places = _numbered(self._found(rows.vectors_read, DEPTH + 1))
        place = {name: at for at, name in enumerate(names)}
        own = np.array([place.get(name, -1) for name in rows.ids], dtype=np.int64)
        return names, without_self(places, own)

    def _found(self, asked: Vectors, depth: int) -> Hits:
        k = min(depth, max(1, len(self._store)))
        pieces = range(0, len(asked), _SEARCHES)
        return Hits.concat(
            self._store.search(asked.take(slice(at, at + _SEARCHES)), k) for at in pieces
        )

    # by the vectors

    def _uncertain(self) -> list[str]:
        return self._by_vectors(Uncertainty(*self._known()))

    def _central(self) -> list[str]:
        if self._plan.order_field:
            return self._central_of(self._plan.order_field)
        ids, _ = read_rows(self._store)
        drawn = np.random.default_rng(self._plan.seed).permutation(len(ids))[:FIT]
        rows = get_known(self._store, ids[drawn].tolist()).vectors_read.array
        centers = Centers(rows, seed=self._plan.seed)
        return self._by_vectors(lambda rows: -centers.distances(rows))

    def _by_vectors(self, score: Callable[[FloatArray], Floats]) -> list[str]:
        return self._by_rows(lambda rows: score(rows.vectors_read.array))

    def _by_rows(self, score: Callable[[Rows], Floats]) -> list[str]:
        names: list[str] = []
        scores: list[Floats] = []
        for rows in pages(self._store, _PAGE, vectors=True):
            names += rows.ids
            scores.append(score(rows))
        return _falling(names, np.concatenate(scores))

    def _known(self) -> Pair:
        """The fair sample in both spaces."""
        ids, _ = read_rows(self._store)
        sample = fair_sample(ids, self._plan.seed, self._plan.merge)
        moved = self._mover.move(get_known(self._store, sample))
        return moved.rows.vectors_read, moved.vectors

    def _central_of(self, field: str) -> list[str]:
        """By the distance to the mean of the class that a field names."""
        means, there = ClassMeans(), False
        for rows in pages(self._store, _PAGE, vectors=True):
            means.add(rows.vectors_read.array, _named(rows, field))
            there = there or _has(rows, field)
        _refuse_missing(field, there)
        return self._by_rows(lambda r: -means.distances(r.vectors_read.array, _named(r, field)))

    # by the payloads

    def _slices(self) -> list[str]:
        names, values = self._values(self._plan.order_field or "")  # `check_order` has seen to it
        if self._plan.order == "slice":
            return _falling(names, in_turn(values))
        return _falling(names, balanced(values, self._plan.seed))

    def _values(self, field: str) -> tuple[list[str], list[str]]:
        """Ids, and what each has in a field."""
        names: list[str] = []
        values: list[str] = []
        there = False
        for rows in pages(self._store, _PAGE):
            names += rows.ids
            values += _named(rows, field)
            there = there or _has(rows, field)
        _refuse_missing(field, there)
        return names, values


def check_order(plan: Plan, home: Path) -> None:
    """Whether what the order needs is named, and can be read.

    Raises:
        ConfigError: A file or a field that is missing, or that the order does not look at, or a
            file that cannot be read.
    """
    for setting, value, readers in (
        ("order_file", plan.order_file, READS_FILE),
        ("order_field", plan.order_field, MAY_NAME),
    ):
        if value and plan.order not in readers:
            raise ConfigError(
                f"plan: {setting}",
                f"an order that reads it, one of {', '.join(readers)}",
                repr(plan.order),
                f"Name one of them as order, or leave {setting} out.",
            )
    if plan.order in NEEDS_FILE and not plan.order_file:
        what = "a file of ids" if plan.order == "given" else "a log of past searches"
        raise ConfigError("plan: order_file", what, "none", f"Order {plan.order!r} needs it.")
    if plan.order in READS_FILE and plan.order_file:
        path = path_of(plan.order_file, home, "plan: order_file")
        if plan.order == "given":
            read_ids(path)
        elif plan.order == "gain":
            _refuse_ids_only(read_log(path))
        else:
            read_log(path)
    if plan.order in NEEDS_FIELD and not plan.order_field:
        raise ConfigError(
            "plan: order_field", "a payload field", "none", f"Order {plan.order!r} needs it."
        )


def check_known(plan: Plan, home: Path, store: VectorStore) -> None:
    """Whether the gallery has what the order names, before a plan is recorded.

    Args:
        plan: `check_order` has passed it.
        home: Folder that its file is relative to.
        store: What is served; read as far as the first item that will do.
    Raises:
        ConfigError: None of the ids, or a field that no item has.
    """
    if plan.order == "given":
        ids = read_ids(path_of(plan.order_file or "", home, "plan: order_file"))
        if not _any_there(ids, store):
            raise strange(ids)
    elif plan.order == "searched" and plan.order_file:
        log = read_log(path_of(plan.order_file, home, "plan: order_file"))
        if not log.searches and not _any_there(list(log.items), store):
            raise strange(list(log.items))
    elif plan.order in MAY_NAME and plan.order_field:
        there = any(_has(rows, plan.order_field) for rows in pages(store, _PAGE))
        _refuse_missing(plan.order_field, there)


def _any_there(ids: list[str], store: VectorStore) -> bool:
    pieces = (ids[at : at + _PAGE] for at in range(0, len(ids), _PAGE))
    return any((store.revisions(piece) >= 0).any() for piece in pieces)


def _named(rows: Rows, field: str) -> list[str]:
    return [str(payload.get(field)) for payload in rows.payloads]


def _has(rows: Rows, field: str) -> bool:
    return any(payload.get(field) is not None for payload in rows.payloads)


def _refuse_missing(field: str, there: bool) -> None:
    if not there:
        raise ConfigError(
            "plan: order_field",
            "a payload field of the gallery",
            f"{field!r}, which no item has",
            "Plan with one that is kept, after a rollback where it is planned already.",
        )


def _refuse_ids_only(log: Log) -> None:
    if not log.searches:
        raise ConfigError("plan: order_file", "texts of searches for order 'gain'", "ids only")


def _no_way(side: Side) -> Vectors:
    raise ConfigError("plan: order", f"a model for {side.space.name}", "none")


def _add(tally: dict[str, float], found: Found, weights: list[float]) -> None:
    worth = most_searched(found[1], weights, len(found[0]))
    for name, score in zip(found[0], worth.tolist(), strict=True):
        tally[name] = tally.get(name, 0.0) + score


def _numbered(hits: Hits) -> Found:
    """The ids that were found, each once, and the hits as places among them; -1 where empty."""
    places: dict[str, int] = {}
    flat = [places.setdefault(name, len(places)) if name else -1 for name in hits.ids.ravel()]
    return list(places), np.array(flat, dtype=np.int64).reshape(hits.ids.shape)


def _falling(names: Sequence[str], scores: Floats) -> list[str]:
    """Names by falling score; among equals as they come."""
    return [names[i] for i in np.argsort(-scores, kind="stable")]
