"""Transfer: what a straight map carries, against cases where the truth is known."""

import numpy as np
import pytest

from holdfast.arrays import as_vectors
from holdfast.errors import InvalidInput
from holdfast.measure.diagnose.transfer import transfer
from holdfast.space import Space

OLD, NEW = Space("old", 8, "dot"), Space("new", 12, "dot")
RNG = np.random.default_rng(0)
X = as_vectors(RNG.normal(size=(1_000, 8)), OLD, "test")


def of(rows):
    return as_vectors(rows, Space("new", rows.shape[1], "dot"), "test")


def test_a_straight_function_of_the_old_vectors_is_carried_whole():
    found = transfer(X, of(X.array @ RNG.normal(size=(8, 12)) + 3.0))
    assert found.there.value == pytest.approx(1.0, abs=1e-4)
    assert found.back.value == pytest.approx(1.0, abs=1e-4)
    assert found.profile == pytest.approx(1.0, abs=1e-3)
    assert len(found.profile) == 8  # of twelve; along the others nothing differs


def test_a_space_without_any_spread_has_no_profile():
    found = transfer(X, of(np.ones((1_000, 12))))
    assert found.profile.size == 0
    assert found.fall == 0.0
    assert len(found.findings()) == 2


def test_independent_noise_is_not_carried():
    found = transfer(X, of(RNG.normal(size=(1_000, 12))))
    assert abs(found.there.value) < 0.03
    assert np.abs(found.profile).max() < 0.05
    assert found.there.low <= found.there.value <= found.there.high


def test_the_share_of_variance_that_is_carried_is_told():
    rows = np.hstack([2.0 * X.array[:, :4], RNG.normal(size=(1_000, 4))])
    found = transfer(X, of(rows))
    assert found.there.value == pytest.approx(16 / 20, abs=0.03)  # 4 x 2^2 of 4 x 2^2 + 4
    assert found.profile[:4] == pytest.approx(1.0, abs=1e-3)  # the large ones are the known ones
    assert found.fall < -0.8
    assert found.back.value == pytest.approx(0.5, abs=0.03)


def test_few_pairs_a_dimension_are_said_to_be_few():
    few = transfer(X.take(slice(0, 30)), of(X.array[:30] @ RNG.normal(size=(8, 12))))
    assert few.thin
    there, back = few.findings()
    assert "pairs a dimension are few" in there.note
    assert (there.metric, back.metric) == ("R2 of new from old", "R2 of old from new")
    assert not transfer(X, X).thin


def test_pairs_must_pair():
    with pytest.raises(InvalidInput, match="999"):
        transfer(X.take(slice(0, 999)), X)
