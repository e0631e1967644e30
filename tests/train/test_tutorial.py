"""The tutorial on training, typed from top to bottom."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("PIL", reason="its pictures need Pillow")

from tests.house.documents import blocks
from tests.house.test_walkthrough import walk
from tests.house.tree import ROOT


@pytest.mark.timeout(300)
def test_a_folder_of_pictures_ends_as_a_gallery_served_by_its_second_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    page = ROOT / "docs" / "tutorial-training.md"
    walk([block for block in blocks() if block.path == page])
