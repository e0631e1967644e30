"""`holdfast follow`: what others wrote into the source, taken over by the gallery."""

from __future__ import annotations

import click

from ..errors import ConfigError
from .face import Face, command


@command("follow")
@click.option("--once", is_flag=True, help="Take over what is there now, and end.")
def follow(face: Face, once: bool) -> None:
    """Take over what others write into the source, until Ctrl-C.

    What they write there comes past the gallery, so the source must have a feed. While a backfill
    or a service runs, it follows by itself.
    """
    source = face.project.config.source
    if not source.options.get("feed"):
        raise ConfigError(
            "follow",
            "a source with a feed",
            f"{source.kind!r} without one",
            'Set feed = "a_name" under [source], with kind = "sql".',
        )
    with face.gallery() as gallery:
        follower = gallery.follower
        if follower is None:  # pragma: no cover - a project whose source has a feed follows it
            return
        _tell(face, follower.catch_up())
        if not once:
            follower.run(lambda count: _tell(face, count))


def _tell(face: Face, count: int) -> None:
    words = f"Took over {count:,} change{'' if count == 1 else 's'}."
    face.answer({"changes": count}, *([words] if face.talks else []))
