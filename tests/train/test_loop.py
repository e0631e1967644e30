"""The loop: it is a bare loop, it goes on bit for bit, and it tells what it does."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.errors import ArtifactError, ConfigError, InvalidInput  # noqa: E402
from holdfast.train.batches import balanced, generator  # noqa: E402
from holdfast.train.heads import LearnedHead  # noqa: E402
from holdfast.train.interface import Interface  # noqa: E402
from holdfast.train.loop import Training  # noqa: E402
from holdfast.train.losses.advbct import AdvBCT  # noqa: E402
from holdfast.train.losses.base import Loss, WeightedSum  # noqa: E402
from holdfast.train.losses.classification import Classification  # noqa: E402
from holdfast.train.losses.distillation import FeatureDistillation  # noqa: E402
from holdfast.train.losses.higher_order import HigherOrder  # noqa: E402
from holdfast.train.losses.influence import Influence  # noqa: E402
from holdfast.train.losses.mixbct import MixBCT  # noqa: E402
from holdfast.train.losses.prototypes import class_means  # noqa: E402
from holdfast.train.losses.unibct import UniBCT  # noqa: E402
from holdfast.train.memory import Memory  # noqa: E402
from holdfast.train.model import Model, vectors_of  # noqa: E402
from holdfast.train.recipe import Recipe, adam, sgd  # noqa: E402
from holdfast.train.scenarios import asynchronous, incremental, retrain  # noqa: E402
from holdfast.train.session import settled  # noqa: E402
from holdfast.train.simplex import OneHotHead, SimplexHead  # noqa: E402
from holdfast.train.teachers import StoredVectors  # noqa: E402
from tests.train.toys import (  # noqa: E402
    CAPACITY,
    WIDTH,
    blobs,
    hoc,
    learned_model,
    names,
    network,
    same_bits,
    simplex,
    simplex_model,
)

INPUTS, CLASSES = blobs()
STEPS = [names(0, 2), names(2, 4), names(4, 6)]
QUICK = Recipe(epochs=2, size=16, optimiser=sgd(0.05), tell_every=1)


def scenario(**changed):
    return incremental(CLASSES, simplex(), STEPS, Memory(per_class=5), **changed)


def noise(rows):
    return rows + 0.05 * torch.randn_like(rows)


class Stopped(Exception):
    pass


def stop_at(number, step):
    def listener(event):
        if event.what == "step" and (event.number, event.step) == (number, step):
            raise Stopped

    return listener


@pytest.mark.parametrize("optimiser", [sgd(0.05), adam(0.01)])
@pytest.mark.parametrize(("task", "step"), [(0, 7), (1, 1), (2, 3), (2, 10)])
def test_a_stopped_run_ends_with_the_same_bits(tmp_path, optimiser, task, step):
    recipe = dataclasses.replace(QUICK, optimiser=optimiser, augment=noise, save_every=3)
    told = [[], []]
    values = [lambda e, to=to: to.append((e.what, e.number, e.step, dict(e.values))) for to in told]
    whole = Training(INPUTS, scenario(), simplex_model, hoc, recipe, listeners=[values[0]]).run()
    one = Training(
        INPUTS, scenario(), simplex_model, hoc, recipe, listeners=[values[1], stop_at(task, step)]
    )
    with pytest.raises(Stopped):
        one.run(tmp_path)
    torch.manual_seed(99)  # whoever goes on has other generators
    again = Training(INPUTS, scenario(), simplex_model, hoc, recipe, listeners=[values[1]])
    ended = again.run(tmp_path)
    assert [same_bits(a, b) for a, b in zip(whole, ended, strict=True)] == [True] * 3

    def numbers(events):
        return {event[:3]: event[3] for event in events if event[0] in {"step", "epoch"}}

    assert numbers(told[0]) == numbers(told[1])  # and every loss and every mean on the way
    read = again.run(tmp_path)  # nothing is left to train
    assert [same_bits(a, b) for a, b in zip(read, ended, strict=True)] == [True] * 3


def test_a_long_epoch_is_saved_in_its_midst_and_gone_on_from_there(tmp_path):
    """Each look at the clock is 40 seconds after the one before it; an epoch has 5 steps."""
    seconds = itertools.count(step=40)
    recipe = dataclasses.replace(QUICK, save_seconds=100.0, clock=lambda: next(seconds))
    whole = Training(INPUTS, scenario(), simplex_model, hoc, recipe).run()
    saved, steps = [], []

    def listen(event):
        steps.append((event.number, event.step))
        if event.what == "checkpoint":
            saved.append((event.number, event.step))
        if event.what == "step" and steps[-2:] == [(0, 8), (0, 9)]:
            raise Stopped

    with pytest.raises(Stopped):
        Training(INPUTS, scenario(), simplex_model, hoc, recipe, listeners=[listen]).run(tmp_path)
    assert saved == [(0, 3), (0, 5), (0, 8)]  # by the clock, by the epoch, by the clock
    steps.clear()
    ended = Training(INPUTS, scenario(), simplex_model, hoc, recipe, listeners=[listen]).run(
        tmp_path
    )
    assert steps[0] == (0, 9)
    assert [same_bits(a, b) for a, b in zip(whole, ended, strict=True)] == [True] * 3


@pytest.mark.parametrize("place", [(0, 2), (1, 5), (2, 12)])
def test_who_interrupts_between_two_steps_loses_none(tmp_path, place):
    """In an epoch, at the end of one, and after the last step of all."""
    steps, stops = [], []

    def listen(event):
        if event.what == "step":
            steps.append((event.number, event.step))
            if steps[-1:] == stops:
                raise KeyboardInterrupt

    training = Training(INPUTS, scenario(), simplex_model, hoc, QUICK, listeners=[listen])
    whole, expected = training.run(), steps.copy()
    steps.clear()
    assert expected[-1] == (2, 12)
    stops.append(place)
    with pytest.raises(KeyboardInterrupt):
        training.run(tmp_path)
    ended = training.run(tmp_path)
    assert steps == expected
    assert [same_bits(a, b) for a, b in zip(whole, ended, strict=True)] == [True] * 3


class Tempered(Loss):
    """Learns how sharp the softmax is."""

    needs = frozenset({"labels", "logits"})

    def __init__(self):
        super().__init__()
        self.sharpness = torch.nn.Parameter(torch.ones(()))

    def value(self, batch):
        return torch.nn.functional.cross_entropy(self.sharpness * batch.logits, batch.labels)


def test_a_loss_that_learns_begins_each_task_as_it_was_given(tmp_path):
    """Else a run that goes on between two tasks, or is called twice, ends with other bits."""
    loss = Tempered()
    training = Training(INPUTS, scenario(), simplex_model, loss, QUICK)
    whole = training.run()
    assert loss.sharpness.item() == 1.0
    assert [same_bits(a, b) for a, b in zip(whole, training.run(), strict=True)] == [True] * 3
    stopped = Training(
        INPUTS, scenario(), simplex_model, Tempered(), QUICK, listeners=[stop_at(1, 2)]
    )
    with pytest.raises(Stopped):
        stopped.run(tmp_path)
    ended = Training(INPUTS, scenario(), simplex_model, Tempered(), QUICK).run(tmp_path)
    assert [same_bits(a, b) for a, b in zip(whole, ended, strict=True)] == [True] * 3


class Bursts(Loss):
    """Finite weights until half of the training is done."""

    needs = frozenset({"labels", "logits"})

    def value(self, batch):
        huge = 1e38 if batch.progress >= 0.5 else 1.0
        return huge * torch.nn.functional.cross_entropy(batch.logits, batch.labels)


@pytest.mark.parametrize("save_every", [0, 3])
def test_a_run_that_diverged_is_not_gone_on_from_at_another_rate_in_silence(tmp_path, save_every):
    plan = retrain(CLASSES, simplex(), [names(0, 6)])

    def run(rate):
        recipe = Recipe(epochs=4, size=16, optimiser=sgd(rate), save_every=save_every)
        Training(INPUTS, plan, simplex_model, Bursts(), recipe).run(tmp_path)

    with pytest.raises(InvalidInput, match=r"expected finite weights|a finite loss"):
        run(10.0)
    with pytest.raises(InvalidInput, match=r"expected finite weights|a finite loss"):
        run(10.0)  # no checkpoint of NaN was made, from which nothing would ever come
    with pytest.raises(ArtifactError, match=r"lr = \[10.0, 10.0\], as .*got \[0.1, 0.1\]"):
        run(0.1)


@pytest.mark.parametrize("start", ["fresh", "deployed"])
def test_what_asks_for_no_gradient_is_not_trained(start):
    came = []

    def build(task):
        model = simplex_model(task)
        model.backbone[0].requires_grad_(False)
        came.append(model.backbone[0].weight.clone())
        return model

    plan = scenario() if start == "deployed" else retrain(CLASSES, simplex(), STEPS)
    models = Training(INPUTS, plan, build, hoc, QUICK).run()
    assert len(came) == (1 if start == "deployed" else 3)
    for number, model in enumerate(models):
        assert torch.equal(model.backbone[0].weight, came[min(number, len(came) - 1)])
        assert not any(p.requires_grad for p in model.parameters())
    assert not torch.equal(models[0].backbone[3].weight, models[1].backbone[3].weight)


def test_it_is_a_bare_loop():
    """Against a loop written out: batches, labels, memory, teacher, loss, optimiser, rate."""
    recipe = Recipe(epochs=3, size=16, optimiser=sgd(0.05), schedule=None, seed=4)
    made = []

    def build(task):
        made.append(Model(torch.nn.Linear(8, WIDTH), LearnedHead(WIDTH, 16)))
        return made[-1]

    plan = scenario()
    first, second, _ = Training(INPUTS, plan, build, hoc, recipe).run()

    import copy

    weights = copy.deepcopy(made[0])
    for t in range(2):
        task = plan.tasks[t]
        old = copy.deepcopy(weights)
        kept = Memory(per_class=5)
        if t:
            kept = kept.added(plan.tasks[0].items, CLASSES[plan.tasks[0].items])
        momentum = [torch.zeros_like(p) for p in weights.parameters()]
        for epoch in range(3):
            for items, _ in balanced(task.items, kept.items, 16, generator(4, t, epoch)):
                x, y = INPUTS[items], torch.from_numpy(task.labels[items])
                answer = weights(x)
                ce = torch.nn.functional.cross_entropy(answer.logits, y)
                value = ce
                if t:
                    contrast = HigherOrder().contrast(old(x).vectors.detach(), answer.vectors, y)
                    value = 0.1 * ce + 0.9 * contrast
                slopes = torch.autograd.grad(value, list(weights.parameters()))
                with torch.no_grad():
                    for p, g, v in zip(weights.parameters(), slopes, momentum, strict=True):
                        full = g + (5e-4 * p if p.ndim > 1 else 0.0)
                        v.mul_(0.9).add_(full)
                        p.sub_(0.05 * v)
        for got, expected in zip(
            (first, second)[t].parameters(), weights.parameters(), strict=True
        ):
            np.testing.assert_allclose(got.numpy(), expected.detach().numpy(), atol=2e-5)


def test_two_runs_agree_and_two_seeds_do_not():
    def last(seed):
        recipe = dataclasses.replace(QUICK, seed=seed, deterministic=True)
        return Training(INPUTS, scenario(), simplex_model, hoc, recipe).run()[-1]

    assert same_bits(last(0), last(0))
    assert not same_bits(last(0), last(1))
    assert not torch.are_deterministic_algorithms_enabled()


def test_listeners_and_callers_do_not_disturb_each_other():
    def draws(event):
        torch.rand(3)

    quiet = Training(INPUTS, scenario(), simplex_model, hoc, QUICK).run()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    heard = Training(INPUTS, scenario(), simplex_model, hoc, QUICK, listeners=[draws]).run()
    assert same_bits(quiet[-1], heard[-1])
    assert torch.equal(torch.get_rng_state(), before)


def test_the_generators_of_all_gpus_are_put_back(monkeypatch):
    """A seed for one of them is a seed for all that a machine has."""
    asked = []

    def fork(devices):
        asked.append(list(devices))
        return contextlib.nullcontext()

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.random, "fork_rng", fork)
    for device in ("cpu", "cuda:1"):
        with settled(Recipe(device=device)):
            pass
    assert asked == [[], [0, 1, 2]]


def test_events_tell_where_the_run_is(tmp_path):
    events = []
    terms = {"ce": (1.0, Classification()), "fd": (2.0, FeatureDistillation())}

    def loss(stage):
        return WeightedSum(terms) if stage.teacher else Classification()

    Training(INPUTS, scenario(), simplex_model, loss, QUICK, listeners=[events.append]).run(
        tmp_path
    )
    whats = [event.what for event in events if event.number == 1]
    per_epoch = (80 + 10) // 16
    epoch = ["step"] * per_epoch + ["epoch"]
    assert whats == ["task", *epoch, "checkpoint", *epoch, "trained"]
    steps = [e for e in events if e.number == 1 and e.what == "step"]
    for event in steps:
        v = event.values
        assert v["loss"] == pytest.approx(v["ce"] + 2.0 * v["fd"], rel=1e-6)
    means = next(e for e in events if e.number == 1 and e.what == "epoch").values
    assert means["fd"] == pytest.approx(np.mean([e.values["fd"] for e in steps[:per_epoch]]))
    progress = [event.progress for event in events]
    assert progress == sorted(progress)
    assert progress[-1] == 1.0
    assert steps[0].values["rate"] < 0.05
    assert steps[-1].values["rate"] == pytest.approx(0.0, abs=1e-9)  # half a cosine is over


def test_another_run_is_refused_in_the_folder(tmp_path):
    Training(INPUTS, scenario(), simplex_model, hoc, QUICK).run(tmp_path)
    other = dataclasses.replace(QUICK, epochs=3)
    less = dataclasses.replace(QUICK, credible=0.5)
    for changed in (other, less):
        with pytest.raises(ArtifactError, match="Take another folder"):
            Training(INPUTS, scenario(), simplex_model, hoc, changed).run(tmp_path)


def stopped(folder, optimiser=lambda: sgd(0.05)):
    """A run that is interrupted after its first checkpoint."""

    def stop(event):
        if event.what == "checkpoint":
            raise KeyboardInterrupt

    recipe = dataclasses.replace(QUICK, optimiser=optimiser())
    with pytest.raises(KeyboardInterrupt):
        Training(INPUTS, scenario(), simplex_model, hoc, recipe, listeners=[stop]).run(folder)


def test_a_run_does_not_go_on_with_other_inputs(tmp_path):
    stopped(tmp_path)
    other = INPUTS.clone()
    other[7, 0] += 1.0
    with pytest.raises(ArtifactError, match="or the data, tasks and settings it was begun with"):
        Training(other, scenario(), simplex_model, hoc, QUICK).run(tmp_path)
    assert len(Training(INPUTS.clone(), scenario(), simplex_model, hoc, QUICK).run(tmp_path)) == 3


@pytest.mark.parametrize(
    ("begun", "later", "said"),
    [
        (sgd, lambda: sgd(momentum=0.5), r"momentum = \[0\.9, 0\.9\], .*got \[0\.5, 0\.5\]"),
        (sgd, lambda: sgd(decay=0.1), r"weight_decay = \[0\.0005, 0\.0\].*got \[0\.1, 0\.0\]"),
        (adam, lambda: adam(decay=0.1), r"weight_decay = \[0\.0\], .*got \[0\.1\]"),
        (sgd, lambda: adam(0.1), "an optimiser with .*as it was begun with"),
    ],
    ids=["momentum", "decay", "decay of adam", "another kind"],
)
def test_a_run_does_not_go_on_with_another_optimiser(tmp_path, begun, later, said):
    stopped(tmp_path, optimiser=begun)
    changed = dataclasses.replace(QUICK, optimiser=later())
    with pytest.raises(ArtifactError, match=said):
        Training(INPUTS, scenario(), simplex_model, hoc, changed).run(tmp_path)
    same = dataclasses.replace(QUICK, optimiser=begun())
    assert len(Training(INPUTS, scenario(), simplex_model, hoc, same).run(tmp_path)) == 3


def test_a_downloaded_model_takes_over_and_teaches_as_it_came():
    plan = asynchronous(
        CLASSES, simplex(), STEPS, Memory(per_class=5), {0, 2}, "downloaded", side="front"
    )
    came, seen = {}, {}

    def build(task):
        model = simplex_model(task)
        came[task.name] = vectors_of(model, INPUTS, np.arange(9))
        return model

    def loss(stage):
        seen[stage.task.name] = dict(zip(*stage.old, strict=True)), stage.deployed
        return hoc(stage)

    models = Training(INPUTS, plan, build, loss, QUICK).run()
    assert list(came) == ["1", "3"]
    for name in came:
        table, _ = seen[name]
        for item in (4, 8):
            if item in table:
                np.testing.assert_allclose(table[item], came[name][item], atol=1e-6)
    # between replacements the deployed model is the teacher
    table, deployed = seen["2"]
    assert same_bits(deployed, models[0])
    item = int(plan.tasks[1].items[3])
    expected = vectors_of(models[0], INPUTS, np.array([item]))[0]
    np.testing.assert_allclose(table[item], expected, atol=1e-6)


def test_models_that_are_trained_already_are_not_trained_again(tmp_path):
    """Only the last task is left, and it ends as if all had been trained here."""
    whole = Training(INPUTS, scenario(), simplex_model, hoc, QUICK).run()
    told = []
    rest = Training(INPUTS, scenario(), simplex_model, hoc, QUICK, listeners=[told.append])
    ended = rest.run(tmp_path, trained=whole[:2])
    assert [same_bits(a, b) for a, b in zip(whole, ended, strict=True)] == [True] * 3
    assert {event.number for event in told} == {2}
    told.clear()
    assert same_bits(rest.run(tmp_path, trained=whole[:2])[2], whole[2])
    assert told == []
    with pytest.raises(ArtifactError, match="Take another folder"):
        rest.run(tmp_path, trained=[whole[0], whole[0]])
    with pytest.raises(InvalidInput, match="a task left to train"):
        rest.run(trained=whole)


def test_stored_vectors_teach_as_the_model_that_made_them():
    """Without dropout in between, a gallery of the deployed model is that model."""
    steps = [names(0, 3), names(3, 6)]

    def run(teacher, stored=None):
        plan = incremental(CLASSES, simplex(), steps, Memory(per_class=5), teacher)
        return Training(INPUTS, plan, simplex_model, hoc, QUICK, stored).run()

    taught = run("deployed")
    everything = np.arange(len(INPUTS))
    vectors = vectors_of(taught[0], INPUTS, everything)
    stored = run("stored", lambda task: StoredVectors(everything, vectors))
    for got, expected in zip(stored[1].parameters(), taught[1].parameters(), strict=True):
        np.testing.assert_allclose(got.numpy(), expected.numpy(), atol=1e-4)
    with pytest.raises(InvalidInput, match="a vector of every item"):
        run("stored", lambda task: StoredVectors([0, 1], vectors[:2]))
    few = run("stored", lambda task: StoredVectors([0, 1], vectors[:2], partial=True))
    assert not same_bits(few[1], stored[1])


def test_heads_grow_with_their_classes():
    """An old coordinate of a one-hot head is where it was when the next task begins."""
    table = Interface("grows", "one-hot")
    seen = []

    def build(task):
        return Model(network(), OneHotHead(WIDTH, task.interface.capacity))

    def loss(stage):
        seen.append(vectors_of(stage.model, INPUTS, np.arange(5)))
        return Classification()

    plan = incremental(CLASSES, table, STEPS, Memory(per_class=5))
    models = Training(INPUTS, plan, build, loss, QUICK).run()
    assert [model.head.dim for model in models] == [2, 4, 6]
    for model, begun in zip(models[:-1], seen[1:], strict=True):
        old = vectors_of(model, INPUTS, np.arange(5))
        np.testing.assert_allclose(begun[:, : old.shape[1]], old, atol=1e-6)


def test_old_prototypes_are_those_of_the_deployed_model():
    plan = retrain(CLASSES, Interface("c", "one-hot"), STEPS[:2])
    found = {}

    def loss(stage):
        if stage.teacher is None:
            return Classification()
        found["got"] = class_means(*stage.old_vectors(), 4)
        return WeightedSum(
            {"ce": (1.0, Classification()), "bct": (1.0, Influence(found["got"], scale=8.0))}
        )

    first, _ = Training(INPUTS, plan, learned_model, loss, QUICK).run()
    rows = vectors_of(first, INPUTS, np.arange(160)).numpy()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    expected = rows.reshape(4, 40, -1).mean(1)
    np.testing.assert_allclose(found["got"], expected, atol=1e-5)


def test_prototypes_are_refined_at_their_shares(tmp_path):
    plan = retrain(CLASSES, Interface("c", "one-hot"), STEPS[:2])
    at = []

    class Watched(UniBCT):
        def refine(self, new, old, labels):
            at.append((len(new), tuple(old.shape), int(labels.max())))
            super().refine(new, old, labels)

    made = []

    def loss(stage):
        if stage.teacher is None:
            return Classification()
        part = Watched(class_means(*stage.old_vectors(), 4), scale=4.0)
        made.append((part, part.rows.clone()))
        return WeightedSum({"ce": (1.0, Classification()), "bct": (1.0, part)})

    whole = Training(INPUTS, plan, learned_model, loss, QUICK).run()
    assert at == [(160, (160, WIDTH), 3)] * 2
    part, before = made[0]
    assert not torch.equal(part.rows, before)
    stopped = Training(
        INPUTS, plan, learned_model, loss, QUICK, listeners=[stop_at(1, 13)]
    )  # after one of the two, which the checkpoint has to remember
    with pytest.raises(Stopped):
        stopped.run(tmp_path)
    again = Training(INPUTS, plan, learned_model, loss, QUICK).run(tmp_path)
    assert same_bits(whole[1], again[1])


def test_losses_that_draw_and_losses_that_believe():
    plan = retrain(CLASSES, Interface("c", "one-hot"), STEPS[:2])
    seen = []

    class Watched(MixBCT):
        def value(self, batch):
            seen.append(float(batch.credible.float().mean()))
            return super().value(batch)

    def loss(stage):
        return Watched(share=0.5) if stage.teacher else Classification()

    a = Training(INPUTS, plan, learned_model, loss, QUICK).run()[1]
    assert np.mean(seen) == pytest.approx(0.9, abs=0.02)
    b = Training(INPUTS, plan, learned_model, loss, QUICK).run()[1]
    assert same_bits(a, b)


def test_a_gallery_that_has_none_of_the_items_says_nothing():
    """As on the first day of a gallery, or where others' items are stored."""
    plan = retrain(CLASSES, Interface("c", "one-hot"), STEPS[:2], teacher="stored")
    everything = np.arange(len(INPUTS))
    elsewhere = StoredVectors([10**6], np.ones((1, WIDTH)), partial=True)
    somewhere = StoredVectors(everything, np.ones((len(INPUTS), WIDTH)))

    def run(stored, compares):
        def loss(stage):
            return compares(stage) if stage.teacher else Classification()

        return Training(INPUTS, plan, learned_model, loss, QUICK, lambda task: stored).run()[1]

    none, ignored = run(elsewhere, lambda _: MixBCT()), run(somewhere, lambda _: MixBCT(share=0.0))
    assert same_bits(none, ignored)
    rows = np.ones((4, WIDTH))  # from elsewhere, and never refined
    first = run(elsewhere, lambda _: UniBCT(rows, warm_up=0.0))
    assert same_bits(first, run(elsewhere, lambda _: Influence(rows)))


