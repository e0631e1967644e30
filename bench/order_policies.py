"""The policies that `bench.order` compares, from what is known before anything has moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TypeAlias

import numpy as np

from holdfast.align.kernel import Kernel
from holdfast.arrays import FloatArray, IdArray, IntArray, Vectors, id_array, unit_rows
from holdfast.store.topk import best, scores
from holdfast.upgrade.merge import Mode
from holdfast.upgrade.order import arrange, fair_sample, fair_size
from holdfast.upgrade.priority.centers import Centers
from holdfast.upgrade.priority.gain import expected_gain
from holdfast.upgrade.priority.rank import ASKING
from holdfast.upgrade.priority.searched import DEPTH, ITEMS, Floats, most_searched, without_self
from holdfast.upgrade.priority.slices import balanced, in_turn
from holdfast.upgrade.priority.uncertain import Uncertainty, remoteness

from .judged import Judged


@dataclass(frozen=True, eq=False)
class Past:
    """What is known before anything has moved.

    Args:
        judged: The items; their judgements are not looked at.
        queries: The log, in both spaces.
        times: (q,) how often each was asked.
        seed: Of the fair sample.
        tokens: (n,) what each item costs.
        merge: Says how large the fair sample is.
    """

    judged: Judged
    queries: tuple[Vectors, Vectors]
    times: Floats
    seed: int
    tokens: Floats
    merge: Mode = "fused"

    @property
    def count(self) -> int:
        """Number of items."""
        return len(self.judged.ids)

    @property
    def old(self) -> FloatArray:
        """(n, d) items in the old space."""
        return self.judged.old_docs.array

    @cached_property
    def known(self) -> tuple[Vectors, Vectors]:
        """The fair sample, in both spaces."""
        rows = [int(name) for name in fair_sample(_names(self.count), self.seed, self.merge)]
        return self.judged.old_docs.take(rows), self.judged.new_docs.take(rows)

    @cached_property
    def found_by_items(self) -> Floats:
        """(n,) worth of what a part of the items finds beside itself."""
        asking = np.random.default_rng(self.seed).permutation(self.count)[:ASKING]
        rows = self.judged.old_docs
        found = without_self(self.found(rows.take(asking), rows, DEPTH + 1), asking)
        return most_searched(found, np.ones(len(asking)), self.count)

    def found(self, queries: Vectors, rows: Vectors, depth: int) -> IntArray:
        """(q, depth) rows that searches find, best first."""
        table = scores(queries.array, rows.array, rows.space.metric)
        places: IntArray = best(table, depth)[0]
        return places


Policy: TypeAlias = Callable[[Past], Floats]


def logged(past: Past, depth: int = DEPTH) -> Floats:
    """What the log found with the old model."""
    found = past.found(past.queries[0], past.judged.old_docs, depth)
    return most_searched(found, past.times, past.count)


def with_items(worth: Floats, past: Past) -> Floats:
    """And items that count as much as 256 searches, as `priority.rank` takes both."""
    return worth + ITEMS / min(past.count, ASKING) * neighboured(past)


def searched(past: Past) -> Floats:
    """The log, and items."""
    return with_items(logged(past), past)


def foreseen(past: Past, depth: int = 10) -> Floats:
    """What the log will find with the new model: nobody can know that."""
    found = past.found(past.queries[1], past.judged.new_docs, depth)
    return most_searched(found, past.times, past.count)


def either(past: Past) -> Floats:
    """The same, and what the log finds now: it must go where the new model wants it."""
    return foreseen(past) + logged(past, 10)


def expected(past: Past, by_cost: bool = False) -> Floats:
    """`expected_gain` of what the log found."""
    found = np.unique(past.found(past.queries[0], past.judged.old_docs, DEPTH))
    waiting = past.judged.old_docs.take(found)
    price = past.tokens[found] if by_cost else None
    out = np.zeros(past.count)
    out[found] = expected_gain(past.queries, past.times, waiting, past.known, price)
    return out


def gain(past: Past, by_cost: bool = False) -> Floats:
    """And items, as `priority.rank` takes both."""
    prices = past.tokens if by_cost else np.ones(past.count)
    return expected(past, by_cost) + with_items(np.zeros(past.count), past) / prices


def neighboured(past: Past) -> Floats:
    """What items find when they ask: there is no log."""
    return past.found_by_items


def outlying(past: Past) -> Floats:
    """Far from the mean of the own cluster."""
    return Centers(past.old, seed=past.seed).distances(past.old)


def uncertain(past: Past) -> Floats:
    """Where the map errs, as far as the fair sample tells."""
    return Uncertainty(*past.known)(past.old)


def fastfill(past: Past) -> Floats:
    """The same by FastFill's head, learned from the fair sample."""
    from holdfast.align.forward import FastFill

    old, new = past.known
    return FastFill(seed=past.seed).fit(old.array, new.array).uncertainty(past.old)


