"""A trained model as an encoder: its values, its space, and what its gallery may be asked."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.encode.check import check_encoder  # noqa: E402
from holdfast.errors import (  # noqa: E402
    ConfigError,
    EncoderError,
    EncoderUnavailable,
    InvalidInput,
    UnfitContent,
)
from holdfast.space import Space, relation  # noqa: E402
from holdfast.train.encoder import ModelEncoder, space_of  # noqa: E402
from holdfast.train.expansion import AlignedHead  # noqa: E402
from holdfast.train.heads import LearnedHead  # noqa: E402
from holdfast.train.interface import Interface  # noqa: E402
from holdfast.train.model import Model  # noqa: E402
from holdfast.train.sentence import SentenceFollower  # noqa: E402
from holdfast.train.simplex import OneHotHead, SimplexHead  # noqa: E402
from tests.train.toys import WIDTH, blobs, network, simplex, simplex_model  # noqa: E402


def model(head, seed=0):
    torch.manual_seed(seed)
    return Model(network(), head)


def test_its_rows_are_the_unit_vectors_of_the_head():
    made = model(SimplexHead(WIDTH, 16))
    inputs, _ = blobs()
    encoder = ModelEncoder(made, space_of(made, "toy@1", simplex()), size=7)
    rows = encoder.encode(list(inputs[:20].numpy()), "document").array
    z = made.eval()(inputs[:20]).vectors.detach().numpy()
    np.testing.assert_allclose(rows, z / np.linalg.norm(z, axis=1, keepdims=True), atol=1e-5)
    with torch.no_grad():
        made.head.project.weight.zero_()  # the encoder has a copy
    assert encoder.encode(list(inputs[:20].numpy()), "query").array.tolist() == rows.tolist()


@pytest.mark.parametrize("device", ["cuda:99", "nonsense", "meta"])
def test_a_device_that_is_not_there_is_refused_by_its_name(device, tmp_path):
    made = model(SimplexHead(WIDTH, 16))
    with pytest.raises(ConfigError, match=f"encoder of toy@1: device: .*{device}"):
        ModelEncoder(made, space_of(made, "toy@1", simplex()), device=device)
    with pytest.raises(ConfigError, match=f"device: .*{device}"):
        SentenceFollower.load(tmp_path, device)


def test_it_keeps_what_encoders_promise():
    made = model(SimplexHead(WIDTH, 16))
    encoder = ModelEncoder(made, space_of(made, "toy@1", simplex()))
    check_encoder(lambda: encoder, blobs()[0][:12].tolist())


def test_models_on_one_simplex_share_a_space():
    first, second = (model(SimplexHead(WIDTH, 16), seed) for seed in (0, 1))
    a, b = space_of(first, "a", simplex().filled(["x", "y"])), space_of(second, "b", simplex())
    assert relation(b, a) == "same"


def test_a_growing_interface_extends():
    small = Interface("g", "one-hot").filled(["x", "y"])
    large = small.filled(["z"])
    old = space_of(model(OneHotHead(WIDTH, 2)), "a", small)
    new = space_of(model(OneHotHead(WIDTH, 3)), "b", large, gallery=small)
    assert (relation(new, old), relation(old, new)) == ("extends", "unrelated")


def test_what_was_compared_is_comparable():
    old = space_of(model(LearnedHead(WIDTH, 3)), "a")
    trained = model(LearnedHead(WIDTH, 3), seed=1)
    assert relation(space_of(trained, "b"), old) == "unrelated"
    assert relation(space_of(trained, "b", before=old), old) == "same"
    longer = model(AlignedHead(WIDTH, WIDTH, 4, classes=3))
    assert relation(space_of(longer, "c", before=old), old) == "extends"
    assert space_of(longer, "c", before=old).dim == WIDTH + 4
    even = model(AlignedHead(WIDTH, WIDTH, 0, classes=3))
    assert relation(space_of(even, "d", before=old), old) == "same"


def test_other_weights_are_another_space():
    def made(seed):
        torch.manual_seed(seed)  # of the head
        return model(LearnedHead(WIDTH, 3), seed)

    first, same, other = made(0), made(0), made(1)
    assert space_of(first, "a") == space_of(same, "a")
    assert space_of(first, "a") != space_of(other, "a")


def test_spaces_that_do_not_fit_are_refused():
    with pytest.raises(InvalidInput, match="15 coordinates"):
        space_of(model(SimplexHead(WIDTH, 8)), "a", simplex())
    with pytest.raises(InvalidInput, match="9 shared coordinates"):
        space_of(model(LearnedHead(WIDTH, 3)), "a", before=Space("old", 9))
    with pytest.raises(InvalidInput, match=r"a head with `dim`.* got Linear"):
        space_of(model(torch.nn.Linear(WIDTH, 3)), "a")


@pytest.mark.parametrize("device", ["abacus", "cuda:999", "meta"])
def test_a_device_that_is_not_there_is_refused(device):
    made = simplex_model(None)
    with pytest.raises(ConfigError, match=f"toy@1: device: .* got '{device}'"):
        ModelEncoder(made, space_of(made, "toy@1", simplex()), device=device)


@pytest.mark.parametrize(
    "cause", [MemoryError(), torch.OutOfMemoryError("CUDA"), RuntimeError("can't allocate memory")]
)
def test_too_little_memory_is_no_fault_of_the_contents(cause, monkeypatch):
    """Or an upgrade would set the items of a batch aside, one by one, while a GPU is full."""
    made = simplex_model(None)
    encoder = ModelEncoder(made, space_of(made, "toy@1", simplex()))

    def full(_):
        raise cause

    monkeypatch.setattr(encoder.model, "forward", full)
    with pytest.raises(EncoderUnavailable, match="memory for a batch") as caught:
        encoder.encode([[1.0] * 8], "query")
    assert caught.value.transient


def test_contents_that_cannot_be_taken_are_refused():
    made = simplex_model(None)
    encoder = ModelEncoder(made, space_of(made, "toy@1", simplex()))
    with pytest.raises(EncoderError, match="contents that the model takes"):
        encoder.encode([[1.0, 2.0]], "query")
    with pytest.raises(UnfitContent) as refused:
        encoder.encode(["text"], "query")
    assert str(refused.value) == (
        "encoder of toy@1: expected numbers, as the model was trained on, got the text 'text'. "
        "For texts name a function of yours that asks the model of those numbers, then this one: "
        'encoder = "python".'
    )
    with pytest.raises(EncoderError):
        encoder.encode([[np.nan] * 8], "query")
