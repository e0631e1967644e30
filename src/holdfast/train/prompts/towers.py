"""The towers of a transformers CLIP with prompts in them, layer by layer.

Written on the parts of the model (`text_model`, `vision_model`, two projections), so nothing
is imported, and models of release 4.57 and of release 5 both serve.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ...errors import DimensionMismatch, InvalidInput
from ..tensors import Tensor, torch
from .slots import Mode, held, placed

Tokens = tuple[Tensor, Tensor]

_PARTS = ("text_model", "vision_model", "text_projection", "visual_projection")


def check_clip(clip: Any, depth: int) -> None:
    """Refuse what is no CLIP, or has fewer layers than prompts are wanted for.

    Raises:
        InvalidInput: With what is missing.
    """
    missing = [part for part in _PARTS if not hasattr(clip, part)]
    if missing:
        raise InvalidInput(
            "PromptedClip",
            "a CLIPModel of transformers",
            f"{type(clip).__name__} without {missing[0]}",
            "Models of other families keep their layers elsewhere.",
        )
    layers = min(len(getattr(clip, name).encoder.layers) for name in _PARTS[:2])
    if not 1 <= depth <= layers:
        raise InvalidInput("PromptedClip", f"a depth from 1 to {layers}", str(depth))


def as_tokens(given: Mapping[str, Tensor], device: Any) -> Tokens:
    """(c, n) ids and (c, n) ones where there is a token.

    Raises:
        InvalidInput: Texts that are padded on the left: prompts stand behind the first token.
    """
    ids = torch.as_tensor(given["input_ids"]).to(device)
    mask = given.get("attention_mask")
    mask = torch.ones_like(ids) if mask is None else torch.as_tensor(mask).to(device)
    if not bool(mask[:, 0].all()):
        raise InvalidInput("tokens", "texts padded on the right", "padding before the first token")
    return ids, mask


def text_rows(clip: Any, tokens: Tokens, prompts: Tensor, mode: Mode) -> Tensor:
    """(c, d) rows of texts, not scaled; the prompts stand behind the first token.

    Those of the first layer have positions, so the words move on by their number. Later ones
    have none.

    Raises:
        InvalidInput: More tokens and prompts than the tower has positions.
    """
    (ids, mask), tower = tokens, clip.text_model
    room = tower.embeddings.position_embedding.weight.shape[0]
    if ids.shape[1] + held(0, prompts, mode) > room:
        raise InvalidInput(
            "PromptedClip",
            f"at most {room - held(0, prompts, mode)} tokens",
            str(ids.shape[1]),
            "Cut the texts, or take fewer prompts.",
        )
    words = tower.embeddings.token_embedding(ids)
    states = tower.embeddings(inputs_embeds=placed(words, prompts, 0, 1, mode))
    for number, layer in enumerate(tower.encoder.layers):
        if number:
            states = placed(states, prompts, number, 1, mode)
        states = _through(layer, states, _causal(mask, held(number, prompts, mode), states))
    count = len(tower.encoder.layers)
    at = _ends(tower, ids) + held(count - 1, prompts, mode)
    rows = tower.final_layer_norm(states)[torch.arange(len(ids), device=ids.device), at]
    found: Tensor = clip.text_projection(rows)
    return found


def image_rows(clip: Any, pixels: Tensor, prompts: Tensor, mode: Mode) -> Tensor:
    """(b, d) rows of pictures, not scaled; the prompts stand behind the patches.

    They have no positions, and only those of the first layer pass the norm before it.

    Raises:
        DimensionMismatch: No pictures, or others than the tower takes.
    """
    tower = clip.vision_model
    side = tower.embeddings.image_size
    wanted = (tower.embeddings.patch_embedding.in_channels, side, side)
    shape = tuple(pixels.shape) if torch.is_tensor(pixels) else type(pixels).__name__
    if shape[1:] != wanted or not len(pixels):
        raise DimensionMismatch(
            "PromptedClip",
            f"a tensor (b, {', '.join(map(str, wanted))}) of one picture or more",
            str(shape),
            "Let the image processor of the model make it.",
        )
    states = tower.embeddings(pixels)
    end = states.shape[1]
    for number, layer in enumerate(tower.encoder.layers):
        states = placed(states, prompts, number, end, mode)
        if not number:
            states = tower.pre_layrnorm(states)
        states = _through(layer, states, None)
    found: Tensor = clip.visual_projection(tower.post_layernorm(states[:, 0]))
    return found


def _through(layer: Any, states: Tensor, mask: Tensor | None) -> Tensor:
    """One layer of either release: the older takes two masks and answers a tuple."""
    if "causal_attention_mask" in inspect.signature(layer.forward).parameters:
        answer = layer(states, attention_mask=None, causal_attention_mask=mask)
    else:
        answer = layer(states, attention_mask=mask)
    found: Tensor = answer[0] if isinstance(answer, tuple) else answer
    return found


def _causal(mask: Tensor, prompts: int, states: Tensor) -> Tensor:
    """(c, 1, n, n) to be added: nothing looks ahead, or at padding."""
    there = torch.cat([mask[:, :1], mask.new_ones(len(mask), prompts), mask[:, 1:]], dim=1)
    length = states.shape[1]
    seen = torch.ones(length, length, dtype=torch.bool, device=states.device).tril()
    hidden = ~(seen & there.bool()[:, None, None, :])
    added = torch.zeros(hidden.shape, dtype=states.dtype, device=states.device)
    return added.masked_fill(hidden, torch.finfo(states.dtype).min)


def _ends(tower: Any, ids: Tensor) -> Tensor:
    """(c,) place of the token that stands for the text; 2 is what early models say wrongly."""
    if tower.eos_token_id == 2:
        return ids.argmax(dim=-1)
    return (ids == tower.eos_token_id).int().argmax(dim=-1)
