"""Prompts in a CLIP: nothing changes without any, and nothing but them is learned."""

import math
import re

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import numpy as np  # noqa: E402
from transformers import CLIPConfig, CLIPModel  # noqa: E402

from holdfast.errors import ArtifactError, DimensionMismatch, InvalidInput  # noqa: E402
from holdfast.train.model import digest  # noqa: E402
from holdfast.train.prompts.clip import PromptedClip  # noqa: E402
from tests.train.prompts.tiny import (  # noqa: E402
    LAYERS,
    PATCHES,
    TEXTS,
    WIDE,
    clip,
    older,
    pictures,
    tokenize,
)

NAMES = list(TEXTS)
MODES = ["replace", "accumulate", "accumulate_same"]


def native(model):
    """Rows of the model itself, by its own methods, whichever type they answer."""
    tokens = tokenize(NAMES)
    with torch.no_grad():
        found = model.get_text_features(**tokens), model.get_image_features(pictures())
    rows = [getattr(answer, "pooler_output", answer) for answer in found]
    return [torch.nn.functional.normalize(row, dim=-1) for row in rows]


def prompted(model=None, **options):
    return PromptedClip(clip() if model is None else model, tokenize, depth=LAYERS, **options)


def both(made):
    with torch.no_grad():
        images = pictures().to(made.clip.dtype)
        return made.text_vectors(NAMES), made.image_vectors(images)


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("eos", [2, 40])
@pytest.mark.parametrize("mode", MODES)
def test_without_prompts_rows_are_the_models_own_bit_for_bit(attention, eos, mode):
    model = clip(attention, eos)
    texts, images = native(model)
    found = both(prompted(model, prompts=0, text_mode=mode, image_mode=mode))
    assert torch.equal(found[0], texts)
    assert torch.equal(found[1], images)


@pytest.mark.parametrize("mode", MODES)
def test_layers_of_the_older_release_give_the_same(mode):
    options = {"text_mode": mode, "image_mode": mode, "seed": 3}
    new, old = both(prompted(**options)), both(prompted(older(clip()), **options))
    assert torch.equal(new[0], old[0])
    assert torch.equal(new[1], old[1])
    assert not torch.equal(new[0], native(clip())[0])  # the prompts do something
    assert not torch.equal(new[1], native(clip())[1])


def slow_text(model, prompts, ids, mode):
    """One text without padding, by the layers' own parts and plain softmax."""
    tower, states = model.text_model, None
    words = tower.embeddings.token_embedding(torch.tensor([ids]))[0]
    count = 0
    for number, layer in enumerate(tower.encoder.layers):
        own = prompts[number]
        if number == 0:
            states = torch.cat([words[:1], own, words[1:]])
            states = states + tower.embeddings.position_embedding.weight[: len(states)]
            count = len(own)
        elif mode == "replace":
            states = torch.cat([states[:1], own, states[1 + count :]])
        else:
            states = torch.cat([states[: 1 + count], own, states[1 + count :]])
            count += len(own)
        states = slow_layer(layer, states, causal=True)
    row = tower.final_layer_norm(states)[len(ids) - 1 + count]
    return torch.nn.functional.normalize(model.text_projection(row), dim=-1)


def slow_layer(layer, states, causal):
    attention, rows = layer.self_attn, layer.layer_norm1(states)
    heads = []
    split = [part(rows).chunk(4, dim=-1) for part in (
        attention.q_proj, attention.k_proj, attention.v_proj
    )]  # fmt: skip
    for q, k, v in zip(*split, strict=True):
        scores = q @ k.T / math.sqrt(q.shape[-1])
        if causal:
            scores = scores + torch.full_like(scores, -math.inf).triu(1)
        heads.append(scores.softmax(-1) @ v)
    states = states + attention.out_proj(torch.cat(heads, dim=-1))
    return states + layer.mlp(layer.layer_norm2(states))


@pytest.mark.parametrize("mode", ["replace", "accumulate"])
def test_texts_against_layers_written_out(mode):
    model = clip()
    made = prompted(model, text_mode=mode, prompts=2)
    for name in NAMES:
        ids = [number for number in TEXTS[name] if number]
        with torch.no_grad():
            expected = slow_text(model, made.prompts, ids, mode)
            found = made.text_vectors(NAMES)[NAMES.index(name)]  # padded beside longer ones
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_pictures_against_layers_written_out():
    model = clip()
    made = prompted(model, prompts=2)
    tower = model.vision_model
    with torch.no_grad():
        mapped = made.prompts @ made.bridge.weight.T + made.bridge.bias
        states = tower.embeddings(pictures(1))[0]
        for number, layer in enumerate(tower.encoder.layers):
            states = torch.cat([states, mapped[number]])
            states = tower.pre_layrnorm(states) if number == 0 else states
            states = slow_layer(layer, states, causal=False)
        row = model.visual_projection(tower.post_layernorm(states[0]))
        expected = torch.nn.functional.normalize(row, dim=-1)
        found = made.image_vectors(pictures(1))[0]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("mode", "last"), [("replace", 2), ("accumulate", 2 * LAYERS)])
