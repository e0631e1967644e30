"""The network and its training loop."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from holdfast.align.chain import add_net, pack
from holdfast.align.descent import PATIENCE, Course, Frame, Layers, batches, descend


def layers(normalised, seed=0, widths=(6, 8, 7, 3)):
    """A network whose every tensor is away from where it starts."""
    rng = np.random.default_rng(seed)
    made = Layers(Frame(rng.normal(size=widths[0]), 2.5, 0.7), widths, normalised, rng)
    with torch.no_grad():
        trained = [*made.weights, *made.biases, *made.last, *(made.gains if normalised else [])]
        for tensor in trained:
            drawn = rng.normal(size=tuple(tensor.shape)).astype(np.float32)
            tensor.add_(torch.from_numpy(drawn))
    return made


def rows(count=50, seed=1):
    return np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)


@pytest.mark.parametrize("normalised", [True, False])
def test_folded_equals_unfolded(normalised):
    net = layers(normalised)
    X, fresh = rows(), rows(30, 2)
    with torch.no_grad():
        net.settle(torch.from_numpy(X))
        expected = net(torch.from_numpy(fresh), settled=True).numpy()
    out = np.zeros((30, 3), dtype=np.float32)
    add_net(fresh, *pack(net.folded()), out)
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(out).max() > 1.0


def test_settled_rows_are_normalised_as_the_whole_batch_was():
    net, X = layers(True), torch.from_numpy(rows())
    with torch.no_grad():
        net.settle(X)
        np.testing.assert_allclose(net(X, True).numpy(), net(X, False).numpy(), atol=1e-4)
        seen = (X.numpy() - net.frame.shift) / 2.5 @ net.weights[0].numpy()
    np.testing.assert_allclose(net.means[0].numpy(), seen.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(net.variances[0].numpy(), seen.var(axis=0), rtol=1e-4)


@pytest.mark.parametrize("normalised", [True, False])
def test_batch_normalisation_is_that_of_torch(normalised):
    net, X = layers(normalised, widths=(6, 8, 3)), torch.from_numpy(rows())
    with torch.no_grad():
        got = net(X, settled=False)
        seen = ((X - torch.from_numpy(net.frame.shift).float()) / 2.5) @ net.weights[0]
        if normalised:
            seen = torch.nn.functional.batch_norm(
                seen, None, None, net.gains[0], torch.zeros(8), training=True
            )
        expected = ((seen + net.biases[0]).relu() @ net.last[0] + net.last[1]) * 0.7
    np.testing.assert_allclose(got.numpy(), expected.numpy(), rtol=1e-4, atol=1e-4)


def test_a_new_network_is_zero_everywhere():
    net = Layers(Frame(np.ones(6), 3.0, 2.0), (6, 8, 3), True, np.random.default_rng(0))
    with torch.no_grad():
        assert not net(torch.from_numpy(rows()), settled=False).any()
    assert all(not weight.any() for weight in net.folded()[-1])


class Script:
    """An objective whose held-out losses are given; its one number counts the steps."""

    def __init__(self, losses, course):
        self.script, self.course = iter(losses), course
        self.number = torch.zeros(1, requires_grad=True)
        self.seen = []

    def tensors(self):
        return [self.number]

    def loss(self, rows, held, rng):
        self.seen.append(rows)
        return -self.number.sum()

    def settle(self):
        pass

    def judge(self):
        return next(self.script)


def scripted(losses, epochs=30):
    course = Course((4,), epochs, 4, 1.0, 0)
    objective = Script(losses, course)
    best, told = descend(objective, 10, course)
    return objective, best, told.tolist()


def test_the_best_epoch_is_kept_and_patience_ends():
    worse = [7.0] * PATIENCE
    objective, best, told = scripted([3.0, 4.0, 2.0, 2.0, 1.5, *worse])
    assert best == 4
    assert told == [3.0, 4.0, 2.0, 2.0, 1.5, *worse]
    # Adam moves by its rate at each of three steps an epoch.
    assert objective.number.item() == pytest.approx(12.0, abs=1e-3)


def test_losses_that_are_no_numbers_are_never_the_best():
    objective, best, told = scripted([3.0, *[float("nan")] * PATIENCE])
    assert (best, len(told), objective.number.item()) == (0, 1 + PATIENCE, 0.0)


def test_epochs_end_it_and_every_epoch_sees_every_row_once():
    objective, best, told = scripted([3.0, 2.0, 1.0], epochs=2)
    assert (best, told) == (2, [3.0, 2.0, 1.0])
    assert [len(part) for part in objective.seen] == [4, 3, 3, 4, 3, 3]
    first, second = np.concatenate(objective.seen[:3]), np.concatenate(objective.seen[3:])
    assert sorted(first) == sorted(second) == list(range(10))
    assert first.tolist() != second.tolist()


def test_no_batch_is_a_single_row():
    for count in range(2, 40):
        sizes = [len(part) for part in batches(np.arange(count), 4)]
        assert sum(sizes) == count
        assert 2 <= min(sizes) <= max(sizes) <= 4
