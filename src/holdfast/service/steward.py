"""The steward: holds the gallery open, runs its engine in a thread, and puts it down again.

Searches and writes come in beside each other through `using`. What opens other stores (a new
plan, giving up the old side) goes alone through `reopened`; searches wait meanwhile and do
not fail.

A backfill that was cut off, by the end of the service or by the death of its process, goes
on when the service starts again; so does a rollback.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from ..errors import HoldfastError, StoreError, UpgradeError
from ..items import Content
from ..measure.finding import Finding
from ..report.build import scrubbed
from ..upgrade.backfill.room import Room, refuse_short
from ..upgrade.backfill.stand import Pace, asked_rate, drop_stale
from ..upgrade.backfill.status import Status
from ..upgrade.backfill.turns import paused_by_somebody
from ..upgrade.engine import Engine
from ..upgrade.gallery import Gallery
from ..upgrade.guard import Guard
from ..upgrade.ledger import Ledger
from ..upgrade.project import Project
from ..upgrade.sides.turnstile import Turnstile
from ..upgrade.watching.quality import Quality, measured, run_measured
from .lasting import set_apart_new
from .settings import GRACE_SECONDS, PATIENCE
from .tempo import Tempo
from .unfinished import Unfinished, cleared
from .warm import warm

SERVICE = "service"  # in the audit, for what nobody told it
STOPPED = "the service stopped"
_FORESEEN = (HoldfastError, OSError, sqlite3.Error)
_LOG = logging.getLogger("holdfast.service")


def shut() -> StoreError:
    """The service is not open yet, or is going down."""
    got = "one that is not open now"
    return StoreError("holdfast serve", "an open gallery", got, "Try again later.")


class Steward:
    """One gallery and its engine.

    Args:
        project: What is served.
        resume: Go on with a backfill that was cut off.
        grace: Seconds that closing waits for the batch under way.
    """

    def __init__(self, project: Project, resume: bool = True, grace: float = GRACE_SECONDS) -> None:
        self.project = project
        self.cleared = False  # whether it deleted an old store that a finish had left
        self.trouble = ""  # why the last backfill ended, if it did not end well
        self.tempo = Tempo()
        self._resume, self._grace, self._why = resume, grace, ""
        self._gate = Turnstile()
        self._gallery: Gallery | None = None
        self._owed: float | None = None  # when to try again to open it, if that failed
        self._ledger: Ledger | None = None
        self._finished = False
        self._quality: Quality | None = None
        self._engine: Engine | None = None
        self._mover: threading.Thread | None = None
        self._wish = threading.Event()  # that the backfill shall stop
        self._nudge = threading.Event()  # that it shall look up from its sleep

    # open and close

    def open(self) -> None:
        """Open the stores, learn what searches need; go on with what was cut off."""
        self.cleared = cleared(self.project)
        self._open()
        try:
            with self.using() as gallery:
                gallery.learn()
        except HoldfastError as error:  # a search will try again
            _LOG.warning("nothing was learned from what has moved: %s", scrubbed(str(error)))
        if self._resume and self.unfinished.moving:
            try:
                self.start(why="it was cut off")
            except StoreError as error:  # no room: searches are answered all the same
                self.trouble = str(error)
                _LOG.warning("backfill: %s", scrubbed(str(error)))

    def _open(self) -> None:
        self._owed = time.monotonic() + 1.0
        self._gallery = self.project.gallery()
        self._owed = None
        for silence in self._gallery.silences.values():
            silence.patience = PATIENCE
        if self._gallery.follower is not None:
            self._gallery.follower.start()
        self._ledger = self._ledger or self.project.ledger()
        upgrade = self._ledger.upgrade()
        self._finished = upgrade is not None and upgrade.state == "finished"
        if self._gallery.new is not None and self.project.config.watch is not None:
            self.engine(self._gallery, SERVICE)  # live searches are watched from now on

    @property
    def unfinished(self) -> Unfinished:
        """What the next service goes on with."""
        return Unfinished(self.ledger)

    @property
    def turning_back(self) -> bool:
        """Whether a rollback goes on that was cut off."""
        return self._resume and self.unfinished.turning_back

    def close(self) -> None:
        """Stop after the batch under way and let go of the stores."""
        self._owed = None
        if self._gallery is None:
            return
        self.halt(STOPPED, self._grace)
        gallery, self._gallery = self._gallery, None
        ledger, self._ledger = self._ledger, None
        gallery.close()  # a batch that is still under way is refused, and done again later
        if ledger is not None:
            ledger.close()

    # looking

    @property
    def ledger(self) -> Ledger:
        """A connection of the service's own; it is there whether or not an upgrade is."""
        if self._ledger is None:
            raise shut()
        return self._ledger

    @property
    def state(self) -> str | None:
        """Of the latest upgrade, as the ledger has it."""
        upgrade = self.ledger.upgrade()
        return upgrade.state if upgrade else None

    @property
    def running(self) -> bool:
        """Whether items are moving now."""
        return self._mover is not None and self._mover.is_alive()

    @property
    def is_open(self) -> bool:
        """Whether searches are answered."""
        return self._gallery is not None

    @contextmanager
    def using(self) -> Iterator[Gallery]:
        """The gallery, for a search or a write; do not nest."""
        self.open_again()
        with self._gate.shared():
            if self._gallery is None:
                raise shut()
            yield self._gallery

    def open_again(self) -> None:
        """Open what could not be opened when it had been closed: a database may have been away."""
        if self._owed is not None and time.monotonic() >= self._owed:
            with self._gate.writing():
                if self._owed is not None:
                    self._open()

    def reads(self, gallery: Gallery) -> str:
        """Which side answers: "old", "new" or "both"; a gallery of one side knows no names."""
        if gallery.new is None and self._finished:
            return "new"
        return gallery.reads

    @contextmanager
    def reopened(self) -> Iterator[None]:
        """Close the gallery, let the caller change what it is made of, and open it again."""
        self.halt("the gallery is opened anew")
        with self._gate.writing():
            if self._gallery is None:
                raise shut()
            self._gallery.close()
            self._gallery = self._engine = self._quality = None
            try:
                yield
            finally:
                self._open()

    def engine(self, gallery: Gallery, who: str) -> Engine:
        """The engine of the upgrade under way; it wakes up when it shall stop."""

        def hear(status: Status) -> None:
            self.tempo.note(round(status.share * status.items))
            room(status)

        engine = self.project.engine(gallery, hear, sleep=self._sleep, by=who)
        room = Room(self.project.folder, engine)
        return engine

    def _sleep(self, seconds: float) -> None:
        if not self._wish.is_set():
            self._nudge.wait(seconds)
            self._nudge.clear()

    # the backfill

    def start(self, who: str = SERVICE, why: str = "") -> None:
        """Move items in a thread of its own.

        Args:
            who: Gave the command.
            why: What for.
        Raises:
            StoreError: There is too little room on the disk.
        """
        if self.running:
            return
        refuse_short("backfill", self.project.folder, "Make room, then resume.")
        with self.using() as gallery:
            drop_stale(self.ledger)
            self._wish.clear()
            self._nudge.clear()
            self.trouble, self._why = "", ""
            self.tempo.reset()
            pace = Pace(self.ledger)
            try:
                engine = self._engine = self.engine(gallery, who)
                if gallery.state != "planned":  # else the first measurement comes first
                    engine.start(why=why, by=who)
            except BaseException:
                pace.end()
                raise
            self._go_easy()
            self.unfinished.move()
        self._mover = threading.Thread(
            target=self._move,
            args=(engine, gallery, pace, lambda: engine.start(why=why, by=who)),
            name="holdfast-backfill",
        )
        self._mover.start()

    def _go_easy(self) -> None:
        """The rate that was asked for last holds for the whole upgrade."""
        rate = self._asked_rate
        if rate is not None:
            self.ledger.ask("rate", rate=rate, by=SERVICE)

    @property
    def rate_limit(self) -> float | None:
        """Items a second at most, by the plan or asked for since; None where nobody has."""
        asked, upgrade = self._asked_rate, self.ledger.upgrade()
        return asked if asked is not None or upgrade is None else upgrade.plan["rate"] or None

    @property
    def _asked_rate(self) -> float | None:
        """Items a second that were asked for since the plan; None where nobody has."""
        return asked_rate(self.ledger)

    def halt(self, why: str, seconds: float | None = None, who: str = SERVICE) -> None:
        """Stop moving after the batch under way; waits for it.

        Args:
            why: For the record.
            seconds: How long to wait at most.
            who: Gave the command.
        """
        mover, engine = self._mover, self._engine
        if mover is None or engine is None or not mover.is_alive():
            return
        asked = self._wish.is_set() and why in (self._why, STOPPED)
        if not asked:
            self._why = why  # a pause that was asked for stays one, although the service stops
        if why != STOPPED:
            self.unfinished.rest()
        self._wish.set()
        self._nudge.set()
        if not asked:
            with suppress(UpgradeError):  # not copying: it measures, and looks for the wish then
                engine.pause(why, by=who)
        mover.join(seconds)

    def throttle(self, rate: float, who: str, why: str = "") -> bool:
        """At most so many items a second, 0 for no limit; by whom, and what for.

        Returns:
            Whether it holds from the next batch on; else from the next start on.
        """
        if self.running:
            self.ledger.ask("rate", rate=rate, why=why, by=who)
            self._nudge.set()
            return True
        self.ledger.event("rate", {"items_per_second": rate})
        return False

    def settle(self) -> None:
        """Wait for a backfill that has moved everything to finish measuring."""
        if self._mover is not None and self.state == "ready":
            self._mover.join()

    def _move(
        self, engine: Engine, gallery: Gallery, pace: Pace, begin: Callable[[], None]
    ) -> None:
        try:
            self._measured(engine, gallery, begin)
        except Exception as error:  # noqa: BLE001 - also one that a model's library raises
            words, unforeseen = f"{type(error).__name__}: {error}", not isinstance(error, _FORESEEN)
            self.trouble = words if unforeseen else str(error)
            _LOG.warning("backfill: %s", scrubbed(self.trouble), exc_info=unforeseen)
            self._end(gallery, words)
        else:
            self._end(gallery, self._why or "the service stopped moving items")
        finally:
            with suppress(HoldfastError, sqlite3.Error):  # the service may have closed it meanwhile
                pace.end()

    def measure(self) -> None:
        """Ask the judged queries, if there are any, of what is read now."""
        with self.using() as gallery:
            quality = self.project.quality(gallery)
        if quality is not None:
            quality.measure()

    def _end(self, gallery: Gallery, why: str) -> None:
        """Nobody moves items any more, so the ledger must not say that they move."""
        with suppress(HoldfastError, sqlite3.Error):
            gallery.set_state("paused", "copying", why=why)
            if self._why != STOPPED:
                self.unfinished.rest()

    def _measured(self, engine: Engine, gallery: Gallery, begin: Callable[[], None]) -> None:
        """Run; where there are judged queries, measure before it begins and at every tenth."""
        quality = self._quality = self._quality or self.project.quality(gallery)
        guard = Guard(self.project.config.gate, engine)

        def stop(finding: Finding) -> bool:
            return guard(finding) or self._wish.is_set() or paused_by_somebody(self.ledger)

        if gallery.state == "planned":
            if quality and not measured(self.ledger):
                quality.measure()
            if self._wish.is_set():
                return
            begin()
            if quality and stop(quality.measure()):
                return
        if quality:
            run_measured(engine, quality, guard=stop)
        else:
            engine.run()

    # opening what is on disk now

    def reload(self) -> Project:
        """The configuration as it is now, with its models loaded; nothing changes yet."""
        fresh = Project(self.project.path)
        if fresh.folder != self.project.folder:
            raise UpgradeError(
                "plan", f"the gallery in {self.project.folder}", "another folder", "Start anew."
            )
        encoders = [fresh.old_encoder, fresh.new_encoder]
        warm(encoders, self._example(fresh))  # before searches wait for them
        set_apart_new()
        return fresh

    def _example(self, fresh: Project) -> Content:
        """The content of an item, as the models are going to be asked for it."""
        with suppress(HoldfastError), self.using() as gallery:
            for item in fresh.content(gallery.keeper).scan(limit=1).items:
                content: Content = item.content
                return content
        return ""

    def plan(self, fresh: Project) -> dict[str, Any]:
        """Record the upgrade that a configuration describes, and serve by it from now on.

        Searches go on while a bridge is fitted, and wait while the stores are opened.

        Args:
            fresh: From `reload`.
        Returns:
            The plan, as `Project.plan` answers it.
        """
        told: dict[str, Any] | None = None
        if fresh.config.store == self.project.config.store:
            with self.using() as gallery:
                told = fresh.plan(held=gallery.keeper)
        with self.reopened():
            told = fresh.plan() if told is None else told
            self.project = fresh
        return told
