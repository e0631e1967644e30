"""How searches and a backfill share the cores of one process."""

from __future__ import annotations

import os
import sys

from threadpoolctl import threadpool_limits

_SWITCH = 0.001  # seconds after which the backfill's thread lets a search go on; usually 0.005


def share_cores() -> None:
    """One thread for each product of arrays, and short turns at the interpreter.

    The arrays of a search are small. Where a backfill fits a map on both cores meanwhile, the
    threads of either wait for each other, and a search takes a second instead of a millisecond
    (`bench.load`). Models keep their threads: theirs are not those of numpy. But where two of them
    are at work, idle threads of one must not spin on the cores that the other needs; whoever has
    set OMP_WAIT_POLICY is obeyed. It is read when a model's library is loaded, so call this before.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    threadpool_limits(limits=1, user_api="blas")
    sys.setswitchinterval(_SWITCH)
