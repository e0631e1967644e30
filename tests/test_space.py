"""Spaces: what makes two of them one, and how two of them relate."""

import hashlib
import json
from dataclasses import FrozenInstanceError, dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import InvalidInput
from holdfast.space import METRICS, Space, fingerprint, relation

spaces = st.builds(
    Space,
    name=st.text(min_size=1, max_size=5),
    dim=st.integers(1, 4),
    metric=st.sampled_from(METRICS),
    fingerprint=st.sampled_from(["", "x", "y"]),
    extends=st.sampled_from([None, "x", "y"]),
)


@dataclass
class Bridge:
    origin: Space
    target: Space


def test_fingerprint_golden():
    # Stored beside vectors: a change here would orphan every store there is.
    assert fingerprint("minilm", revision="1") == "f358310c5b6e497b"
    recipe = (
        '{"document_prefix": "", "max_length": null, "model": "minilm", "normalised": true, '
        '"pooling": "", "query_prefix": "", "revision": "1"}'
    )
    assert hashlib.sha256(recipe.encode()).hexdigest()[:16] == "f358310c5b6e497b"
    assert Space("minilm@1", 384).fingerprint == fingerprint("minilm@1")


@pytest.mark.parametrize(
    "change",
    [
        {"revision": "2"},
        {"query_prefix": "q: "},
        {"document_prefix": "d: "},
        {"pooling": "cls"},
        {"max_length": 128},
        {"normalised": False},
        {"dtype": "bfloat16"},
    ],
    ids=str,
)
def test_fingerprint_covers_every_part(change):
    assert fingerprint("m", **change) != fingerprint("m")
    assert fingerprint("m", **change) == fingerprint("m", **change)


def test_fingerprint_keeps_roles_apart_and_ignores_order():
    assert fingerprint("m", query_prefix="a") != fingerprint("m", document_prefix="a")
    assert fingerprint("m", a=1, b=2) == fingerprint("m", b=2, a=1)


def test_equality_is_of_output_and_not_of_label():
    space = Space("a", 3, "cosine", "x")
    assert space == replace(space, name="b") == replace(space, extends="y")
    assert hash(space) == hash(replace(space, name="b"))
    for other in (
        replace(space, dim=4),
        replace(space, metric="dot"),
        replace(space, fingerprint="y"),
    ):
        assert space != other
    assert Space("a", 3) != Space("b", 3)  # without a fingerprint the name is all there is


@pytest.mark.parametrize(
    "arguments",
    [
        ("", 3),
        ("a", 0),
        ("a", -1),
        ("a", 3, "Cosine"),
        ("a", 3, "l2"),
        ("a", 3, ""),
        ("a", True),
        ("a", 3.0),
        ("a", "3"),
        ("a", None),
    ],
    ids=str,
)
def test_refused(arguments):
    with pytest.raises(InvalidInput):
        Space(*arguments)


def test_a_dimension_of_numpy_is_a_number_of_json():
    space = Space("a", np.int64(3))
    assert json.loads(json.dumps(space.to_json())) == Space("a", 3).to_json()
    assert repr(space) == repr(Space("a", 3))


def test_frozen():
    with pytest.raises(FrozenInstanceError):
        Space("a", 3).dim = 4


@given(spaces)
def test_json_round_trip_keeps_every_field(space):
    again = Space.from_json(json.loads(json.dumps(space.to_json())))
    assert again == space
    assert (again.name, again.extends) == (space.name, space.extends)


@given(spaces, spaces, st.lists(st.tuples(spaces, spaces), max_size=3))
def test_relation_follows_its_definition(query, gallery, pairs):
    bridges = [Bridge(*pair) for pair in pairs]
    bridges.append(Bridge(gallery, query))  # the way back licenses nothing
    key = (query.dim, query.metric, query.fingerprint)
    other = (gallery.dim, gallery.metric, gallery.fingerprint)
    if key == other:
        wanted = "same"
    elif query.extends == other[2] and key[1] == other[1] and key[0] > other[0]:
        wanted = "extends"
    elif any((b.origin, b.target) == (query, gallery) for b in bridges):
        wanted = "mapped"
    else:
        wanted = "unrelated"
    assert relation(query, gallery, bridges) == wanted


def test_relations_by_example():
    old, new = Space("old", 2, fingerprint="o"), Space("new", 3, fingerprint="n", extends="o")
    assert relation(new, old) == "extends"
    assert relation(old, new) == "unrelated"
    assert relation(old, new, [Bridge(old, new)]) == "mapped"
    assert relation(old, new, [Bridge(new, old)]) == "unrelated"
    assert relation(Space("n", 3, "dot", "n", extends="o"), old) == "unrelated"
    assert relation(Space("n", 2, fingerprint="n", extends="o"), old) == "unrelated"
