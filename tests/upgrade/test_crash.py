"""A process that upgrades a gallery under writes is killed; a fresh one finds nothing amiss.

The full trials are `python -m bench.crash`; these are few and small.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from uuid import uuid4

import pytest

from bench.crash import mistakes, trials
from bench.crash_check import Row, compare, misplaced, settle
from bench.crash_world import Call, Log, World
from holdfast.errors import StoreHeld

OPTIONS = {
    "edge": {},
    "faiss": {"index": "ivf", "exact_below": 500},
    "pgvector": {"exact_below": 500},
}


@pytest.mark.slow
@pytest.mark.parametrize("store", ["edge", "faiss", "pgvector"])
def test_nothing_is_lost_when_the_process_of_an_upgrade_is_killed(tmp_path, store, request):
    if store == "faiss":
        pytest.importorskip("faiss")
    world = World(store, 800, (96, 128), rate=1000.0, options=OPTIONS[store])
    count = 3
    if store == "pgvector":  # beside a process that writes plain SQL
        request.getfixturevalue("postgres")
        world, count = replace(world, content=f"crash_{uuid4().hex[:8]}"), 2
    total, told = trials(world, tmp_path / "gallery", count, span=1.5, seed=5)
    assert not any(total.values()), f"{dict(total)} {mistakes(tmp_path / 'gallery')}"
    assert len(told) == count
    assert sum(found["cut off"] for found in told), "no kill fell into a call"
    assert all(found["searched"] - found["passed over"] > 360 for found in told)


@pytest.mark.slow
def test_nothing_is_lost_on_a_pair_in_the_local_mode_of_qdrant(tmp_path):
    """It writes row by row, so that half batches are left; the journal makes them whole."""
    world = World("qdrant", 300, (24, 32), rate=300.0, options={"pair": True})
    total, told = trials(world, tmp_path / "gallery", 2, span=2.0, seed=5)
    assert not any(total.values()), f"{dict(total)} {mistakes(tmp_path / 'gallery')}"
    assert sum(found["cut off"] for found in told), "no kill fell into a call"


def test_a_gallery_that_is_held_is_refused_and_its_stores_are_let_go(tmp_path):
    world = World("edge", 4, (4, 4))
    world.found(tmp_path / "gallery")
    held = world.open(tmp_path / "gallery")
    with pytest.raises(StoreHeld, match="one held by process"):
        world.open(tmp_path / "gallery")
    held.close()
    world.open(tmp_path / "gallery").close()


def row(version, hidden=False, revision=None):
    return Row(version, version if revision is None else revision, hidden)


@pytest.mark.parametrize(
    ("old", "new", "reads", "wrong"),
    [
        ({"a": row(1)}, {}, "both", {}),
        ({"a": row(1, hidden=True)}, {"a": row(1)}, "both", {}),
        ({}, {}, "old", {"lost": 2}),
        ({"a": row(1, hidden=True)}, {}, "both", {"lost": 1}),
        ({"a": row(1)}, {}, "new", {"lost": 1}),
        ({"a": row(0)}, {}, "both", {"stale": 1}),
        ({"a": row(1, hidden=True)}, {"a": row(0)}, "both", {"stale": 1}),
        ({"a": row(1, hidden=True)}, {"a": row(1, revision=7)}, "both", {"stale": 1}),
        ({"a": row(1)}, {"a": row(0)}, "new", {"stale": 1}),
        ({"a": row(1)}, {"a": row(0)}, "old", {}),  # left by a rollback from stages
        ({"a": row(1)}, {"a": row(1)}, "both", {"twice": 1}),
        ({"a": row(1), "b": row(1)}, {}, "both", {"resurrected": 1}),
        ({"a": row(1)}, {"b": row(1, hidden=True)}, "both", {"resurrected": 1}),
    ],
)
def test_the_check_sees_each_mistake(old, new, reads, wrong):
    bad = Counter()
    compare({"a": 1}, old, new, reads, bad)
    assert {name: count for name, count in bad.items() if count} == wrong


@pytest.mark.parametrize(
    ("name", "pair", "old", "new", "wrong"),
    [
        ("outside-1", False, Row(2, 9, False), Row(1, 8, True, astray=True), 0),  # by a rollback
        ("outside-1", False, Row(2, 9, False), Row(2, 9, True, astray=True), 1),  # would be shown
        ("outside-1", False, Row(2, 9, True), Row(1, 8, False, astray=True), 1),
        ("outside-1", False, Row(2, 9, False, astray=True), Row(2, 9, True), 1),
        ("1-1", False, Row(2, 9, False), Row(1, 8, True, astray=True), 1),  # nobody else writes it
        ("1-1", True, Row(2, 9, False), Row(2, 8, True, astray=True), 0),  # one payload for both
        ("1-1", True, Row(2, 9, False), Row(2, 9, True, astray=True), 1),
        ("1-1", True, Row(2, 9, True), Row(2, 8, False, astray=True), 1),
    ],
)
def test_a_vector_that_is_not_its_text_is_seen(name, pair, old, new, wrong):
    assert misplaced({name: old}, {name: new}, pair) == wrong


@pytest.mark.parametrize(
    ("kind", "found", "wrong"),
    [
        ("write", {"a": 5, "b": 5, "c": 5}, {}),
        ("write", {"a": 1, "b": 2}, {}),
        ("write", {"a": 5, "b": 2}, {"half a batch": 1}),
        ("write", {"a": 3, "b": 2}, {"stale": 1}),
        ("delete", {}, {}),
        ("delete", {"a": 1, "b": 2}, {}),
        ("delete", {"a": 1}, {"half a batch": 1}),
    ],
)
def test_a_call_cut_off_happened_or_did_not(kind, found, wrong):
    bad, known = Counter(), {"a": 1, "b": 2}
    settle(known, Call(5, kind, ["a", "b", "c"]), {n: row(v) for n, v in found.items()}, bad)
    assert {name: count for name, count in bad.items() if count} == wrong
    assert known == found


def test_the_notes_of_a_writer_say_what_must_be_there(tmp_path):
    log = Log(tmp_path, 1)
    for words in (
        ("B", 1, "write", ["1-0", "1-9"]),
        ("A", 1),
        ("B", 2, "delete", ["1-1"]),
        ("A", 2),
        ("B", 3, "write", ["1-0"]),
        ("F", 3),
        ("B", 4, "write", ["1-9"]),
        ("S", {"1-9": 4}),
        ("B", 5, "delete", ["1-9"]),
    ):
        log.note(*words)
    known, begun, last = Log(tmp_path, 1).read(items=12)
    assert (known, last) == ({"1-0": 1, "1-2": 0, "1-9": 4}, 5)
    assert begun == Call(5, "delete", ["1-9"])
    assert json.loads(log.path.read_text().splitlines()[0]) == ["B", 1, "write", ["1-0", "1-9"]]
