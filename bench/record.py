"""What a benchmark measured, where, and how it is written down.

A timing is a ratio to a peer or a floor of the same run: `interleaved` runs all that is to be
compared in turns and keeps the least time of each.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from .at_once import at_once

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "benchmarks"
PACKAGES = ("numpy", "qdrant-edge-py", "faiss-cpu", "sentence-transformers", "torch")
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Row:
    """One figure.

    Args:
        metric: What was measured, with its unit: "time / one store's search".
        cell: Where: "edge, share 50 %, batch of 100".
        value: The figure.
        low: Lower end of what was seen, or of an interval.
        high: Upper end.
        target: What it should be: "<= 1.5".
        data: Which data, in words.
        seed: Of the data.
    """

    metric: str
    cell: str
    value: float
    low: float | None = None
    high: float | None = None
    target: str = ""
    data: str = ""
    seed: int | None = None

    @property
    def met(self) -> bool | None:
        """Whether the target is met; None without one."""
        if not self.target:
            return None
        sign, _, bound = self.target.partition(" ")
        compare = {"<=": self.value <= float(bound), ">=": self.value >= float(bound)}
        return compare.get(sign, self.value == float(bound))


@dataclass
class Record:
    """The figures of one benchmark.

    Args:
        name: "crash".
        title: What it shows, in one sentence.
        data: Which data, in words; for all rows that say nothing else.
        seed: Of the data.
        notes: How to read the figures; a paragraph each.
        aims: Whether targets count; those of speed are for the full size.
    """

    name: str
    title: str
    data: str
    seed: int = 0
    notes: list[str] = field(default_factory=list)
    aims: bool = True
    rows: list[Row] = field(default_factory=list)

    def add(self, metric: str, cell: str, value: float, **more: Any) -> Row:
        """Keep a figure, and show it."""
        more.setdefault("data", self.data)
        more.setdefault("seed", self.seed)
        if not self.aims:
            more["target"] = ""
        row = Row(metric, cell, float(value), **more)
        self.rows.append(row)
        aim = f"   (target {row.target}{'' if row.met else ': MISSED'})" if row.target else ""
        print(f"{row.cell:<58} {row.metric}: {_number(row.value)}{aim}", flush=True)
        return row

    def mean(self, metric: str, cell: str, values: Sequence[float], **more: Any) -> Row:
        """Keep the mean of several figures, as of seeds, and their ends."""
        ends = {"low": min(values), "high": max(values)}
        return self.add(metric, cell, np.mean(values), **ends, **more)

    def finish(self, write: bool) -> int:
        """Write the files, if asked; answers the exit code: 1 where a target was missed."""
        if write:
            told = {
                "name": self.name,
                "title": self.title,
                "notes": self.notes,
                **circumstances(),
                "rows": [asdict(row) for row in self.rows],
            }
            path = FOLDER / f"{self.name}.json"
            with at_once(path) as partial:
                partial.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
            with at_once(path.with_suffix(".md")) as partial:
                partial.write_text(render(told), encoding="utf-8")
            say(f"wrote {path.relative_to(ROOT)} and {path.stem}.md")
        return int(any(row.met is False for row in self.rows))


def render(told: Mapping[str, Any]) -> str:
    """The Markdown of what a JSON file says."""
    lines = [f"# {told['name']}: {told['title']}", ""]
    for note in told["notes"]:
        lines += [note, ""]
    lines += ["| cell | metric | value | low to high | target | met |", "|---|---|---|---|---|---|"]
    for given in told["rows"]:
        row = Row(**given)
        ends = "" if row.low is None else f"{_number(row.low)} to {_number(row.high or 0.0)}"
        met = {True: "yes", False: "**no**", None: ""}[row.met]
        cells = (row.cell, row.metric, _number(row.value), ends, row.target, met)
        lines.append("| " + " | ".join(cells) + " |")
    data = sorted({f"{row['data']}, seed {row['seed']}" for row in told["rows"]})
    lines += ["", f"Data: {'; '.join(data)}.", "", f"Command: `{told['command']}`", ""]
    lines += [f"Machine: {told['machine']}.", ""]
    packages = ", ".join(f"{name} {number}" for name, number in told["versions"].items())
    lines += [f"Commit {told['commit']}; {packages}."]
    return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def circumstances() -> dict[str, Any]:
    """The command, the machine, the commit and the versions, without names of hosts or paths."""
    script = sys.modules["__main__"].__spec__
    name = "bench" if script is None else script.name
    arguments = [a for a in sys.argv[1:] if "/" not in a]
    return {
        "command": " ".join(["python", "-m", name, *arguments]),
        "machine": machine(),
        "commit": commit(),
        "versions": {"python": platform.python_version(), **_versions()},
        "date": time.strftime("%Y-%m-%d"),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> str:
    """Cores, memory and the kind of processor."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    told = {}
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            told.setdefault(key.strip(), value.strip())
    except OSError:
        pass
    flags = [flag for flag in FLAGS if flag in told.get("flags", "").split()]
    threads = os.environ.get("OMP_NUM_THREADS", "unset")
    return (
        f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GB, {platform.machine()} "
        f"{told.get('model name', '')} ({', '.join(flags) or 'no wide vectors'}), "
        f"OMP_NUM_THREADS {threads}, load {os.getloadavg()[0]:.1f} at the end"
    )


def commit() -> str:
    """The commit, and whether files differ from it."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=ROOT, capture_output=True, text=True, check=False
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "src", "bench")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + (" with changes" if changed else "")


CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


@contextmanager
def held_to(threads: int) -> Iterator[None]:
    """Keep the thread pools of numpy and faiss to a number of threads; 0 leaves them alone.

    A library that has more goes on spinning after its work, on the core of the next one.
    """
    if not threads:
        yield
        return
    if find_spec("faiss"):  # its pool must be there to be held
        import_module("faiss")
    with threadpool_limits(threads):
        yield


def interleaved(
    tasks: Mapping[str, Callable[[], Any]],
    rounds: int = 5,
    warm: int = 1,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each task in each round; all of them in turns, in changing order."""
    names = list(tasks)
    for _ in range(warm):
        for name in names:
            tasks[name]()
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            begun = clock()
            tasks[name]()
            seconds[name].append(clock() - begun)
    return seconds


def spread(of: Sequence[float], to: Sequence[float]) -> dict[str, float]:
    """The ends of the ratios of single rounds, for `Record.add`."""
    ratios = [a / b for a, b in zip(of, to, strict=True)]
    return {"low": min(ratios), "high": max(ratios)}


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with what all benchmarks take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="small; under a minute; prints only")
    parser.add_argument("--write", action="store_true", help="write the files, also when quick")
    parser.add_argument("--no-write", action="store_true", help="print only")
    return parser


def writes(options: argparse.Namespace) -> bool:
    """Whether this run is to be written down."""
    return bool(options.write or not (options.quick or options.no_write))


def say(text: str) -> None:
    """Progress, beside the figures."""
    print(text, file=sys.stderr, flush=True)
