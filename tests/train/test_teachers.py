"""Teachers: whose values they are, that they never learn, and what they refuse."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.errors import DimensionMismatch, InvalidInput  # noqa: E402
from holdfast.train.heads import LearnedHead  # noqa: E402
from holdfast.train.interface import Interface  # noqa: E402
from holdfast.train.loop import Training  # noqa: E402
from holdfast.train.losses.base import Batch, Loss  # noqa: E402
from holdfast.train.losses.distillation import FeatureDistillation  # noqa: E402
from holdfast.train.losses.higher_order import HigherOrder  # noqa: E402
from holdfast.train.model import Model, digest, grown, vectors_of  # noqa: E402
from holdfast.train.recipe import Recipe, sgd  # noqa: E402
from holdfast.train.scenarios import architectures, retrain  # noqa: E402
from holdfast.train.simplex import OneHotHead  # noqa: E402
from holdfast.train.stage import Stage  # noqa: E402
from holdfast.train.teachers import ModelTeacher, StoredVectors  # noqa: E402
from tests.train.toys import WIDTH, blobs, learned_model, names, network, simplex_model  # noqa: E402

INPUTS, CLASSES = blobs()
ITEMS = np.array([3, 0, 100])


def made(seed=0):
    torch.manual_seed(seed)
    return simplex_model(None).train()


def test_a_model_teaches_what_it_answered_when_it_was_copied():
    model = made()
    teacher = ModelTeacher(model)
    expected = model.eval()(INPUTS[ITEMS])
    with torch.no_grad():
        model.head.project.weight.add_(1.0)
    for _ in range(2):  # its batch normalisation learns nothing either
        given = teacher(INPUTS[ITEMS], ITEMS)
        assert torch.equal(given["old"], expected.vectors)
        assert torch.equal(given["old_logits"], expected.logits)
        assert not given["old"].requires_grad
    assert set(ModelTeacher(model, "other")(INPUTS[ITEMS], ITEMS)) == {"other", "other_logits"}
    with pytest.raises(InvalidInput, match="old or other"):
        ModelTeacher(model, "new")


@pytest.mark.parametrize("stored", [False, True])
def test_where_a_coordinate_is_a_class_the_first_ones_are_compared(stored):
    """A model of 6 classes beside one of 4; and one whose coordinates are no classes."""
    torch.manual_seed(0)
    plan = retrain(CLASSES, Interface("grows", "one-hot"), [names(0, 4), names(4, 6)])
    old, new, other = (
        Model(network(), head).eval()
        for head in (OneHotHead(WIDTH, 4), OneHotHead(WIDTH, 6), LearnedHead(WIDTH, 6))
    )
    place, loss = plan.tasks[1].items, FeatureDistillation(memory_only=False)

    def compared(new, old):
        rows = vectors_of(old, INPUTS, place)
        teacher = StoredVectors(place, rows) if stored else ModelTeacher(old)
        stage = Stage(plan.tasks[1], new, teacher, None, old, INPUTS, None)
        items = place[::7]
        none = torch.zeros(len(items), dtype=torch.bool)
        batch = stage.batch(loss, INPUTS[items], items, none, new(INPUTS[items]), 0.0)
        return float(loss(batch).detach())

    mine = vectors_of(new, INPUTS, place)[::7].double()
    theirs = vectors_of(old, INPUTS, place)[::7].double()
    near = torch.nn.functional.cosine_similarity(mine[:, :4], theirs)
    assert compared(new, old) == pytest.approx(float((1.0 - near).mean()), rel=1e-5)
    near = torch.nn.functional.cosine_similarity(mine, mine)
    assert compared(new, new) == pytest.approx(float((1.0 - near).mean()), abs=1e-6)
    with pytest.raises(DimensionMismatch, match=r"Batch\.shared"):  # nothing is cut in silence
        compared(new, other)


def test_stored_vectors_are_looked_up_by_place():
    rows = torch.randn(4, 5)
    given = StoredVectors([7, 0, 3, 100], rows)(INPUTS[ITEMS], ITEMS)
    assert torch.equal(given["old"], rows[[2, 1, 3]])
    assert given["credible"].tolist() == [True] * 3
    partial = StoredVectors([7, 0], rows[:2], partial=True)(INPUTS[ITEMS], ITEMS)
    assert torch.equal(partial["old"], torch.stack([0 * rows[0], rows[1], 0 * rows[0]]))
    assert partial["credible"].tolist() == [False, True, False]
    with pytest.raises(InvalidInput, match="none of 2 of 3"):
        StoredVectors([7, 0], rows[:2])(INPUTS[ITEMS], ITEMS)
    with pytest.raises(InvalidInput, match="each item once"):
        StoredVectors([7, 7], rows[:2])


def test_items_without_a_stored_vector_pull_at_nothing():
    """Their rows of zeros give the contrast no anchor; with no anchor at all it is flat."""
    new = torch.randn(3, 5, requires_grad=True)
    labels = torch.tensor([0, 1, 2])
    loss = HigherOrder(mix=0.0)
    loss(Batch(labels, new, old=torch.zeros(3, 5))).backward()
    assert float(new.grad.abs().max()) == 0.0


def test_losses_get_the_independent_model_where_they_ask():
    seen = []

    class Asks(Loss):
        needs = frozenset({"other", "other_logits"})

        def value(self, batch):
            seen.append((batch.other, batch.other_logits, batch.old))
            return batch.nothing()

    independent = {}

    def other(task):
        independent[task.name] = learned_model(task)
        return independent[task.name]

    plan = architectures(CLASSES, Interface("t", "one-hot"), ["a", "b"])
    recipe = Recipe(epochs=1, size=240, optimiser=sgd(0.0))
    Training(INPUTS, plan, learned_model, Asks(), recipe, other=other).run()
    everything = np.arange(len(INPUTS))
    for (vectors, logits, old), model in zip(seen, independent.values(), strict=True):
        expected = vectors_of(model, INPUTS, everything)
        # one batch of everything, in a drawn order: compare without it
        np.testing.assert_allclose(vectors.mean(0), expected.mean(0), atol=1e-5)
        assert logits.shape == (240, 6)
        assert old is None  # nobody asked for it


def test_a_digest_is_of_every_bit():
    first, other = made(), made()
    assert digest(first) == digest(other) != digest(made(1))
    with torch.no_grad():
        other.head.project.weight[0, 0] = torch.nextafter(
            other.head.project.weight[0, 0], torch.tensor(9.0)
        )
    assert digest(first) != digest(other)


def test_growing_copies():
    plan = architectures(CLASSES, Interface("t", "one-hot"), ["a"])
    model = learned_model(plan.tasks[0])
    table = plan.tasks[0].interface.filled(["more"])
    wider = grown(model, table)
    assert (model.outputs, wider.outputs) == (6, 7)
    assert grown(model, plan.tasks[0].interface) is not model
    a, b = model.eval()(INPUTS), wider.eval()(INPUTS)
    np.testing.assert_allclose(a.logits.detach(), b.logits[:, :6].detach(), atol=1e-6)


class Halved(Model):
    def forward(self, inputs):
        return super().forward(0.5 * inputs)


def test_a_model_of_ones_own_kind_stays_one_as_it_grows():
    plan = architectures(CLASSES, Interface("t", "one-hot"), ["a"])
    plain = learned_model(plan.tasks[0]).eval()
    model = Halved(plain.backbone, plain.head).eval()
    wider = grown(model, plan.tasks[0].interface.filled(["more"]))
    expected = plain(0.5 * INPUTS).logits.detach()
    np.testing.assert_allclose(wider(INPUTS).logits[:, :6].detach(), expected, atol=1e-6)


def test_vectors_leave_the_model_in_its_mode():
    model = made()
    vectors = vectors_of(model, INPUTS, np.arange(7))
    assert model.training
    assert torch.equal(vectors, model.eval()(INPUTS[:7]).vectors.detach())
    with pytest.raises(InvalidInput, match="at least one item"):
        vectors_of(model, INPUTS, np.arange(0))


def test_recipes_are_checked():
    wrongs = [{"epochs": 0}, {"size": 0}, {"tell_every": 0}, {"save_every": -1}, {"seed": -1}]
    for wrong in (*wrongs, {"save_seconds": 0.0}, {"save_seconds": float("nan")}):
        with pytest.raises(InvalidInput, match="Recipe"):
            Recipe(**wrong)
    with pytest.raises(InvalidInput, match="bfloat16 on this device"):
        Recipe(amp="float16")
    with pytest.raises(InvalidInput, match="amp as"):
        dataclasses.replace(Recipe(), amp="int8")
