"""The ladder keeps the plain rung unless a richer one wins beyond doubt."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.align.bridge import Bridge
from holdfast.align.choose import choose
from holdfast.align.linear import Ridge
from holdfast.align.procrustes import Procrustes
from holdfast.arrays import as_vectors
from holdfast.errors import InvalidInput
from holdfast.space import Space

A, B = Space("a", 10), Space("b", 10)


def pairs(stretch, noise, count=600):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(count, 10))
    turn = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    Y = X * np.geomspace(1.0, stretch, 10) @ turn + noise * rng.normal(size=(count, 10))
    return as_vectors(X, A, "test"), as_vectors(Y, B, "test")


@pytest.mark.parametrize("side", ["query", "gallery"])
def test_a_stretched_space_takes_ridge(side):
    X, Y = pairs(stretch=0.02, noise=0.002)
    choice = choose(X, Y, side=side)
    assert [(rung.name, rung.chosen) for rung in choice.table] == [
        ("procrustes", False),
        ("ridge", True),
    ]
    assert isinstance(choice.bridge.aligner, Ridge)
    assert choice.table[0].gain is None
    assert choice.table[1].gain.low > 0
    measure = {"query": "R@1", "gallery": "R@1 gallery"}[side]
    first, second = (rung.evidence[measure].value for rung in choice.table)
    assert choice.table[1].gain.value == pytest.approx(second - first)


def test_a_turned_space_keeps_procrustes():
    X, Y = pairs(stretch=1.0, noise=0.3)
    choice = choose(X, Y)
    assert isinstance(choice.bridge.aligner, Procrustes)
    assert [rung.chosen for rung in choice.table] == [True, False]
    assert choice.table[1].gain.low <= 0


def test_every_rung_is_what_a_bridge_of_its_own_says():
    X, Y = pairs(stretch=0.2, noise=0.1)
    ladder = (Procrustes(center=False), Ridge(), Ridge(grid=[10.0]))
    choice = choose(X, Y, ladder=ladder, held_out=0.3, seed=5)
    for aligner, rung in zip(ladder, choice.table, strict=True):
        assert rung.evidence == Bridge.fit(aligner, X, Y, held_out=0.3, seed=5).evidence
    chosen = next(a for a, rung in zip(ladder, choice.table, strict=True) if rung.chosen)
    alone = Bridge.fit(chosen, X, Y, held_out=0.3, seed=5)
    assert choice.bridge.transform(X).array.tobytes() == alone.transform(X).array.tobytes()


def test_a_later_rung_must_beat_the_best_so_far_and_not_only_the_first():
    X, Y = pairs(stretch=0.02, noise=0.002)
    choice = choose(X, Y, ladder=(Procrustes(), Ridge(grid=[1e-6]), Ridge(grid=[1e-6])))
    assert [rung.chosen for rung in choice.table] == [False, True, False]
    assert choice.table[2].gain.value == 0.0


def test_unusable_questions_are_refused():
    X, Y = pairs(1.0, 0.1)
    with pytest.raises(InvalidInput, match="at least one aligner"):
        choose(X, Y, ladder=())
    with pytest.raises(InvalidInput, match="one of query, gallery, got 'both'"):
        choose(X, Y, side="both")
