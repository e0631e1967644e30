"""Cells of a long benchmark: what is finished is read, not run again."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .at_once import at_once
from .record import arguments, say

CACHE = Path(__file__).resolve().parents[1] / ".compatible_cache"


@dataclass(frozen=True)
class Cells:
    """A folder of finished cells, one JSON file each, and of the models behind them.

    Args:
        folder: Where.
        run: Whether what is not finished is run; else it is left out.
    """

    folder: Path
    run: bool = True

    @classmethod
    def asked(cls, options: argparse.Namespace) -> Cells:
        """As the arguments of `kept_arguments` say."""
        folder = options.cache / "quick" if options.quick else options.cache
        return cls(folder, run=not options.finished)

    @property
    def data(self) -> Path:
        """Where features of pictures and texts are kept, which all sizes share."""
        return self.folder.parent if self.folder.name == "quick" else self.folder

    def cell(self, name: str, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
        """What `make` answers, or what it answered when it was run; with its CPU seconds."""
        path = self.folder / "cells" / f"{name}.json"
        if path.exists():
            kept: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return kept
        if not self.run:
            return {}
        begun = time.process_time()
        made = {**make(), "seconds": time.process_time() - begun}
        with at_once(path) as partial:
            partial.write_text(json.dumps(made), encoding="utf-8")
        say(f"{name}: {made['seconds']:.0f} s")
        return made

    def models(self, name: str) -> Path:
        """The folder of a run, from which it goes on."""
        path = self.folder / "models" / name
        path.mkdir(parents=True, exist_ok=True)
        return path


def kept_arguments(description: str) -> argparse.ArgumentParser:
    """A parser with what all benchmarks of cells take."""
    parser = arguments(description)
    parser.add_argument("--cache", type=Path, default=CACHE)
    parser.add_argument("--finished", action="store_true", help="write what is there, run nothing")
    return parser


def told(interval: Any) -> list[float]:
    """Value, low and high of an interval, as JSON keeps them."""
    return [float(interval.value), float(interval.low), float(interval.high)]
