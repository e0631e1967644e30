"""In which order items move.

Whatever the order, the first items are a random sample: calibration needs a fair one, and
needs it early (`reference.py`). It is at most a fifth of the gallery.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..arrays import IdArray, IntArray, id_array
from ..errors import ConfigError
from ..store.base import VectorStore
from .ledger import Ledger
from .reference import SIZE

_PAGE = 10_000


def read_rows(store: VectorStore) -> tuple[IdArray, IntArray]:
    """All ids of a store and their revisions, (n,) each."""
    ids: list[str] = []
    revisions: list[IntArray] = []
    after: str | None = None
    while True:
        page = store.scan(after, _PAGE)
        ids += page.rows.ids
        revisions.append(page.rows.revisions)
        after = page.after
        if after is None:
            return id_array(ids), np.concatenate(revisions)


def arrange(
    name: str, ids: IdArray, revisions: IntArray, seed: int, given: Sequence[str] | None = None
) -> list[str]:
    """Ids in the order in which they shall move.

    Args:
        name: "random", "newest" (greatest revision first) or "given" (these first, in
            this order, then the rest at random).
        ids: (n,) all items.
        revisions: (n,) their revisions.
        seed: Of everything random here.
        given: For order "given".
    Raises:
        ConfigError: An unknown order, or "given" without ids.
    """
    shuffled = np.random.default_rng(seed).permutation(len(ids))
    if name == "random":
        order = shuffled
    elif name == "newest":
        # Ties, such as one bulk load, stay shuffled.
        order = shuffled[np.argsort(-revisions[shuffled], kind="stable")]
    elif name == "given" and given is not None:
        rank = {item: place for place, item in enumerate(given)}
        places = np.array([rank.get(item, len(rank)) for item in ids[shuffled]], dtype=np.int64)
        order = shuffled[np.argsort(places, kind="stable")]
    else:
        raise ConfigError(
            "plan: order",
            "random, newest, or given with a file of ids",
            repr(name),
            "Name an order; for 'given' set order_file.",
        )
    first = shuffled[: min(SIZE, len(ids) // 5)]
    rest = order[~np.isin(order, first)]
    ordered: list[str] = ids[np.concatenate([first, rest])].tolist()
    return ordered


def queue_up(
    ledger: Ledger, store: VectorStore, name: str, seed: int, given: Sequence[str] | None
) -> None:
    """Put all items of a store that are not there into the queue; see `arrange`."""
    ids, revisions = read_rows(store)
    ledger.fill(arrange(name, ids, revisions, seed, given))


def read_ids(path: Path) -> list[str]:
    """Ids from a text file, one a line.

    Raises:
        ConfigError: No such file.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as cause:
        raise ConfigError("plan: order_file", "a readable text file", str(cause)) from cause
    return [line.strip() for line in lines if line.strip()]
