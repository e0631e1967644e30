"""What goes wrong in a first afternoon: each mistake is named, and the way on is said."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections import namedtuple
from io import StringIO
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from holdfast.cli import main
from holdfast.cli.face import Face
from holdfast.cli.progress import _Pace, waiting
from holdfast.cli.tables import cut, facts, grid
from holdfast.upgrade.backfill.room import LEAST
from tests.cli.conftest import ITEMS
from tests.house.tree import ROOT

Disk = namedtuple("Disk", "total used free")


def write(home, *records):
    lines = "".join(json.dumps(record) + "\n" for record in records)
    (home.folder / "docs.jsonl").write_text(lines, encoding="utf-8")


def test_the_item_that_cannot_be_embedded_is_named(home):
    pytest.importorskip("wordllama", reason="needs holdfast[wordllama]")
    text = home.config.read_text(encoding="utf-8")
    home.config.write_text(
        text.replace(
            'encoder = "python"\nfunction = "tests.cli.toys:old"\ndim = 16',
            'encoder = "wordllama"',
        )
    )
    write(home, {"id": "a", "text": "kelp", "lang": "en"}, {"id": "b", "text": "", "lang": "en"})
    told = home.data("build", code=1)
    assert (told["items"], told["left_out"]) == (1, 1)
    assert [item["id"] for item in told["failed"]] == ["b"]
    result = home.run("build", "-q")
    assert result.exit_code == 1
    assert result.stdout.splitlines()[1].startswith("b   ")
    assert "items left out: 1. Mend them" in result.stderr
    write(home, {"id": "a", "text": "", "lang": "en"}, {"id": "b", "text": "", "lang": "en"})
    shutil.rmtree(home.folder / "gallery")
    said = home.run("build").stderr
    assert "the old model can embed, got item 'a' with ''. WordLlama" in said
    assert "No item that was asked alone can be" in said


def test_a_build_that_embedded_nothing_leaves_the_choice_of_a_model(home):
    whole = (home.folder / "docs.jsonl").read_text()
    write(home, {"id": "a", "title": "kelp", "lang": "en"})
    assert "expected text in 'text'" in home.run("build").stderr
    (home.folder / "docs.jsonl").write_text(whole)
    text = home.config.read_text(encoding="utf-8")
    home.config.write_text(text.replace("toys:old", "toys:new", 1).replace("dim = 16", "dim = 24"))
    assert home.data("build")["items"] == ITEMS


def test_a_source_without_items_is_not_a_gallery(home):
    write(home)
    home.configure()
    text = home.config.read_text(encoding="utf-8").replace('payload = ["lang"]\n', "")
    home.config.write_text(text)
    result = home.run("build")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "build: expected a source with items, got an empty one." in result.stderr


def test_a_ledger_whose_maker_died_does_not_stop_a_build(home):
    (home.folder / "gallery").mkdir()
    (home.folder / "gallery" / "ledger.sqlite").touch()
    assert "expected a readable ledger, got an empty file. Begin again: holdfast build." in (
        home.run("status").stderr
    )
    assert home.data("build")["items"] == ITEMS


def test_a_reader_that_leaves_is_not_a_failed_gate(planned):
    command = [sys.executable, "-m", "holdfast", *planned.words("search", "w1", "-k", "100")]
    read, written = os.pipe()
    os.close(read)
    done = subprocess.run(command, stdout=written, stderr=subprocess.PIPE, text=True, check=False)
    os.close(written)
    assert (done.returncode, done.stderr) == (2, "")


def test_a_full_device_is_said_in_words(planned):
    command = [sys.executable, "-m", "holdfast", *planned.words("status", "--json")]
    with open("/dev/full", "w", encoding="utf-8") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    error = json.loads(done.stderr)
    assert done.returncode == 2
    assert error["message"] == f"No space left on device. {error['fix']}"
    assert error["fix"] == "Make room, then give the same command again: it goes on."


@pytest.mark.parametrize("way", ["2>&-", "2>/dev/full", ">&- 2>&-", "<&- 2>&-"])
def test_an_error_that_nobody_can_read_is_not_a_failed_gate(home, way):
    command = [sys.executable, "-m", "holdfast", *home.words("cutover")]
    shell = ["sh", "-c", f'exec "$@" {way}', "sh"]
    assert subprocess.run([*shell, *command], check=False).returncode == 2


def test_a_closed_stdout_fails_nothing(planned):
    command = [sys.executable, "-m", "holdfast", *planned.words("status", "--json")]
    shell = ["sh", "-c", 'exec "$@" >&-', "sh"]
    done = subprocess.run([*shell, *command], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_work_stops_in_good_order_before_the_disk_is_full(planned, monkeypatch):
    left = [LEAST + 1, LEAST - 1]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(0, 0, left.pop(0) if left else 5e6))
    result = planned.run("backfill")
    assert result.exit_code == 2
    assert "backfill: expected 67 MB of room on the disk of" in result.stderr
    assert "got 5 MB. Make room, then give the same command again" in result.stderr
    monkeypatch.undo()
    status = planned.data("status")
    assert (status["state"], 0.0 < status["share"] < 1.0) == ("paused", True)
    breach = status["breach"]
    assert (breach["did"], breach["finding"]["value"]) == ("paused", (LEAST - 1) / 1e6)
    assert "breach       room: expected 67 MB of room on the disk of" in planned.done("status")
    deed = planned.data("audit")["deeds"][-1]
    assert (deed["who"], deed["what"], deed["why"]) == ("room", "pause", f"breach: {breach['why']}")
    assert planned.data("backfill")["state"] == "ready"
    assert planned.data("status")["breach"] is None
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Disk(0, 0, 0))
    assert "build: expected 67 MB of room" in planned.run("build").stderr


def test_nothing_found_is_said(planned):
    said = planned.done("search", "w1", "--where", '{"lang": "fr"}')
    assert said.splitlines() == ["“w1”", "Nothing was found.", ""]


def test_ids_cannot_move_the_cursor_and_columns_stand_under_each_other():
    table = grid(("id", "n"), [("\x1b[31mred", 1), ("a\nb", 2), ("日本", 3), ("e\u0301", 4)])
    assert table.splitlines() == [
        "id" + 11 * " " + "n",
        "\\x1b[31mred  1",
        "a\\nb" + 9 * " " + "2",
        "日本" + 9 * " " + "3",
        "e\u0301" + 12 * " " + "4",
    ]
    assert facts([("id", "a\x07")]) == "id  a\\x07"


def test_a_long_id_is_cut_for_people_alone(home):
    long = "x" * 500 + "end"
    write(home, {"id": long, "text": "w1 w2", "lang": "en"})
    home.done("build")
    shown = home.done("search", "w1")
    assert f"{cut(long, 80)}  lang=en" in shown
    assert (len(cut(long, 80)), cut(long, 80)[-3:]) == (80, "end")
    assert home.found("w1")[0][0] == long


def test_no_word_of_the_first_help_is_cut_off():
    said = CliRunner().invoke(main, ["--help"], terminal_width=80).stdout
    assert "..." not in said.partition("Commands:")[2]
    assert max(map(len, said.splitlines())) <= 80


@pytest.mark.parametrize("columns", ["0", "1"])
def test_a_terminal_that_says_it_has_no_room_is_told_everything(planned, columns, monkeypatch):
    told = planned.done("status")
    monkeypatch.setenv("COLUMNS", columns)
    assert planned.done("status") == told != ""


@pytest.mark.parametrize("name", list(main.commands))
def test_every_value_that_an_option_takes_has_a_name(name):
    said = CliRunner().invoke(main, [name, "--help"], terminal_width=100).stdout
    options = said.partition("Options:")[2]
    assert re.findall(r"(?:FLOAT|INTEGER)(?: RANGE)?", options.replace("--port INTEGER", "")) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--store", "egde"), "--store: expected one of edge, "),
        (("--store", "memory"), "one of edge, faiss, pgvector, qdrant, got 'memory'"),
        (("--old", "wordlama"), "got 'wordlama'. Did you mean 'wordllama'?"),
        (("--text", "body"), "--text: expected a field among id, text, lang, got 'body'."),
        (("--text", "{titel}: {text}"), "got 'titel'."),
        (("--id", "name"), "--id: expected a field among id, text, lang, got 'name'."),
        (("--queries", "no.jsonl", "--qrels", "no.tsv"), "--queries: expected a file, got no.jso"),
    ],
)
def test_init_names_the_option_at_fault(home, options, said):
    home.config.unlink()
    assert said in home.refused("init", "--source", str(home.folder / "docs.jsonl"), *options)


def test_init_wants_documents_or_pictures(home):
    home.config.unlink()
    (home.folder / "none.jsonl").touch()
    assert "a folder without any" in home.refused("init", "--source", str(home.folder))
    said = home.refused("init", "--source", str(home.folder / "none.jsonl"))
    assert "got an empty file." in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("version = 1\n", "", "version: expected a value, got none. Write it there."),
        ("[old]", "[odl]", "odl: expected a known setting, got an unknown one (2 problems in all)"),
        ("backoff = 0.0", "rate = -1", "upgrade.rate: expected a value greater than or equal to 0"),
        ("backoff = 0.0", 'rate = "x"', "upgrade.rate: expected a valid number, got 'x'."),
        ("version = 1", "version = 2", "version: expected 1, got 2."),
    ],
)
def test_a_wrong_setting_is_told_in_one_plain_sentence(home, old, new, said):
    text = home.config.read_text(encoding="utf-8")
    assert old in text
    home.config.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert said in home.refused("build")


def test_a_usage_error_is_two_sentences(home):
    said = home.refused("report", "out.html")
    assert said == "holdfast: Got unexpected extra argument (out.html). See: main report --help\n"


def test_inspect_goes_on_without_a_model_that_cannot_be_loaded(home, monkeypatch):
    home.done("build")
    text = home.config.read_text(encoding="utf-8")
    other = '[new]\nencoder = "sentence-transformers"\nmodel = "m"\n\n'
    home.config.write_text(re.sub(r"(?s)\[new\].*?\n\n", other, text))
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    told = home.data("inspect")
    assert told["stores"]["serving"]["items"] == ITEMS
    assert "pip install 'holdfast[sentence-transformers]'" in told["models"]["new"]["problem"]


def test_a_small_gallery_is_told_that_no_sample_will_do(home):
    write(home, *({"id": f"d{n}", "text": f"w{n}", "lang": "en"} for n in range(8)))
    home.done("build")
    result = home.run("assess", "--sample", "100%")
    said = result.stderr
    assert (result.exit_code, result.stdout) == (2, "")
    assert "assess: expected a gallery of at least 50 items, got 8." in said
    assert "--sample" not in said


def test_no_address_is_told_where_nothing_can_serve(planned, monkeypatch):
    pytest.importorskip("fastapi", reason="needs holdfast[serve]")
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    result = planned.run("serve", "--port", "0")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "pip install 'holdfast[serve]'" in result.stderr


def test_the_time_left_is_to_where_the_run_stops(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("holdfast.cli.progress.time.monotonic", lambda: now[0])
    pace = _Pace()
    pace.text(0, 30)
    now[0] = 1.0
    assert pace.text(10, 30) == "10 a second, 0:02 left"
    assert pace.text(40, 30) == "10 a second, 0:00 left"


@pytest.mark.parametrize(("quiet", "terminal"), [(False, True), (True, True), (False, False)])
def test_long_work_says_at_a_terminal_that_it_goes_on(quiet, terminal):
    face, heard = Face(Path("holdfast.toml"), as_json=False, quiet=quiet), StringIO()
    face.side = Console(file=heard, force_terminal=terminal, width=80)
    with waiting(face, "assess: a sample is read"):
        pass
    assert ("assess: a sample is read" in heard.getvalue()) == (terminal and not quiet)
    assert terminal or not heard.getvalue().strip()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("stauts",), "No such command 'stauts'. Did you mean 'status'?"),
        (("xyzzy",), "No such command 'xyzzy'. See:"),
        (("--quiet", "status"), "--quiet goes behind the command: holdfast status --quiet."),
        (("-c", "x.toml", "plan"), "-c goes behind the command: holdfast plan -c."),
        (("search", " "), "A QUERY needs words; one is empty."),
    ],
)
def test_what_was_meant_is_said(words, said):
    result = CliRunner().invoke(main, words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_terminal_that_cannot_show_a_sign_is_told_it_all_the_same(planned):
    def told(*options, encoding):
        command = [
            sys.executable,
            "-m",
            "holdfast",
            *planned.words("search", "kelp 🧿 日", *options),
        ]
        known = {
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "PYTHONIOENCODING": encoding,
        }
        done = subprocess.run(command, capture_output=True, env=known, check=True)
        return done.stdout.decode(encoding)

    assert told(encoding="ascii").startswith("\\u201ckelp \\U0001f9ff \\u65e5\\u201d\n")
    data = [json.loads(told("--json", encoding=encoding)) for encoding in ("latin-1", "utf-8")]
    assert data[0] == data[1]
    assert data[0]["answers"][0]["query"] == "kelp 🧿 日"
    assert "🧿" in told("--json", encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('gallery = "a"', 'gallery = "a\\u0000"', "expected text without the sign of number 0"),
        ("[upgrade]", "[[upgrade]]", "upgrade: expected one table, [upgrade]"),
        ("dim = 24", "dimm = 24", "holdfast.toml: new: encoder 'python': expected options among"),
        ("dim = 16", "dimm = 16", "holdfast.toml: old: encoder 'python': expected options among"),
        (
            'encoder = "python"\nfunction = "tests.cli.toys:new"\ndim = 24',
            'encoder = "none"',
            "holdfast.toml: new: expected a model to upgrade to, got 'none'",
        ),
    ],
)
def test_what_is_wrong_in_the_file_is_said_with_its_place(home, old, new, said):
    home.done("build")
    text = home.config.read_text(encoding="utf-8")
    text = text.replace("version = 1", 'version = 1\ngallery = "a"') if "gallery" in old else text
    assert old in text
    home.config.write_text(text.replace(old, new), encoding="utf-8")
    result = home.run("plan")
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("wordllama:5", "--new: encoder 'wordllama': expected options among dim, query_prefix"),
        ("wordllama,dim=abc", "--new: encoder 'wordllama': dim: expected int, got a value of type"),
        ("http:e5", "missing a required argument: 'base_url'"),
        (
            "python:m:f,dim=2,revision=1",
            """revision: expected str, got a value of type int. Quote a text that looks like a \
