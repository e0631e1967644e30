"""The watch: a sample of live searches, answered by the status quo too, while an upgrade runs.

    overlap     part of the hits that the status quo has as well
    flips       where judgements exist: right by the status quo, wrong as answered
    empty       nothing found, where the status quo finds something
    slow        answered later than allowed
    agreement, likeness, bridge
                how the two models see the query, see `panel.py`; held against the first
                sampled queries of the upgrade, which are taken for good

Findings tell all of them. Those that have a bound, and the last three, are tested by `alarm.py`
after every sampled query: `false_alarms` is the chance of a breach among `per` of them while
nothing is wrong, all tests together. A breach pauses the backfill, steps a cut-over in stages
back to the old side, or rolls back, and says why; where there is nothing to undo it is recorded.

Which queries are in the sample is a hash of the query, so that a query is always watched or
never. Comparing goes on in a thread of its own: searches wait for nothing, and what is too much
is dropped.
"""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ...encode.retry import hearing
from ...errors import LedgerError, UpgradeError
from ...hits import Hits
from ...measure.finding import Finding
from ...store.where import Where
from ..gallery import Gallery
from ..record.audit import Audit
from ..record.breach import BREACH
from ..search.routes import Routes
from ..sides.stage import keys_of, place
from ..watched import WatchConfig
from .alarm import Alarm, AtMost, Ranks
from .panel import Panel
from .sample import Sample, compared
from .tally import Tally

_SALT = "watch"
_WAITING = 256  # sampled queries that wait for the thread; more are dropped
_LAST = 5.0  # seconds for what waits when a gallery is closed: searches may wait for that
_WATCHED = ("copying", "paused", "ready", "cutting over", "cut over")


class Acts(Protocol):
    """What a breach needs of an engine."""

    def pause(self, why: str = ..., by: str | None = None) -> None: ...

    def step_back(self, why: str = ..., by: str | None = None) -> None: ...

    def roll_back(self, why: str = ..., by: str | None = None) -> None: ...


@dataclass(slots=True)
class Test:
    """One quantity, its bets and its alarm."""

    name: str
    bets: Ranks | AtMost
    alarm: Alarm


