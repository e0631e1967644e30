"""The stream of CIFAR by a network trained whole: who learns, who is searched, and its tables."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from bench import compatible_whole  # noqa: E402
from bench.compatible_cells import Cells  # noqa: E402
from bench.compatible_convolutional import Pictures, moved  # noqa: E402
from bench.compatible_whole import CHOSEN, RATES, held_out, said, tables, whole  # noqa: E402
from bench.compatible_words import stream_line  # noqa: E402
from holdfast.train.scenarios import Task  # noqa: E402

EACH = {"cifar100": 330, "cifar10": 10_000 // 100}


def told_apart(name, cache):
    """Pictures of one pixel, whose two first bytes are their rank within their class."""
    labels = np.tile(np.arange(100), EACH[name])
    rank = np.repeat(np.arange(EACH[name]), 100)
    rows = np.stack([rank // 256, rank % 256, labels], 1).astype(np.uint8)[:, None, None]
    return Pictures(torch.from_numpy(rows), labels, np.zeros(len(labels), dtype=int))


def ranks(part):
    rows = part.inputs.rows[:, 0, 0].numpy().astype(int)
    return 256 * rows[:, 0] + rows[:, 1]


@pytest.fixture
def stream(monkeypatch, tmp_path):
    monkeypatch.setattr(compatible_whole, "pictures", told_apart)
    return whole(Cells(tmp_path), 3, quick=True)


def test_servers_learn_other_pictures_than_the_deployed_models(stream):
    assert set(ranks(stream.local)) == set(range(30))
    assert set(ranks(stream.server)) == set(range(300, 320))
    assert [len(step) for step in stream.steps] == [10] + 6 * [15]
    assert sorted(name for step in stream.steps for name in step) == sorted(
        f"c{n}" for n in range(100)
    )
    assert [len(set(classes)) for classes in stream.servers] == [30, 60, 100]
    assert (
        set(stream.servers[2]) == set(stream.server.names) == {f"server c{n}" for n in range(100)}
    )


def test_what_a_rate_is_chosen_on_is_known_to_no_model_of_that_choice(stream):
    held = held_out(stream, "AdamW 0.002")
    judged = set(held.asked.names)
    assert len(judged) == 20
    assert set(held.stored.names) == judged
    known = {name.removeprefix("server ") for classes in held.servers for name in classes}
    learned = {name for step in held.steps for name in step}
    assert [len(step) for step in held.steps] == [10, 15]
    assert len(learned) == 25
    assert not judged & (known | learned)
    assert sorted({*ranks(held.asked)}) == list(range(0, 30, 2))
    assert sorted({*ranks(held.stored)}) == list(range(1, 30, 2))


def test_only_the_rate_differs_between_what_is_tried(stream):
    made = {rate: held_out(stream, rate) for rate in RATES}
    assert len({one.name for one in made.values()}) == len(RATES)
    weight = [torch.nn.Parameter(torch.zeros(2, 2))]
    task = Task("1", np.arange(1), np.zeros(1, dtype=int), None, (), "downloaded", "none", True)
    found = {rate: one.recipe.optimiser(task, weight) for rate, one in made.items()}
    assert {type(one).__name__ for one in found.values()} == {"SGD", "AdamW"}
    assert [one.param_groups[0]["lr"] for one in found.values()] == [0.01, 0.002]
    for one in made.values():
        assert one.recipe.augment is moved
        assert (one.recipe.epochs, one.recipe.amp, one.recipe.seed) == (1, "bfloat16", 3)
        assert one.outside == stream.name
    assert CHOSEN in RATES


def test_a_line_has_its_intervals_where_they_are_asked_for():
    matrix = [[0.5, -1.0], [0.4, 0.625]]
    cells = [
        {"AC": [0.9, 0.8, 1.0], "AA": [0.5, 0.45, 0.55], "matrix": matrix},
        {"AC": [0.1, 0.0, 0.2], "AA": [0.25, 0.2, 0.3], "matrix": matrix},
    ]
    plain = "| HOC | 0.90 / 0.10 | 50.0 / 25.0 | 40.0 / 40.0 | 62.5 / 62.5 | 50.0 / 50.0 |"
    assert stream_line("HOC", cells) == plain
    wide = "| HOC | 0.90 (0.80 to 1.00) | 50.0 (45.0 to 55.0) | 40.0 | 62.5 | 50.0 |"
    assert stream_line("HOC", cells[:1], ends=True) == wide


def test_rates_that_were_not_tried_have_no_line(stream, tmp_path):
    cells = Cells(tmp_path, run=False)
    assert tables(cells, stream) == []
    told = {"AC": [1.0, 1.0, 1.0], "AA": [0.5, 0.4, 0.6], "matrix": [[0.5, -1.0], [0.5, 0.5]]}
    path = tmp_path / "cells" / f"tuning-{stream.name}-SGD-0.01-ER.json"
    path.parent.mkdir()
    path.write_text(json.dumps(told))
    lines = tables(cells, stream)[0].splitlines()
    assert lines[4:] == [
        "| ER, SGD 0.01 | 1.00 (1.00 to 1.00) | 50.0 (40.0 to 60.0) | 50.0 | 50.0 | 50.0 |"
    ]


def test_what_is_said_follows_from_the_cells():
    def cell(ac, aa):
        return {"AC": [ac] * 3, "AA": [aa] * 3, "matrix": [[0.4, -1.0], [0.35, 0.5]]}

    found = {"ER": [cell(0.0, 0.25), cell(0.1, 0.25)], "HOC": [cell(0.8, 0.51)]}
    sentence, told = said(found)
    assert "one seed" in sentence
    assert "AC of 0.80 (target 0.90: missed)" in sentence
    assert "26.0 points above that of ER (target 25: met)" in sentence
    assert (
        "ER: AC 0.05, AA 25.0; its last model finds 35.0 % in the first gallery and 50.0 %" in told
    )
    sentence, _ = said({"ER": [cell(0.0, 0.3)] * 2, "HOC": [cell(0.9, 0.5), cell(1.0, 0.5)]})
    assert "2 seeds" in sentence
    assert "AC of 0.95 (target 0.90: met)" in sentence
    assert "20.0 points above that of ER (target 25: missed)" in sentence
    assert said({"ER": found["ER"]})[0] == ""
