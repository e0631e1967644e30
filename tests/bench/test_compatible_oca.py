"""The weight of distillation beside OCA: its loss, who judges it, and the rule that chooses."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from bench import compatible_convolutional, compatible_oca  # noqa: E402
from bench.compatible_cells import Cells  # noqa: E402
from bench.compatible_convolutional import AS_PUBLISHED, Pictures  # noqa: E402
from holdfast.train.losses.base import Batch  # noqa: E402


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def smoothed(scores, labels, smoothing=0.1):
    values = []
    for row, label in zip(scores, labels, strict=True):
        logs = row - np.log(np.exp(row).sum())
        target = np.full(len(row), smoothing / len(row))
        target[label] += 1 - smoothing
        values.append(-(target * logs).sum())
    return np.mean(values)


def test_the_loss_is_that_of_oca_and_distillation_of_every_item():
    rng = np.random.default_rng(0)
    old, shared, logits = (rng.normal(size=(6, d)) for d in (4, 4, 3))
    old, labels = unit(old), np.array([0, 1, 2, 0, 1, 1])

    class Stage:
        def __init__(self):
            self.labels = torch.from_numpy(labels)

        def old_vectors(self):
            return torch.from_numpy(old), self.labels

    loss = compatible_convolutional.oca_distilled(7.0)(Stage())
    new, both = torch.from_numpy(shared), torch.from_numpy(logits)
    batch = Batch(torch.from_numpy(labels), new, logits=both, old=torch.from_numpy(old))
    means = np.stack([old[labels == c].mean(0) for c in range(3)])
    h = unit(shared)
    apart = 1 - (h * unit(means)[labels]).sum(1).mean()
    expected = 5 * smoothed(logits, labels) + 10 * smoothed(h @ means.T, labels) + 5 * apart
    expected += 7 * (1 - (h * old).sum(1).mean())
    assert float(loss(batch)) == pytest.approx(expected, rel=1e-6)


def told(old, asked, new):
    return {"CMC@1": {"old/old": [old], "new/old": [asked], "new/new": [new]}}


def test_the_rule_takes_the_best_old_gallery_of_those_within_a_point():
    found = {"independent": told(0.2, 0.0, 0.4), "OCA": told(0.2, 0.19, 0.4)}
    rows = {5: (0.22, 0.395), 10: (0.25, 0.3901), 25: (0.3, 0.3899)}
    for weight, (asked, new) in rows.items():
        assert compatible_oca.chosen(found) is None
        found[compatible_oca.label(weight)] = told(0.2, asked, new)
    assert compatible_oca.chosen(found) == 10
    found["independent"] = told(0.2, 0.0, 0.39)
    assert compatible_oca.chosen(found) == 25
    found["independent"] = told(0.2, 0.0, 0.5)  # none is near
    assert compatible_oca.chosen(found) == 5
    for weight in rows:
        found[compatible_oca.label(weight)] = told(0.2, 0.25, 0.5)
    assert compatible_oca.chosen(found) == 5


def test_only_training_images_are_learned_and_judge(monkeypatch, tmp_path):
    def drawn(name, cache):
        labels = np.tile(np.arange(100), 600)
        rank = np.repeat(np.arange(600), 100)
        rows = np.stack([rank // 256, rank % 256, labels], 1).astype(np.uint8)[:, None, None]
        return Pictures(torch.from_numpy(rows), labels, (rank >= 500).astype(int))

    monkeypatch.setattr(compatible_convolutional, "pictures", drawn)
    world = compatible_convolutional.left_out(Cells(tmp_path), 1, 32, 2e-3, 16)
    for part, expected in ((world.train, range(400)), (world.test, range(400, 500))):
        found = part.rows[:, 0, 0].numpy().astype(int)
        assert sorted(set(256 * found[:, 0] + found[:, 1])) == list(expected)
        assert np.bincount(part.labels).tolist() == [len(expected)] * 100
    assert (world.queries, world.seed, world.epochs) == (10_000, 300, 16)


def test_only_the_loss_differs_from_oca_and_the_table_marks_the_choice(tmp_path):
    for method in (*compatible_oca.methods().values(), AS_PUBLISHED["OCA, distilled"]):
        if method.old:
            assert (method.head, method.rows) == (AS_PUBLISHED["OCA"].head, 160)
    cells = Cells(tmp_path, run=False)
    assert compatible_oca.table(cells) == ""
    (tmp_path / "cells").mkdir()
    for name, made in {
        "independent": told(0.2, 0.01, 0.4),
        "oca": told(0.2, 0.19, 0.4),
        "oca-distilled-5": told(0.2, 0.22, 0.4),
        "oca-distilled-10": told(0.2, 0.25, 0.395),
        "oca-distilled-25": told(0.2, 0.3, 0.3),
    }.items():
        kept = {"CMC@1": {side: values * 40 for side, values in made["CMC@1"].items()}}
        (tmp_path / "cells" / f"convolutional-weight-{name}.json").write_text(json.dumps(kept))
    lines = compatible_oca.table(cells).splitlines()[4:]
    assert [line.split(" | ")[0] for line in lines] == [
        "| independent",
        "| OCA",
        "| OCA, distilled, 5",
        "| **OCA, distilled, 10**",
        "| OCA, distilled, 25",
    ]
    assert lines[3].startswith("| **OCA, distilled, 10** | 20.0 | 25.0 | 39.5 | +5.0 (")
    assert "| -0.5 (" in lines[3]
