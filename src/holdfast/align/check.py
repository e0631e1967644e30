"""The aligner contract in executable form: run it on an aligner of your own.

    import pytest
    from holdfast.align.check import CHECKS

    @pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
    def test_contract(check):
        check(MyAligner())

Each check takes an unfitted aligner and raises `ContractBroken` when it, or one of the
promises it declares, does not hold; an aligner that fails on the way raises its own error.
scikit-learn's own checks are part of it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from sklearn.base import clone

from ..arrays import FloatArray, IntArray
from ..contract import refuses
from ..errors import (
    ContractBroken,
    DimensionMismatch,
    InvalidInput,
    NotFitted,
    NotInvertible,
)
from .base import Aligner

_FLAT = "it passes a flat y, though the tags say that targets are rows"

# Names of scikit-learn's checks that our aligners fail on purpose.
EXPECTED_FAILURES = MappingProxyType(
    {
        "check_dtype_object": "what is no number is refused as InvalidInput, not a TypeError",
        "check_estimators_empty_data_messages": "no columns is refused, in Holdfast's own words",
        "check_n_features_in_after_fitting": "a wrong width is refused, in Holdfast's own words",
        "check_transformer_data_not_an_array": _FLAT,
        "check_transformer_general": _FLAT,
        "check_transformer_preserve_dtypes": _FLAT,
    }
)

# Allow less than one rounding of float32; `check_batches` looks at the same within a few of them.
# Whether they pass depends on the kernel that BLAS takes on a machine.
_ROUNDED = frozenset({"check_methods_sample_order_invariance", "check_methods_subset_invariance"})

_SHAPES = ((8, 12), (12, 12), (12, 8))  # (d_source, d_target), of which the first is usual

# What is found by who: a rotation or an affine map may move as well.
_FOUND = MappingProxyType(
    {
        "nothing": (),
        "translation": ("translation",),
        "rotation": ("translation", "rotation"),
        "affine": ("translation", "rotation", "affine"),
    }
)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Pairs to fit on, with labels for the aligners that need them."""

    X: FloatArray
    Y: FloatArray
    labels: IntArray

    def fit(self, aligner: Aligner) -> Aligner:
        """A fitted clone."""
        return clone(aligner).fit(self.X, self.Y, self.labels)  # type: ignore[no-any-return]


def sample(source: int = 8, target: int = 12, planted: str = "noisy", count: int = 200) -> Sample:
    """Pairs with a spread of lengths, away from the origin.

    Args:
        source: d_source.
        target: d_target.
        planted: "translation", "rotation" or "affine" for targets that follow such a map
            exactly; "noisy" for an affine one with noise.
        count: Pairs.
    """
    rng = np.random.default_rng(1000 * source + target)
    labels = rng.integers(4, size=count)
    X = rng.normal(size=(count, source)) + 0.5 * rng.normal(size=(4, source))[labels]
    weight = rng.normal(size=(source, target))
    if planted == "rotation":
        left, _, right = np.linalg.svd(weight, full_matrices=False)
        weight = left @ right
    if planted == "translation":
        weight = np.eye(source, target)
    Y = X @ weight + rng.normal(size=target)
    if planted == "noisy":
        Y = Y + 0.3 * rng.normal(size=Y.shape)
    return Sample(X.astype(np.float32), Y.astype(np.float32), labels)


def shapes(aligner: Aligner) -> tuple[tuple[int, int], ...]:
    """The dimensions to try it on, the usual ones first."""
    return _SHAPES[1:2] if aligner.promises.same_dim else _SHAPES


def usual(aligner: Aligner, count: int = 200) -> Sample:
    """Noisy pairs of the usual dimensions."""
    return sample(*shapes(aligner)[0], count=count)


def close(what: str, got: Any, expected: Any, tolerance: float) -> None:
    """Arrays must have one shape and differ nowhere by more than the tolerance."""
    if got.shape != expected.shape:
        raise ContractBroken(what, f"shape {expected.shape}", f"shape {got.shape}")
    worst = float(np.max(np.abs(got - expected), initial=0.0))
    if not worst <= tolerance:
        raise ContractBroken(what, f"a difference of at most {tolerance:g}", f"{worst:g}")


def same(what: str, got: Any, expected: Any) -> None:
    """Arrays must be equal, bit for bit."""
    if got.dtype != expected.dtype or got.tobytes() != expected.tobytes():
        raise ContractBroken(what, "the same bits", "others")


def check_recovers(aligner: Aligner) -> None:
    """A map of the promised kind is found again when the pairs follow it exactly."""
    promised = aligner.promises
    for planted in _FOUND[promised.recovers]:
        for source, target in shapes(aligner):
            # A rotation into fewer dimensions is not determined by the pairs.
            if source > target and promised.recovers != "affine":
                continue
            pairs = sample(source, target, planted)
            mapped = pairs.fit(aligner).transform(pairs.X)
            close(f"a planted {planted} {source} to {target}", mapped, pairs.Y, promised.tolerance)