def remote(past: Past) -> Floats:
    """Far from every item of the fair sample."""
    return remoteness(past.old, past.known[0].array)


def mistaken(past: Past) -> Floats:
    """Where the map errs in truth: nobody can know that."""
    old, new = past.known
    mapped = unit_rows(Kernel(single=True).fit(old.array, new.array).transform(past.old))
    return 1.0 - np.einsum("ij,ij->i", mapped, past.judged.new_docs.array)


def _slices(past: Past) -> list[int]:
    means = Centers(past.old, 10, past.seed).means.astype(np.float32)
    return best(past.old @ means.T - (means**2).sum(axis=1) / 2.0, 1)[0][:, 0].tolist()


def turns(past: Past) -> Floats:
    """One of ten clusters after the other."""
    return in_turn(_slices(past))


def evenly(past: Past) -> Floats:
    """Equally many of ten clusters."""
    return balanced(_slices(past), past.seed)


POLICIES: Mapping[str, Policy | None] = {
    "random": None,
    "searched": searched,
    "log alone": logged,
    "log alone, 10 deep": partial(logged, depth=10),
    "items alone": neighboured,
    "gain": gain,
    "gain, log alone": expected,
    "central": lambda past: -outlying(past),
    "outlying": outlying,
    "uncertain": uncertain,
    "uncertain last": lambda past: -uncertain(past),
    "uncertain by FastFill": fastfill,
    "remote": remote,
    "slice": turns,
    "balanced": evenly,
    "oracle: true error": mistaken,
    "oracle: found by the new model": foreseen,
    "oracle: found by either": either,
}
MIXED = ", every other at random"
ANEW = "gain, ranked anew"  # what waits, with all pairs by then; nothing in the package does it
AGAIN, LEARNED = (0.1, 0.2, 0.3), 1_024  # shares at which it is, and pairs that count
LARGE = "gain, sample of a fifth"  # as a merge needs it that calibrates
MIXABLE = ("searched", "gain")
ALL = (*POLICIES, *(name + MIXED for name in MIXABLE), LARGE, ANEW)
DEAR = "gain over cost"  # where the shares are shares of the tokens
QUICK = ("random", "searched", "gain")
ORACLES = ("oracle: found by the new model", "oracle: found by either")
RECORDED = (*QUICK, "items alone", "central", "uncertain", LARGE, ANEW, ORACLES[1])
SHOWN = (*QUICK, "central", "uncertain", ORACLES[1])
LOGGED = {n for n in POLICIES if n.startswith(("log", "gain, log", "oracle: found"))}


def order_of(name: str, past: Past) -> IntArray:
    """Rows in the order in which the package moves them."""
    if name == LARGE:
        return order_of("gain", replace(past, merge="calibrated"))
    if name == ANEW:
        return _anew(past)
    base = name.removesuffix(MIXED)
    score = partial(gain, by_cost=True) if base == DEAR else POLICIES[base]
    ids, revisions = _names(past.count), np.zeros(past.count, dtype=np.int64)
    given = None
    if score is not None:
        worth = score(past)
        rows = np.argsort(-worth, kind="stable")
        # What nothing is known of is left out, as a log leaves it out.
        rows = rows[worth[rows] != 0.0] if base in LOGGED else rows
        given = ids[rows].tolist()
    kind = "random" if score is None else "given"
    order = np.array(
        [int(row) for row in arrange(kind, ids, revisions, past.seed, given, past.merge)]
    )
    return order if base == name else _mixed(order, past)


def _mixed(order: IntArray, past: Past) -> IntArray:
    """Behind the fair sample, every other row is the next of the random order."""
    first = fair_size(past.count, past.merge)
    random = order_of("random", past)
    turns_of = np.stack([order[first:], random[first:]], axis=1).ravel()
    firsts = np.unique(turns_of, return_index=True)[1]
    return np.concatenate([order[:first], turns_of[np.sort(firsts)]])


def _anew(past: Past) -> IntArray:
    """`gain`, and what waits ranked again at some shares."""
    order = order_of("gain", past)
    for share in AGAIN:
        first = max(round(share * past.count), fair_size(past.count, past.merge))
        known = order[:first][:LEARNED]
        told = replace(past)
        told.__dict__["found_by_items"] = past.found_by_items
        told.__dict__["known"] = past.judged.old_docs.take(known), past.judged.new_docs.take(known)
        rest = order[first:]
        ranked = rest[np.argsort(-gain(told)[rest], kind="stable")]
        order = np.concatenate([order[:first], ranked])
    return order


def _names(count: int) -> IdArray:
    return id_array([str(n) for n in range(count)])
