"""Tests of the contract suite: stores with one defect each, to be caught by the right check."""

import json
import time
from typing import ClassVar

import numpy as np
import pytest

from holdfast.arrays import Vectors, as_vectors
from holdfast.errors import ContractBroken, InvalidFilter, OccupiedStore
from holdfast.hits import Hits
from holdfast.space import Space
from holdfast.store.base import Limits, Page, Rows
from holdfast.store.check import check_store, store_checks
from holdfast.store.memory import MemoryStore

SABOTEURS = []
ROWS = 600  # of the checks of an index, where a store has none


def caught_by(*checks, metric="cosine", reopen=None):
    """Register a broken store with the checks that must all catch it."""

    def register(cls):
        SABOTEURS.append(pytest.param(cls, set(checks), metric, reopen, id=cls.__name__))
        return cls

    return register


def raw(space, values):
    """Vectors that no check has seen, and that pass for checked."""
    return Vectors(space, np.asarray(values, dtype=np.float32), checked=True)


@caught_by("check_scores", "check_ties", "check_recall")
class FlippedDirection(MemoryStore):
    """Answers distances: the sign is turned, and rows come sorted by it."""

    def search(self, queries, k, where=None):
        hits = super().search(queries, max(k, len(self) + 1), where)
        rows = [[(i, -s) for i, s in reversed(hits.row(q))] for q in range(len(hits))]
        return Hits.of(rows, k)


@caught_by("check_scores")
class FlippedOrder(MemoryStore):
    """True scores, worst first."""

    def search(self, queries, k, where=None):
        hits = super().search(queries, k, where)
        return Hits.of([hits.row(q)[::-1] for q in range(len(hits))], k)


@caught_by("check_scaled_queries", "check_scores")
class QueryNotNormalised(MemoryStore):
    def search(self, queries, k, where=None):
        if not isinstance(queries, Vectors):
            as_vectors(queries, self.space, "search")
            queries = raw(self.space, queries)
        return super().search(queries, k, where)


@caught_by("check_scores")
class RowsNotNormalised(MemoryStore):
    def upsert(self, ids, vectors, payloads=None, revisions=None):
        if not isinstance(vectors, Vectors):
            as_vectors(vectors, self.space, "upsert")
            vectors = raw(self.space, vectors)
        super().upsert(ids, vectors, payloads, revisions)


@caught_by("check_arguments_unchanged")
class QueriesChanged(MemoryStore):
    """Normalises the caller's own array."""

    def search(self, queries, k, where=None):
        hits = super().search(queries, k, where)
        if isinstance(queries, np.ndarray) and queries.dtype == np.float32:
            queries /= np.linalg.norm(queries, axis=1, keepdims=True)
        return hits


@caught_by("check_arguments_unchanged")
class PayloadsChanged(MemoryStore):
    """Files its own field in the caller's dict."""

    def upsert(self, ids, vectors, payloads=None, revisions=None):
        super().upsert(ids, vectors, payloads, revisions)
        for name, payload in zip(ids, payloads or [], strict=False):
            payload["_id"] = name


@caught_by("check_later_changes")
class KeepsTheCallersPayloads(MemoryStore):
    def upsert(self, ids, vectors, payloads=None, revisions=None):
        super().upsert(ids, vectors, payloads, revisions)
        for name, payload in zip(ids, payloads or [], strict=False):
            self._payloads[self._slot[name]] = payload


@caught_by("check_later_changes")
class KeepsTheCallersArray(MemoryStore):
    """Reads vectors back from the array it was once given."""

    def upsert(self, ids, vectors, payloads=None, revisions=None):
        super().upsert(ids, vectors, payloads, revisions)
        rows = as_vectors(vectors, self.space, "upsert")
        self._given = {**getattr(self, "_given", {}), **dict(zip(ids, rows.array, strict=True))}

    def search(self, queries, k, where=None):
        for name, row in getattr(self, "_given", {}).items():
            if name in self._slot and name.startswith("as Vectors"):
                self._array[self._slot[name]] = row
        return super().search(queries, k, where)


@caught_by("check_scan", "check_scan_resumes")
class LastPageLost(MemoryStore):
    """A page that is not full is taken for the end."""

    def scan(self, after=None, limit=1000, vectors=False):
        page = super().scan(after, limit, vectors)
        full = len(page.rows) == limit
        return page if full or after is None else Page(self._rows([], vectors), None)


