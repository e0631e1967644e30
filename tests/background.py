"""A thread of a test, whose errors are not lost."""

from __future__ import annotations

import threading
from collections.abc import Callable


def in_background(do: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    """Run it in another thread; answers that, and where an error of it will be."""
    problems: list[BaseException] = []

    def run() -> None:
        try:
            do()
        except BaseException as problem:
            problems.append(problem)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, problems


def beside(do: Callable[[], object]) -> Callable[[], None]:
    """Run it in another thread; its error, if any, when it is joined."""
    thread, problems = in_background(do)

    def join() -> None:
        thread.join(240)  # seconds: only a failure takes as long
        assert not thread.is_alive()
        assert not problems, problems

    return join
