"""Metrics of ranked lists, in ir_measures' spelling and with its values.

The order of the columns is the ranking; scores are not looked at, so ties stand as the
search returned them. Every value is a rate in [0, 1], one for each query.

    nDCG@k, nDCG    gain is the relevance itself, discount log2(rank + 1); the ideal list
                    holds all judged documents, also those that the search did not return
    R@k             share of the relevant documents among the first k
    P@k             share of the first k that is relevant; missing hits count as wrong
    RR@k, RR        one over the rank of the first relevant hit, 0 without one
    AP@k, AP        precision at each relevant hit, summed, over all relevant documents
    Success@k       1 where a relevant hit is among the first k
    CMC@k           Success@k over class labels; mAP and mAP@k: AP over class labels

Relevant is grade 1 and above. Without a cutoff the whole list counts, and what lies
beyond its last column counts as not found. Nothing is ever zero over zero: judgements
hold only queries with a relevant document.

Source: trec_eval (nDCG, AP, R, P, Success); Järvelin and Kekäläinen 2002 for nDCG. Departs
from it: ties are not broken anew by document id.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from ..hits import Hits
from .grades import Grades, Judge

PerQuery: TypeAlias = npt.NDArray[np.float64]
Formula: TypeAlias = Callable[[Grades, int | None], PerQuery]


def _total(terms: npt.NDArray[np.float64]) -> PerQuery:
    """Row sums from left to right, so that zeros at the end change no bit."""
    if terms.shape[1] == 0:
        return np.zeros(len(terms))
    sums: PerQuery = np.cumsum(terms, axis=1)[:, -1]
    return sums


def _discounts(width: int) -> PerQuery:
    out: PerQuery = 1.0 / np.log2(np.arange(2, width + 2))
    return out


def _ndcg(grades: Grades, k: int | None) -> PerQuery:
    found = grades.found[:, :k]
    gained = _total(found * _discounts(found.shape[1]))
    if grades.ideal is None:
        reach = grades.counts if k is None else np.minimum(grades.counts, k)
        best = np.cumsum(_discounts(int(reach.max(initial=1))))[reach - 1]
    else:
        ideal = grades.ideal[:, :k]
        best = _total(ideal * _discounts(ideal.shape[1]))
    gained /= best
    return gained


def _recall(grades: Grades, k: int | None) -> PerQuery:
    out: PerQuery = (grades.found[:, :k] > 0).sum(axis=1) / grades.counts
    return out


def _precision(grades: Grades, k: int | None) -> PerQuery:
    found = grades.found[:, :k]
    out: PerQuery = (found > 0).sum(axis=1) / (found.shape[1] if k is None else k)
    return out


def _reciprocal_rank(grades: Grades, k: int | None) -> PerQuery:
    relevant = grades.found[:, :k] > 0
    if relevant.shape[1] == 0:
        return np.zeros(len(grades))
    first = relevant.argmax(axis=1)
    out: PerQuery = relevant.any(axis=1) / (first + 1.0)
    return out


def _average_precision(grades: Grades, k: int | None) -> PerQuery:
    relevant = grades.found[:, :k] > 0
    precision = np.cumsum(relevant, axis=1) / np.arange(1.0, relevant.shape[1] + 1.0)
    out: PerQuery = _total(precision * relevant) / grades.counts
    return out


def _success(grades: Grades, k: int | None) -> PerQuery:
    return np.asarray((grades.found[:, :k] > 0).any(axis=1), dtype=np.float64)


# name -> (formula, whether a cutoff must be given)
_FORMULAS: Mapping[str, tuple[Formula, bool]] = MappingProxyType(
    {
        "AP": (_average_precision, False),
        "CMC": (_success, True),
        "P": (_precision, True),
        "R": (_recall, True),
        "RR": (_reciprocal_rank, False),
        "Success": (_success, True),
        "mAP": (_average_precision, False),
        "nDCG": (_ndcg, False),
    }
)
_SPELLING = re.compile(r"([A-Za-z]+)(?:@([1-9][0-9]*))?")


def known() -> list[str]:
    """The spellings that `parse` understands, `k` for any cutoff."""
    out = []
    for name, (_, cut) in _FORMULAS.items():
        out += [f"{name}@k"] if cut else [name, f"{name}@k"]
    return out


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of ranked lists.

    Args:
        name: "nDCG", "R", "P", "RR", "AP", "Success", "CMC" or "mAP".
        k: The cutoff; None for the whole list, where the metric has that form.
    Raises:
        InvalidInput: An unknown name, a missing cutoff, or one that is no integer from 1.
    Example:
        >>> str(Metric("nDCG", 10))
        'nDCG@10'
    """

    name: str
    k: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise _unknown(self.name)
        if not isinstance(self.k, int | np.integer | None):
            raise InvalidInput(f"metric {self.name}", "k as an integer from 1", repr(self.k))
        formula = _FORMULAS.get(self.name)
        if formula is None or (formula[1] if self.k is None else self.k < 1):
            raise _unknown(str(self))

    def __str__(self) -> str:
        return self.name if self.k is None else f"{self.name}@{self.k}"

    def per_query(self, hits: Hits, judgements: Judge) -> PerQuery:
        """(q,) float64, the value of each query.

        Args:
            hits: (q, at least k) hits in the order of `judgements.query_ids`.
            judgements: What is relevant.
        Raises:
            InvalidInput: Another number of queries, or fewer than k columns.
        """
        return self.of(judgements.look_up(hits))

    def of(self, grades: Grades) -> PerQuery:
        """(q,) float64 from hits that were looked up before, to share that work."""
        if self.k is not None and grades.found.shape[1] < self.k:
            raise InvalidInput(
                str(self),
                f"at least {self.k} columns of hits to rank",
                str(grades.found.shape[1]),
                "Search with a larger k (one more where queries are gallery items themselves).",
            )
        return _FORMULAS[self.name][0](grades, self.k)


def parse(spelling: str | Metric) -> Metric:
    """Read "nDCG@10" and the like.

    Raises:
        InvalidInput: An unknown spelling; the message lists the known ones.
    Example:
        >>> parse("R@100")
        Metric(name='R', k=100)
    """
    if isinstance(spelling, Metric):
        return spelling
    match = _SPELLING.fullmatch(spelling) if isinstance(spelling, str) else None
    if match is None:
        raise _unknown(spelling)
    return Metric(match[1], int(match[2]) if match[2] else None)


def evaluate(metrics: Iterable[str | Metric], hits: Hits, judgements: Judge) -> dict[str, PerQuery]:
    """Several metrics of the same hits, with one look-up.

    Returns:
        Spelling to (q,) values.
    Raises:
        InvalidInput: An unknown spelling, one string for the list of them, another number of
            queries, or too few columns.
    """
    if isinstance(metrics, str):  # it would pass for the list of its letters
        raise InvalidInput("evaluate", "a sequence of metrics", "one string", "Put it in a list.")
    grades = judgements.look_up(hits)
    return {str(metric): metric.of(grades) for metric in map(parse, metrics)}


def _unknown(spelling: object) -> InvalidInput:
    return InvalidInput("metric", f"one of {', '.join(known())}", repr(spelling))
