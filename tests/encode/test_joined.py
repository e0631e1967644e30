"""Two models in one space: the identity of the weights, and the relation to the first."""

import numpy as np
import pytest

from holdfast.arrays import as_vectors
from holdfast.encode.callable import CallableEncoder
from holdfast.encode.check import encoder_checks
from holdfast.encode.joined import JoinedEncoder, joined
from holdfast.encode.registry import open_encoder
from holdfast.errors import ConfigError
from holdfast.space import Space, relation
from tests.cli import toys

ONE, OTHER = Space("one", 16), Space("other", 24)
TEXTS = ["w1 w2", "w2 w3 w4", "w5", "w1 w9"]


def made(weight=0.3):
    return JoinedEncoder(CallableEncoder(ONE, toys.old), CallableEncoder(OTHER, toys.new), weight)


@pytest.mark.parametrize("weight", [0.1, 0.5, 0.8])
def test_a_product_is_the_weighted_mean_of_both_cosines(weight):
    rng = np.random.default_rng(0)
    first = as_vectors(rng.normal(size=(20, 16)), ONE, "test")
    second = as_vectors(rng.normal(size=(20, 24)), OTHER, "test")
    rows = joined(first, second, weight).astype(np.float64)
    a, b = weight**2, (1 - weight) ** 2
    cosines = [v.array.astype(np.float64) @ v.array.astype(np.float64).T for v in (first, second)]
    wanted = (a * cosines[0] + b * cosines[1]) / (a + b)
    np.testing.assert_allclose(rows @ rows.T, wanted, atol=2e-7)


@pytest.mark.parametrize("check", encoder_checks(), ids=str)
def test_contract(check):
    check(made, TEXTS)


def test_it_extends_the_first_model_and_only_it():
    assert relation(made().space, ONE) == "extends"
    assert relation(made().space, OTHER) == "unrelated"
    assert made(0.4).space != made(0.3).space


def test_it_is_opened_by_name():
    one = {"encoder": "python", "function": "tests.cli.toys:old", "dim": 16}
    other = {"encoder": "python", "function": "tests.cli.toys:new", "dim": 24}
    opened = open_encoder("joined", first=one, second=other, weight=0.3)
    rows = opened.encode(TEXTS, "query").array
    np.testing.assert_allclose(rows, made().encode(TEXTS, "query").array, atol=1e-7)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        open_encoder("joined", first=one, second=other, weight=1.0)
    with pytest.raises(ConfigError, match="`encoder`"):
        open_encoder("joined", first={"dim": 3}, second=other)
