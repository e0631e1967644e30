"""What a query waits for while a backfill goes through the same local model.

python -m bench.passes [--seconds 30] [--quick]

One thread encodes documents as a backfill does, 64 at a time; another asks with one query at a
time. In turns: passes as short as the encoder cuts them, and all of `batch_size` at once.
"""

from __future__ import annotations

import itertools
import os
import threading
import time
from collections.abc import Sequence

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # before torch is there; as the service does

import numpy as np

from holdfast.encode.passes import SHORT, Passes
from holdfast.encode.sentence_transformers import CARRIED, SentenceTransformersEncoder
from holdfast.source.python_code import StandardLibrarySource

from .record import Record, arguments, say, writes

SIZE = 32  # the encoder's own batch_size
GROUP = 64  # documents of a backfill's batch
REST = 0.4  # seconds between two queries
QUERY = "How do I wait for several threads?"
WHOLE = 1e9  # seconds: no pass is cut


def asked(
    encoder: SentenceTransformersEncoder, texts: Sequence[str], seconds: float
) -> tuple[list[float], float]:
    """Seconds of each query, and documents a second meanwhile."""
    stop, done = threading.Event(), itertools.count()

    def fill() -> None:
        for number in done:
            if stop.is_set():
                return
            places = np.arange(GROUP * number, GROUP * (number + 1)) % len(texts)
            encoder.encode([texts[place] for place in places], "document")

    backfill = threading.Thread(target=fill)
    begun, took = time.perf_counter(), []
    backfill.start()
    while time.perf_counter() < begun + seconds:
        time.sleep(REST)
        now = time.perf_counter()
        encoder.encode([QUERY], "query")
        took.append(time.perf_counter() - now)
    stop.set()
    backfill.join()
    groups = next(done) - 1  # the number that was drawn and not run
    return took, GROUP * groups / (time.perf_counter() - begun)


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, help="of each turn")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    seconds = options.seconds or (5.0 if options.quick else 30.0)
    source = StandardLibrarySource()
    texts = [str(item.content) for item in source.scan(limit=len(source)).items]
    np.random.default_rng(options.seed).shuffle(texts)
    encoder = SentenceTransformersEncoder(CARRIED, device="cpu", batch_size=SIZE)
    encoder.encode([QUERY], "query")
    cuts = {f"cut at {SHORT:g} s": SHORT, f"{SIZE} at once": WHOLE}
    waits: dict[str, list[float]] = {name: [] for name in cuts}
    rates: dict[str, list[float]] = {name: [] for name in cuts}
    for _ in range(1 if options.quick else 3):
        for name, short in cuts.items():
            encoder._passes = Passes(SIZE, short)
            took, rate = asked(encoder, texts, seconds)
            waits[name] += took
            rates[name].append(rate)
            say(f"{name}: {len(took)} queries, {rate:.1f} documents a second")
    record = Record(
        "passes",
        "what a query waits for while a backfill goes through the same local model",
        f"{len(texts):,} functions of the Python standard library, shuffled; MiniLM",
        options.seed,
        notes=[
            (
                f"One thread encodes {GROUP} documents at a time, another asks with one query, "
                f"{REST:g} s after the last answer; both by one encoder. Documents a second: the "
                "median of the turns, and their ends. The very first pass of each turn is "
                "small, since nothing is known of how long one takes."
            )
        ],
    )
    for name, took in waits.items():
        for part, percent in (("half", 50), ("99 of 100", 99)):
            value = float(np.percentile(took, percent))
            record.add(f"seconds that {part} of the queries take at most", name, value)
        record.add("seconds of the slowest query", name, max(took))
        ends = {"low": min(rates[name]), "high": max(rates[name])}
        record.add("documents a second", name, float(np.median(rates[name])), **ends)
    return record.finish(writes(options))


if __name__ == "__main__":
    raise SystemExit(main())
