"""What an aligner is: fit on paired rows, then map rows of the source to the target.

An aligner knows arrays, not spaces; `bridge.py` adds the spaces and the evidence. It keeps
scikit-learn's manners: the constructor only stores, `fit` learns, what is learned ends in
an underscore, `clone`, `get_params` and pipelines work. A new one writes `_fit` and `_map`
and declares what it learns and promises; `check.py` is the contract in executable form.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from inspect import get_annotations
from numbers import Real
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.exceptions import NotFittedError

from ..arrays import FloatArray
from ..errors import InvalidInput, NotFitted, NotInvertible
from .pairs import as_pairs, as_rows

State = dict[str, npt.NDArray[Any]]
Recovers = Literal["translation", "rotation", "affine", "nothing"]


class NotFittedYet(NotFitted, NotFittedError):  # type: ignore[misc]
    """`NotFitted`, in a form that scikit-learn recognises too."""


@dataclass(frozen=True, slots=True)
class Promises:
    """What an aligner guarantees; `check.py` holds it to that.

    Args:
        recovers: The kind of map, translation included, that it finds when the pairs follow
            one exactly.
        tolerance: Largest error, in any coordinate, of a recovered map.
        orthogonal: Inner products of differences are kept, up to one factor for all, where
            the target has room for it.
        no_inverse: Why there is no way back; empty where `inverse` exists.
        same_dim: Spaces of two dimensions are refused.
    """

    recovers: Recovers = "nothing"
    tolerance: float = 1e-5
    orthogonal: bool = False
    no_inverse: str = ""
    same_dim: bool = False


class Aligner(TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Maps (n, d_source) rows to (n, d_target) rows, learned from pairs.

    Class attributes:
        name: Key in saved files, see `registry.py`.
        learned: Learned attributes by their number of dimensions; 0 is one number.
    """

    name: ClassVar[str]
    learned: ClassVar[Mapping[str, int]]

    @property
    @abstractmethod
    def promises(self) -> Promises:
        """What it guarantees with these arguments."""

    def fit(self, X: Any, Y: Any = None, y: Any = None) -> Self:
        """Learn the map from pairs.

        Args:
            X: (n, d_source) numbers.
            Y: (n, d_target) numbers; row i is the same item as row i of X.
            y: (n,) labels, for the methods that need them.
        Raises:
            InvalidInput: Or one of its kinds; nothing has been learned or forgotten then.
        """
        rows, targets = as_pairs(X, Y, type(self).__name__)
        self._check_numbers()
        self._fit(rows, targets, y)
        self.n_features_in_ = rows.shape[1]
        self.n_features_out_ = targets.shape[1]
        return self

    def _check_numbers(self) -> None:
        """Refuse what is no number where one is asked for; of what size says each method."""
        for name, kind in get_annotations(type(self).__init__).items():
            value = getattr(self, name, None)
            spared = value is None and kind == "float | None"
            if kind in ("float", "float | None") and not spared and not isinstance(value, Real):
                raise InvalidInput(type(self).__name__, f"{name} as a number", repr(value))

    def transform(self, X: Any) -> FloatArray:
        """Map rows.

        Args:
            X: (n, d_source) numbers.
        Returns:
            (n, d_target) float32. Not normalised.
        Raises:
            NotFitted: Before `fit`.
            InvalidInput: Rows of another length, NaN or infinity.
        """
        self._check_fitted("transform")
        return self._map(as_rows(X, type(self).__name__, "source", self.n_features_in_))

    def map_checked(self, X: FloatArray) -> FloatArray:
        """As `transform`, for rows that were checked before: float32, finite, of this width."""
        self._check_fitted("transform")
        return self._map(X)

    def inverse_transform(self, Y: Any) -> FloatArray:
        """Map rows of the target back.

        Args:
            Y: (n, d_target) numbers.
        Returns:
            (n, d_source) float32.
        Raises:
            NotFitted: Before `fit`.
            NotInvertible: This kind of map has no way back; the message says why.
        """
        self._check_fitted("inverse_transform")
        return self.inverse().transform(Y)

    def inverse(self) -> Aligner:
        """A fitted aligner for the way back.

        Raises:
            NotFitted: Before `fit`.
            NotInvertible: This kind of map has no way back; the message says why.
        """
        self._check_fitted("inverse")
        raise NotInvertible(
            type(self).__name__,
            "a map with a way back",
            f"one without: {self.promises.no_inverse}",
            "Fit another aligner with X and Y exchanged.",
        )

    def get_state(self) -> State:
        """Everything learned, as arrays; `set_state` gives the same bits back.

        Raises:
            NotFitted: Before `fit`.
        """
        self._check_fitted("get_state")
        sizes: State = {"dims_": np.array([self.n_features_in_, self.n_features_out_])}
        return sizes | {name: np.atleast_1d(getattr(self, name)).copy() for name in self.learned}

    def set_state(self, state: Mapping[str, npt.NDArray[Any]]) -> Self:
        """Take over what `get_state` of an aligner of this kind returned.

        Raises:
            InvalidInput: Other names or shapes, or numbers that make no usable map.
        """
        owner = f"{type(self).__name__}.set_state"
        wanted = {"dims_": 1, **self.learned}
        if set(state) != set(wanted):
            raise InvalidInput(owner, f"{sorted(wanted)}", f"{sorted(state)}")
        for name, ndim in wanted.items():
            value = np.asarray(state[name])
            if value.ndim != max(ndim, 1) or (ndim == 0 and value.size != 1):
                raise InvalidInput(owner, f"{name} of {ndim} dimensions", f"shape {value.shape}")
        if np.shape(state["dims_"]) != (2,):
            raise InvalidInput(owner, "dims_ of 2 numbers", f"shape {np.shape(state['dims_'])}")
        fresh = type(self)(**self.get_params(deep=False))
        fresh._take(state)
        fresh._check_map(owner)
        self._take(state)
        return self

    def _take(self, state: Mapping[str, npt.NDArray[Any]]) -> None:
        source, target = (int(size) for size in state["dims_"])
        self.n_features_in_, self.n_features_out_ = source, target
        for name, ndim in self.learned.items():
            value = np.array(state[name])
            setattr(self, name, value if ndim else value.item())

    def _check_map(self, owner: str) -> None:
        """Map a row there and back: what cannot do that was not written by `get_state`."""
        source, target = self.n_features_in_, self.n_features_out_
        wanted = f"a map from {source} to {target} dimensions"
        try:
            with np.errstate(all="ignore"):
                row = self._map(np.ones((1, source), dtype=np.float32))
                back = None if self.promises.no_inverse else self.inverse()._map(row)
        except (ValueError, ArithmeticError) as cause:
            raise InvalidInput(owner, wanted, f"arrays that do not fit: {cause}") from cause
        if row.shape != (1, target) or not np.isfinite(row).all():
            raise InvalidInput(owner, wanted, f"shape {row.shape}, NaN or infinity")
        if back is not None and (back.shape != (1, source) or not np.isfinite(back).all()):
            raise InvalidInput(owner, wanted, "a way back of another shape, NaN or infinity")

    def _check_fitted(self, method: str) -> None:
        if not hasattr(self, "n_features_in_"):
            name = type(self).__name__
            raise NotFittedYet(
                f"{name}.{method}", "a fitted aligner", "one before fit", "Call fit(X, Y) first."
            )

    @abstractmethod
    def _fit(self, X: FloatArray, Y: FloatArray, y: Any) -> None:
        """Learn from checked rows: set every attribute in `learned`, and nothing else."""

    @abstractmethod
    def _map(self, X: FloatArray) -> FloatArray:
        """Map checked rows to float32; never write to X."""

    def __sklearn_tags__(self) -> Any:
        """Tell scikit-learn: the target is needed and two-dimensional, float32 stays float32."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