def test_tokens_of_the_last_layer(mode, last):
    model, seen = clip(), []
    made = prompted(model, image_mode=mode)
    layer = model.vision_model.encoder.layers[-1]
    layer.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[1]))
    both(made)
    assert seen == [1 + PATCHES + last]


def test_the_published_model_trains_406272_parameters():
    text = {"hidden_size": 512, "num_hidden_layers": 12, "num_attention_heads": 8}
    vision = {
        "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
        "image_size": 224, "patch_size": 16,
    }  # fmt: skip
    with torch.device("meta"):
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=512))
    made = PromptedClip(model, tokenize)
    assert made.count == 406_272
    shapes = {name: tuple(value.shape) for name, value in made.learned().items()}
    assert shapes == {
        "prompts": (12, 2, 512), "bridge.weight": (768, 512), "bridge.bias": (768,)
    }  # fmt: skip
    assert PromptedClip(model, tokenize, image_mode=None).count == 12 * 2 * 512


def test_prompts_start_as_glorot_has_it():
    made = prompted(prompts=2, seed=5)
    bound = math.sqrt(6.0 / ((2 + LAYERS) * 32))
    assert made.prompts.abs().max() <= bound
    assert made.prompts.abs().max() > 0.95 * bound
    assert torch.equal(made.prompts, prompted(prompts=2, seed=5).prompts)
    assert not torch.equal(made.prompts, prompted(prompts=2, seed=6).prompts)


def test_only_prompts_and_bridge_have_gradients():
    model = clip()
    before = digest(model)
    made = prompted(model).train()
    assert not model.training
    (made.image_vectors(pictures(4)) @ made.text_vectors(NAMES).T).square().sum().backward()
    with_gradient = {name for name, value in made.named_parameters() if value.grad is not None}
    assert with_gradient == {"prompts", "bridge.weight", "bridge.bias"} == set(made.learned())
    assert all(value.grad.abs().sum() > 0 for value in made.learned().values())
    assert digest(model) == before


def test_half_precision_stays_near():
    rough = prompted(clip().to(torch.bfloat16), seed=1)
    for one, two in zip(both(rough), both(prompted(seed=1)), strict=True):
        assert one.dtype == torch.float32
        assert (one * two).sum(-1).min() > 0.995


def test_what_is_learned_is_kept_apart_from_the_model(tmp_path):
    made = prompted(seed=1)
    made.save(tmp_path / "prompts.safetensors")
    again = prompted(seed=2).restore(tmp_path / "prompts.safetensors")
    for one, two in zip(both(made), both(again), strict=True):
        assert torch.equal(one, two)
    learned = sum(value.numel() for value in made.learned().values())
    assert made.count == learned == LAYERS * 2 * 32 + 32 * WIDE + WIDE
    assert (tmp_path / "prompts.safetensors").stat().st_size < 4 * learned + 1000
    with pytest.raises(ArtifactError, match="clip"):
        prompted(clip(seed=9)).restore(tmp_path / "prompts.safetensors")
    with pytest.raises(ArtifactError, match="image_mode"):
        prompted(image_mode="replace").restore(tmp_path / "prompts.safetensors")


def test_what_cannot_be_is_refused():
    with pytest.raises(InvalidInput, match="depth from 1 to 3"):
        PromptedClip(clip(), tokenize, depth=4)
    with pytest.raises(InvalidInput, match="text_model"):
        PromptedClip(torch.nn.Linear(2, 2), tokenize, depth=1)
    with pytest.raises(InvalidInput, match="prompts from 0"):
        prompted(prompts=-1)
    with pytest.raises(InvalidInput, match=r"image_mode: expected one of .* None, got 'acumulate'"):
        prompted(image_mode="acumulate")
    with pytest.raises(InvalidInput, match=r"text_mode: expected one of .*, got None"):
        prompted(text_mode=None)
    with pytest.raises(InvalidInput, match="at most 6 tokens"):
        prompted(prompts=4).text_vectors(NAMES)

    def left(texts):
        given = tokenize(texts)
        return {name: value.flip(1) for name, value in given.items()}

    with pytest.raises(InvalidInput, match="padded on the right"):
        PromptedClip(clip(), left, depth=LAYERS).text_vectors(NAMES)
    assert np.isfinite(both(prompted())[0].numpy()).all()


@pytest.mark.parametrize("image_mode", ["accumulate", None])
@pytest.mark.parametrize(
    "shape",
    [(3, 16, 16), (2, 16, 16), (2, 1, 16, 16), (2, 3, 8, 8), (2, 16, 16, 3), (0, 3, 16, 16)],
)
def test_pictures_that_the_model_does_not_take_are_refused(shape, image_mode):
    made = prompted(image_mode=image_mode)
    expected = r"PromptedClip: expected a tensor \(b, 3, 16, 16\) of one picture or more, got "
    with pytest.raises(DimensionMismatch, match=expected + re.escape(str(shape))):
        made.image_vectors(torch.zeros(shape))
    with pytest.raises(DimensionMismatch, match=f"{expected}ndarray"):
        made.image_vectors(np.zeros(shape))


@pytest.mark.parametrize("texts", ["a dog", []])
def test_texts_come_in_a_list(texts):
    """Of a text alone each letter would be a text."""
    with pytest.raises(InvalidInput, match="a list of one text or more, got"):
        prompted().text_vectors(texts)
