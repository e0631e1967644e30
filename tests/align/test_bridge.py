"""Bridges: typed direction, honest evidence, refusals, files."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.base import clone

from holdfast import artifact
from holdfast.align.bridge import Bridge
from holdfast.align.linear import Ridge
from holdfast.align.pairs import held_out_rows, rest_of
from holdfast.align.procrustes import Procrustes
from holdfast.arrays import Vectors, as_vectors
from holdfast.errors import (
    ArtifactError,
    DimensionMismatch,
    InvalidInput,
    NotEnoughPairs,
    NotFinite,
    NotFitted,
    NotInvertible,
    WrongDirection,
    WrongSpace,
    ZeroVector,
)
from holdfast.space import Space, relation

OLD, NEW, THIRD = Space("old@1", 8), Space("new@1", 12), Space("third@1", 8)


def pairs(count=300, noise=0.3, seed=0, old=OLD, new=NEW):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(count, old.dim))
    Y = X @ rng.normal(size=(old.dim, new.dim)) + noise * rng.normal(size=(count, new.dim))
    return as_vectors(X, old, "test"), as_vectors(Y, new, "test")


@pytest.fixture(scope="module")
def bridge():
    return Bridge.fit(Procrustes(), *pairs())


def cosines(a, b):
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    return np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_the_map_is_fitted_on_all_pairs_and_normalised():
    X, Y = pairs()
    mapped = Bridge.fit(Ridge(), X, Y).transform(X)
    raw = Ridge().fit(X.array, Y.array).transform(X.array).astype(np.float64)
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(mapped.array, expected, atol=1e-6)
    assert mapped.space is NEW


def test_vectors_made_by_hand_are_fitted_as_those_that_were_checked():
    X, Y = pairs()
    lengths = np.random.default_rng(1).uniform(0.2, 5.0, size=(len(X), 1))
    by_hand = Vectors(OLD, X.array * lengths), Vectors(NEW, Y.array / lengths)
    asked, bridge = X.take(slice(0, 9)), Bridge.fit(Ridge(), X, Y)
    other = Bridge.fit(Ridge(), *by_hand)
    got, expected = other.transform(asked).array, bridge.transform(asked).array
    np.testing.assert_allclose(got, expected, atol=1e-5)
    assert other.evidence["cosine"].value == pytest.approx(bridge.evidence["cosine"].value)


def test_lengths_are_kept_where_the_metric_is_not_cosine():
    dot = Space("dot@1", 12, "dot")
    X, Y = pairs(new=dot)
    raw = Ridge().fit(X.array, Y.array).transform(X.array)
    np.testing.assert_array_equal(Bridge.fit(Ridge(), X, Y).transform(X).array, raw)


@pytest.mark.parametrize("aligner", [Procrustes(), Ridge()], ids=repr)
def test_evidence_is_measured_on_pairs_that_were_not_fitted(aligner):
    X, Y = pairs(seed=4)
    evidence = Bridge.fit(aligner, X, Y, held_out=0.3, seed=7).evidence
    held = held_out_rows(300, 0.3, 7, 5000, "test")
    rest = rest_of(300, held)
    part = clone(aligner).fit(X.array[rest], Y.array[rest])
    mapped, truth = part.transform(X.array[held]).astype(np.float64), Y.array[held]
    mapped /= np.linalg.norm(mapped, axis=1, keepdims=True)
    assert evidence["cosine"].value == pytest.approx(np.mean(cosines(mapped, truth)), abs=1e-6)
    table = mapped @ truth.T
    for scores, name in ((table, "R@{}"), (table.T, "R@{} gallery")):
        places = np.array([(row > row[i]).sum() for i, row in enumerate(scores)])
        assert evidence[name.format(1)].value == pytest.approx(np.mean(places < 1), abs=1e-9)
        assert evidence[name.format(10)].value == pytest.approx(np.mean(places < 10), abs=1e-9)
    assert evidence["cosine"].low < evidence["cosine"].value < evidence["cosine"].high
    assert (evidence.pairs, evidence.held_out) == (300, 90)


def test_pairs_without_a_relation_earn_no_more_than_chance():
    X, _ = pairs(60, seed=1)
    _, Y = pairs(60, seed=2)
    bridge = Bridge.fit(Ridge(grid=[1e-6]), X, Y, held_out=0.5)
    assert abs(bridge.evidence["cosine"].value) < 0.15
    assert bridge.evidence["R@10"].low < 10 / 30 < bridge.evidence["R@10"].high
    assert cosines(bridge.transform(X), Y).mean() > 0.3  # the pairs it saw would flatter it


def test_baselines_stand_beside_the_evidence():
    X, Y = pairs()
    ridge, plain = Bridge.fit(Ridge(), X, Y).evidence, Bridge.fit(Procrustes(), X, Y).evidence
    assert set(plain.baselines) == {"mean", "as is"}
    assert set(ridge.baselines) == {"mean", "as is", "procrustes"}
    assert ridge.baselines["procrustes"] == plain.figures
    held = held_out_rows(300, 0.2, 0, 5000, "test")
    mean = Y.array[rest_of(300, held)].mean(axis=0)
    expected = cosines(np.tile(mean, (60, 1)), Y.array[held]).mean()
    assert ridge.baselines["mean"]["cosine"].value == pytest.approx(expected, abs=1e-6)


def test_thin_pairs_are_flagged():
    few, enough = Bridge.fit(Procrustes(), *pairs(59)), Bridge.fit(Procrustes(), *pairs(40 * 8))
    assert not few.evidence.thin
    assert few.back.thin  # 59 pairs for the 12 dimensions of the way back
    assert not enough.back.thin


def test_the_aligner_passed_in_stays_unfitted():
    mine = Procrustes()
    Bridge.fit(mine, *pairs())
    with pytest.raises(NotFitted):
        mine.transform(np.ones((1, 8)))


def test_labels_reach_the_aligner_with_their_rows():
    seen = []

    class Watching(Procrustes):
        def _fit(self, X, Y, y):
            seen.append((X.copy(), y.copy()))
            super()._fit(X, Y, y)

    X, Y = pairs()
    Bridge.fit(Watching(), X, Y, y=np.arange(300))
    assert [len(y) for _, y in seen] == [240, 300]
    for rows, labels in seen:
        np.testing.assert_array_equal(rows, X.array[labels])
    with pytest.raises(InvalidInput, match="300 labels, one per pair"):
        Bridge.fit(Watching(), X, Y, y=np.arange(299))


def test_a_bridge_relates_two_spaces_in_one_direction(bridge):
    assert relation(OLD, NEW, [bridge]) == "mapped"
    assert relation(NEW, OLD, [bridge]) == "unrelated"
    assert relation(NEW, OLD, [bridge.inverse()]) == "mapped"


def test_vectors_of_the_target_are_refused_with_the_way_out(bridge):
    _, Y = pairs()
    message = r"leads from old@1 to new@1; fit one from new@1 to old@1 or use \.inverse\(\)"
    with pytest.raises(WrongDirection, match=message):
        bridge.transform(Y)


def test_vectors_of_a_third_space_are_refused_by_name(bridge):
    stranger = as_vectors(np.eye(8), THIRD, "test")
    with pytest.raises(WrongSpace, match=r"vectors of old@1 .* got vectors of third@1") as caught:
        bridge.transform(stranger)
    assert not isinstance(caught.value, WrongDirection)


def test_plain_rows_count_as_rows_of_the_origin(bridge):
    X, _ = pairs()
    np.testing.assert_array_equal(bridge.transform(X.array).array, bridge.transform(X).array)
    with pytest.raises(ZeroVector):
        bridge.transform(np.zeros((1, 8)))


def test_the_way_back_leads_back_with_its_own_evidence(bridge):
    X, Y = pairs()
    back = bridge.inverse()
    assert (back.origin, back.target) == (NEW, OLD)
    raw = Procrustes().fit(X.array, Y.array).inverse_transform(Y.array)
    np.testing.assert_allclose(cosines(back.transform(Y), raw), 1.0, atol=1e-6)
    held = held_out_rows(300, 0.2, 0, 5000, "test")
    rest = rest_of(300, held)
    part = Procrustes().fit(X.array[rest], Y.array[rest])
    expected = cosines(part.inverse_transform(Y.array[held]), X.array[held]).mean()
    assert back.evidence["cosine"].value == pytest.approx(expected, abs=1e-6)
    assert back.evidence["cosine"].value != bridge.evidence["cosine"].value
    assert back.inverse().evidence == bridge.evidence


def test_a_ridge_bridge_has_no_way_back():
    with pytest.raises(NotInvertible, match=r"shrinks what it cannot predict.*X and Y exchanged"):
        Bridge.fit(Ridge(), *pairs()).inverse()


def test_a_way_back_that_was_never_measured_is_refused(bridge):
    bare = Bridge(bridge.aligner, OLD, NEW, bridge.evidence)
    with pytest.raises(NotInvertible, match="evidence about the way back, got none"):
        bare.inverse()


def test_too_few_or_unequal_pairs_are_refused():
    X, Y = pairs(49)
    with pytest.raises(NotEnoughPairs, match=r"at least 50 pairs, got 49\. Encode more items.* 40"):
        Bridge.fit(Procrustes(), X, Y)
    X, Y = pairs(80)
    with pytest.raises(InvalidInput, match="80 in X and 79 in Y"):
        Bridge.fit(Procrustes(), X, Y.take(slice(79)))
    with pytest.raises(InvalidInput, match="Y as Vectors"):
        Bridge.fit(Procrustes(), X, Y.array)
    with pytest.raises(InvalidInput, match="two different spaces"):
        Bridge.fit(Procrustes(), X, X)
    with pytest.raises(InvalidInput, match="held_out between 0 and 1"):
        Bridge.fit(Procrustes(), X, Y, held_out=1.5)
    assert Bridge.fit(Procrustes(), *pairs(50)).evidence.held_out == 10


def test_an_aligner_that_does_not_fit_the_spaces_is_refused(bridge):
    with pytest.raises(InvalidInput, match="from 12 to 8 dimensions, got one from 8 to 12"):
        Bridge(bridge.aligner, NEW, OLD, bridge.evidence)
    with pytest.raises(NotFitted):
        Bridge(Procrustes(), OLD, NEW, bridge.evidence)


@pytest.mark.parametrize(
    "aligner", [Procrustes(), Procrustes(False, True), Ridge((0.1, 1.0), seed=3)], ids=repr
)
def test_a_saved_bridge_is_loaded_bit_for_bit(tmp_path, aligner):
    X, Y = pairs()
    bridge = Bridge.fit(aligner, X, Y)
    bridge.save(tmp_path / "b.safetensors")
    again = Bridge.load(tmp_path / "b.safetensors")
    assert again.transform(X).array.tobytes() == bridge.transform(X).array.tobytes()
    assert (again.origin, again.target, again.evidence, again.back) == (
        bridge.origin,
        bridge.target,
        bridge.evidence,
        bridge.back,
    )
    assert again.origin.name == "old@1"
    assert again.aligner.get_params() == aligner.get_params()
    state, other = bridge.aligner.get_state(), again.aligner.get_state()
    assert {n: (a.dtype, a.tobytes()) for n, a in state.items()} == {
        n: (a.dtype, a.tobytes()) for n, a in other.items()
    }


def test_arguments_are_saved_as_plain_values_or_refused(tmp_path):
    X, Y = pairs()
    for grid in (np.array([0.1, 1.0]), [np.float64(0.1), 1.0]):
        Bridge.fit(Ridge(grid=grid), X, Y).save(tmp_path / "b")
        assert Bridge.load(tmp_path / "b").aligner.grid == (0.1, 1.0)
    odd = Bridge.fit(Procrustes(center=object()), X, Y)
    with pytest.raises(InvalidInput, match=r"procrustes\.center: expected .* got object"):
        odd.save(tmp_path / "odd")
    assert not (tmp_path / "odd").exists()


class Own(Procrustes):
    name = "own"


def test_an_aligner_of_ones_own_is_named_when_loading(tmp_path):
    X, Y = pairs()
    bridge = Bridge.fit(Own(), X, Y)
    bridge.save(tmp_path / "b")
    with pytest.raises(ArtifactError, match=r"got InvalidInput: aligner: .* got 'own'"):
        Bridge.load(tmp_path / "b")
    again = Bridge.load(tmp_path / "b", aligners={"own": Own})
    assert again.transform(X).array.tobytes() == bridge.transform(X).array.tobytes()


def spoil(bridge, path, **changes):
    """Save a bridge whose description was changed."""
    bridge.save(path)
    file = artifact.load(path, "bridge")
    meta = {**json.loads(json.dumps(file.meta)), **changes}
    artifact.save(path, artifact.Artifact("bridge", file.arrays, meta))


@pytest.mark.parametrize(
    "changes",
    [
        {"aligner": "magic"},
        {"aligner": "ridge"},
        {"aligner": ["procrustes"]},
        {"params": {"centre": True}},
        {"params": None},
        {"origin": {"name": "old", "dim": 8, "metric": "taste"}},
        {"origin": {"name": "old", "dim": 8, "colour": "red"}},
        {"origin": {"name": "old", "dim": 9}},
        {"origin": {"name": "old", "dim": "eight"}},
        {"target": "new"},
        {"target": OLD.to_json()},
        {"evidence": {}},
        {"evidence": None},
    ],
    ids=str,
)
def test_a_file_that_makes_no_sense_is_refused(bridge, tmp_path, changes):
    spoil(bridge, tmp_path / "b", **changes)
    with pytest.raises(ArtifactError, match=r"b: expected a bridge that .* Fit it again"):
        Bridge.load(tmp_path / "b")


def test_another_kind_of_file_is_refused(tmp_path):
    artifact.save(tmp_path / "r", artifact.Artifact("rotation", {"a": np.eye(2)}, {}))
    with pytest.raises(ArtifactError, match="a bridge, got a rotation"):
        Bridge.load(tmp_path / "r")


def test_vectors_are_left_as_they_were(bridge):
    X, _ = pairs()
    before = X.array.tobytes()
    frozen = Vectors(OLD, X.array.copy())
    frozen.array.flags.writeable = False
    mapped = bridge.transform(frozen)
    assert X.array.tobytes() == before
    np.testing.assert_allclose(np.linalg.norm(mapped.array, axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("metric", ["cosine", "dot"])
def test_blocks_answer_what_mapping_all_at_once_and_checking_then_would(monkeypatch, metric):
    target = Space(f"{metric}@1", 12, metric)
    X, Y = pairs(new=target)
    bridge = Bridge.fit(Ridge(), X, Y)
    whole = as_vectors(bridge.aligner.transform(X.array), target, "test").array
    assert bridge.transform(X).array.tobytes() == whole.tobytes()
    monkeypatch.setattr("holdfast.align.bridge.BLOCK", 64)
    np.testing.assert_allclose(bridge.transform(X).array, whole, atol=1e-6)


def test_a_row_that_maps_to_no_number_is_refused_with_its_place(monkeypatch):
    dot = Space("dot@1", 8, "dot")
    X = as_vectors(np.random.default_rng(0).normal(size=(60, 8)), dot, "test")
    bridge = Bridge.fit(Ridge(), X, pairs(60)[1])
    far = X.array.copy()
    far[[41, 57]] *= np.float32(1e38)
    monkeypatch.setattr("holdfast.align.bridge.BLOCK", 16)
    with np.errstate(over="ignore"), pytest.raises(NotFinite, match=r"in row 41 \(2 of 60 rows\)"):
        bridge.transform(Vectors(dot, far))
    nothing = as_vectors(np.zeros((0, 8)), dot, "test")
    assert bridge.transform(nothing).array.shape == (0, 12)


def test_an_aligner_that_answers_another_shape_is_refused(bridge):
    class Broken(Procrustes):
        def _map(self, X):
            return super()._map(X)[:, :1]

    aligner = Broken().fit(*(v.array for v in pairs()))
    broken = Bridge(aligner, OLD, NEW, bridge.evidence)
    with pytest.raises(DimensionMismatch):
        broken.transform(pairs()[0])
