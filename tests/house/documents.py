"""The documents, cut into prose and fenced blocks of code."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from textwrap import dedent

from tests.house.tree import ROOT

# A fence, perhaps within a list; the words after the backticks are its language and marks.
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<info>[^\n`]*)\n(?P<code>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL
)
SHELLS = {"sh", "bash", "shell", "console"}


@dataclass(frozen=True)
class Block:
    """One fenced block; `marks` are the words after its language, such as "no-run"."""

    path: Path
    line: int
    language: str
    marks: tuple[str, ...]
    code: str

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks_of(path: Path, text: str) -> Iterator[Block]:
    for match in FENCE.finditer(text):
        language, *marks = match["info"].split() or [""]
        line = text.count("\n", 0, match.start("code")) + 1
        yield Block(path, line, language, tuple(marks), dedent(match["code"]))


@cache
def pages() -> dict[Path, str]:
    """README and what lies in docs/; figures and tables written by benchmarks are not prose."""
    paths = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return {
        path: path.read_text(encoding="utf-8")
        for path in paths
        if "benchmarks" not in path.relative_to(ROOT).parts
    }


def blocks() -> list[Block]:
    return [block for path, text in pages().items() for block in blocks_of(path, text)]


def commands(block: Block) -> list[list[str]]:
    """The command lines of a shell block, as words; continued lines joined, comments cut.

    In a "console" block only lines after a prompt are commands, the rest is output.
    """
    text = re.sub(r"\\\n\s*", " ", block.code)
    lines = [line.strip() for line in text.splitlines()]
    if block.language == "console" or any(line.startswith("$ ") for line in lines):
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    parts = [part for line in lines for part in re.split(r"&&|\|\||;|\|", _without_comment(line))]
    return [part.split() for part in parts if part.strip()]


def _without_comment(line: str) -> str:
    return re.sub(r"(^|\s)#.*$", "", line)
