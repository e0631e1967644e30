"""Backbones: their rows, their shortcuts, and that they learn."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.errors import InvalidInput  # noqa: E402
from holdfast.train.backbones import Residual, SmallCNN, SmallResNet  # noqa: E402


def weights(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("size", [28, 32, 33])
@pytest.mark.parametrize(
    ("backbone", "channels"), [(SmallCNN(), 1), (SmallCNN(3, 4), 3), (SmallResNet(1, 1, 4), 1)]
)
def test_rows_have_the_length_they_say(backbone, channels, size):
    rows = backbone(torch.randn(2, channels, size, size))
    assert rows.shape == (2, backbone.dim)
    assert float(rows.detach().std()) > 0.0


@pytest.mark.parametrize(("blocks", "published"), [(3, 0.27e6), (5, 0.46e6)])
def test_residual_networks_have_the_published_size(blocks, published):
    backbone = SmallResNet(3, blocks)
    assert weights(backbone) + 65 * 10 == pytest.approx(published, rel=0.02)
    convolutions = [m for m in backbone.modules() if isinstance(m, torch.nn.Conv2d)]
    assert len(convolutions) + 1 == 6 * blocks + 2


def test_a_block_that_adds_nothing_is_its_shortcut():
    block = Residual(3, 6, stride=2).eval()
    torch.nn.init.zeros_(block.second[0].weight)
    rows = torch.randn(2, 3, 8, 8)
    got = block(rows).detach().numpy()
    expected = np.zeros((2, 6, 4, 4), dtype=np.float32)
    expected[:, :3] = np.maximum(rows.numpy()[:, :, ::2, ::2], 0.0)
    np.testing.assert_allclose(got, expected)


def test_a_block_is_its_formula():
    block = Residual(4, 4).eval()
    rows = torch.randn(2, 4, 5, 5)
    conv = torch.nn.functional.conv2d
    norm = 1.0 / np.sqrt(1.0 + 1e-5)  # batch normalisation that has seen nothing
    inner = torch.relu(conv(rows, block.first[0].weight, padding=1) * norm)
    expected = torch.relu(conv(inner, block.second[0].weight, padding=1) * norm + rows)
    np.testing.assert_allclose(block(rows).detach(), expected.detach(), atol=1e-5)


@pytest.mark.parametrize("backbone", [SmallCNN(1, 4), SmallResNet(1, 1, 4)])
def test_they_learn_stripes(backbone):
    torch.manual_seed(0)
    stripes = torch.tensor([0.0, 1.0]).repeat(6)
    images = torch.stack([stripes.expand(12, 12), stripes.expand(12, 12).T]).repeat(16, 1, 1)
    images = images[:, None] + 0.3 * torch.randn(32, 1, 12, 12)
    labels = torch.tensor([0, 1]).repeat(16)
    head = torch.nn.Linear(backbone.dim, 2)
    optimiser = torch.optim.Adam([*backbone.parameters(), *head.parameters()], lr=0.01)
    for _ in range(15):
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(head(backbone(images)), labels).backward()
        optimiser.step()
    assert (head(backbone(images)).argmax(1) == labels).float().mean() > 0.95


def test_sizes_are_checked():
    with pytest.raises(InvalidInput, match="sizes from 1"):
        SmallCNN(0)
