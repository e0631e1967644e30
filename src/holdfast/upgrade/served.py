"""What is served: of which space, asked by which model, opened as a gallery."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from hashlib import blake2b
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from ..arrays import Vectors
from ..errors import ConfigError, HoldfastError, StoreError, UpgradeError
from ..items import Content, Item, Role
from ..space import Space
from ..store.base import VectorStore
from .config import DEAD
from .gallery import Gallery
from .ledger import Ledger
from .merge import calibrator
from .mover import Copy, Mover, Reads, ReEmbed, Translate
from .parts import PAYLOAD, Parts
from .plan import Plan
from .record.records import Upgrade
from .search.fuse import PAIRS
from .search.pairs import shared_pairs
from .search.stand_in import BRIDGED, enough_to_bridge
from .side import Bridged, Encodes, Side

if TYPE_CHECKING:
    from ..align.bridge import Bridge

_LOG = logging.getLogger("holdfast.upgrade")
_LEAVE = "name another folder: gallery"
_PUT_BACK = "Put it back from a copy of the gallery, or mount its disk"
_GO_BACK = "; or roll back, which needs none of it: holdfast rollback."
_FINISH = ". To go on without it, make the folder, empty, and finish: holdfast finish."
_ROLL_BACK = "go back and plan again: holdfast rollback, which asks no new model"
STORE = "store"  # key of the ledger: the kind of store that keeps what is served
SERVING = "serving"  # key of the ledger: the space that is read outside of upgrades
PLACE = "store place"  # key of the ledger: where that store keeps it, in a digest
_PLACE = ("url", "collection", "pair")  # settings of a store that say where
_FOLDER = "folder "  # key of the ledger, before a store's: the kind of store that lies there


class Served(Parts):
    """What one holdfast.toml has to search, whether or not an upgrade is under way."""

    def serving(self, ledger: Ledger) -> Space:
        """The space of the gallery outside of upgrades.

        Raises:
            ConfigError: Nothing was built yet and the old model is dead.
        """
        upgrade = ledger.upgrade()
        if upgrade and upgrade.state == "finished":
            return upgrade.new
        known = ledger.meta(SERVING)
        if known is not None:
            return Space.from_json(json.loads(known))
        if self.old_encoder is None:
            raise ConfigError(
                f"{self.path.name}: old.encoder",
                "a model, since no gallery was built yet",
                "'none'",
                "Name the model to build it with under [old], then: holdfast build.",
            )
        space: Space = self.old_encoder.space
        return space

    def _set_serving(self, ledger: Ledger, space: Space) -> None:
        ledger.set_meta(SERVING, json.dumps(space.to_json()))
        ledger.set_meta(STORE, self.config.store.kind)
        ledger.set_meta(PLACE, self._place_told)
        self._note_folder(ledger, space)

    def _note_folder(self, ledger: Ledger, space: Space) -> None:
        """Remember that an open store has a folder: one on a server has none."""
        folder, kind = self.store_folder(space), self.config.store.kind
        if folder.exists() and not self._elsewhere and ledger.meta(_FOLDER + folder.name) != kind:
            ledger.set_meta(_FOLDER + folder.name, kind)

    @property
    def _place_told(self) -> str:
        """Where the file says that vectors are; an address may hold a secret, which stays there."""
        told = {name: str(self.config.store.options.get(name) or "") for name in _PLACE}
        return blake2b(json.dumps(told).encode(), digest_size=16).hexdigest()

    @property
    def _elsewhere(self) -> bool:
        """Whether an address leads to the vectors, even if a folder kept them before."""
        return bool(self.config.store.options.get("url"))

    def refuse_lost(
        self, ledger: Ledger, space: Space, way_on: str = "; or fill it again: holdfast build."
    ) -> None:
        """Refuse to open a store whose folder is gone: an empty one would be made in its place.

        Args:
            ledger: Knows which stores have had a folder.
            space: Of the store.
            way_on: What can be done where nobody has a copy.
        Raises:
            StoreError: It had one.
        """
        folder = self.store_folder(space)
        noted = ledger.meta(_FOLDER + folder.name) == self.config.store.kind
        if noted and not self._elsewhere and not folder.exists():
            raise StoreError(
                str(folder), "the folder that keeps its vectors", "none", _PUT_BACK + way_on
            )

    def refuse_unbuilt(self, who: str) -> None:
        """Refuse what needs a gallery."""
        if not (self.folder / "ledger.sqlite").exists():
            raise UpgradeError(who, "a gallery", "none yet", "Build it first: holdfast build.")

    def _refuse_elsewhere(self, ledger: Ledger, store: VectorStore) -> None:
        """Refuse an empty store where another one was filled; searches would find nothing.

        One that was moved there is not empty.
        """
        if len(store):
            return
        noted, kind = ledger.meta(STORE), self.config.store.kind
        if noted not in (None, kind):
            setting, wanted, got = "store.kind", f"{noted!r}, which keeps", f"{kind!r}, which"
        elif ledger.meta(PLACE) not in (None, self._place_told):
            setting, wanted, got = "store", f"the {', '.join(_PLACE)} of", "others, whose store"
        else:
            return
        raise ConfigError(
            f"{self.path.name}: {setting}",
            f"{wanted} this gallery",
            f"{got} is empty",
            "Name it as it was; docs/how-to/move-between-stores.md leads to another one. "
            f"To begin again, {_LEAVE}.",
        )

    def _refuse_half(self, ledger: Ledger, store: VectorStore) -> None:
        """Refuse a store of which an upgrade hid rows that its ledger knows nothing of."""
        hidden = len(store) - store.visible
        if hidden and ledger.upgrade() is None:
            raise UpgradeError(
                "gallery",
                f"the ledger of the upgrade that hid {hidden} of its {len(store)} items",
                f"{ledger.path} without one",
                "Put that ledger back, or give the upgrade up: holdfast build shows them again.",
            )

    # its models

    def _encoder_of(self, space: Space, dead: bool = True) -> Any:
        """The model of a space; None when it is dead.

        Args:
            space: Whose.
            dead: Whether it may be; the model that is upgraded to may not.
        Raises:
            ConfigError: Neither model of the configuration answers this space.
        """
        known = []
        for config, name in ((self.config.old, "old_encoder"), (self.config.new, "new_encoder")):
            if config.encoder == DEAD:
                continue
            encoder = getattr(self, name)
            known.append(str(encoder.space))
            if encoder.space == space:
                return encoder
        if self.config.old.encoder == DEAD and dead:
            return None
        raise ConfigError(
            self.path.name,
            f"a model that answers vectors of {space}, which the gallery holds",
            ", ".join(known) or "none",
            "Prefixes, revision and length count too: set them as they were. "
            f"To begin again with another model, {_LEAVE if dead else _ROLL_BACK}.",
        )

    def _bridge(self, ledger: Ledger, new: VectorStore, old: VectorStore) -> Bridge:
        """Leads into the space of a dead model.

        One that was alive when the upgrade was planned has none yet: it is fitted on what has
        moved since.

        Raises:
            ConfigError: Too little has.
        """
        path = self.bridge_path(new.space, old.space)
        if path.exists():
            return _bridge_at(path)
        pairs = None
        if enough_to_bridge(new, len(old)):
            pairs = shared_pairs(ledger, old, new, PAIRS, BRIDGED)
        if pairs is None:
            raise ConfigError(
                f"{self.path.name}: old.encoder",
                f"the model of {old.space}, with which this upgrade was planned",
                "'none', and too little has moved to fit a bridge on",
                "Name it as it was, and roll back, which asks no model. Then say 'none' and plan "
                "again, which fits a bridge; what has moved is not embedded twice.",
            )
        from ..align.choose import choose

        bridge = choose(pairs[1], pairs[0], side="query", floor=False).bridge
        bridge.save(path)
        return bridge

    def _stand_in(self, space: Space) -> Bridged | None:
        """After a rollback to a dead model the bridge is still what leads into its space."""
        if self.config.new.encoder == DEAD:
            return None
        path = self.bridge_path(self.new_encoder.space, space)
        return Bridged(self.new_encoder, _bridge_at(path)) if path.exists() else None

    def _mover(self, plan: Plan, upgrade: Upgrade, store: VectorStore, model: Encodes) -> Mover:
        if plan.mover == "translate":
            return Translate(_bridge_at(self.bridge_path(upgrade.old, upgrade.new)))
        if plan.mover == "copy":
            return Copy(upgrade.new)
        return ReEmbed(_WhenRead(lambda: self.content(store)), model)

    # its gallery

    def gallery(self, needs_new: bool = True) -> Gallery:
        """Open what is served, both sides while an upgrade is under way.

        What the ledger says is read again once the first store is held: from then on nobody
        else can plan an upgrade, or finish one.

        Args:
            needs_new: Refuse a new model that cannot be made, or is another one than was planned.
                Without, whoever asks it is refused: who rolls back asks nothing.
        """
        if self.config.source.kind != PAYLOAD:  # with that, applications fill it
            self.refuse_unbuilt("gallery")
        gallery: Gallery | None = None
        while gallery is None:
            with ExitStack() as opened:  # closed again if one of them does not open
                ledger = opened.enter_context(closing(self.ledger()))
                upgrade = _under_way(ledger)
                if upgrade is None:
                    gallery = self._one_side(ledger, opened)
                else:
                    gallery = self._two_sides(ledger, upgrade, opened, needs_new)
                if gallery is not None:
                    if not len(gallery) and ledger.meta(SERVING):
                        _LOG.warning(
                            "%s is empty, though it was filled: are its stores where they were?",
                            self.folder,
                        )
                    gallery.lead()  # a process may have died between the state and the name
                    opened.pop_all()
                    if upgrade is None:
                        ledger.close()
        return self.follow(gallery)

    def _one_side(self, ledger: Ledger, opened: ExitStack) -> Gallery | None:
        """Outside of an upgrade; None where another process planned or finished one meanwhile."""
        space = self.serving(ledger)
        encoder = self._encoder_of(space) or self._stand_in(space)
        self.refuse_lost(ledger, space)
        store = opened.enter_context(closing(self.store(space)))
        if _under_way(ledger) or self.serving(ledger) != space:
            return None
        self._refuse_elsewhere(ledger, store)
        self._refuse_half(ledger, store)
        return Gallery(Side(store, encoder))

    def _two_sides(
        self, ledger: Ledger, upgrade: Upgrade, opened: ExitStack, needs_new: bool
    ) -> Gallery | None:
        """Within an upgrade; None where it came to its end meanwhile."""
        plan = Plan(**upgrade.plan)
        encoder = self._encoder_of(upgrade.old)
        try:
            new_encoder = self._encoder_of(upgrade.new, dead=False)
        except HoldfastError as error:
            if needs_new:
                raise
            new_encoder = _Absent(upgrade.new, error)
        if upgrade.state != "planned" and needs_new:
            self.refuse_lost(ledger, upgrade.new, _GO_BACK)
        new = opened.enter_context(closing(self.store(upgrade.new)))
        now = _under_way(ledger)
        if now is None or now.number != upgrade.number:
            return None  # before an old store that was dropped is made anew
        way_on = _FINISH if upgrade.state == "cut over" else f". To begin again, {_LEAVE}."
        self.refuse_lost(ledger, upgrade.old, way_on)
        old = opened.enter_context(closing(self.store(upgrade.old)))
        self._note_folder(ledger, upgrade.new)
        self._refuse_elsewhere(ledger, old)
        bridge = None if encoder else self._bridge(ledger, new, old)
        return Gallery(
            Side(old, encoder, bridge),
            Side(new, new_encoder),
            ledger,
            mode=plan.merge,
            calibrator=calibrator(plan.calibrator),
            mover=self._mover(plan, upgrade, old, new_encoder) if plan.merge == "cascade" else None,
        )


class _Absent:
    """In the place of a model that cannot be made."""

    def __init__(self, space: Space, why: HoldfastError) -> None:
        self.space, self._why = space, why

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:  # noqa: ARG002
        raise self._why


class _WhenRead:
    """A source that is opened when it is first read: a rollback needs none."""

    def __init__(self, opened: Callable[[], Reads]) -> None:
        self._opened, self._lock = opened, Lock()
        self._source: Reads | None = None

    def get(self, ids: Sequence[str]) -> list[Item | None]:
        with self._lock:
            if self._source is None:
                self._source = self._opened()
        return self._source.get(ids)


def _bridge_at(path: Path) -> Bridge:
    """A bridge that was saved; most galleries have none and start without scikit-learn."""
    from ..align.bridge import Bridge

    return Bridge.load(path)


def _under_way(ledger: Ledger) -> Upgrade | None:
    upgrade = ledger.upgrade()
    return upgrade if upgrade and upgrade.state not in ("finished", "rolled back") else None
