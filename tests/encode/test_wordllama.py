"""WordLlama on the weights that its package carries; nothing may reach for a network."""

import logging
import socket
import sys
from itertools import pairwise

import numpy as np
import pytest

from holdfast.encode.check import encoder_checks
from holdfast.encode.wordllama import WordLlamaEncoder, _cuts
from holdfast.errors import ConfigError, MissingExtra, UnfitContent

pytest.importorskip("wordllama", reason="the package that carries the weights is not installed")

CAT = "The cat sat on the mat."
FELINE = "A feline rested on a rug."
MARKETS = "Stock markets fell sharply today."
TEXTS = [CAT, FELINE, MARKETS, "def join(threads): ...", "Ünïcödé 日本語 👩‍🔬", "x"]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("something reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture(scope="module")
def encoder():
    return WordLlamaEncoder()


@pytest.mark.parametrize("check", encoder_checks(), ids=str)
def test_contract(check):
    check(lambda: WordLlamaEncoder(query_prefix="query: "), TEXTS)


def test_golden_cosines(encoder):
    array = encoder.encode([CAT, FELINE, MARKETS], "document").array
    cosines = array @ array.T
    assert cosines[0, 1] == pytest.approx(0.2430, abs=5e-4)
    assert cosines[0, 2] == pytest.approx(0.0709, abs=5e-4)
    assert cosines[1, 2] == pytest.approx(0.0492, abs=5e-4)
    np.testing.assert_allclose(array[0, :3], [-0.047799, 0.028404, -0.047002], atol=1e-5)


def test_golden_space(encoder):
    assert str(encoder.space) == "wordllama-256 (256-d cosine, b2523b86f1f750e8)"


def test_rows_are_means_of_token_vectors(encoder):
    """Against a plain loop over the tokens of each text."""
    model = encoder._loaded
    for text, row in zip(TEXTS, encoder.encode(TEXTS, "document").array, strict=True):
        tokens = model.tokenizer.encode(text, add_special_tokens=False)
        mask = np.array(tokens.attention_mask, dtype=bool)
        mean = model.embedding[np.array(tokens.ids)[mask]].mean(axis=0)
        np.testing.assert_allclose(row, mean / np.linalg.norm(mean), atol=1e-5)


@pytest.mark.parametrize("dim", [64, 128])
def test_smaller_models_are_the_first_coordinates(encoder, dim):
    small = WordLlamaEncoder(dim)
    cut = encoder.encode(TEXTS, "document").array[:, :dim]
    cut = cut / np.linalg.norm(cut, axis=1, keepdims=True)
    np.testing.assert_allclose(small.encode(TEXTS, "document").array, cut, atol=1e-5)
    assert small.space.dim == dim
    assert small.space != encoder.space


@pytest.mark.parametrize("dim", [0, 100, 512, "256"])
def test_a_dim_that_is_not_carried_is_refused(dim):
    with pytest.raises(ConfigError, match="a dim among 64, 128, 256"):
        WordLlamaEncoder(dim).space  # noqa: B018


def test_prefixes_change_the_space_and_their_role_only(encoder):
    prefixed = WordLlamaEncoder(query_prefix="search: ")
    other = WordLlamaEncoder(document_prefix="search: ")
    marks = {e.space.fingerprint for e in (encoder, prefixed, other)}
    assert len(marks) == 3
    plain = encoder.encode([CAT], "query").array
    np.testing.assert_array_equal(prefixed.encode([CAT], "document").array, plain)
    np.testing.assert_allclose(
        prefixed.encode([CAT], "query").array,
        encoder.encode([f"search: {CAT}"], "document").array,
        atol=1e-6,
    )
    assert not np.allclose(prefixed.encode([CAT], "query").array, plain, atol=1e-2)


def test_the_empty_text_is_the_fault_of_who_sent_it(encoder):
    with pytest.raises(UnfitContent, match=r"something in them, got an empty one at place 1\."):
        encoder.encode([CAT, "", ""], "document")
    prefixed = WordLlamaEncoder(document_prefix=CAT)
    assert len(prefixed.encode([""], "document")) == 1
    with pytest.raises(UnfitContent):
        prefixed.encode([""], "query")


def test_long_and_short_texts_go_together(encoder):
    texts = [CAT, "kelp " * 20_000, FELINE, *[f"text {i}" for i in range(150)]]
    together = encoder.encode(texts, "document").array
    for place in (0, 1, 2, 77, 152):
        alone = encoder.encode([texts[place]], "document").array[0]
        np.testing.assert_allclose(together[place], alone, atol=1e-5)


def test_a_long_text_is_not_padded_to_by_short_ones(encoder, monkeypatch):
    model, sizes = encoder._loaded, []
    embed = model.embed

    def measured(texts, **options):
        sizes.append((len(texts), max(map(len, texts))))
        return embed(texts, **options)

    monkeypatch.setattr(model, "embed", measured)
    encoder.encode(
        [f"{'kelp ' * 20_000 if i % 40 == 0 else ''}text {i}" for i in range(120)], "query"
    )
    assert sum(count for count, _ in sizes) == 120
    assert [size for size in sizes if size[1] > 1000] == [(1, 100_006), (1, 100_007), (1, 100_007)]


def test_batches_are_bounded_in_texts_and_characters():
    lengths = np.sort(np.random.default_rng(0).integers(1, 40_000, size=400))
    lengths = np.sort(np.append(lengths, [5] * 200 + [500_000, 900_000]))
    cuts = _cuts(lengths)
    assert cuts[0] == 0
    assert cuts[-1] == len(lengths)
    for start, stop in pairwise(cuts):
        size = stop - start
        assert 1 <= size <= 64
        assert size == 1 or size * lengths[stop - 1] <= 64_000
    assert max(b - a for a, b in pairwise(cuts)) == 64


def test_the_root_logger_stays_as_it_was(monkeypatch):
    root = logging.getLogger()
    before = list(root.handlers), root.level
    for name in [name for name in sys.modules if name.partition(".")[0] == "wordllama"]:
        monkeypatch.delitem(sys.modules, name)
    root.handlers[:] = []  # else the package would find one and leave it
    try:
        assert WordLlamaEncoder().space.dim == 256
        assert (root.handlers, root.level) == ([], before[1])
    finally:
        root.handlers[:] = before[0]


def test_a_missing_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "wordllama", None)
    with pytest.raises(MissingExtra, match=r"pip install 'holdfast\[wordllama\]'"):
        WordLlamaEncoder().encode([CAT], "query")