number: 'revision="1"'.""",
        ),
        ("none", "--new: expected one of clip,"),
    ],
)
def test_a_model_that_cannot_be_is_refused_before_the_file_is_written(home, model, said):
    home.config.unlink()
    assert said in home.refused("init", "--new", model)
    assert not home.config.exists()


def test_a_folder_instead_of_the_file_is_said(tmp_path):
    result = CliRunner().invoke(main, ["status", "-c", str(tmp_path)])
    assert f"{tmp_path}: expected a configuration, got a folder." in result.stderr


def test_a_gallery_on_a_disk_that_is_read_only_can_be_looked_at(planned, monkeypatch):
    """As on a mount that is read-only, where SQLite cannot make the file that it keeps beside."""
    before, connect = planned.data("status"), sqlite3.connect

    def closed(path, **options):
        if "immutable" not in path:
            raise sqlite3.OperationalError("unable to open database file")
        return connect(path, **options)

    monkeypatch.setattr(sqlite3, "connect", closed)
    monkeypatch.setattr(os, "access", lambda _, mode: mode != os.W_OK)
    assert planned.data("status") == before
    said = planned.run("backfill").stderr
    assert "expected a ledger that can be written, got a folder that is read-only" in said
    log = planned.folder / "gallery" / "ledger.sqlite-wal"
    log.write_bytes(b"what is new")  # somebody writes it, from elsewhere: what is in there counts
    assert "a folder that is read-only" in planned.run("status").stderr


def test_what_leads_on_is_said_where_a_command_comes_too_early(planned):
    assert "Items have to move first: holdfast backfill" in planned.run("cutover").stderr


def test_what_the_machine_said_comes_without_its_number(home):
    home.done("build")
    (home.folder / "docs.jsonl").unlink()
    said = home.run("build").stderr
    assert "docs.jsonl: expected a readable file, got No such file or directory." in said
    said = home.run("assess", "--prices", "nope.toml").stderr
    assert said.startswith("holdfast: nope.toml: expected a table of prices, TOML or JSON, got No ")


def test_a_token_that_is_asked_for_must_be_there(planned, monkeypatch):
    pytest.importorskip("fastapi", reason="needs holdfast[serve]")
    monkeypatch.setenv("HERE", "a-token-that-is-long-enough")
    monkeypatch.delenv("THERE", raising=False)
    options = ("--port", "0", "--token-env", "HERE", "--token-env", "THERE")
    said = planned.refused("serve", *options)
    assert (
        "serve --token-env: expected variables that hold a token, got THERE, which is not" in said
    )
    assert "long-enough" not in said
