"""The compatibility matrix: definitions spelled out in loops, and one encoding each."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import DimensionMismatch, InvalidInput
from holdfast.measure.advbct import AdvBCT, Measured
from holdfast.measure.classes import ByClass
from holdfast.measure.comparison import compare
from holdfast.measure.compatibility import Compatibility, compatibility
from holdfast.measure.update_gain import UpdateGain
from holdfast.measure.verification import Pairs, Verification


def slow_summary(c):
    t = len(c)
    below = [(q, g) for q in range(t) for g in range(q)]
    return {
        "ac": sum(c[q][g] > c[g][g] for q, g in below) * 2 / (t * (t - 1)),
        "loose": sum(c[q][g] >= c[g][g] for q, g in below) * 2 / (t * (t - 1)),
        "aa": sum(c[q][g] for q in range(t) for g in range(q + 1)) * 2 / (t * (t + 1)),
        "bc": sum(c[t - 1][g] - c[g][g] for g in range(t - 1)) / (t - 1),
        "fc": sum(c[q][q - 1] - c[q][q] for q in range(1, t)) / (t - 1),
    }


def summary(matrix):
    return {
        "ac": matrix.ac().value,
        "loose": matrix.ac(strict=False).value,
        "aa": matrix.aa().value,
        "bc": matrix.bc().value,
        "fc": matrix.fc().value,
    }


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10_000))
def test_every_figure_equals_its_definition(count, seed):
    table = np.random.default_rng(seed).integers(0, 5, (count, count)) / 4  # with ties
    got = Compatibility.of("NCM", table)
    assert summary(got) == pytest.approx(slow_summary(table.tolist()))
    for models in range(1, count + 1):
        cells = [table[q, g] for q in range(models) for g in range(q + 1)]
        assert got.aa(models).value == pytest.approx(np.mean(cells))
        assert got.aa_curve()[models - 1] == got.aa(models)
    for (q, g), one in got.comparisons().items():
        assert (one.before, one.after) == (table[g, g], table[q, g])
        assert one.outcome == "no difference shown"  # no queries, nothing shown
    assert got.shown() is None


def per_query(seed=0, models=4, queries=200):
    random = np.random.default_rng(seed)
    cells = models * (models + 1) // 2
    hard = random.random(queries)
    return (hard + 0.1 * random.standard_normal((cells, queries)) < 0.6).astype(float)


def test_from_queries_the_values_are_the_means_and_cells_are_paired():
    rows = per_query()
    got = Compatibility.measured("CMC@1", rows)
    assert got.values[np.tril_indices(4)] == pytest.approx(rows.mean(axis=1))
    assert np.isnan(got.values[np.triu_indices(4, 1)]).all()
    assert summary(got) == pytest.approx(summary(Compatibility.of("CMC@1", got.values)))
    order = {place: i for i, place in enumerate(zip(*np.tril_indices(4), strict=True))}
    for (q, g), one in got.comparisons().items():
        want = compare(rows[order[(g, g)]], rows[order[(q, g)]])
        assert (one.difference.value, one.difference.low, one.difference.high) == pytest.approx(
            (want.difference.value, want.difference.low, want.difference.high), abs=1e-12
        )
    assert got.aa().low < got.aa().value < got.aa().high
    better = [c.outcome == "better" for c in got.comparisons().values()]
    assert got.shown() == np.mean(better)


def test_an_interval_of_ac_equals_a_slow_bootstrap():
    rows = per_query(3, models=3, queries=60)
    got = Compatibility.measured("CMC@1", rows).ac()
    random = np.random.default_rng(0)
    drawn = []
    for row in random.integers(0, 60, (2000, 60)):
        c = np.round(rows[:, row].mean(axis=1), 12)
        drawn.append(np.mean([c[1] > c[0], c[3] > c[0], c[4] > c[2]]))
    assert (got.low, got.high) == pytest.approx(tuple(np.quantile(drawn, [0.025, 0.975])), abs=1e-9)


LABELS = np.random.default_rng(0).integers(0, 5, 60)
GALLERY_LABELS = np.random.default_rng(1).integers(0, 5, 80)


def model(seed, noise, dim=6, turn=None):
    """Rows of one model; `turn` makes its space another one."""
    random = np.random.default_rng(seed)
    centres = np.eye(5, dim)
    rows = [
        centres[labels] + noise * random.normal(size=(len(labels), dim))
        for labels in (LABELS, GALLERY_LABELS)
    ]
    return tuple(r if turn is None else r @ turn for r in rows)


def test_cells_are_what_the_measure_says_and_each_model_encodes_once():
    calls = []

    def lazily(number, sides):
        def encode():
            calls.append(number)
            return sides

        return encode

    sides = [model(1, 0.9), model(2, 0.6), model(3, 0.3)]
    measure = ByClass("mAP", LABELS.tolist(), GALLERY_LABELS.tolist())
    got = compatibility([lazily(i, s) for i, s in enumerate(sides)], measure, ["a", "b", "c"])
    assert calls == [0, 1, 2]
    for q, g in itertools.product(range(3), range(3)):
        if g <= q:
            want = measure(sides[q][0], sides[g][1]).mean()
            assert got.values[q, g] == pytest.approx(want)
    assert got.ac().value == 1.0  # better and better models in one space
    assert got.bc().value > 0 > got.fc().value


def test_models_of_unrelated_spaces_are_not_compatible():
    turn = np.linalg.qr(np.random.default_rng(5).normal(size=(6, 6)))[0]
    measure = ByClass("NCM", LABELS.tolist(), GALLERY_LABELS.tolist())
    got = compatibility([model(1, 0.3), model(2, 0.2, turn=turn)], measure)
    assert got.ac().value == 0.0
    found = {f.cell: f for f in got.findings() if f.metric == "change of NCM"}
    assert found["2/1"].verdict == "fail"
    assert [f.metric for f in got.findings()][:4] == [
        "AC of NCM", "AA of NCM", "BC of NCM", "FC of NCM"
    ]  # fmt: skip
    assert "0.00 of the cells" in got.findings()[0].note


def test_a_longer_space_that_extends_the_first_serves_its_gallery():
    random = np.random.default_rng(7)
    old = model(1, 0.5)
    extended = tuple(np.hstack([r, 0.1 * random.normal(size=(len(r), 3))]) for r in old)
    measure = ByClass("CMC@5", LABELS.tolist(), GALLERY_LABELS.tolist())
    got = compatibility([old, extended], measure, extends=True)
    # Zeros at the end change no order: the old ranking, exactly.
    assert got.values[1, 0] == got.values[0, 0]
    assert (got.ac().value, got.ac(strict=False).value) == (0.0, 1.0)
    with pytest.raises(DimensionMismatch, match="extends=True"):
        compatibility([old, extended], measure)


def test_verification_fills_a_matrix_too():
    pairs = Pairs.draw(LABELS.tolist(), 400)
    sides = [(model(s, n)[0], model(s, n)[0]) for s, n in ((1, 0.6), (2, 0.2))]
    got = compatibility(sides, Verification(pairs))
    assert got.metric == "verification accuracy"
    assert got.values[0, 0] < got.values[1, 0] < got.values[1, 1]
    assert got.aa().n == 400


def test_update_gain_is_its_formula_and_absent_without_a_better_model():
    random = np.random.default_rng(0)
    old, cross, best = (random.random(100) + d for d in (0.0, 0.2, 0.5))
    got = UpdateGain.of(old, cross, best)
    want = (cross.mean() - old.mean()) / (best.mean() - old.mean())
    assert got.gain.value == pytest.approx(want)
    assert got.gain.low < want < got.gain.high
    assert got.change == compare(old, cross)
    assert [f.metric for f in got.findings("mAP")] == ["change of mAP", "update gain of mAP"]
    none = UpdateGain.of(old, cross, old)
    assert none.gain is None
    assert len(none.findings("mAP")) == 1
    assert UpdateGain.of(old, best, best).gain.value == pytest.approx(1.0)
    assert UpdateGain.of(old, old, best).gain.value == pytest.approx(0.0)


def test_draws_in_which_the_free_model_is_not_better_say_nothing_of_its_gain():
    random = np.random.default_rng(1)
    old, cross = random.random((2, 50))
    best = old + 0.05 + 0.3 * random.standard_normal(50)
    got = UpdateGain.of(old, cross, best)
    drawn = np.random.default_rng(0).integers(0, 50, (2000, 50))
    room, top = ((x[drawn] - old[drawn]).mean(axis=1) for x in (best, cross))
    assert 0 < (room <= 0).sum() < 1000
    want = np.quantile((top / room)[room > 0], [0.025, 0.975])
    assert (got.gain.low, got.gain.high) == pytest.approx(tuple(want))


def test_advbct_of_queries_has_the_value_of_their_means_and_an_interval():
    random = np.random.default_rng(0)
    sets = [[random.random(80) + d for d in (0.1, 0.2, 0.4, 0.5)] for _ in range(2)]
    got = AdvBCT.of([Measured(*one) for one in sets])
    plain = AdvBCT.of([Measured(*(float(v.mean()) for v in one)) for one in sets])
    for name in ("up", "comp", "both"):
        mine, point = getattr(got, name), getattr(plain, name)
        assert mine.value == pytest.approx(point.value)
        assert mine.low < mine.value < mine.high
        assert (point.low, point.high) == pytest.approx((point.value, point.value))
    assert got.up.n == 160


def test_advbct_refuses_what_has_no_score():
    nothing = Measured(0.3, 0.2, 0.4, 0.1 + 0.2)  # to gain, but for what rounding leaves
    for bad in ([], [Measured(0.4, 0.4, 0.4, 0.4)], [Measured(-0.1, 0.2, 0.3, 0.0)], [nothing]):
        with pytest.raises(InvalidInput, match="AdvBCT"):
            AdvBCT.of(bad)
    with pytest.raises(InvalidInput, match="same queries"):
        AdvBCT.of([Measured([0.1, 0.2], 0.3, 0.4, 0.5)])


def test_what_is_no_matrix_is_refused():
    for bad in ([[0.5]], [[0.1, 0.2]], [0.1, 0.2], [[np.nan, 0], [0.1, 0.2]], [[0.1], [0.1, 0.2]]):
        with pytest.raises(InvalidInput, match="Compatibility"):
            Compatibility.of("NCM", bad)
    with pytest.raises(InvalidInput, match="3, 6, 10"):
        Compatibility.measured("NCM", np.zeros((4, 3)))
    with pytest.raises(InvalidInput, match="2 names"):
        Compatibility.of("NCM", np.eye(2), ["a"])
    with pytest.raises(InvalidInput, match="1 to 2 models"):
        Compatibility.of("NCM", np.eye(2)).aa(3)
    with pytest.raises(InvalidInput, match="2 or more"):
        compatibility([model(1, 0.5)], ByClass("mAP", LABELS.tolist(), GALLERY_LABELS.tolist()))


def test_means_that_differ_in_their_last_bit_are_equal():
    rng = np.random.default_rng(0)
    values = rng.random(300)
    cells = Compatibility.measured("mAP", [rng.permutation(values) for _ in range(15)])
    table = cells.values[np.tril_indices(5)]
    assert len(set(table.tolist())) > 1  # they do differ
    assert cells.ac().value == 0.0
    assert cells.ac(strict=False).value == 1.0


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_a_cell_that_a_draw_may_find_unchanged_is_not_shown_to_be_worse(lost):
    for queries in range(30, 200, 7):
        right = (np.arange(queries) < 0.7 * queries).astype(float)
        worse = np.where(np.arange(queries) < lost, 0.0, right)
        cells = Compatibility.measured("CMC@1", [right, worse, right])
        (one,) = cells.comparisons().values()
        assert one.difference.high == 0.0
        assert one.outcome == "no difference shown"
        assert cells.bc().high == 0.0
