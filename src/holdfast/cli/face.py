"""What a command sees of its caller: the options that all commands share, and where words go.

Results go to stdout: one JSON object with --json, else text. Progress and errors go to stderr.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .door import GATE_FAILED

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from ..upgrade.gallery import Gallery
    from ..upgrade.ledger import Ledger
    from ..upgrade.project import Project

_WIDTH = 80  # columns of a terminal that does not know
_CONFIG = click.option(
    "--config",
    "-c",
    type=click.Path(path_type=Path),
    default=Path("holdfast.toml"),
    show_default=True,
    help="The file that describes the gallery and its models.",
)
_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_QUIET = click.option("--quiet", "-q", is_flag=True, help="Print results and errors only.")


class Face:
    """The caller of a command.

    Args:
        config: Path of holdfast.toml.
        as_json: Print one JSON object and nothing else.
        quiet: Leave out progress and advice.
    """

    def __init__(self, config: Path, as_json: bool, quiet: bool) -> None:
        self.config, self.as_json, self.quiet = config, as_json, quiet

    @cached_property
    def project(self) -> Project:
        """What the configuration describes; nothing heavy is opened yet."""
        from ..upgrade.project import Project

        return Project(self.config)

    @cached_property
    def out(self) -> Console:
        """Where results for people go."""
        return _console(stderr=False)

    @cached_property
    def side(self) -> Console:
        """Where progress goes."""
        return _console(stderr=True)

    @property
    def talks(self) -> bool:
        """Whether anything but results is wanted."""
        return not (self.as_json or self.quiet)

    def note(self, what: RenderableType) -> None:
        """Say something that is not the result."""
        if self.talks:
            self.out.print(what, soft_wrap=isinstance(what, str))

    def answer(self, data: dict[str, Any], *words: RenderableType) -> None:
        """Give the result: the data with --json, else the words."""
        if self.as_json:
            wide = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
            click.echo(json.dumps(data, ensure_ascii=not wide))
            return
        for what in words:
            self.out.print(what, soft_wrap=isinstance(what, str))

    @contextmanager
    def gallery(self, needs_new: bool = True) -> Iterator[Gallery]:
        """The gallery, open; no other process may have it.

        Args:
            needs_new: See `Project.gallery`.
        """
        gallery = self.project.gallery(needs_new)
        try:
            yield gallery
        finally:
            gallery.close()

    @contextmanager
    def ledger(self, readonly: bool = True) -> Iterator[Ledger]:
        """The ledger alone, which works while another process holds the stores."""
        self.project.refuse_unbuilt(click.get_current_context().info_name or "holdfast")
        ledger = self.project.ledger(readonly=readonly)
        try:
            yield ledger
        finally:
            ledger.close()


def _console(stderr: bool) -> Console:
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            """Leave the exit code to the door; rich would take 1, a gate's verdict."""
            raise BrokenPipeError

    console = Plain(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.width:  # with COLUMNS=0 rich would print nothing
        console.width = _WIDTH
    return console


def gate_failed() -> None:
    """Leave with the exit code of a failed gate; the result has been given already."""
    click.get_current_context().exit(GATE_FAILED)


def command(name: str, config: bool = True) -> Callable[[Callable[..., None]], click.Command]:
    """A command of ours: takes a `Face` first, then its own options.

    Args:
        name: What people type.
        config: Whether it takes --config.
    """

    def wrap(run: Callable[..., None]) -> click.Command:
        @wraps(run)
        def with_face(
            as_json: bool, quiet: bool, config: Path = Path("holdfast.toml"), **options: Any
        ) -> None:
            run(Face(config, as_json, quiet), **options)

        shared = _JSON(_QUIET(with_face))
        return click.command(name)(_CONFIG(shared) if config else shared)

    return wrap
