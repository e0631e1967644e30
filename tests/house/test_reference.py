"""The pages that are written from the code say what the code says now."""

import importlib.util

import pytest

from tests.house.tree import ROOT

spec = importlib.util.spec_from_file_location("holdfast_docs", ROOT / "docs" / "generate.py")
generate = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generate)


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_generated_page_is_up_to_date(name):
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == generate.PAGES[name](), "run: make docs"


def test_every_command_every_option_and_every_setting_has_words():
    for name in generate.PAGES:
        page = generate.PAGES[name]()
        rows = [line for line in page.splitlines() if line.startswith("| `")]
        assert [row for row in rows if not row.split("|")[-2].strip()] == []


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
