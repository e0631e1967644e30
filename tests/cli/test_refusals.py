"""Wrong input: exit code 2, one sentence on stderr, and nothing written."""

import json
import os
import sys

import pytest

from holdfast.space import Space
from holdfast.store.registry import open_store
from tests.cli.conftest import ITEMS


def change(home, old, new):
    text = home.config.read_text(encoding="utf-8")
    assert old in text
    home.config.write_text(text.replace(old, new), encoding="utf-8")


def test_a_missing_configuration(home):
    home.config.unlink()
    for command in ("build", "plan", "backfill", "status", "cutover", "rollback", "report"):
        said = home.refused(command)
        assert "expected a configuration, got no file. Write one with: holdfast init." in said


def test_an_unknown_setting_is_named(home):
    change(home, "batch_size", "bach_size")
    said = home.refused("build")
    assert said.startswith("holdfast: holdfast.toml: upgrade.bach_size: expected a known setting")
    assert said.count("\n") == 1


def test_a_file_that_is_not_toml(home):
    home.config.write_text("version = = 1")
    assert "readable TOML" in home.refused("build")
    for times in (101, 900, 5_000):
        home.config.write_text(f"version = {'[' * times}{']' * times}")
        assert "readable TOML, got nested more than 100 deep" in home.refused("build")


def test_records_that_are_nested_too_deeply(home):
    deep = "[" * 900 + "]" * 900
    with (home.folder / "docs.jsonl").open("a", encoding="utf-8") as file:
        file.write(f'{{"id": "deep", "text": "w1", "lang": {deep}}}\n')
    said = home.refused("build")
    assert f"line {ITEMS + 1}: expected a JSON object, got nested more than 100 deep" in said


def test_an_unknown_encoder_store_and_source(home):
    original = home.config.read_text(encoding="utf-8")
    for old, new, named in (
        ('encoder = "python"', 'encoder = "pyton"', "'pyton'"),
        ('kind = "jsonl"', 'kind = "jsonnl"', "'jsonnl'"),
        ("version = 1", 'version = 1\n[store]\nkind = "egde"', "'egde'"),
        ("toys:old", "toys:nobody", "nobody"),
        ("dim = 16", "dimm = 16", "'dimm'"),
    ):
        home.config.write_text(original.replace(old, new, 1), encoding="utf-8")
        result = home.run("build")
        assert (result.exit_code, result.stdout) == (2, "")
        assert named in result.stderr


def test_a_setting_that_nothing_reads(home):
    home.configure(more="actors = 4")
    home.done("build")
    said = home.refused("plan")
    assert "plan: actors: expected it beside executor = 'ray', got 4 alone. Write" in said


def test_a_missing_source_names_the_file(home):
    (home.folder / "docs.jsonl").unlink()
    assert "docs.jsonl" in home.run("build").stderr
    assert home.run("build").exit_code == 2


@pytest.mark.parametrize("share", ["30", "0", "0%", "101%", "-5%", "1.5", "half", "nan", ""])
def test_a_share_that_is_none(planned, share):
    assert "expected a share such as 30% or 0.3" in planned.refused("backfill", "--until", share)


def test_commands_without_a_gallery_or_a_plan(home):
    assert "holdfast build" in home.refused("plan", "--dry-run")
    for command in ("status", "report", "quarantine", "pause", "cutover", "finish", "audit"):
        said = home.refused(command)
        assert said.startswith(f"holdfast: {command}: expected a gallery, got none yet.")
        assert "Build it first: holdfast build." in said
    home.done("build")
    for command in ("backfill", "cutover", "rollback", "quarantine", "finish"):
        said = home.run(command, *(["--yes-give-up-the-old-side"] if command == "finish" else []))
        assert said.exit_code == 2
        assert "expected a plan, got none. Write one with: holdfast plan." in said.stderr


def test_commands_at_the_wrong_moment(planned):
    assert "no upgrade under way" in planned.refused("build")
    assert "no upgrade under way" in planned.refused("plan", "--dry-run")
    rows = len(planned.data("audit")["deeds"])
    wrong = {
        "plan": "no upgrade under way",
        "finish": "an upgrade that is cut over",
        "cutover": "an upgrade that is ready",
        "pause": "a backfill that runs",
    }
    for command, wanted in wrong.items():
        word = ["--yes-give-up-the-old-side"] if command == "finish" else []
        said = planned.run(command, *word)
        assert (said.exit_code, said.stdout, wanted in said.stderr) == (2, "", True)
    deeds = planned.data("audit")["deeds"][rows:]
    assert [deed["what"] for deed in deeds] == ["plan", "finish", "cut over", "pause"]
    for deed, wanted in zip(deeds, wrong.values(), strict=True):
        assert deed["outcome"].startswith(f"refused: {deed['what']}: expected {wanted}")
    assert planned.data("status")["state"] == "planned"


def test_a_damaged_ledger_is_named_and_left_alone(planned):
    ledger = planned.folder / "gallery" / "ledger.sqlite"
    for beside in ledger.parent.glob("ledger.sqlite-*"):
        beside.unlink()
    ledger.write_bytes(b"this is no database, whatever its name says" * 200)
    for command in ("status", "backfill", "plan", "rollback", "report"):
        said = planned.refused(command)
        assert "expected a readable ledger" in said
        assert "ledger.sqlite" in said


