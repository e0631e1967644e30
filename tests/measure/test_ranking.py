"""Metrics against slow references, two other libraries, and planted cases."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from holdfast.errors import DuplicateIds, InvalidInput
from holdfast.hits import Hits
from holdfast.measure.judgements import Judgements
from holdfast.measure.ranking import Metric, evaluate, known, parse

SPELLINGS = [
    "nDCG@3", "nDCG@10", "nDCG", "R@1", "R@10", "P@5", "RR", "RR@10", "RR@2", "AP", "AP@4",
    "Success@1", "Success@5",
]  # fmt: skip


def as_hits(rankings, k):
    """Ids in rank order with falling scores."""
    return Hits.of([[(name, -float(i)) for i, name in enumerate(row)] for row in rankings], k)


def slow(spelling, ranking, grades):
    """The definitions, one query at a time, straight from a textbook."""
    name, _, cut = spelling.partition("@")
    k = int(cut) if cut else len(ranking)
    relevant = {d for d, g in grades.items() if g > 0}
    top = [d in relevant for d in ranking[:k]]
    if name == "nDCG":
        dcg = sum(max(grades.get(d, 0), 0) / np.log2(i + 2) for i, d in enumerate(ranking[:k]))
        falling = sorted((g for g in grades.values() if g > 0), reverse=True)
        return dcg / sum(g / np.log2(i + 2) for i, g in enumerate(falling[: k if cut else None]))
    if name == "R":
        return sum(top) / len(relevant)
    if name == "P":
        return sum(top) / k
    if name == "RR":
        return 1 / (top.index(True) + 1) if any(top) else 0.0
    if name == "AP":
        return sum(sum(top[: i + 1]) / (i + 1) for i, t in enumerate(top) if t) / len(relevant)
    return float(any(top))


@st.composite
def cases(draw):
    documents = [f"d{i}" for i in range(14)]
    queries, rankings = {}, []
    for q in range(draw(st.integers(1, 4))):
        judged = draw(st.dictionaries(st.sampled_from(documents), st.integers(-2, 4), min_size=1))
        judged[draw(st.sampled_from(documents))] = draw(st.integers(1, 4))
        queries[f"q{q}"] = judged
        rankings.append(draw(st.lists(st.sampled_from(documents), unique=True, max_size=12)))
    return queries, rankings


@settings(max_examples=150, deadline=None)
@given(cases())
def test_every_metric_equals_its_slow_definition(case):
    qrels, rankings = case
    got = evaluate(SPELLINGS, as_hits(rankings, 12), Judgements.from_dict(qrels))
    for spelling in SPELLINGS:
        want = [slow(spelling, r, qrels[q]) for q, r in zip(qrels, rankings, strict=True)]
        # A list shorter than the columns is padded, which no definition may notice.
        np.testing.assert_allclose(got[spelling], want, atol=1e-12, err_msg=spelling)


def random_run(seed, queries=60, documents=80, k=30):
    """Hits with many tied scores, ordered among ties as trec_eval does: id falling."""
    random = np.random.default_rng(seed)
    names = [f"d{i:03}" for i in range(documents)]
    rows, run, qrels = [], {}, {}
    for q in range(queries):
        scores = random.integers(0, 12, documents).astype(float)
        pairs = sorted(zip(scores, names, strict=True), reverse=True)[:k]
        rows.append([(name, score) for score, name in pairs])
        run[f"q{q}"] = {name: score for score, name in pairs}
        judged = random.choice(names, random.integers(1, 25), replace=False)
        qrels[f"q{q}"] = {d: int(random.integers(-1, 4)) for d in judged}
        qrels[f"q{q}"][str(random.choice(names))] = 2
    return Hits.of(rows, k), run, qrels


@pytest.mark.parametrize("seed", range(3))
def test_ir_measures_agrees_query_by_query(seed):
    ir_measures = pytest.importorskip("ir_measures")
    hits, run, qrels = random_run(seed)
    got = evaluate(SPELLINGS, hits, Judgements.from_dict(qrels))
    names = list(qrels)
    # Both of its providers must read the same order, so it gets scores without ties; the ties
    # themselves are the next test's.
    strict = {q: {d: -float(i) for i, (d, _) in enumerate(hits.row(n))} for n, q in enumerate(run)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        measures = [ir_measures.parse_measure(s) for s in SPELLINGS]
        theirs = list(ir_measures.iter_calc(measures, qrels, strict))
    assert len(theirs) == len(SPELLINGS) * len(names)
    for one in theirs:
        mine = got[str(one.measure)][names.index(one.query_id)]
        assert mine == pytest.approx(one.value, abs=1e-9), (str(one.measure), one.query_id)


def test_pytrec_eval_agrees_on_tied_scores():
    pytrec_eval = pytest.importorskip("pytrec_eval")
    hits, run, qrels = random_run(11)
    ours = {"nDCG@10": "ndcg_cut_10", "AP": "map", "RR": "recip_rank", "R@10": "recall_10",
            "P@5": "P_5", "Success@5": "success_5", "AP@10": "map_cut_10"}  # fmt: skip
    theirs = pytrec_eval.RelevanceEvaluator(
        qrels, {"ndcg_cut", "map", "recip_rank", "recall", "P", "success", "map_cut"}
    ).evaluate(run)
    got = evaluate(ours, hits, Judgements.from_dict(qrels))
    for spelling, name in ours.items():
        np.testing.assert_allclose(
            got[spelling], [theirs[q][name] for q in qrels], atol=1e-9, err_msg=spelling
        )


def test_scikit_learn_agrees_on_a_full_ranking():
    from sklearn.metrics import average_precision_score, ndcg_score

    random = np.random.default_rng(5)
    grades = random.integers(0, 4, (20, 15))
    grades[:, 0] = 3
    scores = random.permuted(np.tile(np.arange(15.0), (20, 1)), axis=1)
    order = np.argsort(-scores, axis=1)
    hits = as_hits([[f"d{j}" for j in row] for row in order], 15)
    qrels = {f"q{i}": {f"d{j}": int(g) for j, g in enumerate(r)} for i, r in enumerate(grades)}
    got = evaluate(["nDCG@7", "AP"], hits, Judgements.from_dict(qrels))
    assert got["nDCG@7"].mean() == pytest.approx(ndcg_score(grades, scores, k=7), abs=1e-12)
    theirs = [average_precision_score(g > 0, s) for g, s in zip(grades, scores, strict=True)]
    np.testing.assert_allclose(got["AP"], theirs, atol=1e-12)


def test_planted_values():
    judgements = Judgements.from_dict({"q": {"a": 3, "b": 1, "c": 0}})
    got = evaluate(
        ["nDCG@3", "R@1", "R@3", "P@3", "RR", "AP", "Success@1", "Success@2"],
        as_hits([["c", "a", "x"]], 3),
        judgements,
    )
    want = {
        "nDCG@3": (3 / np.log2(3)) / (3 + 1 / np.log2(3)),
        "R@1": 0.0, "R@3": 0.5, "P@3": 1 / 3, "RR": 0.5, "AP": 0.25,
        "Success@1": 0.0, "Success@2": 1.0,
    }  # fmt: skip
    assert {name: values[0] for name, values in got.items()} == pytest.approx(want)


@pytest.mark.parametrize("width", [3, 4, 7, 64])
def test_a_perfect_list_is_exactly_one_and_padding_changes_no_bit(width):
    judgements = Judgements.from_dict({"q": {"a": 3, "b": 2, "c": 1}})
    hits = as_hits([["a", "b", "c"]], width)
    for spelling in ("nDCG@3", "nDCG", "AP", "R@3", "RR"):
        assert parse(spelling).per_query(hits, judgements).tolist() == [1.0]


def test_a_slice_of_queries_keeps_every_bit():
    hits, _, qrels = random_run(3)
    judgements, rows = Judgements.from_dict(qrels), [5, 1, 40]
    for spelling in SPELLINGS:
        whole = parse(spelling).per_query(hits, judgements)[rows]
        part = parse(spelling).per_query(hits.take(rows), judgements.take(rows))
        assert part.tobytes() == whole.tobytes(), spelling


def test_no_hits_at_all_are_zero_not_missing():
    judgements = Judgements.from_dict({"q": {"a": 2}, "r": {"b": 1}})
    got = evaluate(
        ["nDCG@5", "AP", "RR@5", "R@5", "P@5", "Success@5"], Hits.empty(2, 5), judgements
    )
    for spelling, values in got.items():
        assert values.tolist() == [0.0, 0.0], spelling
    for spelling in ("nDCG", "AP", "RR"):
        values = parse(spelling).per_query(Hits.empty(2, 0), judgements)
        assert values.tolist() == [0.0, 0.0]


@pytest.mark.parametrize("spelling", ["nDCG@10", "R@100", "RR", "AP", "mAP", "CMC@1", "Success@1"])
def test_spelling_survives_a_round_trip(spelling):
    assert str(parse(spelling)) == spelling
    assert parse(parse(spelling)) == parse(spelling)


@pytest.mark.parametrize(
    "spelling",
    [
        "ndcg@10",
        "nDCG@0",
        "nDCG@-1",
        "R",
        "P",
        "Success",
        "CMC",
        "MRR@10",
        "nDCG@",
        "",
        "R@5x",
        10,
        None,
    ],
)
def test_an_unknown_spelling_is_refused_with_the_known_ones(spelling):
    with pytest.raises(InvalidInput) as caught:
        parse(spelling)
    for name in known():
        assert name in str(caught.value)


@pytest.mark.parametrize("k", [0, -1])
def test_a_cutoff_below_one_is_refused(k):
    with pytest.raises(InvalidInput, match=f"R@{k}"):
        Metric("R", k)


def test_one_spelling_is_not_taken_for_the_list_of_its_letters():
    with pytest.raises(InvalidInput, match="a sequence of metrics, got one string"):
        evaluate("RR", as_hits([["a"]], 1), Judgements.from_dict({"q": {"a": 1}}))


def test_a_list_cut_before_k_is_refused():
    judgements = Judgements.from_dict({"q": {"a": 1}})
    with pytest.raises(InvalidInput, match="at least 10 columns"):
        Metric("nDCG", 10).per_query(as_hits([["a"]], 9), judgements)


def test_other_queries_than_judged_are_refused():
    with pytest.raises(InvalidInput, match="hits for 1 queries"):
        parse("RR").per_query(as_hits([["a"], ["b"]], 1), Judgements.from_dict({"q": {"a": 1}}))


def test_a_relevant_item_twice_in_a_row_is_refused():
    with pytest.raises(DuplicateIds, match="'a' twice"):
        parse("R@3").per_query(as_hits([["a", "b", "a"]], 3), Judgements.from_dict({"q": {"a": 1}}))


@pytest.mark.parametrize("k", ["10", 10.5, [10]])
def test_a_cutoff_that_is_no_integer_is_refused(k):
    with pytest.raises(InvalidInput) as told:
        Metric("R", k)
    assert (told.value.expected, told.value.got) == ("k as an integer from 1", repr(k))
    assert str(Metric("R", np.int64(10))) == "R@10"


@pytest.mark.parametrize("name", [None, 7, ["R"]])
def test_a_name_that_is_no_text_is_refused(name):
    with pytest.raises(InvalidInput, match="expected one of AP") as told:
        Metric(name)
    assert told.value.got == repr(name)
