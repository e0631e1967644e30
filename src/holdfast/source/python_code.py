"""The functions of Python's standard library: a real gallery that every machine has.

Files are read as text and parsed; no module is imported. Which functions there are
depends on the version of Python, so figures made from this source belong to one.
"""

from __future__ import annotations

import ast
import os
import re
import sysconfig
import tokenize
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from ..errors import SourceError
from ..items import Item
from .base import ItemPage
from .memory import MemorySource

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

# Tests, programs, vendored copies and what is installed beside the library.
SKIPPED = frozenset(
    {
        "__pycache__", "dist-packages", "ensurepip", "idlelib", "lib2to3", "pip",
        "site-packages", "test", "tests", "turtledemo",
    }
)  # fmt: skip
MIN_WORDS = 3  # shorter sentences ("Return self.") ask for nothing in particular
_END = re.compile(r"(?<=[.!?])\s|\n\s*\n")


class StandardLibrarySource:
    """Public functions and methods with a docstring, scanned in the order of their ids.

    The content of an item is the function's code without its docstring; its query, see
    `queries`, is the first sentence of that docstring. The id is module and qualified
    name; the payload holds `module`, `name`, `line` (where it begins) and `lines` (how
    many there are). Left out: names that begin with an underscore, functions inside
    functions, bodies that are nothing but a docstring, sentences of fewer than three
    words, code that is the same as that of an earlier item, and all but the first function
    of one name (setters, the other branch of an `if`).

    Args:
        root: Folder to read; by default the standard library of this interpreter.
    """

    def __init__(self, root: str | Path | None = None) -> None:
        self.root = Path(sysconfig.get_path("stdlib") if root is None else root)

    def __len__(self) -> int:
        return len(self._source)

    def get(self, ids: Sequence[str]) -> list[Item | None]:
        return self._source.get(ids)

    def scan(self, after: str | None = None, limit: int = 1000) -> ItemPage:
        return self._source.scan(after, limit)

    def queries(self) -> list[tuple[str, str]]:
        """Pairs of an item's id and the sentence that asks for it, in the order of ids.

        A sentence that fits several items is left out: it has no one answer.
        """
        asked = Counter(sentence.casefold() for sentence in self._sentences.values())
        return [
            (name, sentence)
            for name, sentence in sorted(self._sentences.items())
            if asked[sentence.casefold()] == 1
        ]

    @property
    def _source(self) -> MemorySource:
        return self._read[0]

    @property
    def _sentences(self) -> dict[str, str]:
        return self._read[1]

    @cached_property
    def _read(self) -> tuple[MemorySource, dict[str, str]]:
        """The items and their sentences; takes about three seconds, once."""
        items: dict[str, Item] = {}
        sentences: dict[str, str] = {}
        names: set[str] = set()
        bodies: set[str] = set()
        for path in self._files():
            for item, sentence in _functions(path, _module(path.relative_to(self.root))):
                if item.id in names:
                    continue  # a setter, or the other branch of an `if`
                names.add(item.id)
                if item.content not in bodies:
                    items[item.id], sentences[item.id] = item, sentence
                    bodies.add(item.content)
        if not items:
            raise SourceError(
                str(self.root),
                "Python files with documented functions",
                "none",
                "Some systems pack the standard library; pass `root`.",
            )
        return MemorySource(items.values()), sentences

    def _files(self) -> Iterator[Path]:
        found: list[Path] = []
        for folder, inside, names in os.walk(self.root):  # what is left out is not entered
            inside[:] = (n for n in inside if n not in SKIPPED and not n.startswith("config-"))
            found += (Path(folder, name) for name in names if name.endswith(".py"))
        yield from sorted(found)


def first_sentence(docstring: str) -> str:
    r"""Up to the first full stop or empty line, in one line.

    Example:
        >>> first_sentence("Join two\n   paths. More.")
        'Join two paths.'
    """
    return " ".join(_END.split(docstring.strip(), maxsplit=1)[0].split())


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _functions(path: Path, module: str) -> Iterator[tuple[Item, str]]:
    try:
        with tokenize.open(path) as file:
            text = file.read()
        tree = ast.parse(text)
    except (OSError, SyntaxError, ValueError):
        return  # templates and samples of broken code are no part of the library
    lines = text.split("\n")
    for name, node in _walk(tree.body, ()):
        sentence = first_sentence(ast.get_docstring(node) or "")
        if len(sentence.split()) < MIN_WORDS or len(node.body) < 2:
            continue
        start = min([node.lineno, *(d.lineno for d in node.decorator_list)])
        payload = {
            "module": module,
            "name": name,
            "line": start,
            "lines": (node.end_lineno or start) - start + 1,
        }
        yield Item(f"{module}.{name}", _code(node, start, lines), payload), sentence


def _walk(body: Sequence[ast.stmt], outer: tuple[str, ...]) -> Iterator[tuple[str, Function]]:
    """Public functions of modules and classes, also those under `if` and `try`."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if not node.name.startswith("_"):
                yield ".".join([*outer, node.name]), node
        elif isinstance(node, ast.ClassDef):
            yield from _walk(node.body, (*outer, node.name))
        elif isinstance(node, ast.If | ast.Try):
            yield from _walk([*node.body, *node.orelse], outer)
            for handler in getattr(node, "handlers", []):
                yield from _walk(handler.body, outer)


def _code(node: Function, start: int, lines: list[str]) -> str:
    """The code of a function from its first line, without the docstring; it still parses."""
    docstring = node.body[0]
    before = lines[start - 1 : docstring.lineno]
    after = lines[(docstring.end_lineno or docstring.lineno) - 1 : node.end_lineno]
    # Offsets count bytes of UTF-8.
    head = before.pop().encode()[: docstring.col_offset].decode()
    rest = after.pop(0).encode()[docstring.end_col_offset :].decode().lstrip(" \t;")
    if rest and not rest.startswith("#"):
        before.append(head + rest)  # `"docstring"; more` on one line
    elif head.strip():
        before.append(head.rstrip())
    margin = " " * node.col_offset
    return "\n".join(line.removeprefix(margin) for line in [*before, *after]).strip("\n")