@caught_by("check_scan_under_change")
class ScanByPosition(MemoryStore):
    """The cursor is a position, which moves when rows come and go."""

    def scan(self, after=None, limit=1000, vectors=False):
        if limit < 1:
            return super().scan(after, limit, vectors)
        names, start = list(self._slot), int(after or 0)
        piece, more = names[start : start + limit], start + limit < len(names)
        return Page(self._rows(piece, vectors), str(start + limit) if more else None)


@caught_by("check_rejected_numbers", "check_rejected_ids")
class HalfWrittenBatch(MemoryStore):
    """Writes row by row and stops at the first bad one."""

    def upsert(self, ids, vectors, payloads=None, revisions=None):
        if isinstance(vectors, Vectors) or len(vectors) != len(ids) or np.ndim(vectors) != 2:
            super().upsert(ids, vectors, payloads, revisions)
            return
        seen = set()
        for i, name in enumerate(ids):
            if name in seen:
                break
            seen.add(name)
            super().upsert(
                [name],
                vectors[i : i + 1],
                None if payloads is None else payloads[i : i + 1],
                None if revisions is None else revisions[i : i + 1],
            )
        super().upsert(ids, vectors, payloads, revisions)


@caught_by("check_upsert_replaces", "check_upsert_twice", "check_seen_at_once")
class UpsertAppends(MemoryStore):
    """An id that is stored already gets a second row."""

    def upsert(self, ids, vectors, payloads=None, revisions=None):
        twice = [name for name in ids if isinstance(name, str) and name in self._slot]
        if twice and len(vectors) == len(ids):
            rows = self.get(twice)
            super().upsert(ids, vectors, payloads, revisions)
            super().upsert([f"{name}'" for name in twice], rows.vectors, rows.payloads)
        else:
            super().upsert(ids, vectors, payloads, revisions)


@caught_by("check_older_revision", "check_many_changes")
class OlderRevisionWins(MemoryStore):
    def upsert(self, ids, vectors, payloads=None, revisions=None):
        super().upsert(ids, vectors, payloads, revisions)
        if revisions is not None:
            rows = as_vectors(vectors, self.space, "upsert")
            for i, name in enumerate(ids):
                self._put(name, rows.array[i], dict((payloads or [{}] * len(ids))[i]), revisions[i])


@caught_by("check_older_revision")
class OneOlderRowStopsTheBatch(MemoryStore):
    """Ignores the whole batch instead of the row."""

    def upsert(self, ids, vectors, payloads=None, revisions=None):
        if revisions is not None and len(revisions) == len(ids) == len(vectors):
            stored = self.revisions([str(i) for i in ids])
            if any(isinstance(r, int) and r < s for r, s in zip(revisions, stored, strict=True)):
                return
        super().upsert(ids, vectors, payloads, revisions)


@caught_by("check_equal_revision")
class EqualRevisionIgnored(MemoryStore):
    def upsert(self, ids, vectors, payloads=None, revisions=None):
        super().upsert(ids[:0], np.zeros((0, self.space.dim)))
        if revisions is None or not 0 < len(ids) == len(vectors) == len(revisions):
            super().upsert(ids, vectors, payloads, revisions)
            return
        stored = self.revisions([str(i) for i in ids])
        given = np.asarray(revisions)
        keep = np.flatnonzero(given != stored) if given.dtype.kind == "i" else np.arange(len(ids))
        super().upsert(
            [ids[i] for i in keep],
            np.asarray(vectors)[keep],
            None if payloads is None else [payloads[i] for i in keep],
            given[keep],
        )


@caught_by("check_filter_equal", "check_filter_joined")
class FilterIgnored(MemoryStore):
    def search(self, queries, k, where=None):
        super().search(queries, k, where)
        return super().search(queries, k)


@caught_by("check_filter_hidden", "check_filter_after_change")
class FilterBringsBackHidden(MemoryStore):
    def search(self, queries, k, where=None):
        if not where:
            return super().search(queries, k, where)
        shown = self._shown.copy()
        self._shown[:] = True
        try:
            return super().search(queries, k, where)
        finally:
            self._shown = shown


