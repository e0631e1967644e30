"""Qdrant: one translation of filters, pairs in one collection, races, aliases, keys, folders."""

import json
import subprocess
import sys
from uuid import UUID

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from qdrant_client import models

from holdfast.errors import ConfigError, InvalidInput, OccupiedStore, StoreError, StoreHeld
from holdfast.space import Space
from holdfast.store import qdrant_connection
from holdfast.store.edge_payload import condition, key_of, unpack
from holdfast.store.qdrant import QdrantStore
from holdfast.store.qdrant_collection import Collection
from holdfast.store.qdrant_connection import rendered
from holdfast.store.where import matches, parse
from tests.store.test_edge_filter import FIELDS, NUMBERS, STORED, TREES

OLD, NEW = Space("old", 4), Space("new", 6, "euclidean")
NAMES = [f"n{i}" for i in range(20)]


def rows(space, count=20, seed=0):
    drawn = np.random.default_rng([seed, space.dim]).normal(size=(count, space.dim))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def open_at(tmp_path):
    opened = []

    def make(space, folder="side", **options):
        options = {"memory": True, **options}
        opened.append(QdrantStore(tmp_path / "stores" / folder, space, **options))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


def found(store, query, k=20, where=None):
    return sorted(name for name in store.search(query, k, where).ids[0] if name)


# filters


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    payloads = [{}] + [{field: value} for field in FIELDS for value in STORED]
    payloads += [{"a": 1, "é": "x"}, {"a": [1, 2], "é": ["x", "y" * 64]}]
    store = QdrantStore(tmp_path_factory.mktemp("qdrant"), OLD, memory=True)
    store.upsert([str(i) for i in range(len(payloads))], np.ones((len(payloads), 4)), payloads)
    yield store, payloads
    store.close()


@given(TREES)
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_any_filter_passes_what_the_reference_passes(filled, where):
    store, payloads = filled
    passing = {int(name) for name in found(store, np.ones((1, 4)), len(payloads), where)}
    assert passing == {i for i, p in enumerate(payloads) if matches(parse(where), p)}


@given(TREES)
@settings(max_examples=100, deadline=None)
def test_the_plain_filter_is_json_and_what_the_client_sends(where):
    plain = condition(where, set())
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert rendered(plain).model_dump(exclude_none=True) == plain


@pytest.mark.parametrize("bound", [float("inf"), float("-inf")])
@pytest.mark.parametrize("side", ["gt", "gte", "lt", "lte"])
def test_an_infinite_bound_is_open_or_passes_nothing(filled, side, bound):
    store, payloads = filled
    where = {"a": {side: bound}}
    passing = {int(name) for name in found(store, np.ones((1, 4)), len(payloads), where)}
    assert passing == {i for i, p in enumerate(payloads) if matches(parse(where), p)}
    numbers = [i for i, p in enumerate(payloads) if p.get("a") in NUMBERS]
    assert bool(passing) == bool(matches(parse(where), {"a": 0})) == bool(numbers and passing)


# pairs


def test_the_second_vector_joins_a_collection_in_use(open_at):
    old = open_at(OLD, "a", pair=True)
    old.upsert(NAMES, rows(OLD), [{"n": i} for i in range(20)])
    before = old.search(rows(OLD, 5, seed=1), 20)
    new = open_at(NEW, "b", pair=True)
    assert (len(new), new.visible, len(old), old.visible) == (0, 0, 20, 20)
    moved = old.get(NAMES[:8])
    new.upsert(moved.ids, rows(NEW)[:8], moved.payloads, moved.revisions)
    old.hide(moved.ids)
    # Each item is found on one side; the old one answers where the new vector is missing.
    assert found(new, rows(NEW)[:1]) == sorted(NAMES[:8])
    assert found(old, rows(OLD)[:1]) == sorted(NAMES[8:])
    missing = {"must_not": [{"has_vector": new._points.vector}]}
    assert old._points.count(missing) == old.visible == 12
    assert old._points.name == new._points.name
    assert len(new._points.read([key_of(n) for n in NAMES], True, ())) == 20
    # What the other side has is not touched, to the bit, whoever writes.
    assert (old.get(NAMES).vectors.array == rows(OLD)).all()
    old.upsert(NAMES[:2], rows(OLD, 2, seed=5), [{"n": "newer"}] * 2)
    assert (new.get(NAMES[:8]).vectors.array == rows(NEW)[:8]).all()
    old.unhide(NAMES)
    new.hide(NAMES)
    again = old.search(rows(OLD, 5, seed=1), 20)
    assert sorted(again.ids[0]) == sorted(before.ids[0])
    assert new.visible == 0


