"""Models for texts and pictures of the transformers library: CLIP, SigLIP and their kin."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from ..arrays import FloatArray
from ..device import best_device
from ..errors import ConfigError, EncoderError
from ..optional import need
from ..space import Space, fingerprint
from .hub import Absent, absent, offline, opening, quiet
from .pictures import Picture
from .towers import Tensor, TwoTowers, on_host, text_digest
from .weights import arrays_digest, folder_digest

Dtype = Literal["float32", "bfloat16", "float16"]

_FULL_WIDTH = "siglip"  # kinds that were trained on texts filled up to their full length


class ClipEncoder(TwoTowers):
    """A model of transformers with `get_text_features` and `get_image_features`.

    It is loaded on first use. Texts and pictures are contents of one kind of call, in both
    roles; see `pictures.py` for what a picture may be.

    Args:
        model: A name on the hub, a folder, or a model that is loaded already.
        processor: Beside a loaded model: its tokenizer and its image processor, as one object
            with both or as a pair. A name or a folder brings its own.
        revision: Commit or tag on the hub. The fingerprint covers the commit that was loaded;
            elsewhere this, or without one the weights themselves.
        prefix: Text before every text, such as "a photo of ".
        max_length: Tokens after which text is cut; None for the model's own limit.
        batch_size: Texts or pictures in one pass, at most; fewer where that would take long.
        device: Such as "cpu" or "cuda:0"; None for the best there is.
        dtype: Numbers of the computation; None for those of the weights.
        name: Label of the space.
    Raises:
        ConfigError: A loaded model without a processor, or no content in a pass.
    Example:
        >>> encoder = ClipEncoder("openai/clip-vit-base-patch32")
        >>> encoder.encode([Path("cat.jpg"), "a cat"], "query").array.shape  # doctest: +SKIP
        (2, 512)
    """

    def __init__(  # noqa: PLR0913 - the settings of a model are many and all have defaults
        self,
        model: Any,
        *,
        processor: Any = None,
        revision: str | None = None,
        prefix: str = "",
        max_length: int | None = None,
        batch_size: int = 32,
        device: str | None = None,
        dtype: Dtype | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(batch_size, prefix)
        self.model = model
        self.processor = processor
        self.revision = revision
        self.max_length = max_length
        self.device = device
        self.dtype = dtype
        self.name = name
        if self._in_memory and processor is None:
            raise ConfigError(
                "ClipEncoder",
                "a processor beside a model that is loaded already",
                "none",
                "Pass processor=(tokenizer, image_processor), or the model's name.",
            )

    def __repr__(self) -> str:
        model = type(self.model).__name__ if self._in_memory else str(self.model)
        return f"ClipEncoder({model!r})"

    @property
    def _in_memory(self) -> bool:
        return not isinstance(self.model, str | Path)

    @cached_property
    def _folder(self) -> Path | None:
        if not self._in_memory and Path(self.model).is_dir():
            return Path(self.model)
        return None

    @cached_property
    def _loaded(self) -> Any:
        if self._in_memory:
            return self.model
        device = best_device(self.device, f"{self!r}: device")
        told: dict[str, Any] = {"dtype": getattr(need("torch"), self.dtype)} if self.dtype else {}
        if self._absent is not None:  # the look for an adapter has to be told apart
            told["adapter_kwargs"] = {"local_files_only": True}
        model = self._opened("AutoModel", **told)
        return model.to(device).eval()

    def _opened(self, kind: str, **options: Any) -> Any:
        """A model, tokenizer or image processor of the folder or from the hub."""
        what = f"what transformers' {kind} can open"
        with (
            quiet() as library,
            opening(str(self.model), what, lambda: self._absent) as local,
        ):
            return getattr(library, kind).from_pretrained(
                str(self._folder or self.model),
                revision=self.revision or "main",
                # A folder is complete: nothing asks the hub about it.
                local_files_only=self._folder is not None or local,
                **options,
            )

    @cached_property
    def _absent(self) -> Absent | None:
        """What the hub says, asked once for all that is opened."""
        if offline() or self._folder is not None:
            return None
        return absent([str(self.model)], self.revision)

    @cached_property
    def _tokenizer(self) -> Any:
        if self.processor is None:
            return self._opened("AutoTokenizer")
        if isinstance(self.processor, tuple):
            return self.processor[0]
        return self.processor.tokenizer

    @cached_property
    def _image_processor(self) -> Any:
        if self.processor is None:
            return self._opened("AutoImageProcessor")
        if isinstance(self.processor, tuple):
            return self.processor[1]
        return self.processor.image_processor

    @cached_property
    def _limit(self) -> int:
        """Tokens of the longest text; tokenizers may not know the model's."""
        text = getattr(self._loaded.config, "text_config", self._loaded.config)
        own = int(getattr(text, "max_position_embeddings", 77))
        return own if self.max_length is None else min(own, self.max_length)

    @cached_property
    def _space(self) -> Space:
        model = self._loaded
        for method in ("get_text_features", "get_image_features"):
            if not hasattr(model, method):
                raise ConfigError(
                    repr(self), f"a model with {method}", type(model).__name__, "Is it a CLIP?"
                )
        precision = str(next(model.parameters()).dtype).removeprefix("torch.")
        more: dict[str, Any] = {"engine": "transformers, two towers"}
        if precision != "float32":
            more["dtype"] = precision
        on_hub = not self._in_memory and self._folder is None
        return Space(
            self._label,
            self._texts(["a"]).shape[1],
            "cosine",
            fingerprint(
                # Weights found in a folder or in memory are known by their digest alone.
                str(self.model) if on_hub else "",
                revision=self._version,
                query_prefix=self.prefix,
                document_prefix=self.prefix,
                max_length=self._limit,
                **more,
            ),
        )

    @property
    def _label(self) -> str:
        if self.name is not None:
            return self.name
        if self._in_memory:
            return str(getattr(self.model.config, "_name_or_path", "") or type(self.model).__name__)
        return self._folder.resolve().name if self._folder is not None else str(self.model)

    @property
    def _version(self) -> str:
        # What a branch or a tag names may change; the commit that was loaded does not.
        on_hub = not self._in_memory and self._folder is None
        commit = getattr(self._loaded.config, "_commit_hash", None) if on_hub else None
        if commit or self.revision:
            return str(commit or self.revision)
        if self._folder is not None:
            return folder_digest(self._folder)
        state = self._loaded.state_dict().items()
        weights = arrays_digest((name, tensor.cpu().float().numpy()) for name, tensor in state)
        return text_digest(weights, *self._readers())

    def _readers(self) -> tuple[str, str]:
        """How texts and pictures become numbers, in words that JSON can hold."""
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        words = backend.to_str() if backend is not None else sorted(self._tokenizer.get_vocab())
        settings = self._image_processor.to_dict()
        return str(words), json.dumps(settings, sort_keys=True, default=str)

    def _texts(self, texts: list[str]) -> FloatArray:
        model = self._loaded
        full = _FULL_WIDTH in str(getattr(model.config, "model_type", ""))
        read = self._tokenizer(
            texts,
            padding="max_length" if full else True,
            truncation=True,
            max_length=self._limit,
            return_tensors="pt",
        )
        inputs = {"input_ids": read["input_ids"].to(model.device)}
        if not full and "attention_mask" in read:
            inputs["attention_mask"] = read["attention_mask"].to(model.device)
        with need("torch").inference_mode():
            return on_host(pooled(model.get_text_features(**inputs), repr(self)))

    def _pictures(self, pictures: list[Picture]) -> FloatArray:
        model = self._loaded
        seen = self._image_processor(images=pictures, return_tensors="pt")
        # Newer kinds (SigLIP 2 of any shape) want more than the pixels.
        inputs = {name: tensor.to(model.device) for name, tensor in seen.items()}
        inputs["pixel_values"] = inputs["pixel_values"].to(model.dtype)
        with need("torch").inference_mode():
            return on_host(pooled(model.get_image_features(**inputs), repr(self)))


def pooled(answer: Any, owner: str = "pooled") -> Tensor:
    """(n, d) rows of what `get_text_features` or `get_image_features` answered.

    Before version 5 of transformers that is the tensor itself, since then an object with
    `pooler_output`, or a pair that ends in it.

    Raises:
        EncoderError: None of these.
    """
    rows = getattr(answer, "pooler_output", answer)
    if isinstance(rows, tuple) and rows:
        rows = rows[-1]
    if len(getattr(rows, "shape", ())) != 2:
        raise EncoderError(owner, "(n, d) rows", f"a {type(answer).__name__} without them")
    return rows
