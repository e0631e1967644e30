"""Places of prompts, against sequences written out as lists."""

import pytest

torch = pytest.importorskip("torch")

from holdfast.train.prompts.slots import held, placed  # noqa: E402


def rows(*values):
    return torch.tensor(values, dtype=torch.float32)[None, :, None]


PROMPTS = torch.tensor([[[10.0], [11.0]], [[20.0], [21.0]], [[30.0], [31.0]]])


def through(mode, at, layers=4):
    """What each layer reads when layers answer what they read, plus a half."""
    states, read = rows(0, 1, 2), []
    for layer in range(layers):
        states = placed(states, PROMPTS, layer, at, mode)
        read.append(states[0, :, 0].tolist())
        states = states + 0.5
    return read


def test_replace_overwrites_in_place():
    assert through("replace", 1) == [
        [0, 10, 11, 1, 2],
        [0.5, 20, 21, 1.5, 2.5],
        [1, 30, 31, 2, 3],
        [1.5, 30.5, 31.5, 2.5, 3.5],  # below the deepest prompts they are states like others
    ]


def test_accumulate_keeps_what_became_of_earlier_ones():
    assert through("accumulate", 3) == [
        [0, 1, 2, 10, 11],
        [0.5, 1.5, 2.5, 10.5, 11.5, 20, 21],
        [1, 2, 3, 11, 12, 20.5, 21.5, 30, 31],
        [1.5, 2.5, 3.5, 11.5, 12.5, 21, 22, 30.5, 31.5],
    ]


def test_accumulate_same_puts_earlier_ones_back():
    assert through("accumulate_same", 1) == [
        [0, 10, 11, 1, 2],
        [0.5, 10, 11, 20, 21, 1.5, 2.5],
        [1, 10, 11, 20, 21, 30, 31, 2, 3],
        [1.5, 10.5, 11.5, 20.5, 21.5, 30.5, 31.5, 2.5, 3.5],
    ]


@pytest.mark.parametrize("mode", ["replace", "accumulate", "accumulate_same"])
def test_held_counts_what_is_there(mode):
    for layer, read in enumerate(through(mode, 2)):
        assert held(layer, PROMPTS, mode) == len(read) - 3
    assert held(-1, PROMPTS, mode) == 0
