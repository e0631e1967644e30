"""The parts of a project: what a holdfast.toml names, opened on demand.

Models are loaded when they are first needed, so that looking at the state of an upgrade costs
nothing. The folder of the gallery holds one store per space, the ledger, and fitted bridges:

    gallery/
      ledger.sqlite
      stores/<space name>-<fingerprint>/
      bridges/<from>-to-<to>.safetensors
      cache.sqlite
      assessed.sqlite
"""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

from ..errors import ConfigError, OccupiedStore
from ..measure.judgements import Judgements
from ..settings import path_of
from ..source.registry import open_source
from ..space import Space
from ..store.base import VectorStore
from ..store.registry import open_store
from .config import DEAD, Config, EncoderConfig, read_config
from .follow import Follower
from .gallery import Gallery
from .ledger import Ledger
from .models import open_model
from .paths import located

ASSESSED = "assessed.sqlite"  # what the new model answered for an assessment
PAYLOAD = "store-payload"  # the kind of source that reads the old store itself
_APART = (
    "They differ in nothing but metric or dimension. With http, moments or python another "
    "revision under [new] tells them apart; any other model needs a gallery of its own: name "
    "another folder under gallery and the model under [old], and build."
)


class Parts:
    """What one holdfast.toml names, each opened on demand.

    Args:
        path: The file.
        config: What it says; read from the file unless given.
    """

    def __init__(self, path: Path | str, config: Config | None = None) -> None:
        self.config = config or read_config(Path(path))
        self.path = Path(path).absolute()  # a program may go to another folder meanwhile
        self.folder = self._place(self.config.gallery, "gallery").resolve()

    @cached_property
    def source(self) -> Any:
        """Where content is read, unless the gallery's own payloads are its source."""
        options = self.config.source.options
        if isinstance(options.get("path"), str):
            options["path"] = self._place(options["path"], "source.path")
        return open_source(self.config.source.kind, **options)

    def follow(self, gallery: Gallery) -> Gallery:
        """Let a gallery follow its source, if that has a feed; somebody must start it."""
        if self.config.source.options.get("feed"):
            gallery.follower = Follower(gallery, self.source)
        return gallery

    def content(self, store: VectorStore) -> Any:
        """Where the content of a store's items is read."""
        if self.config.source.kind == PAYLOAD:
            return open_source(PAYLOAD, store=store, **self.config.source.options)
        return self.source

    @cached_property
    def old_encoder(self) -> Any:
        """The old model; None when it is dead."""
        return self._encoder(self.config.old, "old")

    @cached_property
    def new_encoder(self) -> Any:
        """The new model."""
        if self.config.new.encoder == DEAD:
            raise ConfigError(
                f"{self.path.name}: new", "a model to upgrade to", f"{DEAD!r}", "Name one there."
            )
        return self._encoder(self.config.new, "new")

    def _encoder(self, config: EncoderConfig, table: str) -> Any:
        if config.encoder == DEAD:
            return None
        try:
            model = open_model(config.encoder, **self.model_options(config))
        except ConfigError as error:  # both tables may name the same kind
            who = f"{self.path.name}: {table}: {error.who}"
            raise ConfigError(who, error.expected, error.got, error.fix) from error
        return self.cached(model, config)

    def model_options(self, config: EncoderConfig) -> dict[str, Any]:
        """What the encoder takes, with paths that lead somewhere from anywhere."""
        return located(config.encoder, config.options, self.path.parent)

    def cached(self, encoder: Any, config: EncoderConfig) -> Any:
        """An encoder behind what it, or another one of its space, has answered before."""
        if config.cache:
            from ..encode.cache import CachedEncoder

            return CachedEncoder(encoder, self.folder / "cache.sqlite")
        if (self.folder / ASSESSED).exists():  # paid for already, so it is read, but does not grow
            from ..encode.cache import CachedEncoder

            return CachedEncoder(encoder, self.folder / ASSESSED, keep=False)
        return encoder

    def ledger(self, readonly: bool = False) -> Ledger:
        """The record; made on first use unless only looked at."""
        return Ledger(self.folder / "ledger.sqlite", readonly=readonly)

    def store(self, space: Space) -> VectorStore:
        """The store of a space, opened or made."""
        store: VectorStore = open_store(
            self.config.store.kind, self.store_folder(space), space, **self.config.store.options
        )
        return store

    def store_folder(self, space: Space) -> Path:
        """Where the store of a space lies."""
        name = re.sub(r"[^A-Za-z0-9._-]+", "-", space.name)
        return self.folder / "stores" / f"{name}-{space.fingerprint}"

    def refuse_occupied(self, old: Space, new: Space, before: Space | None) -> None:
        """Refuse a new space whose store would lie where that of another one is.

        Args:
            old: What is served.
            new: The space.
            before: The new space of the upgrade before, whose store may be open still.
        Raises:
            ConfigError: Its fingerprint stands for other vectors here already.
        """
        place, there = self.store_folder(new), ""
        if new.fingerprint == old.fingerprint:
            there = str(old)
        elif before is not None and self.store_folder(before) == place:
            there = "" if before == new else str(before)
        elif place.exists():
            try:
                self.store(new).close()
            except OccupiedStore as cause:
                there = cause.got.removeprefix("vectors of ")
        if there:
            raise ConfigError(
                f"{self.path.name}: new",
                f"a fingerprint of its own for {new}",
                f"that of {there}, which has a store here",
                _APART,
            )

    def bridge_path(self, origin: Space, target: Space) -> Path:
        """Where the bridge between two spaces lies."""
        return self.folder / "bridges" / f"{origin.fingerprint}-to-{target.fingerprint}.safetensors"

    def judgements(self) -> Judgements | None:
        """Queries with known answers, if the file names some."""
        told = self.config.judgements
        if told is None:
            return None
        queries = self._place(told.queries, "judgements.queries")
        qrels = self._place(told.qrels, "judgements.qrels")
        return Judgements.from_files(queries, qrels, "drop")

    def _place(self, word: str, setting: str) -> Path:
        return path_of(word, self.path.parent, f"{self.path.name}: {setting}")
