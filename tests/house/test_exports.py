"""The public names: listed, sorted, typed and importable."""

import ast
import importlib

import pytest

import holdfast
from tests.house.tree import modules


def typed_imports() -> dict[str, str]:
    """Public name -> module, as a type checker reads them."""
    face = next(module for module in modules() if module.name == "__init__.py")
    block = next(node for node in face.tree.body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    return {
        alias.name: f".{node.module}"
        for node in block.body
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }


def test_names_are_sorted_and_complete():
    assert list(holdfast.__all__) == sorted(set(holdfast.__all__))
    assert list(holdfast.__all__) == list(holdfast._HOMES)
    assert typed_imports() == dict(holdfast._HOMES)


@pytest.mark.parametrize("name", holdfast.__all__)
def test_a_name_is_the_object_of_its_module(name):
    home = importlib.import_module(f"holdfast{holdfast._HOMES[name]}")
    value = getattr(holdfast, name)
    assert value is getattr(home, name)
    assert value.__module__ == home.__name__  # the table names the home, not a re-export
    assert name in dir(holdfast)


def test_the_star_gives_exactly_these_names():
    namespace: dict[str, object] = {}
    exec("from holdfast import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(holdfast.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'holdfast' has no attribute 'Galery'"):
        holdfast.Galery  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'Galery'"):
        exec("from holdfast import Galery")
