"""What the literature says must hold of any backfill, on a small gallery from end to end."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.hits import Hits, merge
from holdfast.measure.curve import Curve
from holdfast.measure.flip_curve import flip_curve
from holdfast.measure.judgements import Judgements
from holdfast.measure.labels import Labels
from holdfast.measure.ranking import evaluate, parse
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.merge import CALIBRATORS, ScoreSample, by_rank, calibrator
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Side
from tests.upgrade.toys import Clock, ToyEncoder, ToySource

OLD, NEW = Space("old", 3), Space("new", 12)
METRICS = ["nDCG@10", "R@10", "Success@1", "RR@10", "AP@10"]
SHARES = [0.0, 0.25, 0.5, 0.75, 1.0]
CENTRES = np.random.default_rng(0).normal(size=(20, 4))


def drawn(count, seed):
    """Classes, and content of that many items around their centres."""
    random = np.random.default_rng(seed)
    classes = random.integers(0, 20, count)
    table = CENTRES[classes] + 0.3 * random.normal(size=(count, 4))
    return classes.tolist(), [tuple(map(float, row)) for row in table]


CLASSES, ITEMS = drawn(400, 1)
ASKED, QUERIES = drawn(60, 2)
NAMES = [f"i{i}" for i in range(400)]
LABELS = Labels(
    {f"q{i}": label for i, label in enumerate(ASKED)}, dict(zip(NAMES, CLASSES, strict=True))
)


@pytest.fixture
def walk(tmp_path):
    """A gallery, its models, and a function that moves it to a share."""
    old_model, new_model = ToyEncoder(OLD, seed=1), ToyEncoder(NEW, seed=2)
    old, new = MemoryStore(OLD), MemoryStore(NEW)
    old.upsert(NAMES, old_model.encode(ITEMS, "document"), None, range(400))
    ledger = Ledger(tmp_path / "ledger.sqlite", lambda: 0.0)
    plan = Plan(batch_size=10, max_batch_size=10)
    ledger.begin(plan.model_dump(), OLD, NEW)
    gallery = Gallery(Side(old, old_model), Side(new, new_model), ledger, clock=Clock(1000))
    source = ToySource(dict(zip(NAMES, ITEMS, strict=True)))
    engine = Engine(gallery, ReEmbed(source, new_model), plan)
    engine.start()

    def move(share):
        if share:
            engine.run(share)
        assert gallery.share == pytest.approx(share)
        return gallery.search(QUERIES, 10)

    yield move, (old, old_model), (new, new_model)
    gallery.close()


def test_both_ends_of_every_curve_are_the_single_index_bit_for_bit(walk):
    move, (old, old_model), (new, new_model) = walk
    alone = evaluate(METRICS, old.search(old_model.encode(QUERIES, "query"), 10), LABELS)
    tables = {share: evaluate(METRICS, move(share), LABELS) for share in SHARES}
    finished = evaluate(METRICS, new.search(new_model.encode(QUERIES, "query"), 10), LABELS)
    for metric in METRICS:
        assert np.array_equal(tables[0.0][metric], alone[metric])
        assert np.array_equal(tables[1.0][metric], finished[metric])
        curve = Curve.of(metric, SHARES, [tables[s][metric] for s in SHARES], resamples=50)
        assert (curve.values[0], curve.values[-1]) == (
            alone[metric].mean(), finished[metric].mean()
        )  # fmt: skip
    assert finished["nDCG@10"].mean() > alone["nDCG@10"].mean()
    assert not np.array_equal(tables[0.5]["nDCG@10"], alone["nDCG@10"])


def test_the_change_of_recall_is_positive_less_negative_flips_at_every_share(walk):
    move, *_ = walk
    # One relevant item for each query: R@k is then Success@k. It is a near one, not the first.
    random = np.random.default_rng(3)
    nearest = np.argsort(
        ((np.array(QUERIES)[:, None] - np.array(ITEMS)[None]) ** 2).sum(axis=2), axis=1
    )
    judged = Judgements.from_dict(
        {f"q{i}": {NAMES[row[random.integers(0, 6)]]: 1} for i, row in enumerate(nearest)}
    )
    recall = np.array([parse("R@5").per_query(move(share), judged) for share in SHARES])
    got = flip_curve(SHARES, recall, resamples=50)
    assert got.negative.highest.value > 0  # there is something to tell apart
    for i, (negative, positive) in enumerate(
        zip(got.negative.each, got.positive.each, strict=True), start=1
    ):
        change = recall[i].mean() - recall[0].mean()
        assert positive.value - negative.value == pytest.approx(change, abs=1e-12)


def sides(scale):
    """Scores of two models of which the second one's are `scale` times as large.

    Half of the gallery is on each side; the sample are 100 items that are scored by both.
    """
    random = np.random.default_rng(4)
    truth = random.normal(size=(50, 400))
    old = (truth + 0.4 * random.normal(size=truth.shape)).astype(np.float32)
    new = ((truth + 0.2 * random.normal(size=truth.shape)) * scale).astype(np.float32)
    best = np.argsort(-truth, axis=1)[:, :10]
    wanted = Judgements.from_dict(
        {f"q{i}": {f"d{j}": 1 for j in row} for i, row in enumerate(best.tolist())}
    )
    half = np.arange(400) < 200
    listed = [top(old, half), top(new, ~half)]
    return listed, ScoreSample(old[:, 150:250], new[:, 150:250]), wanted


def top(scores, there, k=20):
    names = np.array([f"d{j}" for j in range(scores.shape[1])], dtype=object)
    masked = np.where(there, scores, -np.inf)
    order = np.argsort(-masked, axis=1, kind="stable")[:, :k]
    return Hits(names[order], np.take_along_axis(scores, order, axis=1))


@pytest.mark.parametrize("name", sorted(CALIBRATORS))
def test_ten_times_the_distances_leave_a_calibrated_merge_and_wreck_a_raw_one(name):
    recall, raw, lists = [], [], []
    for scale in (1.0, 10.0):
        (old, new), sample, wanted = sides(scale)
        mapped = calibrator(name).fit(sample)(old.scores, sample)
        lists.append(merge(new, Hits(old.ids, mapped), 10))
        recall.append(parse("R@10").per_query(lists[-1], wanted).mean())
        raw.append(parse("R@10").per_query(merge(new, old, 10), wanted).mean())
    assert np.array_equal(lists[0].ids, lists[1].ids)
    assert recall[0] == recall[1] > 0.6
    assert raw[0] == pytest.approx(recall[0], abs=0.05)  # equal scales need no calibration
    assert raw[1] < 0.75 * raw[0]  # the old side is hardly heard any more


@pytest.mark.parametrize("k", [2, 10, 20])
def test_reciprocal_ranks_of_disjoint_lists_give_half_to_each_side(k):
    (old, new), _, _ = sides(1.0)
    joined = by_rank(old, new, k)
    from_old = [sum(name in row for name in old.ids[i]) for i, row in enumerate(joined.ids)]
    assert from_old == [k // 2] * len(joined)
    # So that where all that is relevant is on one side, half of the answer is lost for it.
    all_new = Judgements.from_dict(
        {f"q{i}": dict.fromkeys(row[:k], 1) for i, row in enumerate(new.ids.tolist())}
    )
    assert parse(f"R@{k}").per_query(joined, all_new).tolist() == [0.5] * len(joined)
