"""Documents that cannot drift: their code runs, their commands exist, and they name everything.

A Python block that must not run (it needs a key, or an hour) says so: ```python no-run
"""

import ast
import importlib
import inspect
import re
import sys
import tomllib
from itertools import groupby
from pathlib import Path

import click
import pytest

import holdfast
from holdfast import errors
from holdfast.encode.registry import ENCODERS
from holdfast.source.registry import SOURCES
from holdfast.store.registry import STORES
from holdfast.upgrade.config import Config
from tests.house.documents import FENCE, SHELLS, Block, blocks, blocks_of, commands, pages
from tests.house.tree import PACKAGE, ROOT

# Until a page is written there is nothing it could leave out.
DOCS = [path for path in pages() if "docs" in path.relative_to(ROOT).parts]
PROSE = "\n".join(pages().values())
LINKED = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
ERRORS = [
    name
    for name, value in inspect.getmembers(errors, inspect.isclass)
    if issubclass(value, errors.HoldfastError)
]


def cli_commands():
    """Every command as words -> click command, groups within groups included."""
    if not (PACKAGE / "cli" / "__init__.py").exists():
        return {}
    face = vars(importlib.import_module("holdfast.cli"))
    (group,) = {value for value in face.values() if isinstance(value, click.Group)}
    found = {}

    def walk(words, command):
        found[words] = command
        for name, child in sorted(getattr(command, "commands", {}).items()):
            walk((*words, name), child)

    walk(("holdfast",), group)
    return found


COMMANDS = cli_commands()
TARGETS = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def unknown(words: list[str]) -> str:
    """What is wrong with one command line of ours; empty when nothing is."""
    if words[0] == "make":
        targets = [word for word in words[1:] if "=" not in word and not word.startswith("-")]
        return " ".join(t for t in targets if t not in TARGETS)
    if words[0] != "holdfast":
        return ""
    known: tuple[str, ...] = ("holdfast",)
    while words[len(known) : len(known) + 1] and (*known, words[len(known)]) in COMMANDS:
        known = (*known, words[len(known)])
    command, rest = COMMANDS.get(known), words[len(known) :]
    options = {"-h", "--help", "--version"}
    for depth in range(1, len(known) + 1):
        for parameter in getattr(COMMANDS.get(known[:depth]), "params", []):
            options |= {*parameter.opts, *parameter.secondary_opts}
    wrong = [w for w in rest if w.startswith("-") and w.partition("=")[0] not in options]
    if command is None or (hasattr(command, "commands") and rest and not rest[0].startswith("-")):
        wrong = rest[:1]
    return " ".join(wrong)


def run_blocks(path: Path, parts: list[Block]) -> None:
    """Execute the blocks of one page in order, in one namespace; errors point into the page."""
    namespace = {"__name__": "__page__"}
    for block in parts:
        code = "\n" * (block.line - 1) + block.code
        exec(compile(code, str(path), "exec"), namespace)


PYTHON = [b for b in blocks() if b.language in {"python", "py"} and "no-run" not in b.marks]
IMPORTED = sorted(
    {
        f"{node.module}.{alias.name}"
        for block in PYTHON
        for node in ast.walk(ast.parse(block.code))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("holdfast.")
        for alias in node.names
    }
)
SHELL = [b for b in blocks() if b.language in SHELLS]
TOML = [b for b in blocks() if b.language == "toml"]
MODEL = {"encoder": "wordllama"}
SMALLEST = {"version": 1, "source": {"kind": "jsonl"}, "old": MODEL, "new": MODEL}
# Table of holdfast.toml -> what names the part there, the layer of such parts, the parts.
KINDS = {
    "store": ("kind", "store", STORES),
    "source": ("kind", "source", SOURCES),
    "old": ("encoder", "encode", ENCODERS),
    "new": ("encoder", "encode", ENCODERS),
}
WALKED = ROOT / "docs" / "tutorial.md"  # typed as a whole, Python and all: test_walkthrough.py
BY_PAGE = [
    (page, list(group)) for page, group in groupby(PYTHON, key=lambda b: b.path) if page != WALKED
]

