"""A project: the steps of an upgrade as a holdfast.toml describes it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..arrays import Vectors
from ..errors import ConfigError, SourceError, UpgradeError
from ..settings import path_of
from ..source.memory import MemorySource
from ..space import Space
from ..store.base import Rows, VectorStore, get_known, pages
from ..store.hold import Hold
from ..store.registry import drop_store
from .backfill.quarantine import tolerated
from .backfill.status import Status
from .engine import Engine
from .gallery import Gallery, microseconds
from .intake import Built, Intake
from .merge import check_mode
from .mover import ReEmbed
from .order import RANKED, read_ids
from .parts import PAYLOAD
from .place import check_place, placed
from .plan import Plan, fitting, refuse_unread
from .priority.rank import Ranking, check_known, check_order
from .record.records import Upgrade, refuse_under_way
from .served import Served
from .watching.attend import attended
from .watching.quality import Quality

if TYPE_CHECKING:
    from ..align.choose import Choice

PAIRS = 2_000  # documents encoded to fit a bridge
_BATCH = 512
_PIECE = 128  # of those documents, encoded at once
_NOTHING = "Look at path under [source]; a gallery that your program fills needs no build."
_SAME = "Nothing has to move: name the new model in [old], and it searches what is stored."

Progress = Callable[[int, int], None]


class Project(Served):
    """What one holdfast.toml describes, and the steps of its upgrade."""

    def build(self, progress: Progress | None = None) -> Built:
        """Fill the gallery from the source with the old model.

        Items that are stored already are left alone, so a build that was cut off goes on. Items
        that cannot be embedded or stored are left out, so the next build tries them again.
        """
        self._refuse_passing(self.config.store.kind == "memory")
        if self.config.source.kind == PAYLOAD:
            raise ConfigError(
                f"{self.path.name}: source.kind",
                "a source to fill the gallery from",
                f"{PAYLOAD!r}, which is the gallery itself",
                "An application fills it, as docs/how-to/live-application.md shows.",
            )
        total, done = len(self.source), 0  # a source that cannot be read leaves no gallery behind
        with ExitStack() as opened:
            ledger = opened.enter_context(closing(self.ledger()))
            refuse_under_way("build", ledger.upgrade())
            space = self.serving(ledger)
            encoder = self._encoder_of(space)
            store = opened.enter_context(closing(self.store(space)))
            self._refuse_passing(not store.limits.persistent)
            refuse_under_way("build", ledger.upgrade())  # one that was planned meanwhile
            self._refuse_elsewhere(ledger, store)
            if ledger.upgrade() is None:
                _show_all(store)
            limit = tolerated(self.config.upgrade, range(total))
            # Not before: a build that embedded nothing leaves the choice of a model.
            begin = partial(self._set_serving, ledger, space)
            intake = Intake(encoder, store, limit, begin, microseconds)
            for items in self._pages():
                known = store.revisions([item.id for item in items])
                fresh = [item for item, r in zip(items, known, strict=True) if r < 0]
                if fresh and encoder is None:
                    raise ConfigError(
                        f"{self.path.name}: old.encoder",
                        f"the model of {space}, since item {fresh[0].id!r} is not stored yet",
                        "'none'",
                        "Upgrade to the new model and finish; then build again.",
                    )
                stored = [item for item, r in zip(items, known, strict=True) if r >= 0]
                # Others than these an earlier build may not have come to.
                passed = items[: items.index(stored[-1])] if stored else []
                intake.take(fresh, stored, {item.id for item in passed})
                done += len(items)
                if progress:
                    progress(done, total)
            if not len(store):
                raise SourceError("build", "a source with items", "an empty one", _NOTHING)
            store.tend()
            return Built(len(store), intake.left_out)

    def _refuse_passing(self, passing: bool) -> None:
        if passing:
            raise ConfigError(
                f"{self.path.name}: store.kind",
                "a store that keeps what is built",
                f"{self.config.store.kind!r}, which is gone with the process",
                "Name another: edge needs nothing.",
            )

    def _pages(self) -> Iterator[list[Any]]:
        after: str | None = None
        while True:
            page = self.source.scan(after, _BATCH)
            if page.items:
                yield page.items
            after = page.after
            if after is None:
                return

    # the upgrade

    def plan(self, dry_run: bool = False, held: VectorStore | None = None) -> dict[str, Any]:
        """Record the upgrade from what is served to the new model.

        Args:
            dry_run: Say what would be done and write nothing.
            held: The store of what is served, where this process has it open and others may
                write to it meanwhile.
        Returns:
            The plan with both spaces and counts, ready to print.
        Raises:
            UpgradeError: One is under way, or there is nothing to change.
        """
        self.refuse_unbuilt("plan")
        with closing(self.ledger(readonly=dry_run)) as ledger:
            old, new = self.serving(ledger), ledger.named(self.new_encoder.space)
            plan = fitting(self.config.upgrade, old, new)
            self.config = self.config.model_copy(update={"upgrade": plan})
            self._check_plan(ledger.upgrade(), old, new)
            self.refuse_lost(ledger, old)
            with self._opened(old, held) as store:
                self._refuse_elsewhere(ledger, store)
                self._refuse_half(ledger, store)
                summary = self._summary(store, old, new)
                check_known(plan, self.path.parent, store)
                if not dry_run:
                    summary["bridges"] = self._fit_bridges(store, new)
                    with ledger.together():  # while nobody else can open it as it was
                        self._set_serving(ledger, old)
                        ledger.begin(self.config.upgrade.model_dump(), old, new)
            return summary

    def _opened(
        self, space: Space, held: VectorStore | None
    ) -> AbstractContextManager[VectorStore]:
        if held is not None and held.space == space:
            return nullcontext(held)
        return closing(self.store(space))

    def _check_plan(self, last: Upgrade | None, old: Space, new: Space) -> None:
        """What could not be carried out must not be recorded: a gallery would not open."""
        refuse_under_way("plan", last)
        plan = self.config.upgrade
        check_mode(plan.merge, old, new)
        if plan.mover == "copy":
            raise ConfigError(
                "plan: mover", "re-embed or translate", "'copy'", "It moves within one space."
            )
        check_order(plan, self.path.parent)
        check_place(plan)
        refuse_unread(plan)
        refuse_same("plan", old, new)
        self.refuse_occupied(old, new, last.new if last else None)

    def _summary(self, store: VectorStore, old: Space, new: Space) -> dict[str, Any]:
        if not len(store):
            raise UpgradeError(
                "plan", "a gallery with items", "an empty one", "Build it first: holdfast build."
            )
        return {
            "old": str(old),
            "new": str(new),
            "items": len(store),
            "old_model": "alive" if self._encoder_of(old) else "dead: reached through a bridge",
            **self.config.upgrade.model_dump(),
        }

    def _fit_bridges(self, store: VectorStore, new: Space) -> list[dict[str, Any]]:
        """Fit what the plan needs from a sample of the gallery that the new model encodes.

        Returns:
            For each bridge, every aligner that was tried, with its evidence.
        """
        wanted: list[tuple[Space, Space, Literal["query", "gallery"]]] = []
        if self._encoder_of(store.space) is None:
            wanted.append((new, store.space, "query"))
        if self.config.upgrade.mover == "translate":
            wanted.append((store.space, new, "gallery"))
        if not wanted:
            return []
        from ..align.choose import choose

        sample = self._sample(store, self.content(store))
        tried = []
        for origin, target, side in wanted:
            # The plan wants a bridge: its old model is dead, or it said "translate". Whether
            # what is served then is good enough is for the gate to say, on judgements.
            choice = choose(sample[origin], sample[target], side=side, floor=False)
            choice.bridge.save(self.bridge_path(origin, target))
            tried.append(_told(choice))
        return tried

    def _sample(self, store: VectorStore, source: Any) -> dict[Space, Vectors]:
        """The same documents in both spaces."""
        ids = store.scan(limit=20 * PAIRS).rows.ids
        chosen = np.random.default_rng(self.config.upgrade.seed).permutation(len(ids))[:PAIRS]
        names = [ids[i] for i in chosen]
        items = {item.id: item for item in source.get(names) if item is not None}
        stored = get_known(store, list(items))
        kept, new = _readable(stored, ReEmbed(MemorySource(items.values()), self.new_encoder))
        old = stored.vectors_read.take(kept)
        return {old.space: old, new.space: new}

    def engine(
        self,
        gallery: Gallery,
        listener: Callable[[Status], None] | None = None,
        sleep: Callable[[float], object] = time.sleep,
        by: str = "program",
    ) -> Engine:
        """The engine of the upgrade under way; what [watch] says is watched from now on.

        Args:
            gallery: Open.
            listener: Called with a `Status` after each batch.
            sleep: May come back early to end a pause.
            by: Who gives the commands, for the audit.
        """
        upgrade = gallery.ledger.upgrade() if gallery.ledger else None
        new = gallery.new.encoder if gallery.new else None
        if upgrade is None or new is None:
            raise UpgradeError("backfill", "a plan", "none", "Write one with: holdfast plan.")
        plan = Plan(**upgrade.plan)
        mover = self._mover(plan, upgrade, gallery.old.store, new)
        given = None
        # A start that was cut off leaves it planned, though with a queue, and ranks again.
        begins = upgrade.state == "planned" or not upgrade.queued
        if plan.order in RANKED and begins and gallery.new is not None:
            given = Ranking(plan, self.path.parent, gallery.old, gallery.new, mover)
        executor, mover = placed(self, plan, mover)
        engine = Engine(gallery, mover, plan, executor, given=given, listener=listener, sleep=sleep)
        return attended(engine, self.config, self.judgements, by)

    def given_order(self, plan: Plan) -> list[str]:
        """The ids of order "given".

        Raises:
            ConfigError: The plan names no file, or one that cannot be read.
        """
        if not plan.order_file:
            raise ConfigError(
                "plan: order_file", "a file of ids", "none", "Order 'given' needs it."
            )
        return read_ids(path_of(plan.order_file, self.path.parent, "plan: order_file"))

    def quality(self, gallery: Gallery) -> Quality | None:
        """Measures an open gallery; None where the file names no judged queries.

        Raises:
            ConfigError: The gallery has none of their answers, so every figure would be zero.
        """
        judgements, told = self.judgements(), self.config.judgements
        if judgements is None or told is None:
            return None
        wanted = judgements.relevant()
        pieces = (wanted[at : at + _BATCH] for at in range(0, len(wanted), _BATCH))
        absent = sum(int((gallery.old.store.revisions(piece) < 0).sum()) for piece in pieces)
        if absent == len(wanted):
            raise ConfigError(
                f"{self.path.name}: judgements.qrels",
                "relevant items that the gallery has",
                f"none of {len(wanted):,}, such as {wanted[0]!r}",
                "They are named by their ids, as [source] reads them.",
            )
        note = f"{absent:,} of {len(wanted):,} relevant items are not in the gallery: missed"
        return Quality(gallery, judgements, told.metric, told.k, note if absent else "")

    def drop_old(self) -> None:
        """After `finish`: delete the store of the space that was given up.

        Raises:
            StoreHeld: A process has it open still.
        """
        with closing(self.ledger()) as ledger:
            with ledger.together():  # while nobody can plan an upgrade back into that space
                upgrade = ledger.upgrade()
                if upgrade is None or upgrade.state != "finished":
                    raise UpgradeError(
                        "drop the old store",
                        "a finished upgrade",
                        upgrade.state if upgrade else "none",
                        "Cut over and finish first.",
                    )
                self._set_serving(ledger, upgrade.new)
                folder = self.store_folder(upgrade.old)
                _sweep(folder)  # what an earlier call left that was cut off
                drop_store(self.config.store.kind, folder, upgrade.old, **self.config.store.options)
                if folder.exists():
                    hold = Hold(folder)  # who has it open would go on writing there
                    try:  # All at once: half a store could not be opened again.
                        folder.rename(folder.with_name(f"{folder.name}.dropped"))
                    finally:
                        hold.release()
                ledger.event("dropped", {"space": str(upgrade.old)})
            _sweep(folder)


def refuse_same(who: str, old: Space, new: Space) -> None:
    """Refuse to upgrade from a model to itself.

    Raises:
        UpgradeError: They are the same.
    """
    if old == new:
        raise UpgradeError(who, f"a new model other than {old}", "the same", _SAME)


def _show_all(store: VectorStore) -> None:
    """Show what an upgrade has hidden whose ledger is gone."""
    if store.visible < len(store):
        for rows in pages(store, _BATCH):
            store.unhide(rows.ids)


def _sweep(folder: Path) -> None:
    for dropped in folder.parent.glob("*.dropped"):
        shutil.rmtree(dropped)


def _readable(rows: Rows, mover: ReEmbed) -> tuple[list[int], Vectors]:
    """Places of the rows that a model can embed, and what it makes of them.

    The others are for the backfill to set aside. A model that can embed none of the first ones is
    at fault itself, and is not asked for each of the rest.
    """
    arrays = [np.zeros((0, mover.target.dim), dtype=np.float32)]
    place, kept = {name: i for i, name in enumerate(rows.ids)}, []
    for start in range(0, len(rows), _PIECE):
        moved = mover.move(rows.take(np.arange(start, min(start + _PIECE, len(rows)))))
        kept += [place[name] for name in moved.rows.ids]
        if not kept:
            name, reason = next(iter(moved.failed.items()))
            raise UpgradeError(
                "plan",
                "documents that the new model can embed",
                f"{len(moved.failed)} that it cannot; the first one, {name!r}: {reason}",
                "Mend them, or look at what the model answers.",
            )
        arrays.append(moved.vectors.array)
    return kept, Vectors(mover.target, np.concatenate(arrays))


def _told(choice: Choice) -> dict[str, Any]:
    """A choice as JSON."""
    return {
        "bridge": str(choice.bridge),
        "pairs": choice.bridge.evidence.pairs,
        "tried": [
            {
                "aligner": rung.name,
                "chosen": rung.chosen,
                "cosine": rung.evidence["cosine"].value,
                "R@1": rung.evidence["R@1"].value,
            }
            for rung in choice.table
        ],
    }