class Watch:
    """Listens to a gallery's searches.

    Args:
        gallery: With an upgrade under way; `gallery.watch` is set to this.
        engine: Paused, stepped back or rolled back by a breach.
        config: See there.
        judged: Relevant ids by the text of a judged query.
        background: Whether comparing goes on in a thread of its own; else in the searcher's.
    Attributes:
        breach: What was found, until somebody goes on; None while all is well.
    """

    def __init__(
        self,
        gallery: Gallery,
        engine: Acts,
        config: WatchConfig | None = None,
        judged: Mapping[str, frozenset[str]] | None = None,
        background: bool = True,
    ) -> None:
        self.gallery, self.engine, self.config = gallery, engine, config or WatchConfig()
        self.breach: Finding | None = None
        self._turns: int | None = None  # of the gallery when the breach had been acted on
        self.tally = Tally()
        self._judged = dict(judged or {})
        self._panel: Panel | None = None
        self._tests = self._made()
        self._lock = threading.Lock()
        self._waiting: queue.Queue[Sample | None] = queue.Queue(_WAITING)
        self._until = math.inf  # when the thread shall have ended
        self._thread: threading.Thread | None = None
        if background:
            self._thread = threading.Thread(target=self._work, name="holdfast-watch", daemon=True)
            self._thread.start()
        gallery.watch = self

    def _made(self) -> dict[str, Test]:
        bounds = self.config.bounds()
        names: tuple[str, ...] = Panel.STATISTICS
        if self.gallery.old.encoder is None:
            names = (*names, "bridge")
        tests = len(bounds) + len(names)
        threshold = tests * self.config.per / self.config.false_alarms
        bets: dict[str, Ranks | AtMost] = {n: AtMost(bound) for n, bound in bounds.items()}
        bets |= {name: Ranks(seed) for seed, name in enumerate(names)}
        return {name: Test(name, bet, Alarm(threshold)) for name, bet in bets.items()}

    # hearing

    def hear(self, routes: Routes, k: int, where: Where | None, hits: Hits, took: float) -> None:
        """A live search was answered: take those of its queries that are in the sample.

        Args:
            routes: Its queries, with their vectors as far as they were needed.
            k: Hits that were asked for.
            where: Its filter.
            hits: The answer.
            took: Seconds.
        """
        if self.gallery.state not in _WATCHED:
            return
        keys = keys_of(routes.given)
        chosen = [i for i, key in enumerate(keys) if place(key, _SALT) < self.config.share]
        self.tally.heard += len(keys)
        for i in chosen:
            row = np.array([i], dtype=np.intp)
            sample = Sample(routes.take(row), k, where, hits.take(row), took / max(len(keys), 1))
            if self._thread is None:
                self._try(sample)
                continue
            try:
                self._waiting.put_nowait(sample)
            except queue.Full:
                self.tally.dropped += 1

    def _work(self) -> None:
        with hearing(self._late):
            while (sample := self._waiting.get()) is not None and not self._late():
                self._try(sample)

    def _late(self) -> bool:
        return time.monotonic() > self._until

    def _try(self, sample: Sample) -> None:
        try:
            self.compare(sample)
        except Exception as error:  # noqa: BLE001 - nothing a model raises may end the watch
            self.tally.failed(error)

    def close(self) -> None:
        """End the thread after what waits for it; a model that takes longer is not waited for."""
        if self.gallery.watch is self:
            self.gallery.watch = None
        if self._thread is not None:
            self._until = time.monotonic() + _LAST
            with suppress(queue.Full):
                self._waiting.put(None, timeout=_LAST)
            self._thread.join(_LAST)
            self._thread = None

    # comparing

    def compare(self, sample: Sample) -> None:
        """Answer a sampled query by the status quo, and test what is seen."""
        seen = compared(self.gallery, sample, self._judged)
        if seen is None:
            return
        with self._lock:
            self._go_on()
            self.tally.add(seen)
            values: dict[str, float] = dict(seen.rates)
            if self.config.slow_ms is not None:
                values["slow"] = float(1e3 * sample.took > self.config.slow_ms)
                self.tally.note("slow", values["slow"])
            if self.breach is not None:
                return
            rung = [t for n, t in self._tests.items() if n in values and self._bet(t, values[n])]
            rung += self._panelled(seen.vectors)
        for test in rung[:1]:
            self._break(test)

    def _bet(self, test: Test, value: float) -> bool:
        return test.alarm.add(test.bets.bets(value))

    def _panelled(self, vectors: Any) -> list[Test]:
        """The tests of the panel that ring; the first queries only say what is normal."""
        self._panel = self._panel or Panel.draw(self.gallery)
        if self._panel is None:
            return []
        rung = []
        told = {name: float(v[0]) for name, v in self._panel.compare(*vectors).items()}
        if "bridge" in self._tests and self.gallery.old.bridge is not None:
            told["bridge"] = self._panel.test(self.gallery.old.bridge)
        for name, value in told.items():
            test = self._tests[name]
            if not isinstance(test.bets, Ranks):  # pragma: no cover - as they are made
                continue
            self.tally.note(name, value)
            if len(test.bets) < self.config.calibration:
                test.bets.learn([value])
            elif self._bet(test, value):
                rung.append(test)
        return rung

    def _go_on(self) -> None:
        """Somebody has looked at the last breach and goes on: items move, or a stage is given."""
        if self.breach is None or self._turns is None or self.gallery.turns == self._turns:
            return
        stage = self.gallery.stage
        if self.gallery.state in ("copying", "cut over") or (stage and not stage.held):
            self.breach = self._turns = None
            for test in self._tests.values():
                test.alarm.clear()
                if isinstance(test.bets, Ranks):
                    test.bets.forget()

    # acting

    def _break(self, test: Test) -> None:
        """Pause, step or roll back, and say why; once until somebody goes on."""
        with self._lock:
            if self.breach is not None:
                return
            self.breach = finding = self._finding(test)
        why = f"{finding.metric} {finding.value:.3f} at {finding.cell}: {finding.note}"
        did, act = self._deed()
        try:
            self._note(finding, why, did)
            act(why=f"breach: {why}", by="watch")
        except BaseException as error:
            # A full disk, or a ledger that is locked: the next query tries again.
            if isinstance(error, LedgerError) or not isinstance(error, UpgradeError):
                self.breach = None
                raise
            self._note(finding, why, "told")  # somebody has turned the upgrade meanwhile
        finally:
            self._turns = self.gallery.turns

    def _note(self, finding: Finding, why: str, did: str) -> None:
        if self.gallery.ledger is not None:
            told = {"why": why, "finding": finding.to_json(), "did": did}
            self.gallery.ledger.event(BREACH, told)

    def _deed(self) -> tuple[str, Callable[..., object]]:
        match self.config.wanted(self.gallery.state):
            case "pause":
                return "paused", self.engine.pause
            case "step back":
                return "stepped back", self.engine.step_back
            case "roll back":
                return "rolled back", self.engine.roll_back
        return "told", self._told

    def _told(self, why: str, by: str) -> None:
        if self.gallery.ledger is not None:
            Audit(self.gallery.ledger).record("tell", why, by)

    def _finding(self, test: Test) -> Finding:
        value, low, high, n = self.tally.lately(test.name, max(test.alarm.since, 2))
        words = f"low against the first {self.config.calibration} sampled queries"
        if isinstance(test.bets, AtMost):
            words = f"the mean may be {test.bets.bound:g}"
            if test.name == "overlap":
                words = f"the mean must be {1.0 - test.bets.bound:g}"
        chance, per = self.config.false_alarms, self.config.per
        note = f"{words}; a false alarm has a chance of {chance:g} in {per:,} sampled queries"
        return Finding(test.name, self.cell, value, low, high, n, verdict="fail", note=note)

    # telling

    @property
    def cell(self) -> str:
        """Where the gallery stands, as findings spell it."""
        return f"live@{round(100.0 * self.gallery.share, 1):g}%"

    def findings(self) -> list[Finding]:
        """What the latest sampled queries say, and the breach, if there is one."""
        with self._lock:
            found = self.tally.findings(self.cell)
        return ([self.breach] if self.breach else []) + found

    def numbers(self) -> dict[str, Any]:
        """Counts, latencies in seconds by side, and how near each test is to ringing, in [0, 1]."""
        with self._lock:
            near = {
                name: float(np.log1p(t.alarm.level) / np.log1p(t.alarm.threshold))
                for name, t in self._tests.items()
            }
            known = min(len(t.bets) for t in self._tests.values() if isinstance(t.bets, Ranks))
            calibrated = min(known / self.config.calibration, 1.0)
            return {**self.tally.numbers(), "calibrated": calibrated, "near": near}
