"""Batches that are written together: which wait, which do not, and what is written then."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.arrays import Vectors
from holdfast.errors import StoreError
from holdfast.space import Space
from holdfast.store.base import Rows
from holdfast.store.payloads import TEXT, Payloads
from holdfast.upgrade.backfill.batch import Batch
from holdfast.upgrade.backfill.group import Group
from holdfast.upgrade.mover import Moved

SPACE = Space("group", 2, "dot")


class Moves:
    """In the place of a gallery: notes what is moved; a write takes its time."""

    def __init__(self, fixed=0.001, each=1e-6):
        self.now, self.fixed, self.each = 0.0, fixed, each
        self.written = []
        self.fail, self.bad = False, set()

    def move(self, rows, vectors, places, since):
        if self.fail:
            raise StoreError("disk", "room", "none")
        self.now += self.fixed + self.each * len(rows)
        self.written.append((rows, vectors, places, since))
        return {name: f"no {name}" for name in rows.ids if name in self.bad}

    def sizes(self):
        return [len(rows) for rows, *_ in self.written]


def batch(first, count, since=0):
    names = [f"i{n}" for n in range(first, first + count)]
    numbers = np.arange(first, first + count)
    payloads = Payloads([f'{{"n":{n}}}' for n in numbers], TEXT)
    rows = Rows(names, numbers, payloads, np.zeros(count, dtype=bool))
    nothing = rows.take(())
    return Batch(rows, (numbers + 1).tolist(), nothing, [], count, since)


def moved(one, keep=slice(None)):
    kept = np.arange(len(one.rows))[keep]
    rows = one.rows.take(kept)
    array = np.stack([rows.revisions, -rows.revisions], axis=1).astype(np.float32)
    return Moved(rows, Vectors(SPACE, array))


def run(moves, sizes, seconds=0.0):
    group, first = Group(moves, lambda: moves.now), 0
    for count in sizes:
        one = batch(first, count, since=first)
        group.add(one, moved(one), seconds)
        first += count
    group.write()
    return group


def test_quick_batches_wait_for_each_other_and_all_is_written_in_order():
    moves = Moves()
    run(moves, [1024] * 20)
    assert moves.sizes() == [1024, 2048, 4096, 4096, 4096, 4096, 1024]
    names = [name for rows, *_ in moves.written for name in rows.ids]
    assert names == [f"i{n}" for n in range(20 * 1024)]
    for rows, vectors, places, since in moves.written:
        assert vectors.array[:, 1].tolist() == (-rows.revisions).tolist()
        assert places == (rows.revisions + 1).tolist()
        assert [payload["n"] for payload in rows.payloads] == rows.revisions.tolist()
        assert not rows.hidden.any()
        assert since == rows.revisions[0], "what changed since the first of them was read counts"


@pytest.mark.parametrize(
    ("count", "seconds"), [(255, 0.0), (8, 0.0), (1024, 0.01), (256, 1.0)], ids=str
)
def test_what_is_small_or_slow_to_compute_is_written_at_once(count, seconds):
    moves = Moves()
    run(moves, [count] * 12, seconds)
    assert moves.sizes() == [count] * 12


def test_groups_shrink_where_writing_keeps_searches_waiting():
    moves = Moves(fixed=0.0, each=6e-5)  # 1,024 rows take 0.06 s, 2,048 more than a tenth
    run(moves, [1024] * 20)
    assert sum(size > 1024 for size in moves.sizes()) <= 7
    assert max(moves.sizes()) <= 2048


def test_what_is_held_is_known_and_written_when_asked_for():
    moves = Moves()
    group = Group(moves, lambda: moves.now)
    a, b, c = batch(0, 1024), batch(1024, 600), batch(1624, 300)
    assert group.add(a, moved(a), 0.0)
    assert group.claimed == 0
    assert not group.add(b, moved(b, slice(0, 590)), 0.0)
    assert not group.add(c, moved(c), 0.0)
    assert group.claimed == 900, "those that failed were claimed, too"
    group.write()
    assert (group.claimed, moves.sizes()) == (0, [1024, 890])
    group.write()
    assert len(moves.written) == 2


def test_an_item_queued_again_is_not_written_twice_at_once():
    moves = Moves()
    group = Group(moves, lambda: moves.now)
    for one in (batch(0, 1024), batch(2000, 300), batch(2299, 300)):
        group.add(one, moved(one), 0.0)
    group.write()
    assert moves.sizes() == [1024, 300, 300]


def test_what_could_not_be_written_is_not_held_any_more():
    moves = Moves()
    group = Group(moves, lambda: moves.now)
    for one in (batch(0, 1024), batch(1024, 300)):
        group.add(one, moved(one), 0.0)
    moves.fail = True
    with pytest.raises(StoreError):
        group.write()
    moves.fail = False
    group.write()
    assert (group.claimed, moves.sizes()) == (0, [1024])


def test_what_was_refused_is_told_once():
    moves = Moves()
    moves.bad = {"i3", "i300"}
    group = Group(moves, lambda: moves.now)
    for first in (0, 10, 300):
        one = batch(first, 10)
        group.add(one, moved(one), 1.0)
    assert group.refused() == {"i3": "no i3", "i300": "no i300"}
    assert group.refused() == {}