@caught_by("check_filter_equal", "check_filter_range")
class FilterAfterTheCut(MemoryStore):
    """Searches first and filters what it found: rows of hits that are too short."""

    def search(self, queries, k, where=None):
        right = super().search(queries, max(k, len(self) + 1), where)
        found = super().search(queries, k)
        return Hits.of(
            [[p for p in found.row(q) if p in right.row(q)] for q in range(len(found))], k
        )


@caught_by("check_filter_types")
class TrueIsOne(MemoryStore):
    """Python's equality decides, in which True == 1."""

    def search(self, queries, k, where=None):
        if isinstance(where, dict) and where.get("x") is True:
            where = {"x": [True, 1]}
        return super().search(queries, k, where)


@caught_by("check_filter_missing")
class MissingNeverMatches(MemoryStore):
    """As in SQL: a comparison with null is neither true nor false."""

    def search(self, queries, k, where=None):
        if isinstance(where, dict) and set(where) == {"not"} and isinstance(where["not"], dict):
            fields = [f for f in where["not"] if f not in ("and", "or", "not")]
            some = [{f: {"gte": -1e300}} for f in fields] + [
                {f: ["en", "de", "fr", "new", "old", "rare", True, False]} for f in fields
            ]
            where = {"and": [where, {"or": some}]} if fields else where
        return super().search(queries, k, where)


@caught_by("check_delete", "check_seen_at_once")
class DeletedIdReturned(MemoryStore):
    """Deletes from the table and forgets the index."""

    def __init__(self, space):
        super().__init__(space)
        self._ghosts = MemoryStore(space)

    def delete(self, ids):
        there = [name for name in dict.fromkeys(ids) if name in self._slot]
        if there:
            self._ghosts.upsert(there, self.get(there).vectors)
        super().delete(ids)

    def search(self, queries, k, where=None):
        hits, ghosts = super().search(queries, k, where), self._ghosts.search(queries, k)
        rows = [
            sorted({**dict(ghosts.row(q)), **dict(hits.row(q))}.items(), key=lambda p: -p[1])
            for q in range(len(hits))
        ]
        return Hits.of(rows, k)


@caught_by("check_scores", metric="cosine")
@caught_by("check_scores", metric="euclidean")
class ScoresOfTheWrongMetric(MemoryStore):
    """An index that is silently of another metric."""

    def search(self, queries, k, where=None):
        right = self.space
        asked = as_vectors(queries, right, "search")
        other = "dot" if right.metric == "euclidean" else "euclidean"
        self.space = Space(right.name, right.dim, other)
        try:
            return super().search(asked.array, k, where)
        finally:
            self.space = right


@caught_by("check_near_rows", metric="euclidean")
class SquaredAway(MemoryStore):
    """Distances by float32 products: a long row is not found at distance nought."""

    def search(self, queries, k, where=None):
        hits = super().search(queries, k, where)
        noise = np.float32(0.02) * (hits.scores > -0.01)
        return Hits(hits.ids, hits.scores - noise)


@caught_by("check_hide", "check_hide_all", "check_update_hidden", "check_filter_hidden")
class HiddenRowReturned(MemoryStore):
    def _show(self, ids, shown):
        self._marked = getattr(self, "_marked", set())
        (self._marked.difference_update if shown else self._marked.update)(ids)

    @property
    def visible(self):
        return len(self) - len(getattr(self, "_marked", set()) & set(self._slot))

    def _rows(self, ids, vectors):
        rows = super()._rows(ids, vectors)
        hidden = np.array([i in getattr(self, "_marked", set()) for i in ids], dtype=bool)
        return Rows(rows.ids, rows.revisions, rows.payloads, hidden, rows.vectors)


@caught_by("check_hide", "check_hide_all")
class HiddenRowsNotCounted(MemoryStore):
    """`visible` is `len`."""

    @property
    def visible(self):
        return len(self)


@caught_by("check_update_hidden", "check_many_changes")
class UpdateUnhides(MemoryStore):
    def _put(self, name, row, payload, revision):
        super()._put(name, row, payload, revision)
        self._shown[self._slot[name]] = True


@caught_by("check_insert_again")
class HiddenEvenAfterDeletion(MemoryStore):
    """A list of hidden ids that deletion forgets to clear."""

    def upsert(self, ids, vectors, payloads=None, revisions=None):
        super().upsert(ids, vectors, payloads, revisions)
        super().hide([i for i in ids if i in getattr(self, "_list", set())])

    def hide(self, ids):
        self._list = getattr(self, "_list", set()) | {i for i in ids if i in self._slot}
        super().hide(ids)

    def unhide(self, ids):
        self._list = getattr(self, "_list", set()) - set(ids)
        super().unhide(ids)


