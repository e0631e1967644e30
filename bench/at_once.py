"""Files of a bench that are whole or not there: a run may be cut off at any moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def at_once(path: Path) -> Iterator[Path]:
    """Where to write a file, which takes its name once that is done; its folder is made.

    Runs beside each other write each its own: the last one stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{os.getpid()}.{path.name}")  # what `np.save` adds comes last
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
