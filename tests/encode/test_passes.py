"""Passes through a model are as large as may be, and short where a large one takes long."""

import numpy as np
import pytest

from holdfast.encode.passes import SHORT, Passes

MOST = 32


class Model:
    """Takes a fixed time and more for each unit of work, on a clock of its own."""

    def __init__(self, each, fixed=0.0):
        self.each, self.fixed, self.now = each, fixed, 0.0

    def run(self, passes, work):
        """(first, last, seconds) of each pass."""
        told = []
        for part in passes.cut(work):
            some = work[part]
            with passes.timed(len(some) * some[0]):
                begun = self.now
                self.now += self.fixed + self.each * len(some) * some[0]
            told.append((part.start, part.stop, self.now - begun))
        return told


def passes_of(model, most=MOST):
    return Passes(most, clock=lambda: model.now)


def work_of(seed, count=300, longest=256.0):
    made = np.random.default_rng(seed).lognormal(4.0, 1.0, count)
    return sorted(np.minimum(made, longest).tolist(), reverse=True)


@pytest.mark.parametrize("each", [1e-9, 1e-6, 1e-5, 1e-4, 2e-4, 1e-3, 1.0])
def test_after_the_first_no_pass_takes_longer_unless_one_content_does(each):
    model, work = Model(each), work_of(0)
    passes = passes_of(model)
    model.run(passes, work[:4])
    for start, stop, seconds in model.run(passes, work):
        assert seconds <= SHORT * (1 + 1e-6) or stop == start + 1
        full = (stop - start + 1) * work[start] * each > SHORT * (1 - 1e-6)
        assert full or stop - start == MOST or stop == len(work)  # and none is cut for nothing


def test_each_content_is_in_one_pass():
    for seed in range(50):
        model, work = Model(3e-4, fixed=0.01), work_of(seed, count=seed)
        parts = model.run(passes_of(model), work)
        covered = [place for start, stop, _ in parts for place in range(start, stop)]
        assert covered == list(range(seed))


@pytest.mark.parametrize(("most", "first"), [(MOST, 4), (3, 3), (1, 1)])
def test_the_first_pass_is_small_since_nothing_is_known(most, first):
    model = Model(1e-9)
    sizes = [stop - start for start, stop, _ in model.run(passes_of(model, most), [10.0] * 100)]
    assert sizes[0] == first
    assert set(sizes[1:-1]) == {most}


def test_one_slow_pass_is_soon_forgotten():
    model = Model(1e-6)
    passes = passes_of(model)
    model.each = 10.0  # such as what a device does at first
    model.run(passes, [100.0])
    model.each = 1e-6
    sizes = [stop - start for start, stop, _ in model.run(passes, [100.0] * 2_000)]
    assert sizes[0] == 1
    assert sizes.index(MOST) < 20
    assert set(sizes[sizes.index(MOST) : -1]) == {MOST}


def test_what_is_slow_for_a_while_makes_passes_short_step_by_step():
    model = Model(1e-6)
    passes = passes_of(model)
    model.run(passes, [100.0] * 100)
    model.each = 1e-3
    sizes = [stop - start for start, stop, _ in model.run(passes, [100.0] * 1_000)]
    assert sizes[0] == MOST
    assert sizes[-1] == 1  # a tenth of a second each
    assert sorted(sizes, reverse=True) == sizes
