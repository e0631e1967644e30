"""What the house tests read: the repository's files and the syntax of the package."""

import ast
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "holdfast"
WRITTEN_BY_HAND = ("src", "tests", "docs", "bench", ".ci")


@dataclass(frozen=True)
class Module:
    """One file of the package: `name` is its path inside it, "store/edge.py"."""

    name: str
    tree: ast.Module
    lines: int


@cache
def modules() -> tuple[Module, ...]:
    """Every file of the package, parsed."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(PACKAGE).as_posix()
        found.append(Module(name, ast.parse(text), text.count("\n")))
    return tuple(found)


def files() -> Iterator[Path]:
    """Every file a person wrote: the top of the tree and the folders that hold our work."""
    yield from (path for path in sorted(ROOT.iterdir()) if path.is_file())
    for folder in WRITTEN_BY_HAND:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.is_file() and not any(p.endswith(("cache", "cache__")) for p in path.parts):
                yield path


@cache
def pyproject() -> dict[str, Any]:
    """The project's settings."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
