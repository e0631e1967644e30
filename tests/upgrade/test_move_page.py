"""The page on moving between stores is typed, with Qdrant in a folder for a server."""

import re
from dataclasses import replace

import pytest

from tests.house.documents import blocks
from tests.house.test_walkthrough import walk
from tests.house.tree import ROOT

PAGE = [b for b in blocks() if b.path == ROOT / "docs" / "how-to" / "move-between-stores.md"]


def stopped(block):
    """A program that dies between its cut-over and the end."""
    code, count = re.subn(
        r"^    engine.finish\(\)", "    gallery.close()\n    raise EOFError", block.code, flags=re.M
    )
    assert count == 1
    return replace(block, code=code)


def test_a_gallery_of_a_file_is_found_in_its_new_store(tmp_path, monkeypatch):
    for module in ("wordllama", "qdrant_client"):
        pytest.importorskip(module, reason=f"needs the extra that installs {module}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    assert sum(block.language == "python" for block in PAGE) == 2
    for place, block in enumerate(PAGE):
        if block.language == "python":
            with pytest.raises(EOFError):
                walk([stopped(block)])
            walk([block])  # goes on
            walk([block])  # has nothing left to do
        elif block.language == "sh":
            walk([b for b in PAGE[place : place + 2] if b.language != "python"])
