"""Losses against negative flips: PCT, ELODI, MPT."""

from __future__ import annotations

import math

import numpy as np
import pytest

from holdfast.errors import InvalidInput

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.train.losses.focal import FocalDistillation  # noqa: E402
from holdfast.train.losses.logit_difference import LogitDifference  # noqa: E402
from holdfast.train.losses.margin_preserving import MarginPreserving  # noqa: E402
from tests.train.losses.draws import LABELS, batch, cross_entropy, mean, number  # noqa: E402


def softmax(row, tau):
    shares = [math.exp(value / tau) for value in row]
    return [share / sum(shares) for share in shares]


def kl(teacher, student, tau):
    p, q = softmax(teacher, tau), softmax(student, tau)
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def squares(teacher, student):
    return sum((a - b) ** 2 for a, b in zip(teacher, student, strict=True))


def focal(student, teacher, labels, apart, base=1.0, focus=5.0, counted=None):
    terms = []
    for s, t, y in zip(student, teacher, labels, strict=True):
        right = int(np.argmax(t)) == y
        if counted is None or counted(right, int(np.argmax(s)) == y):
            terms.append((base + focus * right) * apart(t, s[: len(t)]))
    return mean(terms)


COUNTED = {
    "all": lambda teacher, student: True,
    "teacher right": lambda teacher, student: teacher,
    "flipped": lambda teacher, student: teacher and not student,
    "student wrong": lambda teacher, student: not student,
}


def given():
    """A batch in which every combination of right and wrong occurs."""
    made = batch()
    teacher, student = made.old_logits.clone(), made.logits.clone()
    teacher[0, 0] = teacher[1, 2] = teacher[3, 0] = 9.0
    student[0, 0] = student[2, 1] = 9.0
    return batch(old_logits=teacher, logits=student)


@pytest.mark.parametrize("counted", COUNTED)
@pytest.mark.parametrize(
    ("distance", "apart"),
    [
        ("kl", lambda t, s: 16.0 * kl(t, s, 4.0)),
        ("squared", lambda t, s: 0.5 * squares(t, s)),
        ("mean squared", lambda t, s: 0.5 * squares(t, s) / len(t)),
    ],
)
def test_focal_distillation_against_a_loop(counted, distance, apart):
    made = given()
    student, teacher = made.logits.tolist(), made.old_logits.tolist()
    loss = FocalDistillation(distance, 0.5, 3.0, 4.0, counted=counted, classes=3)
    expected = focal(student, teacher, LABELS, apart, 0.5, 3.0, COUNTED[counted])
    assert expected > 0.01
    assert number(loss(made)) == pytest.approx(expected)


def test_published_values_are_the_default():
    made = given()
    student, teacher = made.logits.tolist(), made.old_logits.tolist()
    expected = focal(student, teacher, LABELS, lambda t, s: 1e4 * kl(t, s, 100.0))
    assert number(FocalDistillation(classes=3)(made)) == pytest.approx(expected)


def test_at_high_temperature_divergence_is_distance_of_centred_logits():
    made = batch()
    hot = FocalDistillation(temperature=1e4, focus=0.0, teacher="other")
    apart = (made.logits - made.other_logits).numpy()
    apart -= apart.mean(1, keepdims=True)
    expected = np.mean(0.5 * np.mean(apart**2, axis=1))
    assert number(hot(made)) == pytest.approx(expected, rel=1e-3)


def test_the_same_answers_are_no_distance_apart():
    made = batch()
    alike = batch(other_logits=made.logits)
    for distance in ("kl", "squared", "mean squared"):
        loss = FocalDistillation(distance, teacher="other")
        assert number(loss(alike)) == pytest.approx(0.0, abs=1e-10)
        assert number(loss(made)) > 0.1


def test_a_teacher_of_fewer_classes_is_named():
    with pytest.raises(InvalidInput, match=r"3 logits, as the teacher has, got 4. Give `classes`"):
        FocalDistillation()(batch())


@pytest.mark.parametrize("power", [1.0, 2.0])
@pytest.mark.parametrize("top", [None, 2, 9])
def test_logit_difference_against_a_loop(power, top):
    made = batch()
    terms = []
    for s, t in zip(made.logits.tolist(), made.other_logits.tolist(), strict=True):
        chosen = sorted(range(4), key=lambda c: -t[c])[: top or 4]
        terms.append(mean(max(0.0, abs(s[c] - t[c]) - 0.5) ** power for c in chosen))
    loss = LogitDifference(power=power, top=top)
    assert number(loss(made)) == pytest.approx(mean(terms))


def test_logit_difference_lets_slack_be():
    made = batch()
    near = batch(other_logits=made.logits + 0.49)
    assert number(LogitDifference()(near)) == 0.0
    old = batch(old_logits=made.logits + 1.5)
    assert number(LogitDifference(reference="old")(old)) == pytest.approx(1.0)
    with pytest.raises(InvalidInput, match="3 logits"):
        LogitDifference(reference="old")(made)


@pytest.mark.parametrize("distance", ["kl", "mean squared"])
@pytest.mark.parametrize("other", [True, False])
def test_margin_preserving_against_a_loop(distance, other):
    made = given()
    student, old = made.logits.tolist(), made.old_logits.tolist()
    if distance == "kl":
        weight, apart = 1.0, lambda t, s: kl(t, s, 5.0)
    else:
        weight, apart = 0.4, lambda t, s: 0.5 * squares(t, s) / len(t)
    expected = mean(
        cross_entropy([v + 4.0 * (c >= 3) for c, v in enumerate(row)], y)
        for row, y in zip(student, LABELS, strict=True)
    )
    expected += weight * focal(student, old, LABELS, apart)
    if other:
        expected += weight * focal(student, made.other_logits.tolist(), LABELS, apart)
    loss = MarginPreserving(3, distance=distance, other=other)
    assert ("other_logits" in loss.needs) == other
    assert number(loss(made)) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FocalDistillation("l1"), "one of"),
        (lambda: FocalDistillation(counted="some"), "one of"),
        (lambda: FocalDistillation(teacher="me"), "one of"),
        (lambda: FocalDistillation(temperature=0.0), "temperature > 0"),
        (lambda: LogitDifference(power=0.5), "power and top from 1"),
        (lambda: LogitDifference(reference="me"), "one of"),
        (lambda: MarginPreserving(0), "old_classes from 1"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()