def test_each_side_of_a_pair_deletes_for_itself(open_at):
    old, new = open_at(OLD, "a", pair=True), open_at(NEW, "b", pair=True)
    old.upsert(NAMES, rows(OLD))
    new.upsert(NAMES[:10], rows(NEW)[:10])
    old.hide(NAMES[:10])
    new.delete(NAMES[:5])
    assert (len(old), old.visible, len(new)) == (20, 10, 5)
    assert new.revisions(NAMES[:6]).tolist() == [-1] * 5 + [0]
    old.delete(NAMES[4:12])
    assert (len(old), old.visible, len(new), new.visible) == (12, 8, 5, 5)
    assert old._points.count({}) == 17  # a point stays while any side has it
    new.delete(NAMES)
    assert old._points.count({}) == 12


def test_the_newest_write_of_any_side_says_what_the_payload_is(open_at):
    old, new = open_at(OLD, "a", pair=True), open_at(NEW, "b", pair=True)
    old.upsert(["x"], rows(OLD)[:1], [{"from": "old"}], [5])
    new.upsert(["x"], rows(NEW)[:1], [{"from": "new, but late"}], [3])
    assert [dict(s.get(["x"]).payloads[0]) for s in (old, new)] == [{"from": "old"}] * 2
    assert (old.revisions(["x"])[0], new.revisions(["x"])[0]) == (5, 3)
    new.upsert(["x"], rows(NEW)[:1], [{"from": "new"}], [6])
    assert found(old, rows(OLD)[:1], where={"from": "new"}) == ["x"]


def test_the_side_that_is_given_up_goes_and_the_other_stays(open_at):
    old, new = open_at(OLD, "a", pair=True), open_at(NEW, "b", pair=True)
    old.upsert(NAMES, rows(OLD))
    new.upsert(NAMES[:15], rows(NEW)[:15])
    old.drop()
    assert (len(new), new._points.count({})) == (15, 15)
    assert (new.get(NAMES[:15]).vectors.array == rows(NEW)[:15]).all()
    again = open_at(OLD, "a", pair=True)
    assert (len(again), again.visible) == (0, 0)
    assert again.revisions(NAMES).tolist() == [-1] * 20


@pytest.mark.parametrize("pair", [False, True])
def test_points_of_other_programs_are_not_seen_and_stay(open_at, pair):
    def opened(folder, space=OLD):
        return open_at(space, folder, collection="shared", pair=pair)

    def written(store, number, payload):
        vector = {store._points.vector: rows(OLD)[0].tolist()}
        one = models.PointStruct(id=str(UUID(int=number)), vector=vector, payload=payload)
        store._points._call("upsert", [one], wait=True)

    store = opened("a")
    store.upsert(NAMES, rows(OLD), [{"n": i} for i in range(20)])
    written(store, 1, {"foreign": 1})
    assert found(store, rows(OLD)[:1]) == sorted(NAMES)
    assert store.search(rows(OLD)[:1], 3).ids[0].tolist()[0] == "n0"
    written(store, 2**128 - 1, None)
    assert found(store, rows(OLD)[:1], where={"not": {"n": 3}}) == sorted({*NAMES} - {"n3"})
    again = opened("a")
    for one in (store, again):
        pages = [one.scan(limit=19)]
        pages += [one.scan(pages[0].after, limit=19)]
        assert sorted(name for page in pages for name in page.rows.ids) == sorted(NAMES)
        assert (pages[1].after, len(one), one.visible) == (None, 20, 20)
    if pair:
        other = opened("b", NEW)
        again.drop()
        assert (len(other), other._points.count({})) == (0, 2)


def test_what_died_while_it_deleted_from_a_pair_is_mended_when_it_is_opened(tmp_path, monkeypatch):
    """The vector goes first, and what is noted about it after that."""

    def opened(space, folder):
        return QdrantStore(tmp_path / folder, space, pair=True)

    def dies(*_):
        raise KeyboardInterrupt

    old, new = opened(OLD, "a"), opened(NEW, "b")
    for store in (old, new):
        store.upsert(NAMES, rows(store.space), revisions=[7] * 20)
    new.hide(NAMES[:5])
    with monkeypatch.context() as patch:
        patch.setattr(Collection, "unmark", dies)
        with pytest.raises(KeyboardInterrupt):
            new.delete(NAMES[:3])
    for store in (old, new):
        store.close()
    old, new = opened(OLD, "a"), opened(NEW, "b")
    assert (len(old), old.visible, len(new), new.visible) == (20, 20, 17, 15)
    assert new.revisions(NAMES[:6]).tolist() == [-1, -1, -1, 7, 7, 7]
    assert old.revisions(NAMES[:6]).tolist() == [7] * 6
    new.upsert(NAMES[:3], rows(NEW)[:3], revisions=[1] * 3)  # not as hidden as they were
    assert new.visible == 18
    assert found(new, rows(NEW)[:1]) == sorted({*NAMES} - {*NAMES[3:5]})
    for store in (old, new):
        store.close()