def test_only_what_is_needed_is_computed():
    class Counting(torch.nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.inner = network()

        def forward(self, rows):
            Counting.calls += 1
            return self.inner(rows)

    def build(task):
        return Model(Counting(), LearnedHead(WIDTH, task.interface.capacity))

    plan = incremental(CLASSES, Interface("c", "one-hot"), STEPS[:2], Memory(per_class=5))
    Training(INPUTS, plan, build, Classification(), QUICK).run()
    assert Counting.calls == 2 * (80 // 16) + 2 * (90 // 16)  # no teacher was asked


def test_half_precision_trains_nearly_the_same():
    def last(amp):
        recipe = dataclasses.replace(QUICK, amp=amp, epochs=1)
        return Training(INPUTS, scenario(), simplex_model, hoc, recipe).run()[0]

    half, full = last("bfloat16"), last(None)
    assert not same_bits(half, full)
    a, b = (vectors_of(m, INPUTS, np.arange(240)) for m in (half, full))
    assert float(torch.nn.functional.cosine_similarity(a, b).min()) > 0.99
    assert all(p.dtype == torch.float32 for p in half.parameters())


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(InvalidInput, match="240 inputs"):
        Training(INPUTS[:9], scenario(), simplex_model, hoc)
    with pytest.raises(InvalidInput, match="stored"):
        Training(INPUTS, scenario(teacher="stored"), simplex_model, hoc)
    with pytest.raises(InvalidInput, match="one without old"):
        Training(INPUTS, scenario(), simplex_model, HigherOrder(), QUICK).run()
    with pytest.raises(InvalidInput, match="a finite loss"):
        Training(
            INPUTS, scenario(), simplex_model, hoc, dataclasses.replace(QUICK, optimiser=sgd(1e30))
        ).run()
    with pytest.raises(InvalidInput, match="no way to grow"):
        Training(
            INPUTS,
            retrain(CLASSES, Interface("c", "one-hot"), STEPS),
            lambda task: Model(network(), Stiff()),
            Classification(),
            QUICK,
        ).run()


class Stiff(torch.nn.Module):
    capacity = 1


@pytest.mark.parametrize("head", [LearnedHead, OneHotHead])
def test_every_part_of_a_model_learns(head):
    """A backbone that came to answer, as downloaded ones do, and one whose head has grown."""

    def build(task):
        return Model(network().eval(), head(WIDTH, task.interface.capacity))

    modes = []

    def listener(event):
        if event.what == "step":
            modes.append({part.training for part in event.model.modules()})

    plan = incremental(CLASSES, Interface("grows", "one-hot"), STEPS, Memory(per_class=5))
    models = Training(INPUTS, plan, build, Classification(), QUICK, listeners=[listener]).run()
    assert all(mode == {True} for mode in modes)
    # a layer that looks at whole batches has looked at every one
    assert int(models[-1].backbone[-1].num_batches_tracked) == len(modes)


class Pair(torch.nn.Module):
    """As many backbones do: the rows, and something else."""

    def __init__(self, rows):
        super().__init__()
        self.rows = rows

    def forward(self, inputs):
        return self.rows(inputs), inputs


class Keeps(torch.nn.Module):
    """As hooks do: the last answer stays where it can be looked at."""

    def __init__(self):
        super().__init__()
        self.rows = network()

    def forward(self, inputs):
        self.last = self.rows(inputs)
        return self.last


def test_a_backbone_that_keeps_its_last_answer_is_trained_like_any_other():
    def kept(task):
        made = Model(Keeps(), SimplexHead(WIDTH, CAPACITY))
        made.eval()(INPUTS[:4])  # somebody has tried it
        return made

    made = Training(INPUTS, scenario(), kept, hoc, QUICK).run()
    plain = Training(INPUTS, scenario(), simplex_model, hoc, QUICK).run()
    for one, other in zip(made, plain, strict=True):
        assert same_bits(one.backbone.rows, other.backbone)


def test_what_is_built_otherwise_than_it_should_be_is_named():
    def told(build, recipe=QUICK):
        with pytest.raises(InvalidInput) as caught:
            Training(INPUTS, scenario(), build, hoc, recipe).run()
        return str(caught.value)

    assert "a Model of a backbone and a head, got Sequential" in told(lambda task: network())
    plain = Model(network(), torch.nn.Linear(WIDTH, 16))
    assert "Linear: expected a head that answers an Answer, got Tensor" in told(lambda task: plain)
    for amp in (None, "bfloat16"):
        pair = Model(Pair(network()), SimplexHead(WIDTH, CAPACITY))
        recipe = Recipe(epochs=1, size=16, amp=amp)
        assert "Pair: expected a backbone that answers (b, m) rows, got tuple" in told(
            lambda task, pair=pair: pair, recipe
        )
    square = Model(torch.nn.Unflatten(1, (2, 4)), SimplexHead(4, CAPACITY))
    assert "got Tensor of shape (16, 2, 4)" in told(lambda task: square)
    assert "batches of two items or more" in told(simplex_model, Recipe(size=1))
    for device in ("cuda:999", "meta"):
        with pytest.raises(ConfigError, match=f"Training: device: .* got '{device}'"):
            Training(INPUTS, scenario(), simplex_model, hoc, Recipe(device=device)).run()
    with pytest.raises(InvalidInput, match="Recipe: expected device"):
        Recipe(device="abacus")


def test_a_run_does_not_go_on_with_another_kind_of_model_or_loss(tmp_path):
    listeners = [stop_at(1, 7)]
    with pytest.raises(Stopped):
        Training(INPUTS, scenario(), simplex_model, hoc, QUICK, listeners=listeners).run(tmp_path)

    def other(task):
        return Model(torch.nn.Linear(8, 4), SimplexHead(4, CAPACITY))

    def learning(stage):
        if stage.teacher is None:
            return Classification()
        return AdvBCT(np.ones((CAPACITY, CAPACITY - 1)), np.ones(CAPACITY))

    for build, loss in ((other, hoc), (simplex_model, learning)):
        with pytest.raises(ArtifactError, match=r"such a|an optimiser with"):
            Training(INPUTS, scenario(), build, loss, QUICK).run(tmp_path)


def test_a_loss_is_a_loss():
    assert isinstance(hoc(type("S", (), {"teacher": None})()), Loss)
