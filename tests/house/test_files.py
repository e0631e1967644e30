"""Files and functions a newcomer can read in one go, and words that never belong here."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.house.tree import PACKAGE, ROOT, Module, files, modules

FILE_LINES = 400  # we aim at 120
FUNCTION_LINES = 60  # we aim at 40; the docstring does not count
NO_NAMES = {"utils", "util", "common", "helpers", "helper", "core", "misc"}
UNSAFE = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}

# Built from parts, so that this file passes its own test.
NOT_OURS = [
    re.compile(pattern)
    for pattern in (
        r"(?<![\w.~])/" + "work/",
        r"(?<![\w.])/" + "opt/",
        r"(?<![\w.])/" + "root/",
        "file:" + "///",
        "extra-" + "index-url",
        "find-" + "links",
    )
]


def long_files(module: Module) -> Iterator[str]:
    if module.lines > FILE_LINES:
        yield f"{module.name} has {module.lines} lines"


def long_functions(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        start = node.lineno
        if ast.get_docstring(node) is not None:
            start += node.body[0].end_lineno - node.body[0].lineno + 1
        if node.end_lineno - start + 1 > FUNCTION_LINES:
            yield f"{module.name}:{node.lineno} {node.name} is longer than {FUNCTION_LINES} lines"


def empty_names(module: Module) -> Iterator[str]:
    for part in module.name.removesuffix(".py").split("/"):
        if part.strip("_") in NO_NAMES:
            yield f"{module.name}: {part!r} does not say what is inside"


def unsafe_imports(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            if name.partition(".")[0] in UNSAFE:
                yield f"{module.name}:{node.lineno} imports {name}"


def unsafe_loads(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.keyword) and node.arg in {"allow_pickle", "weights_only"}:
            safe = node.arg == "weights_only"
            if not (isinstance(node.value, ast.Constant) and node.value.value is safe):
                yield f"{module.name}:{node.value.lineno} loads what can run code"


def asserts_and_prints(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assert):
            yield f"{module.name}:{node.lineno} asserts; raise one of our errors"
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "print"
        ):
            yield f"{module.name}:{node.lineno} prints"


def undocumented(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield f"{module.name} has no docstring"
    for node in module.tree.body:
        kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
        if (
            isinstance(node, kinds)
            and not node.name.startswith("_")
            and not ast.get_docstring(node)
        ):
            yield f"{module.name}:{node.lineno} {node.name} has no docstring"


RULES = [
    long_files,
    long_functions,
    empty_names,
    unsafe_imports,
    unsafe_loads,
    asserts_and_prints,
    undocumented,
]


@pytest.mark.parametrize("rule", RULES)
def test_the_package_keeps_the_rule(rule):
    assert [offence for module in modules() for offence in rule(module)] == []


@pytest.mark.parametrize(
    ("rule", "name", "text"),
    [
        (long_files, "a.py", "x = 1\n" * 401),
        (long_functions, "a.py", "def f():\n" + "    x = 1\n" * 60),
        (empty_names, "store/utils.py", ""),
        (empty_names, "core/a.py", ""),
        (unsafe_imports, "a.py", "def f():\n    from pickle import loads"),
        (unsafe_loads, "a.py", "np.load(path, allow_pickle=True)"),
        (asserts_and_prints, "a.py", "def f(x):\n    assert x"),
        (asserts_and_prints, "a.py", "print('hello')"),
        (undocumented, "a.py", "x = 1"),
        (undocumented, "a.py", '"""Says."""\nclass A:\n    pass'),
    ],
)
def test_a_broken_rule_is_noticed(rule, name, text):
    assert len(list(rule(Module(name, ast.parse(text), text.count("\n"))))) == 1


def test_a_long_docstring_does_not_make_a_function_long():
    text = 'def f():\n    """Says.\n' + "    more\n" * 60 + '    """\n' + "    x = 1\n" * 59
    assert list(long_functions(Module("a.py", ast.parse(text), 121))) == []


def strangers(text: str) -> list[str]:
    return [pattern.pattern for pattern in NOT_OURS if pattern.search(text)]


def test_nothing_names_one_machine():
    found = {
        str(path.relative_to(ROOT)): strangers(path.read_text(encoding="utf-8", errors="replace"))
        for path in files()
    }
    assert {name: what for name, what in found.items() if what} == {}


def test_one_machine_is_noticed():
    assert strangers("cd /" + "work/main") != []
    assert strangers("see docs/" + "work/a.md, ~/" + "work/b and https://example.org/path") == []


def test_every_folder_of_the_package_is_a_package():
    folders = {path.parent for path in PACKAGE.rglob("*.py")}
    assert [str(f) for f in sorted(folders) if not (f / "__init__.py").exists()] == []
