"""The pages that are written from the code say what the code says now."""

import importlib.util
import re

import pytest

from holdfast.upgrade.config import Config
from tests.house.tree import ROOT

spec = importlib.util.spec_from_file_location("holdfast_docs", ROOT / "docs" / "generate.py")
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


def generated(name):
    if name == "reference/training.md":
        pytest.importorskip("torch", reason="needs holdfast[train]")
    return generate.PAGES[name]()


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_generated_page_is_up_to_date(name):
    page = generated(name)
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == page, "run: make docs"


@pytest.mark.parametrize("name", generate.PAGES)
def test_every_command_every_option_and_every_setting_has_words(name):
    rows = [line for line in generated(name).splitlines() if line.startswith("| `")]
    assert [row for row in rows if not row.split("|")[-2].strip()] == []


def untold(model, page):
    """Settings of a file that have neither a row nor a heading of their own."""
    told = set(re.findall(r"^\| `(\w+)`|^## (?:.* and )?\[+(\w+)\]", page, re.M))
    return set(model.model_fields) - {name for pair in told for name in pair} - {"old"}


def test_every_table_of_a_file_is_in_the_reference():
    assert untold(Config, generated("reference/configuration.md")) == set()


def test_every_table_of_a_recipe_is_in_the_reference():
    page = generated("reference/training.md")
    assert untold(importlib.import_module("holdfast.train.job").TrainConfig, page) == set()


def test_a_switch_is_told_with_its_opposite_and_a_command_with_its_arguments():
    page = generated("reference/cli.md")
    assert "| `--resume`, `--no-resume` | `--resume` |" in page
    assert "Usage: `holdfast search [OPTIONS] [QUERY]...`" in page


def test_a_docstring_is_read_argument_by_argument():
    text = """What it is.

    Args:
        first: One line.
        second: Two
            lines, of: words.
    Raises:
        Nothing: At all.
    """
    assert {k: " ".join(v.split()) for k, v in generate._arguments(text).items()} == {
        "first": "One line.",
        "second": "Two lines, of: words.",
    }