@caught_by("check_unhide_restores")
class UnhideBumpsRevision(MemoryStore):
    """Gives rows back by writing them again."""

    def unhide(self, ids):
        back = [i for i in ids if i in self._slot and not self._shown[self._slot[i]]]
        super().unhide(ids)
        for name in back:
            self._revision[self._slot[name]] += 1


@caught_by("check_upsert_replaces", "check_filter_after_change")
class PayloadNotReplaced(MemoryStore):
    """Merges the new fields into the old."""

    def _put(self, name, row, payload, revision):
        slot = self._slot.get(name)
        old = {} if slot is None else self._payloads[slot]
        super()._put(name, row, {**old, **payload}, revision)


@caught_by("check_upsert_replaces")
class VectorNotReplaced(MemoryStore):
    def _put(self, name, row, payload, revision):
        slot = self._slot.get(name)
        super()._put(name, row if slot is None else self._array[slot].copy(), payload, revision)


@caught_by("check_ties")
class TiesDropped(MemoryStore):
    """Takes what scores strictly above the (k+1)-th hit: too few among ties."""

    def search(self, queries, k, where=None):
        hits = super().search(queries, k + 1, where)
        rows = []
        for query in range(len(hits)):
            row = hits.row(query)
            rows.append(row if len(row) <= k else [p for p in row[:k] if p[1] > row[k][1] + 1e-6])
        return Hits.of(rows, k)


@caught_by("check_scores", "check_kinds_of_queries")
class IdsSwapped(MemoryStore):
    """Two neighbouring hits change ids."""

    def search(self, queries, k, where=None):
        hits = super().search(queries, k, where)
        if k > 2:
            hits.ids[:, [0, 2]] = np.where(
                hits.ids[:, [2]] == "", hits.ids[:, [0, 2]], hits.ids[:, [2, 0]]
            )
        return hits


@caught_by("check_seen_at_once", "check_upsert_replaces")
class StaleCache(MemoryStore):
    """Remembers answers and forgets them only when rows come or go."""

    def search(self, queries, k, where=None):
        if getattr(self, "_size", None) != (len(self), self.visible):
            self._size, self._cache = (len(self), self.visible), {}
        key = (np.asarray(queries).tobytes(), np.shape(queries), k, repr(where))
        if isinstance(queries, Vectors) or key not in self._cache:
            self._cache[key] = super().search(queries, k, where)
        return self._cache[key]


@caught_by("check_rejected_numbers", "check_rejected_queries")
class NaNAccepted(MemoryStore):
    def upsert(self, ids, vectors, payloads=None, revisions=None):
        super().upsert(ids, self._cleaned(vectors), payloads, revisions)

    def search(self, queries, k, where=None):
        return super().search(self._cleaned(queries), k, where)

    def _cleaned(self, vectors):
        good = isinstance(vectors, np.ndarray) and vectors.dtype.kind == "f"
        return np.nan_to_num(vectors) if good else vectors


@caught_by("check_rejected_space", "check_rejected_queries")
class AnySpaceAccepted(MemoryStore):
    """The length fits, so it must be right."""

    def upsert(self, ids, vectors, payloads=None, revisions=None):
        super().upsert(ids, np.asarray(vectors), payloads, revisions)

    def search(self, queries, k, where=None):
        return super().search(np.asarray(queries), k, where)


@caught_by("check_scores", "check_more_than_there_is")
class DuplicateIdReturned(MemoryStore):
    """A row that sits in two segments is found in both."""

    def search(self, queries, k, where=None):
        hits = super().search(queries, k, where)
        rows = [hits.row(q)[:1] + hits.row(q) for q in range(len(hits))]
        return Hits.of(rows, k)


@caught_by("check_more_than_there_is", "check_empty_store")
class PaddedWithZeros(MemoryStore):
    def search(self, queries, k, where=None):
        hits = super().search(queries, k, where)
        return Hits(hits.ids, np.where(hits.ids == "", np.float32(0), hits.scores))


@caught_by("check_more_than_there_is", "check_empty_store")
class NotPadded(MemoryStore):
    """As many columns as there are hits."""

    def search(self, queries, k, where=None):
        return super().search(queries, k, where).top(self.visible)


