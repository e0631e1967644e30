"""Diagnoses of an assessment: what the sampled items say beside the queries.

Vectors alone say how much a straight bridge could carry and how many neighbours are kept;
judged answers among them, how far the weight of old scores is pinned down.
Payload fields say which attributes are lost. A field that says what an item *is* says
whether another one became a shortcut, and how far up the tree of labels answers go wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...arrays import IntArray, Vectors
from ...errors import UpgradeError
from ...measure.comparison import Comparison
from ...measure.diagnose.attributes import attributes
from ...measure.diagnose.columns import columns, levels_of
from ...measure.diagnose.neighbours import drift
from ...measure.diagnose.severity import severity
from ...measure.diagnose.shortcut import shortcut
from ...measure.diagnose.transfer import transfer
from ...measure.finding import Finding
from ...measure.interval import LEVEL
from ...measure.slices import NONE, WORST, compared_slices, labels_of, rows_by_slice
from ...store.base import VectorStore, pages
from .forecast import FORECAST, Forecast
from .rivals import Floats
from .scope import Scope
from .unseen import Known
from .weigh import weighed

ITEMS = 2_000  # sampled items that are looked at, at most
FIELDS = 16  # payload fields that are audited, at most
_PAGE = 10_000


def diagnosed(
    store: VectorStore, scope: Scope, known: Known, label: Sequence[str] = ()
) -> list[Finding]:
    """All that can be said of the sampled items.

    Args:
        store: Holds their payloads.
        scope: What was asked of what.
        known: Their vectors in both spaces.
        label: Payload fields that say what an item is, from the coarsest to the finest;
            none where no field does.
    Raises:
        UpgradeError: A field that no sampled item has.
    """
    kept = np.sort(np.random.default_rng(0).permutation(len(known.rows))[:ITEMS])
    old, new = known.old_docs.take(known.rows[kept]), known.new_docs.take(kept)
    names = scope.ids[known.rows[kept]].tolist()
    payloads = store.get(names, vectors=False).payloads
    tree = levels_of(payloads, label)
    if tree is None:
        raise _no_label(label)
    found = columns(payloads)
    audited = dict(list(found.items())[:FIELDS])
    return [
        *transfer(old, new).findings(),
        drift(old, new).finding(),
        *weighed(known),
        *_fields(old, new, audited, tree, label),
    ]


def refuse_unknown(store: VectorStore, label: Sequence[str]) -> None:
    """Refuse labels that no item has, before any model is asked.

    Raises:
        UpgradeError: One.
    """
    missing = set(label)
    if missing:
        for rows in pages(store, _PAGE):
            missing = {f for f in missing if all(p.get(f) is None for p in rows.payloads)}
            if not missing:
                return
        raise _no_label(label)


def slices_by(store: VectorStore, scope: Scope, name: str) -> list[str]:
    """The slice of each query: a payload field of its first answer.

    Raises:
        UpgradeError: No answer has it.
    """
    present, qrels = set(scope.ids.tolist()), scope.judgements.qrels
    asked = map(qrels.__getitem__, scope.judgements.query_ids)
    answers = [next(n for n, g in one.items() if g > 0 and n in present) for one in asked]
    names = list(dict.fromkeys(answers))
    payloads = dict(zip(names, store.get(names, vectors=False).payloads, strict=True))
    labels = labels_of([payloads[answer] for answer in answers], name)
    if set(labels) == {NONE}:
        raise UpgradeError("assess", f"items with the field {name}", "none", "Check --slice.")
    return labels


def sliced(labels: Sequence[str], name: str, base: Floats, curve: Forecast) -> list[Finding]:
    """The change of each slice, worst first, as far as the forecast knows it.

    Args:
        labels: (q,) from `slices_by`.
        name: Of the field.
        base: (q,) values of what is served now.
        curve: The forecast.
    """
    parts = {
        label: Comparison(
            float(base[rows].mean()),
            float(curve.values[:, -1, rows].mean()),
            curve.difference(base, rows=rows),
        )
        for label, rows in rows_by_slice(labels, name).items()
    }
    found = compared_slices(parts, curve.metric, "new/new")
    told = [one for one in found if WORST not in one.note]
    return [replace(one, note=f"{FORECAST}; {one.note}") for one in told]


def _no_label(label: Sequence[str]) -> UpgradeError:
    wanted = f"items with the fields {', '.join(label)}"
    return UpgradeError("assess", wanted, "none", "Check --label.")


def _fields(
    old: Vectors,
    new: Vectors,
    audited: dict[str, IntArray],
    tree: list[IntArray],
    label: Sequence[str],
) -> list[Finding]:
    # The more fields are looked at, the more would be called lost by chance.
    level = 1.0 - (1.0 - LEVEL) / max(1, 2 * len(audited))
    found = [one.finding() for one in attributes(old, new, audited, level)]
    if tree:
        found += severity(old, new, tree, level).findings()
        leaf = np.unique(np.stack(tree, axis=1), axis=0, return_inverse=True)[1].ravel()
        cues = {name: numbers for name, numbers in audited.items() if name not in label}
        probes = [shortcut(old, new, leaf, cue, name, level) for name, cue in cues.items()]
        found += [probe.finding() for probe in probes if probe is not None]
    return found
