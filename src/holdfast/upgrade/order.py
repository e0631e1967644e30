"""In which order items move.

Whatever the order, the first items are a random sample: calibration needs a fair one, and
needs it early (`reference.py`). It is at most a fifth of the gallery; other merges do with a
twentieth of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ..arrays import IdArray, IntArray, id_array
from ..errors import ConfigError
from ..store.base import VectorStore, pages
from .ledger import Ledger
from .merge import Mode
from .search.reference import SIZE

Given: TypeAlias = Sequence[str] | Callable[[], Sequence[str]]  # ids, or what answers them

# Orders that somebody must work out first: they come as ids.
RANKED = ("given", "searched", "gain", "uncertain", "central", "slice", "balanced")
_PAGE = 10_000
_FEW = 64  # items from which a map can be fitted and scores be standardised


def read_rows(store: VectorStore) -> tuple[IdArray, IntArray]:
    """All ids of a store and their revisions, (n,) each."""
    ids: list[str] = []
    revisions: list[IntArray] = []
    for rows in pages(store, _PAGE):
        ids += rows.ids
        revisions.append(rows.revisions)
    return id_array(ids), np.concatenate(revisions)


def arrange(
    name: str,
    ids: IdArray,
    revisions: IntArray,
    seed: int,
    given: Sequence[str] | None = None,
    merge: Mode = "calibrated",
) -> list[str]:
    """Ids in the order in which they shall move.

    Args:
        name: "random", "newest" (greatest revision first) or one of `RANKED`: what is given
            first, in this order, then the rest at random.
        ids: (n,) all items.
        revisions: (n,) their revisions.
        seed: Of everything random here.
        given: For the orders of `RANKED`.
        merge: Says how large the sample is that comes first, see `fair_size`.
    Raises:
        ConfigError: An unknown order, one of `RANKED` without ids, or only ids that are not there.
    """
    shuffled, first = _shuffled(len(ids), seed, merge)
    if name == "random":
        order = shuffled
    elif name == "newest":
        # Ties, such as one bulk load, stay shuffled.
        order = shuffled[np.argsort(-revisions[shuffled], kind="stable")]
    elif name in RANKED and given is not None:
        rank: dict[str, int] = {}
        for item in given:
            rank.setdefault(item, len(rank))
        if name == "given" and len(ids) and rank.keys().isdisjoint(ids.tolist()):
            raise strange(list(rank))
        places = np.array([rank.get(item, len(rank)) for item in ids[shuffled]], dtype=np.int64)
        order = shuffled[np.argsort(places, kind="stable")]
    else:
        raise ConfigError(
            "plan: order",
            f"random, newest, or one of {', '.join(RANKED)} with the ids in their order",
            repr(name),
            "Name an order; for 'given' set order_file.",
        )
    rest = order[~np.isin(order, shuffled[:first])]
    ordered: list[str] = ids[np.concatenate([shuffled[:first], rest])].tolist()
    return ordered


def strange(given: Sequence[str]) -> ConfigError:
    """What to say of an order of ids none of which the gallery has."""
    first = given[0] if given else ""
    return ConfigError(
        "plan: order_file",
        "ids of the gallery",
        f"none, the first one {first!r}",
        "Write ids as they stand in the gallery, one a line.",
    )


def fair_size(count: int, merge: Mode = "calibrated") -> int:
    """How many items of a gallery are the sample that comes first.

    Example:
        >>> [fair_size(n) for n in (60, 1_400, 5_000, 9_000)]
        [12, 256, 256, 256]
        >>> [fair_size(n, "fused") for n in (60, 1_400, 5_000, 9_000)]
        [12, 70, 250, 256]
    """
    fifth = count // 5
    few = fifth if merge == "calibrated" else min(fifth, max(count // 20, _FEW))
    return min(SIZE, few)


def fair_sample(ids: IdArray, seed: int, merge: Mode = "calibrated") -> list[str]:
    """The items that move first in every order of this seed and this merge."""
    shuffled, first = _shuffled(len(ids), seed, merge)
    names: list[str] = ids[shuffled[:first]].tolist()
    return names


def _shuffled(count: int, seed: int, merge: Mode) -> tuple[IntArray, int]:
    return np.random.default_rng(seed).permutation(count), fair_size(count, merge)


def queue_up(
    ledger: Ledger,
    store: VectorStore,
    name: str,
    seed: int,
    given: Given | None,
    merge: Mode = "calibrated",
) -> None:
    """Put all items of a store that are not there into the queue; see `arrange`."""
    ids, revisions = read_rows(store)
    first = given() if callable(given) else given
    ledger.fill(arrange(name, ids, revisions, seed, first, merge))


def read_ids(path: Path) -> list[str]:
    """Ids from a text file, one a line.

    Raises:
        ConfigError: No such file.
    """
    return [line.strip() for line in read_lines(path, "a readable text file") if line.strip()]


def read_lines(path: Path, what: str) -> list[str]:
    """Lines of UTF-8, with or without a mark at its start; nothing but a line break ends one.

    Args:
        path: The file.
        what: It should be, for the message.
    Raises:
        ConfigError: It is not there, or no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as cause:
        raise ConfigError("plan: order_file", what, str(cause)) from cause
