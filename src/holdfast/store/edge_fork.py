"""The engine in a forked process: it has the memory of its parent, but none of its threads.

Whoever asks it there waits for ever. Dropping it, as the end of a process does, is worse: it writes
what the parent is going to write itself, into the same files, and the parent's rows are lost. So a
forked process lets go of it without a word.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any, Protocol
from weakref import WeakSet


class Leaves(Protocol):
    """What has the engine open."""

    def leave(self) -> Any:
        """Give it up, and answer what must not be dropped."""
        ...


_OPEN: WeakSet[Leaves] = WeakSet()


def leave_when_forked(owner: Leaves) -> None:
    """Let every process that is forked from now on give up what an owner has open."""
    _OPEN.add(owner)


def _leave() -> None:
    for owner in _OPEN:
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(owner.leave()))  # no end of a process drops it


os.register_at_fork(after_in_child=_leave)