def test_a_missing_extra_says_how_to_get_it(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "wordllama", None)
    change(
        home,
        'encoder = "python"\nfunction = "tests.cli.toys:old"\ndim = 16',
        'encoder = "wordllama"',
    )
    result = home.run("build")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pip install 'holdfast[wordllama]'" in result.stderr


def test_a_gallery_that_another_holder_has(planned):
    status = planned.data("status")
    space = Space.from_json(status["old"])
    (folder,) = (planned.folder / "gallery" / "stores").glob(f"*{space.fingerprint}")
    store = open_store("edge", folder, space)
    try:
        for command in ("backfill", "search", "cutover", "rollback", "plan"):
            result = planned.run(command, *(["w1"] if command == "search" else []))
            assert (result.exit_code, result.stdout) == (2, "")
        assert f"held by process {os.getpid()}" in planned.run("search", "w1").stderr
        held = planned.data("inspect")["stores"]["old"]
        assert f"process {os.getpid()}" in held["problem"]
        assert held["items"] is None
        assert planned.data("status")["state"] == "planned"
    finally:
        store.close()
    assert planned.data("inspect")["stores"]["old"]["problem"] is None


def test_a_filter_nobody_can_read(planned):
    assert "a JSON object" in planned.refused("search", "w1", "--where", "{lang: en}")
    assert "a JSON object" in planned.refused("search", "w1", "--where", "[" * 200_000)
    assert "a JSON object, got 'null'" in planned.refused("search", "w1", "--where", "null")
    assert planned.run("search", "w1", "--where", '{"lang": {"like": "e"}}').exit_code == 2


def test_init_refuses_what_it_would_regret(home):
    assert "one that exists" in home.refused("init")
    home.config.unlink()
    for options, said in (
        (("--source", str(home.folder / "nothing.jsonl")), "which is not there"),
        (("--source", str(home.folder / "qrels.tsv")), "a file among"),
        (("--old", "wordlama"), "'wordlama'"),
        (("--new", "python:a:b,dim"), "SETTING=VALUE"),
        (("--queries", "queries.jsonl"), "--qrels"),
        (("--text", "{title"), "names in braces"),
        (("--new", "python:a:b,dim=3,dim=4"), "each once"),
        (("--new", "python:a:b,é=3"), "plain names"),
        (("--source", "caf\udce9.jsonl"), "which is not there"),
        (("--source", str(home.folder / "caf\udce9.parquet")), "names in UTF-8"),
        (("--source", str(home.folder / "deep.jsonl")), "JSON objects"),
        (("--source", str(home.folder / "broken.jsonl.gz")), "JSON objects"),
    ):
        (home.folder / "deep.jsonl").write_text("[" * 200_000)
        (home.folder / "broken.jsonl.gz").write_bytes(b"\x1f\x8b\x08\0\0\0\0\0\0\x03garbage")
        (home.folder / "caf\udce9.parquet").touch()
        assert said in home.refused("init", *options)


def test_errors_are_json_where_json_was_asked_for(home):
    home.config.unlink()
    result = home.run("status", "--json")
    assert (result.exit_code, result.stdout) == (2, "")
    error = json.loads(result.stderr)
    assert list(error) == ["error", "message", "who", "expected", "got", "fix"]
    assert error["error"] == "ConfigError"
    assert error["got"] == "no file"
    usage = json.loads(home.run("backfill", "--json", "--until", "30").stderr)
    assert usage["error"] == "BadParameter"
    assert list(usage) == list(error)


def test_usage_errors_point_at_help(home):
    result = home.run("backfill", "--untill", "30%")
    assert result.exit_code == 2
    assert "See: holdfast backfill --help" in result.stderr.replace("main ", "holdfast ")
    assert home.run("backfil").exit_code == 2


def test_a_defect_of_ours_is_not_taken_for_a_gate(home, monkeypatch):
    monkeypatch.setattr("holdfast.upgrade.project.Project.build", lambda *_: 1 // 0)
    result = home.run("build")
    assert result.exit_code == 2
    assert "ZeroDivisionError" in result.stderr


@pytest.mark.parametrize(
    ("broken", "named"),
    [("toys:gone", "gone"), ('toys:new"\nrevision = "2', "go back and plan again")],
)
@pytest.mark.parametrize("merge", ["calibrated", "cascade"])
def test_a_new_model_that_is_gone_or_another_one_keeps_nobody_from_rolling_back(
    home, broken, named, merge
):
    change(home, "backoff = 0.0", f'backoff = 0.0\nmerge = "{merge}"')
    home.done("build")
    home.done("plan")
    home.done("backfill", "--until", "50%")
    change(home, "toys:new", broken)
    before = home.data("status")
    for command in (["backfill"], ["cutover"], ["search", "w1"]):
        result = home.run(*command)
        assert (result.exit_code, result.stdout) == (2, "")
        assert named in result.stderr
    assert home.data("status") == before
    assert home.data("rollback")["items"] == ITEMS
    home.done("search", "w1")


@pytest.mark.parametrize("order", ["slice", "balanced"])
def test_an_order_by_a_field_that_no_item_has_is_not_planned(home, order):
    home.done("build")
    before = home.data("status")
    home.configure(more=f'order = "{order}"\norder_field = "land"')
    for how in (["plan", "--dry-run"], ["plan"]):
        result = home.run(*how)
        assert result.exit_code == 2
        assert "order_field: expected a payload field of the gallery, got 'land'" in result.stderr
        assert home.data("status") == before
    home.configure(more=f'order = "{order}"\norder_field = "lang"')
    home.done("plan")
    assert home.data("backfill")["state"] == "ready"
