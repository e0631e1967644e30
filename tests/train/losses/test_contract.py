"""What every loss promises, whatever it computes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from holdfast.errors import DimensionMismatch, InvalidInput

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.train.heads import Answer  # noqa: E402
from holdfast.train.losses.base import Batch, Loss, WeightedSum  # noqa: E402
from holdfast.train.tensors import unit  # noqa: E402
from tests.train.losses.draws import (  # noqa: E402
    DIM,
    LABELS,
    WEIGHT,
    batch,
    losses,
    number,
    tensor,
)

NAMES = list(losses())
COMPARES = [name for name in NAMES if "old" in losses()[name].needs or "lce" in name]


def with_new(loss, given, new, logits, native):
    return loss(dataclasses.replace(given, new=new, logits=logits, native=native))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "advbct"])
def test_gradients(name):
    loss, given = losses()[name], batch()
    leaves = [rows.clone().requires_grad_() for rows in (given.new, given.logits, given.native)]
    assert torch.autograd.gradcheck(
        lambda *rows: with_new(loss, given, *rows), leaves, fast_mode=True
    )


@pytest.mark.parametrize("name", NAMES)
def test_the_order_of_a_batch_does_not_matter(name):
    loss, given = losses()[name], batch()
    order = torch.tensor([3, 6, 0, 5, 1, 4, 2])
    moved = {
        field.name: getattr(given, field.name)[order]
        for field in dataclasses.fields(given)
        if field.name not in {"classify", "class_rows", "progress", "shared"}
    }
    assert number(loss(given)) == pytest.approx(
        number(loss(dataclasses.replace(given, **moved))), rel=1e-9
    )
    assert number(loss(given)) != pytest.approx(number(loss(batch(seed=100))), rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_no_gradient_reaches_what_the_old_model_answered(name):
    fixed = {
        key: value.requires_grad_()
        for key, value in vars_of(batch()).items()
        if key in {"old", "old_logits", "other", "other_logits"}
    }
    new = batch().new.requires_grad_()
    logits, native = batch().logits.requires_grad_(), batch().native.requires_grad_()
    losses()[name](batch(new=new, logits=logits, native=native, **fixed)).backward()
    assert [key for key, value in fixed.items() if value.grad is not None] == []
    slopes = [rows.grad for rows in (new, logits, native) if rows.grad is not None]
    assert any(bool(slope.any()) for slope in slopes)


def vars_of(given):
    return {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}


@pytest.mark.parametrize("name", NAMES)
def test_it_needs_what_it_says_and_nothing_else(name):
    loss = losses()[name]
    assert number(loss(batch(only=loss.needs))) == pytest.approx(number(loss(batch())), rel=1e-12)
    for field in loss.needs - {"labels"}:
        with pytest.raises(InvalidInput, match=f"one without {field}"):
            loss(batch(**{field: None}))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("labels", [(2, 2, 2, 2), (1,), (0, 1, 2, 3), (3, 3)])
def test_degenerate_batches_give_finite_values_and_gradients(name, labels):
    nobody = torch.zeros(len(labels), dtype=torch.bool)
    for more in ({}, {"memory": nobody, "credible": nobody}):
        new = tensor(len(labels), DIM, seed=1).requires_grad_()
        value = losses()[name](batch(labels, new=new, **more))
        value.backward() if value.requires_grad else None
        assert torch.isfinite(value)
        assert new.grad is None or bool(torch.isfinite(new.grad).all())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_a_row_of_zeros_does_not_drown_the_gradients_of_the_others(name, dtype):
    """One over its length, kept from zero by 1e-12, was its slope: infinite in half precision."""
    loss, given, rows = losses()[name].float(), batch(), {}
    for field in ("new", "native"):
        rows[field] = vars_of(given)[field].to(dtype)
        rows[field][1] = 0.0
        rows[field].requires_grad_()
    rows |= {
        "logits": given.logits.float().requires_grad_(),
        "class_rows": given.class_rows.float(),
        "classify": lambda vectors: vectors.float() @ WEIGHT.float().T,
    }
    loss(batch(**rows)).backward()
    slopes = [rows[field].grad for field in ("new", "native") if rows[field].grad is not None]
    assert all(float(slope.abs().max()) < 1e3 for slope in slopes)


def test_a_row_of_zeros_has_the_slope_of_what_is_made_of_it():
    rows = tensor(3, DIM, seed=1)
    rows[1] = 0.0
    rows.requires_grad_()
    made, pull = unit(rows), tensor(3, DIM, seed=2)
    (made * pull).sum().backward()
    assert made[1].tolist() == [0.0] * DIM
    assert rows.grad[1].tolist() == pull[1].tolist()
    plain = torch.nn.functional.normalize(leaf := rows.detach().clone().requires_grad_())
    (plain * pull).sum().backward()
    assert torch.equal(made[::2], plain[::2])
    assert torch.equal(rows.grad[::2], leaf.grad[::2])


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_answers_nearly_the_same(name):
    loss, given = losses()[name], batch()
    halves = {
        key: value.bfloat16() if torch.is_tensor(value) and value.is_floating_point() else value
        for key, value in vars_of(given).items()
    }
    value = loss.float()(Batch(**halves))
    assert number(value) == pytest.approx(number(loss.double()(given)), rel=0.05)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("new", "old"), [("float32", "float64"), ("float64", "float32")])
def test_what_is_old_may_have_another_precision_than_the_model(name, new, old):
    """Numpy's rows are double, a store's are single or half; a model has its own."""
    new, old = getattr(torch, new), getattr(torch, old)
    loss, given = losses()[name], batch()
    expected = number(loss.double()(given))
    fields = {
        key: value.to(old if key.startswith(("old", "other")) else new)
        for key, value in vars_of(given).items()
        if torch.is_tensor(value) and value.is_floating_point()
    }
    loss.to(new)
    for value in loss.buffers(recurse=False):
        value.data = value.to(old) if value.is_floating_point() else value
    assert number(loss(dataclasses.replace(given, **fields))) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_a_model_of_half_precision_is_trained_beside_rows_of_half_precision(name, half):
    loss, given = losses()[name].float(), batch()
    fields = {
        key: value.to(half)
        for key, value in vars_of(given).items()
        if torch.is_tensor(value) and value.is_floating_point()
    }
    for value in loss.buffers(recurse=False):
        value.data = value.to(half) if value.is_floating_point() else value
    made = dataclasses.replace(given, **fields)
    half_head = dataclasses.replace(made, classify=lambda rows: rows @ WEIGHT.to(half).T)
    expected = number(losses()[name].double()(given))
    assert number(loss(half_head)) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("name", [name for name in COMPARES if name != "lce transformed"])
def test_nothing_is_cut_in_silence(name):
    given = batch(new=tensor(len(LABELS), DIM + 2, seed=1))
    with pytest.raises(DimensionMismatch, match=r"Batch\.shared"):
        losses()[name](dataclasses.replace(given, class_rows=tensor(4, DIM + 2, seed=2)))


@pytest.mark.parametrize("name", [n for n in COMPARES if not n.startswith(("mix", "lce", "ract"))])
def test_longer_vectors_are_compared_by_their_shared_part(name):
    loss, given = losses()[name], batch()
    longer = torch.cat([given.new, tensor(len(LABELS), 2, seed=9)], 1)
    extended = dataclasses.replace(given, new=longer, shared=given.new)
    assert number(loss(extended)) == pytest.approx(number(loss(given)), rel=1e-12)


@pytest.mark.parametrize("field", ["new", "logits", "old", "other", "memory"])
def test_rows_of_another_number_of_items_are_refused(field):
    """A single old row would be compared with each of the new ones, and nobody would notice."""
    given = batch()
    with pytest.raises(InvalidInput, match=f"{field} of 7 items, as there are labels, got 1"):
        dataclasses.replace(given, **{field: getattr(given, field)[:1]})


def test_a_batch_takes_what_a_head_answers():
    given = batch()
    answer = Answer(given.new, given.logits, given.new[:, :2], given.native)
    made = Batch.of(given.labels, answer, old=given.old[:, :2], progress=0.25)
    assert made.compared is answer.shared
    assert made.logits is given.logits
    assert made.native is given.native
    assert torch.equal(made.old, given.old[:, :2])
    assert made.progress == 0.25
    assert float(made.nothing()) == 0.0


class Constant(Loss):
    """Answers a number."""

    needs = frozenset({"memory"})

    def __init__(self, number):
        super().__init__()
        self.number = number

    def value(self, batch):
        return torch.tensor(self.number)


def test_a_sum_weighs_its_terms():
    terms = {"a": (2.0, Constant(3.0)), "b": (0.5, Constant(8.0)), "c": (0.0, Loss())}
    total = WeightedSum({**terms, "ce": (1.0, losses()["classification"])})
    given = batch()
    assert total.needs == {"memory", "labels", "logits"}
    found = total.terms(given)
    expected = 10.0 + number(losses()["classification"](given))
    assert number(total(given)) == pytest.approx(expected)
    assert {k: round(float(v), 3) for k, v in found.items() if k != "ce"} == {"a": 3.0, "b": 8.0}
    with pytest.raises(InvalidInput, match="a loss with a weight"):
        WeightedSum({"c": (0.0, Loss())})


def test_parameters_of_losses_are_found_through_the_sum():
    total = WeightedSum({"adv": (1.0, losses()["advbct"])})
    assert sum(1 for _ in total.parameters()) == 5
    assert np.isfinite(number(total(batch())))
