"""Displacement: the extrapolation formula against the infinite sum that it stands for."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import DuplicateIds, InvalidInput
from holdfast.hits import Hits
from holdfast.measure.displacement import churn, displacement, rbo


def hits(*rows, k=None):
    return Hits.of([[(name, -float(i)) for i, name in enumerate(row)] for row in rows], k)


def slow_rbo(one, two, p, depth=3000):
    """Agreement depth by depth; what is not seen goes on as it was seen last."""
    short, long = sorted((one, two), key=len)
    s, n = len(short), len(long)
    if n == 0:
        return 1.0
    if s == 0:
        return 0.0
    total = agreement = 0.0
    at_s = len(set(short) & set(long[:s])) / s
    for d in range(1, depth + 1):
        if d <= s:
            agreement = len(set(short[:d]) & set(long[:d])) / d
        elif d <= n:  # the unseen items of the short list agree like its seen ones did
            agreement = (len(set(short) & set(long[:d])) + at_s * (d - s)) / d
        total += (1 - p) * p ** (d - 1) * agreement
    return total


LISTS = st.lists(st.integers(0, 12).map(str), max_size=9, unique=True)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(LISTS, LISTS), min_size=1, max_size=4), st.sampled_from([0.3, 0.9]))
def test_rbo_is_the_infinite_sum(pairs, p):
    got = rbo(hits(*(a for a, _ in pairs)), hits(*(b for _, b in pairs)), p)
    assert got == pytest.approx([slow_rbo(a, b, p) for a, b in pairs], abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(LISTS, LISTS)
def test_rbo_is_symmetric_and_one_for_equal_lists(one, two):
    a, b = hits(one), hits(two)
    assert rbo(a, b) == pytest.approx(rbo(b, a))
    assert rbo(a, a) == pytest.approx([1.0])
    assert -1e-12 <= rbo(a, b)[0] <= 1 + 1e-12


def test_the_first_ten_ranks_carry_the_published_86_percent():
    # Lists that agree on the first ten and on nothing below, out to where p^d is nothing:
    # W(1:10) at p = 0.9 is 0.8556, which is the sum of the shares 10 / d of deeper agreement.
    d = np.arange(1, 3000)
    known = (0.1 * 0.9 ** (d - 1.0) * np.minimum(1.0, 10.0 / d)).sum()
    top = [f"t{i}" for i in range(10)]
    one = top + [f"a{i}" for i in range(600)]
    two = top + [f"b{i}" for i in range(600)]
    assert rbo(hits(one), hits(two), 0.9)[0] == pytest.approx(known, abs=1e-9)
    assert known == pytest.approx(0.85558544674735182, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(LISTS, LISTS, st.integers(1, 9))
def test_churn_equals_sets(one, two, k):
    got = churn(hits(one, k=9), hits(two, k=9), k)
    old, new = set(one[:k]), set(two[:k])
    longer = max(len(old), len(new))
    assert got == pytest.approx([1 - len(old & new) / longer if longer else 0.0])


def test_order_moves_rbo_and_not_churn_and_the_top_counts_most():
    base = hits("abcdef")
    bottom, top = hits("abcdfe"), hits("bacdef")
    assert churn(base, bottom, 6)[0] == churn(base, top, 6)[0] == 0.0
    assert rbo(base, top)[0] < rbo(base, bottom)[0] < 1.0


def test_means_and_findings():
    before, after = hits("ab", "cd", "ef", "gh"), hits("ab", "cx", "yx", "hg")
    got = displacement(before, after, k=2, resamples=100)
    assert got.per_query_churn.tolist() == [0.0, 0.5, 1.0, 0.0]
    assert got.churn.value == pytest.approx(0.375)
    assert got.churn.low < 0.375 < got.churn.high
    assert got.rbo.value == pytest.approx(got.per_query_rbo.mean())
    found = got.findings("new/new")
    assert [f.metric for f in found] == ["churn@2", "RBO(p=0.9)"]
    assert [f.n for f in found] == [4, 4]


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(InvalidInput, match="2 queries on both sides"):
        rbo(hits("ab", "cd"), hits("ab"))
    with pytest.raises(InvalidInput, match="persistence"):
        rbo(hits("ab"), hits("ab"), 1.0)
    with pytest.raises(InvalidInput, match="3 columns"):
        churn(hits("ab"), hits("abc"), 3)
    with pytest.raises(DuplicateIds):
        rbo(hits("aba"), hits("abc"))
