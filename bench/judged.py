"""The judged sets of the benchmarks: two models' vectors of the same texts, and who answers what.

Defaults are chosen on the part "fit" and judged on the part "judge", which share no query:

    scifact      fit: the 809 train queries     judge: the 300 test queries
    cranfield    fit: every other query         judge: the rest
    cosqa        fit: the 500 dev queries       judge: the 500 test queries
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np

from holdfast.arrays import FloatArray, IntArray, Vectors, as_vectors
from holdfast.measure.judgements import Judgements
from holdfast.space import Space

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NAMES = ("scifact", "cranfield", "cosqa")
OLD, NEW = Space("wordllama256", 256), Space("minilm384", 384)
K = 10

Part: TypeAlias = Literal["fit", "judge"]
_QRELS: Mapping[str, Mapping[Part, str]] = {
    "scifact": {"fit": "train", "judge": "test"},
    "cranfield": {"fit": "test", "judge": "test"},
    "cosqa": {"fit": "dev", "judge": "test"},
}


@dataclass(frozen=True, eq=False)
class Judged:
    """One set, in both spaces.

    Args:
        name: Of the set.
        part: "fit" or "judge".
        ids: n document ids.
        judgements: Of q queries.
        old_docs: (n, 256), unit length, as are the others.
        new_docs: (n, 384).
        old_queries: (q, 256).
        new_queries: (q, 384).
        gains: (q, n) relevance.
    """

    name: str
    part: Part
    ids: tuple[str, ...]
    judgements: Judgements
    old_docs: Vectors
    new_docs: Vectors
    old_queries: Vectors
    new_queries: Vectors
    gains: IntArray

    def ndcg(self, ranked: IntArray) -> FloatArray:
        """(q,) nDCG@10 of the rows of documents that were ranked, (q, 10); -1 is no hit."""
        discounts = 1.0 / np.log2(np.arange(2, K + 2))
        found = np.take_along_axis(self.gains, np.maximum(ranked[:, :K], 0), axis=1)
        found = np.where(ranked[:, :K] >= 0, found, 0)
        ideal = -np.sort(-self.gains, axis=1)[:, :K]
        values: FloatArray = (found @ discounts) / (ideal @ discounts)
        return values

    def swapped(self) -> Judged:
        """The same set with the roles of the two models exchanged."""
        return Judged(
            self.name,
            self.part,
            self.ids,
            self.judgements,
            self.new_docs,
            self.old_docs,
            self.new_queries,
            self.old_queries,
            self.gains,
        )


def present() -> bool:
    """Whether the data is there."""
    return (DATA / "embeddings").is_dir()


def read(name: str, part: Part = "judge") -> Judged:
    """Read one part of a set.

    Raises:
        FileNotFoundError: The data is not there; benchmarks and tests then skip, saying so.
    """
    folder = DATA / name
    judgements = Judgements.from_files(
        folder / "queries.jsonl.gz",
        folder / f"qrels-{_QRELS[name][part]}.tsv",
        unanswerable="drop",
    )
    if name == "cranfield":
        judgements = _every_other(judgements, 0 if part == "fit" else 1)
    with np.load(DATA / "embeddings" / f"{name}.npz") as arrays:
        ids = tuple(arrays["doc_ids"].tolist())
        row = {query: i for i, query in enumerate(arrays["query_ids"].tolist())}
        rows = [row[query] for query in judgements.query_ids]
        tables = [
            as_vectors(arrays[f"{space.name}_{kind}"][take], space, name)
            for kind, take in (("docs", slice(None)), ("queries", rows))
            for space in (OLD, NEW)
        ]
    return Judged(name, part, ids, judgements, *tables, gains=_gains(judgements, ids))


def _every_other(judgements: Judgements, first: int) -> Judgements:
    kept = judgements.query_ids[first::2]
    texts = None if judgements.texts is None else judgements.texts[first::2]
    return Judgements(kept, {query: judgements.qrels[query] for query in kept}, texts)


def _gains(judgements: Judgements, ids: tuple[str, ...]) -> IntArray:
    place = {name: i for i, name in enumerate(ids)}
    gains = np.zeros((len(judgements.query_ids), len(ids)), dtype=np.int64)
    for i, query in enumerate(judgements.query_ids):
        for name, grade in judgements.qrels[query].items():
            if name in place and grade > 0:
                gains[i, place[name]] = grade
    return gains
