"""Our aligners keep the contract, and the contract catches what breaks it."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator

from holdfast.align.base import Promises
from holdfast.align.check import (
    CHECKS,
    check_batches,
    check_constructor,
    check_form,
    check_inputs,
    check_orthogonal,
    check_recovers,
    check_refuses,
    check_repeatable,
    check_scikit_learn,
    check_state,
    check_unfitted,
    check_way_back,
)
from holdfast.align.diagonal import Diagonal
from holdfast.align.drift import MeanDrift
from holdfast.align.linear import Ridge
from holdfast.align.orthogonal import Orthogonal
from holdfast.align.procrustes import Procrustes
from holdfast.align.registry import ALIGNERS, aligner_class
from holdfast.errors import ContractBroken, InvalidInput

ALL = [
    *(aligner_class(name)() for name in ALIGNERS),
    Procrustes(center=False),
    Procrustes(scale=True),
    Ridge(criterion="squared", grid=(1e-6,)),
    Diagonal(after="nothing"),
    Diagonal(after="ridge"),
    Orthogonal(tolerance=0.5),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("aligner", ALL, ids=repr)
def test_contract(aligner, check):
    check(aligner)


class ForgetsTheMean(Ridge):
    def _map(self, X):
        return X @ self.weight_


class AlmostTurns(Procrustes):
    def _fit(self, X, Y, y):
        super()._fit(X, Y, y)
        self.weight_ = (
            self.weight_ * np.linspace(0.99, 1.01, len(self.weight_), dtype="f4")[:, None]
        )


class WrongWayBack(Procrustes):
    def inverse(self):
        back = super().inverse()
        back.bias_ = np.zeros_like(back.bias_)
        return back


class HasAWayBackAfterAll(Ridge):
    def inverse(self):
        return self


class CentresEachBatch(Procrustes):
    def _map(self, X):
        return super()._map(X - X.mean(axis=0) + self.mean_source_.astype("f4"))


class DependsOnOrder(Procrustes):
    def _map(self, X):
        return np.sort(super()._map(X), axis=0)


class AnswersDoubles(Procrustes):
    def _map(self, X):
        return super()._map(X).astype(np.float64)


class AnswersFortranOrder(Procrustes):
    def _map(self, X):
        return np.asfortranarray(super()._map(X))


class ConvertsArguments(Ridge):
    def __init__(self, grid=(0.1, 1.0)):
        super().__init__(grid=[*grid])


class LearnsInTheConstructor(Procrustes):
    def __init__(self, center=True, scale=False):
        super().__init__(center, scale)
        self.cache = {}


class RoundsItsState(Procrustes):
    def get_state(self):
        state = super().get_state()
        return state | {"weight_": state["weight_"].astype("f2").astype("f4")}


class LendsItsState(Procrustes):
    def get_state(self):
        state = super().get_state()
        return state | {name: getattr(self, name) for name in ("weight_", "bias_")}


class TakesAnyState(Procrustes):
    def set_state(self, state):
        full = super().get_state() if hasattr(self, "weight_") else {}
        return super().set_state({**full, **state})


class MapsBeforeFit(Procrustes):
    def transform(self, X):
        return super().transform(X) if hasattr(self, "weight_") else np.asarray(X, "f4")


class SwallowsNaN(Procrustes):
    def transform(self, X):
        return super().transform(np.nan_to_num(X))


class ForgetsOnRefusal(Procrustes):
    def fit(self, X, Y=None, y=None):
        self.__dict__ = dict(self.get_params())
        return super().fit(X, Y, y)


class TakesAnyWidth(Procrustes):
    @property
    def promises(self):
        return Promises(recovers="rotation", orthogonal=True, same_dim=True)


class MovesHalfWay(MeanDrift):
    def _map(self, X):
        return X + 0.5 * (super()._map(X) - X)


class WritesToItsInput(Procrustes):
    def _fit(self, X, Y, y):
        super()._fit(X, Y, y)
        X -= X.mean(axis=0)


class NeedsWritableRows(Procrustes):
    def _map(self, X):
        if not X.flags.writeable:
            raise InvalidInput("NeedsWritableRows", "writable rows", "read-only ones")
        return super()._map(X)


class DrawsWithoutSeed(Procrustes):
    def _fit(self, X, Y, y):
        rows = np.random.default_rng().permutation(len(X))[: len(X) - 5]
        super()._fit(X[rows], Y[rows], y)


class FitReturnsNothingUseful(Procrustes):
    def fit(self, X, Y=None, y=None):
        super().fit(X, Y, y)
        return Procrustes().fit(X, Y, y)


class PromisesTooMuch(Procrustes):
    @property
    def promises(self):
        return Promises(recovers="affine", tolerance=1e-4, orthogonal=True)


SABOTEURS = [
    (ForgetsTheMean, check_recovers),
    (PromisesTooMuch, check_recovers),
    (MovesHalfWay, check_recovers),
    (AlmostTurns, check_orthogonal),
    (WrongWayBack, check_way_back),
    (HasAWayBackAfterAll, check_way_back),
    (CentresEachBatch, check_batches),
    (DependsOnOrder, check_batches),
    (AnswersDoubles, check_form),
    (AnswersFortranOrder, check_form),
    (ConvertsArguments, check_constructor),
    (LearnsInTheConstructor, check_constructor),
    (RoundsItsState, check_state),
    (LendsItsState, check_state),
    (TakesAnyState, check_state),
    (MapsBeforeFit, check_unfitted),
    (SwallowsNaN, check_refuses),
    (ForgetsOnRefusal, check_refuses),
    (TakesAnyWidth, check_refuses),
    (WritesToItsInput, check_inputs),
    (DrawsWithoutSeed, check_repeatable),
    (FitReturnsNothingUseful, check_scikit_learn),
]


@pytest.mark.parametrize(("saboteur", "check"), SABOTEURS, ids=lambda value: value.__name__)
def test_saboteurs_are_caught(saboteur, check):
    with pytest.raises(ContractBroken):
        check(saboteur())


def test_read_only_rows_must_serve():
    with pytest.raises(InvalidInput, match="read-only"):
        check_inputs(NeedsWritableRows())


def test_every_check_has_a_saboteur():
    assert {check for _, check in SABOTEURS} == set(CHECKS)


def test_names_in_the_registry_are_those_of_the_classes():
    assert {name: aligner_class(name).name for name in ALIGNERS} == {n: n for n in ALIGNERS}
    assert all(issubclass(aligner_class(name), BaseEstimator) for name in ALIGNERS)


def test_an_unknown_aligner_is_refused_by_name():
    with pytest.raises(InvalidInput, match=r"one of .*procrustes.*got 'magic'"):
        aligner_class("magic")
