"""A service that is started again while an upgrade is under way."""

import threading
from contextlib import closing
from types import SimpleNamespace

import pytest

from holdfast.errors import StoreError, UpgradeError
from holdfast.service import steward
from holdfast.service.serve import compose
from holdfast.service.settings import Settings
from holdfast.service.tokens import Tokens
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.project import Project
from holdfast.upgrade.search import mixed
from tests.cli import toys
from tests.service.conftest import PATIENCE, TOKEN, Client, patiently


def composed(home, **more):
    return Client(compose(Project(home.config), Settings(tokens=Tokens({"ALICE": TOKEN})), **more))


def test_what_searches_need_is_learned_before_the_first_one(planned, opened, monkeypatch):
    """Learning takes a second or two on a real gallery, which no search should pay."""
    planned.done("backfill", "--until", "50%")
    learned, fusion = [], mixed.Fusion
    monkeypatch.setattr(mixed, "Fusion", lambda *given: learned.append(1) or fusion(*given))
    client = opened(planned)
    assert learned == [1]
    first = client.ids(planned.queries["q0"])
    assert learned == [1]
    monkeypatch.setattr(mixed.Mixed, "ranked", lambda self, found, k, *known: found.by_old(k))
    assert first != client.ids(planned.queries["q0"])  # it was answered by what was learned


def test_nothing_is_learned_where_one_side_is_read(planned, opened, monkeypatch):
    monkeypatch.setattr(mixed, "Fusion", None)
    client = opened(planned)
    assert client.ids(planned.queries["q0"], 1) == ["d0"]


def test_what_cannot_be_learned_does_not_keep_a_service_from_starting(
    planned, opened, monkeypatch, caplog
):
    def fails(gallery):
        raise StoreError("the new side", "rows", "none for now")

    planned.done("backfill", "--until", "50%")
    with monkeypatch.context() as patch:
        patch.setattr(Gallery, "learn", fails)
        client = opened(planned)
    assert "none for now" in caplog.text
    assert client.ids(planned.queries["q0"], 1) == ["d0"]


@pytest.mark.parametrize(("command", "state"), [("pause", "paused"), ("roll-back", "rolled back")])
def test_what_was_asked_for_is_kept_to_where_the_end_comes_first(
    planned, opened, monkeypatch, command, state
):
    """The batch under way hangs, so the service ends before the command does."""
    begun, answer = threading.Event(), threading.Event()

    def hangs(texts):
        begun.set()
        assert answer.wait(PATIENCE)
        return toys._bags(texts, toys.NEW_DIM)

    with monkeypatch.context() as patch:
        patch.setattr(toys, "new", hangs)
        client = composed(planned, grace=0.0)
        client.command("start")
        assert begun.wait(PATIENCE)
        assert not client.command(command, wait=0).json()["done"]
        patiently(client.status, lambda told: told["state"] == "paused")
        client.service.office.leave()  # as the signal does
        end = threading.Thread(target=client.close)
        end.start()
        patiently(lambda: client.service.office._steward.is_open, lambda is_open: not is_open)
        answer.set()
        end.join()
    again = opened(planned)
    told = patiently(again.status, lambda told: not told["command"] and not told["running"])
    assert (told["state"], told["share"]) == (state, 0.0)


def test_a_backfill_that_was_cut_off_does_not_begin_that_of_the_next_plan(planned, opened):
    with closing(composed(planned)) as client:
        client.command("throttle", items_per_second=0.01)
        client.command("start")
        client.until_moved(0.01)
    planned.done("rollback")
    planned.done("plan")
    told = opened(planned).status()
    assert (told["state"], told["running"]) == ("planned", False)


def test_a_pause_that_another_process_asked_for_is_kept_to(planned, opened):
    with closing(composed(planned)) as client:
        client.command("throttle", items_per_second=0.01)
        client.command("start")
        client.until_moved(0.01)
    with closing(Project(planned.config).ledger()) as ledger:
        ledger.ask("pause", why="asked for", by="bob")  # and nobody was there any more
    client = opened(planned)
    told = client.status()
    assert (told["state"], told["running"]) == ("paused", False)
    client.command("throttle", items_per_second=0.0)
    client.command("resume")
    assert client.until("ready")["todo"] == 0


def test_a_rollback_that_was_cut_off_waits_when_told_not_to_resume(planned):
    planned.done("backfill")
    with closing(Project(planned.config).gallery()) as gallery:
        assert gallery.set_state("rolling back", "ready")
    with closing(composed(planned, resume=False)) as client:
        told = client.status()
        assert (told["state"], told["command"]) == ("rolling back", None)
        assert client.command("roll-back").json()["state"] == "rolled back"


def over(planned):
    planned.done("backfill")
    planned.done("cutover")
    return planned.folder / "gallery" / "stores"


def test_a_finish_that_was_cut_off_leaves_no_store_behind(planned, opened, monkeypatch):
    stores, client = over(planned), composed(planned)

    def dies(project):
        raise OSError("and the process was gone")

    with monkeypatch.context() as patch:
        patch.setattr(Project, "drop_old", dies)
        client.command("finish")
    client.close()
    assert len(list(stores.iterdir())) == 2
    client = composed(planned)
    assert len(list(stores.iterdir())) == 1
    assert sorted(client.ids("w1", 200)) == sorted(planned.documents)
    deeds = client.get("/api/audit").json()["deeds"]
    assert [deed["what"] for deed in deeds[-2:]] == ["serve", "delete the old store"]
    client.close()
    again = opened(planned).get("/api/audit").json()["deeds"]
    assert [deed["what"] for deed in again[len(deeds) :]] == ["stop", "serve"]


def test_an_old_store_that_a_program_kept_is_left_to_it(planned, opened):
    stores, project = over(planned), Project(planned.config)
    with closing(project.gallery()) as gallery:
        project.engine(gallery).finish()
    assert sorted(opened(planned).ids("w1", 200)) == sorted(planned.documents)
    assert len(list(stores.iterdir())) == 2


def test_a_finish_that_is_refused_deletes_nothing_later(planned, opened, monkeypatch):
    stores, client = over(planned), composed(planned)

    def refuses(engine, **said):
        raise UpgradeError("finish", "an hour more", "none")

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "finish", refuses)
        assert client.command("finish").status_code == 409
    client.close()
    project = Project(planned.config)
    with closing(project.gallery()) as gallery:
        project.engine(gallery).finish()
    assert len(list(stores.iterdir())) == 2
    opened(planned)
    assert len(list(stores.iterdir())) == 2


def test_a_store_that_was_away_while_a_service_opened_anew_is_opened_later(
    home, opened, monkeypatch
):
    """A plan opens both stores; a database that is away just then must not end all searches."""
    home.done("build")
    client, now = opened(home), [0.0]
    monkeypatch.setattr(steward, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def fails(project, *given):
        raise StoreError("the new side", "a database", "one that is away")

    with monkeypatch.context() as patch:
        patch.setattr(Project, "gallery", fails)
        assert client.command("plan").json()["got"] == "one that is away"
        assert client.get("/ready").json()["got"] == "one that is not"  # within a second
        now[0] += 1.0
        assert client.get("/ready").json()["got"] == "one that is away"
    now[0] += 0.5
    assert client.get("/ready").status_code == 503
    now[0] += 0.5
    assert client.get("/ready").json() == {"ready": True}
    assert client.ids(home.queries["q0"], 1) == ["d0"]
    assert client.command("start").json()["done"]
    client.until("ready")
