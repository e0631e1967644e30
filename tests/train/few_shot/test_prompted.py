"""Prompts trained session by session, against the published loop written out."""

import copy

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from holdfast.errors import InvalidInput  # noqa: E402
from holdfast.train.batches import generator  # noqa: E402
from holdfast.train.few_shot.prompted import Prompted, PromptRecipe  # noqa: E402
from holdfast.train.model import digest  # noqa: E402
from holdfast.train.prompts.clip import PromptedClip  # noqa: E402
from holdfast.train.prompts.rates import constant  # noqa: E402
from tests.train.prompts.tiny import LAYERS, clip, pictures, tokenize  # noqa: E402

SESSIONS = [["a dog", "a cat"], ["a horse in a field", "a ship"]]
SHOWN = [(pictures(10, 1), [0, 1] * 5), (pictures(5, 2), [0, 1, 1, 0, 1])]
QUICK = {"base_epochs": 2, "base_size": 4, "epochs": 3, "size": 2}


def towers(**options):
    return PromptedClip(clip(), tokenize, depth=LAYERS, scale=10.0, seed=1, **options)


def trained(made, **options):
    recipe = PromptRecipe(**{**QUICK, "rate": constant(0.05), "seed": 4, **options})
    method = Prompted(made, recipe, template="{}")
    for (images, labels), names in zip(SHOWN, SESSIONS, strict=True):
        method.fit_session(images, labels, names)
    return method


def learned(made):
    return torch.cat([value.detach().flatten() for value in made.learned().values()])


def published(made, decay=1e-5):
    """All known classes, earlier ones masked by -9999, and gradients scaled after backward."""
    known = []
    for number, ((images, labels), names) in enumerate(zip(SHOWN, SESSIONS, strict=True)):
        first = len(known)
        known += names
        share = 1.0 if number == 0 else len(names) / len(known)
        parameters = list(made.learned().values())
        sgd = torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=decay)
        epochs, size = ((2, 4), (3, 2))[number]
        for epoch in range(epochs):
            order = generator(4, number, epoch).permutation(len(images))
            for start in range(0, len(order), size):
                chosen = order[start : start + size]
                logits = 10.0 * made.image_vectors(images[chosen]) @ made.text_vectors(known).T
                logits[:, :first] = -9999.0
                goal = torch.tensor([first + labels[place] for place in chosen])
                sgd.zero_grad()
                torch.nn.functional.cross_entropy(logits, goal).backward()
                for value in parameters:
                    value.grad.mul_(share)
                sgd.step()


def test_sessions_end_where_the_published_loop_ends():
    expected, made = towers(), towers()
    published(expected, decay=0.0)
    start = learned(made)
    trained(made, decay=0.0)
    moved = (learned(made) - start).abs().max()
    assert moved > 0.01
    torch.testing.assert_close(learned(made), learned(expected), rtol=0, atol=1e-4 * float(moved))


def test_the_ratio_slows_later_sessions_and_not_the_first():
    on, off = towers(), towers()
    first = []
    for made, scale in ((on, "class_ratio"), (off, None)):
        recipe = PromptRecipe(**QUICK, rate=constant(0.05), lr_scale=scale)
        method = Prompted(made, recipe, template="{}").fit_session(*SHOWN[0], SESSIONS[0])
        first.append(learned(made))
        method.fit_session(*SHOWN[1], SESSIONS[1])
    assert torch.equal(*first)
    steps = [(learned(made) - first[0]).norm() for made in (on, off)]
    assert steps[0] < 0.7 * steps[1]


def test_under_adamw_the_rate_is_what_is_scaled():
    made, plain = towers(), towers()
    rates = []
    recipe = PromptRecipe(**QUICK, rate=constant(0.01), optimiser="adamw", decay=0.0)

    class Watched(PromptRecipe):
        __slots__ = ()

        def made(self, parameters):
            optimiser = super().made(parameters)
            optimiser.register_step_pre_hook(
                lambda one, *_: rates.append(one.param_groups[0]["lr"])
            )
            return optimiser

    options = {name: getattr(recipe, name) for name in recipe.__slots__}
    method = Prompted(made, Watched(**options), template="{}")
    for (images, labels), names in zip(SHOWN, SESSIONS, strict=True):
        method.fit_session(images, labels, names)
    # 10 pictures by 4 are 3 steps, twice; 5 by 2 are 3 steps, three times
    assert rates == pytest.approx([0.01] * 6 + [0.01 * 2 / 4] * 9)
    trained(plain, rate=constant(0.01), optimiser="adamw", decay=0.0, lr_scale=None)
    assert not torch.allclose(learned(made), learned(plain), atol=1e-4)


