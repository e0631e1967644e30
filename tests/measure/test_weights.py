"""The weight of a mixture: its whole range, and never one that loses to a model alone."""

import numpy as np
import pytest

from holdfast.errors import InvalidInput
from holdfast.measure.weights import choose_weight

WEIGHTS = np.linspace(0.0, 1.0, 21)
RNG = np.random.default_rng(0)


def values(mean, queries=400, noise=0.02):
    """A metric by weight, with a query's own difficulty shared by all weights."""
    hard = RNG.normal(scale=0.2, size=queries)
    return np.array([mean(w) + hard + noise * RNG.normal(size=queries) for w in WEIGHTS])


def test_the_range_holds_every_weight_within_epsilon():
    table = values(lambda w: 0.7 - 0.5 * (w - 0.4) ** 2)
    found = choose_weight(WEIGHTS, table)
    means = table.mean(axis=1)
    good = WEIGHTS[means >= means.max() - 0.01]
    assert (found.low, found.high) == (good.min(), good.max())
    assert found.best == WEIGHTS[means.argmax()]
    assert found.low < 0.4 < found.high
    assert found.value == pytest.approx(means[found.chosen == WEIGHTS][0])
    finding = found.finding("RR", "old to new")
    assert (finding.value, finding.low, finding.high) == (found.best, found.low, found.high)


def test_a_weight_that_the_data_does_not_pin_down_is_left_at_the_simpler_end():
    found = choose_weight(WEIGHTS, values(lambda w: 0.8 - 0.3 * max(0.0, w - 0.1)))
    assert found.low == 0.0
    assert found.chosen == 0.0
    assert choose_weight(WEIGHTS, values(lambda w: 0.5 + 0.2 * w)).chosen == 1.0


def test_no_chosen_weight_loses_to_the_better_model_on_the_queries_kept_back():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        table = rng.random((21, 40))  # nothing but noise
        found = choose_weight(WEIGHTS, table, seed=seed)
        half = np.random.default_rng(seed).permutation(40)[20:]
        judged = table[:, half].mean(axis=1)
        assert judged[found.chosen == WEIGHTS][0] >= max(judged[0], judged[-1])


def test_weights_run_from_one_score_to_the_other():
    with pytest.raises(InvalidInput, match="0 to 1"):
        choose_weight([0.1, 1.0], np.zeros((2, 9)))
    with pytest.raises(InvalidInput, match="rising"):
        choose_weight([0.0, 1.0], np.zeros((3, 9)))
