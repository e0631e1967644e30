"""The engine: moves the items of a gallery from the old space to the new one.

    state          reads   what happens                    allowed commands
    planned        old     nothing yet                     start, roll back
    copying        both    batches move                    pause, roll back
    paused         both    nothing; writes go on           start, roll back
    ready          both    every item has moved            stage, cut over, roll back
    cutting over   staged  the stage reads the new side,   stage, cut over, roll back
                           the rest the old one
    cut over       new     old side kept up to date        finish, roll back
    rolling back   both    batches move back               roll back (goes on)
    rolled back    old     the new side is left alone      a new plan
    finished       new     the old side may be dropped     a new plan

    planned --> copying <--> paused
                   |  ^
                   v  |  (reconciling found more to do)
                 ready --------> cut over --> finished
                   |                ^
                   v                |
             cutting over ----------+
             (any number of stages)
    any state before finished --> rolling back --> rolled back; at once where nothing moved
    cutting over, or cut over after stages --> rolled back, at once

A batch: claim places of the queue, read the rows with their revisions, compute vectors,
then, while nobody else changes the gallery, drop what changed meanwhile, journal, write, hide,
close the places; batches that were quick to compute do this together, see `group.py`. Every
step may be cut off by the death of the process at any instruction: a batch that was not
closed is done again, and doing it again changes nothing.

The engine takes all its collaborators as arguments. `step` does one batch, for tests and
for applications that own their loop; `run` goes on until told otherwise.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from numbers import Real

import numpy as np

from ..encode.retry import hearing, waited
from ..errors import EncoderError, InvalidInput, UpgradeError
from .backfill.batch import Batch, sort_out
from .backfill.commands import obey
from .backfill.group import Group
from .backfill.pace import BatchSize, Courtesy, RateLimit, delay
from .backfill.quarantine import refuse_many, set_aside, tolerated
from .backfill.reconcile import give_up_mapped, note_mapped, reconcile
from .backfill.stand import Pace
from .backfill.status import Status
from .backfill.turns import Turns
from .backfill.upkeep import Upkeep
from .executor import Done, Executor, Inline
from .gallery import Gallery
from .mover import Moved, Mover
from .order import RANKED, Given, queue_up
from .plan import Plan
from .record.audit import Draft
from .record.deed import Deed


def _ignore(status: Status) -> None:
    pass


class Engine(Turns):
    """Runs one upgrade.

    Args:
        gallery: With both sides and a ledger.
        mover: Computes vectors in the new space.
        plan: Every choice, see `plan.py`.
        executor: Where batches are computed; in this thread by default.
        given: For orders that are worked out: the ids to move first, or what answers them.
        listener: Called with a `Status` after each batch.
        clock: Answers seconds, for rates.
        sleep: Waits seconds.
    Raises:
        UpgradeError: The mover answers another space than the gallery's new side.
    """

    def __init__(
        self,
        gallery: Gallery,
        mover: Mover,
        plan: Plan,
        executor: Executor | None = None,
        *,
        given: Given | None = None,
        listener: Callable[[Status], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if gallery.new is None or gallery.ledger is None:
            raise UpgradeError("Engine", "a gallery with two sides", "one side", "Plan first.")
        if mover.target != gallery.new.space:
            raise UpgradeError(
                "Engine",
                f"a mover into {gallery.new.space}",
                f"one into {mover.target}",
                "Pass the encoder or the bridge of the new side.",
            )
        super().__init__(gallery, gallery.ledger, plan.holdover_hours)
        self.mover, self.plan = mover, plan
        self.executor = executor or Inline()
        self._new = gallery.new.store
        self._given, self._listener = given, listener or _ignore
        self._clock, self._sleep = clock, sleep
        self._size = BatchSize(plan.batch_size, max(plan.batch_size, plan.max_batch_size))
        self._limit = RateLimit(plan.rate, clock, sleep)
        goal = plan.yield_above / 1e3
        self._upkeep = Upkeep(self._old, self._new, clock, searched=goal > 0.0)
        self._group = Group(gallery, clock, goal, sleep)
        self._courtesy = Courtesy(goal, plan.yield_most, gallery.meter, clock, sleep)
        self._under_way = 0  # items claimed and not computed
        self._hearing = threading.Lock()
        self._started = False  # whether the audit knows
        self._pace: Pace | None = None  # noted from the first run on
        self._moved, self._since = 0, clock()
        self._tell = lambda: self._listener(self.status())

    # what can be asked for

    def status(self) -> Status:
        """Where the upgrade stands."""
        counts, elapsed = self._ledger.counts(), self._clock() - self._since
        return Status(
            self.gallery.state,
            self.gallery.share,
            len(self.gallery),
            counts["todo"],
            counts["quarantined"],
            self._moved / elapsed if elapsed > 0 else 0.0,
            self._size.value,
        )

    def start(self, why: str = "", by: str | None = None) -> None:
        """Fill the queue, if it is not, and begin or go on copying."""
        with self.audit.doing("start", why, by) as draft:
            self._begin(draft)

    def _begin(self, draft: Draft | None = None) -> None:
        """Start; a draft is kept, and asked for only once until somebody says pause."""
        if draft is None and not self._started:
            self.start()
            return
        self._allow("start", "planned", "paused", "copying", "ready")
        before, planned = self.gallery.state, self.gallery.state == "planned"
        plan = self.plan
        order, given = plan.order, self._given
        if planned:
            give_up_mapped(self.gallery)
        left = planned and len(self._new) > 0  # by an earlier upgrade
        if left or (planned and order in RANKED):  # which may be refused: nothing has begun yet
            queue_up(self._ledger, self._old, order, plan.seed, given, plan.merge)
            order, given = "random", None  # of the few that are written until it begins
        if left or self._astray():
            reconcile(self.gallery)
        if self.mover.reads_vectors and self._new.space != self._old.space:
            note_mapped(self.gallery)
        self._after, self._under_way, self._stop = 0, 0, False
        self._moved, self._since = 0, self._clock()
        if before == "copying":
            if draft is not None:
                self._ledger.keep(draft.take())
        elif not self.gallery.set_state("copying", before, draft=draft):
            self._allow("start", "copying")
        self._started = True
        if planned or not self._queued():  # from now on writes need no queue
            queue_up(self._ledger, self._old, order, plan.seed, given, plan.merge)

    def _astray(self) -> bool:
        with self.gallery.steady():
            return bool(self.gallery.strays())

    def _queued(self) -> bool:
        upgrade = self._ledger.upgrade()
        return upgrade is None or upgrade.queued

    # moving

    def step(self) -> Status:
        """Move one batch; the state becomes "ready" when there is none left."""
        if self.gallery.state in ("planned", "paused") or not self._queued():
            self._begin()
        self._allow("step", "copying", "ready")
        self._after = 0
        batch = self._claim(1.0)
        if batch is None:
            self._become_ready()
        else:
            self._finish_batch(next(iter(Inline().map(self._compute, [batch]))))
            self._write()
        return self._settled()

    def run(self, until: float = 1.0) -> Status:
        """Move batches until a share of the gallery has moved, or a command stops it.

        Args:
            until: Share of the gallery, in [0, 1]; reaching less than 1 pauses.
        Raises:
            InvalidInput: No share, as a percentage is not; nothing moves then.
            HoldfastError: What made a batch fail for good; the state is "paused" then.
        """
        check_share(until, "Engine.run")
        self._pace = self._pace or Pace(self._ledger)
        self._begin()
        self._courtesy.begin()
        try:
            while self._goes_on() and not self._reached(until) and self._ledger.todo(1):
                self._after = 0  # items may have been queued again behind us
                for done in self.executor.map(self._compute, self._batches(until)):
                    self._under_way -= done.batch.claimed
                    self._finish_batch(done)
                    self._obey()
                    status = self.status()
                    self._pace.keep(status)
                    self._listener(status)
                self._write()
            self._come_to_rest()
        except BaseException as error:
            try:
                self._group.write()
            finally:
                why = f"{type(error).__name__}: {error}".removesuffix(": ")  # Ctrl-C says nothing
                deed = Draft(Deed("engine", "pause", why))
                self.gallery.set_state("paused", "copying", draft=deed, why=why)
            raise
        return self._settled()

    def _come_to_rest(self) -> None:
        if not self._ledger.todo(1):
            self._become_ready()
        elif self.gallery.state == "copying":
            self._upkeep.at_rest()
            self._stop = True
            self.gallery.set_state("paused", "copying", why=f"reached {self.gallery.share:.0%}")

    def _settled(self) -> Status:
        status = self.status()
        self._listener(status)
        return status

    def _become_ready(self) -> None:
        if self.gallery.state == "copying":
            self._upkeep.at_end()
            self.gallery.set_state("ready", "copying")

    def _batches(self, until: float) -> Iterator[Batch]:
        while self._goes_on() and not self._reached(until):
            batch = self._claim(until)
            if batch is None:
                return
            self._courtesy.wait(lambda: self._stop)
            self._limit.wait(len(batch.rows), self._told_to_stop)
            if not self._goes_on():
                return
            self._under_way += batch.claimed
            yield batch

    def _goes_on(self) -> bool:
        # Another engine may have paused, or turned, the gallery.
        return not self._stop and self.gallery.state == "copying"

    def _reached(self, until: float) -> bool:
        """Whether what has moved and what is under way make up the share."""
        if until >= 1.0:
            return False
        total = len(self.gallery)
        under_way = self._under_way + self._group.claimed
        return self.gallery.share + under_way / max(total, 1) >= until - 1e-9

    def _claim(self, until: float) -> Batch | None:
        size = self._size.value
        if until < 1.0:
            room = (until - self.gallery.share) * len(self.gallery)
            room -= self._under_way + self._group.claimed
            size = max(1, min(size, int(np.ceil(room - 1e-6))))
        claimed = self._ledger.todo(size, self._after)
        if not claimed:
            return None
        self._after = claimed[-1][0]
        return sort_out(
            self.gallery, self._old, self._new, self.mover, {name: place for place, name in claimed}
        )

    def _compute(self, batch: Batch) -> tuple[Moved | None, float]:
        """Run the mover, again and again while it fails in a way that may pass."""
        if not len(batch.rows):
            return None, 0.0
        for attempt in range(self.plan.attempts):
            started = self._clock()
            try:
                with hearing(self._halted):
                    return self.mover.move(batch.rows), self._clock() - started
            except EncoderError as error:
                if not error.transient or attempt + 1 == self.plan.attempts:
                    raise
                self._size.failed()
                seconds = delay(error, attempt, self.plan.backoff)
                if not waited(seconds, self._sleep, self._halted):
                    raise
        raise UpgradeError("backfill", "at least one attempt", "none")  # pragma: no cover

    def _finish_batch(self, done: Done[Batch, tuple[Moved | None, float]]) -> None:
        if done.error is not None or done.result is None:
            if self._halted() and getattr(done.error, "transient", False):
                return  # the pause cut the waiting for the model short; the batch stays queued
            raise done.error or UpgradeError("backfill", "a finished batch", "nothing")
        batch, (moved, seconds) = done.batch, done.result
        if batch.ready_places:
            self.gallery.move(batch.ready, None, batch.ready_places, batch.since)
        if moved is None:
            return
        if len(moved.rows) + len(moved.failed) < len(batch.rows):
            raise UpgradeError(
                "mover", "word of every row of a batch", f"{len(moved.rows)} of {len(batch.rows)}"
            )
        written = self._group.add(batch, moved, seconds)
        # Writing counts: what it costs a batch, whatever its size, is why larger ones pay.
        self._size.succeeded(len(batch.rows), seconds + self._group.cost(len(batch.rows)))
        self._moved += len(moved.rows)
        if written:
            self._upkeep.after_batch()
        self._look_at_refused()
        if moved.failed:
            place_of = dict(zip(batch.rows.ids, batch.places, strict=True))
            set_aside(self._ledger, moved.failed, place_of, tolerated(self.plan, self.gallery))

    def _look_at_refused(self) -> None:
        """What the new store did not take is in quarantine; too much of it stops the upgrade."""
        refused = self._group.refused()
        if refused:
            self._moved -= len(refused)
            refuse_many(self._ledger, refused, tolerated(self.plan, self.gallery))

    def _write(self) -> None:
        self._group.write()
        self._upkeep.after_batch()
        self._look_at_refused()

    # commands from other processes

    def _obey(self) -> None:
        with self._hearing:  # batches that wait in threads hear as well
            obey(self._ledger, {"pause": self.pause, "rate": self._set_rate})

    def _told_to_stop(self) -> bool:
        """While the rate makes it wait; who waits for long must hear what is asked for."""
        self._obey()
        return not self._goes_on()

    def _halted(self) -> bool:
        """Whether a batch that waits for its model is not waited for any more."""
        self._obey()
        return self._stop or self.gallery.state not in ("copying", "ready")

    def _set_rate(self, rate: float, why: str = "", by: str | None = None) -> None:
        if not float(rate) >= 0.0:
            raise UpgradeError("rate", "items a second, 0 for no limit", repr(rate))
        self._limit.rate = float(rate)
        self.audit.record(f"rate {float(rate):g}", why, by)
        self._ledger.event("rate", {"items_per_second": float(rate)})


def check_share(until: float, owner: str) -> None:
    """Refuse what is no share of a gallery, as a percentage is not.

    Raises:
        InvalidInput: It is none.
    """
    number = isinstance(until, Real) and not isinstance(until, bool)
    if not (number and 0.0 <= until <= 1.0):
        raise InvalidInput(owner, "a share between 0 and 1", repr(until))