def check_orthogonal(aligner: Aligner) -> None:
    """Where promised, inner products are kept, up to one factor for all."""
    if not aligner.promises.orthogonal:
        return
    for source, target in shapes(aligner)[:2]:
        fitted = sample(source, target).fit(aligner)
        axes = np.vstack([np.zeros(source), np.eye(source)]).astype(np.float32)
        mapped = fitted.transform(axes).astype(np.float64)
        gram = (mapped[1:] - mapped[0]) @ (mapped[1:] - mapped[0]).T
        gram /= np.trace(gram) / source
        close(f"inner products of the axes, {source} to {target}", gram, np.eye(source), 1e-5)


def check_way_back(aligner: Aligner) -> None:
    """The way back undoes the way there, or is refused with the promised reason."""
    if aligner.promises.no_inverse:
        pairs = usual(aligner)
        fitted = pairs.fit(aligner)
        refuses("inverse", NotInvertible, fitted.inverse)
        refuses("inverse_transform", NotInvertible, lambda: fitted.inverse_transform(pairs.Y))
        return
    for source, target in shapes(aligner):
        pairs = sample(source, target)
        fitted = pairs.fit(aligner)
        there = fitted.transform(pairs.X)
        back = fitted.inverse_transform(there)
        same("inverse and inverse_transform", fitted.inverse().transform(there), back)
        if source <= target:
            close(f"there and back, {source} to {target}", back, pairs.X, 1e-4)
        else:
            again = fitted.transform(back)
            close(f"there, back and there, {source} to {target}", again, there, 1e-4)


def check_batches(aligner: Aligner) -> None:
    """A row is mapped alike alone, in any batch and in any order."""
    pairs = usual(aligner, count=5000)
    fitted = pairs.fit(aligner)
    whole = fitted.transform(pairs.X)
    limit = 1e-5 * max(1.0, float(np.abs(whole).max()))
    cuts = [0, 1, 2, 9, 1200, 5000]
    parts = [fitted.transform(pairs.X[a:b]) for a, b in pairwise(cuts)]
    close("rows mapped in batches", np.concatenate(parts), whole, limit)
    order = np.random.default_rng(0).permutation(len(whole))
    close("rows mapped in another order", fitted.transform(pairs.X[order]), whole[order], limit)


def check_form(aligner: Aligner) -> None:
    """The answer is float32 in C order, whatever numbers come in; no rows are fine."""
    pairs = usual(aligner)
    fitted = pairs.fit(aligner)
    ways = [fitted.transform] + ([] if aligner.promises.no_inverse else [fitted.inverse_transform])
    widths = (pairs.Y.shape[1], pairs.X.shape[1])
    for way, rows, width in zip(ways, (pairs.X, pairs.Y), widths, strict=False):
        for values in (rows, rows.astype(np.float64), rows.astype(np.float16), rows[:0]):
            out = way(values)
            form = (type(out), out.dtype, out.shape, out.flags.c_contiguous)
            wanted = (np.ndarray, np.dtype(np.float32), (len(values), width), True)
            if form != wanted:
                raise ContractBroken(f"{way.__name__} of {values.dtype}", repr(wanted), repr(form))
        close("rows in Fortran order", way(np.asfortranarray(rows)), way(rows), 1e-6)


def check_constructor(aligner: Aligner) -> None:
    """The constructor stores its arguments as they came, and does nothing else."""
    params = aligner.get_params(deep=False)
    fresh = type(aligner)(**params)
    if vars(fresh).keys() != params.keys():
        raise ContractBroken("the constructor", f"{sorted(params)}", f"{sorted(vars(fresh))}")
    for name, value in params.items():
        if vars(fresh)[name] is not value:
            raise ContractBroken(f"the argument {name}", "the object given", "another")


def check_state(aligner: Aligner) -> None:
    """State moves to another aligner bit for bit, and unusable state is refused."""
    pairs = usual(aligner)
    fitted = pairs.fit(aligner)
    state = fitted.get_state()
    other = clone(aligner).set_state(state)
    same("rows mapped after set_state", other.transform(pairs.X), fitted.transform(pairs.X))
    again = other.get_state()
    if again.keys() != state.keys():
        raise ContractBroken("get_state after set_state", f"{sorted(state)}", f"{sorted(again)}")
    for name, value in state.items():
        same(f"{name} after set_state", again[name], value)
    before = fitted.transform(pairs.X)
    for value in state.values():
        value[...] = 0
    same("rows mapped after the state was overwritten", fitted.transform(pairs.X), before)
    for name in again:
        lost = {key: value for key, value in again.items() if key != name}
        refuses(f"state without {name}", InvalidInput, lambda bad=lost: other.set_state(bad))  # type: ignore[misc]
    cut = again | {"dims_": again["dims_"] + 1}
    refuses("state of other dimensions", InvalidInput, lambda: other.set_state(cut))
    same("rows mapped after refused states", other.transform(pairs.X), before)


