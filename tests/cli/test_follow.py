"""`holdfast follow`: refused without a feed, and one more change taken over with one."""

import json
import threading
import time
from contextlib import contextmanager

import pytest

from holdfast.items import Item
from holdfast.service.steward import Steward
from holdfast.source.feed import Change
from holdfast.source.memory import MemorySource
from holdfast.source.registry import SOURCES
from holdfast.upgrade.follow import Follower
from holdfast.upgrade.parts import Parts
from holdfast.upgrade.project import Project


def test_a_source_without_a_feed_is_refused(home):
    home.done("build")
    assert "expected a source with a feed, got 'jsonl' without one" in home.refused("follow")


class Fed(MemorySource):
    """Documents of which one was added and one deleted since the gallery was built."""

    def __init__(self, feed):
        super().__init__([Item(f"d{n}", f"w{n} w{n + 1}", {"lang": "en"}) for n in range(30)])
        self.changes = []

    def change(self):
        self.upsert([Item("new", "w7 w8 w9", {"lang": "de"})])
        self.delete(["d3"])
        self.changes = [Change(1, "new"), Change(2, "d3")]

    @contextmanager
    def following(self):
        yield True

    def latest(self):
        return max((change.mark for change in self.changes), default=0)

    def changed(self, limit=1000, after=0):
        return [change for change in self.changes if change.mark > after]

    def taken(self, changes):
        self.changes = [change for change in self.changes if change not in changes]

    def answers(self):
        return True


@pytest.fixture
def fed(home, monkeypatch):
    """A source with a feed, in the place of the file; the gallery is built."""
    fed = Fed("feed")
    monkeypatch.setattr(Parts, "source", property(lambda self: fed))
    text = home.config.read_text()
    text = text.replace('kind = "jsonl"', 'kind = "memory"\nfeed = "feed"')
    home.config.write_text(
        text.replace('path = "docs.jsonl"', "").replace('payload = ["lang"]', "")
    )
    assert "memory" in SOURCES
    home.done("build")
    fed.change()
    return fed


def test_a_service_follows_while_nothing_else_goes_on(home, fed):
    steward = Steward(Project(home.config))
    steward.open()
    until = time.monotonic() + 240
    while fed.changes:
        assert time.monotonic() < until
        time.sleep(0.01)
    with steward.using() as gallery:
        assert gallery.search(["w7 w8 w9"], 1).ids[0, 0] == "new"
        assert len(gallery) == 30
    steward.close()
    assert not any(thread.name == "follower" for thread in threading.enumerate())


def test_changes_are_taken_over_once(home, fed):
    assert home.done("follow", "--once") == "Took over 2 changes.\n"
    assert json.loads(home.done("follow", "--once", "--json")) == {"changes": 0}
    ids = [name for name, _ in home.found("w7 w8 w9", 40)]
    assert ids[0] == "new"
    assert "d3" not in ids
    assert len(ids) == 30


def test_a_quiet_one_stays_quiet(home, fed, monkeypatch):
    monkeypatch.setattr(Follower, "run", lambda self, hear: hear(3))
    assert home.done("follow", "-q") == ""
    assert home.done("follow") == "Took over 0 changes.\nTook over 3 changes.\n"