def test_without_pair_a_collection_belongs_to_one_space(open_at):
    for space in (OLD, NEW):
        open_at(space, "a", pair=True, collection="holdfast-pair")
    with pytest.raises(OccupiedStore, match="another collection"):
        open_at(OLD, "pair")  # the same collection by the same client


def test_a_pair_and_a_space_of_another_length_under_one_name(open_at):
    open_at(Space("x", 4, fingerprint="f"), "a", pair=True)
    with pytest.raises(OccupiedStore):
        open_at(Space("x", 5, fingerprint="f"), "b", pair=True)


# races


def test_an_older_write_that_read_too_early_does_not_win(open_at, monkeypatch):
    """Two programs: one reads, the other writes revision 9, the first writes revision 5."""
    store = open_at(OLD)
    store.upsert(["x", "y"], rows(OLD, 2), None, [1, 1])
    early = store._there(["x", "y", "z"])
    store.upsert(["x"], rows(OLD, 1, seed=1), [{"by": "other"}], [9])
    store.upsert(["z"], rows(OLD, 1, seed=2), [{"by": "other"}], [9])
    monkeypatch.setattr(store, "_there", lambda names: early)
    store.upsert(["x", "y", "z"], rows(OLD, 3, seed=3), [{"by": "me"}] * 3, [5, 5, 5])
    kept = store.get(["x", "y", "z"])
    assert kept.revisions.tolist() == [9, 5, 9]
    assert [p["by"] for p in kept.payloads] == ["other", "me", "other"]
    want = [rows(OLD, 1, seed=1)[0], rows(OLD, 3, seed=3)[1], rows(OLD, 1, seed=2)[0]]
    assert (kept.vectors.array == np.array(want)).all()


def test_in_a_pair_nothing_that_the_other_side_wrote_meanwhile_is_lost(open_at, monkeypatch):
    old, new = open_at(OLD, "a", pair=True), open_at(NEW, "b", pair=True)
    old.upsert(NAMES, rows(OLD), None, [1] * 20)
    there, times = new._there, []

    def stale(names):
        answer = there(names)
        if not times:  # between this reading and the writing
            old.upsert(NAMES[:3], rows(OLD, 3, seed=7), [{"late": True}] * 3, [2] * 3)
        times.append(1)
        return answer

    monkeypatch.setattr(new, "_there", stale)
    new.upsert(NAMES, rows(NEW), None, [1] * 20)
    assert len(times) == 2  # it looked again
    assert (old.get(NAMES[:3]).vectors.array == rows(OLD, 3, seed=7)).all()
    assert (new.get(NAMES).vectors.array == rows(NEW)).all()
    assert [dict(p) for p in old.get(NAMES[:4]).payloads] == [{"late": True}] * 3 + [{}]


def test_a_write_gives_up_where_another_program_never_stands_still(open_at, monkeypatch):
    old, new = open_at(OLD, "a", pair=True), open_at(NEW, "b", pair=True)
    old.upsert(["x"], rows(OLD)[:1])
    there = new._there

    def restless(names):
        answer = there(names)
        old.upsert(["x"], rows(OLD)[:1])
        return answer

    monkeypatch.setattr(new, "_there", restless)
    with pytest.raises(StoreError, match="stand still"):
        new.upsert(["x"], rows(NEW)[:1])


# what is around it


def test_an_alias_follows_the_store_that_leads(open_at):
    old = open_at(OLD, "a", pair=False, alias="documents")
    other = QdrantStore(
        old._points._place.folder, OLD, memory=True, collection="v2", alias="documents"
    )
    client = old._points._connection._client
    for leader in (old, old, other, old):
        leader.lead()
        held = {a.alias_name: a.collection_name for a in client.get_aliases().aliases}
        assert held == {"documents": leader._points.name}
    old.upsert(["x"], rows(OLD)[:1])
    assert client.count("documents").count == 1
    other.close()