@caught_by("check_get")
class GetInItsOwnOrder(MemoryStore):
    def get(self, ids, vectors=True):
        return super().get(sorted(ids), vectors)


@caught_by("check_get", "check_delete")
class GetSkipsAbsentIds(MemoryStore):
    def get(self, ids, vectors=True):
        return super().get([i for i in ids if i in self._slot], vectors)


@caught_by("check_odd_ids")
class IdsFolded(MemoryStore):
    """A column whose collation trims spaces and folds case."""

    def upsert(self, ids, vectors, payloads=None, revisions=None):
        super().upsert(ids, vectors, payloads, revisions)
        for name in ids:
            twin = name.strip().lower()
            if twin != name and twin in self._slot:
                self.delete([name])


@caught_by("check_tend")
class TendForgetsHidden(MemoryStore):
    """Builds its index over all rows."""

    def tend(self):
        super().unhide(list(self._slot))


@caught_by("check_large_batch")
class TooManyVariables(MemoryStore):
    """One bound variable per id, and no more than the database takes."""

    def get(self, ids, vectors=True):
        return super().get(ids[:32766], vectors)


@caught_by("check_threads")
class ForgetsWhileWriting(MemoryStore):
    """Takes rows out of search while it replaces others, without a lock."""

    def upsert(self, ids, vectors, payloads=None, revisions=None):
        rest = [i for i in list(self._slot) if i not in set(ids)]
        self.hide(rest)
        super().upsert(ids, vectors, payloads, revisions)
        time.sleep(0.002)
        self.unhide(rest)


class Kept(MemoryStore):
    """A persistent store for tests: what is closed can be opened again."""

    limits = Limits(persistent=True)

    def again(self, space):
        if space != self.space:
            raise OccupiedStore("store", f"vectors of {self.space}", f"{space}")
        store = type(self)(space)
        rows = self.get(sorted(self._slot))
        store.upsert(rows.ids, rows.vectors, rows.payloads, rows.revisions)
        store.hide([i for i, hidden in zip(rows.ids, rows.hidden, strict=True) if hidden])
        return store


def reopen(store, space):
    return store.again(space)


@caught_by("check_reopen", "check_reopen_and_write", reopen=reopen)
class HiddenLostOnDisk(Kept):
    def again(self, space):
        store = super().again(space)
        store.unhide(list(self._slot))
        return store


@caught_by("check_reopen", "check_reopen_and_write", reopen=reopen)
class RevisionsLostOnDisk(Kept):
    def again(self, space):
        store = super().again(space)
        store._revision[:] = 0
        return store


@caught_by("check_reopen_as_another_space", reopen=reopen)
class OpensAsAnySpace(Kept):
    def again(self, space):
        store = super().again(self.space)
        store.space = space
        return store


@caught_by("check_reopen", "check_reopen_empty")
class PersistentWithoutProof(Kept):
    """Declares what nobody tried: no way to reopen was given."""


@caught_by("check_recall")
class RecallBelowItsFloor(MemoryStore):
    """Skips most of the rows once there are many."""

    limits = Limits(exact=False, recall_floor=0.9)

    def search(self, queries, k, where=None):
        hits = super().search(queries, 4 * k, where)
        if self.visible < 1000:
            return hits.top(k)
        return Hits.of([hits.row(q)[::4] for q in range(len(hits))], k)


@caught_by("check_index_hidden", "check_index_filter")
class IndexIgnoresHidden(MemoryStore):
    """Right until there are many rows; then the graph walks over hidden ones as well."""

    def search(self, queries, k, where=None):
        shown = self._shown.copy()
        if len(self) > 1000:
            self._shown[:] = True
        try:
            return super().search(queries, k, where)
        finally:
            self._shown = shown


@caught_by("check_index_reopen", reopen=reopen)
class IndexOfYesterday(Kept):
    """Opens the index that was saved, though rows were deleted after it was."""

    def again(self, space):
        store = super().again(space)
        if len(store) > 1000:
            store._shown[: len(store)] = True
        return store


@caught_by("check_scores", "check_recall")
class QuantisedScores(MemoryStore):
    """Finds the right rows and answers the scores of compressed ones."""

    limits = Limits(exact=False, recall_floor=0.9)

    def search(self, queries, k, where=None):
        hits = super().search(queries, k, where)
        return Hits(hits.ids, np.round(hits.scores, 2))


