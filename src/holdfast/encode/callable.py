"""Any function as an encoder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ..arrays import Vectors
from ..errors import EncoderError, HoldfastError
from ..items import Content, Role, as_contents
from ..space import Space
from .base import as_answer, nothing

Function: TypeAlias = Callable[[list[Content]], Any]


class CallableEncoder:
    """A function from a list of contents to an (n, d) array.

    Whatever the function raises is taken for a permanent failure of these contents; to ask
    for another try later, raise `EncoderUnavailable` or `Throttled` in it.

    Args:
        space: What the function answers. Give it a fingerprint that changes with the model.
        document: Encodes what is stored.
        query: Encodes what asks; without it `document` does both.
    Example:
        >>> space = Space("letters", 2, metric="dot")
        >>> encoder = CallableEncoder(space, lambda texts: [[t.count("a"), len(t)] for t in texts])
        >>> encoder.encode(["banana", "kelp"], "document").array.tolist()
        [[3.0, 6.0], [0.0, 4.0]]
    """

    def __init__(self, space: Space, document: Function, query: Function | None = None) -> None:
        self.space = space
        self.document = document
        self.query = query

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        owner = f"encoder of {self.space.name}"
        given = as_contents(contents, role, owner)
        if not given:
            return nothing(self.space)
        count = len(given)  # the function may change its list
        function = self.query if role == "query" and self.query is not None else self.document
        try:
            values = function(given)
        except HoldfastError:
            raise
        except Exception as cause:
            raise EncoderError(
                owner, "an answer of its function", f"{type(cause).__name__}: {cause}"
            ) from cause
        answer = as_answer(values, count, self.space, owner)
        # A function may fill one buffer again and again; an answer must not change afterwards.
        if isinstance(values, np.ndarray) and np.may_share_memory(values, answer.array):
            return Vectors(self.space, answer.array.copy())
        return answer

    def __repr__(self) -> str:
        return f"CallableEncoder({self.space})"
