"""The door every command leaves by: one place that turns errors into words and exit codes."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
import sys
import traceback
from contextlib import suppress
from difflib import get_close_matches
from io import TextIOWrapper
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn

import click

from ..errors import HoldfastError
from ..sqlite import way_out

DONE, GATE_FAILED, NOT_DONE, INTERRUPTED = 0, 1, 2, 130
_WAYS_OUT = {
    errno.ENOSPC: "Make room, then give the same command again: it goes on.",
    errno.EDQUOT: "Make room, then give the same command again: it goes on.",
    errno.EMFILE: "Raise the limit of open files, ulimit -n, then give the same command again.",
    errno.EROFS: "The folder must be writable; status and report read it as it is.",
}

_OF_COMMANDS = ("--json", "-q", "--quiet", "-c", "--config")


class Door(click.Group):
    """Lists its commands as they were added, and exits as the package's docstring says."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of an upgrade's life."""
        del ctx
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click, and says which command may have been meant."""
        near = get_close_matches(args[0], self.commands, 1)
        if near and args[0] not in self.commands:
            raise click.UsageError(f"No such command {args[0]!r}. Did you mean {near[0]!r}?", ctx)
        return super().resolve_command(ctx, args)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click; the options of commands are known here as well, and said to be theirs."""
        if args and args[0].partition("=")[0] in _OF_COMMANDS:
            command = next((word for word in args if word in self.commands), "COMMAND")
            said = f"{args[0]} goes behind the command: holdfast {command} {args[0]}"
            raise click.UsageError(said, ctx)
        return super().parse_args(ctx, args)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run the command line and leave the process with its exit code."""
        given = args[0] if args else extra.pop("args", None)
        words = sys.argv[1:] if given is None else list(given)
        extra["standalone_mode"] = False
        _open_streams()
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper):  # what a terminal cannot show is no error
                stream.reconfigure(errors="backslashreplace")
        leaving = _Leaving("--json" in words)
        with leaving:
            leaving.code = super().main(words or ["--help"], *args[1:], **extra) or DONE
        sys.exit(leaving.code)


class _Leaving:
    """Catches whatever a command raises; afterwards `code` says how the process ends.

    Even a defect of ours ends with 2, since 1 is read as the verdict of a gate.
    """

    def __init__(self, as_json: bool) -> None:
        self._json = as_json
        self.code = DONE

    def __enter__(self) -> _Leaving:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> bool:
        if error is None or isinstance(error, SystemExit):
            return False
        self.code = NOT_DONE
        if isinstance(error, BrokenPipeError):  # nobody reads any more: `holdfast ... | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        elif isinstance(error, click.exceptions.Abort):
            interrupted = isinstance(error.__cause__, KeyboardInterrupt)
            self.code = INTERRUPTED if interrupted else NOT_DONE
            said, fix = "Interrupted." if interrupted else "Nothing was done.", str(error)
            self._say(_parts(error, f"{said} {fix}".rstrip(), fix))
        elif isinstance(error, click.ClickException):
            context = getattr(error, "ctx", None)
            fix = f"See: {context.command_path} --help" if context else ""
            said = error.format_message()
            said += "" if said.endswith((".", "?", "!")) else "."
            self._say(_parts(error, f"{said} {fix}".rstrip(), fix))
        elif isinstance(error, HoldfastError):
            self._say(_parts(error, str(error), error.fix, error))
        elif isinstance(error, OSError | sqlite3.DatabaseError):
            fix = _WAYS_OUT.get(getattr(error, "errno", None) or 0, "")
            if isinstance(error, sqlite3.Error):
                fix = way_out(error, "Restore the file from a copy.")
            self._say(_parts(error, f"{_environment(error)} {fix}".rstrip(), fix))
        else:
            with suppress(OSError):
                traceback.print_exception(error)
        return True

    def _say(self, parts: dict[str, str]) -> None:
        _say(parts, self._json)


def _open_streams() -> None:
    """Let what goes to a closed stream go nowhere; a file of ours would get its number, and it."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - until the end


def _say(parts: dict[str, str], as_json: bool) -> None:
    with suppress(OSError):  # nobody reads stderr any more; the exit code still says it
        click.echo(json.dumps(parts) if as_json else f"holdfast: {parts['message']}", err=True)


def leave_now(error: HoldfastError, as_json: bool, code: int = NOT_DONE) -> NoReturn:
    """Say an error and end the process, whatever its other threads are at.

    For a thread that cannot be ended: the interpreter would wait for it.
    """
    try:
        _say(_parts(error, str(error), error.fix, error), as_json)
        sys.stdout.flush()
    finally:
        os._exit(code)


def _environment(error: BaseException) -> str:
    """What the machine refused, and of which file, in words."""
    words, where = getattr(error, "strerror", None), getattr(error, "filename", None)
    if not words:
        return f"{type(error).__name__}: {error}."
    return f"{where}: {words}." if where else f"{words}."


def _parts(
    error: BaseException, message: str, fix: str = "", ours: HoldfastError | None = None
) -> dict[str, str]:
    """An error as JSON: the same keys for every kind."""
    return {
        "error": type(error).__name__,
        "message": message,
        "who": ours.who if ours else "",
        "expected": ours.expected if ours else "",
        "got": ours.got if ours else "",
        "fix": fix,
    }
