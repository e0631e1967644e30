"""Class labels as relevance, with the query itself left out."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from holdfast.errors import DuplicateIds, InvalidInput
from holdfast.hits import Hits
from holdfast.measure.labels import Labels
from holdfast.measure.ranking import parse


def full_ranking(seed=0, items=40, classes=4):
    random = np.random.default_rng(seed)
    labels = {f"i{n}": int(c) for n, c in enumerate(random.integers(0, classes, items))}
    scores = random.standard_normal((items, items)).astype(np.float32)
    order = np.argsort(-scores, axis=1)
    names = np.array(list(labels), dtype=object)
    return labels, scores, Hits(names[order], np.take_along_axis(scores, order, 1))


def test_map_equals_scikit_learn_with_self_removed():
    labels, scores, hits = full_ranking()
    got = parse("mAP").per_query(hits, Labels(labels, labels))
    classes = np.array(list(labels.values()))
    want = []
    for i in range(len(classes)):
        others = np.arange(len(classes)) != i
        want.append(average_precision_score((classes == classes[i])[others], scores[i, others]))
    np.testing.assert_allclose(got, want, atol=1e-12)


def test_cmc_equals_a_slow_loop_with_self_removed():
    labels, _, hits = full_ranking(1)
    for k in (1, 5):
        want = []
        for row, (name, label) in enumerate(labels.items()):
            others = [n for n, _ in hits.row(row) if n != name][:k]
            want.append(float(any(labels[n] == label for n in others)))
        assert parse(f"CMC@{k}").per_query(hits, Labels(labels, labels)).tolist() == want


def test_queries_from_outside_keep_every_column():
    gallery = {"a": "cat", "b": "dog"}
    judge = Labels({"q": "dog"}, gallery)
    hits = Hits.of([[("a", 2.0), ("b", 1.0)]])
    assert parse("mAP").per_query(hits, judge).tolist() == [0.5]
    assert parse("CMC@2").per_query(hits, judge).tolist() == [1.0]


def test_self_uses_up_a_column():
    gallery = {"a": "cat", "b": "cat"}
    hits = Hits.of([[("a", 2.0), ("b", 1.0)]])
    judge = Labels({"a": "cat"}, gallery)
    assert parse("CMC@1").per_query(hits, judge).tolist() == [1.0]
    with pytest.raises(InvalidInput, match="at least 2 columns"):
        parse("CMC@2").per_query(hits, judge)


def test_padding_is_nobody():
    judge = Labels({"q": "cat"}, {"a": "cat", "b": "dog"})
    assert parse("CMC@3").per_query(Hits.of([[("b", 1.0)]], 3), judge).tolist() == [0.0]


def test_lonely_queries_are_refused_or_counted():
    labels = {"a": "cat", "b": "cat", "c": "dog"}
    with pytest.raises(InvalidInput, match="none for 1 of 3"):
        Labels(labels, labels)
    with pytest.raises(InvalidInput, match="none for 1 of 3"):
        Labels(labels, labels, unanswerable="error")
    kept = Labels(labels, labels, unanswerable="drop")
    assert (kept.query_ids, kept.dropped, kept.counts.tolist()) == (("a", "b"), 1, [1, 1])


def test_a_slice_equals_the_rows_of_the_whole():
    labels, _, hits = full_ranking(2)
    judge, rows = Labels(labels, labels), [7, 3, 30]
    whole = parse("mAP").per_query(hits, judge)[rows]
    assert parse("mAP").per_query(hits.take(rows), judge.take(rows)).tolist() == whole.tolist()


def test_labels_without_ids_are_refused():
    with pytest.raises(InvalidInput, match="labels by id, on both sides, got list"):
        Labels({"q": "cat"}, ["cat", "dog"])


def test_unlabelled_and_repeated_hits_are_refused():
    judge = Labels({"q": "cat"}, {"a": "cat", "b": "cat"})
    with pytest.raises(InvalidInput, match="none for 'x'"):
        judge.look_up(Hits.of([[("x", 1.0)]]))
    with pytest.raises(DuplicateIds, match="'a' twice"):
        judge.look_up(Hits.of([[("a", 1.0), ("a", 0.5)]]))


def test_what_has_no_label_is_a_class_like_any_other():
    labels = Labels({"q": None, "a": None}, {"a": None, "b": None})
    assert labels.counts.tolist() == [2, 1]
