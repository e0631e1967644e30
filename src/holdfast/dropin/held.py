"""What a gallery holds of the ids at hand, for interfaces that leave out what is not there."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, TypeAlias

from ..arrays import FloatArray, Vectors, as_vectors, ids_given
from ..errors import MissingIds
from ..store.base import get_known
from ..store.where import WhereLike
from ..upgrade.gallery import Gallery
from ..upgrade.search.routes import Queries
from ..upgrade.side import Side

Payloads: TypeAlias = dict[str, Any]

_LOG = logging.getLogger("holdfast.dropin")


def searched(
    gallery: Gallery,
    asked: Queries,
    k: int,
    where: WhereLike,
    key: str | None = None,
    tenant: str | None = None,
) -> list[tuple[str, float]]:
    """Ids and scores for one query; where a model had no part in it, the log says so."""
    hits = gallery.search(asked, k, where, key=key, tenant=tenant)
    if hits.without:
        _LOG.warning("one model ranked all items: %s", hits.without)
    return hits.row(0)


def distinct(ids: Sequence[str], what: str) -> list[str]:
    """Ids, each once.

    Args:
        ids: As a caller gave them.
        what: They name, for the message.
    Raises:
        InvalidInput: One string, which would pass for the list of its letters, or no strings.
    """
    return list(dict.fromkeys(ids_given(ids, f"HoldfastVectorStore: ids of {what}")))


def held(gallery: Gallery, names: Sequence[str]) -> Payloads:
    """Payloads by id, in the order asked; without those that are not, or no longer, there.

    Copies: chains write into the metadata of what they found, and a store may hold the same object.
    """
    wanted = [name for name in dict.fromkeys(names) if name]
    if not wanted:
        return {}
    try:
        rows = gallery.get(wanted)
    except MissingIds:
        if len(wanted) == 1:
            return {}
        half = len(wanted) // 2  # seldom more than one of them is gone
        return held(gallery, wanted[:half]) | held(gallery, wanted[half:])
    return dict(zip(rows.ids, deepcopy(list(rows.payloads)), strict=True))


def text_of(payload: Mapping[str, Any], field: str) -> str:
    """The text of an item; of one whose field holds another value, that value as JSON."""
    kept = payload.get(field)
    if kept is None:
        return ""
    return kept if isinstance(kept, str) else json.dumps(kept, ensure_ascii=False)


def asked_by(gallery: Gallery, vector: Any) -> Vectors:
    """A bare vector, taken to be of the one space that is read."""
    return as_vectors([vector], _reading(gallery).space, "query vector")


def in_one_space(gallery: Gallery, names: Sequence[str]) -> tuple[Side, list[str], FloatArray]:
    """Stored vectors of items in one and the same space: that of the side that has them all.

    Args:
        gallery: While two sides are read, the old one has every item, and answers.
        names: Ids, each once.
    Returns:
        The side, those of the ids that are still there, and (n, d) rows of theirs.
    """
    side = _reading(gallery)
    with gallery.reading():
        rows = get_known(side.store, list(names))
    return side, rows.ids, rows.vectors_read.array


def _reading(gallery: Gallery) -> Side:
    return gallery.new if gallery.reads == "new" and gallery.new else gallery.old
