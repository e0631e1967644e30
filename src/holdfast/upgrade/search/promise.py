"""Promises: what is asked for now, beside what this thread does meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def begun(task: Callable[[], T]) -> Future[T]:
    """Begin a task in a thread of its own; its result, or its error, is there later.

    The thread is none of a pool: a model that never answers would hold up the end of the process.
    """
    promise: Future[T] = Future()

    def keep() -> None:
        try:
            promise.set_result(task())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            promise.set_exception(error)

    threading.Thread(target=keep, daemon=True).start()
    return promise
