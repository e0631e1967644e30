"""A frozen CLIP with deep prompts in both towers: those of pictures are a map of those of texts."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias, get_args

from ... import artifact
from ...errors import ArtifactError, InvalidInput
from ..model import digest
from ..tensors import Tensor, nn, torch, unit
from .slots import Mode
from .towers import Tokens, as_tokens, check_clip, image_rows, text_rows

Tokenize: TypeAlias = Callable[[list[str]], Mapping[str, Tensor]]


class PromptedClip(nn.Module):
    """Unit rows of pictures and texts, by a frozen CLIP and what its prompts add.

    Args:
        clip: A `CLIPModel` of transformers, release 4.57 or 5. It is frozen here: its weights
            ask for no gradient any more and are never changed.
        tokenize: (c) texts to `input_ids` and `attention_mask`, padded on the right.
        prompts: Of each layer. With none, rows are those of the model itself, bit for bit.
        depth: Layers with prompts, from the first, in both towers.
        text_mode: How prompts of texts follow one another, see `slots`.
        image_mode: Likewise for pictures; None gives pictures no prompts, and then there is
            no bridge.
        scale: Of cosines in logits.
        seed: Of the prompts and the bridge.
    Raises:
        InvalidInput: Fewer than 0 prompts, a scale of 0, or an unknown mode.

    Source: D'Alessandro et al. 2023 (CPE-CLIP: 2 prompts in each of 12 layers, one linear
        bridge from the prompts of texts to those of pictures, scale 100). Departs from it:
        nothing in the towers.
    """

    def __init__(
        self,
        clip: Any,
        tokenize: Tokenize,
        prompts: int = 2,
        depth: int = 12,
        text_mode: Mode = "replace",
        image_mode: Mode | None = "accumulate",
        scale: float = 100.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_clip(clip, depth)
        if prompts < 0 or scale <= 0.0:
            raise InvalidInput(
                "PromptedClip", "prompts from 0 and a scale above 0", f"{prompts}, {scale}"
            )
        for name, mode, known in (
            ("text_mode", text_mode, get_args(Mode)),
            ("image_mode", image_mode, (*get_args(Mode), None)),
        ):
            if mode not in known:
                raise InvalidInput(
                    f"PromptedClip: {name}", f"one of {', '.join(map(repr, known))}", repr(mode)
                )
        self.clip = clip.requires_grad_(False).eval()
        self.tokenize, self.scale = tokenize, scale
        self.text_mode, self.image_mode = text_mode, image_mode
        positions = clip.text_model.embeddings.position_embedding.weight
        width, wide = positions.shape[1], clip.visual_projection.in_features
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)  # the CPU's: a GPU's stay as they are
            bound = math.sqrt(6.0 / ((prompts + depth) * width))  # Glorot's, for this shape
            rows = torch.empty(depth, prompts, width).uniform_(-bound, bound)
            self.prompts = nn.Parameter(rows.to(positions.device))
            self.bridge = None
            if image_mode is not None:
                self.bridge = nn.Linear(width, wide).to(positions.device)

    def train(self, mode: bool = True) -> PromptedClip:
        """The frozen model stays in evaluation mode."""
        super().train(mode)
        self.clip.eval()
        return self

    def learned(self) -> dict[str, nn.Parameter]:
        """What is trained, by name: the prompts, and the bridge where there is one."""
        return {
            name: value for name, value in self.named_parameters() if not name.startswith("clip.")
        }

    @property
    def count(self) -> int:
        """Number of trained parameters."""
        return sum(value.numel() for value in self.learned().values())

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Ids and mask of texts, on the device; made once for many steps."""
        return as_tokens(self.tokenize(list(texts)), self.prompts.device)

    def text_vectors(self, texts: Sequence[str] | Tokens) -> Tensor:
        """(c, d) unit rows of texts, or of their `tokens`.

        Raises:
            InvalidInput: No text, one alone outside a list, or one that is too long.
        """
        if isinstance(texts, str) or not len(texts):
            raise InvalidInput("PromptedClip", "a list of one text or more", repr(texts)[:80])
        tokens = self.tokens(texts) if isinstance(texts[0], str) else texts
        return unit(text_rows(self.clip, tokens, self.prompts, self.text_mode))  # type: ignore[arg-type]

    def image_vectors(self, images: Tensor) -> Tensor:
        """(b, d) unit rows of (b, 3, height, width) pictures as the model wants them.

        Raises:
            DimensionMismatch: No pictures, or others than the model takes.
        """
        if self.bridge is None or self.image_mode is None:
            nothing = self.prompts.new_zeros(0, 0, self.clip.visual_projection.in_features)
            return unit(image_rows(self.clip, images, nothing, "replace"))
        return unit(image_rows(self.clip, images, self.bridge(self.prompts), self.image_mode))

    def save(self, path: Path | str) -> None:
        """Write what is learned, and for which model; the frozen weights stay where they are."""
        arrays = {
            name: value.detach().cpu().float().numpy() for name, value in self.learned().items()
        }
        artifact.save(path, artifact.Artifact("prompts", arrays, self._meta()))

    def restore(self, path: Path | str) -> PromptedClip:
        """Take up what `save` wrote.

        Raises:
            ArtifactError: Missing, of another kind, or learned for another model or shape.
        """
        read = artifact.load(path, "prompts")
        mine = self._meta()
        wrong = [name for name in mine if read.meta.get(name) != mine[name]]
        if wrong:
            found = f"{wrong[0]} {read.meta.get(wrong[0])}"
            raise ArtifactError(str(path), f"{wrong[0]} {mine[wrong[0]]}", found)
        with torch.no_grad():
            for name, value in self.learned().items():
                value.copy_(torch.from_numpy(read.arrays[name]))
        return self

    def _meta(self) -> dict[str, Any]:
        depth, prompts = self.prompts.shape[:2]
        return {
            "clip": digest(self.clip),
            "depth": depth,
            "prompts": prompts,
            "text_mode": self.text_mode,
            "image_mode": self.image_mode,
            "scale": self.scale,
        }