if BY_PAGE:

    @pytest.mark.parametrize(("page", "parts"), BY_PAGE, ids=[p.name for p, _ in BY_PAGE])
    def test_the_python_of_a_page_runs(page, parts, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        run_blocks(page, parts)

    @pytest.mark.parametrize("name", IMPORTED)
    def test_what_a_page_imports_is_there_for_strict_type_checkers_too(name):
        where, _, what = name.rpartition(".")
        module = importlib.import_module(where)
        home = getattr(getattr(module, what), "__module__", where)
        assert home == where or what in module.__all__


if SHELL:

    @pytest.mark.parametrize("block", SHELL, ids=str)
    def test_the_commands_of_a_page_exist(block):
        assert [(words, what) for words in commands(block) if (what := unknown(words))] == []


if TOML:

    @pytest.mark.parametrize("block", TOML, ids=str)
    def test_the_settings_of_a_page_are_taken(block):
        told = tomllib.loads(block.code)
        assert told
        if told.keys() <= Config.model_fields.keys():  # else it is no holdfast.toml
            assert Config(**{**SMALLEST, **told})
        for table, (named_by, layer, known) in KINDS.items():
            options = dict(told.get(table, {}))
            kind = options.pop(named_by, None)
            if kind in known:
                module, name = known[kind]
                part = getattr(importlib.import_module(f"holdfast.{layer}.{module}"), name)
                assert set(options) - {"cache"} <= inspect.signature(part).parameters.keys()
            else:
                assert kind in {None, "none", "trained"}


if DOCS:

    @pytest.mark.parametrize("name", ERRORS)
    def test_every_error_is_in_the_documents(name):
        assert re.search(rf"\b{name}\b", PROSE)

    @pytest.mark.parametrize("name", holdfast.__all__)
    def test_every_public_name_is_in_the_documents(name):
        assert re.search(rf"\b{name}\b", PROSE)


if DOCS and COMMANDS:

    @pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
    def test_every_command_is_in_the_documents_and_has_help(words):
        assert re.search(rf"\b{' '.join(words)}\b", PROSE)
        assert COMMANDS[words].help


def prose(path: Path) -> str:
    """A page without its blocks, in which a "#" is no heading."""
    return FENCE.sub("", path.read_text(encoding="utf-8"))


def headings(path: Path) -> set[str]:
    """What links may name after a "#", as GitHub and others make it of headings."""
    lines = re.findall(r"^#+ (.+)$", prose(path), re.M) if path.suffix == ".md" else []
    return {re.sub(r"[^\w\- ]", "", line.strip().lower()).replace(" ", "-") for line in lines}


@pytest.mark.parametrize("path", LINKED, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(path):
    targets = [target.split("#") for target in re.findall(r"\]\((?!\w+:)([^)\s]+)", prose(path))]
    places = [(path.parent / file if file else path, *names) for file, *names in targets]
    lost = [place for place in places if not place[0].exists()]
    lost += [
        (page, name) for page, *names in places for name in names if name not in headings(page)
    ]
    assert lost == []


# The tools of this file, on a page of their own.

PAGE = """
# A page

```python
x = 1
```

```python no-run
x = spend_an_hour()
```

```python
y = x + 1
```

```console
$ make demo ARGS=--quiet && make nothing
make this is output
```

1. An item of a list:

   ```sh
   # a comment
   holdfast nothing \\
       --option
   ```
"""


def test_blocks_are_found_with_their_marks_and_lines():
    found = list(blocks_of(ROOT / "page.md", PAGE))
    assert [(b.language, b.marks, b.line) for b in found] == [
        ("python", (), 5),
        ("python", ("no-run",), 9),
        ("python", (), 13),
        ("console", (), 17),
        ("sh", (), 24),
    ]
    assert found[0].code == "x = 1\n"
    assert commands(found[3]) == [["make", "demo", "ARGS=--quiet"], ["make", "nothing"]]
    assert commands(found[4]) == [["holdfast", "nothing", "--option"]]


def test_blocks_of_a_page_share_a_namespace_and_fail_with_its_line():
    first, _, second, *_ = blocks_of(Path("page.md"), PAGE)
    run_blocks(Path("page.md"), [first, second])
    with pytest.raises(NameError) as caught:
        run_blocks(Path("page.md"), [second])
    last = caught.traceback[-1]
    assert (Path(last.path).name, last.lineno + 1) == ("page.md", 13)


def test_unknown_commands_targets_and_options_are_named(monkeypatch):
    group, sub = (
        click.Group("holdfast"),
        click.Command("plan", params=[click.Option(["--dry-run"])]),
    )
    group.add_command(sub)
    monkeypatch.setattr(
        sys.modules[__name__], "COMMANDS", {("holdfast",): group, ("holdfast", "plan"): sub}
    )
    assert unknown(["make", "demo", "-s", "X=1"]) == ""
    assert unknown(["make", "nothing"]) == "nothing"
    assert unknown(["pip", "install", "holdfast"]) == ""
    assert unknown(["holdfast", "plan", "--dry-run", "holdfast.toml"]) == ""
    assert unknown(["holdfast", "plan", "--wet-run"]) == "--wet-run"
    assert unknown(["holdfast", "nothing"]) == "nothing"
    assert unknown(["holdfast", "--version"]) == ""
