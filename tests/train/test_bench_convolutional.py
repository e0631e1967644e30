"""The pictures of the benchmark of convolutional networks: moved as a slow loop moves them."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from bench.compatible_convolutional import AS_PUBLISHED, REACH, Net, Pictures, moved  # noqa: E402
from holdfast.train.model import Model  # noqa: E402


def drawn(count=9):
    rows = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    return Pictures(torch.from_numpy(rows), np.arange(count), np.zeros(count))


def test_bytes_become_floats_where_they_were():
    given = drawn()
    asked = given[torch.tensor([4, 1])]
    for row, place in zip(asked, (4, 1), strict=True):
        for channel in range(3):
            expected = (given.rows[place, :, :, channel].numpy().astype(np.float64) - 120) / 64
            np.testing.assert_allclose(row[channel], expected, atol=1e-6)
    kept = given.take(np.array([4, 1]))
    assert torch.equal(kept[torch.arange(2)], asked)
    assert kept.labels.tolist() == [4, 1]


def test_each_picture_is_moved_and_turned_by_its_own_draw():
    given = drawn(64)[torch.arange(64)]
    torch.manual_seed(3)
    got = moved(given)
    torch.manual_seed(3)
    down, across = torch.randint(0, 2 * REACH + 1, (2, 64, 1))[:, :, 0].tolist()
    turned = (torch.rand(64, 1) < 0.5)[:, 0].tolist()
    assert {True, False} == set(turned)
    for n in range(64):
        wide = np.zeros((3, 32 + 2 * REACH, 32 + 2 * REACH), dtype=np.float32)
        wide[:, REACH:-REACH, REACH:-REACH] = given[n].numpy()
        cut = wide[:, down[n] : down[n] + 32, across[n] : across[n] + 32]
        np.testing.assert_array_equal(got[n], cut[:, :, ::-1] if turned[n] else cut)


def test_the_first_model_is_the_published_one():
    method = AS_PUBLISHED["independent"]
    model = Model(Net(method.rows, 1, 4), method.head(7, 0)).eval()
    rows = model.backbone(drawn()[torch.arange(9)]).detach().numpy()
    answer = model(drawn()[torch.arange(9)])
    h = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    weight = model.head.classifier.weight.detach().numpy()
    np.testing.assert_allclose(answer.vectors.detach(), h, atol=1e-5)
    np.testing.assert_allclose(answer.logits.detach(), h @ weight.T, atol=1e-5)
    assert model.head.classifier.bias is None
    assert method.loss(None).smoothing == 0.1
