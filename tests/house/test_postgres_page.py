"""What the page about PostgreSQL tells people to type is typed, on a real server."""

import os

import psycopg
import pytest

from tests.house.documents import blocks
from tests.house.test_walkthrough import PARTS, walk
from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "how-to" / "postgres.md"


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_newcomer_gets_through_the_page(postgres, tmp_path, monkeypatch):
    for module, extra in PARTS.items():
        pytest.importorskip(module, reason=f"needs holdfast[{extra}]")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "2"))
    page = [block for block in blocks() if block.path == PAGE]
    assert {block.language for block in page} == {"sh", "text", "python"}
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS articles, articles_feed")
        connection.execute("DROP FUNCTION IF EXISTS articles_feed_note")
        try:
            walk(page)
        finally:
            connection.execute("DROP TABLE IF EXISTS articles, articles_feed")
            connection.execute("DROP FUNCTION IF EXISTS articles_feed_note")
