"""Batches, drawn; every loss, made; and slow arithmetic to compare them with."""

from __future__ import annotations

import math

import numpy as np
import torch

from holdfast.train.losses.advbct import AdvBCT
from holdfast.train.losses.base import Batch
from holdfast.train.losses.basis_transformation import BasisTransformation
from holdfast.train.losses.classification import Classification
from holdfast.train.losses.distillation import FeatureDistillation
from holdfast.train.losses.focal import FocalDistillation
from holdfast.train.losses.higher_order import HigherOrder
from holdfast.train.losses.influence import Influence
from holdfast.train.losses.lce import LCE, BottleneckTransform
from holdfast.train.losses.logit_difference import LogitDifference
from holdfast.train.losses.margin_preserving import MarginPreserving
from holdfast.train.losses.mixbct import MixBCT
from holdfast.train.losses.orthogonal_alignment import OrthogonalAlignment
from holdfast.train.losses.regression_alleviating import RegressionAlleviating
from holdfast.train.losses.unibct import UniBCT

CLASSES, OLD_CLASSES, DIM = 4, 3, 5
LABELS = (0, 2, 1, 0, 3, 2, 0)
WEIGHT = torch.from_numpy(np.random.default_rng(5).normal(size=(CLASSES, DIM)))


def normal(*shape, seed):
    return np.random.default_rng(seed).normal(size=shape)


def tensor(*shape, seed):
    return torch.from_numpy(normal(*shape, seed=seed))


PROTOTYPES = 0.6 * normal(CLASSES, DIM, seed=7)


def classify(vectors):
    return vectors @ WEIGHT.to(vectors).T


def batch(labels=LABELS, seed=0, only=None, **changed):
    """A batch in float64 with every field, or with those in `only`."""
    n = len(labels)
    fields = {
        "logits": tensor(n, CLASSES, seed=seed + 2),
        "native": tensor(n, 6, seed=seed + 3),
        "old": tensor(n, DIM, seed=seed + 4),
        "old_logits": 2.0 * tensor(n, OLD_CLASSES, seed=seed + 5),
        "other": tensor(n, 6, seed=seed + 6),
        "other_logits": 2.0 * tensor(n, CLASSES, seed=seed + 7),
        "memory": torch.tensor([i % 3 != 1 for i in range(n)], dtype=torch.bool),
        "credible": torch.tensor([i % 4 != 2 for i in range(n)], dtype=torch.bool),
        "classify": classify,
        "class_rows": tensor(CLASSES, DIM, seed=seed + 8),
        "progress": 0.4,
    }
    if only is not None:
        fields = {k: v for k, v in fields.items() if k in only or k == "progress"}
    fields.update(changed)
    new = fields.pop("new", tensor(n, DIM, seed=seed + 1))
    return Batch(torch.tensor(labels, dtype=torch.long), new, **fields)


def losses():
    """Name -> every loss, in every form, in float64."""
    torch.manual_seed(0)
    transforms = BottleneckTransform(DIM, DIM), BottleneckTransform(DIM, DIM, paths=2)
    known, floors = [True, True, True, False], [0.9, 0.8, 0.95, 1.0]
    made = {
        "classification": Classification(),
        "smoothed": Classification(smoothing=0.1, scale=2.0),
        "hoc": HigherOrder(),
        "hoc masked": HigherOrder(masked=True),
        "hoc symmetric": HigherOrder(mix=0.0, symmetric=True),
        "hoc memory": HigherOrder(memory_only=True, masked=True, symmetric=True),
        "feature distillation": FeatureDistillation(),
        "feature distillation of all": FeatureDistillation(memory_only=False),
        "influence": Influence(PROTOTYPES, bias=PROTOTYPES[:, 0]),
        "influence of known": Influence(PROTOTYPES[:3], known=known[1:], scale=8.0),
        "oca": OrthogonalAlignment(PROTOTYPES),
        "bt2": BasisTransformation(PROTOTYPES),
        "ract": RegressionAlleviating(temperature=0.1),
        "ract hardest": RegressionAlleviating(temperature=0.1, hardest=2),
        "ract triplet": RegressionAlleviating("triplet"),
        "lce": LCE(PROTOTYPES, floors, known),
        "lce transformed": LCE(PROTOTYPES, floors, None, *transforms),
        "advbct": AdvBCT(PROTOTYPES, floors, known),
        "mixbct": MixBCT(share=0.0),
        "unibct": UniBCT(PROTOTYPES, scale=4.0),
        "pct": FocalDistillation(classes=OLD_CLASSES),
        "pct of other": FocalDistillation("mean squared", teacher="other"),
        "elodi": LogitDifference(slack=0.2),
        "elodi top": LogitDifference(slack=0.0, top=2, power=1.5),
        "mpt": MarginPreserving(OLD_CLASSES),
        "mpt alone": MarginPreserving(OLD_CLASSES, distance="mean squared", other=False),
    }
    return {name: loss.double().eval() for name, loss in made.items()}


def unit(rows):
    rows = np.asarray(rows, dtype=float)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def cosine(a, b):
    return float(unit(a) @ unit(b))


def cross_entropy(logits, label, smoothing=0.0):
    """Of one row."""
    total = sum(math.exp(value) for value in logits)
    share = [smoothing / len(logits)] * len(logits)
    share[label] += 1.0 - smoothing
    return -sum(p * (value - math.log(total)) for p, value in zip(share, logits, strict=True))


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def number(value):
    """A tensor of one number, as a float."""
    return float(value.detach())
