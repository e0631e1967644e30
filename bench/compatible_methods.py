"""Every method of compatible training as (family, backbone, head, loss), at its published settings.

Two families of old models: "learned", a classifier on 128 coordinates, and "simplex", a fixed
one. A method is compared with the old model of its own family.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import nn

from holdfast.train.expansion import AlignedHead, TransformedHead
from holdfast.train.heads import LearnedHead
from holdfast.train.losses.advbct import AdvBCT
from holdfast.train.losses.base import Loss, WeightedSum
from holdfast.train.losses.basis_transformation import BasisTransformation
from holdfast.train.losses.classification import Classification
from holdfast.train.losses.distillation import FeatureDistillation
from holdfast.train.losses.higher_order import HigherOrder
from holdfast.train.losses.influence import Influence
from holdfast.train.losses.lce import LCE
from holdfast.train.losses.mixbct import MixBCT
from holdfast.train.losses.orthogonal_alignment import OrthogonalAlignment
from holdfast.train.losses.prototypes import class_floors, class_means, class_radii
from holdfast.train.losses.regression_alleviating import RegressionAlleviating
from holdfast.train.losses.unibct import UniBCT
from holdfast.train.simplex import SimplexHead
from holdfast.train.stage import Stage
from holdfast.train.tensors import Tensor

DIM, EXTRA = 128, 32

Family = Literal["learned", "simplex"]
MakeHead = Callable[[int, int], nn.Module]  # classes, capacity of the simplex
MakeLoss = Callable[[Stage], Loss]


@dataclass(frozen=True)
class Method:
    """One method.

    Args:
        family: Of its old model.
        head: Makes its head on rows of the backbone.
        loss: Makes its loss, where there is an old model.
        rows: Coordinates of its backbone.
        old: Whether the old model takes any part.
        other: Whether it needs the independently trained new model.
    """

    family: Family
    head: MakeHead
    loss: MakeLoss
    rows: int = DIM
    old: bool = True
    other: bool = False


def learned(classes: int, capacity: int) -> nn.Module:  # noqa: ARG001
    """A free classifier."""
    return LearnedHead(DIM, classes)


def simplex(classes: int, capacity: int) -> nn.Module:  # noqa: ARG001
    """A fixed classifier."""
    return SimplexHead(DIM, capacity)


def aligned(turned: bool) -> MakeHead:
    """The head of OCA, with its orthogonal layer or without."""
    return lambda classes, capacity: AlignedHead(  # noqa: ARG005
        DIM + EXTRA, DIM, EXTRA, classes, "cayley" if turned else None
    )


def transformed(classes: int, capacity: int) -> nn.Module:  # noqa: ARG001
    """The head of BT^2."""
    return TransformedHead(DIM, DIM, DIM, EXTRA, classes)


def plain(stage: Stage) -> Loss:  # noqa: ARG001
    """Cross-entropy."""
    return Classification()


def beside(make: Callable[[Stage], Loss], weight: float = 1.0) -> MakeLoss:
    """Cross-entropy and something else."""
    return lambda stage: WeightedSum({"ce": (1.0, Classification()), "old": (weight, make(stage))})


def means(stage: Stage) -> Tensor:
    """Prototypes of all classes by the old model, those it never saw included."""
    return class_means(*stage.old_vectors(), int(stage.labels.max()) + 1)


def lce(stage: Stage) -> Loss:
    """Centres and floors of all classes."""
    centres = means(stage)
    return LCE(centres, class_floors(*stage.old_vectors(), centres))


def advbct(stage: Stage) -> Loss:
    """Centres and radii of all classes."""
    centres = means(stage)
    return AdvBCT(centres, class_radii(*stage.old_vectors(), centres))


def mixbct(stage: Stage) -> Loss:  # noqa: ARG001
    """Unit vectors under a free classifier, sharpened."""
    return MixBCT(classification=Classification(scale=16.0))


def every_item() -> Loss:
    """Feature distillation over all items: there is no memory when a model is trained afresh."""
    return FeatureDistillation(memory_only=False)


METHODS: dict[str, Method] = {
    "independent": Method("learned", learned, plain, old=False),
    "BCT": Method("learned", learned, beside(lambda s: Influence(means(s)))),
    "OCA": Method("learned", aligned(True), lambda s: OrthogonalAlignment(means(s)), DIM + EXTRA),
    "OCA without its layer": Method(
        "learned", aligned(False), lambda s: OrthogonalAlignment(means(s)), DIM + EXTRA
    ),
    "BT2": Method("learned", transformed, lambda s: BasisTransformation(means(s)), other=True),
    "Hot-Refresh": Method("learned", learned, beside(lambda s: RegressionAlleviating())),  # noqa: ARG005
    "LCE": Method("learned", learned, beside(lce)),
    "MixBCT": Method("learned", learned, mixbct),
    "distilled": Method("learned", learned, beside(lambda s: every_item(), 5.0)),  # noqa: ARG005
    "HOC, learned head": Method("learned", learned, lambda s: HigherOrder()),  # noqa: ARG005
    "UniBCT": Method("learned", learned, beside(lambda s: UniBCT(means(s)))),
    "AdvBCT": Method("learned", learned, beside(advbct)),
    "CoReS": Method("simplex", simplex, plain, old=False),
    "CL2R": Method("simplex", simplex, beside(lambda s: every_item(), 5.0)),  # noqa: ARG005
    "HOC": Method("simplex", simplex, lambda s: HigherOrder()),  # noqa: ARG005
    # ours: what the new model adds gets room of its own, and every item keeps its old direction
    "expanded and distilled": Method(
        "learned",
        aligned(False),
        beside(lambda s: every_item(), 5.0),  # noqa: ARG005
        DIM + EXTRA,
    ),
}