@caught_by("check_declarations")
class MissesAMethod(MemoryStore):
    hide = None


@caught_by("check_number_of_queries")
class OneQueryIsFlat(MemoryStore):
    """Squeezes the answer to a single query, and then guesses."""

    def search(self, queries, k, where=None):
        hits = super().search(queries, k, where)
        return hits if len(hits) != 1 else Hits(hits.ids[:, ::-1].copy(), hits.scores)


@caught_by("check_number_of_queries")
class NoQueryMeansOne(MemoryStore):
    def search(self, queries, k, where=None):
        hits = super().search(queries, k, where)
        return hits if len(hits) else Hits.empty(1, k)


@caught_by("check_kinds_of_queries", "check_kinds_of_rows")
class ReadsMemoryAsItLies(MemoryStore):
    """Ignores strides."""

    def upsert(self, ids, vectors, payloads=None, revisions=None):
        super().upsert(ids, self._flat(vectors), payloads, revisions)

    def search(self, queries, k, where=None):
        return super().search(self._flat(queries), k, where)

    def _flat(self, vectors):
        if not isinstance(vectors, np.ndarray) or vectors.flags.c_contiguous:
            return vectors
        return np.asarray(vectors.ravel(order="K")).reshape(vectors.shape)


@caught_by("check_read_and_write_back", metric="cosine")
class NormalisesAgain(MemoryStore):
    """Each write divides by a norm that is not quite right."""

    def _put(self, name, row, payload, revision):
        super()._put(name, row * np.float32(1 - 1e-6), payload, revision)


@caught_by("check_counted_revisions")
class RevisionsOfTheBatch(MemoryStore):
    """Counts by the newest row of the batch."""

    def upsert(self, ids, vectors, payloads=None, revisions=None):
        if revisions is None and not isinstance(ids, str) and len(ids) == len(set(ids)):
            newest = max(self.revisions(ids), default=-1) + 1
            revisions = [newest] * len(ids)
        super().upsert(ids, vectors, payloads, revisions)


@caught_by("check_nothing_to_write")
class NothingMeansAll(MemoryStore):
    """`DELETE ... WHERE id IN ()` without the condition."""

    def delete(self, ids):
        super().delete(ids or list(self._slot))


@caught_by("check_rejected_shapes")
class FlatRowsReshaped(MemoryStore):
    def upsert(self, ids, vectors, payloads=None, revisions=None):
        if isinstance(vectors, np.ndarray) and vectors.ndim == 3:
            vectors = vectors[0]
        super().upsert(ids, vectors, payloads, revisions)


@caught_by("check_rejected_counts")
class ShortestCounts(MemoryStore):
    """Zips without strict."""

    def upsert(self, ids, vectors, payloads=None, revisions=None):
        if not isinstance(ids, str):
            size = min(
                len(part) for part in (ids, vectors, payloads, revisions) if part is not None
            )
            ids, vectors = ids[:size], vectors[:size]
            payloads = payloads and payloads[:size]
            revisions = None if revisions is None else revisions[:size]
        super().upsert(ids, vectors, payloads, revisions)


@caught_by("check_rejected_payloads")
class PayloadsAsText(MemoryStore):
    """`json.dumps(..., default=str)`."""

    def upsert(self, ids, vectors, payloads=None, revisions=None):
        if payloads and all(isinstance(p, dict) for p in payloads):
            payloads = json.loads(json.dumps(payloads, default=str))
        super().upsert(ids, vectors, payloads, revisions)


@caught_by("check_odd_payloads")
class NullsDropped(MemoryStore):
    def _put(self, name, row, payload, revision):
        kept = {key: value for key, value in payload.items() if value is not None}
        super()._put(name, row, kept, revision)


@caught_by("check_filter_one_of")
class OneOfSomeType(MemoryStore):
    """A list of values is taken for a list of the first one's type."""

    def search(self, queries, k, where=None):
        if isinstance(where, dict) and isinstance(where.get("lang"), list) and where["lang"]:
            kind = type(where["lang"][-1])
            where = {"lang": [v for v in where["lang"] if isinstance(v, kind)]}
        return super().search(queries, k, where)


