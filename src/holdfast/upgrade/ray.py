"""Batches encoded on a Ray cluster; the one file that imports ray.

A pool of actors holds the new model; each builds it from its configuration, on its own node.
Everything else stays here, in one process: content is read, batches are claimed, retried and
written, and the ledger has its one writer. What travels is content one way and vectors back,
and no more batches are under way than there are actors, and one that waits for the next.

An actor, or the node it is on, may die at any moment. Its batch is then encoded again by
another one, and a new actor is asked for in its place; since only this process writes, a batch
is neither lost nor there twice. When no actor is left, or one after the other dies of the same
batch, `EncoderUnavailable` is raised, which the engine takes for what it is: it waits, tries
again, and pauses in the end.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from ..arrays import Vectors
from ..errors import ConfigError, EncoderUnavailable, HoldfastError, said
from ..items import Content, Role
from ..optional import need
from ..space import Space
from .executor import Batch, Done, Result, Threads
from .models import open_model

_LOG = logging.getLogger("holdfast.upgrade")
_LOOK = 0.05  # seconds between two looks for an actor
_PATIENCE = 120.0  # seconds without any actor, after which a batch fails
_LONGEST = 900.0  # seconds for one batch, after which its actor counts as dead
_DEATHS = 5  # actors that one batch may meet their end with: it may be what kills them


class Worker:
    """What an actor runs.

    Args:
        kind: Of the encoder.
        options: What it takes.
    """

    def __init__(self, kind: str, options: Mapping[str, Any]) -> None:
        self._kind, self._options, self._encoder = kind, dict(options), None

    def ready(self) -> Any:
        """Build the encoder; answers its space, or what forbids it."""
        try:
            encoder: Any = open_model(self._kind, **self._options)
            self._encoder = encoder
        except HoldfastError as error:
            return error
        return encoder.space

    def encode(self, contents: Sequence[Content], role: Role) -> Any:
        """(n, d) rows, or the error of the model, as a value: it must keep its kind."""
        encoder: Any = self._encoder
        try:
            return encoder.encode(contents, role).array
        except HoldfastError as error:
            return error


class RayExecutor(Threads):
    """Threads that wait for actors.

    Args:
        kind: Of the encoder that each actor builds, see `models.py`.
        options: What it takes; paths must lead to the same files on every node.
        space: What it must answer.
        address: Of the cluster; "auto" for the one this machine belongs to, None for a new one
            on this machine.
        actors: How many.
        cpus: Cores of each; a part of one will do for a model that waits.
        gpus: GPUs of each, or a part of one.
        patience: Seconds to wait for any actor at all.
    Raises:
        MissingExtra: Ray is not installed.
    """

    def __init__(
        self,
        kind: str,
        options: Mapping[str, Any],
        space: Space,
        *,
        address: str | None = None,
        actors: int = 2,
        cpus: float = 1.0,
        gpus: float = 0.0,
        patience: float = _PATIENCE,
    ) -> None:
        super().__init__(actors)
        self._ray: ModuleType = need("ray")
        self._worker = (kind, dict(options))
        self._needs = {"num_cpus": cpus, "num_gpus": gpus, "max_restarts": 0}
        self._address, self._actors, self._patience = address, actors, patience
        self._space = space
        self._lock = threading.Lock()
        self._free: list[Any] = []
        self._busy: list[Any] = []
        self._starting: dict[Any, Any] = {}  # what an actor answers when it is ready -> actor
        self._own = False  # whether the cluster was joined, or started, by this object
        self._held = 0  # how often it was let go: batches of an earlier time must not join again
        self.replaced = 0  # actors that died and were asked for again

    @property
    def encoder(self) -> RemoteEncoder:
        """The model as the rest of the program sees it."""
        return RemoteEncoder(self)

    def map(
        self, fn: Callable[[Batch], Result], batches: Iterable[Batch]
    ) -> Iterator[Done[Batch, Result]]:
        with self._lock:
            self._begin()  # here rather than in a thread of the pool, where signals are not heard
        try:
            yield from super().map(fn, batches)
        finally:
            self._release()

    def close(self) -> None:
        """Let go of threads, actors, and of the cluster if it was joined here."""
        super().close()
        self._release()

    # actors

    def encode(self, contents: Sequence[Content], role: Role) -> np.ndarray:
        """Rows of one batch, from whichever actor is free and lives to answer."""
        lost = self._ray.exceptions
        deadly = (lost.RayActorError, lost.ObjectLostError, lost.WorkerCrashedError)
        held = self._held
        for _ in range(_DEATHS):
            actor = self._take(held)
            try:
                answer = self._ray.get(actor.encode.remote(contents, role), timeout=_LONGEST)
            except (*deadly, lost.NodeDiedError, lost.GetTimeoutError):
                self._replace(actor)
                continue
            except BaseException:
                self._give(actor)
                raise
            self._give(actor)
            if isinstance(answer, HoldfastError):
                raise answer
            rows: np.ndarray = answer
            return rows
        raise EncoderUnavailable(
            "Ray",
            f"an actor that answers a batch of {len(contents)}",
            f"{_DEATHS} in a row that died",
            "Has each enough memory? Lower max_batch_size, or ask for fewer or larger actors.",
        )

    def _take(self, held: int) -> Any:
        """A free actor, as soon as there is one; none once the cluster was let go."""
        until = time.monotonic() + self._patience
        while time.monotonic() < until:
            with self._lock:
                if held != self._held:
                    break
                self._begin()
                self._welcome()
                if self._free:
                    self._busy.append(self._free.pop())
                    return self._busy[-1]
            time.sleep(_LOOK)
        raise EncoderUnavailable(
            "Ray",
            self._one(),
            f"none within {self._patience:g} seconds",
            "Add nodes, or ask for fewer or smaller actors.",
        )

    def _give(self, actor: Any) -> None:
        with self._lock:
            if actor in self._busy:  # else everything has been let go meanwhile
                self._busy.remove(actor)
                self._free.append(actor)

    def _replace(self, actor: Any) -> None:
        """Give an actor up; another one is asked for."""
        with self._lock:
            if actor not in self._busy:
                return
            self._ray.kill(actor)
            self._busy.remove(actor)
            self.replaced += 1
            self._begin()

    def _begin(self) -> None:
        """Join the cluster, and ask for as many actors as there should be."""
        if not self._ray.is_initialized():
            address, more = self._address, {}
            if address is None and "RAY_ADDRESS" not in os.environ:
                # Without a word Ray would join whatever cluster was started here last.
                address, more = "local", {"include_dashboard": False}
            try:
                self._ray.init(
                    address=address, log_to_driver=False, logging_level=logging.ERROR, **more
                )
            except Exception as cause:  # a bare one where a node takes too long to start
                raise EncoderUnavailable(
                    "Ray",
                    "a cluster of its own" if more else f"a cluster at {address or 'RAY_ADDRESS'}",
                    said(cause),
                    "Look whether it runs, and whether this machine is busy; then go on.",
                ) from cause
            self._own = True
            if not self._has_room():
                self._say_too_large(alone=bool(more))
        make = self._ray.remote(Worker).options(**self._needs)
        while len(self._free) + len(self._busy) + len(self._starting) < self._actors:
            actor = make.remote(*self._worker)
            self._starting[actor.ready.remote()] = actor

    def _has_room(self) -> bool:
        """Whether a node that is there could hold an actor, once nothing else is on it."""
        wanted = {"CPU": self._needs["num_cpus"], "GPU": self._needs["num_gpus"]}
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return any(all(node.get(name, 0.0) >= wanted[name] for name in wanted) for node in nodes)

    def _say_too_large(self, alone: bool) -> None:
        """Refuse actors too large for a cluster of one's own, which does not grow as others may."""
        if not alone:
            _LOG.warning(
                "No node of the Ray cluster has room for %s: the backfill waits for one to join. "
                "If none will, pause, roll back, lower cpus and gpus, and plan again.",
                self._one(),
            )
            return
        there = self._ray.cluster_resources()
        self._ray.shutdown()
        self._own = False
        raise ConfigError(
            "Ray",
            f"room for {self._one()} on this machine",
            f"{there.get('CPU', 0.0):g} CPUs and {there.get('GPU', 0.0):g} GPUs in all",
            "Roll back, lower cpus and gpus or name a larger cluster by address, and plan again.",
        )

    def _one(self) -> str:
        cpus, gpus = self._needs["num_cpus"], self._needs["num_gpus"]
        return f"an actor with {cpus:g} CPUs and {gpus:g} GPUs"

    def _welcome(self) -> None:
        """Look which of the actors that were asked for are ready."""
        if not self._starting:
            return
        waiting = list(self._starting)
        done, _ = self._ray.wait(waiting, num_returns=len(waiting), timeout=0)
        for ref in done:
            actor = self._starting.pop(ref)
            try:
                answer = self._ray.get(ref)
            except self._ray.exceptions.RayActorError:
                continue  # it died before it was ready: the next look asks for another
            if isinstance(answer, HoldfastError):
                raise answer
            if answer != self._space:
                raise ConfigError(
                    "Ray",
                    f"actors that answer vectors of {self._space}",
                    f"ones of {answer}",
                    "Install the same versions, and the same model, on every node.",
                )
            self._free.append(actor)

    def _release(self) -> None:
        with self._lock:
            if self._ray.is_initialized():
                for actor in [*self._free, *self._busy, *self._starting.values()]:
                    self._ray.kill(actor)
                if self._own:
                    self._ray.shutdown()
            self._free, self._busy, self._starting, self._own = [], [], {}, False
            self._held += 1


class RemoteEncoder:
    """An encoder whose model is in the actors of an executor."""

    def __init__(self, executor: RayExecutor) -> None:
        self._executor = executor

    @property
    def space(self) -> Space:
        """As it was promised; every actor is checked before it gets a batch."""
        return self._executor._space

    def encode(self, contents: Sequence[Content], role: Role) -> Vectors:
        """One row for each content, in order."""
        if not len(contents):
            return Vectors(self.space, np.zeros((0, self.space.dim), dtype=np.float32))
        rows = self._executor.encode(list(contents), role)
        return Vectors(self.space, np.array(rows))  # Ray's own memory is read-only, and shared
