"""Models of the open_clip library, with its own names and its own weights."""

from __future__ import annotations

import re
from functools import cached_property
from pathlib import Path
from typing import Any

from ..arrays import FloatArray
from ..device import best_device
from ..errors import ConfigError
from ..optional import need
from ..space import Space, fingerprint
from .pictures import Picture
from .towers import TwoTowers, on_host, text_digest
from .weights import arrays_digest

_COMPLETE = ("hf-hub:", "local-dir:")  # names that bring their weights


class OpenClipEncoder(TwoTowers):
    """A model of open_clip; it is loaded on first use.

    open_clip needs torchvision for its pictures, so it has an extra of its own.

    Args:
        model: Its name there, "ViT-B-32", or "hf-hub:" and a name on the hub.
        pretrained: Which weights, "laion2b_s34b_b79k", or a file of them; None only where the
            name brings its own, since the library would make up weights at random.
        revision: Version of the weights; without one the fingerprint covers the weights.
        prefix: Text before every text, such as "a photo of ".
        batch_size: Texts or pictures in one pass, at most; fewer where that would take long.
        device: Such as "cpu" or "cuda:0"; None for the best there is.
        name: Label of the space.
    Raises:
        ConfigError: No weights are named.
    Example:
        >>> OpenClipEncoder("ViT-B-32", "laion2b_s34b_b79k")
        OpenClipEncoder('ViT-B-32', 'laion2b_s34b_b79k')
    """

    def __init__(
        self,
        model: str,
        pretrained: str | None = None,
        *,
        revision: str | None = None,
        prefix: str = "",
        batch_size: int = 32,
        device: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(batch_size, prefix)
        if not pretrained and not model.startswith(_COMPLETE):
            raise ConfigError(
                "OpenClipEncoder: pretrained",
                f"which weights of {model!r} to load",
                "none",
                "open_clip.list_pretrained() names them all.",
            )
        self.model = model
        self.pretrained = pretrained
        self.revision = revision
        self.device = device
        self.name = name

    def __repr__(self) -> str:
        return f"OpenClipEncoder({self.model!r}, {self.pretrained!r})"

    @cached_property
    def _loaded(self) -> tuple[Any, Any, Any]:
        """The model, what makes pixels of a picture, what makes tokens of texts."""
        library = need("open_clip")
        device = best_device(self.device, f"{self!r}: device")
        try:
            model, _, prepare = library.create_model_and_transforms(
                self.model, pretrained=self.pretrained
            )
            tokens = library.get_tokenizer(self.model)
        except (OSError, RuntimeError, ValueError) as cause:
            raise ConfigError(
                f"model {self.model!r}",
                "a model of open_clip with these weights",
                f"{type(cause).__name__}: {' '.join(str(cause).split())[:200]}",
                "open_clip.list_pretrained() names them all.",
            ) from cause
        return model.to(device).eval(), prepare, tokens

    @cached_property
    def _space(self) -> Space:
        model, prepare, tokens = self._loaded
        state = model.state_dict().items()
        digest = self.revision or text_digest(
            arrays_digest((name, tensor.cpu().float().numpy()) for name, tensor in state),
            # Its steps are functions in part, which say where in memory they lie.
            re.sub(r" at 0x[0-9a-f]+", "", repr(prepare)),
            type(tokens).__name__,
        )
        weights = self.pretrained or ""
        if Path(weights).is_file():
            weights = Path(weights).name
        label = self.name or "/".join(filter(None, (self.model, weights)))
        return Space(
            label,
            self._texts(["a"]).shape[1],
            "cosine",
            fingerprint(
                self.model,
                revision=digest,
                query_prefix=self.prefix,
                document_prefix=self.prefix,
                engine="open_clip",
            ),
        )

    def _texts(self, texts: list[str]) -> FloatArray:
        model, _, tokens = self._loaded
        with need("torch").inference_mode():
            return on_host(model.encode_text(tokens(texts).to(_device(model))))

    def _pictures(self, pictures: list[Picture]) -> FloatArray:
        torch = need("torch")
        model, prepare, _ = self._loaded
        seen = torch.stack([prepare(picture) for picture in pictures])
        with torch.inference_mode():
            return on_host(model.encode_image(seen.to(_device(model))))


def _device(model: Any) -> Any:
    return next(model.parameters()).device
