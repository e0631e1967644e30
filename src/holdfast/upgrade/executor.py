"""Executors: where batches are computed, and nothing else.

The engine hands in an iterator of batches and takes finished ones as they come. An
executor draws a next batch only when it has room for it, so memory stays bounded and a
pause needs no more than to end the iterator.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from ..errors import InvalidInput

Batch = TypeVar("Batch")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Done(Generic[Batch, Result]):
    """A finished batch.

    Args:
        batch: As it was handed in.
        result: What the function answered; None if it raised.
        error: What it raised.
    """

    batch: Batch
    result: Result | None = None
    error: Exception | None = None


class Executor(Protocol):
    """Computes batches somewhere."""

    def map(
        self, fn: Callable[[Batch], Result], batches: Iterable[Batch]
    ) -> Iterator[Done[Batch, Result]]:
        """Finished batches, in any order; every batch drawn is answered once."""
        ...

    def close(self) -> None:
        """Let go of threads or machines."""
        ...


def _attempt(fn: Callable[[Batch], Result], batch: Batch) -> Done[Batch, Result]:
    try:
        return Done(batch, fn(batch))
    except Exception as error:  # noqa: BLE001 - it is handed to the engine, which judges it
        return Done(batch, error=error)


class Inline:
    """One batch after the other, in the caller's thread."""

    def map(
        self, fn: Callable[[Batch], Result], batches: Iterable[Batch]
    ) -> Iterator[Done[Batch, Result]]:
        for batch in batches:
            yield _attempt(fn, batch)

    def close(self) -> None:
        """Nothing to let go of."""


class Threads:
    """Several batches at once, for models that wait (HTTP) or release the interpreter lock.

    Args:
        workers: Threads; one more batch than that is under way at most.
    Raises:
        InvalidInput: No number of them.
    """

    def __init__(self, workers: int) -> None:
        if not isinstance(workers, int) or workers < 1:
            raise InvalidInput("Threads", "workers as an integer from 1", repr(workers))
        self.workers = workers
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="holdfast")

    def map(
        self, fn: Callable[[Batch], Result], batches: Iterable[Batch]
    ) -> Iterator[Done[Batch, Result]]:
        running: set[Future[Done[Batch, Result]]] = set()
        for batch in batches:
            running.add(self._pool.submit(_attempt, fn, batch))
            if len(running) > self.workers:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
        while running:
            finished, running = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                yield future.result()

    def close(self) -> None:
        """Wait for running batches and end the threads."""
        self._pool.shutdown()
