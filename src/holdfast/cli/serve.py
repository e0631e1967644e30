"""`holdfast serve`: the gallery and its upgrade over HTTP, with a dashboard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from ..errors import ConfigError, UpgradeError
from .door import leave_now
from .face import Face, command


@command("serve")
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen on; others than this machine can reach it only where a token is set.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8111,
    show_default=True,
    help="0: any free one.",
)
@click.option(
    "--token-env",
    "names",
    multiple=True,
    metavar="NAME",
    help="Environment variable that holds a token for writing and commanding; may be given several "
    "times, one for each person or program.  [default: HOLDFAST_TOKEN]",
)
@click.option("--private", is_flag=True, help="Reading needs a token too.")
@click.option(
    "--allow-host",
    "hosts",
    multiple=True,
    metavar="NAME",
    help="Name under which the service may be asked for, beside its address.",
)
@click.option(
    "--prices",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Your table of prices, for the cost among the metrics.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on with a backfill or a rollback that was cut off.",
)
@click.option(
    "--grace",
    type=click.FloatRange(min=0.0),
    metavar="SECONDS",
    default=20.0,
    show_default=True,
    help="For what is under way when it is stopped; then it ends all the same.",
)
def serve(
    face: Face,
    names: tuple[str, ...],
    prices: Path | None,
    resume: bool,
    grace: float,
    **where: Any,
) -> None:
    """Serve the gallery and its upgrade over HTTP.

    The dashboard is at the same address. Searches are answered, writes honoured and items moved
    by this one process. Ctrl-C or SIGTERM stops it after what is under way, once more at once; a
    backfill or a rollback that was cut off goes on at the next start. Writing and commanding need
    a token.
    """
    from ..service.serve import serve as run
    from ..service.settings import Settings
    from ..service.tokens import DEFAULT, read_tokens

    tokens = read_tokens(names or (DEFAULT,), os.environ)
    absent = [name for name in names if not os.environ.get(name, "").strip()]
    if absent:
        raise ConfigError(
            "serve --token-env",
            "variables that hold a token",
            f"{absent[0]}, which is not set",
            "Export it, or leave the option away and be read only.",
        )
    settings = Settings(tokens=tokens, **where)

    def tell(address: str) -> None:
        data = {"address": address, "pid": os.getpid(), "writable": bool(tokens)}
        words = f"Serving at {address}" + ("" if tokens else ", read only: no token is set.")
        face.answer(data, words)

    def late(left: list[str]) -> None:
        error = UpgradeError(
            "serve",
            f"an end of what is under way, in {grace:g} seconds and before a second signal",
            f"{' and '.join(left)} that did not",
            "Nothing that was acknowledged is lost; a backfill goes on at the next start.",
        )
        leave_now(error, face.as_json)

    if not run(face.project, settings, prices, resume, tell, grace, late):
        raise UpgradeError(
            "serve", "a service that starts", "one that did not", "See the log above."
        )
