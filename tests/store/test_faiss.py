"""The faiss store against the exact one: every index and metric, through change and reopening."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from holdfast.arrays import unit_rows
from holdfast.errors import InvalidInput, OccupiedStore, StoreError, StoreHeld
from holdfast.hits import difference
from holdfast.space import METRICS, Space
from holdfast.store import faiss_build
from holdfast.store.faiss import FaissStore
from holdfast.store.faiss_build import lists_for
from holdfast.store.faiss_flat import Flat
from holdfast.store.faiss_index import Graph, Lists, nearest, prepare
from holdfast.store.faiss_saved import load_index, save_index
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.backfill.upkeep import Upkeep

pytest.importorskip("faiss", reason="needs holdfast[faiss]")

DIM = 16
KINDS = {"ivf": Lists, "hnsw": Graph}
KINDS_AND_METRICS = [(kind, metric) for kind in KINDS for metric in METRICS]


def sample(count: int, seed: int) -> np.ndarray:
    """Clustered rows of different lengths; the clusters are the same for every seed."""
    centres = 2.0 * np.random.default_rng(99).normal(size=(40, DIM))
    rng = np.random.default_rng(seed)
    return (centres[rng.integers(40, size=count)] + rng.normal(size=(count, DIM))).astype("f4")


def ids(first: int, last: int) -> list[str]:
    return [f"row {i}" for i in range(first, last)]


def pages(first: int, last: int) -> list[dict]:
    return [{"n": i, "third": i % 3 == 0, "tags": [i % 5, "x"]} for i in range(first, last)]


class Both:
    """The store under test and the exact one, written alike."""

    def __init__(self, folder, metric="cosine", **options):
        self.options = {"exact_below": 1024, **options}
        self.space = Space(f"faiss {metric}", DIM, metric)
        self.store = FaissStore(folder, self.space, **self.options)
        self.truth = MemoryStore(self.space)

    def __getattr__(self, name):
        def call(*args):
            for store in (self.store, self.truth):
                getattr(store, name)(*args)

        return call

    def fill(self, first: int, last: int, seed: int = 1) -> None:
        self.upsert(ids(first, last), sample(last - first, seed), pages(first, last))

    def reopen(self) -> None:
        self.store.close()
        self.store = FaissStore(self.store.folder, self.space, **self.options)

    def same(self, k: int = 10, where=None, queries: int = 30) -> None:
        """Exactly the same hits."""
        asked = sample(queries, 7)
        wanted = self.truth.search(asked, k + 5, where)
        assert difference(self.store.search(asked, k, where), wanted) is None
        assert (len(self.store), self.store.visible) == (len(self.truth), self.truth.visible)

    def recall(self, where=None) -> float:
        """R@10 of 200 queries; every score must be the true one of its id."""
        asked = sample(200, 7)
        got, wanted = self.store.search(asked, 10, where), self.truth.search(asked, 5000, where)
        found = 0
        for query in range(200):
            true = dict(wanted.row(query))
            tenth = wanted.scores[query, 9]
            hits = got.row(query)
            assert len({name for name, _ in hits}) == len(hits) == 10
            for name, score in hits:
                assert score == pytest.approx(true[name], abs=2e-4)
                found += score >= tenth - 2e-4
        return found / 2000


@pytest.fixture
def both(tmp_path, request):
    opened = []

    def make(**options):
        opened.append(Both(tmp_path / f"store {len(opened)}", **options))
        return opened[-1]

    yield make
    for pair in opened:
        pair.store.close()


@pytest.mark.parametrize("metric", METRICS)
def test_flat_is_exact_through_every_change(both, metric):
    pair = both(metric=metric, index="flat")
    pair.same()
    pair.fill(0, 600)
    pair.same()
    pair.delete(ids(100, 250))
    pair.hide(ids(0, 50))
    pair.same()
    pair.fill(40, 300, seed=2)  # hidden, deleted and present ones
    pair.same(where={"third": True})
    pair.unhide(ids(20, 60))
    pair.same(k=700)
    pair.reopen()
    pair.same()
    pair.delete(ids(0, 599))
    pair.same()


def test_flat_keeps_its_rows_without_gaps():
    rng = np.random.default_rng(0)
    flat, rows, alive = Flat(3, "dot"), rng.normal(size=(6000, 3)).astype("f4"), set()
    for turn in range(12):
        come = np.arange(500 * turn, 500 * turn + 500)
        flat.add(come, rows[come])
        alive |= set(come.tolist())
        gone = rng.choice(sorted(alive), size=int(rng.integers(len(alive) + 1)), replace=False)
        flat.remove(gone)
        alive -= set(gone.tolist())
        assert len(flat) == len(alive)
        left = np.array(sorted(alive), dtype=np.int64)
        np.testing.assert_array_equal(flat.rows_at(left), rows[left])
        if len(left):
            scores, slots = flat.search(rows[:4], len(left))
            assert np.sort(slots[0]).tolist() == left.tolist()
            np.testing.assert_allclose(scores, -np.sort(-(rows[:4] @ rows[left].T)), atol=1e-5)


def test_small_distances_keep_their_digits_in_a_batch():
    prepare(64)
    rng = np.random.default_rng(0)
    rows = (100.0 + 1e-3 * rng.normal(size=(400, 64))).astype("f4")
    scores, places = nearest(rows[:100], rows, 5, "euclidean")
    gaps = rows[:100, None].astype("f8") - rows[None].astype("f8")
    true = np.sort(np.sqrt((gaps**2).sum(axis=2)), axis=1)[:, :5]
    np.testing.assert_array_equal(places[:, 0], np.arange(100))
    np.testing.assert_allclose(-scores, true, atol=1e-5)


@pytest.mark.parametrize(("kind", "metric"), KINDS_AND_METRICS)
def test_an_index_keeps_its_recall_through_every_change(both, kind, metric):
    pair = both(metric=metric, index=kind)
    pair.fill(0, 4000)
    pair.same()  # exact until it is tended
    pair.store.tend()
    assert isinstance(pair.store._index, KINDS[kind])
    assert pair.recall() >= 0.95
    pair.delete(ids(0, 500))
    pair.hide(ids(400, 1200))
    pair.fill(1100, 1500, seed=2)
    pair.fill(4000, 4300, seed=3)
    pair.unhide(ids(500, 700))
    assert pair.recall() >= 0.95
    assert (len(pair.store), pair.store.visible) == (len(pair.truth), pair.truth.visible)
    for where in ({"third": True}, {"n": {"gte": 1000}}, {"not": {"tags": 3}}):
        assert pair.recall(where) >= 0.95
    pair.same(where={"n": {"lt": 900}})  # few pass: they are scanned
    pair.same(k=3600)  # all of them
    pair.store.tend()
    assert pair.recall() >= 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_reopening_reads_the_index_and_adds_only_the_difference(both, kind, monkeypatch):
    pair = both(index=kind)
    pair.fill(0, 3000)
    pair.store.tend()
    pair.reopen()
    assert isinstance(pair.store._index, KINDS[kind])
    assert pair.recall() >= 0.95
    pair.fill(2900, 3100, seed=2)
    pair.hide(ids(0, 100))
    monkeypatch.setattr(pair.store, "_save", lambda: None)  # as if the process had died
    effort = pair.store._index.effort
    monkeypatch.setattr(faiss_build, "build", None)
    pair.reopen()
    assert isinstance(pair.store._index, KINDS[kind])
    assert len(pair.store._index) == pair.truth.visible == 3000
    assert pair.store._index.effort == effort
    assert pair.recall() >= 0.95
    pair.delete(ids(100, 200))
    pair.fill(300, 310, seed=4)
    assert pair.recall() >= 0.95


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("harm", ["index cut", "index changed", "index gone", "described wrongly"])
def test_an_index_that_can_not_be_trusted_is_built_again(both, kind, harm):
    pair = both(index=kind)
    pair.fill(0, 2000)
    pair.store.tend()
    pair.store.close()
    (path,) = pair.store.folder.glob("index.*.faiss")
    data = path.read_bytes()
    if harm == "index cut":
        path.write_bytes(data[:-100])
    elif harm == "index changed":
        path.write_bytes(data[:-100] + bytes(100))
    elif harm == "index gone":
        path.unlink()
    else:
        (pair.store.folder / "index.safetensors").write_bytes(b"nonsense")
    pair.reopen()
    assert isinstance(pair.store._index, Flat)
    pair.same()
    pair.store.tend()
    assert isinstance(pair.store._index, KINDS[kind])
    assert pair.recall() >= 0.95


@pytest.mark.parametrize("kind", ["flat", "ivf", "hnsw"])
def test_compaction_renames_slots_everywhere(both, kind):
    pair = both(index=kind)
    pair.fill(0, 3000)
    pair.store.tend()
    pair.search(sample(1, 0), 1, {"third": True})  # a column is there to be renumbered
    for seed in range(2):
        pair.fill(0, 3000, seed=seed)
    pair.delete(ids(1000, 1200))
    pair.hide(ids(0, 200))
    before = pair.store._rows.generation
    pair.store.tend()
    assert pair.store._rows.generation == before + 1
    assert pair.recall() >= 0.95
    assert pair.recall({"third": True}) >= 0.95
    pair.unhide(ids(100, 200))
    pair.delete(ids(2000, 2100))
    pair.fill(1100, 1300, seed=5)
    assert pair.recall() >= 0.95
    pair.same(where={"n": {"lt": 400}})
    pair.reopen()
    assert pair.recall() >= 0.95


def test_a_graph_is_built_again_when_a_fifth_of_it_is_dead(both):
    pair = both(index="hnsw")
    pair.fill(0, 4000)
    pair.store.tend()
    pair.hide(ids(0, 700))
    pair.store.tend()
    assert pair.store._index.dead == 700
    pair.hide(ids(700, 900))
    assert pair.recall() >= 0.95
    pair.store.tend()
    assert pair.store._index.dead == 0
    assert pair.recall() >= 0.95


@pytest.mark.parametrize("kind", KINDS)
def test_few_rows_are_scanned_exactly(both, kind):
    pair = both(index=kind)
    pair.fill(0, 2000)
    pair.store.tend()
    pair.hide(ids(0, 977))
    assert isinstance(pair.store._index, Flat)
    pair.same()
    pair.store.tend()
    pair.same()
    pair.unhide(ids(0, 977))
    pair.same()
    pair.store.tend()
    assert isinstance(pair.store._index, KINDS[kind])


def test_auto_is_flat_until_there_are_many(both, monkeypatch):
    pair = both(index="auto")
    pair.fill(0, 1500)
    pair.store.tend()
    assert isinstance(pair.store._index, Flat)
    monkeypatch.setattr("holdfast.store.faiss._MANY", 1500)
    pair.store.tend()
    assert isinstance(pair.store._index, Lists)
    pair.reopen()
    assert isinstance(pair.store._index, Lists)
    assert pair.recall() >= 0.95


def test_an_index_that_misses_the_floor_is_not_used(both, monkeypatch):
    monkeypatch.setattr(faiss_build, "_TARGETS", (1.1, 1.1, 1.1))
    pair = both(index="hnsw")
    pair.fill(0, 1100)
    pair.store.tend()
    assert isinstance(pair.store._index, Flat)
    pair.same()
    monkeypatch.setattr("holdfast.store.faiss.build", None)  # not tried again at this size
    pair.store.tend()


def test_what_is_asked_raises_the_effort(both):
    pair = both(index="ivf")
    pair.fill(0, 4000)
    pair.store.tend()
    before = pair.store._index.effort
    asked = np.random.default_rng(3).normal(size=(64, DIM))  # of no cluster
    for _ in range(4):
        pair.store.search(asked, 10)
    pair.store.tend()
    assert pair.store._index.effort > before
    got, wanted = pair.store.search(asked, 10), pair.truth.search(asked, 10)
    assert (got.scores >= wanted.scores[:, -1:] - 1e-5).mean() >= 0.95


def test_an_effort_that_nearly_suffices_is_kept(both, monkeypatch):
    pair = both(index="ivf")
    pair.fill(0, 4000)
    pair.store.tend()
    index, read = pair.store._index, pair.store._rows.vectors_at
    least, held = index.effort, np.arange(256)
    nobody = np.zeros((0, DIM), dtype=np.float32)
    monkeypatch.setattr(faiss_build, "_TARGETS", (0.9999, 0.9999, 0.9999))
    assert faiss_build.tune(index, held, read, pair.store.space.metric, nobody, keep=True)
    assert index.effort == least
    assert faiss_build.tune(index, held, read, pair.store.space.metric, nobody)
    assert index.effort > least


@pytest.mark.parametrize("metric", ["dot", "euclidean"])
def test_the_effort_does_not_depend_on_the_unit_of_length(metric):
    """In small units all scores are near each other, and none of them is the right one."""
    rows = np.random.default_rng(0).normal(size=(1500, DIM)).astype(np.float32)
    nobody, efforts = np.zeros((0, DIM), dtype=np.float32), []
    for unit in (1.0, 2.0**-20, 2.0**40):
        scaled = rows * np.float32(unit)
        index = faiss_build.build("ivf", np.arange(1500), scaled.__getitem__, metric, nobody)
        efforts.append(index.effort)
    assert efforts == efforts[:1] * 3
    assert efforts[0] > 8  # of rows in no cluster most lists are read


def test_the_least_effort_is_found_to_a_sixteenth():
    for needed in (1, 2, 9, 29, 70, 500):
        for failed, reached in ((0, needed), (needed - 1, needed), (needed // 2, needed + 40)):
            found = faiss_build._least(lambda effort, n=needed: effort >= n, failed, reached)
            assert needed <= found <= needed + max(found // 16, 1)


def test_searches_and_writes_go_on_while_an_index_is_built(both, monkeypatch):
    pair = both(index="hnsw")
    pair.fill(0, 2000)
    at_work, go_on = threading.Event(), threading.Event()
    real = faiss_build.build

    def slow(*args):
        index = real(*args)
        at_work.set()
        go_on.wait(240)
        return index

    monkeypatch.setattr("holdfast.store.faiss.build", slow)
    thread = threading.Thread(target=pair.store.tend)
    thread.start()
    assert at_work.wait(240)
    pair.delete(ids(0, 100))
    pair.fill(50, 150, seed=2)
    pair.fill(2000, 2050, seed=3)
    pair.hide(ids(300, 400))
    pair.same()
    go_on.set()
    thread.join(240)
    assert isinstance(pair.store._index, Graph)
    assert len(pair.store._index) == pair.truth.visible
    assert pair.recall() >= 0.95
    pair.same(k=1900)


def test_memory_is_read_again_when_a_write_is_cut_off_behind_the_disk(both, monkeypatch):
    pair = both(index="flat")
    pair.fill(0, 100)

    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(pair.store._index, "add", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pair.store.upsert(ids(90, 110), sample(20, 5))
    pair.truth.upsert(ids(90, 110), sample(20, 5))  # it was on disk already
    pair.same()


def test_the_folder_tells_who_holds_it(both, tmp_path):
    pair = both(index="flat")
    with pytest.raises(StoreHeld, match=f"process {os.getpid()} "):
        FaissStore(pair.store.folder, pair.space)
    code = (
        "import sys\n"
        "from holdfast import Space\n"
        "from holdfast.store.faiss import FaissStore\n"
        "from holdfast.errors import StoreHeld\n"
        f"space = Space('faiss cosine', {DIM})\n"
        "try:\n"
        "    FaissStore(sys.argv[1], space)\n"
        "except StoreHeld as error:\n"
        "    sys.stdout.write(str(error))\n"
    )
    command = [sys.executable, "-c", code, str(pair.store.folder)]
    got = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert f"held by process {os.getpid()} on" in got
    pair.fill(0, 5)
    pair.same()


def test_a_refused_opening_lets_go_of_the_folder(both):
    pair = both(index="flat")
    pair.fill(0, 5)
    pair.store.close()
    other = Space("another model", DIM)
    with pytest.raises(OccupiedStore, match="another model"):
        FaissStore(pair.store.folder, other)
    pair.reopen()
    pair.same()
    pair.store.close()
    for path in pair.store.folder.glob("rows.sqlite*"):
        path.write_bytes(b"\0garbage" * 1000)
    for _ in range(2):  # the second one is not refused for another reason
        with pytest.raises(StoreError, match="database"):
            FaissStore(pair.store.folder, pair.space)


def test_a_wrong_choice_of_index_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="'hsnw'"):
        FaissStore(tmp_path / "new", Space("a", 2), index="hsnw")
    assert not (tmp_path / "new").exists()


def test_bad_input_writes_nothing(both):
    pair = both(index="flat")
    pair.fill(0, 10)
    with pytest.raises(InvalidInput):
        pair.store.upsert(["row 1", "new"], [[np.nan] * DIM, [1.0] * DIM])
    with pytest.raises(InvalidInput):
        pair.store.upsert(["row 1", "\ud800"], sample(2, 3))
    pair.same()


def test_a_closed_store_refuses(both):
    pair = both(index="flat")
    pair.fill(0, 10)
    pair.store.close()
    pair.store.close()
    for action in (
        lambda: pair.store.upsert(["a"], sample(1, 0)),
        lambda: pair.store.delete(["row 1"]),
        lambda: pair.store.get(["row 1"]),
        pair.store.scan,
    ):
        with pytest.raises(StoreError, match="an open store"):
            action()


@pytest.mark.parametrize(
    ("found", "dim", "left"), [(128_000, 16, 1280), (1280, 1536, 3072), (10**6, 16, 10**6)]
)
def test_batches_multiply_matrices_and_single_queries_do_not(monkeypatch, found, dim, left):
    import faiss

    monkeypatch.setattr(faiss.cvar, "distance_compute_blas_threshold", found)
    prepare(dim)
    assert faiss.cvar.distance_compute_blas_threshold == left


def test_lists_find_rows_under_their_new_names():
    rows = unit_rows(sample(2000, 1))
    index = Lists.train(rows, 32, "cosine")
    index.add(np.arange(0, 4000, 2), rows)
    index.renumber(np.repeat(np.arange(2000), 2))
    index.effort = index.most
    assert np.sort(index.slots()).tolist() == list(range(2000))
    assert index.search(rows[:50], 1)[1][:, 0].tolist() == list(range(50))
    index.remove(np.arange(10))
    assert len(index) == 1990
    assert not np.isin(index.search(rows[:50], 20)[1], np.arange(10)).any()


def test_rows_that_cannot_be_read_are_not_said_to_be_visible(both, monkeypatch):
    pair = both(index="flat")
    pair.fill(0, 50)
    pair.hide(ids(0, 10))

    def broken(slots):
        raise StoreError("disk", "an answer", "none")

    with monkeypatch.context() as patch:
        patch.setattr(pair.store._rows, "vectors_at", broken)
        with pytest.raises(StoreError):
            pair.store.unhide(ids(0, 10))
    assert pair.store.visible == 40
    pair.same()
    pair.unhide([*ids(5, 15), "absent", *ids(5, 7)])
    pair.same(k=50)
    assert pair.store.visible == 45


def test_an_empty_store_has_nothing_to_unhide(both):
    pair = both(index="flat")
    pair.store.unhide(["absent"])
    assert pair.store.visible == 0


@pytest.mark.parametrize(
    ("rows", "expected", "lists"),
    [
        (100_000, 0, 1024),  # four roots are 1,265
        (25_000, 0, 512),
        (25_000, 100_000, 1024),  # as many as it will need
        (12_500, 100_000, 512),  # 781 of 16 rows each can be learned
        (5_000, 100_000, 256),
        (100_000, 25_000, 1024),  # it shrinks
        (1, 10, 4),
    ],
)
def test_lists_are_as_many_as_will_be_needed_and_can_be_learned(rows, expected, lists):
    assert lists_for(rows, expected) == lists


@pytest.mark.parametrize(("expected", "lists"), [(0, 256), (20_000, 512)])
def test_an_index_is_laid_out_for_the_rows_that_are_expected(both, monkeypatch, expected, lists):
    monkeypatch.setattr(faiss_build, "_EACH", 4)
    pair = both(index="ivf", exact_below=1024)
    pair.store.expect(expected)
    pair.fill(0, 5000)
    pair.store.tend()
    assert pair.store._index.most == lists
    assert pair.recall() >= 0.9


def test_upkeep_tells_both_sides_how_many_rows_there_are_going_to_be(both):
    old, new = both(index="ivf"), both(index="ivf")
    old.fill(0, 300)
    new.fill(300, 400)
    Upkeep(old.store, new.store)
    assert (old.store._expected, new.store._expected) == (400, 400)


def test_an_index_that_finds_no_room_leaves_none_of_itself(tmp_path, monkeypatch):
    rows = sample(64, 0)
    space, index = Space("roomy", rows.shape[1]), Lists.train(rows, 4, "cosine")
    index.add(np.arange(64), rows)
    save_index(tmp_path, index, space, 0)
    before = sorted(tmp_path.iterdir())

    def full(_, path):
        path.write_bytes(b"half of it")
        raise RuntimeError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Lists, "write", full)
        with pytest.raises(StoreError, match="No space left"):
            save_index(tmp_path, index, space, 0)
    assert sorted(tmp_path.iterdir()) == before
    assert len(load_index(tmp_path, ("ivf",), space, 0)) == 64
