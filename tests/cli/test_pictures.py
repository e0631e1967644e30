"""A gallery of pictures from old to new: texts and pictures ask it at every moment of the way."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from holdfast.cli import main
from holdfast.errors import InvalidInput
from holdfast.upgrade.search.routes import Routes
from tests.encode.tiny import KINDS, NEW, OLD, photographs, trained_folder

CONFIG = """\
version = 1

[store]
kind = "edge"

[source]
{source}

[old]
encoder = "clip"
model = "{old}"
device = "cpu"

[new]
encoder = "clip"
model = "{new}"
device = "cpu"

[upgrade]
batch_size = 8
max_batch_size = 8
"""


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    """An old and a new model that know the same few words, trained here."""
    home = tmp_path_factory.mktemp("trained")
    return trained_folder(home, OLD, steps=120), trained_folder(home, NEW)


@pytest.fixture
def home(models, tmp_path):
    photographs(tmp_path / "photos", each=8)
    source = 'kind = "pictures"\npath = "photos"'
    configure(tmp_path, models, source)
    return tmp_path


def configure(home, models, source):
    old, new = models
    text = CONFIG.format(source=source, old=old, new=new)
    (home / "holdfast.toml").write_text(text)


def told(home, command, *options):
    words = [command, "-c", str(home / "holdfast.toml"), "--json", *options]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def answers(home, *options, k=5):
    found = told(home, "search", "-k", str(k), *options)["answers"]
    return {answer["query"]: [hit["id"] for hit in answer["hits"]] for answer in found}


def check(home, itself=True):
    """Texts find pictures of their kind; pictures themselves first, and then their kind."""
    texts = [f"a {colour} {shape}" for colour, shape in KINDS]
    shown = [str(home / "photos" / f"{colour}/{shape}-03.png") for colour, shape in KINDS]
    found = answers(home, *texts, *(word for path in shown for word in ("--image", path)))
    right = 0
    for (colour, shape), text, path in zip(KINDS, texts, shown, strict=True):
        right += found[text][0].startswith(f"{colour}/{shape}")
        assert sum(name.startswith(f"{colour}/") for name in found[text]) >= 4, (text, found[text])
        assert not itself or found[path][0] == f"{colour}/{shape}-03.png"
        assert sum(name.startswith(f"{colour}/") for name in found[path]) >= 4
    assert right >= 5  # of six, with models of two seconds


@pytest.mark.slow
def test_texts_and_pictures_ask_at_every_moment(home):
    assert told(home, "build")["items"] == 48
    check(home)
    told(home, "plan")
    told(home, "backfill", "--until", "30%")
    state = told(home, "search", "a red disc")
    assert 0.2 < state["share"] < 0.4
    assert state["reads"] == "both"
    check(home, itself=False)  # two models' scores on one scale: the best of them may trade places
    told(home, "backfill")
    told(home, "cutover")
    assert told(home, "search", "a red disc")["reads"] == "new"
    check(home)


def test_records_name_pictures_and_hold_captions(models, tmp_path):
    """One gallery of pictures and of captions; each may be found by the other."""
    names = photographs(tmp_path / "photos", each=2)
    rows = [{"id": name, "image": f"photos/{name}", "kind": "picture"} for name in names]
    rows += [{"id": f"{c} {s}", "text": f"a {c} {s}", "kind": "caption"} for c, s in KINDS]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = 'kind = "jsonl"\npath = "items.jsonl"\nimage = "image"\npayload = ["kind"]'
    configure(tmp_path, models, source)
    assert told(tmp_path, "build")["items"] == 18
    shown = str(tmp_path / "photos" / names[0])
    where = ("--where", '{"kind": "caption"}')
    found = answers(tmp_path, "--image", shown, *where, k=2)
    assert found[shown][0].startswith("red ")
    found = answers(tmp_path, "a blue disc", "--where", '{"kind": "picture"}', k=4)
    assert all(name.startswith("blue/") for name in found["a blue disc"])


def test_a_photograph_that_cannot_be_opened_stops_neither_a_backfill_nor_a_build(home):
    told(home, "build")
    broken = home / "photos" / "red" / "disc-00.png"
    broken.write_bytes(b"half a file")
    told(home, "plan")
    words = ["backfill", "-c", str(home / "holdfast.toml"), "--json"]
    assert CliRunner().invoke(main, words).exit_code in (0, 3)
    held = told(home, "quarantine")
    assert [item["id"] for item in held["items"]] == ["red/disc-00.png"]
    assert "a picture that can be opened" in json.dumps(held)
    shutil.rmtree(home / "gallery")
    words[0] = "build"
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert (data["items"], data["left_out"]) == (47, 1)
    assert [item["id"] for item in data["failed"]] == ["red/disc-00.png"]


def test_a_search_without_a_question_is_refused(home):
    result = CliRunner().invoke(main, ["search", "-c", str(home / "holdfast.toml")])
    assert result.exit_code == 2
    assert "--image PATH" in result.output


def test_a_folder_is_recognised_by_init(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "beach.png").touch()
    words = ["init", "--source", "photos", "--old", "clip:openai/clip-vit-base-patch32"]
    words += ["--new", "clip:openai/clip-vit-large-patch14"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    text = (tmp_path / "holdfast.toml").read_text()
    assert 'kind = "pictures"\npath = "photos"' in text
    assert 'model = "openai/clip-vit-large-patch14"' in text


@pytest.mark.parametrize("one", [Path("a.png"), b"a file", "a text"])
def test_one_question_is_put_in_a_list(one):
    with pytest.raises(InvalidInput, match="Put it in a list"):
        Routes(None, None, one)
