"""The page on clusters is typed, on this machine alone: local modes stand in for the servers."""

import pytest

from tests.house.documents import blocks
from tests.house.test_walkthrough import walk
from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "how-to" / "scale.md"


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of Ray's own
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::FutureWarning:ray")
@pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")
def test_the_page_can_be_typed(tmp_path, monkeypatch):
    for module in ("ray", "wordllama", "qdrant_client"):
        pytest.importorskip(module, reason=f"needs the extra that installs {module}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    typed = [b for b in blocks() if b.path == PAGE and "needs-server" not in b.marks]
    assert sum(b.language == "sh" for b in typed) == 5
    walk(typed)
