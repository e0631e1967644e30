"""Centred logits: the geometry of the simplex without training."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.errors import InvalidInput
from holdfast.space import relation
from holdfast.train.interface import Interface
from holdfast.train.vertices import simplex

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.train.centred import CentredHead, centred, on_simplex  # noqa: E402
from holdfast.train.simplex import SimplexHead  # noqa: E402

NAMES = ["a", "b", "c", "d", "e"]


def cosines(rows):
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return rows @ rows.T


def test_they_are_the_logits_less_their_mean():
    logits = torch.randn(6, 5)
    got = centred(logits).numpy()
    for row, expected in zip(got, logits.numpy(), strict=True):
        np.testing.assert_allclose(row, expected - sum(expected) / 5, atol=1e-6)
    np.testing.assert_allclose(centred(logits + 3.0), got, atol=1e-5)


def test_simplex_vectors_have_the_cosines_of_their_centred_logits():
    z = np.random.default_rng(0).normal(size=(8, 11))
    logits = z @ simplex(12).T
    np.testing.assert_allclose(logits.sum(1), 0.0, atol=1e-12)
    np.testing.assert_allclose(cosines(logits), cosines(z), atol=1e-12)


def test_a_classifier_is_a_model_with_a_coordinate_a_class():
    table = Interface("animals", "centred").filled(NAMES)
    classifier = torch.nn.Linear(4, 3)
    head = CentredHead(classifier, ["d", "a", "b"], table)
    rows = torch.randn(6, 4)
    answer = head(rows)
    logits = classifier(rows).detach().numpy()
    expected = np.zeros((6, 5))
    expected[:, [3, 0, 1]] = logits - logits.mean(1, keepdims=True)
    np.testing.assert_allclose(answer.vectors.detach(), expected, atol=1e-6)
    np.testing.assert_allclose(answer.logits.detach(), logits, atol=1e-6)
    assert head.dim == table.space("x").dim == 5


def test_more_classes_extend_the_space_of_fewer():
    fewer = Interface("animals", "centred").filled(NAMES[:3])
    more = fewer.filled(NAMES)
    classifier, rows = torch.nn.Linear(4, 3), torch.randn(6, 4)
    short = CentredHead(classifier, NAMES[:3], fewer)(rows).vectors
    long = CentredHead(classifier, NAMES[:3], more)(rows).vectors
    assert torch.equal(long[:, :3], short)
    assert not long[:, 3:].any()
    assert relation(more.space("two", gallery=fewer), fewer.space("one")) == "extends"


@pytest.mark.parametrize("bias", [True, False])
def test_a_classifier_moves_onto_the_simplex_without_training(bias):
    table = Interface("animals", capacity=9).filled(NAMES[:3]).filled(NAMES[3:], side="back")
    classifier = torch.nn.Linear(4, 5, bias=bias).double()
    head = SimplexHead(4, 9).double()
    head.project = on_simplex(classifier, NAMES, table)
    rows = torch.randn(6, 4).double()
    answer = head(rows)
    vertices = table.vertices_of(NAMES)
    logits = np.zeros((6, 9))
    logits[:, vertices] = classifier(rows).detach().numpy()
    logits -= logits.mean(1, keepdims=True)
    np.testing.assert_allclose(answer.logits.detach(), logits, atol=1e-6)
    np.testing.assert_allclose(cosines(answer.vectors.detach().numpy()), cosines(logits), atol=1e-6)
    # So what it tells apart among its classes is what it told apart before.
    np.testing.assert_allclose(
        answer.logits[:, vertices].softmax(1).detach(),
        classifier(rows).softmax(1).detach(),
        atol=1e-6,
    )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: CentredHead(torch.nn.Linear(4, 1), ["a"], Interface("x", capacity=3)),
            "a centred interface",
        ),
        (
            lambda: CentredHead(
                torch.nn.Linear(4, 2), ["a"], Interface("x", "centred").filled(["a"])
            )(torch.zeros(1, 4)),
            "1 logits, one a class",
        ),
        (
            lambda: on_simplex(torch.nn.Linear(4, 1), ["a"], Interface("x", "centred")),
            "a simplex",
        ),
        (
            lambda: on_simplex(
                torch.nn.Linear(4, 2), ["a"], Interface("x", capacity=3).filled(["a"])
            ),
            "2 classes",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()
