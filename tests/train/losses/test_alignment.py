"""Losses that put vectors where the old model had them: CL2R, BCT, OCA, BT^2, LCE, AdvBCT."""

from __future__ import annotations

import math

import numpy as np
import pytest

from holdfast.errors import DimensionMismatch, InvalidInput

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.train.losses.advbct import AdvBCT, reversed_gradient  # noqa: E402
from holdfast.train.losses.basis_transformation import BasisTransformation  # noqa: E402
from holdfast.train.losses.distillation import (  # noqa: E402
    FeatureDistillation,
    distillation_weight,
)
from holdfast.train.losses.influence import Influence  # noqa: E402
from holdfast.train.losses.lce import LCE, BottleneckTransform  # noqa: E402
from holdfast.train.losses.orthogonal_alignment import OrthogonalAlignment  # noqa: E402
from tests.train.losses.draws import (  # noqa: E402
    DIM,
    LABELS,
    PROTOTYPES,
    batch,
    cosine,
    cross_entropy,
    mean,
    normal,
    number,
    tensor,
    unit,
)

KNOWN = (True, False, True, True)
FLOORS = (0.9, 0.8, 0.95, 0.4)


def rows_of(tensor):
    return tensor.detach().numpy()


def average_ce(scores, labels=LABELS, smoothing=0.0):
    return mean(cross_entropy(s, y, smoothing) for s, y in zip(scores, labels, strict=True))


def apart(a, b):
    return mean(1.0 - cosine(x, y) for x, y in zip(a, b, strict=True))


def test_feature_distillation_counts_the_memory_only():
    given = batch()
    new, old, mine = rows_of(given.new), rows_of(given.old), given.memory.numpy()
    assert number(FeatureDistillation()(given)) == pytest.approx(apart(new[mine], old[mine]))
    assert number(FeatureDistillation(memory_only=False)(given)) == pytest.approx(apart(new, old))
    nobody = batch(memory=torch.zeros(len(LABELS), dtype=torch.bool))
    assert number(FeatureDistillation()(nobody)) == 0.0


def test_the_weight_of_a_task():
    assert distillation_weight(10, 50) == pytest.approx(5.0 * math.sqrt(0.2))
    assert distillation_weight(5, 50, base=10.0) == pytest.approx(10.0 * math.sqrt(0.1))
    with pytest.raises(InvalidInput, match="old from 1"):
        distillation_weight(5, 0)


def test_influence_is_the_cross_entropy_of_the_old_classifier():
    given = batch()
    new, bias = rows_of(given.new), normal(4, seed=1)
    scores = new @ PROTOTYPES.T + bias
    assert number(Influence(PROTOTYPES, bias)(given)) == pytest.approx(average_ce(scores))
    scores = 16.0 * unit(new) @ unit(PROTOTYPES).T
    assert number(Influence(PROTOTYPES, scale=16.0)(given)) == pytest.approx(average_ce(scores))


def test_influence_leaves_out_what_the_old_model_does_not_know():
    given = batch()
    scores = rows_of(given.new) @ PROTOTYPES.T
    mine = [i for i, y in enumerate(LABELS) if KNOWN[y]]
    rivals = np.flatnonzero(KNOWN)  # a class it does not know is none that it could mean
    expected = average_ce(
        scores[np.ix_(mine, rivals)], [rivals.tolist().index(LABELS[i]) for i in mine]
    )
    assert number(Influence(PROTOTYPES, known=KNOWN)(given)) == pytest.approx(expected)
    assert number(Influence(PROTOTYPES, known=[False] * 4)(given)) == 0.0
    short = Influence(PROTOTYPES[:2])
    mine = [i for i, y in enumerate(LABELS) if y < 2]
    expected = average_ce(scores[mine, :2], [LABELS[i] for i in mine])
    assert number(short(given)) == pytest.approx(expected)
    assert number(short(batch((2, 3, 3)))) == 0.0


def test_influence_refuses_what_makes_no_sense():
    with pytest.raises(InvalidInput, match="a bias or a scale"):
        Influence(PROTOTYPES, bias=np.zeros(4), scale=2.0)
    with pytest.raises(InvalidInput, match="4 entries"):
        Influence(PROTOTYPES, known=[True])
    with pytest.raises(DimensionMismatch, match=r"\(b, 5\) vectors"):
        Influence(PROTOTYPES)(batch(new=tensor(len(LABELS), 6, seed=0)))


@pytest.mark.parametrize("weights", [(5.0, 10.0, 5.0), (5.0, 0.0, 5.0), (0.0, 0.0, 1.0)])
def test_orthogonal_alignment(weights):
    given = batch()
    new = rows_of(given.new)
    expected = (
        weights[0] * average_ce(rows_of(given.logits), smoothing=0.1)
        + weights[1] * average_ce(unit(new) @ PROTOTYPES.T, smoothing=0.1)
        + weights[2] * apart(new, PROTOTYPES[list(LABELS)])
    )
    assert number(OrthogonalAlignment(PROTOTYPES, weights)(given)) == pytest.approx(expected)