@caught_by("check_filter_names")
class DotsArePaths(MemoryStore):
    def search(self, queries, k, where=None):
        if isinstance(where, dict) and "a.b" in where:
            rows = self.get(list(self._slot))
            store = MemoryStore(self.space)
            nested = [p["a"] if isinstance(p.get("a"), dict) else {} for p in rows.payloads]
            store.upsert(rows.ids, rows.vectors, nested)
            return store.search(queries, k, {"b": where["a.b"]})
        return super().search(queries, k, where)


@caught_by("check_filter_refused")
class BadFilterIgnored(MemoryStore):
    def search(self, queries, k, where=None):
        try:
            return super().search(queries, k, where)
        except InvalidFilter:
            return super().search(queries, k)


@caught_by("check_hide_repeatedly")
class VisibleByCounting(MemoryStore):
    """Counts calls instead of rows."""

    def _show(self, ids, shown):
        before = super().visible
        super()._show(ids, shown)
        true = super().visible - before
        self._drift = getattr(self, "_drift", 0) + (len(ids) if shown else -len(ids)) - true

    @property
    def visible(self):
        return super().visible + getattr(self, "_drift", 0)


@caught_by("check_delete_hidden")
class HiddenNeverDeleted(MemoryStore):
    def delete(self, ids):
        super().delete([i for i in ids if i in self._slot and self._shown[self._slot[i]]])


@caught_by("check_two_stores")
class SharedTable(MemoryStore):
    """The data sit on the class."""

    _shared: ClassVar[dict] = {}

    def __init__(self, space):
        super().__init__(space)
        self.__dict__ = self._shared.setdefault(id(space), self.__dict__)


@caught_by("check_close")
class ClosesOnce(MemoryStore):
    def close(self):
        del self._shown


@pytest.mark.parametrize(("store", "checks", "metric", "reopen"), SABOTEURS)
def test_caught_by_the_right_check(store, checks, metric, reopen):
    for check in store_checks([metric]):
        if check.name in checks:
            with pytest.raises(ContractBroken) as caught:
                check(store, reopen)
            # For what it answers, not because the saboteur itself stumbles.
            stumbled = not isinstance(caught.value.__cause__, ContractBroken)
            assert stumbled == (store is ClosesOnce), caught.value


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_the_stores_they_are_made_from_pass(metric):
    for check in store_checks([metric]):
        check(MemoryStore, rows=ROWS)
        assert check(Kept, reopen, rows=ROWS) is None  # it owes everything


def test_a_saboteur_fails_little_more_than_it_must():
    failed = set()
    for check in store_checks(["cosine"]):
        try:
            check(LastPageLost, rows=ROWS)
        except ContractBroken:
            failed.add(check.name)
    assert "check_scan" in failed
    assert not failed & {"check_scores", "check_ties", "check_get", "check_filter_equal"}


def test_every_check_has_caught_something():
    caught = {name for saboteur in SABOTEURS for name in saboteur.values[1]}
    assert caught == {check.name for check in store_checks()}


def test_all_failures_in_one_error():
    with pytest.raises(ContractBroken) as caught:
        check_store(LastPageLost, metrics=["cosine", "dot"], rows=ROWS)
    text = str(caught.value)
    assert "check_scan[cosine]" in text
    assert "check_scan[dot]" in text
    assert "check_scores[" not in text
    assert isinstance(caught.value, AssertionError)


def test_unexpected_error_names_the_check_and_keeps_the_cause():
    class Crashes(MemoryStore):
        def scan(self, after=None, limit=1000, vectors=False):
            raise ZeroDivisionError("of the store")

    check = next(c for c in store_checks(["dot"]) if c.name == "check_scan")
    with pytest.raises(ContractBroken, match=r"check_scan\[dot\].*ZeroDivisionError") as caught:
        check(Crashes)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(
        ContractBroken, match=r"got ZeroDivisionError: of the store\. See"
    ) as caught:
        check_store(Crashes, metrics=["dot"], rows=ROWS)
    assert isinstance(caught.value.__cause__.__cause__, ZeroDivisionError)  # it is shown above


def test_what_is_not_owed_is_said_with_its_reason():
    skipped = check_store(MemoryStore, metrics=["dot"], rows=ROWS)
    assert set(skipped.values()) == {"limits.persistent is false"}
    assert {name.partition("[")[0] for name in skipped} == {
        "check_reopen",
        "check_reopen_and_write",
        "check_reopen_as_another_space",
        "check_reopen_empty",
        "check_index_reopen",
    }
