"""Expansion heads: exported, cut and padded they still say the same."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.errors import InvalidInput
from holdfast.space import Space, relation

torch = pytest.importorskip("torch", reason="training needs torch")

from holdfast.train.expansion import (  # noqa: E402
    AlignedHead,
    TransformedHead,
    extended_space,
    padded,
    truncated,
)


def shaken(module, seed=0):
    """The module with all its numbers moved."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for values in module.parameters():
            values.add_(0.3 * torch.randn_like(values))
    return module


def unit(array):
    return array / np.linalg.norm(array, axis=-1, keepdims=True)


@pytest.mark.parametrize("rotation", ["exponential", "cayley", "householder", None])
def test_the_absorbed_classifier_answers_the_same(rotation):
    head = shaken(AlignedHead(20, 12, 4, 7, rotation))
    answer = head(torch.randn(9, 20))
    np.testing.assert_allclose(
        head.absorbed()(answer.vectors).detach(), answer.logits.detach(), atol=1e-5
    )
    W, absorbed = head.classifier.weight.detach(), head.absorbed().weight.detach()
    assert float(absorbed.norm()) == pytest.approx(float(W.norm()), rel=1e-5)


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rotation", ["exponential", "cayley", "householder", None])
def test_heads_of_half_precision_answer_nearly_the_same(rotation, half):
    """No machine solves or turns in half precision, and nobody has to."""
    for head in (AlignedHead(20, 12, 4, 7, rotation), TransformedHead(20, 10, 8, 4, 7)):
        whole, rows = shaken(head).to(half).float(), torch.randn(9, 20).to(half)
        expected = whole(rows.float())
        answer = head.to(half)(rows)
        answer.logits.sum().backward()
        for got, wanted in ((answer.vectors, expected.vectors), (answer.logits, expected.logits)):
            np.testing.assert_allclose(got.detach().float(), wanted.detach(), atol=0.08)
    exported = AlignedHead(20, 12, 4, 7, rotation).to(half).absorbed()
    assert exported.weight.dtype == half


def test_the_aligned_head_is_its_formula():
    head = shaken(AlignedHead(20, 12, 4, 7))
    rows = torch.randn(9, 20)
    answer = head(rows)
    h = unit(rows.numpy() @ head.project.weight.detach().numpy().T)
    np.testing.assert_allclose(answer.vectors.detach(), h, atol=1e-6)
    np.testing.assert_allclose(answer.shared.detach(), h[:, :12], atol=1e-6)
    Q, b = head.turn.matrix().detach().numpy(), head.turn.bias.detach().numpy()
    W = head.classifier.weight.detach().numpy()
    np.testing.assert_allclose(answer.logits.detach(), (h @ Q.T + b) @ W.T, atol=1e-5)


def test_a_backbone_of_the_right_length_is_used_as_it_is():
    head = AlignedHead(16, 12, 4, 7)
    rows = torch.randn(3, 16)
    np.testing.assert_allclose(head(rows).vectors.detach(), unit(rows.numpy()), atol=1e-6)
    assert not any(name.startswith("project") for name in head.state_dict())


@pytest.mark.parametrize(("native", "old"), [(10, 10), (10, 6), (8, 11)])
def test_the_transformed_head_is_its_formula(native, old):
    head = shaken(TransformedHead(20, native, old, 4, 7, reach=3.0))
    rows = torch.randn(9, 20)
    answer = head(rows)
    with torch.no_grad():
        n = unit(head.native(rows).numpy())
        u = unit(head.branch(rows).numpy())
        P, R = head.spread.matrix().numpy(), head.turn.matrix().numpy()
        W = head.classifier.weight.numpy()
    z = np.hstack([u, 3.0 * n @ P.T])
    expected = np.hstack([z[:, :old] @ R.T, z[:, old:]])
    np.testing.assert_allclose(answer.vectors.detach(), expected, atol=1e-5)
    np.testing.assert_allclose(answer.shared.detach(), expected[:, :old], atol=1e-5)
    np.testing.assert_allclose(answer.native.detach(), n, atol=1e-6)
    np.testing.assert_allclose(answer.logits.detach(), n @ W.T, atol=1e-5)
    # Nothing of n is lost: products are those of [u, reach n].
    got = answer.vectors.detach().numpy()
    np.testing.assert_allclose(got @ got.T, u @ u.T + 9.0 * n @ n.T, atol=1e-4)
    assert head.dim == got.shape[1] == native + 4


def test_cutting_and_padding_rank_the_old_gallery_alike():
    new, old = torch.randn(5, 16), torch.randn(30, 12)
    cut = truncated(new, 12)
    np.testing.assert_allclose(cut, unit(new[:, :12].numpy()), atol=1e-6)
    by_cut = cut @ old.T
    by_padding = new @ padded(old, 16).T
    scale = new[:, :12].norm(dim=1, keepdim=True)
    np.testing.assert_allclose(by_padding, by_cut * scale, atol=1e-5)
    assert torch.equal(padded(old, 12), old)


def test_the_space_extends_the_old_one():
    old = Space("resnet@1", 12)
    new = extended_space("resnet@2", old, 4, "b7")
    assert (new.dim, relation(new, old), relation(old, new)) == (16, "extends", "unrelated")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: truncated(torch.zeros(2, 4), 5), "at most 4 coordinates"),
        (lambda: truncated(torch.zeros(2, 4), 0), "at most 4 coordinates"),
        (lambda: padded(torch.zeros(2, 4), 3), "at least 4 coordinates"),
        (lambda: extended_space("b", Space("a", 4), 0, "x"), "at least 1 coordinate more"),
        (lambda: extended_space("b", Space("a", 4, fingerprint="x"), 1, "x"), "of its own"),
        (lambda: AlignedHead(4, 0, 2, 3), "old_dim from 1"),
        (lambda: TransformedHead(4, 4, 7, 2, 3), "old_dim from 2 to 6"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()
