"""The audit of attributes: chance-corrected, blind to row order, and true to its reference."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score

from holdfast.errors import InvalidInput
from holdfast.measure.diagnose.attributes import attributes, information, nearest, votes
from tests.measure.diagnose.worlds import world

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("cells", [2, 20, 200, 1_000])
def test_random_codes_know_nothing_however_many_they_are(cells):
    column, told = RNG.integers(10, size=2_000), RNG.integers(cells, size=2_000)
    assert abs(information(told, column)) < 0.01
    if cells == 1_000:
        assert mutual_info_score(column, told) > 1.4  # uncorrected, chance would look like a lot


def test_the_order_of_rows_does_not_matter():
    made = world(3)
    lang = made.columns["lang"]
    (one,) = attributes(made.old, made.new, {"lang": lang})
    for order in (RNG.permutation(400), np.argsort(lang, kind="stable")):
        rows = made.old.take(order), made.new.take(order)
        (other,) = attributes(*rows, {"lang": lang[order]})
        assert (one.old, one.new) == pytest.approx((other.old, other.new), abs=1e-9)


def test_values_are_those_of_scikit_learn_on_the_votes():
    made = world(4, "loss")
    column = made.columns["lang"]
    (found,) = attributes(made.old, made.new, {"lang": column})
    table = made.old.array @ made.old.array.T
    np.fill_diagonal(table, -np.inf)
    near = np.argsort(-table, axis=1)[:, :5]
    assert np.array_equal(near, nearest(made.old, 5))
    told = []
    for row in column[near].tolist():
        places = {c: [at for at, value in enumerate(row) if value == c] for c in row}
        told.append(
            min(places, key=lambda c, p=places: (-len(p[c]), -sum(1 / (at + 1) for at in p[c])))
        )
    assert votes(column, near).tolist() == told
    assert found.old == pytest.approx(adjusted_mutual_info_score(column, told))
    assert found.change.value == pytest.approx(found.new - found.old)
    assert found.lost
    assert found.change.low < found.change.value < found.change.high


def test_intervals_are_as_wide_as_new_samples_say():
    changes, halves = [], []
    for seed in range(12):
        made = world(100 + seed, "loss", items=300)
        (found,) = attributes(made.old, made.new, {"lang": made.columns["lang"]})
        changes.append(found.change.value)
        halves.append((found.change.high - found.change.low) / 3.92)
    # The spread over worlds holds that of drawing items in one of them.
    assert 0.4 < np.mean(halves) / np.std(changes) < 2.5


def test_columns_belong_to_the_items():
    made = world(5)
    with pytest.raises(InvalidInput, match="values of lang"):
        attributes(made.old, made.new, {"lang": made.columns["lang"][:9]})
