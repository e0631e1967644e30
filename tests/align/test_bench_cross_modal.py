"""The benchmark on pictures, with models of seconds: its cells, identities, and its second run."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs holdfast[clip]")
pytest.importorskip("transformers", reason="needs holdfast[clip]")
pytest.importorskip("peft", reason="needs holdfast[clip]")

from bench import cross_modal
from bench.cross_cells import SHARES, cells_of
from bench.pictures import digits
from bench.record import Record
from bench.towers import encoded, ready

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    cache = tmp_path_factory.mktemp("cross")
    world = digits(0, quick=True)
    home = ready(world, 0, cache)
    return SimpleNamespace(
        world=world, home=home, cells=cells_of(world, encoded(world, home), home), cache=cache
    )


def test_every_cell_is_measured_in_both_directions(run):
    cells = {"old/old", "new/new", *cross_modal.SERVED, *cross_modal.ENDS}
    cells |= {f"mixed@{share:.0%}, {way}" for share in SHARES for way in cross_modal.WAYS}
    # The second stage wants more support pairs than the quick world has.
    assert set(run.cells.ranks) == cells - {"projection, adapted on pairs"}
    for both in run.cells.ranks.values():
        assert len(both["I2T"]) == len(run.world.test.images)
        assert len(both["T2I"]) == len(run.world.test.captions)


def test_the_new_model_is_better_and_the_one_index_loses_nothing_of_it(run):
    old, new = run.cells.found("old/old"), run.cells.found("new/new")
    assert new.mean_recall > old.mean_recall + 0.2
    assert run.cells.told["ranks of new/new kept in the one index"] > 0.98
    assert new.mean_recall > run.cells.found("new/new through the projection").mean_recall


def test_a_second_run_reads_what_the_first_one_kept(run, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("trained or measured again")

    monkeypatch.setattr("bench.towers.train", refuse)
    monkeypatch.setattr("bench.cross_cells.Bench.measured", refuse)
    home = ready(run.world, 0, run.cache)
    again = cells_of(run.world, encoded(run.world, home), home)
    assert again.told == run.cells.told
    for cell, both in run.cells.ranks.items():
        for direction, kept in both.items():
            np.testing.assert_array_equal(again.ranks[cell][direction], kept)


def test_the_page_says_what_the_ranks_say(run, capsys):
    record = Record("cross_modal", "title", "data", aims=False)
    cross_modal.summed(record, "digits", [run.cells], "told")
    cross_modal.flipped(record, "digits", [run.cells], "told")
    rows = {(row.cell, row.metric): row for row in record.rows}
    hits = {c: run.cells.ranks[c]["I2T"] <= 10 for c in ("old/old", "projection")}
    gain = rows["digits: projection", "I2T R@10 over old/old"]
    assert gain.value == pytest.approx(hits["projection"].mean() - hits["old/old"].mean())
    assert gain.low <= gain.value <= gain.high
    won, lost = (rows["digits: projection", f"I2T {m}@10"].value for m in ("PFR", "NFR"))
    assert won - lost == pytest.approx(gain.value)
    assert capsys.readouterr().out.count("\n") == len(record.rows)
