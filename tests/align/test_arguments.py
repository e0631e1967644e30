"""Arguments of another kind than an aligner takes are refused in its own words by `fit`."""

import numpy as np
import pytest

from holdfast.align.bridge import Bridge
from holdfast.align.choose import choose
from holdfast.align.forward import FastFill
from holdfast.align.kernel import Kernel
from holdfast.align.linear import Ridge
from holdfast.align.low_rank import LowRank
from holdfast.align.metric_compatible import MetricCompatible
from holdfast.align.mlp import ResidualMLP
from holdfast.align.orthogonal import Orthogonal
from holdfast.align.projection import Projection
from holdfast.arrays import as_vectors
from holdfast.errors import InvalidInput
from holdfast.space import Space

X = np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32)
A_SEED = "a seed that is an integer from 0"


@pytest.mark.parametrize(
    ("aligner", "expected", "got"),
    [
        (Ridge(seed=-1), A_SEED, "-1"),
        (Ridge(seed="x"), A_SEED, "'x'"),
        (LowRank(seed=3.7), A_SEED, "3.7"),
        (Kernel(landmarks=9, seed=-1), A_SEED, "-1"),
        (Projection(epochs=0, seed=-1), A_SEED, "-1"),
        (ResidualMLP(epochs=0, seed=None), "seed as an integer from 0", "None"),
        (FastFill(epochs=0, seed=-1), "seed as an integer from 0", "-1"),
        (Ridge(grid="x"), "a grid of positive numbers", "'x'"),
        (LowRank(grid=[{}]), "a grid of positive numbers", "[{}]"),
        (Ridge(held_out="0.2"), "held_out as a number", "'0.2'"),
        (Kernel(penalty=None), "penalty as a number", "None"),
        (Orthogonal(tolerance="0.1"), "tolerance as a number", "'0.1'"),
        (ResidualMLP(rate="0.001"), "rate as a number", "'0.001'"),
        (FastFill(discriminate=[1.0]), "discriminate as a number", "[1.0]"),
        (MetricCompatible(temperature=None), "temperature as a number", "None"),
        (Projection(hidden=(2,)), "hidden as a number", "(2,)"),
    ],
    ids=repr,
)
def test_what_is_no_number_is_refused_by_its_name(aligner, expected, got):
    with pytest.raises(InvalidInput) as told:
        aligner.fit(X, X)
    assert (told.value.who, told.value.expected, told.value.got) == (
        *(type(aligner).__name__, expected, got),
    )


def test_numbers_of_numpy_are_numbers():
    plain = Ridge(held_out=0.25, seed=3).fit(X, X[:, ::-1])
    other = Ridge(held_out=np.float32(0.25), seed=np.int64(3), grid=np.array(plain.grid))
    np.testing.assert_array_equal(other.fit(X, X[:, ::-1]).weight_, plain.weight_)
    assert Orthogonal(tolerance=None).fit(X, X).n_features_out_ == 3


def pairs():
    old, new = Space("old", 3), Space("new", 3)
    return as_vectors(X, old, "X"), as_vectors(X[:, ::-1], new, "Y")


@pytest.mark.parametrize("aligner", ["ridge", Ridge, None])
def test_a_name_or_a_class_is_no_aligner(aligner):
    with pytest.raises(InvalidInput) as told:
        Bridge.fit(aligner, *pairs())
    assert (told.value.expected, told.value.got) == ("an aligner, such as Ridge()", repr(aligner))


def test_a_ladder_is_a_list():
    with pytest.raises(InvalidInput, match="a ladder of aligners, got one ridge"):
        choose(*pairs(), ladder=Ridge())


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"seed": -1}, A_SEED),
        ({"held_out": "0.2"}, "held_out between 0 and 1, both excluded"),
    ],
)
def test_a_split_that_cannot_be_drawn_is_refused(wrong, expected):
    with pytest.raises(InvalidInput) as told:
        Bridge.fit(Ridge(), *pairs(), **wrong)
    assert (told.value.who, told.value.expected) == ("Bridge.fit", expected)
