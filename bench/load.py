"""What users feel of an upgrade: searches at a steady rate before, during and after it.

python -m bench.load [--store edge|pgvector|faiss] [--items 100000] [--searches 40] [--rate 2000]
    [--merge fused] [--yield-above 5] [--kills 2] [--quick]

The process that serves is the one that upgrades, as a live application does it. It is killed
(SIGKILL) while items move, and started again at once, as a supervisor would. Clients ask at fixed
moments, whatever happens; a client whose connection breaks asks again until it is answered. A
latency counts from the moment at which the query was due.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Client
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np

from holdfast.store.registry import open_store

from .load_victim import K, World
from .record import ROOT, Record, arguments, say, writes
from .twins import DATA, Twins, fill

CLIENTS = 8
PATIENCE = 120.0  # seconds until a query counts as failed
SETTLE = 2.0  # seconds after a restart in which those that waited are answered
QUERIES = 2_000

T = TypeVar("T")


@dataclass
class Answer:
    """One query: when it was due, how long it took, how often it was asked."""

    due: float
    took: float
    asked: int
    problem: str = ""


@dataclass
class Supervisor:
    """Keeps the serving process alive.

    Args:
        command: Starts it.
        folder: To start it in.
        word: What its first line begins with, once it answers.
        environment: Its environment; None for ours.
    Attributes:
        outages: (begun, over) of each, in seconds of the monotonic clock.
    """

    command: list[str]
    folder: Path
    word: str
    environment: dict[str, str] | None = None
    outages: list[tuple[float, float]] = field(default_factory=list)
    process: subprocess.Popen[str] | None = None
    ending: bool = False

    def start(self) -> None:
        """Start it, wait until it answers, and see to it from then on."""
        self._launch()
        threading.Thread(target=self._mind, daemon=True).start()

    def _launch(self) -> None:
        self.process = subprocess.Popen(
            self.command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line.startswith(self.word):
            raise SystemExit(f"the serving process did not open: {line!r}")

    def _mind(self) -> None:
        while self.process is not None:
            self.process.wait()
            if self.ending:
                return
            begun = time.monotonic()
            self._launch()
            self.outages.append((begun, time.monotonic()))

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            os.kill(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """For good."""
        self.ending = True
        self.kill()


class Patient:
    """A connection that is made anew when it breaks.

    Args:
        connect: Makes one.
        broken: What a broken one raises, beside OSError.
    """

    def __init__(self, connect: Callable[[], Any], broken: type[Exception]) -> None:
        self._connect, self._broken = connect, (OSError, broken)
        self._client: Any = None

    def ask(self, use: Callable[[Any], T], until: float) -> tuple[T | None, int]:
        """What using it answers, None where time is over, and how often it took to ask."""
        times = 0
        while True:
            times += 1
            try:
                if self._client is None:
                    self._client = self._connect()
                return use(self._client), times
            except self._broken:
                self._client = None
                if time.monotonic() > until:
                    return None, times
                time.sleep(0.02)


class Line:
    """To the serving process, through its socket."""

    def __init__(self, folder: Path) -> None:
        address = str(folder / "socket")
        self._line = Patient(lambda: Client(address, family="AF_UNIX"), EOFError)

    def ask(self, request: dict[str, Any], until: float) -> tuple[dict[str, Any], int]:
        """The answer, and how often it took to ask."""

        def exchange(client: Any) -> dict[str, Any]:
            client.send_bytes(json.dumps(request).encode())
            told: dict[str, Any] = json.loads(client.recv_bytes())
            return told

        told, times = self._line.ask(exchange, until)
        return told or {"error": "no answer"}, times

    def search(self, tick: int, until: float) -> tuple[list[str], str, int]:
        """Ids, what is wrong, and how often it took to ask."""
        told, times = self.ask({"q": tick * 7919 % QUERIES}, until)
        return told.get("ids", []), told.get("error", ""), times


class Searches(Protocol):
    """What a client needs."""

    def search(self, tick: int, until: float) -> tuple[list[str], str, int]:
        """Ids, what is wrong, and how often it took to ask; the number of the query is given."""


class Load:
    """Clients that ask at a steady rate.

    Args:
        line: Makes a connection.
        rate: Searches a second.
    """

    def __init__(self, line: Callable[[], Searches], rate: float) -> None:
        self.answers: list[Answer] = []
        self._line, self._rate, self._stop = line, rate, threading.Event()
        self._ticks, self._lock = itertools.count(), threading.Lock()
        self._begun = time.monotonic()
        self._threads = [threading.Thread(target=self._client) for _ in range(CLIENTS)]
        for thread in self._threads:
            thread.start()

    def _client(self) -> None:
        line = self._line()
        while not self._stop.is_set():
            with self._lock:
                tick = next(self._ticks)
            due = self._begun + tick / self._rate
            time.sleep(max(due - time.monotonic(), 0.0))
            ids, problem, times = line.search(tick, due + PATIENCE)
            took = time.monotonic() - due
            if not problem and len(set(ids)) != K:
                problem = f"{len(set(ids))} different hits"
            self.answers.append(Answer(due, took, times, problem))

    def end(self) -> None:
        """Let every client finish."""
        self._stop.set()
        for thread in self._threads:
            thread.join()


@contextlib.contextmanager
def served(options: argparse.Namespace, world: World) -> Iterator[Path]:
    """A folder with the old store filled and its index made."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-load-")))
        if world.store == "pgvector":
            from .postgres import server

            stack.enter_context(server())
        twins = Twins.made(world.items, QUERIES, world.dim, options.seed)
        for side, (items, queries) in enumerate(
            ((twins.old, twins.old_queries), (twins.new, twins.new_queries))
        ):
            np.save(folder / f"items-{side}.npy", items.array)
            np.save(folder / f"queries-{side}.npy", queries.array)
        world.save(folder)
        say(f"filling a {world.store} store with {world.items:,} items")
        space = world.spaces[0]
        store = open_store(world.store, folder / space.name, space, **world.options)
        fill(store, twins.old)
        store.tend()
        store.close()
        yield folder


