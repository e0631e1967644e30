"""Names of stores: sorted, imported late, open to other packages, polite to typing errors."""

import subprocess
import sys

import pytest

from holdfast.errors import ConfigError
from holdfast.space import Space
from holdfast.store.base import VectorStore
from holdfast.store.memory import MemoryStore
from holdfast.store.registry import STORES, drop_store, known_stores, open_store

SPACE = Space("demo", 2)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package that registers stores, as `pip install` would leave it."""
    (tmp_path / "their_store.py").write_text(
        "from holdfast.store.memory import MemoryStore\n"
        "def make(folder, space, *, speed=1):\n"
        "    store = MemoryStore(space)\n"
        "    store.given = (folder, speed)\n"
        "    return store\n"
    )
    info = tmp_path / "their_store-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-store\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[holdfast.stores]\n"
        "theirs = their_store:make\n"
        "gone = their_store:gone\n"
        "absent = no_such_module_of_theirs:make\n"
        "memory = their_store:make\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("their_store", None)


def test_table_is_sorted_and_read_only():
    assert list(STORES) == sorted(STORES)
    assert set(STORES) == {"edge", "faiss", "memory", "pgvector", "qdrant"}
    with pytest.raises(TypeError):
        STORES["x"] = ("x", "X")


def test_known_stores_are_ours_without_other_packages():
    assert set(STORES) <= set(known_stores())
    assert known_stores() == sorted(known_stores())


def test_memory_is_a_new_store_each_time(tmp_path):
    store = open_store("memory", tmp_path / "unused", SPACE)
    store.upsert(["a"], [[1.0, 0.0]])
    assert isinstance(store, MemoryStore)
    assert store.space == SPACE
    assert len(open_store("memory", tmp_path / "unused", SPACE)) == 0
    assert not (tmp_path / "unused").exists()


def test_unknown_name_lists_the_known_ones(package):
    with pytest.raises(ConfigError) as caught:
        open_store("egde", "folder", SPACE)
    assert "edge, faiss" in str(caught.value)
    assert "theirs" in str(caught.value)
    assert "'egde'" in str(caught.value)


def test_another_package_adds_a_store(package):
    assert "theirs" in known_stores()
    store = open_store("theirs", "there", SPACE, speed=3)
    assert isinstance(store, VectorStore)
    assert store.given == ("there", 3)


@pytest.mark.parametrize(
    ("kind", "option", "wanted"),
    [
        ("edge", {"exact": "no"}, "exact: expected bool, got a value of type str"),
        ("qdrant", {"memory": "false"}, "memory: expected bool"),
        ("qdrant", {"url": 6333}, r"url: expected str \| None"),
        ("faiss", {"exact_below": "5000"}, "exact_below: expected int"),
    ],
)
def test_an_option_of_another_type_is_refused_by_name(tmp_path, kind, option, wanted):
    with pytest.raises(ConfigError, match=f"store '{kind}': {wanted}"):
        open_store(kind, tmp_path / "store", SPACE, **option)
    assert not (tmp_path / "store").exists()


def test_another_package_cannot_replace_ours(package):
    assert known_stores().count("memory") == 1
    assert not hasattr(open_store("memory", "there", SPACE), "given")


@pytest.mark.parametrize("name", ["gone", "absent"])
def test_a_broken_package_is_named(package, name):
    with pytest.raises(ConfigError, match=name) as caught:
        open_store(name, "there", SPACE)
    assert isinstance(caught.value.__cause__, ImportError | AttributeError)


def test_an_option_nobody_takes_is_refused_before_anything_is_made(package, tmp_path):
    with pytest.raises(ConfigError, match="no options"):
        open_store("memory", tmp_path, SPACE, index="flat")
    with pytest.raises(ConfigError, match="among speed"):
        open_store("theirs", tmp_path, SPACE, sped=3)
    with pytest.raises(ConfigError, match="among exact, ef"):
        open_store("edge", tmp_path / "new", SPACE, fe=96)
    assert not (tmp_path / "new").exists()


def test_what_a_store_keeps_elsewhere_is_dropped_and_nothing_else(package, tmp_path):
    store = open_store("qdrant", tmp_path / "q", SPACE)
    store.upsert(["a"], [[1.0, 0.0]])
    store.close()
    assert drop_store("qdrant", tmp_path / "q", SPACE)
    store = open_store("qdrant", tmp_path / "q", SPACE)
    assert len(store) == 0
    store.close()
    for kind in ("edge", "memory", "theirs"):
        assert not drop_store(kind, tmp_path / kind, SPACE)
        assert not (tmp_path / kind).exists()


def test_a_client_is_imported_only_for_its_own_store():
    code = (
        "import sys\n"
        "from holdfast.space import Space\n"
        "from holdfast.store.registry import known_stores, open_store\n"
        "known_stores(); open_store('memory', '', Space('a', 2))\n"
        "print(sorted({'faiss', 'psycopg', 'qdrant_client', 'qdrant_edge'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
