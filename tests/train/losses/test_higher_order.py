"""Higher-order compatibility: golden values, loops, and which variant is meant."""

from __future__ import annotations

import math

import numpy as np
import pytest

from holdfast.errors import InvalidInput
from holdfast.train.vertices import simplex

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.train.losses.higher_order import HigherOrder  # noqa: E402
from tests.train.losses.draws import (  # noqa: E402
    LABELS,
    batch,
    cosine,
    cross_entropy,
    mean,
    number,
)

LABELS_128 = tuple(range(128))


def on_vertices(labels, capacity, **settings):
    """The contrast where every vector is the vertex of its class."""
    rows = torch.from_numpy(3.0 * simplex(capacity, np.array(labels)))
    return number(HigherOrder(**settings).contrast(rows, 0.5 * rows, torch.tensor(labels)))


def by_hand(old, new, labels, mu, masked):
    terms = []
    for i in range(len(labels)):
        total = math.exp(mu * cosine(old[i], new[i])) if masked else 0.0
        for j in range(len(labels)):
            if labels[j] != labels[i]:
                total += math.exp(mu * cosine(old[i], new[j]))
            elif not masked:
                total += 1.0
        terms.append(-mu * cosine(old[i], new[i]) + math.log(total))
    return mean(terms)


def test_golden_values():
    assert on_vertices((0, 0, 1, 2), 3) == pytest.approx(-9.6401, abs=5e-5)
    assert on_vertices(LABELS_128, 1024) == pytest.approx(-5.157, abs=1e-3)
    assert on_vertices(LABELS_128, 1024, masked=True) == pytest.approx(0.006, abs=5e-4)


@pytest.mark.parametrize("labels", [(0, 0, 1, 2), (0, 0, 0), LABELS_128, (5, 3, 5, 1, 1, 1)])
@pytest.mark.parametrize("mu", [1.0, 10.0])
def test_on_vertices_it_is_its_formula(labels, mu):
    K, B = 1024, len(labels)
    counts = [labels.count(y) for y in labels]
    expected = -mu + mean(math.log(c + (B - c) * math.exp(-mu / (K - 1))) for c in counts)
    assert on_vertices(labels, K, sharpness=mu) == pytest.approx(expected, rel=1e-9)


def test_random_vectors_of_a_large_batch():
    rng = np.random.default_rng(0)
    old, new = torch.from_numpy(rng.normal(size=(2, 128, 1023)))
    value = number(HigherOrder().contrast(old, new, torch.arange(128)))
    assert value == pytest.approx(4.89, abs=0.1)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("memory_only", [True, False])
@pytest.mark.parametrize("mix", [0.0, 0.1, 1.0])
def test_against_a_double_loop(masked, symmetric, memory_only, mix):
    given = batch()
    rows = np.flatnonzero(given.memory.numpy()) if memory_only else np.arange(len(LABELS))
    old, new = given.old.numpy()[rows], given.new.numpy()[rows]
    labels = np.array(LABELS)[rows]
    term = by_hand(old, new, labels, 10.0, masked)
    if symmetric:
        term = (term + by_hand(new, old, labels, 10.0, masked)) / 2
    ce = mean(cross_entropy(r, y) for r, y in zip(given.logits.tolist(), LABELS, strict=True))
    loss = HigherOrder(mix, 10.0, masked, symmetric, memory_only)
    assert number(loss(given)) == pytest.approx(mix * ce + (1 - mix) * term)


def test_as_published_it_contrasts_old_anchors_with_new_candidates():
    given = batch()
    one_way = number(HigherOrder(mix=0.0)(given))
    other_way = number(HigherOrder(mix=0.0)(batch(new=given.old, old=given.new)))
    assert one_way != pytest.approx(other_way, rel=1e-3)
    both = number(HigherOrder(mix=0.0, symmetric=True)(given))
    assert both == pytest.approx((one_way + other_way) / 2)


@pytest.mark.parametrize("masked", [True, False])
def test_the_length_of_vectors_does_not_matter(masked):
    given, loss = batch(), HigherOrder(masked=masked)
    scale = torch.tensor([0.1, 3.0, 7.0, 1.0, 2.0, 0.5, 40.0])[:, None]
    longer = batch(new=given.new * scale, old=given.old * scale.flip(0))
    assert number(loss(longer)) == pytest.approx(number(loss(given)), rel=1e-9)


def test_one_class_alone():
    given = batch((2, 2, 2))
    pull = mean(10.0 * cosine(o, n) for o, n in zip(given.old, given.new, strict=True))
    assert number(HigherOrder(0.0)(given)) == pytest.approx(math.log(3) - pull)
    assert number(HigherOrder(0.0, masked=True)(given)) == pytest.approx(0.0, abs=1e-12)


def test_without_memory_there_is_nothing_to_contrast():
    new = batch().new.requires_grad_()
    none = torch.zeros(len(LABELS), dtype=torch.bool)
    value = HigherOrder(mix=0.0, memory_only=True)(batch(new=new, memory=none))
    value.backward()
    assert number(value) == 0.0
    assert not new.grad.any()


def test_the_optimum_is_the_old_model():
    given = batch()
    at_old = HigherOrder(mix=0.0, masked=True, sharpness=50.0)(batch(new=given.old))
    assert number(at_old) < number(HigherOrder(mix=0.0, masked=True, sharpness=50.0)(given))


@pytest.mark.parametrize(("field", "value"), [("mix", 1.5), ("sharpness", 0.0)])
def test_what_makes_no_sense_is_refused(field, value):
    with pytest.raises(InvalidInput, match="mix in"):
        HigherOrder(**{field: value})