def upgrade(folder: Path, supervisor: Supervisor, options: argparse.Namespace) -> dict[str, float]:
    """Wait, upgrade with kills, cut over, wait; answers the moments."""
    line, at = Line(folder), {"begin": time.monotonic()}
    calm = options.calm

    def ask(do: str) -> dict[str, Any]:
        return line.ask({"do": do}, time.monotonic() + PATIENCE)[0]

    time.sleep(calm)
    at["start"] = time.monotonic()
    ask("start")
    kills = [(n + 1) / (options.kills + 1) for n in range(options.kills)]
    told, next_word = ask("status"), time.monotonic() + 20.0
    while told.get("state") != "ready":
        if told.get("error"):
            raise SystemExit(told["error"])
        if kills and told.get("share", 0.0) >= kills[0]:
            say(f"SIGKILL at {told['share']:.0%}")
            kills.pop(0)
            supervisor.kill()
        if time.monotonic() > next_word:
            next_word += 20.0
            say(f"{told['state']} at {told['share']:.0%}")
        time.sleep(0.1)
        told = ask("status")
    at["ready"] = time.monotonic()
    if "error" in (cut := ask("cut over")) and cut["error"]:
        raise SystemExit(cut["error"])
    at["over"] = time.monotonic()
    time.sleep(calm)
    at["end"] = time.monotonic()
    at["visible"] = float(ask("status")["visible"])
    return at


def quantiles(answers: list[Answer]) -> tuple[float, float]:
    """Milliseconds at the middle and at 99 %."""
    took = np.array([1e3 * answer.took for answer in answers])
    return float(np.quantile(took, 0.5)), float(np.quantile(took, 0.99))


