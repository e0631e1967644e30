"""Cross-entropy, smoothed or with a margin, against angles worked out one by one."""

from __future__ import annotations

import math

import pytest

from holdfast.errors import InvalidInput

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.train.losses.classification import Classification, with_margin  # noqa: E402
from tests.train.losses.draws import LABELS, batch, cross_entropy, mean, number  # noqa: E402


@pytest.mark.parametrize(("smoothing", "scale"), [(0.0, 1.0), (0.1, 1.0), (0.2, 3.0)])
def test_against_a_loop(smoothing, scale):
    given = batch()
    rows = (scale * given.logits).tolist()
    expected = mean(cross_entropy(row, y, smoothing) for row, y in zip(rows, LABELS, strict=True))
    assert number(Classification(smoothing, 0.0, scale)(given)) == pytest.approx(expected)


def test_the_margin_widens_the_angle():
    cosines = torch.tensor([[0.9, 0.1], [0.2, -0.7], [0.5, -0.999]], dtype=torch.float64)
    got = with_margin(cosines, torch.tensor([0, 1, 1]), 0.5)
    for row, (given, label) in enumerate(zip(cosines.tolist(), [0, 1, 1], strict=True)):
        angle = math.acos(given[label])
        expected = (
            math.cos(angle + 0.5) if angle + 0.5 < math.pi else given[label] - 0.5 * math.sin(0.5)
        )
        assert float(got[row, label]) == pytest.approx(expected)
        assert float(got[row, 1 - label]) == given[1 - label]


def test_the_margin_has_a_finite_slope_at_its_class():
    cosines = torch.tensor([[1.0, -1.0]], dtype=torch.float64, requires_grad=True)
    with_margin(cosines, torch.tensor([0]), 0.5).sum().backward()
    assert bool(torch.isfinite(cosines.grad).all())


def test_a_margin_makes_the_loss_larger():
    given = batch(logits=batch().logits.tanh())
    assert number(Classification(margin=0.3)(given)) > number(Classification()(given)) + 0.05


@pytest.mark.parametrize(("field", "value"), [("smoothing", 1.0), ("margin", 2.0), ("scale", 0.0)])
def test_what_makes_no_sense_is_refused(field, value):
    with pytest.raises(InvalidInput, match="smoothing in"):
        Classification(**{field: value})
