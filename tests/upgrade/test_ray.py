"""Batches on a Ray cluster of several nodes on this machine, some of which die meanwhile."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest

from holdfast.errors import ConfigError, EncoderError, EncoderUnavailable
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.executor import Threads
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.place import check_place, placed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.project import Project
from holdfast.upgrade.side import Side
from tests.cli import toys
from tests.house.tree import ROOT
from tests.upgrade.test_project import Home
from tests.upgrade.toys import Clock, ToySource

ray = pytest.importorskip("ray", reason="needs holdfast[ray]")
cluster_utils = pytest.importorskip("ray.cluster_utils")

# Ray's own processes and sockets, which are not ours to close.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(800),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]

PATIENCE = 240.0  # seconds: only a failure takes as long
NEW = Space("new@1", 24, fingerprint="toy")
SLOW = {"function": "tests.cli.toys:slow", "dim": 24, "name": "new@1"}


class Patient(cluster_utils.Cluster):
    """Waits for each node, however busy the machine is."""

    def _wait_for_node(self, node, timeout=PATIENCE):
        super()._wait_for_node(node, timeout)


@pytest.fixture(scope="module")
def cluster():
    """Three nodes of two logical cores; the head has none, so that it runs no actor.

    A busy machine must not pass for a dead node, nor a dead one for half a minute as alive.
    """
    held = {name: os.environ.get(name) for name in ("PYTHONPATH", "TOY_SECONDS")}
    os.environ.update(PYTHONPATH=str(ROOT), TOY_SECONDS="0.1")  # what the workers inherit
    made = Patient(
        initialize_head=True,
        head_node_args={
            "num_cpus": 0,
            "include_dashboard": False,
            "_system_config": {"health_check_period_ms": 1000, "health_check_failure_threshold": 9},
        },
    )
    try:
        nodes = [made.add_node(num_cpus=2) for _ in range(3)]
        made.wait_for_nodes(PATIENCE)
        yield made, nodes
    finally:
        ray.shutdown()
        made.shutdown()
        for name, value in held.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def executor_on(cluster, **more):
    from holdfast.encode.registry import open_encoder
    from holdfast.upgrade.ray import RayExecutor

    space = open_encoder("python", **SLOW).space
    return RayExecutor("python", SLOW, space, address=cluster[0].address, **more)


def upgraded(tmp_path, name, executor, encoder, count=320, during=None):
    """The new store after an upgrade, as rows by id, and the ledger's counts."""
    texts = {f"i{n}": f"w{n % 7} w{n % 11} own{n}" for n in range(count)}
    old, new = MemoryStore(Space("old", 3)), MemoryStore(encoder.space)
    old.upsert(list(texts), np.random.default_rng(0).normal(size=(count, 3)), None, range(count))
    plan = Plan(batch_size=16, max_batch_size=16, merge="by_rank", backoff=0.05)
    ledger = Ledger(tmp_path / f"{name}.sqlite", lambda: 0.0)
    ledger.begin(plan.model_dump(), old.space, new.space)
    gallery = Gallery(Side(old), Side(new), ledger, mode=plan.merge, clock=Clock(10**6))
    engine = Engine(gallery, ReEmbed(ToySource(texts), encoder), plan, executor, listener=during)
    status = engine.run()
    assert (status.state, status.todo, status.quarantined) == ("ready", 0, 0)
    page = new.scan(limit=count + 1, vectors=True).rows
    order = np.argsort([int(i[1:]) for i in page.ids])
    counts = ledger.counts()
    gallery.close()
    rows = page.take(order)
    return rows.ids, rows.revisions.tolist(), rows.vectors.array, counts


