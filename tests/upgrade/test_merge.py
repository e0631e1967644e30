"""Merging: values against plain loops, and the contract of every mode."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import ConfigError
from holdfast.hits import Hits, merge
from holdfast.upgrade.merge import CALIBRATORS, Quantile, ScoreSample, ZScore, by_rank, calibrator

RNG = np.random.default_rng(0)


def sample(queries: int = 3, size: int = 64) -> ScoreSample:
    old = RNG.normal(0.2, 0.1, (queries, size)).astype(np.float32)
    new = (2.0 * old + RNG.normal(0, 0.05, old.shape)).astype(np.float32)
    return ScoreSample(old, new)


def test_zscore_is_the_textbook_formula():
    given_ = sample()
    scores = RNG.normal(0.3, 0.1, (3, 5)).astype(np.float32)
    got = ZScore().fit(given_)(scores, given_)
    for q in range(3):
        old, new = given_.old[q].tolist(), given_.new[q].tolist()
        mean_old, mean_new = sum(old) / len(old), sum(new) / len(new)
        sd_old = (sum((v - mean_old) ** 2 for v in old) / len(old)) ** 0.5
        sd_new = (sum((v - mean_new) ** 2 for v in new) / len(new)) ** 0.5
        for j in range(5):
            expected = (float(scores[q, j]) - mean_old) / sd_old * sd_new + mean_new
            assert got[q, j] == pytest.approx(expected, abs=1e-5)


def test_one_query_alone_is_mapped_as_in_a_batch():
    whole = sample(queries=4)
    flat = ScoreSample(np.full((4, 64), 0.25, dtype=np.float32), whole.new)  # without spread
    scores = RNG.normal(0.3, 0.1, (4, 5)).astype(np.float32)
    for given_ in (whole, flat):
        together = ZScore().fit(given_)(scores, given_)
        for i in range(4):
            one = ScoreSample(given_.old[i : i + 1], given_.new[i : i + 1])
            alone = ZScore().fit(one)(scores[i : i + 1], one)
            assert alone.dtype == np.float32
            np.testing.assert_allclose(alone[0], together[i], rtol=1e-6)


@pytest.mark.parametrize("name", CALIBRATORS)
def test_no_query_is_mapped_to_no_answer(name):
    scores, none = np.zeros((0, 5), dtype=np.float32), np.zeros((0, 64), dtype=np.float32)
    mapped = calibrator(name).fit(sample())(scores, ScoreSample(none, none))
    assert (mapped.shape, mapped.dtype) == ((0, 5), np.float32)


def test_quantile_finds_a_planted_monotone_map():
    old = np.random.default_rng(1).normal(size=(200, 256)).astype(np.float32)
    new = np.sign(old) * np.abs(old) ** 1.5  # same order, another shape
    given_ = ScoreSample(old, new.astype(np.float32))
    mapped = Quantile().fit(given_)(old[:20], ScoreSample(old[:20], given_.new[:20]))
    error = np.abs(mapped - new[:20])[np.abs(old[:20]) < 2]
    plain = ZScore()(old[:20], ScoreSample(old[:20], given_.new[:20]))
    assert np.median(error) < 0.05
    assert np.median(error) < 0.5 * np.median(np.abs(plain - new[:20])[np.abs(old[:20]) < 2])


def test_ten_times_the_scale_of_one_side_changes_no_calibrated_merge():
    # Verification target 7 of the literature: raw merging is wrecked, calibrated is not.
    given_ = sample(1)
    old = Hits.of([[(f"o{i}", s) for i, s in enumerate(sorted(given_.old[0], reverse=True)[:9])]])
    new = Hits.of([[(f"n{i}", s) for i, s in enumerate(sorted(given_.new[0], reverse=True)[:9])]])
    for name in CALIBRATORS:
        answers, raw = [], []
        for factor in (1.0, 10.0):
            scaled = ScoreSample(given_.old * factor, given_.new)
            scores = (old.scores * factor).astype(np.float32)
            mapped = calibrator(name).fit(scaled)(scores, scaled)
            answers.append(merge(new, Hits(old.ids, mapped), 10).ids.tolist())
            raw.append(merge(new, Hits(old.ids, scores), 10).ids.tolist())
        assert answers[0] == answers[1]
        assert raw[0] != raw[1]


@given(
    st.sampled_from(sorted(CALIBRATORS)),
    st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=30, unique=True),
    st.integers(0, 10),
)
def test_calibrators_never_change_an_order_nor_make_ties(name, values, seed):
    rng = np.random.default_rng(seed)
    given_ = ScoreSample(
        rng.choice([0.1, 0.2, 0.7], (1, 40)).astype(np.float32),
        rng.normal(size=(1, 40)).astype(np.float32),
    )
    ordered = np.array([sorted(values)], dtype=np.float32)
    apart = np.diff(ordered[0]) > 1e-4  # closer ones may fall together by rounding
    mapped = calibrator(name).fit(given_)(ordered, given_)
    steps = np.diff(mapped[0])
    assert (steps >= 0).all()
    assert (steps[apart] > 0).all()


@pytest.mark.parametrize("name", sorted(CALIBRATORS))
def test_a_constant_sample_does_not_divide_by_zero(name):
    flat = ScoreSample(np.full((1, 9), 0.5, np.float32), np.full((1, 9), 0.25, np.float32))
    mapped = calibrator(name).fit(flat)(np.array([[0.5, 0.6]], np.float32), flat)
    assert mapped[0, 0] == pytest.approx(0.25)
    assert mapped[0, 1] > mapped[0, 0]


@pytest.mark.parametrize("name", sorted(CALIBRATORS))
@pytest.mark.parametrize("queries", [1, 3])
@pytest.mark.parametrize("noise", [0.0, 3e-8])  # as rounding leaves of equal scores
@pytest.mark.parametrize("flat", ["old", "new"])
def test_a_side_whose_sample_scores_are_equal_moves_scores_and_does_not_stretch_them(
    name, queries, noise, flat
):
    """Stretched to a spread of one, every old cosine would be above or below every new one."""
    spread = np.linspace(0.1, 0.3, 65, dtype=np.float32)[None].repeat(queries, axis=0)
    equal = (0.5 + noise * RNG.choice([-1.0, 1.0], spread.shape)).astype(np.float32)
    given_ = ScoreSample(spread, equal) if flat == "new" else ScoreSample(equal, spread)
    shift = 0.3 if flat == "new" else -0.3
    scores = np.array([[0.7, 0.5, 0.3, 0.2, 0.1]], dtype=np.float32).repeat(queries, axis=0)
    mapped = calibrator(name).fit(given_)(scores, given_)
    assert (np.diff(mapped, axis=1) < 0.0).all()
    if name == "zscore":  # the shape that the other one learns of equal scores is a flat one
        np.testing.assert_allclose(mapped, scores + shift, atol=1e-6)
    assert np.abs(mapped - mapped[:, :1]).max() <= 0.6 + 1e-6
    old, new = Hits.of([[("o0", 0.25), ("o1", 0.2)]]), Hits.of([[("n0", 0.52), ("n1", 0.5)]])
    if flat == "new" and name == "zscore" and queries == 1:
        moved = calibrator(name)(old.scores, given_)
        ids = merge(new, Hits(old.ids, moved), 4).ids.tolist()
        assert ids == [["o0", "n0", "n1", "o1"]]


def test_by_rank_takes_half_from_each_side_whatever_the_scores():
    # Why it is not the default: reciprocal rank fusion of disjoint lists interleaves.
    old = Hits.of([[(f"o{i}", 9.0 - i) for i in range(10)]])
    new = Hits.of([[(f"n{i}", 0.1 - i / 100) for i in range(10)]])
    ids = by_rank(old, new, 10).ids[0].tolist()
    assert ids == [f"{side}{i}" for i in range(5) for side in "no"]
    assert by_rank(old, new, 10).scores[0, :2].tolist() == pytest.approx([1 / 61, 1 / 61])


def test_an_unknown_calibrator_is_refused_by_name():
    with pytest.raises(ConfigError, match=r"expected one of quantile, zscore, got 'nope'"):
        calibrator("nope")
