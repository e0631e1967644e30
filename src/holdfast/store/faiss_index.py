"""Faiss indexes over slots of a file of rows: exact, inverted lists, and a graph.

Each holds the visible rows only and answers with slots. The exact one, in `faiss_flat.py`, keeps
its rows in one compact array, the lists remove for real, the graph marks the dead and skips
them. Parts that stay compact are what makes two of them cost little more than one while an
upgrade runs.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from ..arrays import FloatArray, IdArray, IntArray, squared_norms
from ..hits import NO_ID, NO_SCORE, Hits
from ..optional import need
from ..space import Metric

Kind: TypeAlias = Literal["flat", "ivf", "hnsw"]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
Read: TypeAlias = Callable[[IntArray], FloatArray]  # slots to rows
Found: TypeAlias = tuple[FloatArray, IntArray]  # (q, k) scores, falling, and slots or -1

EMPTY = -1
LINKS = 16  # of a node in the graph; twice as many in its lowest layer
_BLOCK = 32_768  # rows scanned at once
_BREADTH = 100  # candidates when a node is linked
_SPARE = 16  # candidates beyond k whose distances are computed once more
_ERROR = 1e-5  # of a squared distance as a product, in squared lengths of the query
# Above how many numbers in a batch of queries faiss multiplies matrices. Its own 128,000
# makes batches of 16 to 256 queries of 384 numbers 5 to 17 times slower.
# One query at a time is quicker than a product, whatever its length.
_UPSTREAM_THRESHOLD, _THRESHOLD = 128_000, 1_280


def prepare(dim: int) -> None:
    """Make faiss ready for rows of a length; `MissingExtra` where it is not installed.

    This changes its threshold for the whole process, unless somebody else has.
    """
    variables: Any = _faiss().cvar
    found = variables.distance_compute_blas_threshold
    found = _THRESHOLD if found == _UPSTREAM_THRESHOLD else found
    variables.distance_compute_blas_threshold = max(found, 2 * dim)  # one query is no batch


def _faiss() -> ModuleType:
    return need("faiss")


def _code(metric: Metric) -> Any:
    faiss = _faiss()
    return faiss.METRIC_L2 if metric == "euclidean" else faiss.METRIC_INNER_PRODUCT


def _as_scores(distances: FloatArray, metric: Metric) -> FloatArray:
    if metric != "euclidean":
        return distances
    scores: FloatArray = -np.sqrt(np.maximum(distances, 0.0))
    return scores


def nearest(queries: FloatArray, rows: FloatArray, k: int, metric: Metric) -> Found:
    """(q, k) scores and positions of the best rows, exactly; k is at most len(rows)."""
    faiss = _faiss()
    threshold: int = faiss.cvar.distance_compute_blas_threshold
    if metric == "euclidean" and queries.size >= threshold:
        return _nearest_refined(queries, rows, k)
    distances, places = faiss.knn(queries, rows, k, _code(metric))
    return _as_scores(distances, metric), places


def _nearest_refined(queries: FloatArray, rows: FloatArray, k: int) -> Found:
    """Distances of a batch, computed once more where a matrix product has lost digits.

    It gives a small distance as the difference of large numbers. So some rows more than k
    are taken, and a query is asked again alone where a row left out could still belong.
    """
    faiss, width = _faiss(), min(k + _SPARE, len(rows))
    blurred, places = faiss.knn(queries, rows, width, faiss.METRIC_L2)
    gaps = rows[places] - queries[:, None, :]
    distances = np.einsum("qkd,qkd->qk", gaps, gaps)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    distances = np.take_along_axis(distances, order, axis=1)
    places = np.take_along_axis(places, order, axis=1)
    if width < len(rows):
        error = _ERROR * squared_norms(queries)
        for query in np.flatnonzero(distances[:, -1] > blurred[:, -1] - error):
            alone = faiss.knn(queries[query : query + 1], rows, k, faiss.METRIC_L2)
            distances[query], places[query] = alone[0][0], alone[1][0]
    return _as_scores(distances, "euclidean"), places


def scan(queries: FloatArray, k: int, slots: IntArray, read: Read, metric: Metric) -> Found:
    """The k best of the rows in some slots, exactly, in blocks; k is at most len(slots)."""
    blocks = []
    for start in range(0, len(slots), _BLOCK):
        piece = slots[start : start + _BLOCK]
        scores, places = nearest(queries, read(piece), min(k, len(piece)), metric)
        blocks.append((scores, piece[places]))
    if len(blocks) == 1:
        return blocks[0]
    scores = np.concatenate([block[0] for block in blocks], axis=1)
    found = np.concatenate([block[1] for block in blocks], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(found, order, axis=1)


class _How:
    """The parameters of searches; the last ones are kept, since making them takes 3 us.

    Args:
        kind: Name of a class of faiss.
        effort: What it calls the effort.
    """

    def __init__(self, kind: str, effort: str) -> None:
        self._kind, self._effort = kind, effort
        self._last: tuple[int, Any] = (0, None)

    def __call__(self, effort: int, bits: Any) -> Any:
        """For an effort, and for rows marked in packed bits, or for all of them."""
        faiss, last = _faiss(), self._last  # read once: other threads search too
        if bits is not None:
            options = {self._effort: effort, "sel": faiss.IDSelectorBitmap(bits)}
            return getattr(faiss, self._kind)(**options)
        if last[0] != effort:
            last = self._last = effort, getattr(faiss, self._kind)(**{self._effort: effort})
        return last[1]


class Index(Protocol):
    """Rows that can be found; all slots passed to `remove` are in it, to `add` are not."""

    kind: Kind

    def __len__(self) -> int: ...

    def add(self, slots: IntArray, rows: FloatArray) -> None:
        """Take (n, d) rows in."""
        ...

    def remove(self, slots: IntArray) -> None:
        """Let go of rows."""
        ...

    def search(self, queries: FloatArray, k: int, passing: BoolArray | None = None) -> Found:
        """The best rows for each query, among the slots that `passing` marks."""
        ...

    def renumber(self, new: IntArray) -> None:
        """Row i of `new` is what slot i is called from now on."""
        ...


class Lists:
    """Inverted lists: rows by nearest centroid; a search reads the lists nearest to it.

    Args:
        index: An `IndexIVFFlat` that finds a row by its id.
        metric: How rows are compared.
    """

    kind: Kind = "ivf"

    def __init__(self, index: Any, metric: Metric) -> None:
        self._index, self._metric = index, metric
        self._how = _How("SearchParametersIVF", "nprobe")
        self.effort = 1  # lists read
        self.added = self.tuned = self.built = 0  # rows ever, up to the last tuning, at first

    @classmethod
    def train(cls, sample: FloatArray, lists: int, metric: Metric) -> Lists:
        """Empty lists around centroids of a sample."""
        faiss, dim = _faiss(), sample.shape[1]
        code = _code(metric)
        index = faiss.IndexIVFFlat(faiss.IndexFlat(dim, code), dim, lists, code)
        index.cp.niter = 8
        index.cp.min_points_per_centroid = 1  # fewer are a warning on the screen otherwise
        index.train(sample)
        index.set_direct_map_type(faiss.DirectMap.Hashtable)
        return cls(index, metric)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @property
    def most(self) -> int:
        """The effort at which a search is exact."""
        return int(self._index.nlist)

    def add(self, slots: IntArray, rows: FloatArray) -> None:
        self._index.add_with_ids(rows, slots)
        self.added += len(slots)

    def remove(self, slots: IntArray) -> None:
        self._index.remove_ids(_faiss().IDSelectorArray(slots))

    def search(self, queries: FloatArray, k: int, passing: BoolArray | None = None) -> Found:
        share, bits, rows = 1.0, None, max(len(self), 1)
        if passing is not None:
            share = max(float(passing.sum()) / rows, 1e-3)
            bits = np.packbits(passing, bitorder="little")
        full = 8 * k * self.most / rows  # lists that hold eight times k rows
        # Rows that came since may be of another kind, and lie in lists that suit them less.
        effort = self.effort * (1.0 + min((self.added - self.tuned) / rows, 1.0))
        probes = min(ceil(max(effort, full) / share), self.most)
        parameters = self._how(probes, bits)
        distances, slots = self._index.search(queries, k, params=parameters)
        return _as_scores(distances, self._metric), slots

    def renumber(self, new: IntArray) -> None:
        faiss, lists = _faiss(), self._index.invlists
        self._index.set_direct_map_type(faiss.DirectMap.NoMap)
        for number in range(self.most):
            size = lists.list_size(number)
            if size:
                ids = faiss.rev_swig_ptr(lists.get_ids(number), size)
                ids[:] = new[ids]
        self._index.set_direct_map_type(faiss.DirectMap.Hashtable)

    def slots(self) -> IntArray:
        """(n,) slots of the rows."""
        lists, view = self._index.invlists, _faiss().rev_swig_ptr
        ids = [
            view(lists.get_ids(number), lists.list_size(number)).copy()
            for number in range(self.most)
            if lists.list_size(number)
        ]
        return np.concatenate([np.zeros(0, dtype=np.int64), *ids])

    def write(self, path: Path) -> None:
        """Write it in place; the caller renames."""
        _faiss().write_index(self._index, str(path))


class Graph:
    """A graph of neighbours; dead nodes still lead the way but are not found.

    Args:
        index: An `IndexHNSWFlat`.
        metric: How rows are compared.
        slots: (n,) slots of its nodes, -1 for dead ones.
    """

    kind: Kind = "hnsw"
    most = 1024

    def __init__(self, index: Any, metric: Metric, slots: IntArray) -> None:
        self._index, self._metric = index, metric
        self._how = _How("SearchParametersHNSW", "efSearch")
        self._nodes = len(slots)
        self._slots = np.array(slots, dtype=np.int64)  # by node
        self._place: IntArray = np.zeros(0, dtype=np.int64)  # node by slot
        self._bits: Any = None  # which nodes live; made when a search needs it
        self.effort = 24  # candidates kept
        self.added = self.tuned = self.built = 0  # rows ever, up to the last tuning, at first
        self._map()

    @classmethod
    def empty(cls, dim: int, metric: Metric) -> Graph:
        """A graph without nodes."""
        index = _faiss().IndexHNSWFlat(dim, LINKS, _code(metric))
        index.hnsw.efConstruction = _BREADTH
        return cls(index, metric, np.zeros(0, dtype=np.int64))

    def _map(self) -> None:
        living = np.flatnonzero(self._slots[: self._nodes] != EMPTY)
        self._count = len(living)
        self._place = np.zeros(int(self._slots.max(initial=-1)) + 1, dtype=np.int64)
        self._place[self._slots[living]] = living

    def __len__(self) -> int:
        return self._count

    @property
    def dead(self) -> int:
        """Nodes that are only passed through."""
        return self._nodes - self._count

    def add(self, slots: IntArray, rows: FloatArray) -> None:
        self._index.add(rows)
        self.added += len(slots)
        first, self._nodes = self._nodes, self._nodes + len(slots)
        self._slots = enlarged(self._slots, self._nodes)
        self._slots[first : self._nodes] = slots
        self._place = enlarged(self._place, int(slots.max(initial=-1)) + 1)
        self._place[slots] = np.arange(first, self._nodes)
        self._count, self._bits = self._count + len(slots), None

    def remove(self, slots: IntArray) -> None:
        self._slots[self._place[slots]] = EMPTY
        self._count, self._bits = self._count - len(slots), None

    def search(self, queries: FloatArray, k: int, passing: BoolArray | None = None) -> Found:
        known = self._slots[: self._nodes]
        share, bits = self._count / max(self._nodes, 1), None
        if passing is not None:
            kept = passing[known] & (known != EMPTY)
            share, bits = float(kept.mean()), np.packbits(kept, bitorder="little")
        elif self.dead:
            bits = self._bits
            if bits is None:
                bits = self._bits = np.packbits(known != EMPTY, bitorder="little")
        breadth = int(max(self.effort, 2 * k) / max(share, 1e-3))
        parameters = self._how(breadth, bits)
        distances, nodes = self._index.search(queries, k, params=parameters)
        slots = known[nodes]
        if nodes[:, -1].min(initial=0) < 0:  # a row is filled from the left
            slots[nodes < 0] = EMPTY
        return _as_scores(distances, self._metric), slots

    def renumber(self, new: IntArray) -> None:
        known = self._slots[: self._nodes]
        self._slots = np.where(known == EMPTY, EMPTY, new[known])
        self._map()

    def slots(self) -> IntArray:
        """(n,) slots of the nodes, -1 for dead ones, for `load`."""
        return self._slots[: self._nodes]

    def write(self, path: Path) -> None:
        """Write it in place; the caller renames."""
        _faiss().write_index(self._index, str(path))


def load(path: Path, kind: str, metric: Metric, slots: IntArray) -> Lists | Graph:
    """Read what `write` wrote; the caller has made sure that these are the bytes written.

    Raises:
        RuntimeError: Faiss can not read it.
    """
    index = _faiss().read_index(str(path))
    return Lists(index, metric) if kind == "ivf" else Graph(index, metric, slots)


def enlarged(array: npt.NDArray[Any], size: int) -> npt.NDArray[Any]:
    """The array itself, or a copy with room for `size` rows, and as many again."""
    if size <= len(array):
        return array
    grown = np.empty((max(size, 2 * len(array)), *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown


def as_hits(ids: IdArray, found: Found, k: int) -> Hits:
    """What was found, with k columns, and nothing where nothing was found."""
    scores, slots = found
    width = slots.shape[1]
    if width == k and (slots[:, -1] >= 0).all():  # a row is filled from the left
        return Hits(ids, scores)
    out = Hits.empty(len(slots), k)
    out.ids[:, :width] = np.where(slots < 0, NO_ID, ids)
    out.scores[:, :width] = np.where(slots < 0, NO_SCORE, scores)
    return out