def all_up(executor, count=3):
    """Wait until every actor is ready, so that each death takes one that works."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        with executor._lock:
            executor._begin()
            executor._welcome()
            if len(executor._free) + len(executor._busy) == count:
                return
        time.sleep(0.1)
    raise AssertionError("actors that never came")


def children(parent):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if int(path.read_text().rpartition(")")[2].split()[1]) == parent:
                found.append(int(path.parent.name))
    return found


def runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def alive():
    return sum(node["Alive"] for node in ray.nodes())


def test_an_actor_and_a_node_die_and_the_result_is_the_same(cluster, tmp_path):
    """One actor is killed early, then a whole node; every item arrives once, to the bit."""
    executor, killed = executor_on(cluster, actors=3, cpus=2.0), []  # one on each node

    def during(status):
        if status.share > 0.1 and not killed:
            ray.kill((executor._busy or executor._free)[0])
            killed.append("actor")
        elif status.share > 0.4 and killed == ["actor"]:
            made, nodes = cluster
            all_up(executor)
            assert alive() == 4
            node = nodes.pop()
            workers = children(node.all_processes["raylet"][0].process.pid)
            assert workers
            made.remove_node(node, allow_graceful=False)
            until = time.monotonic() + PATIENCE
            # The actor on it outlives its node for a moment.
            while (alive() == 4 or any(map(runs, workers))) and time.monotonic() < until:
                time.sleep(0.1)
            killed.append("node")

    all_up(executor)
    ids, revisions, rows, counts = upgraded(
        tmp_path, "ray", executor, executor.encoder, during=during
    )
    replaced = executor.replaced
    executor.close()
    assert killed == ["actor", "node"]
    assert replaced >= 2  # both deaths were met by a batch, or by the next one
    here = Threads(2)
    from holdfast.encode.registry import open_encoder

    local = open_encoder("python", **{**SLOW, "function": "tests.cli.toys:new"})
    expected = upgraded(tmp_path, "threads", here, local)
    here.close()
    assert (ids, revisions, counts) == (expected[0], expected[1], expected[3])
    assert (rows == expected[2]).all()
    assert ids == [f"i{n}" for n in range(320)]


def test_no_more_batches_are_under_way_than_actors_and_one(cluster):
    executor = executor_on(cluster, actors=2)
    drawn, seen, lock = [], [], threading.Lock()

    def batches():
        for number in range(12):
            with lock:
                drawn.append(number)
            yield [f"text {number}"]

    def fn(batch):
        return executor.encoder.encode(batch, "document").array

    for done in executor.map(fn, batches()):
        assert done.error is None
        assert (done.result == toys.new(done.batch)).all()
        seen.append(done.batch)
        with lock:
            assert len(drawn) - len(seen) <= 3
    assert sorted(seen) == sorted([f"text {n}"] for n in range(12))
    assert not executor._free  # actors are let go with the run
    executor.close()


def test_errors_of_the_model_keep_their_kind_and_a_wrong_model_is_refused(cluster):
    from holdfast.upgrade.ray import RayExecutor

    executor = executor_on(cluster, actors=1)
    with pytest.raises(EncoderError, match="AttributeError") as caught:
        executor.encoder.encode([3], "document")  # no text: the function fails
    assert not caught.value.transient
    executor.close()
    wrong = RayExecutor("python", SLOW, NEW, address=cluster[0].address, actors=1)
    with pytest.raises(ConfigError, match="every node"):
        wrong.encoder.encode(["x"], "document")
    wrong.close()
    nowhere = RayExecutor("python", {**SLOW, "function": "no_such:thing"}, NEW, actors=1)
    nowhere._address = cluster[0].address
    with pytest.raises(ConfigError, match="no_such"):
        nowhere.encoder.encode(["x"], "document")
    nowhere.close()


def test_too_small_a_cluster_is_an_error_that_may_pass(cluster):
    executor = executor_on(cluster, actors=1, gpus=1.0, patience=1.0)
    begun = time.monotonic()
    with pytest.raises(EncoderUnavailable, match="1 GPUs"):
        executor.encoder.encode(["x"], "document")
    assert time.monotonic() - begun < 100  # far from the patience that is usual
    executor.close()


def test_a_batch_that_kills_every_actor_ends_in_an_error_that_may_pass():
    from holdfast.upgrade.ray import RayExecutor

    class Died:
        exceptions = ray.exceptions

        def get(self, *_, **__):
            raise ray.exceptions.ActorDiedError

    executor = RayExecutor("python", SLOW, NEW)
    executor._ray, actor, met = Died(), MagicMock(), []
    executor._take, executor._replace = lambda _: actor, met.append
    with pytest.raises(EncoderUnavailable, match=r"a batch of 2, got 5 in a row that died"):
        executor.encoder.encode(["too", "much"], "document")
    assert met == [actor] * 5


@pytest.mark.parametrize("answer", ["dies", "comes"])
def test_a_batch_that_outlives_its_run_starts_no_cluster_again(answer):
    from holdfast.upgrade.ray import RayExecutor

    class Fake(MagicMock):
        exceptions = ray.exceptions

    executor, asked = RayExecutor("python", SLOW, NEW, actors=1), []
    executor._ray = fake = Fake()
    fake.is_initialized.return_value, fake.wait.side_effect = True, lambda refs, **_: (refs, [])

    def get(ref, timeout=None):
        if timeout is None:  # an actor says that it is ready
            return NEW
        asked.append(ref)
        executor._release()  # the run is over while the batch is at its actor
        if answer == "dies":
            raise ray.exceptions.ActorDiedError
        return np.zeros((1, 24), dtype=np.float32)

    fake.get.side_effect = get
    if answer == "dies":
        with pytest.raises(EncoderUnavailable, match="an actor with 1 CPUs"):
            executor.encoder.encode(["x"], "document")
    else:
        assert len(executor.encoder.encode(["x"], "document")) == 1
    assert len(asked) == 1
    assert fake.remote.return_value.options.return_value.remote.call_count == 1  # no other actor
    assert [executor._free, executor._busy, executor._starting] == [[], [], {}]


@pytest.mark.parametrize(
    ("address", "environment", "asked"),
    [(None, None, "local"), (None, "there:6379", None), ("auto", None, "auto")],
)
def test_without_an_address_no_cluster_of_others_is_joined(
    address, environment, asked, monkeypatch
):
    from holdfast.upgrade.ray import RayExecutor

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    if environment:
        monkeypatch.setenv("RAY_ADDRESS", environment)
    executor = RayExecutor("python", SLOW, NEW, address=address, actors=1)
    executor._ray = fake = MagicMock()
    fake.is_initialized.return_value = False
    fake.nodes.return_value = [{"Alive": True, "Resources": {"CPU": 2.0}}]
    executor._begin()
    assert fake.init.call_args.kwargs["address"] == asked


def test_an_actor_that_this_machine_has_no_room_for_is_refused_at_once(monkeypatch):
    from holdfast.upgrade.ray import RayExecutor

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    executor = RayExecutor("python", SLOW, NEW, actors=1, cpus=4.0, gpus=1.0)
    executor._ray = fake = MagicMock()
    fake.is_initialized.return_value = False
    here = {"CPU": 8.0, "memory": 1e9}
    fake.cluster_resources.return_value = here
    fake.nodes.return_value = [{"Alive": True, "Resources": here}]
    with pytest.raises(ConfigError, match="4 CPUs and 1 GPUs on this machine, got 8 CPUs and 0 "):
        next(executor.map(lambda batch: batch, iter([])))
    fake.shutdown.assert_called_once_with()
    assert (executor._own, executor._starting) == (False, {})
    here.update(CPU=4.0, GPU=1.0)
    assert list(executor.map(lambda batch: batch, iter([]))) == []


@pytest.mark.parametrize(("cpus", "told"), [(4.0, False), (5.0, True)])
def test_an_actor_that_no_node_of_others_has_room_for_is_told_at_once(cpus, told, caplog):
    """Not refused: such a cluster may grow. Nodes do not share an actor, nor do dead ones help."""
    from holdfast.upgrade.ray import RayExecutor

    executor = RayExecutor("python", SLOW, NEW, address="auto", actors=1, cpus=cpus)
    executor._ray = fake = MagicMock()
    fake.is_initialized.return_value = False
    fake.nodes.return_value = [
        {"Alive": alive, "Resources": {"CPU": count}}
        for alive, count in ((True, 4.0), (True, 4.0), (False, 64.0))
    ]
    executor._begin()
    said = [
        "an actor with 5 CPUs and 0 GPUs: the backfill waits" in caplog.text,
        len(caplog.records),
    ]
    assert said == [told, told]
    assert len(executor._starting) == 1  # asked for in either case


@pytest.mark.parametrize(
    ("address", "wanted"), [(None, "a cluster of its own"), ("auto", "a cluster at auto")]
)
def test_a_cluster_that_does_not_start_or_answer_is_an_error_that_may_pass(
    address, wanted, monkeypatch
):
    """Ray raises what it likes: a bare Exception where a node takes too long to start."""
    from holdfast.upgrade.ray import RayExecutor

    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    executor = RayExecutor("python", SLOW, NEW, address=address, actors=1)
    executor._ray = fake = MagicMock()
    fake.is_initialized.return_value = False
    fake.init.side_effect = Exception("The current node timed out during startup.")
    with pytest.raises(EncoderUnavailable, match=f"{wanted}, got .*timed out") as caught:
        next(executor.map(lambda batch: batch, iter([])))
    assert caught.value.transient
    assert not executor._own


def test_a_project_runs_its_plan_on_ray(cluster, tmp_path):
    home = Home(tmp_path)
    settings = f'executor = "ray"\naddress = "{cluster[0].address}"\nactors = 2\ncpus = 0.5'
    project = home.project(plan=settings)
    text = project.path.read_text().replace('"faiss"', '"edge"').replace('index = "flat"', "")
    project.path.write_text(text)
    project = Project(project.path)
    project.build()
    home.upgrade(project)
    assert home.finds_itself(project)


def test_ray_is_for_models_only(tmp_path):
    with pytest.raises(ConfigError, match="no model runs"):
        check_place(Plan(executor="ray", mover="translate"))
    check_place(Plan(executor="ray"))
    executor, mover = placed(None, Plan(workers=3), "a mover")
    assert isinstance(executor, Threads)
    assert (executor.workers, mover) == (3, "a mover")
    executor.close()
