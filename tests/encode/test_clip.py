"""Models of two towers: random weights, no network, values against the library's own calls."""

import copy
import io
import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from holdfast.encode import sentence_transformers as ours
from holdfast.encode import towers
from holdfast.encode.cache import CachedEncoder
from holdfast.encode.check import encoder_checks
from holdfast.encode.clip import ClipEncoder, pooled
from holdfast.encode.open_clip import OpenClipEncoder
from holdfast.encode.registry import open_encoder
from holdfast.errors import ConfigError, EncoderError
from tests.encode.tiny import NEW, clip_folder, file_of, picture

torch = pytest.importorskip("torch", reason="needs holdfast[clip]")
transformers = pytest.importorskip("transformers", reason="needs holdfast[clip]")
Image = pytest.importorskip("PIL.Image", reason="needs holdfast[clip]")

TEXTS = ["a red square", "the small blue disc", "picture of a disc"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return clip_folder(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def encoder(folder):
    return ClipEncoder(folder, device="cpu")


@pytest.fixture(scope="module")
def contents(tmp_path_factory):
    path = tmp_path_factory.mktemp("pictures") / "one.png"
    picture(1).save(path)
    return [TEXTS[0], path, file_of(picture(2)), TEXTS[1], picture(3)]


@pytest.mark.parametrize("check", encoder_checks(), ids=str)
def test_contract(check, folder, contents):
    check(lambda: ClipEncoder(folder, device="cpu", batch_size=2), contents)


def readers(folder):
    kinds = transformers.AutoTokenizer, transformers.AutoImageProcessor
    return tuple(kind.from_pretrained(folder) for kind in kinds)


def by_hand(folder, texts, pictures):
    """The library's own calls, one content at a time."""
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    tokenizer, seen = (
        transformers.AutoTokenizer.from_pretrained(folder),
        transformers.AutoImageProcessor.from_pretrained(folder),
    )
    rows = []
    with torch.inference_mode():
        for text in texts:
            ids = tokenizer(text, return_tensors="pt")["input_ids"]
            rows.append(model.get_text_features(input_ids=ids).pooler_output)
        for image in pictures:
            pixels = seen(images=image, return_tensors="pt")["pixel_values"]
            rows.append(model.get_image_features(pixel_values=pixels).pooler_output)
    array = torch.cat(rows).numpy()
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def test_values_are_the_librarys_in_the_order_given(folder, encoder):
    images = [picture(1), picture(2)]
    wanted = by_hand(folder, TEXTS, images)
    mixed = [images[1], TEXTS[2], TEXTS[0], images[0], TEXTS[1]]
    got = encoder.encode(mixed, "document").array
    np.testing.assert_allclose(got, wanted[[4, 2, 0, 3, 1]], atol=1e-6)
    assert encoder.space.dim == NEW.dim


def test_a_path_its_bytes_and_the_picture_are_one(encoder, tmp_path):
    (tmp_path / "a.png").write_bytes(file_of(picture(5)))
    same = [tmp_path / "a.png", file_of(picture(5)), picture(5), picture(5).convert("RGBA")]
    rows = encoder.encode(same, "query").array
    np.testing.assert_array_equal(rows, np.repeat(rows[:1], 4, axis=0))


def test_a_photograph_is_turned_as_its_camera_says(encoder):
    plain = picture(6)
    turned = plain.rotate(90, expand=True)  # as a camera held upright stores it
    tags = Image.Exif()
    tags[0x0112] = 6
    file = io.BytesIO()
    turned.save(file, "PNG", exif=tags)
    rows = encoder.encode([plain, file.getvalue(), turned], "document").array
    np.testing.assert_array_equal(rows[0], rows[1])
    assert not np.allclose(rows[0], rows[2], atol=1e-4)


def test_the_space_is_one_for_both_and_covers_both_towers(folder, tmp_path):
    space = ClipEncoder(folder).space
    assert space == ClipEncoder(shutil.copytree(folder, tmp_path / "copy")).space
    assert space == ClipEncoder(folder, batch_size=1, name="other").space
    model = transformers.CLIPModel.from_pretrained(folder)
    seen = {space.fingerprint, ClipEncoder(folder, prefix="picture of ").space.fingerprint}
    for place, part in enumerate(("text_model", "vision_model"), start=1):
        changed = copy.deepcopy(model)
        with torch.no_grad():
            next(getattr(changed, part).parameters()).mul_(1.01)
        other = shutil.copytree(folder, tmp_path / f"changed-{place}")
        changed.save_pretrained(other)
        seen.add(ClipEncoder(other).space.fingerprint)
    settings = tmp_path / "settings"
    shutil.copytree(folder, settings)
    file = next(p for p in settings.glob("*process*.json") if "mean" in p.read_text())
    file.write_text(file.read_text().replace("0.5", "0.4"))
    seen.add(ClipEncoder(settings).space.fingerprint)
    assert len(seen) == 5


def test_a_loaded_model_is_used_as_it_is(folder, encoder):
    model = transformers.CLIPModel.from_pretrained(folder).eval()
    pair = readers(folder)
    own = ClipEncoder(model, processor=pair)
    mixed = [TEXTS[0], picture(1)]
    np.testing.assert_array_equal(
        own.encode(mixed, "query").array, encoder.encode(mixed, "query").array
    )
    assert own.space == ClipEncoder(copy.deepcopy(model), processor=pair).space
    with torch.no_grad():
        model.visual_projection.weight.mul_(-1.0)
    assert own.space != ClipEncoder(model, processor=pair).space
    with pytest.raises(ConfigError, match="a processor beside a model"):
        ClipEncoder(model)


def test_both_kinds_of_answer_are_read():
    rows = torch.eye(3)[:2]
    for answer in (
        rows,
        types.SimpleNamespace(pooler_output=rows, last_hidden_state=torch.zeros(2, 4, 3)),
        (torch.zeros(2, 4, 3), rows),
    ):
        assert pooled(answer) is rows
    with pytest.raises(EncoderError, match="rows"):
        pooled(types.SimpleNamespace(pooler_output=None))


def test_an_older_library_answers_the_tensor_itself(folder, encoder):
    """Version 4.57 returns what version 5 keeps in `pooler_output`."""
    model = transformers.CLIPModel.from_pretrained(folder).eval()

    class Older:
        config, device, dtype = model.config, model.device, model.dtype
        parameters, state_dict = model.parameters, model.state_dict

        def get_text_features(self, **inputs):
            return model.get_text_features(**inputs).pooler_output

        def get_image_features(self, **inputs):
            return model.get_image_features(**inputs).pooler_output

    pair = readers(folder)
    mixed = [TEXTS[0], picture(1)]
    old = ClipEncoder(Older(), processor=pair).encode(mixed, "query").array
    np.testing.assert_array_equal(old, encoder.encode(mixed, "query").array)


def test_siglip_reads_texts_filled_to_full_length(folder):
    text = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    text |= {"num_attention_heads": 2, "vocab_size": 40, "max_position_embeddings": 8}
    sight = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    sight |= {"num_attention_heads": 2, "image_size": 24, "patch_size": 8}
    torch.manual_seed(0)
    model = transformers.SiglipModel(
        transformers.SiglipConfig(text_config=text, vision_config=sight)
    ).eval()
    pair = tokenizer, _ = readers(folder)
    encoder = ClipEncoder(model, processor=pair)
    ids = tokenizer(TEXTS, padding="max_length", truncation=True, max_length=8)["input_ids"]
    with torch.inference_mode():
        wanted = model.get_text_features(input_ids=torch.tensor(ids)).pooler_output.numpy()
    wanted /= np.linalg.norm(wanted, axis=1, keepdims=True)
    np.testing.assert_allclose(encoder.encode(TEXTS, "query").array, wanted, atol=1e-6)
    alone = encoder.encode(TEXTS[:1], "query").array
    np.testing.assert_allclose(alone, wanted[:1], atol=1e-6)
    assert encoder.encode([picture(1)], "document").array.shape == (1, 16)


def test_a_prefix_stands_before_texts_only(folder, encoder):
    prefixed = ClipEncoder(folder, prefix="picture of ")
    got = prefixed.encode([TEXTS[0], picture(1)], "query").array
    wanted = encoder.encode(["picture of " + TEXTS[0], picture(1)], "query").array
    np.testing.assert_allclose(got, wanted, atol=1e-6)


@pytest.mark.parametrize("revision", [None, "main", "v1"])
def test_the_commit_counts_whatever_led_to_it(revision):
    def space(commit, told=revision):
        made = ClipEncoder("ours/model", revision=told)
        config = types.SimpleNamespace(_commit_hash=commit)
        made.__dict__["_loaded"] = types.SimpleNamespace(config=config)
        return made._version

    assert space("c1") == space("c1", None) == "c1"
    assert space("c2") == "c2"
    assert space(None, "v1") == "v1"


def test_half_precision_is_another_space_close_by(folder, encoder):
    half = ClipEncoder(folder, dtype="bfloat16", device="cpu")
    mixed = [TEXTS[0], picture(1)]
    rows = half.encode(mixed, "query").array
    assert (np.sum(rows * encoder.encode(mixed, "query").array, axis=1) > 0.999).all()
    assert half.space != encoder.space


def test_what_is_no_picture_is_refused_by_place(encoder, tmp_path):
    (tmp_path / "a.png").write_bytes(b"not a picture")
    cut = file_of(picture(1), "JPEG")[:200]
    for bad in (tmp_path / "a.png", tmp_path / "gone.png", b"", cut):
        with pytest.raises(EncoderError, match="a picture that can be opened"):
            encoder.encode([TEXTS[0], bad], "document")
    with pytest.raises(EncoderError, match="int at place 1"):
        encoder.encode([TEXTS[0], 3], "document")


def test_a_cache_tells_pictures_apart(encoder, tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for place, path in enumerate(paths):
        path.write_bytes(file_of(picture(place)))
    with CachedEncoder(encoder, ":memory:") as cached:
        first = cached.encode([*paths, TEXTS[0]], "document").array
        again = cached.encode([TEXTS[0], file_of(picture(1)), paths[0]], "document").array
        np.testing.assert_array_equal(again, first[[2, 1, 0]])
        assert (cached.hits, cached.misses) == (3, 3)
        paths[0].write_bytes(file_of(picture(9)))  # another picture under the old name
        assert not np.allclose(cached.encode(paths[:1], "document").array, first[:1], atol=1e-4)


def test_opened_by_name_as_a_configuration_does(folder, encoder):
    opened = open_encoder("clip", model=str(folder), device="cpu", name="mine")
    assert opened.space == encoder.space
    assert opened.space.name == "mine"
    with pytest.raises(ConfigError, match="can open"):
        ClipEncoder(Path(folder).parent).space  # noqa: B018


def test_the_route_through_sentence_transformers_gives_the_same_rows(folder, encoder, tmp_path):
    pytest.importorskip("sentence_transformers", reason="needs holdfast[sentence-transformers]")
    other = open_encoder("sentence-transformers", model=str(folder), device="cpu")
    path = tmp_path / "a.png"
    path.write_bytes(file_of(picture(2)))
    mixed = [TEXTS[0], path, TEXTS[1], picture(3)]
    rows = other.encode(mixed, "query").array
    np.testing.assert_allclose(rows, encoder.encode(mixed, "query").array, atol=1e-6)
    assert other.space != encoder.space  # the fingerprint names the engine


def test_no_more_photographs_are_open_than_go_through_at_once(folder, tmp_path, monkeypatch):
    pytest.importorskip("sentence_transformers", reason="needs holdfast[sentence-transformers]")
    paths = []
    for n in range(7):
        paths.append(tmp_path / f"{n}.png")
        picture(n).save(paths[-1])
    kinds = {"sentence-transformers": ours, "clip": towers}
    for kind, module in kinds.items():
        encoder = open_encoder(kind, model=str(folder), device="cpu", batch_size=2)
        wanted = encoder.encode([picture(n) for n in range(7)], "document").array
        opened = []

        def counted(content, owner, opened=opened, real=module.opened):
            opened.append(content)
            return real(content, owner)

        def emptied(*given, opened=opened, real=encoder._turn.of):
            assert 1 <= len(opened) <= 2
            opened.clear()
            return real(*given)

        monkeypatch.setattr(module, "opened", counted)
        monkeypatch.setattr(encoder._turn, "of", emptied)
        got = encoder.encode(paths, "document").array
        np.testing.assert_allclose(got, wanted, atol=1e-6)
        monkeypatch.undo()


class StandIn:
    """As much of open_clip as the encoder asks for: names, a model, what reads, what sees."""

    @staticmethod
    def create_model_and_transforms(name, pretrained=None):
        if name != "ViT-T":
            raise RuntimeError(f"Model config for {name} not found.")
        torch.manual_seed(len(pretrained or ""))
        model = torch.nn.Module()
        model.words, model.sight = torch.nn.Embedding(128, 6), torch.nn.Linear(12, 6)
        model.encode_text = lambda ids: model.words(ids).mean(dim=1)
        model.encode_image = lambda seen: model.sight(seen.flatten(1))
        return model, "for training", StandIn.see

    @staticmethod
    def see(image):
        small = np.asarray(image.resize((2, 2)), dtype=np.float32)
        return torch.from_numpy(small / 255.0)

    @staticmethod
    def get_tokenizer(name):
        return lambda texts: torch.tensor([[ord(c) % 128 for c in f"{t:<8}"[:8]] for t in texts])


@pytest.mark.parametrize("check", encoder_checks(), ids=str)
def test_contract_of_open_clip_on_a_stand_in(check, contents, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", StandIn)
    check(lambda: OpenClipEncoder("ViT-T", "mine", device="cpu", batch_size=2), contents)


def test_weights_in_a_file_are_called_by_its_name(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "open_clip", StandIn)
    path = tmp_path / "mine.pt"
    path.write_bytes(b"")
    assert OpenClipEncoder("ViT-T", str(path), device="cpu").space.name == "ViT-T/mine.pt"
    assert OpenClipEncoder("ViT-T", "laion", device="cpu").space.name == "ViT-T/laion"


def test_open_clip_is_asked_as_its_manual_says(contents, monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", StandIn)
    encoder = OpenClipEncoder("ViT-T", "mine", prefix="a ", device="cpu")
    model, _, _ = StandIn.create_model_and_transforms("ViT-T", "mine")
    with torch.inference_mode():
        told = model.encode_text(StandIn.get_tokenizer("ViT-T")(["a red"]))
        seen = model.encode_image(StandIn.see(picture(3))[None])
    wanted = torch.nn.functional.normalize(torch.cat([seen, told])).numpy()
    np.testing.assert_allclose(
        encoder.encode([picture(3), "red"], "query").array, wanted, atol=1e-6
    )
    assert encoder.space.name == "ViT-T/mine"
    others = [OpenClipEncoder("ViT-T", "mine"), OpenClipEncoder("ViT-T", "other", prefix="a ")]
    assert len({e.space.fingerprint for e in (encoder, *others)}) == 3
    with pytest.raises(ConfigError, match="list_pretrained"):
        OpenClipEncoder("ViT-Q", "mine").space  # noqa: B018


def test_open_clip_is_never_left_to_make_up_weights(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", StandIn)
    with pytest.raises(ConfigError, match=r"which weights of 'ViT-T' to load, got none"):
        open_encoder("open-clip", model="ViT-T")
    assert OpenClipEncoder("hf-hub:ours/model").model == "hf-hub:ours/model"


def test_open_clip_answers_in_one_space(contents, tmp_path):
    library = pytest.importorskip(
        "open_clip", reason="open_clip needs torchvision, which has no build for CPUs alone here"
    )
    weights = tmp_path / "weights.pt"
    torch.save(library.create_model("RN50").state_dict(), weights)
    encoder = open_encoder("open-clip", model="RN50", pretrained=str(weights), device="cpu")
    rows = encoder.encode(contents, "document").array
    assert rows.shape == (len(contents), encoder.space.dim)
