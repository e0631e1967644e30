"""Sources by name: ours, those of other packages, and what is refused."""

import importlib.metadata
import json

import pytest

from holdfast.errors import ConfigError
from holdfast.items import Item
from holdfast.source import registry
from holdfast.source.memory import MemorySource
from holdfast.source.registry import kinds, open_source


def test_our_kinds():
    assert set(kinds()) >= {"jsonl", "memory", "parquet", "standard-library", "store-payload"}


def test_options_reach_the_class(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"key": "a", "body": "x"}) + "\n")
    source = open_source("jsonl", path=str(path), id="key", text="body")
    assert source.get(["a"]) == [Item("a", "x")]


@pytest.mark.parametrize("kind", sorted(registry.SOURCES))
def test_every_kind_loads_and_refuses_foreign_options(kind):
    words = f"source '{kind}': expected (options among .*|no options), got a.* 'nonsense'"
    with pytest.raises(ConfigError, match=words):
        open_source(kind, nonsense=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"path": 3}, r"path: expected str \| .*Path"),
        ({"path": "x", "text": 7}, "text: expected"),
        ({"path": "x", "payload": 7}, "payload: expected"),
    ],
)
def test_options_of_another_type_are_refused_by_name(options, words):
    with pytest.raises(ConfigError, match=f"source 'jsonl': {words}"):
        open_source("jsonl", **options)


def test_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(ConfigError) as caught:
        open_source("jsnl")
    for kind in kinds():
        assert kind in str(caught.value)


def plug(monkeypatch, name, value):
    point = importlib.metadata.EntryPoint(name, value, registry.GROUP)

    def found(*, group, name=None):
        assert group == "holdfast.sources"
        kept = [point] if name in (None, point.name) else []
        return importlib.metadata.EntryPoints(kept)

    monkeypatch.setattr(registry, "entry_points", found)


class Plugged(MemorySource):
    def __init__(self, start):
        super().__init__([Item(start, "from afar")])


def test_other_packages_add_kinds(monkeypatch):
    plug(monkeypatch, "afar", f"{__name__}:Plugged")
    monkeypatch.setitem(__import__("sys").modules, __name__, type("m", (), {"Plugged": Plugged}))
    assert "afar" in kinds()
    assert open_source("afar", start="s").get(["s"]) == [Item("s", "from afar")]


def test_other_packages_cannot_take_our_names(monkeypatch):
    plug(monkeypatch, "memory", f"{__name__}:Plugged")
    assert type(open_source("memory")) is MemorySource


@pytest.mark.parametrize("value", ["no.such.module:X", "holdfast.source.memory:Absent"])
def test_an_entry_point_that_does_not_load_is_named(monkeypatch, value):
    plug(monkeypatch, "afar", value)
    with pytest.raises(ConfigError, match="source 'afar'"):
        open_source("afar")
