"""Learning rates: the published sequence, and why it is the rate that is scaled."""

import copy

import pytest

torch = pytest.importorskip("torch")

from holdfast.errors import InvalidInput  # noqa: E402
from holdfast.train.prompts.rates import class_ratios, constant, published, warmed  # noqa: E402


def test_the_published_ratios():
    cifar = [round(ratio, 4) for ratio in class_ratios([60] + [5] * 8)]
    assert cifar == [1.0, 0.0769, 0.0714, 0.0667, 0.0625, 0.0588, 0.0556, 0.0526, 0.05]
    birds = class_ratios([100] + [10] * 10)
    assert [round(birds[t], 4) for t in (1, 2, 9, 10)] == [0.0909, 0.0833, 0.0526, 0.05]
    with pytest.raises(InvalidInput, match="new classes"):
        class_ratios([60, 0])


def test_the_published_warm_up_is_asked_once_an_epoch():
    rates = [round(published()(epoch, 0.0), 5) for epoch in range(6)]
    assert rates == [0.001, 0.00298, 0.00496, 0.00694, 0.00892, 0.0109]


def test_warm_up_and_cosine():
    rate = warmed(0.2, share=0.1, floor=0.05)
    assert rate(0, 0.0) == pytest.approx(0.01)
    assert rate(0, 0.1) == pytest.approx(0.2)
    assert rate(3, 0.55) == pytest.approx(0.2 * (0.05 + 0.95 * 0.5))
    assert rate(3, 1.0) == pytest.approx(0.01)
    assert constant(0.3)(2, 0.7) == 0.3


def trained(kind, gradient=1.0, rate=1.0, steps=12, **options):
    """A small net after some steps; gradients or the learning rate may be scaled."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 3))
    inputs, labels = torch.randn(40, 6), torch.arange(40) % 3
    optimiser = kind(net.parameters(), lr=0.02 * rate, **options)
    start = copy.deepcopy(net)
    for _ in range(steps):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(inputs), labels).backward()
        for value in net.parameters():
            value.grad.mul_(gradient)
        optimiser.step()
    rows = [torch.cat([value.detach().flatten() for value in n.parameters()]) for n in (start, net)]
    return rows[1] - rows[0]


def test_under_sgd_scaled_gradients_are_a_scaled_rate():
    options = {"momentum": 0.9}
    by_gradient = trained(torch.optim.SGD, gradient=1 / 13, **options)
    by_rate = trained(torch.optim.SGD, rate=1 / 13, **options)
    torch.testing.assert_close(by_gradient, by_rate, rtol=1e-4, atol=1e-7)
    assert by_rate.norm() < 0.2 * trained(torch.optim.SGD, **options).norm()


def test_under_adam_scaled_gradients_do_nothing_and_a_scaled_rate_does():
    options = {"weight_decay": 0.0}
    plain = trained(torch.optim.AdamW, **options)
    by_gradient = trained(torch.optim.AdamW, gradient=1 / 13, **options)
    by_rate = trained(torch.optim.AdamW, rate=1 / 13, **options)
    assert (plain - by_gradient).abs().max() < 1e-4
    assert by_rate.norm() < 0.1 * plain.norm()
