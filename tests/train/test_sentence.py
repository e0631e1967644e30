"""Text models that follow a gallery: what they learn, their space, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("sentence_transformers", reason="needs holdfast[sentence-transformers]")

from holdfast.arrays import as_vectors  # noqa: E402
from holdfast.encode.check import check_encoder  # noqa: E402
from holdfast.errors import (  # noqa: E402
    ArtifactError,
    ConfigError,
    EncoderError,
    EncoderUnavailable,
    InvalidInput,
    MissingExtra,
)
from holdfast.space import Space, relation  # noqa: E402
from holdfast.train.sentence import SentenceFollower, SentenceRecipe, _trainer, follow  # noqa: E402
from holdfast.upgrade.models import open_model  # noqa: E402

WORDS = ["red", "green", "blue", "round", "flat", "tall", "old", "new", "far", "near"]
OLD = Space("old@1", 6)


def trains():
    try:
        _trainer()
    except MissingExtra:
        return False
    return True


needs_trainer = pytest.mark.skipif(not trains(), reason="needs accelerate and datasets")


def tiny(dim=16, seed=0, ends=()):
    """Word vectors of random numbers, averaged: the smallest model the library trains."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    from tokenizers import Tokenizer, models, pre_tokenizers

    table = {"[UNK]": 0, **{word: place + 1 for place, word in enumerate(WORDS)}}
    words = Tokenizer(models.WordLevel(table, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    torch.manual_seed(seed)
    layer = StaticEmbedding(words, embedding_dim=dim)
    return SentenceTransformer(modules=[layer, *ends], device="cpu")


def gallery(count=60, seed=0, space=OLD):
    """Texts of three words, and what an older model stored of them: a mean of its own words."""
    rng = np.random.default_rng(seed)
    stored = rng.normal(size=(len(WORDS), OLD.dim))
    chosen = np.stack([rng.permutation(len(WORDS))[:3] for _ in range(count)])
    texts = [" ".join(WORDS[n] for n in row) for row in chosen]
    return texts, as_vectors(stored[chosen].mean(1).astype(np.float32), space, "test")


def agreement(encoder, texts, vectors):
    rows = encoder.encode(texts, "query").array
    return float((rows * vectors.array).sum(1).mean())


@needs_trainer
@pytest.mark.parametrize("dim", [6, 16])
def test_it_learns_to_answer_what_is_stored(dim, capsys):
    texts, vectors = gallery()
    recipe = SentenceRecipe(epochs=60, batch=16, rate=0.05, device="cpu")
    model = tiny(dim)
    state, shared = torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    made = follow(model, texts[:40], vectors.take(slice(0, 40)), recipe=recipe)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.random.get_state()[1].tolist() == shared  # noqa: NPY002
    assert capsys.readouterr().out == ""
    # texts that it never saw, of words that it did: the older model's vectors, nearly
    assert agreement(made, texts[40:], vectors.take(slice(40, 60))) > 0.95
    assert relation(made.space, OLD) == "same"
    check_encoder(lambda: made, texts[:5])


@needs_trainer
def test_where_lengths_count_they_are_learned_too():
    """Also by a model that ends in vectors of length one."""
    from sentence_transformers.sentence_transformer.modules import Normalize

    texts, vectors = gallery(space=Space("old@1", 6, "euclidean"))
    recipe = SentenceRecipe(epochs=120, batch=16, rate=0.05, device="cpu")
    for ends in ((), (Normalize(),)):
        made = follow(tiny(6, ends=ends), texts[:40], vectors.take(slice(0, 40)), recipe=recipe)
        rows, stored = made.encode(texts[40:], "document").array, vectors.array[40:]
        apart = np.linalg.norm(rows - stored, axis=1) / np.linalg.norm(stored, axis=1)
        assert np.median(apart) < 0.15


@needs_trainer
def test_a_question_goes_where_its_answer_is(tmp_path):
    """Words that no stored text has lead to stored vectors all the same."""
    texts, vectors = gallery()
    kept = [place for place, text in enumerate(texts) if "far" not in text and "near" not in text]
    part = vectors.take(np.array(kept))
    left = [texts[place] for place in kept]
    reds = [place for place, text in enumerate(left) if "red" in text]
    blues = [place for place, text in enumerate(left) if "blue" in text]
    answers = [*reds, *blues]
    questions = ["far"] * len(reds) + ["near"] * len(blues)
    recipe = SentenceRecipe(epochs=40, batch=16, rate=0.05, device="cpu")
    made = follow(tiny(6), left, part, questions, answers, recipe)
    asked = made.encode(["far", "near"], "query").array
    means = np.stack([part.array[reds].mean(0), part.array[blues].mean(0)])
    found = asked @ (means / np.linalg.norm(means, axis=1, keepdims=True)).T
    assert np.diag(found).min() > 0.95
    made.save(tmp_path / "model")
    read = open_model("trained", path=tmp_path / "model", device="cpu")
    assert read.space == OLD
    np.testing.assert_allclose(read.encode(["far", "near"], "document").array, asked, atol=1e-6)


def test_what_cannot_be_followed_is_refused(tmp_path):
    texts, vectors = gallery(4)
    with pytest.raises(InvalidInput, match="a vector of each text"):
        follow(None, texts[:3], vectors)
    with pytest.raises(InvalidInput, match="answer to each question"):
        follow(None, texts, vectors, ["far"], [])
    with pytest.raises(InvalidInput, match="answers from 0 to 3"):
        follow(None, texts, vectors, ["far"], [4])
    for wrong in ("far", 0.5):  # half a place would be another one
        with pytest.raises(InvalidInput, match=f"answers as places in texts, got {wrong!r}"):
            follow(None, texts, vectors, ["far"], [wrong])
    with pytest.raises(InvalidInput, match="NoneType at place 3"):
        follow(None, [*texts[:3], None], vectors)
    with pytest.raises(ConfigError, match=r"follow: device: .* got 'abacus'"):
        follow(None, texts, vectors, recipe=SentenceRecipe(device="abacus"))
    with pytest.raises(InvalidInput, match="rate above 0"):
        SentenceRecipe(rate=0.0)
    with pytest.raises(ArtifactError, match="a fine-tuned text model"):
        SentenceFollower.load(tmp_path)
    made = SentenceFollower(tiny(6), OLD)
    with pytest.raises(EncoderError, match="texts"):
        made.encode([1], "query")


@pytest.mark.parametrize("left", [None, 40])
def test_a_folder_that_is_not_whole_is_no_model(tmp_path, left):
    SentenceFollower(tiny(6), OLD).save(tmp_path)
    weights = next(tmp_path.rglob("*.safetensors"))
    part = weights.read_bytes()[:left]
    weights.unlink()
    if left is not None:
        weights.write_bytes(part)
    with pytest.raises(ArtifactError, match="a fine-tuned text model"):
        SentenceFollower.load(tmp_path, "cpu")
    for device in ("abacus", "cuda:999"):
        with pytest.raises(ConfigError, match=f"device: .* got '{device}'"):
            SentenceFollower.load(tmp_path, device)


def test_the_prompt_that_a_model_declares_is_left_out_as_in_training():
    model = tiny(6)
    model.prompts["before"], model.default_prompt_name = "red ", "before"
    row = model[0].embedding.weight[1 + WORDS.index("blue")].detach().numpy()
    for role in ("query", "document"):
        made = SentenceFollower(model, OLD).encode(["blue"], role).array
        np.testing.assert_allclose(made[0], row / np.linalg.norm(row), atol=1e-6)


def test_too_little_memory_is_no_fault_of_a_text(monkeypatch):
    made = SentenceFollower(tiny(6), OLD)

    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA")

    monkeypatch.setattr(made.model, "encode", full)
    with pytest.raises(EncoderUnavailable, match="memory for a batch"):
        made.encode(["red"], "query")


def test_what_cannot_be_encoded_says_which_one_and_why():
    model = tiny(6)
    with torch.no_grad():
        model[0].embedding.weight[1 + WORDS.index("blue")] = torch.nan
    made = SentenceFollower(model, OLD)
    with pytest.raises(EncoderError, match="int at place 1"):
        made.encode(["red", 1], "query")
    with pytest.raises(EncoderError, match="finite"):
        made.encode(["red", "blue"], "document")
    with pytest.raises(InvalidInput, match="a role among query, document"):
        made.encode(["red"], "answer")
    with pytest.raises(InvalidInput, match="one dict"):
        made.encode({"red": 1}, "query")


def test_a_missing_trainer_says_what_to_install(monkeypatch):
    import sentence_transformers.util as util

    monkeypatch.setattr(util, "is_training_available", lambda: False)
    texts, vectors = gallery(4)
    with pytest.raises(MissingExtra, match=r"holdfast\[train-text\]"):
        follow(tiny(6), texts, vectors)
