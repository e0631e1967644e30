"""Quality at every tenth, and the exit code of a gate."""

import json

import numpy as np
import pytest

from holdfast.errors import EncoderUnavailable
from holdfast.measure.interval import FEW
from holdfast.upgrade.gate import UNCOMPARED
from holdfast.upgrade.watching.quality import Quality
from tests.cli import toys
from tests.cli.conftest import ITEMS


def recall(home, model):
    """R@10 by brute force: each query has one answer."""
    scores = model(list(home.queries.values())) @ model(list(home.documents.values())).T
    own = scores[np.arange(len(home.queries)), np.arange(len(home.queries))]
    return float(((scores > own[:, None]).sum(axis=1) < 10).mean())


@pytest.fixture
def judged(home):
    home.configure(judged=True)
    home.done("build")
    home.done("plan")
    return home


def test_both_ends_are_what_brute_force_says(judged):
    data = judged.data("backfill")
    cells = [finding["cell"] for finding in data["findings"]]
    assert cells == ["old/old", "mixed@0%", *(f"mixed@{tenth}0%" for tenth in range(1, 11))]
    values = [finding["value"] for finding in data["findings"]]
    assert values[0] == pytest.approx(recall(judged, toys.old))
    assert values[-1] == pytest.approx(recall(judged, toys.new))
    assert all(f["low"] <= f["value"] <= f["high"] for f in data["findings"])
    assert judged.data("status")["findings"] == data["findings"]


def test_a_backfill_in_two_parts_measures_each_tenth_once(judged):
    first = judged.data("backfill", "--until", "30%")["findings"]
    assert [f["cell"] for f in first] == [
        "old/old",
        *("mixed@0%", "mixed@10%", "mixed@20%", "mixed@30%"),
    ]
    second = judged.data("backfill")["findings"]
    assert [f["cell"] for f in second][:2] == ["mixed@40%", "mixed@50%"]
    assert len(first) + len(second) == 12


