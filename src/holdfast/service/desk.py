"""The desk: searches and writes, as requests ask for them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from ..arrays import Vectors, as_vectors
from ..errors import InvalidInput, WrongSpace
from ..items import Item
from ..report.build import scrubbed
from ..store.base import get_known
from ..store.where import parse
from ..upgrade.gallery import Gallery
from ..upgrade.parts import PAYLOAD
from . import bodies
from .metrics import Metrics
from .steward import Steward
from .tempo import Latency


class Desk:
    """Answers searches and carries out writes.

    Args:
        steward: Has the gallery.
        latency: Told how long searches took.
        metrics: Told what was done.
    """

    def __init__(self, steward: Steward, latency: Latency, metrics: Metrics) -> None:
        self._steward, self._latency, self._metrics = steward, latency, metrics

    def search(self, body: bodies.Search) -> bodies.Found:
        """The k best items for each query, from whichever side holds them.

        Send `texts`, or `vectors` of the space that is read: of both while two are.
        """
        with self._steward.using() as gallery:
            asked = _asked(gallery, body)
            reads, started = self._reads(gallery, asked, body), time.perf_counter()
            hits = gallery.search(asked, body.k, body.where, key=body.key, tenant=body.tenant)
            took = time.perf_counter() - started
            rows = [hits.row(query) for query in range(len(hits))]
            payloads = self._payloads(gallery, rows) if body.payloads else {}
            state, share = gallery.state, gallery.share
        self._latency.note(reads, took)
        self._metrics.searched(reads, len(rows), took, bool(hits.without))
        answers = [
            bodies.Answer(
                hits=[
                    bodies.Hit(id=name, score=round(score, 6), payload=payloads.get(name))
                    for name, score in row
                ]
            )
            for row in rows
        ]
        return bodies.Found(
            state=state,
            reads=reads,
            without=scrubbed(hits.without) or None,
            share=share,
            seconds=took,
            answers=answers,
        )

    def _reads(self, gallery: Gallery, asked: Any, body: bodies.Search) -> str:
        """Which side answers; in a stage it depends on who asks."""
        chosen = gallery.chosen(asked, parse(body.where), body.key, body.tenant)
        if chosen is None:
            return self._steward.reads(gallery)
        return "new" if chosen.all() else "both" if chosen.any() else "old"

    def _payloads(
        self, gallery: Gallery, rows: Sequence[Sequence[tuple[str, float]]]
    ) -> dict[str, dict[str, Any]]:
        """Payloads by id; items that were deleted since they were found are left out."""
        return payloads_of(gallery, [name for row in rows for name, _ in row])

    def upsert(self, body: bodies.Upsert) -> bodies.Written:
        """Insert items, or replace them whole. When this answers they are found."""
        field = self._field()
        items = [Item(one.id, one.content, _kept(one, field)) for one in body.items]
        with self._steward.using() as gallery:
            gallery.upsert(items)
        self._metrics.wrote("upserted", len(items))
        return bodies.Written(items=len(items))

    def _field(self) -> str | None:
        """Where payloads carry the content, if the gallery is its own source."""
        source = self._steward.project.config.source
        return str(source.options.get("field", "text")) if source.kind == PAYLOAD else None

    def delete(self, body: bodies.Names) -> bodies.Written:
        """Remove items. When this answers they are gone, and stay gone."""
        with self._steward.using() as gallery:
            gallery.delete(body.ids)
        self._metrics.wrote("deleted", len(body.ids))
        return bodies.Written(items=len(body.ids))

    def delete_one(self, name: bodies.Name) -> bodies.Written:
        """Remove one item."""
        return self.delete(bodies.Names(ids=[name]))

    def get(self, body: bodies.Names) -> list[bodies.Stored]:
        """Items as they are stored, in the order of their ids."""
        with self._steward.using() as gallery:
            rows = gallery.get(body.ids)
        return [
            bodies.Stored(id=name, revision=int(revision), payload=bodies.carried(payload))
            for name, revision, payload in zip(rows.ids, rows.revisions, rows.payloads, strict=True)
        ]

    def get_one(self, name: bodies.Name) -> bodies.Stored:
        """One item as it is stored."""
        return self.get(bodies.Names(ids=[name]))[0]


def payloads_of(gallery: Gallery, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Payloads by id; items that were deleted since they were found are left out."""
    distinct = list(dict.fromkeys(names))
    with gallery.reading():
        rows = get_known(gallery.keeper, distinct, vectors=False)
        found = zip(rows.ids, rows.payloads, strict=True)
        return {name: bodies.carried(payload) for name, payload in found}


def _kept(one: bodies.Document, field: str | None) -> dict[str, Any]:
    """The payload; where the gallery is its own source the content is kept in it."""
    if field is None or one.payload.get(field) == one.content:
        return one.payload
    if field in one.payload:
        raise InvalidInput(
            f"item {ascii(one.id)[:80]}",
            f"payload.{field} equal to the content, since it is read again from there",
            "another value",
            f"Leave payload.{field} out; it is filled in.",
        )
    return {**one.payload, field: one.content}


def _asked(gallery: Gallery, body: bodies.Search) -> Any:
    """Queries for the gallery.

    Raises:
        InvalidInput: Neither texts nor vectors, or both, or rows that do not belong together.
        WrongSpace: Vectors of a space that the gallery does not have.
    """
    if (body.texts is None) == (body.vectors is None):
        raise InvalidInput("search", "texts or vectors", "both" if body.texts else "neither")
    if body.texts is not None:
        return body.texts
    spaces = [side.space for side in (gallery.old, gallery.new) if side is not None]
    ready: list[Vectors] = []
    for name, rows in (body.vectors or {}).items():
        space = next((s for s in spaces if name in (s.fingerprint, s.name)), None)
        if space is None:
            known = ", ".join(f"{s.name} ({s.fingerprint})" for s in spaces)
            raise WrongSpace("search: vectors", f"rows of {known}", ascii(name)[:80])
        ready.append(as_vectors(rows, space, "search: vectors"))
    if len({len(vectors) for vectors in ready}) != 1:
        raise InvalidInput(
            "search: vectors", "as many rows in each space", "different numbers of them, or none"
        )
    return ready
