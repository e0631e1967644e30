"""The office: says where the upgrade stands, and has commands carried out, one at a time."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from ..encode.cache import uncached
from ..errors import HoldfastError, InvalidInput, UpgradeError
from ..measure.finding import Finding
from ..report.build import scrubbed
from ..report.words import counted
from ..upgrade.backfill.room import free
from ..upgrade.backfill.stand import stand
from ..upgrade.engine import Engine
from ..upgrade.gallery import Gallery
from ..upgrade.gate import judge
from ..upgrade.record.audit import Audit
from ..upgrade.record.breach import standing
from ..upgrade.sides.stage import Stage
from ..upgrade.watching.verdict import verdict
from ..upgrade.watching.watch import Watch
from . import bodies
from .caller import CALLER
from .deeds import DEEDS, Deed
from .expense import Expense
from .reading import in_stage, read_new
from .steward import SERVICE, STOPPED, Steward, shut

_LOG = logging.getLogger("holdfast.service")


class Office:
    """Looks and commands.

    Args:
        steward: Has the gallery.
        expense: Knows what items cost.
    """

    def __init__(self, steward: Steward, expense: Expense) -> None:
        self._steward, self._expense = steward, expense
        self._worker = ThreadPoolExecutor(1, "holdfast-command")
        self._under_way: tuple[str, Future[str]] | None = None

    def open(self) -> None:
        """Open the gallery, and go on with a rollback that was cut off; once."""
        if self._steward.is_open:
            return
        self._steward.open()
        with self._steward.using() as gallery:
            _make_ready(gallery)
        self._audit().record("serve", "the service started")
        if self._steward.cleared:
            self._audit().record("delete the old store", "it was cut off")
        if self._steward.turning_back:
            self._begin("roll-back", bodies.Command(why="it was cut off"), SERVICE)

    def leave(self) -> None:
        """Let no further batch begin, since the end is asked for; does not wait."""
        threading.Thread(target=self._halt, name="holdfast-halt", daemon=True).start()

    def _halt(self) -> None:
        with suppress(HoldfastError, sqlite3.Error):
            self._steward.halt(STOPPED, 0.0)

    def under_way(self, requests: int) -> list[str]:
        """What has not come to its end, in words.

        Args:
            requests: How many of them.
        """
        left = ["a batch of the backfill"] if self._steward.running else []
        busy = self._busy()
        if busy:
            left.append(f'the command "{DEEDS[busy].label}"')
        return [*left, counted(requests, "request")] if requests else left

    def close(self) -> None:
        """Stop what moves and let go of the stores; what was cut off goes on later."""
        if not self._steward.is_open:
            return
        self._worker.shutdown(wait=False, cancel_futures=True)
        with suppress(HoldfastError, sqlite3.Error):
            self._audit().record("stop", "the service stopped")
        self._steward.close()
        self._worker.shutdown(wait=True)

    def _audit(self) -> Audit:
        ledger, gate = self._steward.ledger, self._steward.project.config.gate
        return Audit(ledger, SERVICE, lambda: verdict(gate, ledger))

    # looking

    def status(self) -> dict[str, Any]:
        """Where the upgrade stands, now."""
        # First, or what ends meanwhile would be told as over in the state that it was to end.
        busy, running = self._busy(), self._steward.running
        told = stand(self._steward.ledger)
        for heavy in ("findings", "events"):
            del told[heavy]
        told["running"] = running
        told["trouble"] = scrubbed(self._steward.trouble)
        told["rate_limit"] = self._steward.rate_limit
        told["command"] = busy
        with self._steward.using() as gallery:
            told["items"] = len(gallery)
            told["whole"] = gallery.whole
            told["silent"] = {half: scrubbed(why) for half, why in gallery.silent.items()}
            told["reads"] = in_stage(told) or self._steward.reads(gallery)
            if gallery.reads == "both":  # the queue does not know of all that moved
                told["share"] = gallery.share
            told["serves"] = [
                side.space.to_json() for side in (gallery.old, gallery.new) if side is not None
            ]
        if told["state"] == "planned" and not told["queued"]:
            told["todo"] = told["items"]  # they are queued at the start
        rate = self._steward.tempo.rate if told["running"] else 0.0
        told["rate"] = round(rate, 3) if rate else None
        told["seconds_left"] = told["todo"] / rate if rate else None
        return told

    def _busy(self) -> str | None:
        if self._under_way is None or self._under_way[1].done():
            return None
        return self._under_way[0]

    def figures(self) -> dict[str, Any]:
        """For metrics: what is known as numbers."""
        told = self.status()
        done = max(told["queued"] - told["todo"] - told["quarantined"], 0)
        found = {key: told[key] for key in ("items", "todo", "quarantined", "state")}
        space = told["new"]["name"] if told["new"] else ""
        spent = self._expense.of(done, space)
        left = self._expense.of(told["todo"], space)
        return {
            **found,
            "share": read_new(told),
            "done": done,
            "rate": told["rate"] or 0.0,
            "spent": spent.money,
            "left": left.money,
            "tokens": spent.tokens,
            "breach": float(bool(told["breach"])),
            "room": float(free(self._steward.project.folder)),
            **self._watched(),
        }

    def _watched(self) -> dict[str, float]:
        with self._steward.using() as gallery:
            watch = gallery.watch
        if not isinstance(watch, Watch):
            return {}
        return {"sampled": float(watch.numbers()["sampled"])}

    def findings(self) -> dict[str, Any]:
        """What was measured in this upgrade, what the gate says of it, and any breach."""
        records = self._steward.ledger.findings()
        rules = self._steward.project.config.gate
        known = [Finding.from_json(record["finding"]) for record in records]
        judged = judge(rules, known, whole=False) if rules else []
        return {
            "findings": [{**record["finding"], "share": record["share"]} for record in records],
            "rules": [str(rule) for rule in rules],
            "gate": [asdict(finding) for finding in judged],
            "breach": standing(self._steward.ledger.events()),
        }

    def quarantine(self, limit: int = 100) -> dict[str, Any]:
        """Items that could not be moved, each with its reason."""
        ledger = self._steward.ledger
        rows = ledger.quarantined(limit)
        return {
            "quarantined": ledger.counts()["quarantined"],
            "items": [{"id": name, "reason": scrubbed(why)} for name, why in rows],
        }

    def audit(self, after: int = 0, limit: int = 100) -> dict[str, Any]:
        """Who told the upgrade to do what, when, why, and what the gate said by then."""
        deeds = self._audit().deeds(after, limit)
        return {"deeds": [deed.to_json() for deed in deeds]}

    def last_deeds(self, count: int) -> list[dict[str, Any]]:
        """The latest rows of the audit, oldest first."""
        return [deed.to_json() for deed in self._audit().deeds()[-count:]]

    def commands(self) -> list[bodies.Possible]:
        """Every command: whether it is allowed now, and what it would do."""
        told = self.status()
        return [
            bodies.Possible(
                name=deed.name,
                allowed=not deed.refusal(told),
                why_not=deed.refusal(told),
                tells=deed.tells(told),
                confirm=deed.confirm,
            )
            for deed in DEEDS.values()
        ]

    # commanding

    def command(self, name: str, body: bodies.Command) -> bodies.Told:
        """Carry a command out; what takes longer than `wait` goes on by itself."""
        deed = DEEDS.get(name)
        if deed is None:
            raise InvalidInput("command", f"one of {', '.join(DEEDS)}", ascii(name)[:80])
        who = CALLER.get()
        self._check(deed, body, who, body.confirm)
        work = self._begin(name, body, who)
        words = _waited_for(work, body.wait)
        if words is None:
            work.add_done_callback(lambda work: self._late(name, work))
        return bodies.Told(
            command=name,
            done=words is not None,
            state=self._steward.state,
            words=words or "It is under way; the status says when it is done.",
        )

    def _check(self, deed: Deed, body: bodies.Command, who: str, confirm: str) -> None:
        """Refuse what is not allowed now; the audit has it, as it has what an engine refuses."""
        try:
            deed.check(self.status(), confirm)
        except UpgradeError as error:
            what = deed.name.replace("-", " ")
            self._audit().record(what, body.why, who, outcome=f"refused: {error}")
            raise

    def _begin(self, name: str, body: bodies.Command, who: str) -> Future[str]:
        try:
            work = self._worker.submit(self._carried_out, name, body, who)
        except RuntimeError as cause:  # the service is going down
            raise shut() from cause
        self._under_way = (name, work)
        return work

    def _late(self, name: str, work: Future[str]) -> None:
        """Nobody waited for the end: whoever looks on has to hear of a failure."""
        error = None if work.cancelled() else work.exception()
        if error is not None:
            self._steward.trouble = f"{DEEDS[name].label}: {error}"

    def _carried_out(self, name: str, body: bodies.Command, who: str) -> str:
        deed = DEEDS[name]
        self._check(deed, body, who, deed.confirm)  # the state may have changed in the queue
        try:
            words: str = getattr(self, f"_{name.replace('-', '_')}")(body, who)
        except HoldfastError as error:
            _LOG.warning("%s: %s", name, scrubbed(str(error)))
            raise
        if self._steward.trouble.startswith(tuple(f"{one.label}: " for one in DEEDS.values())):
            self._steward.trouble = ""  # a later command went well
        _LOG.info("%s by %s: %s", name, who, words)
        return words

    def _plan(self, body: bodies.Command, who: str) -> str:
        told = self._steward.plan(self._steward.reload())
        self._audit().record("plan", body.why, who)
        return f"Planned, from {told['old']} to {told['new']}."

    def _start(self, body: bodies.Command, who: str) -> str:
        self._steward.start(who, body.why)
        return "Items move."

    _resume = _start

    def _pause(self, body: bodies.Command, who: str) -> str:
        self._steward.halt(body.why or "asked for", who=who)
        return "Nothing moves; searches and writes go on."

    def _throttle(self, body: bodies.Command, who: str) -> str:
        rate = body.items_per_second
        if rate is None:
            raise InvalidInput("throttle", "items_per_second, 0 for no limit", "none")
        if not self._steward.throttle(rate, who, body.why):
            self._audit().record(f"rate {rate:g}", body.why, who)
        return f"At most {rate:g} items a second move." if rate else "Items move without a limit."

    def _retry(self, body: bodies.Command, who: str) -> str:
        count = self._with_engine(who, lambda engine: engine.retry(why=body.why, by=who))
        return f"Another try for {counted(count, 'item')}."

    def _stage(self, body: bodies.Command, who: str) -> str:
        stage = Stage(body.share, tuple(body.tenants), body.where)
        left = body.leave_behind_quarantined
        self._with_engine(
            who, lambda engine: engine.stage(stage, leave_behind=left, why=body.why, by=who)
        )
        return f"The new side is read by {stage}."

    def _step_back(self, body: bodies.Command, who: str) -> str:
        self._with_engine(who, lambda engine: engine.step_back(why=body.why, by=who))
        return "Stepped back: everybody reads the old side."

    def _cut_over(self, body: bodies.Command, who: str) -> str:
        left = body.leave_behind_quarantined
        self._with_engine(
            who, lambda engine: engine.cut_over(leave_behind=left, why=body.why, by=who)
        )
        self._steward.measure()
        return "Cut over: searches read the new side alone."

    def _roll_back(self, body: bodies.Command, who: str) -> str:
        self._steward.unfinished.turn_back()
        self._steward.halt("a rollback was asked for", who=who)
        self._with_engine(who, lambda engine: engine.roll_back(why=body.why, by=who))
        return "Rolled back: searches read the old side alone."

    def _finish(self, body: bodies.Command, who: str) -> str:
        said = {"leave_behind": body.leave_behind_quarantined, "early": body.early}

        def finish(engine: Engine) -> None:
            engine.finish(**said, why=body.why, by=who)

        with self._steward.unfinished.finishing():
            self._with_engine(who, finish)
        with self._steward.reopened():
            self._steward.project.drop_old()
        self._steward.unfinished.dropped()
        self._audit().record("delete the old store", body.why, who)
        return "Finished: the new side is the gallery, the old store is deleted."

    def _with_engine(self, who: str, do: Callable[[Engine], Any]) -> Any:
        """Outside of `using`, since a rollback takes long and others may reopen meanwhile."""
        self._steward.settle()
        with self._steward.using() as gallery:
            engine = self._steward.engine(gallery, who)
        return do(engine)


def _make_ready(gallery: Gallery) -> None:
    """Let models make what the first search would wait for, as far as that asks nobody."""
    for side in (gallery.old, gallery.new):
        ready = getattr(uncached(side.encoder), "open", None) if side else None
        if ready is not None:
            with suppress(HoldfastError):  # a search will say so
                ready()


def _waited_for(work: Future[str], seconds: float) -> str | None:
    """What a command answered; None while it is under way."""
    try:
        return work.result(seconds)
    except CancelledError:  # the service goes down
        raise shut() from None
    except TimeoutError:  # of the waiting, or of the command itself
        return work.result() if work.done() else None
