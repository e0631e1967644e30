"""Ways over versions: products of linear maps, and refitted legs against composed ones."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.align import lineage
from holdfast.align.bridge import Bridge
from holdfast.align.lineage import Lineage, Version, compose, lead
from holdfast.align.linear import Ridge
from holdfast.align.orthogonal import Orthogonal
from holdfast.align.procrustes import Procrustes
from holdfast.arrays import as_vectors
from holdfast.errors import DuplicateIds, InvalidInput, NotEnoughPairs, WrongDirection
from holdfast.space import Space

DIM = 16


def world(seed=0, noise=0.6, metric="cosine", count=2000, versions=3):
    """Models of the same hidden points, each with noise of its own; the middle one is poor."""
    rng = np.random.default_rng(seed)
    hidden = rng.normal(size=(count, DIM)) * np.geomspace(1.0, 0.3, DIM)
    out = []
    for i in range(versions):
        turn = np.linalg.qr(rng.normal(size=(DIM, DIM)))[0] * np.geomspace(1.0, 3.0, DIM)
        own = noise * (2.0 if 0 < i < versions - 1 else 0.5) * hidden.std()
        rows = hidden @ turn + own * rng.normal(size=(count, DIM))
        out.append(as_vectors(rows, Space(f"v{i + 1}", DIM, metric), "test"))
    return out


def version(vectors, rows):
    return Version([f"i{row}" for row in rows], vectors.take(np.asarray(rows)))


def known(spaces, both):
    """v1 and v2 of 500 items, v2 and v3 of 400 others, `both` of the first in v3 as well."""
    first, second, third = spaces
    return [
        version(first, range(500)),
        version(second, range(900)),
        version(third, [*range(both), *range(500, 900)]),
    ]


def cosine(way, spaces):
    """On items that nobody was fitted on."""
    tests = np.arange(1000, 2000)
    mapped, truth = way.transform(spaces[0].take(tests)), spaces[-1].take(tests)
    return float(np.mean(np.sum(mapped.array * truth.array, axis=1)))


@pytest.mark.parametrize("aligner", [Procrustes(), Ridge(), Orthogonal()], ids=repr)
def test_legs_of_linear_maps_are_their_product(aligner):
    spaces = world(metric="dot")
    way = compose(known(spaces, 0), aligner)
    one, two = (leg.aligner for leg in way.legs)
    weight = one.weight_.astype(np.float64) @ two.weight_
    bias = one.bias_ @ two.weight_.astype(np.float64) + two.bias_
    expected = spaces[0].array @ weight + bias
    np.testing.assert_allclose(way.transform(spaces[0]).array, expected, atol=1e-4)
    assert (way.origin, way.target) == (spaces[0].space, spaces[2].space)


def test_composed_legs_are_bridges_of_their_own_pairs():
    spaces = world()
    first, second, third = spaces
    way = compose(known(spaces, 0), Ridge())
    alone = (
        Bridge.fit(Ridge(), first.take(slice(500)), second.take(slice(500))),
        Bridge.fit(Ridge(), second.take(slice(500, 900)), third.take(slice(500, 900))),
    )
    for leg, bridge in zip(way.legs, alone, strict=True):
        assert leg.aligner.weight_.tobytes() == bridge.aligner.weight_.tobytes()
        assert leg.evidence == bridge.evidence


@pytest.mark.parametrize("aligner", [Ridge(), Orthogonal()], ids=repr)
def test_a_refitted_leg_beats_a_composed_one_on_a_noisy_chain(aligner):
    gains = []
    for seed in range(6):
        spaces = world(seed)
        versions = known(spaces, both=70)
        refitted, composed = lead(versions, aligner), compose(versions, aligner)
        assert len(refitted.legs) == len(composed.legs) == 2
        gains.append(cosine(refitted, spaces) - cosine(composed, spaces))
    assert min(gains) > 0.0
    assert np.mean(gains) > 0.004


def test_the_second_leg_sees_what_the_first_answers_for_items_it_was_not_fitted_on():
    seen = []

    class Watching(Ridge):
        def _fit(self, X, Y, y):
            seen.append((X, Y))
            super()._fit(X, Y, y)

    spaces = world()
    way = lead(known(spaces, both=70), Watching())
    X, Y = seen[-1]  # the last fit is on all pairs of the last leg
    assert X.shape == (470, DIM)
    np.testing.assert_array_equal(Y[:70], spaces[2].array[:70])
    np.testing.assert_array_equal(X[70:], spaces[1].array[500:900])
    inside = way.legs[0].transform(spaces[0].take(slice(70))).array
    assert np.abs(X[:70] - inside).max() > 1e-4  # not by the leg that was fitted on them
    np.testing.assert_allclose(np.sum(X[:70] * inside, axis=1), 1.0, atol=0.02)


def test_enough_shared_items_lead_directly():
    spaces = world()
    versions = known(spaces, both=200)
    way = lead(versions, Ridge())
    assert len(way.legs) == 1
    direct = Bridge.fit(Ridge(), spaces[0].take(slice(200)), spaces[2].take(slice(200)))
    assert way.legs[0].aligner.weight_.tobytes() == direct.aligner.weight_.tobytes()
    assert cosine(way, spaces) > cosine(compose(versions, Ridge()), spaces) + 0.01
    assert len(lead(versions, Ridge(), enough=201).legs) == 2


def test_nothing_shared_leaves_the_legs_as_they_are():
    spaces = world()
    way, composed = (f(known(spaces, 0), Ridge()) for f in (lead, compose))
    np.testing.assert_array_equal(
        way.transform(spaces[0]).array, composed.transform(spaces[0]).array
    )


def test_four_versions_are_led_through_as_far_as_needed():
    spaces = world(versions=4)
    rows = (range(500), range(600), range(400, 1000), [*range(55), *range(600, 1000)])
    versions = [version(space, some) for space, some in zip(spaces, rows, strict=True)]
    way = lead(versions, Ridge())
    assert [leg.target.name for leg in way.legs] == ["v3", "v4"]  # 100 items in v1 and v3
    assert cosine(way, spaces) > cosine(compose(versions, Ridge()), spaces)


def test_items_that_are_answered_for_are_in_no_version_of_the_legs(monkeypatch):
    seen = []

    def spied(versions, *given):
        seen.append(versions)
        return lead(versions, *given)

    monkeypatch.setattr(lineage, "lead", spied)
    parts = [
        range(500),
        range(1000),
        [*range(70), *range(500, 1000)],
        [*range(60), *range(500, 900)],
    ]
    versions = [version(rows, part) for rows, part in zip(world(versions=4), parts, strict=True)]
    lead(versions, Ridge())
    answered = [set(versions[0].ids) - set(part[0].ids) for part in seen]
    assert set().union(*answered) >= set(versions[-1].ids[:60])
    for gone, part in zip(answered, seen, strict=True):
        for one in part:
            assert gone.isdisjoint(one.ids)


def test_unusable_questions_are_refused():
    spaces = world()
    first, second, third = known(spaces, 0)
    with pytest.raises(InvalidInput, match="two versions or more"):
        lead([first], Ridge())
    with pytest.raises(NotEnoughPairs, match="items in both v1 and v2, got 49"):
        lead([first.take(np.arange(49)), second, third], Ridge())
    with pytest.raises(NotEnoughPairs, match="items in both v1 and v3, got 0"):
        compose([first, third], Ridge())
    with pytest.raises(DuplicateIds):
        Version(["a", "a"], spaces[0].take([0, 1]))
    with pytest.raises(InvalidInput, match="2 ids, one per row"):
        Version(["a"], spaces[0].take([0, 1]))
    legs = compose([first, second, third], Ridge()).legs
    with pytest.raises(InvalidInput, match="a bridge from v3 after the bridge from v2 to v3"):
        Lineage(legs[::-1])
    with pytest.raises(InvalidInput, match="at least one"):
        Lineage(())
    with pytest.raises(WrongDirection):
        Lineage(legs[1:]).transform(spaces[2])


def test_without_a_pair_to_spare_the_legs_stay_as_they_are():
    """Fifty items lead from the first to the second; without a fold of them none would."""
    first, second, third = world()
    versions = [
        version(first, range(50)),
        version(second, range(300)),
        version(third, range(40, 300)),
    ]
    way, plain = lead(versions, Procrustes()), compose(versions, Procrustes())
    asked = first.take(np.arange(1000, 1100))
    np.testing.assert_array_equal(way.transform(asked).array, plain.transform(asked).array)
