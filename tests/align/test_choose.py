"""The ladder keeps the plain rung unless a richer one wins beyond doubt, and the floor."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.align.bridge import Bridge
from holdfast.align.choose import choose, ladder_for
from holdfast.align.floor import Asked
from holdfast.align.linear import Ridge
from holdfast.align.procrustes import Procrustes
from holdfast.arrays import as_vectors
from holdfast.errors import BelowStatusQuo, InvalidInput, WrongSpace
from holdfast.space import Space

A, B = Space("a", 10), Space("b", 10)
LADDER = (Procrustes(), Ridge())


def pairs(stretch, noise, count=600):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(count, 10))
    turn = np.linalg.qr(rng.normal(size=(10, 10)))[0]
    Y = X * np.geomspace(1.0, stretch, 10) @ turn + noise * rng.normal(size=(count, 10))
    return as_vectors(X, A, "test"), as_vectors(Y, B, "test")


@pytest.mark.parametrize("side", ["query", "gallery"])
def test_a_stretched_space_takes_ridge(side):
    X, Y = pairs(stretch=0.02, noise=0.002)
    choice = choose(X, Y, LADDER, side=side, floor=False)
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
    choice = choose(X, Y, LADDER, floor=False)
    assert isinstance(choice.bridge.aligner, Procrustes)
    assert [rung.chosen for rung in choice.table] == [True, False]
    assert choice.table[1].gain.low <= 0


def test_every_rung_is_what_a_bridge_of_its_own_says():
    X, Y = pairs(stretch=0.2, noise=0.1)
    ladder = (Procrustes(center=False), Ridge(), Ridge(grid=[10.0]))
    choice = choose(X, Y, ladder=ladder, held_out=0.3, seed=5, floor=False)
    for aligner, rung in zip(ladder, choice.table, strict=True):
        assert rung.evidence == Bridge.fit(aligner, X, Y, held_out=0.3, seed=5).evidence
    chosen = next(a for a, rung in zip(ladder, choice.table, strict=True) if rung.chosen)
    alone = Bridge.fit(chosen, X, Y, held_out=0.3, seed=5)
    assert choice.bridge.transform(X).array.tobytes() == alone.transform(X).array.tobytes()


def test_a_later_rung_must_beat_the_best_so_far_and_not_only_the_first():
    X, Y = pairs(stretch=0.02, noise=0.002)
    ladder = (Procrustes(), Ridge(grid=[1e-6]), Ridge(grid=[1e-6]))
    choice = choose(X, Y, ladder=ladder, floor=False)
    assert [rung.chosen for rung in choice.table] == [False, True, False]
    assert choice.table[2].gain.value == 0.0


def test_the_default_ladder_rises_from_the_drift_to_ridge():
    X, Y = pairs(1.0, 0.1)
    wide = as_vectors(np.eye(11), Space("c", 11), "test")
    names = ["procrustes", "orthogonal", "low_rank", "ridge"]
    assert [aligner.name for aligner in ladder_for(X, wide)] == names
    assert [aligner.name for aligner in ladder_for(X, Y)] == ["mean_drift", *names]
    assert [aligner.name for aligner in ladder_for(X, wide, "gallery")] == [*names, "kernel"]
    choice = choose(X, Y, floor=False)
    assert [rung.name for rung in choice.table] == ["mean_drift", *names]
    assert choice.chosen.name == "procrustes"  # the spaces are turned: a drift does nothing


def test_a_space_that_only_drifted_keeps_the_drift():
    X, _ = pairs(1.0, 0.1)
    Y = as_vectors(
        X.array + 0.3 + 0.02 * np.random.default_rng(1).normal(size=(600, 10)), B, "test"
    )
    assert choose(X, Y, floor=False).chosen.name == "mean_drift"


def test_a_map_that_serves_like_the_old_model_stands():
    X, Y = pairs(stretch=1.0, noise=0.0)  # both models say the same of everything
    choice = choose(X, Y)
    assert choice.chosen.name == "procrustes"
    assert choice.chosen.stands
    assert choice.chosen.over_status_quo.value == pytest.approx(0.0, abs=1e-9)
    assert not choice.table[0].stands  # the drift


@pytest.mark.parametrize("side", ["query", "gallery"])
def test_nothing_below_the_status_quo_is_returned_unless_the_old_model_is_dead(side):
    X, Y = pairs(stretch=1.0, noise=0.8)
    with pytest.raises(BelowStatusQuo, match=r"as well as what serves now.*at -0\.\d") as caught:
        choose(X, Y, side=side)
    assert caught.value.table.count("below") == (6 if side == "gallery" else 5)
    assert "status quo (old/old), by both models together: nDCG@10 0." in caught.value.table
    dead = choose(X, Y, side=side, floor=False)
    assert not dead.chosen.stands
    assert dead.chosen.over_status_quo.high < 0
    assert str(dead).endswith(caught.value.table.splitlines()[-1])


def asked(X, Y, model, count=150):
    """Queries near stored items, as one of the models sees them."""
    rng = np.random.default_rng(9)
    rows = rng.permutation(len(X))[:count]
    near = {"old": 0.01, "new": 0.6} if model == "old" else {"old": 0.6, "new": 0.01}
    new = X.array[rows] + near["new"] * rng.normal(size=(count, 10))
    old = Y.array[rows] + near["old"] * rng.normal(size=(count, 10))
    queries = as_vectors(new, A, "test"), as_vectors(old, B, "test")
    return Asked(*queries, [[int(row)] for row in rows])


def test_known_answers_decide_what_both_models_cannot():
    X, Y = pairs(stretch=1.0, noise=0.1)  # the new model's queries are mapped into the old space
    with pytest.raises(BelowStatusQuo):
        choose(X, Y)
    better = choose(X, Y, floor=asked(X, Y, "new"))
    assert better.judged
    assert better.chosen.over_status_quo.low > 0.1
    assert "by known answers" in str(better)
    with pytest.raises(BelowStatusQuo) as caught:
        choose(X, Y, floor=asked(X, Y, "old"))
    assert "Queries with known answers" not in str(caught.value)


def test_a_rung_below_the_floor_is_passed_over_even_if_it_finds_most():
    X, Y = pairs(stretch=1.0, noise=0.1)

    class Dull(Procrustes):
        """Finds few held-out rows, and the queries."""

        def _map(self, rows):
            mapped = super()._map(rows)
            return mapped if len(rows) != 120 else mapped + np.roll(mapped, 1, axis=0)

    class Loses(Procrustes):
        """Finds every held-out row, and no query."""

        def _map(self, rows):
            mapped = super()._map(rows)
            return mapped if len(rows) == 120 else -mapped

    choice = choose(X, Y, (Dull(), Loses()), floor=asked(X, Y, "new"))
    assert [(rung.stands, rung.chosen) for rung in choice.table] == [(True, True), (False, False)]
    assert choice.table[1].gain.low > 0
    assert choose(X, Y, (Dull(), Loses()), floor=False).table[1].chosen


def test_a_choice_reads_as_a_table():
    X, Y = pairs(stretch=1.0, noise=0.3)
    choice = choose(X, Y, LADDER, floor=False)
    lines = str(choice).splitlines()
    assert lines[0] == "bridge from a to b"
    header = "aligner cosine R@1 over the best before over the status quo"
    assert " ".join(lines[1].split()) == header
    procrustes, ridge = choice.table
    value = procrustes.evidence["R@1"].value
    assert lines[2].startswith(
        f"procrustes  {procrustes.evidence['cosine'].value:.3f}   {value:.3f}"
    )
    assert lines[2].endswith("below, chosen")
    assert f"{ridge.gain.value:+.3f} [{ridge.gain.low:+.3f}, {ridge.gain.high:+.3f}]" in lines[3]
    assert lines[4].endswith(str(choice.status_quo))


def test_unusable_questions_are_refused():
    X, Y = pairs(1.0, 0.1)
    with pytest.raises(InvalidInput, match="at least one aligner"):
        choose(X, Y, ladder=())
    with pytest.raises(InvalidInput, match="one of query, gallery, got 'both'"):
        choose(X, Y, side="both")
    some = Asked(X.take([0]), Y.take([0]), [[0]])
    with pytest.raises(WrongSpace):
        choose(Y, X, LADDER, floor=some)
    with pytest.raises(InvalidInput, match="answers from 0 to 599"):
        choose(X, Y, LADDER, floor=Asked(X.take([0]), Y.take([0]), [[600]]))
    with pytest.raises(InvalidInput, match="as many queries"):
        Asked(X.take([0]), Y.take([0, 1]), [[0]])
    with pytest.raises(InvalidInput, match="an answer or more"):
        Asked(X.take([0]), Y.take([0]), [[]])


def test_stored_rows_that_bend_are_led_by_the_kernel():
    # The new space holds products of what the old one tells: no straight map follows them.
    told = np.random.default_rng(3).normal(size=(1_000, 4))
    told /= np.linalg.norm(told, axis=1, keepdims=True)
    first, second = np.triu_indices(4)
    bent = np.concatenate([0.3 * told, 2.0 * told[:, first] * told[:, second]], axis=1)
    X = as_vectors(told, Space("old", 4), "X")
    Y = as_vectors(bent, Space("new", 14), "Y")
    found = choose(X, Y, side="gallery", floor=False)
    assert found.chosen.name == "kernel"
    hits = {rung.name: rung.evidence["R@1 gallery"].value for rung in found.table}
    assert hits["kernel"] > 0.95
    assert hits["ridge"] < 0.3
    assert "kernel" not in {rung.name for rung in choose(X, Y, side="query", floor=False).table}
