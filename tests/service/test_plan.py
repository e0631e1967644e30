"""The command that plans, in a service that goes on answering."""

import gc
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from holdfast.encode.cache import CachedEncoder
from holdfast.encode.callable import CallableEncoder
from holdfast.errors import EncoderUnavailable
from holdfast.service.lasting import set_apart
from holdfast.service.warm import warm
from holdfast.space import Space
from holdfast.upgrade.project import Project
from tests.cli import toys
from tests.service.conftest import PATIENCE


def test_both_models_have_answered_before_anything_is_planned(home, opened, monkeypatch):
    home.done("build")
    client, asked, by_then = opened(home), [], []
    for name in ("old", "new"):
        model = getattr(toys, name)
        monkeypatch.setattr(toys, name, lambda t, n=name, m=model: asked.append((n, t)) or m(t))
    plan = Project.plan

    def planning(project, *given, **more):
        by_then.extend(asked)
        return plan(project, *given, **more)

    monkeypatch.setattr(Project, "plan", planning)
    assert client.command("plan").json()["state"] == "planned"
    assert sorted(by_then) == [("new", [home.documents["d0"]]), ("old", [home.documents["d0"]])]


def test_a_model_that_is_not_to_be_had_does_not_forbid_a_plan(home, opened):
    home.configure(new="broken")
    home.done("build")
    client = opened(home)
    assert client.command("plan").json()["state"] == "planned"


def test_searches_and_writes_go_on_while_a_bridge_is_fitted(home, opened, monkeypatch):
    home.done("build")
    client, found, pool = opened(home), [], ThreadPoolExecutor(1)

    def meanwhile():
        client("PUT", "/api/items", {"items": [{"id": "fresh", "content": "w1 w2 w3"}]})
        return client.ids("w1 w2 w3", 1)

    def fitted(project, store, new):
        found.append(pool.submit(meanwhile).result(PATIENCE))
        return []

    monkeypatch.setattr(Project, "_fit_bridges", fitted)
    told = client.command("plan")
    pool.shutdown(wait=False)
    assert told.json()["state"] == "planned"
    assert found == [["fresh"]]
    assert client.ids("w1 w2 w3", 1) == ["fresh"]
    client.command("start")
    client.until("ready")
    assert sorted(client.ids("w1 w2", 200)) == sorted([*home.documents, "fresh"])


def test_a_plan_with_another_kind_of_store_is_refused_and_nothing_lost(home, opened):
    home.done("build")
    client = opened(home)
    text = home.config.read_text()
    home.config.write_text(text.replace("[source]", '[store]\nkind = "memory"\n\n[source]'))
    told = client.command("plan")
    assert (told.status_code, told.json()["got"]) == (409, "'memory', which is empty")
    assert client.status()["state"] is None
    assert sorted(client.ids("w1 w2", 200)) == sorted(home.documents)


@pytest.fixture
def lasting():
    """A process that has set apart what is there, as `serve` does."""
    yield set_apart
    gc.unfreeze()


def is_looked_at(thing):
    return any(each is thing for each in gc.get_objects())


@pytest.mark.parametrize("much", [True, False])
def test_what_a_plan_loads_is_set_apart_if_it_is_much(home, opened, lasting, monkeypatch, much):
    monkeypatch.setattr("holdfast.service.lasting.MUCH", 0 if much else 10**9)
    home.done("build")
    client = opened(home)
    steward = client.service.office._steward
    lasting()
    assert not is_looked_at(steward.project.old_encoder)
    client.command("plan")
    assert is_looked_at(steward.project.new_encoder) == (not much)


def test_what_was_set_apart_is_freed_when_it_is_gone(home, opened, lasting, monkeypatch):
    """A gallery may not refer to itself: nobody would look for it."""
    monkeypatch.setattr("holdfast.service.lasting.MUCH", 0)
    home.done("build")
    client = opened(home)
    steward = client.service.office._steward

    def served():
        gallery = steward._gallery
        stores = [side.store for side in (gallery.old, gallery.new) if side is not None]
        return [*map(weakref.ref, (gallery, *stores)), weakref.ref(steward.project.old_encoder)]

    before = served()
    lasting()
    client.command("plan")
    assert [each() for each in before] == [None] * 3
    *before, _ = served()
    lasting()
    client.command("start")
    client.until("ready")
    client.ids("w1 w2", 5)
    client.command("cut-over")
    client.command("finish")
    gc.collect()  # of its engine, which came later
    assert [each() for each in before] == [None] * 3


def test_a_process_that_sets_nothing_apart_is_left_so(client, monkeypatch):
    monkeypatch.setattr("holdfast.service.lasting.MUCH", 0)
    client.command("roll-back")
    client.command("plan")
    assert gc.get_freeze_count() == 0


@pytest.fixture
def space():
    return Space("letters@1", 2, "dot")


def test_a_cache_does_not_stand_between(space, tmp_path):
    asked = []

    def model(texts):
        asked.append(list(texts))
        return np.ones((len(texts), 2))

    cached = CachedEncoder(CallableEncoder(space, model), tmp_path / "cache.sqlite")
    warm([cached, None], "kelp")
    warm([cached, None], "kelp")
    assert asked == [["kelp"], ["kelp"]]
    assert cached.misses == 0
    cached.close()


def test_a_model_that_fails_or_hangs_is_not_waited_for(space):
    answered, left, leave = threading.Event(), [], threading.Event()

    def fails(texts):
        raise EncoderUnavailable("letters", "an answer", "none")

    def hangs(texts):
        left.append(leave.wait(PATIENCE))
        return np.ones((len(texts), 2))

    def answers(texts):
        answered.set()
        return np.ones((len(texts), 2))

    models = [CallableEncoder(space, each) for each in (fails, hangs, answers)]
    warm(models, "kelp", seconds=0.3)
    assert left == []
    assert answered.wait(PATIENCE)  # however late a busy machine lets it begin
    leave.set()
