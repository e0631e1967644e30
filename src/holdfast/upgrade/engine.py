"""The engine: moves the items of a gallery from the old space to the new one.

    state          reads   what happens                    allowed commands
    planned        old     nothing yet                     start, roll back
    copying        both    batches move                    pause, roll back
    paused         both    nothing; writes go on           start, roll back
    ready          both    every item has moved            cut over, roll back
    cut over       new     old side kept up to date        finish, roll back
    rolling back   both    batches move back               roll back (goes on)
    rolled back    old     the new side is left alone      a new plan
    finished       new     the old side may be dropped     a new plan

    planned --> copying <--> paused
                   |  ^
                   v  |  (reconciling found more to do)
                 ready --> cut over --> finished
    any state before finished --> rolling back --> rolled back

A batch: claim places of the queue, read the rows with their revisions, compute vectors,
then, alone at the gallery's turnstile, drop what changed meanwhile, journal, write, hide,
close the places; batches that were quick to compute do this together, see `group.py`. Every
step may be cut off by the death of the process at any instruction: a batch that was not
closed is done again, and doing it again changes nothing.

The engine takes all its collaborators as arguments. `step` does one batch, for tests and
for applications that own their loop; `run` goes on until told otherwise.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import numpy as np

from ..errors import EncoderError, UpgradeError
from .batch import Batch, sort_out
from .commands import obey
from .executor import Done, Executor, Inline
from .gallery import Gallery
from .group import Group
from .ledger import Ledger
from .mover import Moved, Mover
from .order import Given, queue_up
from .pace import BatchSize, RateLimit, delay
from .plan import Plan
from .quarantine import set_aside, tolerated
from .reconcile import Reconciled, left_behind, reconcile
from .records import BEFORE_FINISHED, State
from .status import Status
from .upkeep import Upkeep

_BACK = 2_000  # rows that move back at once
_COUNT_EVERY = 1.0  # seconds: counting a long queue costs more than a batch


def _ignore(status: Status) -> None:
    pass


class Engine:
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
        self.gallery, self.mover, self.plan = gallery, mover, plan
        self.executor = executor or Inline()
        self._ledger: Ledger = gallery.ledger
        self._old, self._new = gallery.old.store, gallery.new.store
        self._given, self._listener = given, listener or _ignore
        self._clock, self._sleep = clock, sleep
        self._size = BatchSize(plan.batch_size, max(plan.batch_size, plan.max_batch_size))
        self._limit = RateLimit(plan.rate, clock, sleep)
        self._upkeep = Upkeep(self._old, self._new, clock)
        self._group = Group(gallery, clock)
        self._after = 0  # the last place that was claimed
        self._under_way = 0  # items claimed and not computed
        self._stop = False
        self._moved, self._since = 0, clock()
        self._counted: tuple[float, dict[str, int]] | None = None

    # what can be asked for

    def status(self) -> Status:
        """Where the upgrade stands."""
        now = self._clock()
        if self._counted is None or now - self._counted[0] >= _COUNT_EVERY:
            self._counted = (now, self._ledger.counts())
        counts, elapsed = self._counted[1], now - self._since
        return Status(
            self.gallery.state,
            self.gallery.share,
            len(self.gallery),
            counts["todo"],
            counts["quarantined"],
            self._moved / elapsed if elapsed > 0 else 0.0,
            self._size.value,
        )

    def start(self) -> None:
        """Fill the queue, if it is not, and begin or go on copying."""
        self._allow("start", "planned", "paused", "copying", "ready")
        before, planned = self.gallery.state, self.gallery.state == "planned"
        fill = self._ledger, self._old, self.plan.order, self.plan.seed, self._given
        if planned and len(self._new):  # left by an earlier upgrade
            queue_up(*fill)
            reconcile(self.gallery)
        self._after, self._under_way, self._stop = 0, 0, False
        self._moved, self._since = 0, self._clock()
        if before != "copying" and not self.gallery.set_state("copying", before):
            self._allow("start", "copying")
        if planned or not self._queued():  # from now on writes need no queue
            queue_up(*fill)

    def _queued(self) -> bool:
        upgrade = self._ledger.upgrade()
        return upgrade is None or upgrade.queued

    def pause(self, why: str = "asked for") -> None:
        """Stop after the batches under way; allowed while copying."""
        self._allow("pause", "copying", "ready", "paused")
        self._stop = True
        self.gallery.set_state("paused", "copying", why=why)

    def retry(self) -> int:
        """Give all quarantined items another try; answers how many."""
        self._allow("retry", "planned", "copying", "paused", "ready")
        released = self._ledger.release()
        self._after = 0
        if released:
            self.gallery.set_state("paused", "ready", why="quarantined items are tried again")
        return released

    def cut_over(self, leave_behind: bool = False) -> Reconciled:
        """Read the new side alone.

        A reconciling scan of both stores comes first; what it finds to do sends the upgrade
        back to copying.

        Args:
            leave_behind: Accept that quarantined items are not found until a rollback.
        Raises:
            UpgradeError: Not ready, something was found, or items are quarantined.
        """
        self._allow("cut over", "ready")
        found = reconcile(self.gallery)
        counts = self._ledger.counts()
        left = counts["quarantined"]
        if left and not counts["todo"] and not leave_behind:
            raise UpgradeError(
                "cut over",
                "no quarantined items",
                f"{left}",
                "Mend them and try again (holdfast quarantine --retry), or give them up until a "
                "rollback (holdfast cutover --leave-behind-quarantined).",
            )
        # A write whose new model fails may queue its items until the very last moment.
        if self.gallery.set_state(
            "cut over", "ready", lambda: self._ledger.todo(1), left_behind=left
        ):
            return found
        self._allow("cut over", "ready")
        self.gallery.set_state("copying", "ready", why="there is more to do")
        raise UpgradeError(
            "cut over",
            "every item on the new side",
            f"{self._ledger.counts()['todo']} that are not: written past the gallery or a model",
            "They are queued: backfill again, then cut over.",
        )

    def roll_back(self) -> None:
        """Read the old side alone; the items written since are there too.

        Items move back piece by piece, so that searches see each of them at every moment. A
        rollback that was cut off goes on where it was.
        """
        while True:
            state = self.gallery.state
            self._allow("roll back", *BEFORE_FINISHED)
            if state == "rolled back":
                return
            self._stop = True
            if self.gallery.set_state("rolling back", state):
                break  # otherwise another thread has turned it meanwhile
        after: str | None = None
        while True:
            page = self._old.scan(after, _BACK)
            hidden = [page.rows.ids[i] for i in np.flatnonzero(page.rows.hidden)]
            if hidden:
                self.gallery.back(hidden)
                self._listener(self.status())
            after = page.after
            if after is None:
                break
        self.gallery.set_state("rolled back", "rolling back")
        self._old.tend()

    def finish(self, leave_behind: bool = False) -> None:
        """Give up the old side. Nothing is deleted here, but nothing leads back any more.

        Args:
            leave_behind: Accept that quarantined items, which only the old side has, are lost.
        """
        self._allow("finish", "cut over")
        left = left_behind(self.gallery)
        if left and not leave_behind:
            raise UpgradeError(
                "finish",
                "no items that only the old side has",
                f"{left} quarantined ones, left behind at the cut-over",
                "Roll back, mend them and upgrade again, or say explicitly that they may be lost "
                "(holdfast finish --leave-behind-quarantined).",
            )
        self.gallery.set_state("finished", "cut over", left_behind=left)

    def _allow(self, command: str, *states: State) -> None:
        if self.gallery.state not in states:
            raise UpgradeError(
                command,
                f"an upgrade that is {' or '.join(states)}",
                f"one that is {self.gallery.state or 'not planned'}",
                "See the table of states in the documentation.",
            )

    # moving

    def step(self) -> Status:
        """Move one batch; the state becomes "ready" when there is none left."""
        if self.gallery.state in ("planned", "paused") or not self._queued():
            self.start()
        self._allow("step", "copying", "ready")
        self._after = 0
        batch = self._claim(1.0)
        if batch is None:
            self._become_ready()
        else:
            self._finish_batch(next(iter(Inline().map(self._compute, [batch]))))
            self._write()
        return self._tell()

    def run(self, until: float = 1.0) -> Status:
        """Move batches until a share of the gallery has moved, or a command stops it.

        Args:
            until: Share of the gallery, in [0, 1]; reaching less than 1 pauses.
        Raises:
            HoldfastError: What made a batch fail for good; the state is "paused" then.
        """
        self.start()
        try:
            while self._goes_on() and not self._reached(until) and self._ledger.todo(1):
                self._after = 0  # items may have been queued again behind us
                for done in self.executor.map(self._compute, self._batches(until)):
                    self._under_way -= done.batch.claimed
                    self._finish_batch(done)
                    obey(self._ledger, {"pause": self.pause, "rate": self._set_rate})
                    self._listener(self.status())
                self._write()
        except BaseException as error:
            try:
                self._group.write()
            finally:
                self.gallery.set_state("paused", "copying", why=f"{type(error).__name__}: {error}")
            raise
        if self.gallery.state == "copying":
            if self._ledger.todo(1):
                self._upkeep.at_rest()
                self.pause(f"reached {self.gallery.share:.0%}")
            else:
                self._become_ready()
        return self._tell()

    def _tell(self) -> Status:
        self._counted = None
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
            self._limit.wait(len(batch.rows))
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
                return self.mover.move(batch.rows), self._clock() - started
            except EncoderError as error:
                if not error.transient or attempt + 1 == self.plan.attempts or self._stop:
                    raise
                self._size.failed()
                self._sleep(delay(error, attempt, self.plan.backoff))
        raise UpgradeError("backfill", "at least one attempt", "none")  # pragma: no cover

    def _finish_batch(self, done: Done[Batch, tuple[Moved | None, float]]) -> None:
        if done.error is not None or done.result is None:
            if self._stop and getattr(done.error, "transient", False):
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
        if moved.failed:
            place_of = dict(zip(batch.rows.ids, batch.places, strict=True))
            set_aside(self._ledger, moved.failed, place_of, tolerated(self.plan, self.gallery))

    def _write(self) -> None:
        self._group.write()
        self._upkeep.after_batch()

    # commands from other processes

    def _set_rate(self, rate: float) -> None:
        if not float(rate) >= 0.0:
            raise UpgradeError("rate", "items a second, 0 for no limit", repr(rate))
        self._limit.rate = float(rate)
        self._ledger.event("rate", {"items_per_second": float(rate)})
