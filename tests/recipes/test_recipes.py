"""Recipes that need a library of their own run where it is; the others run with all documents."""

import pytest

from tests.house.documents import blocks_of
from tests.house.tree import ROOT

FOLDER = ROOT / "docs" / "recipes"
NEEDS = {"graph-patterns.md": "networkx"}


@pytest.mark.parametrize("page", sorted(NEEDS))
def test_the_code_of_a_page_runs(page):
    pytest.importorskip(NEEDS[page], reason=f"{page} needs {NEEDS[page]}")
    path = FOLDER / page
    namespace = {"__name__": "__page__"}
    for block in blocks_of(path, path.read_text(encoding="utf-8")):
        exec(compile("\n" * (block.line - 1) + block.code, str(path), "exec"), namespace)
    assert namespace["figures"]["pairs"] > 100


def test_every_page_is_listed_and_says_what_the_upgrade_did():
    listed = (FOLDER / "README.md").read_text(encoding="utf-8")
    pages = [path for path in FOLDER.glob("*.md") if path.name != "README.md"]
    assert len(pages) == 6
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert f"({path.name})" in listed
        for word in ("**Gallery:**", "**Old:**", "**New:**", "**What the upgrade did.**"):
            assert word in text, (path.name, word)
