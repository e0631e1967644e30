"""The second stage on tiny models: what must not change, what must not be asked, what improves."""

import copy

import numpy as np
import pytest

from holdfast.align.projection import Projection
from holdfast.encode.clip import ClipEncoder
from holdfast.errors import InvalidInput, NotEnoughPairs
from tests.encode.tiny import OLD, clip_folder

torch = pytest.importorskip("torch", reason="needs holdfast[clip]")
transformers = pytest.importorskip("transformers", reason="needs holdfast[clip]")
pytest.importorskip("peft", reason="needs holdfast[clip]")

from holdfast.train import adapt_clip  # noqa: E402
from holdfast.train.adapt_clip import Adapting, Projector, adapt  # noqa: E402

COUNT = 120
COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
LEARNS = Adapting(rank=4, rate=1e-2, epochs=8, batch=48, temperature=0.2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return clip_folder(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def pairs(folder):
    """Flat colours with a caption each: pixels and tokens."""
    from PIL import Image

    rng = np.random.default_rng(0)
    images, texts = [], []
    for i in range(COUNT):
        name = list(COLOURS)[i % 3]
        shade = np.clip(np.array(COLOURS[name]) + rng.integers(-30, 30, 3), 0, 255)
        images.append(Image.new("RGB", (24, 24), tuple(int(c) for c in shade)))
        texts.append(f"a {name} {('square', 'disc')[i // 3 % 2]}")
    seen = transformers.AutoImageProcessor.from_pretrained(folder)
    read = transformers.AutoTokenizer.from_pretrained(folder)
    pixels = seen(images=images, return_tensors="pt")["pixel_values"]
    tokens = read(texts, padding=True, return_tensors="pt")
    return pixels, {"input_ids": tokens["input_ids"]}


@pytest.fixture
def model(folder):
    return transformers.CLIPModel.from_pretrained(folder).eval()


@pytest.fixture(scope="module")
def first(folder):
    """The first stage: a projection fitted on texts alone."""
    rng = np.random.default_rng(1)
    rows = ClipEncoder(folder).encode(["a red disc", "the small blue square"] * 20, "query").array
    rows = rows + 0.3 * rng.normal(size=rows.shape).astype(np.float32)
    turned = rows @ np.linalg.qr(rng.normal(size=(12, 12)))[0][:, : OLD.dim]
    return Projection(epochs=5).fit(rows, turned)


def features(model, pairs):
    with torch.inference_mode():
        seen = model.get_image_features(pixel_values=pairs[0]).pooler_output
        return seen, model.get_text_features(**pairs[1]).pooler_output


def test_the_adapter_off_is_the_model_it_was_bit_for_bit(model, pairs, first):
    before = [rows.clone() for rows in features(model, pairs)]
    adapted = adapt(model, first.get_state(), *pairs, settings=LEARNS)
    assert adapted.epoch > 0
    on = features(adapted.model, pairs)
    assert not torch.equal(on[0], before[0])  # pictures moved
    assert torch.equal(on[1], before[1])  # texts did not: no text layer is adapted
    with adapted.off() as original:
        off = features(original, pairs)
    assert torch.equal(off[0], before[0])
    assert torch.equal(off[1], before[1])


def test_pairs_it_has_not_seen_get_closer_to_their_captions(model, pairs, first):
    adapted = adapt(model, first.get_state(), *pairs, settings=LEARNS)
    assert max(adapted.scores) == adapted.scores[adapted.epoch] > adapted.scores[0] + 0.05
    layers, width = 2, 32  # four square matrices a layer, two factors each
    assert adapted.parameters == layers * 4 * 2 * LEARNS.rank * width


def test_nothing_is_trained_and_nothing_changes_without_epochs(model, pairs, first):
    before = features(model, pairs)[0].clone()
    adapted = adapt(model, first.get_state(), *pairs, settings=Adapting(epochs=0))
    assert adapted.epoch == 0
    assert torch.equal(features(adapted.model, pairs)[0], before)  # also with the adapter on
    for name, value in first.get_state().items():
        np.testing.assert_allclose(adapted.projection[name], value, atol=1e-7)


def test_pairs_that_belong_to_nothing_leave_the_first_stage(model, pairs, first):
    """Captions shuffled among the pictures: whatever is learned is wrong on the others."""
    before = features(model, pairs)[0].clone()
    order = torch.from_numpy(np.random.default_rng(5).permutation(COUNT))
    shuffled = {"input_ids": pairs[1]["input_ids"][order]}
    adapted = adapt(model, first.get_state(), pairs[0], shuffled, settings=LEARNS)
    assert adapted.epoch == 0
    assert torch.equal(features(adapted.model, pairs)[0], before)


def test_the_old_model_is_never_called(folder, pairs, first, monkeypatch, tmp_path):
    """Both models are alive and of one kind; only the new one may be asked."""
    old = transformers.CLIPModel.from_pretrained(clip_folder(tmp_path, OLD)).eval()

    def refuse(*_, **__):
        raise AssertionError("the old model was called")

    for method in ("forward", "get_text_features", "get_image_features"):
        monkeypatch.setattr(old, method, refuse)
    for tower in (old.text_model, old.vision_model):
        monkeypatch.setattr(tower, "forward", refuse)
    with pytest.raises(AssertionError, match="old model was called"):
        old.get_text_features(**pairs[1])
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    calls = []
    monkeypatch.setattr(
        model,
        "get_image_features",
        lambda f=model.get_image_features, **k: calls.append(1) or f(**k),
    )
    adapted = adapt(model, first.get_state(), *pairs, settings=Adapting(epochs=2, batch=48))
    assert len(adapted.scores) == 3
    assert calls


def test_the_projection_moves_only_when_asked_and_its_captions_stay(model, pairs, first):
    state = first.get_state()
    still = adapt(copy.deepcopy(model), state, *pairs, settings=LEARNS)
    np.testing.assert_allclose(still.projection["weight_"], state["weight_"], atol=1e-7)
    moving = Adapting(rank=4, rate=1e-2, projection_rate=1e-2, epochs=6, batch=48, temperature=0.2)
    kept, free = (
        adapt(copy.deepcopy(model), state, *pairs, settings=s)
        for s in (moving, Adapting(**{**_dict(moving), "keep": 0.0}))
    )
    rows = features(model, pairs)[1].numpy()
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)

    def drift(adapted):
        there = Projection().set_state(adapted.projection).transform(rows)
        here = first.transform(rows)
        there, here = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (there, here))
        return 1.0 - np.mean(np.sum(there * here, axis=1))

    assert drift(kept) < drift(free)
    assert drift(still) < 1e-6