def test_the_same_seed_gives_the_same_bits():
    one, two, other = towers(), towers(), towers()
    trained(one)
    trained(two)
    trained(other, seed=5)
    assert torch.equal(learned(one), learned(two))
    assert not torch.equal(learned(one), learned(other))


def test_it_learns_what_it_is_shown_and_leaves_the_model_alone():
    made = towers()
    before = digest(made.clip)
    recipe = PromptRecipe(base_epochs=30, base_size=4, rate=constant(0.1))
    images = 0.3 * pictures(8, 3)
    images[1::2] += 1.0
    method = Prompted(made, recipe, template="{}").fit_session(
        images, [0, 1] * 4, ["a dog", "a cat"]
    )
    assert method.predict(images).tolist() == [0, 1] * 4
    assert digest(made.clip) == before
    rows = made.text_vectors(["a dog", "a cat"]).detach()
    torch.testing.assert_close(method.class_vectors(), rows)


def test_without_prompts_in_pictures_the_gallery_never_moves():
    made = towers(image_mode=None)
    images = pictures(6, 5)
    before = made.image_vectors(images).detach().numpy()
    calls = []
    native = type(made).image_vectors

    class Counted(type(made)):
        def image_vectors(self, images):
            calls.append(len(images))
            return native(self, images)

    made.__class__ = Counted
    start = learned(made)
    method = trained(made)
    assert not torch.equal(learned(made), start)
    np.testing.assert_array_equal(method.vectors(images), before)
    assert calls == [10, 5, 6]  # each session's pictures once, then the gallery's
    assert made.count == LAYERS * 2 * 32


def test_caching_pictures_changes_nothing():
    """Rows made once are those that would be made at each step."""
    made, slow = towers(image_mode=None), towers(image_mode=None)
    trained(made, decay=0.0)
    published(slow, decay=0.0)
    torch.testing.assert_close(learned(made), learned(slow), rtol=1e-3, atol=1e-6)


def test_what_makes_no_sense_is_refused():
    with pytest.raises(InvalidInput, match="from 1"):
        PromptRecipe(epochs=0)
    with pytest.raises(InvalidInput, match="class_ratio or None"):
        PromptRecipe(lr_scale="other")
    method = Prompted(copy.deepcopy(towers()), PromptRecipe(rate=constant(1e30)), template="{}")
    with pytest.raises(InvalidInput, match="a finite loss"):
        method.fit_session(*SHOWN[0], SESSIONS[0])
    assert method.classes == ()


def test_a_session_that_fails_leaves_the_prompts_as_they_were():
    made = towers()
    start = learned(made)
    for recipe, message in (
        (PromptRecipe(rate=constant(1e30)), "a finite loss"),
        # a single step, after which no loss is asked for any more
        (PromptRecipe(base_epochs=1, rate=constant(float("inf"))), "finite prompts"),
    ):
        method = Prompted(made, recipe, template="{}")
        with pytest.raises(InvalidInput, match=message):
            method.fit_session(*SHOWN[0], SESSIONS[0])
        assert torch.equal(learned(made), start)
    trained(made)  # and another rate may be tried
    expected = towers()
    trained(expected)
    assert torch.equal(learned(made), learned(expected))


def test_making_prompts_draws_from_nobodys_generator_and_from_none_but_the_cpus(monkeypatch):
    """On a GPU the same seed gives the same prompts, and the program's own draws go on."""
    model, state, seeds = clip(), torch.get_rng_state(), []
    expected = learned(towers())
    monkeypatch.setattr(torch, "manual_seed", seeds.append)
    assert torch.equal(learned(PromptedClip(model, tokenize, depth=LAYERS, seed=1)), expected)
    assert torch.equal(torch.get_rng_state(), state)
    assert not seeds  # it gives the generators of all GPUs a new state
