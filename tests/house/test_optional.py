"""Extras: the table, the project's metadata and the installed packages agree."""

import importlib.metadata
import re
import sys

import pytest

from holdfast.errors import MissingExtra
from holdfast.optional import EXTRAS, need
from tests.house.tree import pyproject

DECLARED = pyproject()["project"]["optional-dependencies"]
# open-clip stands on torchvision, which not every machine has a build of; train-text brings
# pandas, which other packages then import with all it knows.
APART = {"open-clip", "train-text"}


def normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


def requirements(extra: str) -> set[str]:
    """Names of the packages an extra installs, through extras of ours it names."""
    found = set()
    for line in DECLARED[extra]:
        name, more = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", line).groups()
        if normal(name) == "holdfast":
            found |= set().union(*(requirements(other) for other in more.split(",")))
        else:
            found.add(normal(name))
    return found


def test_the_table_is_sorted():
    assert list(EXTRAS) == sorted(EXTRAS)


@pytest.mark.parametrize("module", EXTRAS)
def test_the_named_extra_installs_the_module(module):
    extra, purpose = EXTRAS[module]
    carried = importlib.metadata.packages_distributions()
    if extra in APART and module not in carried:
        pytest.skip(f"holdfast[{extra}] is not installed here")
    carriers = {normal(name) for name in carried[module]}
    assert carriers & requirements(extra)
    assert purpose


def test_all_is_every_extra_but_the_development_tools():
    users = set(DECLARED) - {"all", "dev"} - APART
    assert requirements("all") == set().union(*(requirements(extra) for extra in users))


def test_every_extra_for_users_is_documented_by_a_module():
    assert {extra for extra, _ in EXTRAS.values()} == set(DECLARED) - {"all", "dev"}


@pytest.mark.parametrize("module", [*EXTRAS, "pyarrow.parquet"])
def test_a_missing_module_is_reported_with_the_command_that_installs_it(module, monkeypatch):
    root = module.partition(".")[0]
    extra, purpose = EXTRAS[root]
    for loaded in [name for name in sys.modules if name.partition(".")[0] == root]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, root, None)  # makes `import` fail as if not installed
    with pytest.raises(MissingExtra) as caught:
        need(module)
    assert f"holdfast[{extra}]: expected the package `{module}`, for {purpose}" in str(caught.value)
    assert caught.value.fix == f"Install it with: pip install 'holdfast[{extra}]'"
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value.__cause__, ImportError)


def test_an_installed_module_is_returned():
    assert need("faiss") is sys.modules["faiss"]
