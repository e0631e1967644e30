"""The projection against its closed form, a slow forward pass, and torch's own layers."""

from __future__ import annotations

import math

import numpy as np
import pytest

from holdfast.align.bridge import Bridge
from holdfast.align.procrustes import Procrustes
from holdfast.align.projection import Projection
from holdfast.arrays import as_vectors, unit_rows
from holdfast.errors import InvalidInput
from holdfast.space import Space

torch = pytest.importorskip("torch", reason="needs holdfast[train]")


def rows(count=400, wide=12, narrow=7, seed=0):
    """Paired unit rows whose map is a rotation that is bent a little."""
    rng = np.random.default_rng(seed)
    X = unit_rows(rng.normal(size=(count, wide)).astype(np.float32))
    turn = np.linalg.qr(rng.normal(size=(max(wide, narrow),) * 2))[0][:wide, :narrow]
    bent = X @ turn + 0.3 * np.abs(X @ rng.normal(size=(wide, narrow)))
    return X, unit_rows(bent.astype(np.float32))


@pytest.mark.parametrize(("wide", "narrow"), [(12, 7), (7, 12), (9, 9)])
def test_before_training_it_is_procrustes_to_a_millionth(wide, narrow):
    X, Y = rows(wide=wide, narrow=narrow)
    start = Projection(epochs=0).fit(X, Y)
    turned = X @ Procrustes(center=False).fit(X, Y).weight_
    np.testing.assert_allclose(unit_rows(start.transform(X)), unit_rows(turned), atol=1e-6)
    few = np.eye(min(wide, narrow))
    kept = start.weight_ @ start.weight_.T if wide <= narrow else start.weight_.T @ start.weight_
    np.testing.assert_allclose(kept, few, atol=1e-5)


@pytest.mark.parametrize(("wide", "narrow"), [(12, 12), (7, 12)])
def test_a_planted_rotation_is_found_from_as_many_rows_as_dimensions(wide, narrow):
    rng = np.random.default_rng(1)
    X = unit_rows(rng.normal(size=(wide, wide)).astype(np.float32))
    turn = np.linalg.qr(rng.normal(size=(narrow, narrow)))[0][:wide]
    found = Projection(epochs=0).fit(X, X @ turn)
    np.testing.assert_allclose(found.weight_, turn, atol=1e-5)


def test_serving_is_the_formula_and_what_torch_trained():
    X, Y = rows()
    fitted = Projection(epochs=3, seed=1).fit(X, Y)
    slow = np.zeros((len(X), 7))
    for i, x in enumerate(X.astype(np.float64)):
        hidden = x @ fitted.inner_ + fitted.inner_bias_
        bent = np.array([0.5 * h * (1.0 + math.erf(h / math.sqrt(2.0))) for h in hidden])
        slow[i] = x @ fitted.weight_ + fitted.bias_ + bent @ fitted.outer_
    np.testing.assert_allclose(fitted.transform(X), slow, atol=1e-6)
    inner = torch.nn.Linear(12, 24)
    with torch.no_grad():
        inner.weight.copy_(torch.from_numpy(fitted.inner_.T))
        inner.bias.copy_(torch.from_numpy(fitted.inner_bias_))
        bent = torch.nn.GELU()(inner(torch.from_numpy(X))) @ torch.from_numpy(fitted.outer_).float()
    plain = X @ fitted.weight_ + fitted.bias_
    np.testing.assert_allclose(fitted.transform(X), plain + bent.numpy(), atol=1e-5)


def test_training_improves_on_the_rotation_on_rows_it_has_not_seen():
    X, Y = rows(1200)
    cosine = [
        np.mean(
            np.sum(
                unit_rows(Projection(epochs=e).fit(X[:900], Y[:900]).transform(X[900:])) * Y[900:],
                1,
            )
        )
        for e in (0, 60)
    ]
    assert cosine[1] > cosine[0] + 0.01


def test_noise_has_the_length_asked_for_in_every_dimension():
    rng = np.random.default_rng(0)
    for wide in (8, 512):
        X = 3.0 * unit_rows(rng.normal(size=(2000, wide)).astype(np.float32))
        moved = Projection(noise=0.5)._disturbed(X, np.random.default_rng(1))
        lengths = np.linalg.norm(moved, axis=1)
        np.testing.assert_allclose(lengths, 3.0, atol=1e-5)  # scaled back afterwards
        tangent = 1.0 / np.sqrt(1.0 + 0.25)
        assert np.mean(np.sum(moved * X, axis=1)) / 9.0 == pytest.approx(tangent, abs=0.03)
    same = Projection(noise=0.0)._disturbed(X, rng)
    assert same is X


def test_one_seed_gives_one_map_and_torchs_generator_is_left_alone():
    X, Y = rows()
    before = torch.get_rng_state()
    a, b, c = (Projection(epochs=2, seed=s).fit(X, Y).get_state() for s in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(np.array_equal(a[name], b[name]) for name in a)
    assert not np.array_equal(a["outer_"], c["outer_"])


def test_the_learning_rate_ends_at_zero():
    X, Y = rows(64)
    long = Projection(epochs=40, batch=64, noise=0.0).fit(X, Y)
    assert abs(long.losses_[-1] - long.losses_[-2]) < 1e-3 < long.losses_[0] - long.losses_[-1]


def test_a_bridge_of_it_is_saved_and_loaded_bit_for_bit(tmp_path):
    X, Y = rows()
    old, new = Space("old", 7), Space("new", 12)
    pairs = as_vectors(X, new, "test"), as_vectors(Y, old, "test")
    bridge = Bridge.fit(Projection(epochs=2), *pairs)
    bridge.save(tmp_path / "b.safetensors")
    again = Bridge.load(tmp_path / "b.safetensors")
    assert np.array_equal(again.transform(pairs[0]).array, bridge.transform(pairs[0]).array)


@pytest.mark.parametrize(
    "wrong",
    [{"noise": -0.1}, {"epochs": 1.5}, {"batch": 1}, {"rate": 0.0}, {"temperature": 0.0}],
)
def test_arguments_that_make_no_sense_are_refused(wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        Projection(**wrong).fit(*rows())


def test_a_training_that_goes_astray_is_refused_and_forgets_nothing():
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    made = Projection(epochs=1).fit(x, x)
    before = made.transform(x)
    with pytest.raises(InvalidInput, match=r"Projection: expected finite weights.*Lower the rate"):
        made.set_params(epochs=4, rate=1e30).fit(x, x)
    assert np.array_equal(made.transform(x), before)
