"""Slices: an average may rise while a language, a tenant or a shelf gets worse.

What is said of a change is said together: of all queries, how many slices got worse by
value and beyond doubt, which one most, and then of every slice. A slice with fewer than
`FEW` queries is shown and never judged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from ..arrays import IntArray
from ..errors import InvalidInput
from .comparison import Comparison, compare
from .finding import Finding, Verdict
from .interval import FEW, LEVEL, ROUNDING

NONE = "(none)"  # label of what has no value
WORST = "the worst slice"  # in the note of a second copy of one of them
_FATES: tuple[Verdict, Verdict] = ("pass", "fail")  # by whether a slice got worse


def labels_of(payloads: Sequence[Mapping[str, Any] | None], field: str) -> list[str]:
    """One label for each query, from a field of its payload.

    Args:
        payloads: One for each query; None where there is none.
        field: Its value becomes the label; a missing one, or None, becomes "(none)".
    Example:
        >>> labels_of([{"lang": "de"}, {}, None], "lang")
        ['de', '(none)', '(none)']
    """
    values = [None if payload is None else payload.get(field) for payload in payloads]
    return [NONE if value is None else str(value) for value in values]


def slice_findings(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    labels: Sequence[str],
    metric: str,
    cell: str,
    name: str = "slice",
    higher_is_better: bool = True,
    level: float = LEVEL,
) -> list[Finding]:
    """The change of a metric, with what the average hides.

    Args:
        before: (q,) values of the system to compare with.
        after: (q,) values of the other one, query by query.
        labels: (q,) slice of each query.
        metric: Spelling of the metric.
        cell: The cell of `after`.
        name: What the labels are, "lang": the slices are then called "lang=de".
        higher_is_better: False for an error or a time.
        level: Of each interval. Nothing is corrected for the number of slices, since
            missing a slice that got worse costs more than looking at one that did not; the
            note says how many would seem worse by chance.
    Returns:
        The change over all queries; how many slices got worse beyond doubt (fails above 0)
        and how many by value; the worst slice; then every slice, worst first.
    Raises:
        InvalidInput: Two different numbers of queries, or of labels.
    """
    options = (None, higher_is_better, level)
    whole = compare(before, after, *options)
    if len(labels) != whole.difference.n:
        raise InvalidInput("slices", f"{whole.difference.n} labels", str(len(labels)))
    old, new = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    parts = {
        label: compare(old[rows], new[rows], *options)
        for label, rows in rows_by_slice(labels, name).items()
    }
    return [whole.finding(metric, cell), *compared_slices(parts, metric, cell, level)]


def rows_by_slice(labels: Sequence[str], name: str) -> dict[str, IntArray]:
    """The places of the queries of each slice, by "name=label".

    Example:
        >>> {s: rows.tolist() for s, rows in rows_by_slice(["de", "en", "de"], "lang").items()}
        {'lang=de': [0, 2], 'lang=en': [1]}
    """
    names, codes = np.unique(np.asarray(labels, dtype=object).astype(str), return_inverse=True)
    return {f"{name}={label}": np.flatnonzero(codes == at) for at, label in enumerate(names)}


def compared_slices(
    parts: Mapping[str, Comparison], metric: str, cell: str, level: float = LEVEL
) -> list[Finding]:
    """What `slice_findings` says of the slices, from comparisons that were made elsewhere.

    Args:
        parts: Slice to its comparison; of all, higher is better, or of none.
        metric: Spelling of the metric.
        cell: The cell that was compared.
        level: Of each interval.
    """
    sign = 1.0 if next(iter(parts.values())).higher_is_better else -1.0
    ordered = dict(sorted(parts.items(), key=lambda item: sign * item[1].difference.value))
    return [
        *_counts(ordered, metric, cell, sign, level),
        _worst(ordered, metric, cell),
        *(part.finding(metric, cell, label) for label, part in ordered.items()),
    ]


def regressed(found: Sequence[Finding], chance: float = 0.05) -> list[Finding]:
    """The slices that got worse, where that many, or one so clearly, would not by chance.

    With many slices some seem worse beyond doubt although none is. They are named when so
    many would seem so in at most half of `chance` of all cases, or when a single one, corrected
    for the number of slices, would.

    Args:
        found: From `slice_findings`.
        chance: How often something may be named where nothing got worse.
    Returns:
        Failed findings of slices, worst first; empty where chance explains them.
    """
    single = [f for f in found if f.slice != "all" and WORST not in f.note]
    judged = [f for f in single if f.n >= FEW]
    failed = [f for f in judged if f.verdict == "fail"]
    each = (1.0 - LEVEL) / 2.0
    many = _tail(len(judged), len(failed), each) <= chance / 2.0
    clear = any(_surprise(f) * len(judged) <= chance / 2.0 for f in failed)
    return failed if failed and (many or clear) else []


def _tail(n: int, least: int, p: float) -> float:
    """Chance of so many or more among n."""
    from scipy.special import bdtrc  # not for commands that look at no slices

    return float(bdtrc(least - 1, n, p))


def _surprise(found: Finding) -> float:
    """How likely a change so far from zero is, by the width of its interval."""
    normal = NormalDist()
    half = (found.high - found.low) / 2.0
    if half <= 0.0:
        return 0.0
    return normal.cdf(-abs(found.value) * normal.inv_cdf(0.5 + LEVEL / 2.0) / half)


def table_findings(
    before: Mapping[str, float],
    after: Mapping[str, float],
    metric: str,
    cell: str,
    tolerance: float = 0.0,
    higher_is_better: bool = True,
) -> list[Finding]:
    """The same from a table of one figure a slice, as papers print them.

    Without the queries behind a figure nothing says how sure it is, so what counts as worse
    is for the caller to say.

    Args:
        before: Slice to figure.
        after: The same slices.
        metric: Spelling of the metric.
        cell: The cell of `after`.
        tolerance: A fall by no more than this is none.
        higher_is_better: False for an error or a time.
    Returns:
        The mean change; how many slices got worse (fails above 0); every slice, worst first.
    Raises:
        InvalidInput: Other slices on the other side, or none.
    """
    if set(before) != set(after) or not before:
        raise InvalidInput(
            "slices", "the same slices on both sides", f"{len(before)}, {len(after)}"
        )
    sign = 1.0 if higher_is_better else -1.0
    gains = {name: after[name] - before[name] for name in before}
    ordered = sorted(gains, key=lambda name: (sign * gains[name], name))
    worse = [name for name in ordered if sign * gains[name] < -tolerance]
    n, mean = len(gains), sum(gains.values()) / len(gains)
    told = f"of {n} slices; worst {ordered[0]} by {gains[ordered[0]]:+.3f}"
    verdict: Verdict = "fail" if worse else "pass"
    many = float(len(worse))
    name = f"slices worse by value in {metric}"
    found = [
        Finding(f"change of {metric}", cell, mean, mean, mean, n, note=told),
        Finding(name, cell, many, many, many, n, "all", verdict, told),
    ]
    for name in ordered:
        gain, fate = gains[name], _FATES[name in worse]
        found.append(Finding(f"change of {metric}", cell, gain, gain, gain, 1, name, fate))
    return found


def _counts(
    parts: Mapping[str, Comparison], metric: str, cell: str, sign: float, level: float
) -> list[Finding]:
    judged = [part for part in parts.values() if part.difference.n >= FEW]
    small = len(parts) - len(judged)
    shown = sum(part.outcome == "worse" for part in judged)
    fell = sum(sign * part.difference.value < -ROUNDING for part in parts.values())
    n = sum(part.difference.n for part in parts.values())
    chance = len(judged) * (1.0 - level) / 2.0
    aside = f"; {small} of {len(parts)} slices have fewer than {FEW} queries" if small else ""
    note = f"of {len(judged)} judged slices; {chance:.1f} would seem so by chance{aside}"
    verdict: Verdict = "fail" if shown else "pass" if judged else "info"
    return [
        Finding(
            f"slices worse beyond doubt in {metric}",
            cell,
            shown,
            shown,
            shown,
            n,
            "all",
            verdict,
            note,
        ),
        Finding(
            f"slices worse by value in {metric}",
            cell,
            fell,
            fell,
            fell,
            n,
            note=f"of {len(parts)} slices",
        ),
    ]


def _worst(ordered: Mapping[str, Comparison], metric: str, cell: str) -> Finding:
    """The worst slice that is large enough to judge, else the worst of all."""
    large = [label for label, part in ordered.items() if part.difference.n >= FEW]
    label = large[0] if large else next(iter(ordered))
    return ordered[label].finding(metric, cell, label, WORST)
