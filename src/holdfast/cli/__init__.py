"""The command line: thin commands over the calls that a program would make.

Importing this loads click and nothing heavier: a command imports what it needs when it runs.

    exit code 0   what was asked is done
    exit code 1   it is done, and a measured gate failed, or a build left items out
    exit code 2   it was not done: wrong usage, or the environment; nothing was half written
"""

from __future__ import annotations

import click

from .. import __version__
from .assess import assess
from .audit import audit
from .backfill import backfill, pause, status
from .build import build
from .cutover import cutover, finish, rollback
from .demo import demo
from .door import Door
from .follow import follow
from .init import init
from .inspect import inspect
from .plan import plan
from .quarantine import quarantine
from .report import report
from .search import search
from .serve import serve
from .train import train

__all__ = ["main"]


@click.group(cls=Door, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="holdfast")
def main() -> None:
    """Change the embedding model behind a vector search while the search keeps answering.

    Try it on a real gallery: holdfast demo. On your own data: init, build, assess, plan,
    backfill, cutover; rollback undoes any of it until finish.
    """


# In the order of an upgrade's life, which is the order in which help lists them.
for command in (
    demo,
    init,
    build,
    inspect,
    assess,
    plan,
    backfill,
    pause,
    status,
    search,
    serve,
    follow,
    quarantine,
    report,
    cutover,
    rollback,
    finish,
    audit,
    train,
):
    main.add_command(command)
