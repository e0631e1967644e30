"""What people write in TOML and JSON: read, and refused in our form."""

from __future__ import annotations

import inspect
import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

from .errors import ConfigError, said

if TYPE_CHECKING:
    from pydantic import ValidationError

NESTED = 100  # tables, objects and lists within each other: whoever walks them has a short stack
_BOXES = (dict, list)


def read_toml(path: Path, what: str, fix: str = "") -> dict[str, Any]:
    """The tables of a file.

    Args:
        path: The file.
        what: It should be, as errors call it.
        fix: What to do where there is none.
    Raises:
        ConfigError: Not there, or not TOML.
    """
    try:
        tables = toml_of(path.read_text(encoding="utf-8-sig"))  # some editors begin with a mark
    except FileNotFoundError as cause:
        raise ConfigError(str(path), what, "no file", fix) from cause
    except IsADirectoryError as cause:
        raise ConfigError(str(path), what, "a folder", "Name the file in it.") from cause
    except OSError as cause:
        raise ConfigError(str(path), "readable TOML", said(cause)) from cause
    except ValueError as cause:  # bad UTF-8 is one too
        raise ConfigError(str(path), "readable TOML", str(cause)) from cause
    _refuse_nul(path, tables)
    return tables


def toml_of(text: str) -> dict[str, Any]:
    """The tables of a text.

    Raises:
        ValueError: It is no TOML, or nested too deeply.
    """
    tables: dict[str, Any] = _shallow(tomllib.loads, text)
    return tables


def json_of(text: str | bytes) -> Any:
    """The value of a text.

    Raises:
        ValueError: It is no JSON, not UTF-8, or nested too deeply.
    """
    return _shallow(json.loads, text)


def _shallow(read: Callable[[Any], Any], text: str | bytes) -> Any:
    try:
        value = read(text)
        deep = too_deep(value)
    except RecursionError:
        deep = True
    if deep:
        raise ValueError(f"nested more than {NESTED} deep")
    return value


def too_deep(value: Any, room: int = NESTED) -> bool:
    """Whether objects and lists are nested in each other more often than there is room for.

    Example:
        >>> too_deep({"a": [1]}, room=2), too_deep({"a": [[1]]}, room=2)
        (False, True)
    """
    boxes = [value] if isinstance(value, _BOXES) else []
    for _ in range(room):
        if not boxes:
            return False
        inner = (box.values() if isinstance(box, dict) else box for box in boxes)
        boxes = [part for parts in inner for part in parts if isinstance(part, _BOXES)]
    return bool(boxes)


def path_of(word: str, home: Path, who: str) -> Path:
    """The path that a setting names.

    Args:
        word: As it was written; what begins with ~ is in a user's own folder.
        home: The folder that it is relative to.
        who: Whose setting it is, for the message.
    Raises:
        ConfigError: There is no such user.
    Example:
        >>> path_of("gallery", Path("/srv/search"), "gallery").as_posix()
        '/srv/search/gallery'
    """
    told = os.path.expanduser(word)  # noqa: PTH111 - a Path forgets the ./ of ./~name
    if told.startswith("~"):
        fix = f"For a folder of that name write {f'./{word}'!r}."
        raise ConfigError(who, "a path, or ~ for a folder of your own", repr(word), fix)
    return home / told


def _refuse_nul(path: Path, value: Any) -> None:
    """No name of a file, a model or a field can hold this sign."""
    if isinstance(value, dict):
        for each in value.items():
            _refuse_nul(path, each)
    elif isinstance(value, list | tuple):
        for each in value:
            _refuse_nul(path, each)
    elif isinstance(value, str) and "\0" in value:
        raise ConfigError(str(path), "text without the sign of number 0", ascii(value)[:60])


