"""The residual network against ridge, a slow forward pass, and itself elsewhere."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from holdfast.align.bridge import Bridge
from holdfast.align.chain import pack, unpack
from holdfast.align.forward import FastFill, Forward
from holdfast.align.linear import Ridge
from holdfast.align.metric_compatible import MetricCompatible, ReverseQuery
from holdfast.align.mlp import ResidualMLP
from holdfast.arrays import as_vectors
from holdfast.errors import InvalidInput, MissingExtra, NotEnoughPairs, NotInvertible
from holdfast.space import Space
from tests.align.learned import curved, error

LEARNED = [ResidualMLP, ReverseQuery, MetricCompatible, Forward, FastFill]
SMALL = {"hidden": (16,), "epochs": 5, "batch": 64, "rate": 1e-2}


def same_bits(a, b):
    return a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("kind", LEARNED)
def test_without_training_it_is_ridge_bit_for_bit(kind):
    X, Y = curved()
    ridge = Ridge(seed=3).fit(X, Y)
    fitted = kind(epochs=0, seed=3).fit(X, Y)
    assert same_bits(fitted.weight_, ridge.weight_)
    assert same_bits(fitted.transform(X), ridge.transform(X))
    assert fitted.epoch_ == 0
    assert fitted.widths_.size == fitted.parameters_.size == 0


@pytest.mark.parametrize("kind", [ResidualMLP, ReverseQuery, Forward])
def test_training_that_does_not_help_leaves_ridge(kind):
    X, _ = curved()
    Y = X @ np.random.default_rng(5).normal(size=(6, 4)).astype(np.float32)
    fitted = kind(hidden=(16,), rate=10.0).fit(X, Y)
    assert same_bits(fitted.transform(X), Ridge().fit(X, Y).transform(X))
    assert fitted.epoch_ == 0
    assert len(fitted.losses_) == 9  # the closed form, and eight epochs of patience
    assert fitted.losses_[1:].min() > fitted.losses_[0]


@pytest.mark.parametrize("kind", [ResidualMLP, ReverseQuery, Forward, FastFill])
def test_training_helps_where_the_map_is_curved(kind):
    X, Y = curved(2000)
    fresh, truth = curved(500, seed=1)
    fitted = kind(hidden=(64,), rate=1e-2).fit(X, Y)
    ridge = error(Ridge(criterion="squared").fit(X, Y).transform(fresh), truth)
    assert error(fitted.transform(fresh), truth) < 0.25 * ridge
    assert fitted.epoch_ == np.argmin(fitted.losses_) > 0


def test_losses_start_at_that_of_ridge_and_are_relative():
    X, Y = curved()
    fitted = ResidualMLP(epochs=0, held_out=0.3, seed=2).fit(X, Y)
    held = np.sort(np.random.default_rng(2).permutation(600)[:180])
    rest = np.setdiff1d(np.arange(600), held)
    ridge = Ridge(seed=2).fit(X[rest], Y[rest])
    spread = np.sum(np.var(Y[rest].astype(np.float64), axis=0))
    expected = error(ridge.transform(X[held]), Y[held]) / spread
    np.testing.assert_allclose(fitted.losses_, [expected], rtol=1e-5)


@pytest.mark.parametrize("kind", LEARNED)
def test_the_map_is_that_of_a_slow_forward_pass(kind):
    X, Y = curved(300)
    fitted = kind(**{**SMALL, "hidden": (7, 9)}).fit(X, Y)
    assert fitted.widths_.tolist() == [6, 7, 9, 5]
    layers = unpack(fitted.widths_, fitted.parameters_)
    for row, got in zip(X[:20].astype(np.float64), fitted.transform(X[:20]), strict=True):
        hidden = row
        for weight, bias in layers[:-1]:
            hidden = np.array(
                [max(0.0, hidden @ w + b) for w, b in zip(weight.T, bias, strict=True)]
            )
        net = hidden @ layers[-1][0] + layers[-1][1]
        np.testing.assert_allclose(got, row @ fitted.weight_ + fitted.bias_ + net, atol=1e-5)


def test_rows_are_mapped_alike_on_both_sides_of_a_block():
    X, Y = curved(5000)
    fitted = ResidualMLP(**{**SMALL, "epochs": 1}).fit(X, Y)
    parts = np.concatenate([fitted.transform(X[a : a + 700]) for a in range(0, 5000, 700)])
    np.testing.assert_allclose(fitted.transform(X), parts, atol=1e-5)


def test_packing_is_undone():
    rng = np.random.default_rng(0)
    chain = [(rng.normal(size=(3, 4)), rng.normal(size=4)), (rng.normal(size=(4, 2)), np.ones(2))]
    for (weight, bias), (other, shift) in zip(chain, unpack(*pack(chain)), strict=True):
        np.testing.assert_array_equal(weight, other)
        np.testing.assert_array_equal(bias, shift)


@pytest.mark.parametrize("kind", LEARNED)
def test_the_seed_decides_every_bit(kind):
    X, Y = curved(200)
    first, second, other = (kind(**SMALL, seed=seed).fit(X, Y) for seed in (1, 1, 2))
    for name, value in first.get_state().items():
        assert same_bits(value, second.get_state()[name])
    assert not same_bits(first.parameters_, other.parameters_)


def test_torch_is_left_as_it_was():
    import torch

    X, Y = curved(200)
    state = torch.get_rng_state()
    with torch.no_grad():
        quiet = ResidualMLP(**SMALL).fit(X, Y)
        assert not torch.is_grad_enabled()
    assert torch.equal(state, torch.get_rng_state())
    assert same_bits(quiet.parameters_, ResidualMLP(**SMALL).fit(X, Y).parameters_)


def test_the_unit_of_length_does_not_matter():
    X, Y = curved(300)
    small, large = ResidualMLP(**SMALL).fit(X, Y), ResidualMLP(**SMALL).fit(64 * X, 32 * Y)
    assert small.epoch_ == large.epoch_ > 0
    np.testing.assert_allclose(32 * small.transform(X), large.transform(64 * X), atol=1e-3)


@pytest.mark.parametrize("epochs", [0, 5])
@pytest.mark.parametrize("kind", LEARNED)
def test_a_bridge_is_saved_and_loaded_bit_for_bit(kind, epochs, tmp_path):
    X, Y = curved(120)
    rows, targets = as_vectors(X, Space("a", 6), "t"), as_vectors(Y, Space("b", 5), "t")
    bridge = Bridge.fit(kind(**{**SMALL, "epochs": epochs}), rows, targets)
    bridge.save(tmp_path / "b")
    again = Bridge.load(tmp_path / "b")
    assert same_bits(again.transform(rows).array, bridge.transform(rows).array)
    state = bridge.aligner.get_state()
    assert all(same_bits(value, state[name]) for name, value in again.aligner.get_state().items())
    assert again.aligner.get_params() == bridge.aligner.get_params()
    with pytest.raises(NotInvertible, match="cannot be undone"):
        again.inverse()


def test_parameters_of_other_layers_are_refused():
    X, Y = curved(100)
    fitted = ResidualMLP(**SMALL).fit(X, Y)
    state = fitted.get_state()
    with pytest.raises(InvalidInput, match="parameters for layers of"):
        ResidualMLP().set_state(state | {"parameters_": state["parameters_"][:-1]})
    with pytest.raises(InvalidInput, match="arrays that do not fit"):
        ResidualMLP().set_state(state | {"widths_": np.array([6, 5])})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"hidden": (0,)}, "hidden as widths from 1"),
        ({"hidden": 8}, "hidden as widths from 1"),
        ({"hidden": (2.5,)}, "hidden as widths from 1"),
        ({"epochs": -1}, "epochs as an integer from 0"),
        ({"batch": 1}, "batch as an integer from 2"),
        ({"rate": 0.0}, "a positive rate"),
        ({"rate": np.nan}, "a positive rate"),
        ({"held_out": 1.0}, "held_out between 0 and 1"),
    ],
)
def test_unusable_arguments_are_refused_when_fitted(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        ResidualMLP(**arguments).fit(*curved(40))


@pytest.mark.parametrize("kind", LEARNED)
def test_a_handful_of_pairs_is_refused(kind):
    with pytest.raises(NotEnoughPairs, match=r"at least 10 pairs, got 9\. .* use Ridge"):
        kind().fit(*curved(9))


def test_no_hidden_layer_is_a_linear_map():
    X, Y = curved(200)
    fitted = ResidualMLP(hidden=(), epochs=3).fit(X, Y)
    middle = fitted.transform((X[:50] + X[50:100]) / 2)
    np.testing.assert_allclose(
        middle, (fitted.transform(X[:50]) + fitted.transform(X[50:100])) / 2, atol=1e-4
    )


def test_fitting_without_torch_says_what_to_install(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "torch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'holdfast\[train\]'"):
        ResidualMLP().fit(*curved(40))


SERVE = """
import sys
import numpy as np
from holdfast.align.bridge import Bridge
from holdfast.arrays import as_vectors
bridge = Bridge.load(sys.argv[1])
rows = as_vectors(np.load(sys.argv[2]), bridge.origin, "t")
np.save(sys.argv[3], bridge.transform(rows).array)
assert "torch" not in sys.modules
"""


def test_serving_needs_no_torch(tmp_path):
    X, Y = curved(120)
    rows, targets = as_vectors(X, Space("a", 6), "t"), as_vectors(Y, Space("b", 5), "t")
    bridge = Bridge.fit(MetricCompatible(**SMALL, head=True), rows, targets)
    assert bridge.aligner.epoch_ > 0
    bridge.save(tmp_path / "b")
    np.save(tmp_path / "x.npy", X)
    paths = [str(tmp_path / name) for name in ("b", "x.npy", "y.npy")]
    command = [sys.executable, "-c", SERVE, *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), bridge.transform(rows).array)
