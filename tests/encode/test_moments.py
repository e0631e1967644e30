"""The head that extends a space: identities of the join, and what it adds to a mean."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from holdfast.encode.check import encoder_checks
from holdfast.encode.moments import MomentEncoder, MomentHead, second_moments
from holdfast.encode.registry import open_encoder
from holdfast.errors import ConfigError, EncoderError
from holdfast.space import relation
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.search.extend import search_extended

RNG = np.random.default_rng(0)
TOKENS = [RNG.normal(size=(t, 5)) for t in (4, 9, 3, 6, 5)]


def patches():
    """(1797, 36, 48) random rectified features of the 3 x 3 patches of digits, and labels."""
    images, labels = load_digits(return_X_y=True)
    images = images.reshape(-1, 8, 8) / 16.0
    tiles = np.lib.stride_tricks.sliding_window_view(images, (3, 3), axis=(1, 2))
    rng = np.random.default_rng(0)
    weight, bias = rng.normal(size=(9, 48)), 0.3 * rng.normal(size=48)
    return np.maximum(tiles.reshape(-1, 36, 9) @ weight + bias, 0.0), labels


def read(contents):
    """Tokens of a word: one for each letter."""
    table = np.random.default_rng(7).normal(size=(128, 6))
    return [table[[ord(letter) for letter in content]] for content in contents]


def test_second_moments_keep_products_of_whole_matrices():
    rows = second_moments(TOKENS)
    whole = [np.cov(item.T, bias=True) for item in TOKENS]
    wanted = [[float((a * b).sum()) for b in whole] for a in whole]
    np.testing.assert_allclose(rows @ rows.T, wanted, rtol=1e-12)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_an_old_vector_with_zeros_behind_scores_its_old_score_times_the_share(share):
    old = MomentHead(5, extra=0).pool(TOKENS)
    new = MomentHead(5, extra=32, share=share).pool(TOKENS)
    padded = np.pad(old, ((0, 0), (0, 32)))
    np.testing.assert_allclose(new @ padded.T, np.sqrt(share) * (old @ old.T), atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(new, axis=1), 1.0, atol=1e-12)
    assert np.array_equal(new, MomentHead(5, extra=32, share=share).pool(TOKENS))


def test_an_old_gallery_ranks_bit_by_bit_as_before():
    tokens, _ = patches()
    before = MomentEncoder(lambda rows: [tokens[row] for row in rows], 48, extra=0)
    after = MomentEncoder(before.function, 48, extra=256)
    assert relation(after.space, before.space) == "extends"
    store = MemoryStore(before.space)
    stored = list(range(1_000))
    store.upsert([f"d{row}" for row in stored], before.encode(stored, "document"))
    asked = list(range(1_000, 1_200))
    old = store.search(before.encode(asked, "query"), 10)
    new = search_extended(store, after.encode(asked, "query"), 10, None)
    assert np.array_equal(old.ids, new.ids)
    np.testing.assert_allclose(new.scores, np.sqrt(0.5) * old.scores, atol=1e-6)


def test_it_finds_more_than_the_mean():
    tokens, labels = patches()
    order = np.random.default_rng(0).permutation(len(tokens))
    kept, asked = order[:1_078], order[1_078:]

    def found(head):
        rows = head.pool(tokens)
        return (labels[kept][(rows[asked] @ rows[kept].T).argmax(axis=1)] == labels[asked]).mean()

    assert found(MomentHead(48, extra=256)) >= found(MomentHead(48, extra=0)) + 0.05


@pytest.mark.parametrize("extra", [0, 16])
@pytest.mark.parametrize("check", encoder_checks(), ids=str)
def test_contract(check, extra):
    check(lambda: MomentEncoder(read, 6, extra=extra), ["banana", "kelp", "rock", "tide"])


def test_it_is_opened_by_name_and_refuses_what_it_cannot_read():
    options = {"function": "tests.encode.test_moments:read", "dim": 6}
    old = open_encoder("moments", **options, extra=0)
    new = open_encoder("moments", **options, extra=8)
    assert relation(new.space, old.space) == "extends"
    assert open_encoder("moments", **options, extra=8, seed=1).space != new.space
    with pytest.raises(EncoderError, match=r"\(t, 7\) tokens"):
        open_encoder("moments", **{**options, "dim": 7}).encode(["kelp"], "query")
    with pytest.raises(ConfigError):
        MomentHead(5, share=1.0)


def test_functions_of_one_name_from_two_places_are_two_models(monkeypatch):
    def other(texts):
        return read(texts)

    other.__qualname__ = read.__qualname__  # module and name are what tells functions apart
    other.__module__ = "elsewhere"
    here, there = MomentEncoder(read, 6, extra=8), MomentEncoder(other, 6, extra=8)
    assert relation(here.space, there.space) == "unrelated"
    monkeypatch.setattr(read, "__module__", "tests.encode.test_moments")
    path = MomentEncoder("tests.encode.test_moments:read", 6, extra=8)
    assert MomentEncoder(read, 6, extra=8).space == path.space