def test_a_share_at_which_the_rest_is_in_quarantine_is_measured_once(judged):
    source = judged.folder / "docs.jsonl"
    lines = source.read_text(encoding="utf-8").splitlines(keepends=True)
    source.write_text("".join(lines[: ITEMS // 2]), encoding="utf-8")
    told = judged.data("backfill")
    assert (told["state"], told["quarantined"], told["share"]) == ("ready", ITEMS // 2, 0.5)
    cells = [finding["cell"] for finding in told["findings"]]
    assert cells[-1] == "mixed@50%"
    assert len(cells) == len(set(cells))


def test_lines_for_people_stand_in_columns(judged):
    lines = [line for line in judged.done("backfill").splitlines() if "R@10" in line]
    assert len(lines) == 12
    assert len({line.index("R@10") for line in lines}) == 1


def test_a_model_that_is_worse_fails_the_gate_with_exit_code_one(home):
    home.configure(new="awful", judged=True)
    home.done("build")
    home.done("plan")
    data = home.data("backfill", code=1)
    assert data["failed"][-1] == "mixed@100%"
    assert data["state"] == "ready"
    verdicts = {f["cell"]: f["verdict"] for f in data["findings"]}
    assert {cell for cell, verdict in verdicts.items() if verdict == "fail"} == set(data["failed"])
    assert verdicts["old/old"] == "info"


@pytest.mark.parametrize("count", [FEW - 1, FEW])
def test_fewer_queries_than_show_anything_fail_no_gate(home, count):
    home.configure(new="awful", more='[[gate]]\ncell = "mixed@*"\nnot_worse = true', judged=True)
    judged = "".join(f"q{i}\td{i}\t1\n" for i in range(count))
    (home.folder / "qrels.tsv").write_text(judged)
    home.done("build")
    home.done("plan")
    data = home.data("backfill", code=int(count == FEW))
    last = data["findings"][-1]
    if count == FEW:
        assert (data["failed"], len(data["gate"])) == ([last["cell"]], 1)
        return
    assert (data["state"], data["failed"], data["gate"]) == ("ready", [], [])
    assert {finding["verdict"] for finding in data["findings"]} == {"info"}
    assert last["note"].startswith("19 queries are too few to judge by; against old/old: -")
    assert last["high"] < data["findings"][0]["low"]  # the intervals alone would have it so


def test_a_failed_gate_names_the_cells(home):
    home.configure(new="awful", judged=True)
    home.done("build")
    home.done("plan")
    result = home.run("backfill")
    assert result.exit_code == 1
    assert "gate failed: below old/old at" in result.stderr
    assert "mixed@100%" in result.stderr
    assert "below old/old at new/new" in home.run("cutover").stderr


def test_the_same_answers_pass_whatever_digits_of_them_are_kept(home):
    home.configure(judged=True)
    text = home.config.read_text(encoding="utf-8")
    home.config.write_text(text.replace('"R@10"', '"nDCG@10"'), encoding="utf-8")
    home.done("build")
    home.done("plan")
    findings = home.data("backfill", "--until", "10%")["findings"]
    verdicts = {finding["cell"]: finding["verdict"] for finding in findings}
    assert 0.0 < findings[0]["value"] < 1.0  # with digits that no file keeps
    assert verdicts["mixed@0%"] == "pass"


def test_other_judgements_are_not_compared_with_those_of_the_old_side(judged):
    judged.data("backfill", "--until", "20%")
    qrels = judged.folder / "qrels.tsv"
    # Now no query's answer is found: against the base that would be worse beyond doubt.
    lines = qrels.read_text(encoding="utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    moved = [f"{rows[i][0]}\t{rows[i - 1][1]}\t1" for i in range(len(rows))]
    qrels.write_text("\n".join(moved), encoding="utf-8")
    result = judged.run("backfill", "--until", "30%")
    assert result.exit_code == 0
    assert "mixed@30%    R@10" in result.stdout
    assert result.stdout.splitlines()[0].endswith(UNCOMPARED)
    text = judged.config.read_text(encoding="utf-8")
    text += '\n[[gate]]\ncell = "mixed@*"\nnot_worse = true\n'
    judged.config.write_text(text, encoding="utf-8")
    result = judged.run("backfill")
    assert result.exit_code == 1
    assert f"{UNCOMPARED}; must not be worse" in result.stderr
    qrels.write_text("\n".join(lines), encoding="utf-8")
    verdicts = {f["verdict"] for f in judged.data("backfill")["findings"]}
    assert verdicts == {"pass"}


def test_judgements_that_come_late_have_nothing_to_be_compared_with(home):
    home.done("build")
    home.done("plan")
    home.done("backfill", "--until", "20%")
    text = home.config.read_text(encoding="utf-8")
    home.configure(judged=True)
    gate = '\n[[gate]]\ncell = "mixed@*"\nnot_worse = true\n'
    home.config.write_text(home.config.read_text(encoding="utf-8") + gate, encoding="utf-8")
    result = home.run("backfill", "--until", "30%")
    assert (result.exit_code, UNCOMPARED in result.stderr) == (1, True)
    home.config.write_text(text, encoding="utf-8")
    home.done("backfill")


def test_judgements_of_items_that_are_not_there_are_not_measured_as_zero(judged):
    answers = judged.folder / "qrels.tsv"
    answers.write_text("".join(f"q{i}\tdoc_{i}\t1\n" for i in range(40)))
    result = judged.run("backfill")
    said = result.stderr
    assert (result.exit_code, judged.data("status")["state"]) == (2, "planned")
    assert "judgements.qrels: expected relevant items that the gallery has" in said
    assert "got none of 40, such as 'doc_0'. They are named by their ids" in said
    answers.write_text("".join(f"q{i}\td{i}\t1\n" for i in range(39)) + "q39\tgone\t1\n")
    first, second = judged.data("backfill", "--until", "5%")["findings"][:2]
    assert first["value"] > 0.0
    assert first["note"] == "1 of 40 relevant items are not in the gallery: missed"
    assert second["note"].startswith("against old/old")
    assert judged.done("status").count(first["note"]) == 1


def test_judgements_that_cannot_be_read_are_refused_before_a_cut_over(judged):
    judged.done("backfill")
    (judged.folder / "qrels.tsv").unlink()
    result = judged.run("cutover")
    assert (result.exit_code, "qrels.tsv" in result.stderr) == (2, True)
    assert judged.data("status")["state"] == "ready"


def test_a_cut_over_that_is_done_ends_with_zero_though_no_model_answers(judged, monkeypatch):
    judged.done("backfill")

    def fails(quality):
        raise EncoderUnavailable("model", "an answer", "none")

    monkeypatch.setattr(Quality, "measure", fails)
    result = judged.run("cutover", "--json")
    assert (result.exit_code, json.loads(result.stdout)["finding"]) == (0, None)
    assert "cut over, but not measured: model: expected an answer" in result.stderr
    assert judged.data("status")["state"] == "cut over"
