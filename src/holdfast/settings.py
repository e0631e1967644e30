"""What people write in TOML: read, and refused in our form."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import ConfigError

if TYPE_CHECKING:
    from pydantic import ValidationError


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
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise ConfigError(str(path), what, "no file", fix) from cause
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as cause:
        raise ConfigError(str(path), "readable TOML", str(cause)) from cause


def config_error(where: str, error: ValidationError) -> ConfigError:
    """The first thing wrong with a configuration, in our form."""
    # A table under a wrong name is missing under the right one: name what was written.
    first = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    setting = ".".join(str(part) for part in first["loc"]) or where
    more = f" ({len(error.errors())} problems in all)" if len(error.errors()) > 1 else ""
    if first["type"] == "extra_forbidden":
        return ConfigError(
            f"{where}: {setting}", "a known setting", f"an unknown one{more}", "Check its spelling."
        )
    if first["type"] == "missing":
        return ConfigError(f"{where}: {setting}", "a value", f"none{more}", "Write it there.")
    said = first["msg"]
    said = said[0].lower() + said[1:]
    wanted = said.removeprefix("input should be ")
    wanted = f"a value {wanted}" if wanted.startswith(("greater", "less")) else wanted
    return ConfigError(f"{where}: {setting}", wanted, f"{first.get('input')!r}{more}", "")
