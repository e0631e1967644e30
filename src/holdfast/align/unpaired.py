"""A rotation between two spaces of which no row is known in both.

For the case in which nothing can be encoded twice: the old model is dead, the content of the
gallery is gone, and all there is of it are its vectors. Two models that arrange things
alike give away the rotation by the shape of their clouds. It is found in four steps:

1. the centres of clusters, found in each space apart, are matched so that their tables of
   inner products agree;
2. rows are described by their likeness to the matched centres, which both spaces share, and
   each row is led to the mean of the rows described most like it;
3. that rotation is improved in rounds: map some rows, take the mean of the nearest rows
   there for their targets, and turn half way to the rotation that fits these;
4. clusters of the mapped rows start the clusters of the other space, whose centres are then
   pairs; and rows that are nearest to each other both ways are pairs as well.

It needs rows in clusters, the same ones in both spaces, and thousands of them. Where it
fails it fails altogether, and another seed may not: between two sentence models, on the same
1,400 to 6,300 texts shuffled, one start in two or three came to what pairs give, the
others to nothing; on texts of which no one was in both spaces, none. `Unpaired.mutual` tells
them apart. Pairs, be they fifty, are always better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import quadratic_assignment
from sklearn.cluster import KMeans

from ..arrays import FloatArray, draws, squared_norms, unit_rows
from ..errors import InvalidInput, NotEnoughPairs
from .affine import fold
from .moments import Float64Array
from .pairs import as_rows
from .procrustes import Procrustes, nearest_rotation

MIN_ROWS = 200
MIN_CLUSTERS = 3

_SAMPLE = 5000  # rows at once against each other
_ROUND = 1000  # rows mapped in a round
_NEAREST = 50  # rows whose mean is a target
_KEPT = (1, 3, 10)  # best matchings that make a start; the best start is kept
_FINE = 500  # clusters of the last step
_BOTH_WAYS = 30  # rounds, at most
_CONFIRMED = 0.5  # share of mutual neighbours that no wrong map came near


@dataclass(frozen=True, slots=True, eq=False)
class Unpaired:
    """What was found.

    Args:
        aligner: Fitted: a rotation about the means, and one factor for lengths.
        matching: Correlation of the best two tables of inner products of centres.
        mutual: Share of rows, among at most 5000 of each space, that are nearest to each
            other both ways. Where the map is right and the items are the same it is high;
            unrelated clouds reach 0.1 to 0.3 as well.
    """

    aligner: Procrustes
    matching: float
    mutual: float


def fit_unpaired(
    X: Any,
    Y: Any,
    clusters: int = 20,
    runs: int = 10,
    restarts: int = 5,
    rounds: int = 100,
    tries: int = 5,
    seed: int = 0,
) -> Unpaired:
    """Find the rotation from one cloud of rows to another.

    Args:
        X: (n, d_source) numbers, `Vectors` among them.
        Y: (m, d_target) numbers; no row of X need be the item of any row of Y.
        clusters: In each space, in each run.
        runs: Clusterings of each space; all are matched with all.
        restarts: Of each matching.
        rounds: Of the third step.
        tries: Attempts, at most; one that half of the rows confirm both ways is the last.
        seed: Of all draws.
    Raises:
        NotEnoughPairs: Fewer than 200 different rows in a space, or than ten a cluster.
        InvalidInput: Unusable rows, or a number below one.
    Source: mini-vec2vec (arXiv 2510.02348, 2025). Departs from it: all clusterings of one
        space are matched with all of the other and the best matchings kept, by a relaxation
        (FAQ) polished by exchanges instead of exchanges alone; several starts, of which
        the one with most mutual neighbours is kept; a last step on those neighbours.
    """
    numbers = (clusters, runs, restarts, rounds, tries)
    if min(numbers) < 1 or clusters < MIN_CLUSTERS:
        raise InvalidInput("fit_unpaired", "three clusters, and numbers from 1", str(numbers))
    rows, targets = as_rows(X, "fit_unpaired", "source"), as_rows(Y, "fit_unpaired", "target")
    fewest = max(MIN_ROWS, 10 * clusters)
    counts = _different(rows), _different(targets)
    if min(counts) < fewest:
        raise NotEnoughPairs(
            "fit_unpaired",
            f"at least {fewest} different rows of each space",
            f"{counts[0]} and {counts[1]}",
            "Thousands are better, and some pairs are better still.",
        )
    rng = draws(seed, "fit_unpaired")
    x, y = _centred(rows), _centred(targets)
    best: tuple[Float64Array, float, float] | None = None
    for _ in range(tries):
        matchings = _matchings(x, y, clusters, runs, restarts, rng)
        rotation, mutual = _best_end(x, y, matchings, rounds, rng)
        if best is None or mutual > best[2]:
            best = rotation, matchings[0][0], mutual
        if best[2] >= _CONFIRMED:
            break
    if best is None:  # pragma: no cover - there is at least one try
        raise InvalidInput("fit_unpaired", "at least one try", "none")
    return Unpaired(_as_procrustes(rows, targets, best[0]), best[1], best[2])


def _different(rows: FloatArray) -> int:
    """How many rows differ, of as many as are looked at at once: copies make no cluster."""
    return len(np.unique(rows[:: -(-len(rows) // (2 * _SAMPLE)) or 1], axis=0))


def _centred(rows: FloatArray) -> FloatArray:
    return unit_rows((rows - rows.mean(axis=0, dtype=np.float64)).astype(np.float32))


def _some(rows: FloatArray, most: int, rng: np.random.Generator) -> FloatArray:
    return rows[rng.permutation(len(rows))[:most]]


def _centres(rows: FloatArray, count: int, runs: int, rng: np.random.Generator) -> list[FloatArray]:
    """Unit centres of clusters, for each run on rows and from a start of its own."""
    found = []
    for _ in range(runs):
        means = KMeans(count, n_init=3, random_state=int(rng.integers(2**31)))
        found.append(unit_rows(means.fit(_some(rows, 2 * _SAMPLE, rng)).cluster_centers_))
    return found


_Matching = tuple[float, FloatArray, FloatArray]


def _matchings(
    x: FloatArray,
    y: FloatArray,
    clusters: int,
    runs: int,
    restarts: int,
    rng: np.random.Generator,
) -> list[_Matching]:
    """Correlation and matched centres of each run here with each run there, best first."""
    a, b = (_centres(rows, clusters, runs, rng) for rows in (x, y))
    found = [_matching(one, other, restarts, rng) for one in a for other in b]
    return sorted(found, key=lambda matching: -matching[0])


def _best_end(
    x: FloatArray,
    y: FloatArray,
    matchings: list[_Matching],
    rounds: int,
    rng: np.random.Generator,
) -> tuple[Float64Array, float]:
    """The rotation, of those that several starts come to, with most mutual neighbours."""
    ends: list[Float64Array] = []
    for kept in _KEPT:
        rotation = _rounds(x, y, _start(x, y, matchings[:kept], rng), rounds, rng)
        ends += [rotation, _fine(x, y, rotation, rng), _both_ways(x, y, rotation, rng)]
    seen = _some(x, _SAMPLE, rng), _some(y, _SAMPLE, rng)
    shares = [_mutual(*seen, rotation)[2] for rotation in ends]
    best = int(np.argmax(shares))
    return ends[best], shares[best]


def _matching(a: FloatArray, b: FloatArray, restarts: int, rng: np.random.Generator) -> _Matching:
    grams = a.astype(np.float64) @ a.T, b.astype(np.float64) @ b.T
    options = {"maximize": True, "P0": "randomized", "rng": rng}
    tried = [quadratic_assignment(*grams, method="faq", options=options) for _ in range(restarts)]
    order = max(tried, key=lambda found: found.fun).col_ind
    guess = np.column_stack([np.arange(len(a)), order])
    polish = {"maximize": True, "partial_guess": guess, "rng": rng}
    order = quadratic_assignment(*grams, method="2opt", options=polish).col_ind
    upper = np.triu_indices(len(a), 1)
    there = grams[1][np.ix_(order, order)][upper]
    return float(np.corrcoef(grams[0][upper], there)[0, 1]), a, b[order]


def _start(
    x: FloatArray, y: FloatArray, matchings: list[_Matching], rng: np.random.Generator
) -> Float64Array:
    """The rotation to the means of the rows that are as like the matched centres."""
    x, y = _some(x, _SAMPLE, rng), _some(y, 2 * _SAMPLE, rng)
    here = unit_rows(x @ np.vstack([matching[1] for matching in matchings]).T)
    there = unit_rows(y @ np.vstack([matching[2] for matching in matchings]).T)
    return nearest_rotation(_products(x, _means(here, there, y)))[0]


def _means(asking: FloatArray, stored: FloatArray, values: FloatArray) -> FloatArray:
    """For each asking row the mean value of the stored rows nearest to it."""
    out = np.empty((len(asking), values.shape[1]), dtype=np.float32)
    k = min(_NEAREST, len(stored) - 1)
    for start in range(0, len(asking), _ROUND):
        table = asking[start : start + _ROUND] @ stored.T
        nearest = np.argpartition(-table, k, axis=1)[:, :k]
        out[start : start + _ROUND] = values[nearest].mean(axis=1)
    return out


def _products(x: FloatArray, y: FloatArray) -> Float64Array:
    return x.T.astype(np.float64) @ y


def _turned(x: FloatArray, rotation: Float64Array) -> FloatArray:
    return x @ rotation.astype(np.float32)


def _rounds(
    x: FloatArray, y: FloatArray, rotation: Float64Array, rounds: int, rng: np.random.Generator
) -> Float64Array:
    stored = _some(y, 2 * _SAMPLE, rng)
    for _ in range(rounds):
        rows = _some(x, _ROUND, rng)
        targets = _means(_turned(rows, rotation), stored, stored)
        step = nearest_rotation(_products(rows, targets))[0]
        rotation = nearest_rotation(0.5 * rotation + 0.5 * step)[0]
    return rotation


def _fine(
    x: FloatArray, y: FloatArray, rotation: Float64Array, rng: np.random.Generator
) -> Float64Array:
    """The rotation between centres of many clusters, started here by those mapped from there."""
    x, y = _some(x, 2 * _SAMPLE, rng), _some(y, 2 * _SAMPLE, rng)
    count = min(_FINE, len(x) // 4, len(y) // 4)
    here = KMeans(count, n_init=1, max_iter=20, random_state=int(rng.integers(2**31))).fit(x)
    centres = here.cluster_centers_.astype(np.float32)
    there = KMeans(count, init=_turned(centres, rotation), n_init=1, max_iter=20).fit(y)
    return nearest_rotation(_products(centres, there.cluster_centers_))[0]


def _both_ways(
    x: FloatArray, y: FloatArray, rotation: Float64Array, rng: np.random.Generator
) -> Float64Array:
    """The rotation between rows that are nearest to each other both ways, in rounds."""
    x, y = _some(x, _SAMPLE, rng), _some(y, _SAMPLE, rng)
    last = -1.0
    for _ in range(_BOTH_WAYS):
        here, there, share = _mutual(x, y, rotation)
        if share <= last:
            break
        last, rotation = share, nearest_rotation(_products(x[here], y[there]))[0]
    return rotation


def _mutual(x: FloatArray, y: FloatArray, rotation: Float64Array) -> tuple[Any, Any, float]:
    """Rows that are nearest to each other both ways, and their share of the fewer rows."""
    table = _turned(x, rotation) @ y.T
    there, back = table.argmax(axis=1), table.argmax(axis=0)
    here = np.flatnonzero(back[there] == np.arange(len(x)))
    return here, there[here], len(here) / min(len(x), len(y))


def _as_procrustes(X: FloatArray, Y: FloatArray, rotation: Float64Array) -> Procrustes:
    mean_x, mean_y = X.mean(axis=0, dtype=np.float64), Y.mean(axis=0, dtype=np.float64)
    # Lengths along the directions that both spaces have; the narrower one has no others.
    spread_x = squared_norms((X - mean_x) @ rotation).mean()
    spread_y = squared_norms((Y - mean_y) @ rotation.T).mean()
    scale = float(np.sqrt(spread_y / spread_x)) if spread_x > 0 and spread_y > 0 else 1.0
    weight, bias = fold(scale * rotation, mean_x, mean_y)
    state = {
        "dims_": np.array([X.shape[1], Y.shape[1]]),
        "weight_": weight,
        "bias_": bias,
        "mean_source_": mean_x,
        "mean_target_": mean_y,
        "scale_": np.array([scale]),
    }
    return Procrustes(scale=True).set_state(state)
