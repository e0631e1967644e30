"""The page about orders: its settings carry a backfill, in the order that it promises."""

from __future__ import annotations

import json
import re
import tomllib
from itertools import pairwise

import numpy as np
import pytest

from tests.house.documents import blocks
from tests.house.tree import ROOT
from tests.upgrade.test_project import Home

PAGE = ROOT / "docs" / "how-to" / "choose-an-order.md"
BLOCKS = [block for block in blocks() if block.path == PAGE]
TOML = [tomllib.loads(block.code)["upgrade"] for block in BLOCKS if block.language == "toml"]
SETS = ("scifact", "cranfield", "cosqa")
LOGS = [block.code for block in BLOCKS if block.language == "json"]


@pytest.fixture
def home(tmp_path):
    pytest.importorskip("faiss")
    return Home(tmp_path)


def queued(home, settings, log=LOGS[0]):
    """The queue of a backfill with these settings, and whether it came to its end."""
    (home.folder / "log.jsonl").write_text(log, encoding="utf-8")
    (home.folder / "ids.txt").write_text("d9\nd30\nd4\n", encoding="utf-8")
    plan = "\n".join(f"{key} = {json.dumps(value)}" for key, value in settings.items())
    home.project().build()
    project = home.project(plan=plan)
    project.plan()
    gallery = project.gallery()
    engine = project.engine(gallery)
    engine.start()
    queue = [name for _, name in gallery.ledger.todo(1000)]
    assert engine.run().state == "ready"
    gallery.close()
    return queue


def test_the_table_of_the_page_is_what_was_measured():
    measured = json.loads((ROOT / "docs" / "benchmarks" / "order.json").read_text(encoding="utf-8"))
    values = {(row["cell"], row["metric"]): row["value"] for row in measured["rows"]}
    names = {
        "searched, no log": "items alone",
        "oracle": "oracle: found by either",
        "random, merge cascade": "cascade over random",
        "gain, merge cascade": "cascade over gain",
    }
    cells = [f"{name}, {scheme}" for scheme in ("traffic", "uniform") for name in SETS]
    head, _, *lines = re.findall(r"^\|(.+)\|$", PAGE.read_text(encoding="utf-8"), re.M)
    assert [word.strip() for word in head.split("|")] == ["order", *cells]
    for line in lines:
        order, *told = (word.strip().replace("`", "") for word in line.split("|"))
        order = names.get(order, order)
        for cell, figure in zip(cells, told, strict=True):
            name, scheme = cell.split(", ")
            if figure:
                assert figure == f"{values[f'{name}, {order}', f'{scheme}: area gain']:.2f}"


def test_the_page_shows_an_order_for_each_of_its_promises():
    orders = [settings["order"] for settings in TOML]
    assert orders == ["gain", "searched", "searched", "slice", "given"]
    for log in LOGS:
        assert all(json.loads(line)["count"] > 0 for line in log.splitlines())


@pytest.mark.parametrize("settings", TOML, ids=lambda settings: settings["order"])
def test_the_settings_of_the_page_carry_a_backfill(home, settings):
    if "order_field" in settings:
        settings = {**settings, "order_field": "even"}  # these documents have no language
    queue = queued(home, settings)
    assert sorted(queue) == sorted(home.documents)
    rest = queue[12:]  # a fifth of sixty is the sample
    if settings["order"] == "slice":
        even = [int(name[1:]) % 2 == 0 for name in rest]
        assert sum(a != b for a, b in pairwise(even)) == 1
    if settings["order"] == "given":
        named = [name for name in ("d9", "d30", "d4") if name in rest]
        assert rest[: len(named)] == named


def test_what_was_read_most_moves_first(home):
    queue = queued(home, TOML[1], LOGS[1])
    named = [name for name in ("d12", "d7") if name in queue[12:]]
    assert queue[12 : 12 + len(named)] == named


@pytest.mark.parametrize(("settings", "behind"), [(TOML[0], 20), (TOML[1], 1)])
def test_what_a_past_search_finds_moves_before_what_it_does_not(home, settings, behind):
    text = home.documents["d17"]
    queue = queued(home, settings, json.dumps({"text": text, "count": 1_000_000}))
    assert queue.index("d17") < 12 + behind  # in the sample, or among the best behind it


def test_the_order_is_worked_out_once_and_not_for_other_commands(home, monkeypatch):
    (home.folder / "log.jsonl").write_text(LOGS[0], encoding="utf-8")
    home.project().build()
    project = home.project(plan='order = "searched"\norder_file = "log.jsonl"')
    project.plan()
    searches = []
    monkeypatch.setattr(
        "holdfast.upgrade.priority.rank.Ranking._found",
        lambda self, asked, k: searches.append(len(asked)) or self._store.search(asked, k),
    )
    gallery = project.gallery()
    engine = project.engine(gallery)
    assert searches == []
    engine.run(until=0.5)
    engine = project.engine(gallery)
    engine.run()
    assert searches == [2, 60]
    gallery.close()


def test_a_restart_goes_on_in_the_same_order(home):
    (home.folder / "log.jsonl").write_text(LOGS[0], encoding="utf-8")
    home.project().build()
    project = home.project(plan='order = "searched"\norder_file = "log.jsonl"')
    project.plan()
    gallery = project.gallery()
    engine = project.engine(gallery)
    engine.start()
    queue = [name for _, name in gallery.ledger.todo(1000)]
    engine.run(until=0.4)
    gallery.close()
    (home.folder / "log.jsonl").write_text("something else", encoding="utf-8")
    gallery = home.project(plan='order = "searched"\norder_file = "log.jsonl"').gallery()
    left = [name for _, name in gallery.ledger.todo(1000)]
    moved = gallery.new.store.revisions(queue) >= 0
    assert left == [name for name, done in zip(queue, moved, strict=True) if not done]
    assert left == queue[len(queue) - len(left) :]
    assert np.count_nonzero(moved) == 24
    gallery.close()