def config_error(
    where: str, error: ValidationError, tables: Mapping[str, str] | None = None
) -> ConfigError:
    """The first thing wrong with a configuration, in our form.

    Args:
        where: The file, or what was configured.
        error: What pydantic found.
        tables: What stands at least in the tables that a file must have, by their names.
    """
    # A table under a wrong name is missing under the right one: name what was written.
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    setting = ".".join(str(part) for part in first["loc"]) or where
    inner = first.get("ctx", {}).get("error")
    if isinstance(inner, ConfigError):  # of a part that says so itself
        who = f"{where}: {setting}.{inner.who.partition(': ')[2]}"
        return ConfigError(who, inner.expected, inner.got, inner.fix)
    more = f" ({len(error.errors())} problems in all)" if len(error.errors()) > 1 else ""
    if first["type"] == "extra_forbidden":
        return ConfigError(
            f"{where}: {setting}", "a known setting", f"an unknown one{more}", "Check its spelling."
        )
    if first["type"] == "missing" and tables and setting in tables:
        fix = f"Add lines to it: [{setting}], and below that {tables[setting]}."
        return ConfigError(f"{where}: {setting}", f"a table, [{setting}]", f"none{more}", fix)
    if first["type"] == "missing":
        return ConfigError(f"{where}: {setting}", "a value", f"none{more}", "Write it there.")
    wanted = asked_for(first["msg"])
    if first["type"] in ("model_type", "dict_type"):
        wanted = f"one table, [{setting}]"
    return ConfigError(f"{where}: {setting}", wanted, f"{first.get('input')!r}{more}", "")


_MEASURED = re.compile(r"(List|String|Bytes|Dictionary) should have (.*?)(?: after validation.*)?")
_KINDS = {"List": "a list of", "String": "text of", "Bytes": "bytes of", "Dictionary": "a table of"}


def asked_for(said: str) -> str:
    """What a check of pydantic's asked for, as it stands behind "expected".

    Example:
        >>> asked_for("Input should be a valid integer, unable to parse string as an integer")
        'a valid integer'
        >>> asked_for("List should have at most 3 items after validation, not 4")
        'a list of at most 3 items'
    """
    found = _MEASURED.fullmatch(said)
    if found:
        return f"{_KINDS[found[1]]} {found[2]}"
    words = said.removeprefix("Value error, ").removeprefix("Input should be ")
    for more in (", unable to parse", ", got a number"):
        words = words.split(more)[0]
    words = words[0].lower() + words[1:]
    return f"a value {words}" if words.startswith(("greater", "less")) else words


def among(options: Iterable[str]) -> str:
    """Which options a part takes, as it stands behind "expected".

    Example:
        >>> among(["path", "id"]), among([])
        ('options among path, id', 'no options')
    """
    told = ", ".join(options)
    return f"options among {told}" if told else "no options"


_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


def check_variable(name: str, who: str) -> None:
    """Refuse what is no name of an environment variable: it may be the secret itself.

    Args:
        name: In capitals.
        who: Whose setting it is, for the message.
    Raises:
        ConfigError: Something else. The message does not repeat it.
    """
    if not _VARIABLE.fullmatch(name):
        raise ConfigError(
            who,
            "the name of an environment variable, in capitals",
            "something else (not repeated here, since it may be the secret)",
            "Put the secret into the environment, and the variable's name here.",
        )


_TABLES = {Mapping: "a table", Sequence: "a list"}  # as TOML calls what Python spells at length


def check_options(make: Callable[..., Any], options: Mapping[str, Any], who: str) -> None:
    """Refuse what is of another kind than the annotations of `make` say, where they are plain.

    TOML tells 384 from "384"; that is found here, where the option has a name.

    Args:
        make: A class or function.
        options: For it, by name; those it does not name are passed over.
        who: Whose options they are, for the message.
    Raises:
        ConfigError: One does not fit. The message does not repeat it.
    """
    made: Any = make
    try:
        wanted = get_type_hints(made.__init__ if isinstance(make, type) else make)
    except (NameError, TypeError):  # of another package, whose annotations are not for us
        return
    for name, value in options.items():
        if not _fits(value, wanted.get(name, Any)):
            raise ConfigError(
                f"{who}: {name}",
                _TABLES.get(get_origin(wanted[name])) or inspect.formatannotation(wanted[name]),
                f"a value of type {type(value).__name__}",
            )


def _fits(value: Any, wanted: Any) -> bool:
    kind = get_origin(wanted) or wanted
    if kind is Any:
        return True
    if kind in (Union, UnionType):
        return any(_fits(value, each) for each in get_args(wanted))
    if kind is Literal:
        return value in get_args(wanted)
    if kind in (str, Path):  # whoever reads a file makes paths of some texts
        return isinstance(value, str | Path)
    if getattr(kind, "__module__", "") not in ("builtins", "collections.abc"):
        return True  # it may be made of what TOML can say
    if isinstance(value, bool):
        return kind in (bool, object)
    return isinstance(value, {int: Integral, float: Real}.get(kind, kind))
