"""WordLlama: a static model, averages of token vectors, fast on any CPU."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import FloatArray, Vectors
from ..errors import ConfigError, UnfitContent
from ..items import Content, Role
from ..optional import need
from ..space import Space, fingerprint
from .base import as_answer, as_texts, nothing
from .weights import files_digest

_CARRIED = "l2_supercat"  # the weights that the package carries
_FULL = 256
_DIMS = (64, 128, 256)
_BATCH = 64  # texts in one pass, at most
_BATCH_CHARACTERS = 64_000  # of a padded pass, unless one text alone is longer


class WordLlamaEncoder:
    """The model that the `wordllama` package carries; nothing is ever downloaded.

    The empty text has no token, so no direction, and is refused.

    Args:
        dim: 256, or 128 or 64 of its first coordinates, which it was trained for.
        query_prefix: Text before every query.
        document_prefix: Text before every document.
        name: Label of the space.
    Example:
        >>> encoder = WordLlamaEncoder()
        >>> encoder.encode(["how to join threads"], "query").array.shape  # doctest: +SKIP
        (1, 256)
    """

    def __init__(
        self,
        dim: int = _FULL,
        query_prefix: str = "",
        document_prefix: str = "",
        name: str | None = None,
    ) -> None:
        self.dim = dim
        self.query_prefix = query_prefix
        self.document_prefix = document_prefix
        self.name = name
        self._lock = threading.RLock()  # while loading

    def __repr__(self) -> str:
        return f"WordLlamaEncoder(dim={self.dim})"

    @property
    def space(self) -> Space:
        with self._lock:
            return self._space

    @cached_property
    def _loaded(self) -> Any:
        if self.dim not in _DIMS:
            raise ConfigError(
                "WordLlamaEncoder", f"a dim among {', '.join(map(str, _DIMS))}", repr(self.dim)
            )
        with _root_logger_kept():
            package = need("wordllama")
        try:
            # The package looks for its tokenizer in the cache folder only, so the folder of
            # the package itself is given as that.
            return package.WordLlama.load(
                config=_CARRIED,
                cache_dir=_home(package),
                dim=_FULL,
                trunc_dim=self.dim,
                disable_download=True,
            )
        except FileNotFoundError as cause:
            raise ConfigError(
                "WordLlamaEncoder",
                "weights and tokenizer in the package `wordllama`",
                str(cause),
                "Install it from a wheel: pip install --force-reinstall wordllama",
            ) from cause

    @cached_property
    def _space(self) -> Space:
        home = _home(need("wordllama")) if self._loaded else Path()
        files = (
            f"weights/{_CARRIED}_{_FULL}.safetensors",
            f"tokenizers/{_CARRIED}_tokenizer_config.json",
        )
        mark = fingerprint(
            f"wordllama/{_CARRIED}",
            revision=files_digest({file: home / file for file in files}),
            query_prefix=self.query_prefix,
            document_prefix=self.document_prefix,
            pooling="mean",
            truncated=self.dim,
        )
        return Space(self.name or f"wordllama-{self.dim}", self.dim, "cosine", mark)

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        texts = as_texts(contents, role, repr(self))
        with self._lock:
            space, model = self._space, self._loaded
        if not texts:
            return nothing(space)
        prefix = self.query_prefix if role == "query" else self.document_prefix
        read = [prefix + text for text in texts]
        if "" in read:
            raise UnfitContent(
                repr(self),
                "texts with something in them",
                f"an empty one at place {read.index('')}",
                "Leave it out: it has no direction.",
            )
        return as_answer(_embed(model, read), len(texts), space, repr(self))


def _embed(model: Any, texts: list[str]) -> FloatArray:
    """The library pads a batch to its longest text; sorted by length that wastes nothing."""
    lengths = np.array([len(text) for text in texts])
    order = np.argsort(lengths, kind="stable")
    rows = np.empty((len(texts), model.embedding.shape[1]), dtype=np.float32)
    for start, stop in pairwise(_cuts(lengths[order])):
        places = order[start:stop]
        rows[places] = model.embed([texts[i] for i in places], batch_size=len(places))
    return rows


def _cuts(lengths: Any) -> list[int]:
    """Where batches of rising lengths begin, so that none is larger than the bounds."""
    cuts = [0]
    for place, length in enumerate(lengths.tolist()):
        size = place - cuts[-1] + 1
        if size > 1 and (size > _BATCH or size * length > _BATCH_CHARACTERS):
            cuts.append(place)
    return [*cuts, len(lengths)]


def _home(package: Any) -> Path:
    return Path(package.__file__).parent


@contextmanager
def _root_logger_kept() -> Iterator[None]:
    """The package sets up the root logger when it is imported; that is the application's."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        yield
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
