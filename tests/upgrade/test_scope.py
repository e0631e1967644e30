"""What of a large gallery an assessment ranks."""

from types import SimpleNamespace

import numpy as np
import pytest

from holdfast.errors import UpgradeError
from holdfast.measure.judgements import Judgements
from holdfast.upgrade.foresight import scope
from holdfast.upgrade.foresight.scope import scope_of

COUNT = 2_000
IDS = np.array([f"d{at}" for at in range(COUNT)], dtype=object)


def project_of(right, wrong):
    """Ten queries; of each some documents were judged right, and some wrong."""
    random = np.random.default_rng(0)
    qrels = {}
    for query in range(10):
        names = IDS[random.permutation(COUNT)[: right + wrong]].tolist()
        qrels[f"q{query}"] = {name: int(at < right) for at, name in enumerate(names)}
    judged = Judgements.from_dict(qrels, {query: query for query in qrels})
    upgrade = SimpleNamespace(seed=0)
    return SimpleNamespace(config=SimpleNamespace(upgrade=upgrade), judgements=lambda: judged)


@pytest.mark.parametrize(
    ("right", "wrong", "ranked"),
    [(3, 0, 100), (3, 300, 100), (30, 0, None)],
    ids=["few judged", "many judged wrong", "more answers than are ranked"],
)
def test_all_answers_are_ranked_whatever_else_was_judged(monkeypatch, right, wrong, ranked):
    monkeypatch.setattr(scope, "DOCUMENTS", 100)
    monkeypatch.setattr(scope, "read_rows", lambda store: (IDS, np.zeros(COUNT, dtype=np.int64)))
    project = project_of(right, wrong)
    made = scope_of(project, store=None, sample=0.1)
    assert (made.relevant.sum(axis=1) == right).all()
    answers = {n for q in project.judgements().qrels.values() for n, grade in q.items() if grade}
    assert len(made.ids) == (ranked or len(answers))


def test_relevant_items_that_the_gallery_lacks_are_counted(monkeypatch):
    monkeypatch.setattr(scope, "read_rows", lambda store: (IDS, np.zeros(COUNT, dtype=np.int64)))
    qrels = {"q0": {"d0": 1, "gone": 1}, "q1": {"gone": 2, "away": 1}, "q2": {"d1": 1, "x": 0}}
    judged = Judgements.from_dict(qrels, {query: query for query in qrels})
    project = project_of(1, 0)
    project.judgements = lambda: judged
    made = scope_of(project, store=None, sample=0.1)
    assert made.judgements.query_ids == ("q0", "q2")
    assert made.absent == (
        "2 of 4 relevant items are not in the gallery; "
        "1 of 3 queries have no other and are left out."
    )
    project.judgements = lambda: judged.take([2])
    assert scope_of(project, store=None, sample=0.1).absent == ""


@pytest.mark.parametrize("count", [51, 60, 100, 120, 250, 499])
def test_the_sample_that_is_advised_where_one_is_too_small_is_large_enough(monkeypatch, count):
    ids, none = IDS[:count], np.zeros(count, dtype=np.int64)
    monkeypatch.setattr(scope, "read_rows", lambda store: (ids, none))
    project = project_of(1, 0)
    judged = Judgements.from_dict({"q": {"d0": 1}}, {"q": "q"})
    project.judgements = lambda: judged
    with pytest.raises(UpgradeError, match="a sample of at least 50 items") as refused:
        scope_of(project, store=None, sample=0.1)
    advised = str(refused.value).partition("--sample ")[2].partition("%")[0]
    assert scope_of(project, store=None, sample=int(advised) / 100).size >= 50