def check_unfitted(aligner: Aligner) -> None:
    """Before `fit` everything that needs it is refused."""
    pairs = usual(aligner)
    new = clone(aligner)
    refuses("transform before fit", NotFitted, lambda: new.transform(pairs.X))
    refuses("inverse_transform before fit", NotFitted, lambda: new.inverse_transform(pairs.Y))
    refuses("inverse before fit", NotFitted, new.inverse)
    refuses("get_state before fit", NotFitted, new.get_state)


def check_refuses(aligner: Aligner) -> None:
    """Unusable rows are refused, and a refused `fit` forgets nothing."""
    pairs = usual(aligner)
    fitted = pairs.fit(aligner)
    before = fitted.transform(pairs.X)
    spoilt = pairs.X.copy()
    spoilt[3, 2] = np.nan
    wide = np.hstack([pairs.X, pairs.X[:, :1]])
    refuses("transform of NaN", InvalidInput, lambda: fitted.transform(spoilt))
    refuses("transform of a wide row", InvalidInput, lambda: fitted.transform(wide))
    refuses("transform of one row", InvalidInput, lambda: fitted.transform(pairs.X[0]))
    for what, X, Y in (
        ("NaN", spoilt, pairs.Y),
        ("infinity in Y", pairs.X, np.full_like(pairs.Y, np.inf)),
        ("a row too few in Y", pairs.X, pairs.Y[:-1]),
        ("no Y", pairs.X, None),
        ("one pair", pairs.X[:1], pairs.Y[:1]),
    ):
        refuses(f"fit of {what}", InvalidInput, lambda X=X, Y=Y: fitted.fit(X, Y, pairs.labels))  # type: ignore[misc]
    if aligner.promises.same_dim:
        narrow = sample(8, 12)
        refuses("two dimensions", DimensionMismatch, lambda: narrow.fit(aligner))
    try:
        after = fitted.transform(pairs.X)
    except NotFitted as lost:
        raise ContractBroken("a refused fit", "the map learned before", "none") from lost
    same("rows mapped after refused fits", after, before)


def check_inputs(aligner: Aligner) -> None:
    """Inputs are never written to; read-only files mapped into memory serve as they are."""
    pairs = usual(aligner)
    X, Y = pairs.X.copy(), pairs.Y.copy()
    fitted = pairs.fit(aligner)
    mapped = fitted.transform(pairs.X)
    if not aligner.promises.no_inverse:
        fitted.inverse_transform(pairs.Y)
    same("X after use", pairs.X, X)
    same("Y after use", pairs.Y, Y)
    with tempfile.TemporaryDirectory() as folder:
        for name, rows in (("x", X), ("y", Y)):
            np.save(Path(folder, name), rows)
        x, y = (np.load(Path(folder, f"{n}.npy"), mmap_mode="r") for n in "xy")
        from_files = Sample(x, y, pairs.labels).fit(aligner)
        same("rows fitted and mapped from files", from_files.transform(x), mapped)
        del x, y, from_files


def check_repeatable(aligner: Aligner) -> None:
    """Fitting twice on the same pairs gives the same bits."""
    pairs = usual(aligner)
    first, second = pairs.fit(aligner).get_state(), pairs.fit(aligner).get_state()
    for name, value in first.items():
        same(f"{name} of a second fit", second[name], value)


def check_scikit_learn(aligner: Aligner) -> None:
    """scikit-learn's own checks pass, but for `EXPECTED_FAILURES`, which must fail.

    Two that look closer than float32 is may do either.
    """
    from sklearn.utils.estimator_checks import check_estimator

    done = check_estimator(
        clone(aligner), expected_failed_checks=dict(EXPECTED_FAILURES), on_skip=None, on_fail=None
    )
    for result in done:
        name, status = result["check_name"], result["status"]
        if name in _ROUNDED and isinstance(result["exception"], AssertionError):
            continue
        if aligner.promises.same_dim and _for_its_width(result["exception"]):
            continue
        if status == "failed":
            raise ContractBroken(name, "scikit-learn's check to pass", repr(result["exception"]))
        if status == "passed" and result["expected_to_fail"]:
            raise ContractBroken(name, "an expected failure", "a pass; take it off the list")


def _for_its_width(cause: BaseException | None) -> bool:
    """Whether a check failed on nothing but targets of another dimension."""
    while cause is not None and not isinstance(cause, DimensionMismatch):
        cause = cause.__cause__ or cause.__context__
    return cause is not None


CHECKS: tuple[Callable[[Aligner], None], ...] = (
    check_recovers,
    check_orthogonal,
    check_way_back,
    check_batches,
    check_form,
    check_constructor,
    check_state,
    check_unfitted,
    check_refuses,
    check_inputs,
    check_repeatable,
    check_scikit_learn,
)
