"""Merging hidden units: exact where they are doubles, and judged where they are not."""

import numpy as np
import pytest

from holdfast.align.chain import pack
from holdfast.align.mlp import ResidualMLP
from holdfast.align.shrink import merge_units, shrink
from holdfast.errors import InvalidInput, NotFitted

RNG = np.random.default_rng(0)


def network(width=128, source=20, target=10):
    return [
        (RNG.normal(size=(source, width)), RNG.normal(size=width)),
        (RNG.normal(size=(width, target)), RNG.normal(size=target)),
    ]


def run(chain, rows):
    for weight, bias in chain[:-1]:
        rows = np.maximum(rows @ weight + bias, 0.0)
    return rows @ chain[-1][0] + chain[-1][1]


def doubled(chain, count):
    """The first units twice, each with half of what goes out."""
    (weight, bias), (out, last) = chain
    halves = out.copy()
    halves[:count] /= 2.0
    return [
        (np.hstack([weight, weight[:, :count]]), np.concatenate([bias, bias[:count]])),
        (np.vstack([halves, halves[:count]]), last),
    ]


def test_units_that_were_doubled_are_merged_again_and_nothing_changes():
    chain = network()
    wide = doubled(chain, 64)
    rows = RNG.normal(size=(200, 20))
    assert np.abs(run(wide, rows) - run(chain, rows)).max() < 1e-12
    small = merge_units(wide, 1e-12)
    assert len(small[0][1]) == 128
    assert np.abs(run(small, rows) - run(chain, rows)).max() < 1e-12


def test_beta_0_leaves_units_that_differ_alone_and_every_layer_is_looked_at():
    chain = network()
    for (a, b), (c, d) in zip(merge_units(chain, 0.0), chain, strict=True):
        assert np.array_equal(a, c)
        assert np.array_equal(b, d)
    deep = [*network(30, 8, 12)[:1], *network(40, 30, 5)]
    widths = [len(bias) for _, bias in merge_units(deep, 0.6)]
    assert widths[0] < 30
    assert widths[1] < 40
    assert widths[2] == 5
    with pytest.raises(InvalidInput, match="beta"):
        merge_units(chain, 1.0)


def test_units_of_three_merge_to_their_sum_and_weighted_mean():
    weight = np.array([[1.0, 1.0, 1.2, 90.0]])
    out = np.array([[1.0], [2.0], [6.0], [0.0]])
    (wide, bias), (last, _) = merge_units([(weight, np.zeros(4)), (out, np.zeros(1))], 0.1)
    np.testing.assert_allclose(wide, [[3.2, 90.0]])
    np.testing.assert_allclose(last, [[3.0], [0.0]])
    assert not bias.any()


def fitted():
    """A bridge with a network that is wider than it need be, without training one."""
    X = RNG.normal(size=(400, 12)).astype(np.float32)
    mlp = ResidualMLP(epochs=0).fit(X, X @ RNG.normal(size=(12, 8)).astype(np.float32))
    mlp.widths_, mlp.parameters_ = pack(doubled(network(32, 12, 8), 16))
    return mlp, X


def test_a_bridge_is_shrunk_as_far_as_pairs_allow():
    mlp, X = fitted()
    truth = mlp.transform(X)
    small = shrink(mlp, X, truth)
    assert small.widths_[1] <= 32
    assert mlp.widths_[1] == 48  # the given one is left alone
    cosine = (small.transform(X) * truth).sum(axis=1) / (
        np.linalg.norm(small.transform(X), axis=1) * np.linalg.norm(truth, axis=1)
    )
    assert cosine.mean() >= 0.995
    restored = ResidualMLP().set_state(small.get_state())
    assert np.array_equal(restored.transform(X), small.transform(X))


def test_the_closed_form_has_nothing_to_shrink():
    X = RNG.normal(size=(60, 4)).astype(np.float32)
    mlp = ResidualMLP(epochs=0).fit(X, X)
    assert np.array_equal(shrink(mlp, X, X).transform(X), mlp.transform(X))


def test_what_is_shrunk_is_fitted_and_judged_by_any_pairs():
    mlp, X = fitted()
    truth = mlp.transform(X)
    small, listed = shrink(mlp, X, truth), shrink(mlp, X.tolist(), truth.tolist())
    assert np.array_equal(small.parameters_, listed.parameters_)
    with pytest.raises(NotFitted, match="Call fit"):
        shrink(ResidualMLP(), X, truth)
    with pytest.raises(InvalidInput, match="400 in X and 9 in Y"):
        shrink(mlp, X, truth[:9])