def test_points_hold_what_filters_need_and_the_payload_once(open_at):
    store = open_at(OLD)
    store.upsert(["x"], rows(OLD)[:1], [{"lang": "en", "year": 1999}], [7])
    store.hide(["x"])
    (point,) = store._points.read([key_of("x")], True, ())
    vector = store._points.vector
    assert vector == f"cosine-{OLD.fingerprint}"
    text = '{"lang":"en","year":1999}'
    assert point.payload == {
        "i": "x",
        "p": text,
        "s-lang": "en",
        "n-year": 1999,
        f"r-{vector}": 7,
        f"h-{vector}": True,
    }
    assert unpack(point.payload) == {"lang": "en", "year": 1999}


def test_a_folder_has_one_process_and_as_many_stores_as_it_wants(tmp_path):
    store = QdrantStore(tmp_path / "a", OLD)
    store.upsert(["x"], rows(OLD)[:1])
    again = QdrantStore(tmp_path / "a", OLD)
    assert len(again) == 1
    again.close()
    assert len(store) == 1  # the client is still there for the first
    code = (
        "import sys\nfrom holdfast.space import Space\n"
        "from holdfast.store.qdrant import QdrantStore\n"
        "try:\n    QdrantStore(sys.argv[1], Space('old', 4))\n"
        "except Exception as e:\n    print(type(e).__name__)"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "a")]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == StoreHeld.__name__
    store.close()
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
    with pytest.raises(StoreError, match="closed"):
        store.revisions(["x"])


def test_the_key_comes_from_the_environment_and_is_never_told(monkeypatch, tmp_path):
    monkeypatch.delenv("TOY_QDRANT_KEY", raising=False)
    monkeypatch.setattr(qdrant_connection, "_WAIT", 0.0)
    address = {"url": "http://127.0.0.1:9", "api_key_env": "TOY_QDRANT_KEY"}
    with pytest.raises(ConfigError, match="TOY_QDRANT_KEY"):
        QdrantStore(tmp_path, OLD, **address)
    monkeypatch.setenv("TOY_QDRANT_KEY", "s3cret")
    with pytest.warns(UserWarning, match="insecure"), pytest.raises(StoreError) as caught:
        QdrantStore(tmp_path, OLD, **address)
    assert "s3cret" not in str(caught.value)
    assert "127.0.0.1:9" in str(caught.value)
    with pytest.raises(ConfigError, match="not repeated here") as caught:
        QdrantStore(tmp_path, OLD, **{**address, "api_key_env": "s3cret"})
    assert "s3cret" not in str(caught.value)


def test_a_count_that_was_asked_for_beside_a_write_is_not_believed(open_at, monkeypatch):
    """A search that believed it would leave out the side that has just got its first rows."""
    store = open_at(OLD)
    count = store._points.count

    def slow(where):
        found = count(where)
        monkeypatch.undo()
        store.upsert(NAMES, rows(OLD))  # while the answer is on its way
        return found

    monkeypatch.setattr(store._points, "count", slow)
    assert store.visible == 0
    assert store.visible == 20


def test_counts_are_asked_for_again_after_a_write_that_failed_half_way(open_at, monkeypatch):
    store, put = open_at(OLD), QdrantStore._write
    assert store.visible == 0

    def half(self, names, *columns):
        put(self, names, *columns)
        raise StoreError("Qdrant", "an answer", "none")

    with monkeypatch.context() as patch:
        patch.setattr(QdrantStore, "_write", half)
        with pytest.raises(StoreError):
            store.upsert(NAMES[:3], rows(OLD)[:3])
    assert (len(store), store.visible) == (3, 3)


def test_a_client_that_fails_to_close_lets_go_of_its_folder(tmp_path, monkeypatch):
    store = QdrantStore(tmp_path / "a", OLD)
    client = store._points._connection._client
    close = client.close

    def fails():
        close()
        raise OSError("disk full")

    monkeypatch.setattr(client, "close", fails)
    with pytest.raises(StoreError, match="disk full"):
        store.close()
    QdrantStore(tmp_path / "a", OLD).close()


def test_hits_and_cursors_are_those_of_the_engine(open_at):
    store = open_at(NEW)
    array = rows(NEW)
    store.upsert(NAMES, array)
    hits = store.search(array[3:5], 25)
    gaps = np.linalg.norm(array[3:5, None] - array[None], axis=2)
    assert hits.ids[:, :20].tolist() == [[NAMES[i] for i in row] for row in gaps.argsort(axis=1)]
    assert np.allclose(hits.scores[:, :20], -np.sort(gaps, axis=1), atol=1e-5)
    assert (hits.ids[:, 20:] == "").all()
    after = store.scan(limit=7).after
    assert store.scan(after, 1).rows.ids[0] == store.scan(limit=8).rows.ids[7]
    for wrong in ("", after[:-1], "x" + after, after + "x"):
        with pytest.raises(InvalidInput, match="what the page before answered"):
            store.scan(wrong)
