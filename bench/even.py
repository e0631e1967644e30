"""Equal recall: how hard a store's search must try to find as much as another search does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from holdfast.store.base import VectorStore

_MOST = 4_096  # efforts above that are not tried


class Effort:
    """The effort of a store whose searches are inexact; stores of other kinds have none.

    Args:
        store: An open one whose index is built.
    """

    def __init__(self, store: VectorStore) -> None:
        inside: Any = getattr(store, "_engine", None) or getattr(store, "_index", None)
        self._inside = inside
        self._name = next((n for n in ("_ef", "effort") if hasattr(inside, n)), "")

    def __bool__(self) -> bool:
        return bool(self._name)

    @property
    def value(self) -> int:
        """Candidates kept, or lists read."""
        return int(getattr(self._inside, self._name))

    @value.setter
    def value(self, effort: int) -> None:
        setattr(self._inside, self._name, effort)


def reach(effort: Effort, recall: Callable[[], float], target: float) -> float:
    """Set the least effort that reaches a recall; answers the recall then.

    Args:
        effort: Of the store.
        recall: Measures it at the present effort.
        target: In [0, 1].
    """

    def at(value: int) -> float:
        effort.value = value
        return recall()

    failed, reached = 0, effort.value
    while at(reached) < target and reached < _MOST:
        failed, reached = reached, 2 * reached
    while reached - failed > 1:
        middle = (failed + reached) // 2
        if at(middle) < target:
            failed = middle
        else:
            reached = middle
    return at(reached)
