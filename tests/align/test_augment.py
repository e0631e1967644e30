"""One index: new among new as the new model ranks, new among old as the bridge ranks."""

import numpy as np
import pytest

from holdfast.align.augment import Augment, Augmented
from holdfast.align.bridge import Bridge
from holdfast.align.linear import Ridge
from holdfast.align.procrustes import Procrustes
from holdfast.arrays import as_vectors
from holdfast.errors import InvalidInput, WrongSpace
from holdfast.space import Space, relation

OLD, NEW = Space("old", 8), Space("new", 20)


def vectors(space, count=120, seed=0):
    rows = np.random.default_rng(seed).normal(size=(count, space.dim))
    return as_vectors(rows, space, "test")


def pairs():
    new = vectors(NEW)
    turn = np.random.default_rng(1).normal(size=(NEW.dim, OLD.dim))
    return new, as_vectors(new.array @ turn, OLD, "test")


BRIDGES = {
    "rotation": lambda: Bridge.fit(Procrustes(center=False), *pairs()),
    "centred": lambda: Bridge.fit(Procrustes(), *pairs()),
    "linear": lambda: Bridge.fit(Ridge(), *pairs()),
}


@pytest.fixture(params=BRIDGES)
def augment(request):
    return Augment.of(BRIDGES[request.param]())


def test_new_among_new_loses_nothing(augment):
    asked, stored = vectors(NEW, 15, seed=3), vectors(NEW, 60, seed=4)
    own = asked.array @ stored.array.T
    one = augment.queries(asked).array @ augment.documents(stored).array.T
    factor = 1.0 if augment.turned is not None else np.sqrt(0.5)  # the query has two halves
    np.testing.assert_allclose(one, factor * own, atol=1e-6)


def test_new_among_old_ranks_as_the_bridge_alone(augment):
    asked, (_, stored) = vectors(NEW, 15, seed=3), pairs()
    mapped = augment.bridge.transform(asked).array @ stored.array.T
    one = augment.queries(asked).array @ augment.old(stored).array.T
    ratio = one / mapped  # one factor for each query
    np.testing.assert_allclose(ratio, np.repeat(ratio[:, :1], len(stored), 1), rtol=1e-3)
    assert (ratio > 0).all()


def test_the_space_extends_the_old_one_and_follows_the_bridge(augment):
    assert relation(augment.space, OLD) == "extends"
    assert augment.space.dim == (NEW.dim if augment.turned is not None else NEW.dim + OLD.dim)
    others = {Augment.of(make()).space.fingerprint for make in BRIDGES.values()}
    assert len(others) == 3
    assert augment.space.fingerprint in others


def test_what_a_rotation_leaves_out_is_orthogonal_to_it():
    turned = Augment.of(BRIDGES["rotation"]()).turned
    np.testing.assert_allclose(turned.T @ turned, np.eye(NEW.dim), atol=1e-5)


def test_a_space_without_room_behind_is_set_beside():
    there = vectors(OLD), vectors(NEW)
    augment = Augment.of(Bridge.fit(Procrustes(center=False), *there))  # into more dimensions
    assert augment.turned is None
    assert augment.space.dim == OLD.dim + NEW.dim


def test_as_an_encoder_queries_and_documents_go_their_ways(augment):
    class Model:
        space = NEW

        def encode(self, contents, role):
            return vectors(NEW, len(contents), seed=7)

    encoder = Augmented(Model(), augment)
    rows = vectors(NEW, 4, seed=7)
    asked, stored = (encoder.encode(["x"] * 4, role) for role in ("query", "document"))
    np.testing.assert_array_equal(asked.array, augment.queries(rows).array)
    np.testing.assert_array_equal(stored.array, augment.documents(rows).array)
    assert asked.space == encoder.space == augment.space


def test_other_spaces_and_other_metrics_are_refused(augment):
    with pytest.raises(WrongSpace):
        augment.queries(vectors(OLD))
    dot = Space("old", 8, "dot")
    new, old = pairs()
    bridge = Bridge.fit(Ridge(), new, as_vectors(old.array, dot, "test"))
    with pytest.raises(InvalidInput, match="cosine"):
        Augment.of(bridge)
