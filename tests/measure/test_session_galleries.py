"""Galleries across sessions, against searches in loops."""

import numpy as np
import pytest

from holdfast.errors import InvalidInput
from holdfast.measure.session_galleries import session_galleries

CLASSES = [3, 2, 2]
ENDS = [3, 5, 7]
RNG = np.random.default_rng(2)
CENTRES = RNG.normal(size=(7, 5))
ASKED, STORED = np.repeat(np.arange(7), 6), np.repeat(np.arange(7), 4)


def rows(labels, turn):
    return (CENTRES[labels] + 0.7 * RNG.normal(size=(len(labels), 5))) @ turn


TURNS = [np.linalg.qr(np.eye(5) + size * RNG.normal(size=(5, 5)))[0] for size in (0.0, 0.4, 0.8)]
MODELS = [(rows(ASKED, turn), rows(STORED, turn)) for turn in TURNS]
FOUND = session_galleries(MODELS, ASKED, STORED, CLASSES)


def unit(row):
    return row / np.linalg.norm(row)


def first_right(query, gallery):
    """Whether the nearest of (row, class) pairs is of the query's class, for each query."""
    return [
        max(gallery, key=lambda pair: float(unit(row) @ unit(pair[0])))[1] == label
        for row, label in query
    ]


def asked(t, end):
    return [(row, label) for row, label in zip(MODELS[t][0], ASKED, strict=True) if label < end]


def stored(s, end):
    return [(row, label) for row, label in zip(MODELS[s][1], STORED, strict=True) if label < end]


@pytest.mark.parametrize("t", range(3))
@pytest.mark.parametrize("s", range(3))
def test_a_cell_is_a_search_of_what_its_gallery_knows(t, s):
    if s > t:
        assert np.isnan(FOUND.values[t, s])
        return
    expected = first_right(asked(t, ENDS[s]), stored(s, ENDS[s]))
    assert FOUND.cross[t, s].tolist() == expected
    assert FOUND.values[t, s] == pytest.approx(np.mean(expected))
    again = first_right(asked(t, ENDS[s]), stored(t, ENDS[s]))
    assert FOUND.own[t, s].tolist() == again


def test_summaries_are_means_over_the_cells_below_the_diagonal():
    below = [(1, 0), (2, 0), (2, 1)]
    mean = {
        (t, s): np.mean(first_right(asked(t, ENDS[s]), stored(s, ENDS[s])))
        for t in range(3)
        for s in range(t + 1)
    }
    own = {(t, s): np.mean(first_right(asked(t, ENDS[s]), stored(t, ENDS[s]))) for t, s in below}
    assert FOUND.kept() == pytest.approx(np.mean([mean[t, s] - mean[s, s] for t, s in below]))
    assert FOUND.missed() == pytest.approx(np.mean([own[t, s] - mean[t, s] for t, s in below]))
    assert FOUND.compatible() == np.mean([mean[t, s] > mean[s, s] for t, s in below])
    assert FOUND.missed() > 0.05  # turning costs something


def test_a_gallery_that_is_never_made_again_has_rows_of_every_session():
    layers = [
        (MODELS[0 if label < 3 else 1 if label < 5 else 2][1][n], label)
        for n, label in enumerate(STORED)
    ]
    expected = first_right(asked(2, 7), layers)
    assert FOUND.grown.tolist() == expected
    one = FOUND.never_made_again()
    assert one.after == pytest.approx(np.mean(expected))
    assert one.before == pytest.approx(FOUND.values[2, 2])


def test_rows_that_stay_lose_nothing():
    still = session_galleries([MODELS[0]] * 3, ASKED, STORED, CLASSES)
    assert still.kept() == still.missed() == still.compatible() == 0.0
    assert still.never_made_again().difference.value == 0.0


def test_findings_judge_each_cell():
    found = FOUND.findings()
    assert [one.cell for one in found] == ["2/1", "3/1", "3/2", "3/grown"]
    assert found[1].value == pytest.approx(FOUND.values[2, 0] - FOUND.values[0, 0])
    assert [one.value for one in FOUND.diagonal()] == pytest.approx(np.diag(FOUND.values))


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InvalidInput, match="rows of 3 sessions"):
        session_galleries(MODELS[:2], ASKED, STORED, CLASSES)
    with pytest.raises(InvalidInput, match="rows of 2 sessions"):
        session_galleries(MODELS[:1], ASKED % 3, STORED % 3, [3])
    with pytest.raises(InvalidInput, match=f"from 0 to {sum(CLASSES) - 1}, got {sum(CLASSES)}"):
        session_galleries(MODELS, ASKED + 1, STORED, CLASSES)
    with pytest.raises(InvalidInput, match="gallery items in every session"):
        session_galleries(MODELS, ASKED[:-1], STORED, CLASSES)
