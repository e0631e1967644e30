"""Where the prompts of a layer stand in the sequence that the layer reads.

replace           each layer has its own prompts in the same places
accumulate        each layer's prompts come behind what became of the earlier ones
accumulate_same   each layer's prompts come behind the earlier ones as they were learned
"""

from __future__ import annotations

from typing import Literal

from ..tensors import Tensor, torch

Mode = Literal["replace", "accumulate", "accumulate_same"]


def held(layer: int, prompts: Tensor, mode: Mode) -> int:
    """How many prompts stand in the sequence that a layer reads.

    Args:
        layer: From 0; -1 is before the first.
        prompts: (j, l, d) prompts of the first j layers.
        mode: See above.
    """
    depth, length = int(prompts.shape[0]), int(prompts.shape[1])
    layers = min(layer + 1, depth)
    return length * (min(layers, 1) if mode == "replace" else layers)


def placed(states: Tensor, prompts: Tensor, layer: int, at: int, mode: Mode) -> Tensor:
    """The sequence that a layer reads: with its own prompts in their places.

    Args:
        states: (b, n, d) what the layer before answered.
        prompts: (j, l, d) prompts of the first j layers.
        layer: From 0. From j on nothing changes.
        at: Place of the first prompt.
        mode: See above.
    """
    if layer >= len(prompts):
        return states
    end = at + held(layer - 1, prompts, mode)
    kept = states[:, at:end] if mode == "accumulate" else states[:, at:at]
    new = prompts[: layer + 1].flatten(0, 1) if mode == "accumulate_same" else prompts[layer]
    new = new.to(states.dtype).expand(len(states), -1, -1)
    return torch.cat([states[:, :at], kept, new, states[:, end:]], dim=1)
