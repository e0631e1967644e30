"""What is known of old classes, against a loop over items."""

from __future__ import annotations

import math

import numpy as np
import pytest

from holdfast.errors import InvalidInput

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.train.losses.advbct import AdvBCT  # noqa: E402
from holdfast.train.losses.prototypes import (  # noqa: E402
    class_floors,
    class_means,
    class_radii,
    credible_rows,
)
from tests.train.losses.draws import cosine, normal, unit  # noqa: E402

ROWS = normal(40, 5, seed=3) + 0.5
LABELS = np.random.default_rng(3).integers(0, 4, size=40)


def test_means_radii_and_floors():
    means = class_means(ROWS, LABELS, 6)
    radii, floors = class_radii(ROWS, LABELS, means), class_floors(ROWS, LABELS, means)
    for c in range(4):
        mine = unit(ROWS[c == LABELS])
        centre = mine.sum(0) / len(mine)
        np.testing.assert_allclose(means[c], centre, atol=1e-12)
        assert np.linalg.norm(centre) < 0.999  # not scaled to length one
        expected = max(np.linalg.norm(row - centre) for row in mine)
        assert float(radii[c]) == pytest.approx(expected)
        assert float(floors[c]) == pytest.approx(min(cosine(row, centre) for row in mine))
    assert not means[4:].any()
    assert radii[4:].tolist() == [0.0, 0.0]
    assert floors[4:].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_the_nearest_of_each_class_are_believed(share):
    got = credible_rows(ROWS, LABELS, 4, share).numpy()
    for c in range(4):
        rows = np.flatnonzero(c == LABELS)
        mine = unit(ROWS[rows])
        distance = [np.linalg.norm(row - mine.mean(0)) for row in mine]
        count = max(1, math.ceil(share * len(rows)))
        expected = np.zeros(len(rows), dtype=bool)
        expected[np.argsort(distance)[:count]] = True
        np.testing.assert_array_equal(got[rows], expected)


def test_any_array_is_read_and_none_is_changed(recwarn):
    """Slices, mapped files and what another machine wrote: torch alone refuses some of them."""
    expected = class_means(ROWS[::-1].copy(), LABELS[::-1].copy(), 6)
    fixed, numbers = ROWS[::-1].copy(), LABELS[::-1].astype(np.uint16)
    fixed.flags.writeable = numbers.flags.writeable = False
    wide = np.repeat(ROWS, 2, axis=1)
    for rows, labels in (
        (ROWS[::-1], LABELS[::-1]),
        (fixed, numbers),
        (ROWS[::-1].astype(">f8"), LABELS[::-1].astype(">i4")),
        (wide[::-1, ::2], LABELS[::-1].tolist()),
        (torch.from_numpy(fixed.copy()).T.contiguous().T, numbers),
    ):
        torch.testing.assert_close(class_means(rows, labels, 6), expected, rtol=1e-12, atol=0)
        radii = class_radii(rows, labels, expected)
        bounds = AdvBCT(expected.numpy()[::-1], radii.numpy()[::-1], known=np.ones(6, bool)[::-1])
        torch.testing.assert_close(bounds.radii.flip(0), radii, rtol=1e-12, atol=0)
    assert not list(recwarn)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InvalidInput, match="classes below 3"):
        class_means(ROWS, LABELS, 3)
    with pytest.raises(InvalidInput, match="40 class numbers from 0"):
        class_means(ROWS, LABELS[:-1], 4)
    with pytest.raises(InvalidInput, match="40 class numbers from 0"):
        class_means(ROWS, LABELS - 1, 4)
    for named in (LABELS.astype(str), list(map(str, LABELS)), [[0], [0, 1]]):
        with pytest.raises(InvalidInput, match="prototypes: expected an array of numbers"):
            class_means(ROWS, named, 4)
    with pytest.raises(InvalidInput, match="class_means: expected an array of numbers"):
        class_means(ROWS.astype(str), LABELS, 4)
    with pytest.raises(InvalidInput, match="finite rows"):
        class_means(np.full((2, 3), np.nan), [0, 1], 4)
    with pytest.raises(InvalidInput, match="a share in"):
        credible_rows(ROWS, LABELS, 4, 0.0)
