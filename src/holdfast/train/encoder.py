"""A trained model as an encoder, in a space whose relation to its predecessor's is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..arrays import FloatArray, Vectors, as_vectors
from ..device import check_device
from ..errors import (
    EncoderError,
    EncoderUnavailable,
    InvalidInput,
    UnfitContent,
    WrongCount,
    no_memory,
)
from ..items import Content, Role, as_contents
from ..space import Space, fingerprint
from .expansion import extended_space
from .interface import Interface
from .model import Model, digest, frozen
from .tensors import Tensor, torch

_OF_TEXTS = (
    "For texts name a function of yours that asks the model of those numbers, then this one: "
    'encoder = "python".'
)


def space_of(
    model: Model,
    name: str,
    interface: Interface | None = None,
    gallery: Interface | None = None,
    before: Space | None = None,
) -> Space:
    """The space of a trained model.

    Args:
        model: Trained.
        name: Label for people.
        interface: What its head keeps to, where its classifier is fixed. All its models
            share a space, or extend the one of fewer classes.
        gallery: The interface as it was when the stored vectors were made, if it grew.
        before: The space that the loss compared this model's vectors with. Equal lengths
            make the same space, longer vectors extend it. Without an interface and without
            this, a model is related to no other.
    Raises:
        InvalidInput: Vectors of another length than the interface says, or shorter ones than
            those they were compared with; a head that does not say their length.
    """
    dim = int(getattr(model.head, "dim", 0))
    if not dim:
        raise InvalidInput(
            "space_of", "a head with `dim`, the length of its vectors", type(model.head).__name__
        )
    if interface is not None:
        if dim != interface.dim:
            raise InvalidInput("space_of", f"vectors of {interface.dim} coordinates", str(dim))
        return interface.space(name, gallery)
    mark = fingerprint(name, revision=digest(model))
    if before is None:
        return Space(name, dim, "cosine", mark)
    shared = int(getattr(model.head, "old_dim", dim))
    if shared != before.dim:
        raise InvalidInput("space_of", f"{before.dim} shared coordinates", str(shared))
    if dim > shared:
        return extended_space(name, before, dim - shared, mark)
    return Space(name, dim, before.metric, before.fingerprint)


class ModelEncoder:
    """A frozen copy of a trained model; may be called from any thread.

    Args:
        model: Trained.
        space: See `space_of`.
        prepare: (n) contents to (n, ...) inputs; by default numbers are stacked as float32.
        device: Where it answers.
        size: Contents at once.
    Raises:
        ConfigError: This machine has no such device.
    """

    def __init__(
        self,
        model: Model,
        space: Space,
        prepare: Callable[[list[Content]], Tensor] | None = None,
        device: str = "cpu",
        size: int = 256,
    ) -> None:
        check_device(device, f"encoder of {space.name}: device")
        self.space, self.prepare = space, prepare or self._stacked
        self.model, self.device, self.size = frozen(model).to(device), device, size

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        """(n, d) vectors, scaled to length one where the metric is the cosine.

        Raises:
            EncoderError: Contents that the model cannot take, or an answer nobody can use.
            InvalidInput: An unknown role, or no sequence.
        """
        owner = f"encoder of {self.space.name}"
        given = as_contents(contents, role, owner)
        parts = range(0, len(given), self.size)
        rows = [self._part(given[start : start + self.size], owner) for start in parts]
        return answered(rows, self.space, owner)

    def _part(self, contents: list[Content], owner: str) -> FloatArray:
        try:
            inputs = self.prepare(contents)
            with torch.inference_mode():
                vectors = self.model(inputs.to(self.device)).vectors
        except (RuntimeError, MemoryError, TypeError, ValueError, IndexError) as cause:
            if no_memory(cause):
                raise unavailable(owner, cause) from cause
            raise EncoderError(
                owner, "contents that the model takes", f"{type(cause).__name__}: {cause}"
            ) from cause
        if vectors.shape != (len(contents), self.space.dim):
            raise WrongCount(owner, f"({len(contents)}, {self.space.dim})", str(vectors.shape))
        found: FloatArray = vectors.float().cpu().numpy()
        return found

    def _stacked(self, contents: list[Content]) -> Tensor:
        for content in contents:
            if isinstance(content, str):
                raise UnfitContent(
                    f"encoder of {self.space.name}",
                    "numbers, as the model was trained on",
                    f"the text {content[:40]!r}",
                    _OF_TEXTS,
                )
        with np.errstate(over="ignore"):  # what float32 cannot hold is refused in the answer
            return torch.from_numpy(np.stack([np.asarray(c, dtype=np.float32) for c in contents]))

    def __repr__(self) -> str:
        return f"ModelEncoder({self.space})"


def unavailable(owner: str, cause: BaseException) -> EncoderUnavailable:
    """No memory for a batch: no fault of what is in it, and over when others are done."""
    return EncoderUnavailable(
        owner,
        "memory for a batch",
        str(cause)[:200] or type(cause).__name__,
        "Leave it more room, or let it answer on another device.",
    )


def answered(rows: list[FloatArray], space: Space, owner: str) -> Vectors:
    """What a model answered to the parts of a call, checked.

    Args:
        rows: (n_i, d) of each part; none where there were no contents.
        space: Of the rows.
        owner: Whose answer it is, for the message.
    Raises:
        EncoderError: Rows nobody can use: NaN, a zero row under the cosine, another length.
    """
    if not rows:
        return Vectors(space, np.zeros((0, space.dim), dtype=np.float32))
    try:
        return as_vectors(np.concatenate(rows), space, owner)
    except InvalidInput as cause:
        raise EncoderError(cause.who, cause.expected, cause.got, cause.fix) from cause