def tell(
    record: Record, cell: str, answers: list[Answer], at: dict[str, float], outages: list[Any]
) -> None:
    """The figures of one trial."""

    def waited(answer: Answer) -> bool:
        return answer.asked > 1 or any(
            begun - 0.1 <= answer.due <= over + SETTLE for begun, over in outages
        )

    phases = {
        "before": (at["begin"], at["start"]),
        "during": (at["start"], at["ready"]),
        "after": (at["over"], at["end"]),
    }
    p99 = {}
    for name, (low, high) in phases.items():
        mine = [a for a in answers if low <= a.due < high and not waited(a)]
        if not mine:
            raise SystemExit(f"no search of the phase {name!r} was answered undisturbed")
        p50, p99[name] = quantiles(mine)
        record.add("ms, p50", f"{cell}, {name}, {len(mine):,} searches", p50)
        target = ""
        record.add("ms, p99", f"{cell}, {name}, {len(mine):,} searches", p99[name], target=target)
    record.add("p99 during / before", cell, p99["during"] / p99["before"], target="<= 2")
    record.add("p99 after / before", cell, p99["after"] / p99["before"])
    bad = [answer for answer in answers if answer.problem]
    for answer in bad[:3]:
        say(f"failed: {answer.problem}")
    record.add("failed or wrong searches", f"{cell}, of {len(answers):,}", len(bad), target="= 0")
    cut = [answer for answer in answers if waited(answer)]
    longest = max((a.took for a in cut), default=0.0)
    record.add(
        "seconds, longest wait of a search at a SIGKILL", f"{cell}, {len(outages)} kills", longest
    )
    record.add("seconds from start to ready", cell, at["ready"] - at["start"])


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--store", default="edge")
    parser.add_argument("--items", type=int)
    parser.add_argument("--searches", type=float, default=40.0, help="a second")
    parser.add_argument("--rate", type=float, default=2000.0, help="items a second; 0: no limit")
    parser.add_argument("--merge", default="fused")
    parser.add_argument("--yield-above", type=float, default=5.0, help="see the plan")
    parser.add_argument("--kills", type=int, default=2)
    parser.add_argument("--calm", type=float, help="seconds before and after")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    items = options.items or (6_000 if options.quick else 100_000)
    options.calm = options.calm or (4.0 if options.quick else 30.0)
    plan = {
        "merge": options.merge,
        "rate": options.rate,
        "batch_size": 64,
        "max_batch_size": 512,
        "yield_above": options.yield_above,
        "yield_most": 1.0,
    }
    world = World(options.store, items, plan=plan)
    record = Record(
        f"load-{options.store}",
        "what users feel of an upgrade",
        DATA.format(n=items, d=world.dim),
        options.seed,
        notes=[
            (
                f"{options.searches:g} searches a second for {K} hits by {CLIENTS} clients, the "
                "latency counted from the moment at which each was due. One process serves and "
                "upgrades, so a SIGKILL ends both; it is started again at once, goes on by itself, "
                "and clients ask again until they are answered. Searches that were due while it "
                f"was down, or within {SETTLE:g} s after, are told apart, as the longest wait."
            ),
            (
                "Vectors are ready: the time of the models is not in here. "
                f"Plan: {', '.join(f'{k} = {v}' for k, v in plan.items())}."
            ),
        ],
        aims=not options.quick,
    )
    with served(options, world) as folder:
        victim = [sys.executable, "-m", "bench.load_victim", str(folder)]
        supervisor = Supervisor(victim, ROOT, "open")
        supervisor.start()
        load = Load(lambda: Line(folder), options.searches)
        try:
            time.sleep(2.0)  # warm
            at = upgrade(folder, supervisor, options)
        finally:
            load.end()
            supervisor.end()
        if at["visible"] != items:
            raise SystemExit(f"{at['visible']:,.0f} of {items:,} items are on the new side")
        tell(record, options.store, load.answers, at, supervisor.outages)
    return record.finish(writes(options))


if __name__ == "__main__":
    raise SystemExit(main())
