"""States of models and optimisers as artefacts: arrays and JSON, never anything that runs.

A state is a tree of dictionaries, lists, tuples, tensors, numbers, texts and None. Tensors
become arrays and the rest JSON, so that reading gives the same bits and the same types back.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import artifact
from ..errors import ArtifactError, InvalidInput
from .tensors import Tensor, nn, torch

Arrays = dict[str, npt.NDArray[Any]]

# What numpy has no name for travels as bits of the same width.
_BITS = {torch.bfloat16: torch.int16}
_NAMES = {"bfloat16": torch.bfloat16}


def save(path: Path, kind: str, run: str, tree: Any) -> None:
    """Write a state whole or not at all.

    Args:
        path: Where.
        kind: What it is.
        run: Digest of the run it belongs to.
        tree: The state.
    """
    arrays: Arrays = {}
    data = flat(tree, "state", arrays)
    artifact.save(path, artifact.Artifact(kind, arrays, {"run": run, "state": data}))


def load(path: Path, kind: str, run: str) -> Any:
    """Read what `save` wrote.

    Raises:
        ArtifactError: Missing, of another kind, not whole, or of another run.
    """
    anew = "Delete its folder to begin anew."
    try:
        read = artifact.load(path, kind)
    except ArtifactError as cause:
        raise ArtifactError(cause.who, cause.expected, cause.got, anew) from cause
    if read.meta.get("run") != run:
        raise ArtifactError(
            str(path),
            f"the run {run}",
            f"a state of the run {read.meta.get('run')}",
            "Take another folder, or the data, tasks and settings it was begun with; or delete "
            "this one to begin anew.",
        )
    try:
        return restored(read.meta["state"], read.arrays)
    except (KeyError, TypeError) as cause:
        got = f"{type(cause).__name__}: {cause}"
        raise ArtifactError(str(path), "a whole state", got, anew) from cause


def fill(module: nn.Module, state: Mapping[str, Any], who: str) -> None:
    """Give a module the state that one like it had.

    Raises:
        ArtifactError: It is built in another way.
    """
    try:
        module.load_state_dict(state)
    except RuntimeError as cause:
        raise ArtifactError(
            who, f"a state of such a {type(module).__name__}", str(cause)
        ) from cause


def flat(tree: Any, name: str, arrays: Arrays) -> Any:
    """The tree as JSON; its tensors go to `arrays` under names that begin with `name`.

    Raises:
        InvalidInput: Something that is neither a tensor nor plain data.
    """
    if torch.is_tensor(tree):
        return _stored(tree, name, arrays)
    if isinstance(tree, np.ndarray):
        arrays[name] = tree
        return {"array": name}
    if isinstance(tree, Mapping):
        parts = [
            [key, flat(value, f"{name}/{place}", arrays)]
            for place, (key, value) in enumerate(tree.items())
        ]
        if not all(isinstance(key, str | int) for key, _ in parts):
            raise InvalidInput("a checkpoint", "keys that are texts or integers", repr(parts)[:80])
        return {"map": parts}
    if isinstance(tree, list | tuple):
        values = [flat(value, f"{name}/{place}", arrays) for place, value in enumerate(tree)]
        return {"list" if isinstance(tree, list) else "tuple": values}
    if tree is None or isinstance(tree, str | bool | int | float):
        return tree
    raise InvalidInput("a checkpoint", "tensors and plain data", type(tree).__name__)


def restored(data: Any, arrays: Mapping[str, npt.NDArray[Any]]) -> Any:
    """The tree that `flat` took apart; tensors are on the CPU."""
    if not isinstance(data, Mapping):
        return data
    if "tensor" in data:
        values = torch.from_numpy(np.array(arrays[data["tensor"]]))  # a copy that may be written
        kind = _NAMES.get(data.get("type", ""))
        return values if kind is None else values.view(kind)
    if "array" in data:
        return arrays[data["array"]]
    if "map" in data:
        return {key: restored(value, arrays) for key, value in data["map"]}
    values = [restored(value, arrays) for value in data.get("list", data.get("tuple", ()))]
    return values if "list" in data else tuple(values)


def _stored(tensor: Tensor, name: str, arrays: Arrays) -> dict[str, str]:
    whole = tensor.detach().cpu().contiguous()
    bits = _BITS.get(whole.dtype)
    arrays[name] = np.array((whole if bits is None else whole.view(bits)).numpy())
    kind = {} if bits is None else {"type": str(whole.dtype).removeprefix("torch.")}
    return {"tensor": name, **kind}