def test_orthogonal_alignment_leaves_out_classes_without_a_prototype():
    given = batch()
    new, rivals = rows_of(given.new), np.flatnonzero(KNOWN)
    mine = [i for i, y in enumerate(LABELS) if KNOWN[y]]
    scores = unit(new[mine]) @ PROTOTYPES[rivals].T
    expected = (
        5.0 * average_ce(rows_of(given.logits), smoothing=0.1)
        + 10.0 * average_ce(scores, [rivals.tolist().index(LABELS[i]) for i in mine], smoothing=0.1)
        + 5.0 * apart(new[mine], PROTOTYPES[[LABELS[i] for i in mine]])
    )
    assert number(OrthogonalAlignment(PROTOTYPES, known=KNOWN)(given)) == pytest.approx(expected)
    short = OrthogonalAlignment(PROTOTYPES[:2], (0.0, 1.0, 1.0))  # later classes have none
    mine = [i for i, y in enumerate(LABELS) if y < 2]
    told = [LABELS[i] for i in mine]
    expected = average_ce(unit(new[mine]) @ PROTOTYPES[:2].T, told, smoothing=0.1)
    assert number(short(given)) == pytest.approx(expected + apart(new[mine], PROTOTYPES[told]))
    none = OrthogonalAlignment(PROTOTYPES, known=[False] * 4)
    expected = 5.0 * average_ce(rows_of(given.logits), smoothing=0.1)
    assert number(none(given)) == pytest.approx(expected)
    with pytest.raises(InvalidInput, match="4 entries of known"):
        OrthogonalAlignment(PROTOTYPES, known=[True])


def test_scores_of_at_most_one_cannot_fall_far():
    # 100 prototypes of length one, as far apart as they can be: from log 100 to about 3.6.
    prototypes = np.eye(100)
    rows = torch.eye(100, dtype=torch.float64)
    labels = tuple(range(100))
    loss = OrthogonalAlignment(prototypes, (0.0, 1.0, 0.0))
    best = number(loss(batch(labels, new=rows, logits=rows)))
    expected = -(0.9 + 0.1 / 100) + math.log(math.e + 99)
    assert best == pytest.approx(expected)
    assert 3.6 < best < 4.2
    none = number(loss(batch(labels, new=torch.ones(100, 100).double(), logits=rows)))
    assert none == pytest.approx(math.log(100), abs=0.05)


def test_basis_transformation():
    given = batch()
    new = rows_of(given.new)
    parts = (
        average_ce(rows_of(given.logits)),
        average_ce(unit(new) @ PROTOTYPES.T),
        apart(rows_of(given.native), rows_of(given.other)),
        apart(new, rows_of(given.old)),
    )
    for weights in ((1.0, 10.0, 1.0, 5.0), (0.0, 1.0, 0.0, 0.0), (0.5, 0.0, 2.0, 3.0)):
        expected = sum(w * p for w, p in zip(weights, parts, strict=True))
        got = number(BasisTransformation(PROTOTYPES, weights)(given))
        assert got == pytest.approx(expected)


def test_lce_aligns_classes_and_bounds_items():
    given = batch()
    W, centres, new = rows_of(given.class_rows), unit(PROTOTYPES), rows_of(given.new)
    align = mean(
        (unit(W[c])[k] - centres[c, k]) ** 2 for c in range(4) if KNOWN[c] for k in range(DIM)
    )
    bound = mean(
        max(0.0, FLOORS[y] - cosine(row, centres[y]))
        for row, y in zip(new, LABELS, strict=True)
        if KNOWN[y]
    )
    assert bound > 0.1
    assert number(LCE(PROTOTYPES, FLOORS, KNOWN)(given)) == pytest.approx(100.0 * align + bound)
    more = torch.cat([given.class_rows, tensor(3, DIM, seed=3)])
    later = batch((4, 5, 6), class_rows=more)  # classes that the old model has no centre for
    assert number(LCE(PROTOTYPES, FLOORS, KNOWN)(later)) == pytest.approx(100.0 * align)


@pytest.mark.parametrize("rows", [1, 3])
def test_lce_refuses_a_head_of_fewer_classes_than_it_has_centres(rows):
    with pytest.raises(InvalidInput, match=f"rows of 4 classes or more.* got {rows}"):
        LCE(PROTOTYPES, FLOORS)(batch(class_rows=tensor(rows, DIM, seed=0)))


