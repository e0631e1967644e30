"""The registry: what a table allows, what it refuses, and the spaces it makes."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast import artifact
from holdfast.arrays import as_vectors
from holdfast.errors import ArtifactError, InvalidInput, WrongSpace
from holdfast.space import relation
from holdfast.train.interface import Interface
from holdfast.train.vertices import simplex


def animals(*classes, capacity=8, side="front"):
    return Interface("animals", capacity=capacity).filled(classes, side)


def test_two_parties_fill_from_both_ends():
    server = animals("a", "b", "c", capacity=1024)
    client = animals("x", "y", capacity=1024, side="back")
    assert server.vertices_of(["c", "a"]).tolist() == [2, 0]
    assert client.vertices_of(["x", "y"]).tolist() == [1023, 1022]  # class y at 1023 - y
    both = server.joined(client)
    assert dict(both.places) == {"a": 0, "b": 1, "c": 2, "x": 1023, "y": 1022}
    assert both == client.joined(server)
    assert both.filled(["d"]).places["d"] == 3
    assert both.filled(["z"], side="back").places["z"] == 1021


def test_a_large_table_costs_what_is_on_it():
    table = animals("a", capacity=10**12).filled(["y", "z"], side="back")
    assert dict(table.places) == {"a": 0, "y": 10**12 - 1, "z": 10**12 - 2}


def test_a_class_keeps_its_vertex():
    first = animals("a", "b")
    second = first.filled(["b", "c", "a", "c"])
    assert dict(second.places) == {"a": 0, "b": 1, "c": 2}
    assert (first.version, second.version, second.filled(["a"]).version) == (1, 2, 2)
    assert len(first) == 2
    assert "c" in second
    assert "c" not in first
    assert second.filled(["a"]) == second != first


def test_the_front_passes_over_what_the_back_took():
    last = animals("a", capacity=3).filled(["z"], side="back").filled(["b"])
    assert dict(last.places) == {"a": 0, "z": 2, "b": 1}
    with pytest.raises(InvalidInput, match=r"at most 0 more classes of 3, got 1 new ones"):
        last.filled(["c"])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.lists(st.sampled_from("abcdefgh"), max_size=4), st.booleans()), max_size=6
    )
)
def test_no_fill_ever_moves_a_class_or_shares_a_vertex(fills):
    table = Interface("animals", capacity=8)
    for classes, front in fills:
        before = dict(table.places)
        table = table.filled(classes, "front" if front else "back")
        assert before.items() <= table.places.items()
        assert set(classes) <= set(table.places)
        assert len(set(table.places.values())) == len(table.places)
        assert table.joined(table) == table


def test_prototypes_are_rows_of_the_figure():
    table = animals("a", "b").filled(["z"], side="back")
    np.testing.assert_allclose(table.prototypes(["z", "a"]), simplex(8)[[7, 0]], atol=1e-7)
    np.testing.assert_allclose(table.prototypes(), simplex(8), atol=1e-7)
    assert (table.dim, table.capacity) == (7, 8)
    grown = Interface("animals", "one-hot").filled(["a", "b", "c"])
    np.testing.assert_array_equal(grown.prototypes(["c"]), [[0.0, 0.0, 1.0]])
    assert grown.dim == grown.capacity == 3


def test_models_on_one_simplex_share_a_space_while_the_table_grows():
    first = animals("a", "b")
    later = first.filled(["c"])
    assert relation(later.space("two"), first.space("one")) == "same"
    vectors = as_vectors(first.prototypes(["a"]), first.space("one"), "test")
    assert as_vectors(vectors, later.space("two"), "test") is vectors


@pytest.mark.parametrize(
    "other",
    [
        Interface("plants", capacity=8),
        Interface("animals", capacity=9),
        Interface("animals", "one-hot", places={c: i for i, c in enumerate("abcdefg")}),
        Interface("animals", "centred", places={c: i for i, c in enumerate("abcdefg")}),
    ],
)
def test_vectors_of_different_interfaces_refuse_to_be_compared(other):
    space, strange = animals("a").space("one"), other.space("one")
    assert space.fingerprint != strange.fingerprint
    assert relation(space, strange) == relation(strange, space) == "unrelated"
    row = np.ones((1, strange.dim), dtype=np.float32)
    with pytest.raises(WrongSpace):
        as_vectors(as_vectors(row, strange, "test"), space, "test")
    with pytest.raises(WrongSpace):
        animals("a").joined(other)


@pytest.mark.parametrize("kind", ["one-hot", "centred"])
def test_a_growing_interface_extends_the_smaller_one(kind):
    first = Interface("animals", kind).filled(["a", "b"])
    later = first.filled(["c"])
    assert relation(later.space("two", gallery=first), first.space("one")) == "extends"
    assert relation(later.space("two"), first.space("one")) == "unrelated"
    assert relation(first.space("one"), later.space("two")) == "unrelated"
    assert later.space("two", gallery=later).extends is None
    assert later.space("two").dim == 3
    with pytest.raises(WrongSpace, match="an earlier state"):
        first.space("one", gallery=later)


def test_tables_that_contradict_each_other_are_refused():
    with pytest.raises(WrongSpace, match=r"'a' on vertex 0, got on vertex 7"):
        animals("a").joined(animals("a", side="back"))
    with pytest.raises(WrongSpace, match=r"'a' on vertex 0, got 'b' there"):
        animals("a").joined(animals("b"))
    one = Interface("animals", "one-hot").filled(["a", "b"])
    with pytest.raises(WrongSpace):
        one.filled(["c"]).space("x", gallery=Interface("animals", "one-hot").filled(["b", "a"]))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Interface("", capacity=4), "a name"),
        (lambda: Interface("a"), "a capacity"),
        (lambda: Interface("a", "cube", 4), "a kind among simplex, one-hot, centred"),
        (lambda: Interface("a", "one-hot", 3), "a capacity of 0"),
        (lambda: Interface("a", capacity=4, places={"x": 1, "y": 1}), "one class a vertex"),
        (lambda: Interface("a", capacity=4, places={"x": 4}), "vertices from 0 to 3"),
        (lambda: animals("x").filled("dog"), "a list of non-empty names"),
        (lambda: animals("x").filled(["y"], side="top"), "side as front or back"),
        (lambda: Interface("a", "one-hot").filled(["y"], side="back"), "has no back"),
        (lambda: animals("x").vertices_of(["x", "y"]), "1 others: 'y'"),
        (lambda: animals(""), "a list of non-empty names"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


@pytest.mark.parametrize("kind", ["simplex", "one-hot", "centred"])
def test_it_is_read_back_as_it_was(tmp_path, kind):
    table = Interface("animals", kind, 16 if kind == "simplex" else None).filled(["a", "é"])
    table.save(tmp_path / "table")
    read = Interface.load(tmp_path / "table")
    assert read == table
    assert (read.version, read.digest, hash(read)) == (1, table.digest, hash(table))
    assert read.space("x") == table.space("x")
    assert "2 of" in repr(read)


def test_numbers_and_texts_of_numpy_make_the_same_table(tmp_path):
    plain = Interface("animals", capacity=8, places={"a": 0, "b": 1})
    places = dict(zip(np.array(["a", "b"]), np.arange(2), strict=True))
    made = Interface("animals", capacity=np.int64(8), places=places)
    assert (made.digest, made.fingerprint) == (plain.digest, plain.fingerprint)
    assert repr(made.to_json()) == repr(plain.to_json())
    made.save(tmp_path / "table")
    assert Interface.load(tmp_path / "table") == plain
    assert repr(dict(animals().filled(np.array(["a", "b"])).places)) == repr(dict(plain.places))


@pytest.mark.parametrize(
    "wrong", [{"places": {"a": 1.0}}, {"places": {1: 1}}, {"places": {"": 1}}, {"capacity": 4.5}]
)
def test_a_table_that_its_file_could_not_say_is_refused(wrong):
    with pytest.raises(InvalidInput, match=r"whole numbers|names of classes"):
        Interface("animals", **{"capacity": 8, **wrong})


def test_a_gallery_of_other_classes_on_the_same_vertices_is_no_gallery_of_ours():
    ours = animals("a", "b")
    assert ours.space("m", animals("a")) == ours.space("m", animals("z", side="back"))
    with pytest.raises(WrongSpace, match="'a' on vertex 0, got 'z' there"):
        ours.space("m", animals("z"))


def test_an_edited_table_is_refused(tmp_path):
    data = animals("a", "b").to_json()
    data["places"] = {"a": 1, "b": 0}
    artifact.save(tmp_path / "table", artifact.Artifact("interface", {}, data))
    with pytest.raises(ArtifactError, match="The table was edited"):
        Interface.load(tmp_path / "table")


def test_it_needs_no_torch():
    program = "import sys; sys.modules['torch'] = None; import holdfast.train.interface"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_without_torch_the_heads_say_what_to_install():
    program = "import sys; sys.modules['torch'] = None; import holdfast.train.simplex"
    out = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert "pip install 'holdfast[train]'" in out.stderr