def _dict(settings):
    return {name: getattr(settings, name) for name in settings.__slots__}


def test_stored_captions_stand_for_the_old_model_where_there_are_some(model, pairs, first):
    rng = np.random.default_rng(0)
    stored = rng.normal(size=(COUNT, OLD.dim)).astype(np.float32)
    own = adapt(copy.deepcopy(model), first.get_state(), *pairs, settings=Adapting(epochs=0))
    other = adapt(model, first.get_state(), *pairs, stored=stored, settings=Adapting(epochs=0))
    assert own.scores != other.scores
    double = adapt(
        copy.deepcopy(model),
        first.get_state(),
        *pairs,
        stored=stored[::-1].astype(np.float64)[::-1],
        settings=Adapting(epochs=0),
    )
    assert double.scores == other.scores
    for wrong in (stored[:, 1:], stored * np.nan):
        with pytest.raises(InvalidInput, match=r"a projection from|finite rows"):
            adapt(copy.deepcopy(model), first.get_state(), *pairs, stored=wrong)


@pytest.mark.parametrize("device", ["cpu", "meta"])  # the second stands for any that is no CPU
def test_all_of_it_happens_where_the_model_is(model, pairs, first, monkeypatch, device):
    class Begun(Exception):
        pass

    def begin(wrapped, phi, given, how, _listener):
        assert {value.device.type for value in phi.parameters()} == {device}
        assert {part.device.type for part in (given.captions, given.own)} == {device}
        value = adapt_clip._loss(wrapped, phi, given, np.arange(8), how)
        assert value.device.type == device
        raise Begun

    monkeypatch.setattr(adapt_clip, "_descend", begin)
    pixels, tokens = pairs[0].to(device), {"input_ids": pairs[1]["input_ids"].to(device)}
    stored = np.ones((COUNT, OLD.dim), np.float32)
    for given in (None, stored):
        with pytest.raises(Begun):
            adapt(copy.deepcopy(model).to(device), first.get_state(), pixels, tokens, stored=given)


