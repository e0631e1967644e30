"""What README and tutorial tell a newcomer to type is typed, in order; what it prints is there.

Lines of a `text` block must be among what the commands since the last one printed. Numbers,
bars and widths of columns are left out of the comparison: they depend on the machine.
"""

import os
import re
import shlex
import subprocess

import numpy as np
import pytest
from click.testing import CliRunner

from holdfast.arrays import Vectors
from holdfast.cli import main
from holdfast.encode.sentence_transformers import SentenceTransformersEncoder
from tests.house.documents import Block, blocks
from tests.house.tree import ROOT

PARTS = {"wordllama": "wordllama", "sentence_transformers": "sentence-transformers"}
SET_UP = {"make", "pip", "git", "export", "mkdir"}  # done once by whoever runs the tests
SCORE = re.compile(r"(?<![\d.])-?\d\.\d{4}(?!\d)")
HEREDOC = re.compile(r"<<'(\w+)'\n.*?^\1$", re.MULTILINE | re.DOTALL)


def statements(code: str) -> list[str]:
    """Commands of a shell block: one a line, a heredoc with the line that opens it."""
    held: list[str] = []

    def hold(match: re.Match[str]) -> str:
        held.append(match[0])
        return f"\0{len(held) - 1}"

    lines = re.sub(r"\s*\\\n\s*", " ", HEREDOC.sub(hold, code)).splitlines()
    whole = [re.sub(r"\0(\d+)", lambda m: held[int(m[1])], line) for line in lines]
    return [line for line in whole if line.strip() and not line.startswith("#")]


def run(line: str) -> str:
    """Run one command here; those of ours in this process, so that models are imported once."""
    words = shlex.split(line) if line.startswith("holdfast ") else [line.split(maxsplit=1)[0]]
    if words[0] in SET_UP:
        return ""
    if words[0] == "holdfast":
        result = CliRunner().invoke(main, words[1:])
        assert result.exit_code == 0, f"{line}\n{result.output}"
        return result.output
    done = subprocess.run(["bash", "-ec", line], capture_output=True, text=True, check=True)
    return done.stdout


def plain(text: str) -> list[str]:
    """Lines without numbers, bars, fingerprints and widths."""
    text = re.sub(r"\b[0-9a-f]{16}\b|[\d.,]*\d|█", "", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def scores(text: str) -> dict[str, list[float]]:
    """Figures with four decimals, by the rest of their lines."""
    found: dict[str, list[float]] = {}
    for line in text.splitlines():
        figures = [float(figure) for figure in SCORE.findall(line)]
        if figures:
            found.setdefault(" ".join(plain(line)), []).extend(figures)
    return found


def differing(told: str, printed: str) -> list[str]:
    """Lines of a page whose scores were printed otherwise; models round by 0.001 or so."""
    there = scores(printed)
    return [
        line
        for line, figures in scores(told).items()
        if not all(any(abs(one - other) < 0.005 for other in there[line]) for one in figures)
    ]


def walk(parts: list[Block]) -> None:
    printed, namespace = "", {"__name__": "__page__"}
    for block in parts:
        if block.language == "python" and ("no-run" not in block.marks or "walked" in block.marks):
            code = "\n" * (block.line - 1) + block.code
            exec(compile(code, str(block.path), "exec"), namespace)
        elif block.language == "sh":
            printed += "\n" + "\n".join(run(line) for line in statements(block.code))
        elif block.language == "text" and printed.strip():
            there = plain(printed)
            assert [line for line in plain(block.code) if line not in there] == []
            assert differing(block.code, printed) == []
            printed = ""


@pytest.fixture
def asked_once(monkeypatch):
    """A page asks its model for the same texts in one gallery after another: once will do."""
    known, encode = {}, SentenceTransformersEncoder.encode

    def remember(self, items, role):
        place, texts = (self.space, role), list(items)
        new = [text for text in dict.fromkeys(texts) if (*place, text) not in known]
        if new:
            rows = encode(self, new, role).array
            known.update(((*place, text), row) for text, row in zip(new, rows, strict=True))
        rows = [known[(*place, text)] for text in texts]
        return Vectors(self.space, np.stack(rows)) if rows else encode(self, items, role)

    monkeypatch.setattr(SentenceTransformersEncoder, "encode", remember)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_a_newcomer_gets_through_the_page(page, tmp_path, monkeypatch, asked_once):
    for module, extra in PARTS.items():
        pytest.importorskip(module, reason=f"needs holdfast[{extra}]")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "2"))
    walk([block for block in blocks() if block.path == ROOT / page])


def test_a_heredoc_is_one_statement():
    code = "# c\ncat > a <<'END'\n{\n}\nEND\nholdfast plan \\\n  --dry-run\n"
    assert statements(code) == ["cat > a <<'END'\n{\n}\nEND", "holdfast plan --dry-run"]


def test_a_line_that_is_not_printed_is_noticed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shell = Block(tmp_path, 1, "sh", (), "echo there 1.5\n")
    walk([shell, Block(tmp_path, 1, "text", (), "there   2.5\n")])
    assert differing("1  0.4084  otter", "1  0.4120  otter\n1  0.41  squid") == []
    assert differing("1  0.4084  otter", "1  0.4320  otter") == ["otter"]
    with pytest.raises(AssertionError):
        walk([shell, Block(tmp_path, 1, "text", (), "elsewhere\n")])
