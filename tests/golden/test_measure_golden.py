"""Published figures that the measures must give back."""

import numpy as np
import pytest

from holdfast.measure.advbct import AdvBCT, Measured
from holdfast.measure.compatibility import Compatibility
from holdfast.measure.curve import Curve, cuts, rule_weights

# NCM in percent on seven models of one chain: queries by the model of the row, gallery by
# that of the column (d-Simplex-HOC, 7 tasks, saved output of the authors' notebook).
HOC = [
    [58.89],
    [59.70, 61.56],
    [63.05, 65.28, 69.31],
    [63.34, 65.30, 70.63, 72.37],
    [65.01, 67.87, 70.75, 72.11, 73.83],
    [64.08, 67.19, 71.17, 72.71, 74.70, 76.19],
    [63.14, 66.35, 72.10, 73.50, 75.23, 76.65, 77.16],
]
HOC_AA = [58.89, 60.05, 62.97, 64.94, 66.60, 67.86, 68.90]


def hoc():
    table = np.zeros((7, 7))
    for t, row in enumerate(HOC):
        table[t, : t + 1] = row
    return Compatibility.of("NCM", table / 100.0)


def test_the_hoc_matrix_has_its_published_summary():
    matrix = hoc()
    assert matrix.ac().value == pytest.approx(20 / 21)
    assert 100 * matrix.aa().value == pytest.approx(68.90, abs=0.005)
    assert 100 * matrix.bc().value == pytest.approx(2.47, abs=0.005)
    assert 100 * matrix.fc().value == pytest.approx(-1.89, abs=0.005)
    assert [100 * one.value for one in matrix.aa_curve()] == pytest.approx(HOC_AA, abs=0.006)
    gains = [c.difference.value for c in matrix.comparisons().values()]
    assert 100 * np.mean(gains) == pytest.approx(2.88, abs=0.005)
    failed = [place for place, c in matrix.comparisons().items() if c.difference.value <= 0]
    assert failed == [(4, 3)]


# mAP in percent on three sets: (o,o), (*,*) of the setting; then (n,n)/(n,o) of each method,
# and its P_up, P_comp, P_1 (AdvBCT's own table). The table was read from a picture. 28 of its
# 30 scores follow from the formulas to the second decimal, once the independent model of the
# second setting has 75.56 on the second set where 76.56 was read; the two of `OFF` do not, and
# look like slips: 53.34 for 53.23, and 56.64 for 56.46.
SETTINGS = {
    "extended data": (
        [(75.45, 81.15), (49.15, 63.85), (10.03, 16.48)],
        {
            "BCT": ([(80.58, 77.37), (56.34, 49.66), (14.61, 11.30)], (48.02, 54.71, 51.13)),
            "LCE": ([(81.57, 77.83), (60.85, 51.35), (16.48, 12.17)], (49.65, 57.41, 53.34)),
            "UniBCT": ([(80.93, 78.30), (57.24, 50.97), (16.06, 13.25)], (48.90, 59.19, 53.52)),
            "Hot-Refresh": (
                [(79.57, 76.53), (58.15, 50.05), (13.88, 10.35)],
                (47.78, 52.50, 50.03),
            ),
            "AdvBCT": ([(82.78, 78.55), (62.13, 52.31), (15.71, 11.49)], (49.55, 58.09, 53.45)),
        },
    ),
    "extended backbone": (
        [(74.29, 87.66), (54.34, 75.56), (11.43, 22.12)],
        {
            "BCT": ([(84.18, 77.12), (68.93, 57.52), (18.85, 13.47)], (47.71, 54.59, 50.91)),
            "LCE": ([(85.77, 77.31), (72.89, 58.95), (20.84, 14.00)], (49.04, 55.67, 52.15)),
            "UniBCT": ([(82.48, 77.33), (66.37, 58.51), (18.91, 13.99)], (47.29, 55.51, 51.06)),
            "Hot-Refresh": (
                [(85.62, 77.29), (73.95, 56.83), (20.47, 12.44)],
                (49.01, 53.63, 51.21),
            ),
            "AdvBCT": ([(86.24, 78.31), (73.93, 60.33), (22.03, 13.54)], (49.65, 56.64, 52.83)),
        },
    ),
}
OFF = {("extended data", "LCE"): 2, ("extended backbone", "AdvBCT"): 1}
ROWS = [(setting, method) for setting, (_, rows) in SETTINGS.items() for method in rows]


@pytest.mark.parametrize(("setting", "method"), ROWS)
def test_the_three_scores_of_advbct(setting, method):
    ends, rows = SETTINGS[setting]
    figures, want = rows[method]
    got = AdvBCT.of(
        [
            Measured(old / 100, cross / 100, new / 100, best / 100)
            for (old, best), (new, cross) in zip(ends, figures, strict=True)
        ]
    )
    found = [100 * part.value for part in (got.up, got.comp, got.both)]
    read = [i for i in range(3) if i != OFF.get((setting, method))]
    assert [found[i] for i in read] == pytest.approx([want[i] for i in read], abs=0.0051)
    assert [f.metric for f in got.findings()] == ["P_up", "P_comp", "P_1"]


def test_fastfill_takes_the_plain_mean_of_22_points():
    # 1,000 items; the cut of point i is floor(i * 1000 / 21).
    want = [0, 47, 95, 142, 190, 238, 285, 333, 380, 428, 476, 523, 571, 619, 666, 714, 761,
            809, 857, 904, 952, 1000]  # fmt: skip
    assert cuts(1000) == want
    shares = [cut / 1000 for cut in want]
    values = np.sqrt(shares)
    mean = Curve.of("mAP", shares, values[:, None] * np.ones(5), rule="mean", resamples=20)
    assert mean.area.value == pytest.approx(sum(values) / 22)
    even = np.linspace(0, 1, 22)
    plain, trapezoid = (float(rule_weights(r, even) @ values) for r in ("mean", "trapezoid"))
    assert trapezoid == pytest.approx((22 * plain - (values[0] + values[-1]) / 2) / 21)
    assert trapezoid == pytest.approx(np.trapezoid(values, even))
