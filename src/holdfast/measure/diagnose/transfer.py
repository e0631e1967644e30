"""Transfer: how much of one space a straight map brings out of the other.

For each direction of the new space, the part of its variance that a linear reader of the old
vectors explains on rows it was not fitted on. One minus that is what is truly new, and what
only re-embedding brings. It bounds what a straight bridge can do; it is not recall, and does
not say how many answers are won: it stands beside `bridged/old`, never instead of it.

Source: Fel et al. 2024 (arXiv 2407.06076), after V-information (Xu et al. 2020) of linear
readers with Gaussian noise: I_V(x -> z) = R^2 of z. Departs from it: the old space stands for
the earlier layers; directions are principal ones, not atoms of a factorisation; R^2 is held out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...arrays import Vectors
from ...errors import InvalidInput
from ..finding import Finding
from ..interval import LEVEL, RESAMPLES, Floats, Interval, bootstrap_of
from . import CELL

THIN = 5.0  # fewer pairs a dimension leave a straight map badly determined
ROWS = 2_000  # pairs that are looked at, at most
LEAST = 20  # fewer say nothing
_FOLDS = 4
_STRENGTHS = np.logspace(-7.0, 2.0, 10)  # of the penalty, times the mean spread of a coordinate
_NO_SPREAD = 1e-5  # of the largest direction's: the rounding of float32 rows
_SHOWN = 5  # directions at either end that the note tells


@dataclass(frozen=True, slots=True, eq=False)
class Transfer:
    """What crosses between two spaces.

    Args:
        there: Held-out R^2 of the new vectors from the old ones, over all variance.
        back: Of the old vectors from the new ones.
        profile: R^2 of each principal direction along which new vectors differ at all, largest
            first.
        pairs: Behind it.
        dim: Of the old space, which the way there reads.
    """

    there: Interval
    back: Interval
    profile: Floats
    pairs: int
    dim: int

    @property
    def fall(self) -> float:
        """Rank correlation of a direction's place and its R^2: -1 where fine detail is lost."""
        places = np.arange(len(self.profile), dtype=np.float64)
        ranks = np.argsort(np.argsort(self.profile)).astype(np.float64)
        return float(np.corrcoef(places, ranks)[0, 1]) if len(places) > 1 else 0.0

    @property
    def thin(self) -> bool:
        """Whether there were fewer than five pairs a dimension: R^2 is then too low."""
        return self.pairs < THIN * self.dim

    def findings(self) -> list[Finding]:
        """Both directions, not yet judged."""
        few = f"; {self.pairs / self.dim:.1f} pairs a dimension are few, so it is too low"
        first, last = self.profile[:_SHOWN], self.profile[-_SHOWN:]
        profile = (
            f"largest directions {_row(first)}, smallest {_row(last)}; what a straight bridge "
            f"could carry, not recall{few if self.thin else ''}"
        )
        return [
            Finding.of("R2 of new from old", CELL, self.there, note=profile),
            Finding.of("R2 of old from new", CELL, self.back, note="what the new space keeps"),
        ]


def _row(values: Floats) -> str:
    return " ".join(f"{value:.2f}" for value in values)


def transfer(
    old: Vectors, new: Vectors, level: float = LEVEL, resamples: int = RESAMPLES, seed: int = 0
) -> Transfer:
    """Read each space from the other.

    Args:
        old: n rows of the old space.
        new: The same items in the new one.
        level: See `bootstrap`.
        resamples: See `bootstrap`.
        seed: Of the rows that are looked at, the folds and the interval.
    Raises:
        InvalidInput: Two different numbers of rows, or fewer than 20.
    """
    if len(old) != len(new) or len(old) < LEAST:
        raise InvalidInput(
            "transfer", f"the same {LEAST} items or more in both", f"{len(old)} and {len(new)}"
        )
    kept = np.random.default_rng(seed).permutation(len(old))[:ROWS]
    before, after = (rows.array[kept].astype(np.float64) for rows in (old, new))
    missed, spread = _missed(before, after)
    sizes, axes = np.linalg.svd(after - after.mean(axis=0), full_matrices=False)[1:]
    axes = axes[sizes > _NO_SPREAD * max(sizes[0], 1e-300)].T
    profile = 1.0 - _ratio(((missed @ axes) ** 2).sum(axis=0), ((spread @ axes) ** 2).sum(axis=0))
    there, back = (
        _whole(*found, level, resamples, seed)
        for found in ((missed, spread), _missed(after, before))
    )
    return Transfer(there, back, profile, len(kept), old.space.dim)


def _missed(source: Floats, target: Floats) -> tuple[Floats, Floats]:
    """(n, d) what readers fitted on the other folds miss, and what the mean alone does."""
    from sklearn.linear_model import RidgeCV

    scale = float(source.var(axis=0).mean()) or 1.0
    missed, spread = np.empty_like(target), np.empty_like(target)
    for fold in range(_FOLDS):  # rows were shuffled
        held = np.arange(len(source)) % _FOLDS == fold
        strengths = _STRENGTHS * scale * float((~held).sum())
        reader = RidgeCV(strengths).fit(source[~held], target[~held])
        missed[held] = target[held] - reader.predict(source[held]).reshape(-1, target.shape[1])
        spread[held] = target[held] - target[~held].mean(axis=0)
    return missed, spread


def _whole(missed: Floats, spread: Floats, level: float, resamples: int, seed: int) -> Interval:
    table = np.stack([(missed**2).sum(axis=1), (spread**2).sum(axis=1)])
    return bootstrap_of(lambda m: 1.0 - _ratio(m[:, 0], m[:, 1]), table, level, resamples, seed)


def _ratio(part: Floats, whole: Floats) -> Floats:
    out: Floats = part / np.where(whole > 0.0, whole, 1.0)
    return out
