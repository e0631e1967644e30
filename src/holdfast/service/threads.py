"""How searches, a backfill and whoever looks on share the cores and threads of one process."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial, wraps
from typing import Any

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


class Lane:
    """Threads for some endpoints alone.

    A search takes as long as its model, and those of one that hangs take up every thread that the
    framework has. The upgrade must be looked at and rolled back then of all times.

    Args:
        name: Of its threads.
        threads: How many requests are answered at once; further ones wait.
    """

    def __init__(self, name: str, threads: int) -> None:
        self._pool = ThreadPoolExecutor(threads, name)

    def of(self, endpoint: Callable[..., Any]) -> Callable[..., Any]:
        """The endpoint, as one that waits for these threads."""

        @wraps(endpoint)
        async def answer(*args: Any, **named: Any) -> Any:
            work = partial(copy_context().run, endpoint, *args, **named)
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)

        # Frameworks look through a wrapper to see whether what is within has to be awaited.
        del answer.__wrapped__
        answer.__signature__ = inspect.signature(endpoint, eval_str=True)  # type: ignore[attr-defined]
        return answer

    def close(self) -> None:
        """Take no further requests."""
        self._pool.shutdown(wait=False)