def test_lce_joins_spaces_of_different_dimension():
    torch.manual_seed(0)
    onward, back = BottleneckTransform(DIM, 7).double(), BottleneckTransform(7, DIM).double()
    for module in (onward, back):
        torch.nn.init.normal_(module.paths[0][-1].weight)
        module.eval()
    given = batch(new=tensor(len(LABELS), 7, seed=1), class_rows=tensor(4, 7, seed=2))
    loss = LCE(PROTOTYPES, FLOORS, None, onward, back).double()
    with torch.no_grad():
        W = unit(rows_of(given.class_rows))
        centres = unit(PROTOTYPES)
        there = unit(rows_of(back(torch.from_numpy(W))))
        here = unit(rows_of(onward(torch.from_numpy(centres))))
        items = rows_of(back(given.new))
    align = 0.5 * (np.mean((there - centres) ** 2) + np.mean((W - here) ** 2))
    bound = mean(
        max(0.0, FLOORS[y] - cosine(row, centres[y])) for row, y in zip(items, LABELS, strict=True)
    )
    assert number(loss(given)) == pytest.approx(100.0 * align + bound)


@pytest.mark.parametrize(("inputs", "outputs"), [(5, 5), (5, 7)])
def test_a_transform_starts_as_its_short_cut(inputs, outputs):
    transform = BottleneckTransform(inputs, outputs, paths=3).eval()
    rows = torch.randn(4, inputs)
    assert torch.equal(transform(rows), transform.short(rows))
    assert len(transform.paths) == 3


def test_adversarial_bounds():
    given = batch()
    radii, threshold = (0.3, 0.4, 1.9, 0.2), 0.6
    loss = AdvBCT(PROTOTYPES, radii, KNOWN, threshold).double()
    with torch.no_grad():
        loss.elastic.copy_(torch.tensor([0.0, 1.0, -2.0, 30.0]))
    terms, bounds = [], []
    for c, (r, w) in enumerate(zip(radii, loss.elastic.tolist(), strict=True)):
        step = abs(r - threshold) / (1.0 + math.exp(-w))
        bounds.append(r + step if r < threshold else r - step)
        assert number(loss.bounds()[c]) == pytest.approx(bounds[-1])
    for row, y in zip(unit(rows_of(given.new)), LABELS, strict=True):
        if KNOWN[y]:
            terms.append(max(0.0, np.linalg.norm(row - PROTOTYPES[y]) - bounds[y]))
    assert 0 < np.count_nonzero(terms) < len(LABELS)
    assert number(loss.bound(given)) == pytest.approx(mean(terms))
    expected = 0.6 * number(loss.game(given)) + mean(terms)
    assert number(loss(given)) == pytest.approx(expected)
    default = AdvBCT(PROTOTYPES, radii, KNOWN)
    assert default.threshold == pytest.approx((0.3 + 1.9 + 0.2) / 3)


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.7])
def test_the_judge_learns_what_the_model_unlearns(progress):
    loss = AdvBCT(PROTOTYPES, np.ones(4), width=6).double()
    new = batch().new.requires_grad_()
    loss.game(batch(new=new, progress=progress)).backward()
    rows = torch.cat([torch.nn.functional.normalize(new.detach()), batch().old])
    rows[len(new) :] = torch.nn.functional.normalize(batch().old)
    rows.requires_grad_()
    truth = torch.tensor([1] * len(new) + [0] * len(new))
    plain = torch.nn.functional.cross_entropy(loss.judge(rows), truth)
    (slope,) = torch.autograd.grad(plain, rows)
    alpha = 2.0 / (1.0 + math.exp(-10.0 * progress)) - 1.0
    (through,) = torch.autograd.grad(
        torch.nn.functional.normalize(x := new.detach().requires_grad_()),
        x,
        -alpha * slope[: len(new)],
    )
    np.testing.assert_allclose(new.grad, through, atol=1e-12)
    assert number(loss.game(batch(progress=progress))) == pytest.approx(number(plain))


def test_a_reversed_gradient():
    rows = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    same = reversed_gradient(rows, 0.7)
    np.testing.assert_allclose(rows_of(same), rows_of(rows), atol=1e-14)
    (slope,) = torch.autograd.grad(same.sum(), rows)
    np.testing.assert_allclose(slope, -0.7, atol=1e-14)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OrthogonalAlignment(PROTOTYPES, smoothing=1.0), "smoothing in"),
        (lambda: LCE(PROTOTYPES, FLOORS, None, torch.nn.Identity()), "both transforms or none"),
        (lambda: LCE(PROTOTYPES, FLOORS[:3]), "expected 4 floors"),
        (lambda: AdvBCT(PROTOTYPES, FLOORS[:3]), "expected 4 radii"),
        (lambda: BottleneckTransform(4, 0), "sizes from 1"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()