def test_settings_that_cannot_be_are_refused(model, pairs, first):
    nan = float("nan")
    for wrong in (
        *({"batch": 0}, {"rank": 0}, {"held_out": 1.0}, {"temperature": 0.0}),
        *({"rate": 0.0}, {"rate": nan}, {"projection_rate": -1.0}),
    ):
        with pytest.raises(InvalidInput, match="from 1"):
            Adapting(**wrong)
    # one pair at least is left to learn from
    most = adapt(model, first.get_state(), *pairs, settings=Adapting(epochs=1, held_out=0.999))
    assert len(most.scores) == 2


def test_the_projector_is_the_projection(first, model, pairs):
    rows = torch.nn.functional.normalize(features(model, pairs)[1].clone())
    made = Projector(first.get_state())(rows).detach().numpy()
    np.testing.assert_allclose(made, first.transform(rows.numpy()), atol=1e-5)
    with pytest.raises(InvalidInput, match="weight_"):
        Projector({"bias_": np.zeros(3)})


def test_one_seed_gives_one_adapter_and_torchs_generator_is_left_alone(folder, pairs, first):
    made = []
    for seed in (0, 0, 1):
        model = transformers.CLIPModel.from_pretrained(folder).eval()
        before = torch.get_rng_state()
        how = Adapting(rank=4, rate=1e-2, epochs=2, batch=48, seed=seed)
        made.append(adapt(model, first.get_state(), *pairs, settings=how).scores)
        assert torch.equal(torch.get_rng_state(), before)
    assert made[0] == made[1] != made[2]


def test_too_few_pairs_are_refused(model, pairs, first):
    few = {"input_ids": pairs[1]["input_ids"][:30]}
    with pytest.raises(NotEnoughPairs, match="at least 40 pairs"):
        adapt(model, first.get_state(), pairs[0][:30], few)
    with pytest.raises(InvalidInput, match="as many pictures as captions"):
        adapt(model, first.get_state(), pairs[0], few)


def test_the_adapted_model_is_an_encoder_with_a_space_of_its_own(folder, model, pairs, first):
    from PIL import Image

    plain = ClipEncoder(folder)
    adapted = adapt(model, first.get_state(), *pairs, settings=LEARNS)
    kinds = transformers.AutoTokenizer, transformers.AutoImageProcessor
    readers = tuple(kind.from_pretrained(folder) for kind in kinds)
    encoder = ClipEncoder(adapted.model, processor=readers, name="adapted")
    contents = ["a red disc", Image.new("RGB", (24, 24), (200, 30, 30))]
    rows, before = (e.encode(contents, "query").array for e in (encoder, plain))
    np.testing.assert_allclose(rows[0], before[0], atol=1e-6)  # texts as ever
    assert not np.allclose(rows[1], before[1], atol=1e-3)
    assert encoder.space != plain.space
    with adapted.off():
        np.testing.assert_allclose(encoder.encode(contents, "query").array, before, atol=1e-6)


def test_a_training_that_goes_astray_leaves_the_first_stage(model, pairs, first):
    """Its pictures have no direction any more, and no rank."""
    before = features(model, pairs)[0].clone()
    wild = Adapting(rate=1e30, epochs=2, batch=48)
    adapted = adapt(model, first.get_state(), *pairs, settings=wild)
    assert adapted.epoch == 0
    assert max(adapted.scores[1:]) < adapted.scores[0] < 1.0
    assert torch.equal(features(adapted.model, pairs)[0], before)


def test_what_the_model_does_not_take_is_refused_before_it_is_changed(model, pairs, first):
    pixels, tokens = pairs
    parts = [name for name, _ in model.named_modules()]
    for wrong in (pixels[:, :1], pixels[:, 0], pixels[:, :, :4], pixels.numpy()):
        with pytest.raises(InvalidInput, match="adapt: expected pixel_values that the model takes"):
            adapt(model, first.get_state(), wrong, tokens)
    with pytest.raises(InvalidInput, match="adapt: expected input_ids that the model takes"):
        adapt(model, first.get_state(), pixels, {"input_ids": tokens["input_ids"] + 10**6})
    assert [name for name, _ in model.named_modules()] == parts
