"""What a model is built of, in words that a recipe and a trained model's file both say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ..errors import ConfigError
from .backbones import SmallCNN, SmallResNet
from .expansion import AlignedHead
from .heads import LearnedHead
from .interface import Interface
from .interface import Kind as Figure
from .losses.base import Loss, WeightedSum
from .losses.classification import Classification
from .losses.distillation import FeatureDistillation
from .losses.higher_order import HigherOrder
from .losses.influence import Influence
from .losses.lce import LCE
from .losses.mixbct import MixBCT
from .losses.orthogonal_alignment import OrthogonalAlignment
from .losses.prototypes import class_floors, class_means
from .losses.regression_alleviating import RegressionAlleviating
from .model import Model
from .simplex import OneHotHead, SimplexHead
from .stage import Stage
from .tensors import Tensor, nn

_MOST = 65_536  # numbers in a vector, and units of a layer: more is a slip, found by no memory left
FIXED = ("simplex", "one-hot")  # heads whose classifier the interface is


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PicturesConfig(_Strict):
    """How pictures become inputs; not there where the data are vectors.

    Args:
        size: Pixels a side that pictures are scaled to.
        channels: 1 for grey, 3 for colours.
    """

    size: int = Field(default=32, ge=4)
    channels: Literal[1, 3] = 3


class BackboneConfig(_Strict):
    """The part before the head.

    Args:
        kind: "mlp" for vectors; "cnn" or "resnet" for pictures.
        width: Units of the mlp's hidden layer; channels of the first convolution.
        dim: Rows of the mlp; convolutions have 4 width.
        blocks: In each stage of a resnet.
    """

    kind: Literal["mlp", "cnn", "resnet"] = "cnn"
    width: int = Field(default=16, ge=1, le=_MOST)
    dim: int = Field(default=64, ge=2, le=_MOST)
    blocks: int = Field(default=3, ge=1, le=1000)


class HeadConfig(_Strict):
    """What classifies, and which vectors are served.

    Args:
        kind: "simplex" and "one-hot" are fixed classifiers, the same for all models of one
            name; "learned" is free; "aligned" adds coordinates to those of the old model.
        capacity: Classes that a simplex will ever hold.
        extra: Coordinates that "aligned" adds.
    """

    kind: Literal["simplex", "one-hot", "learned", "aligned"] = "simplex"
    capacity: int = Field(default=256, ge=2, le=_MOST)
    extra: int = Field(default=32, ge=1, le=_MOST)

    @property
    def figure(self) -> Figure:
        """Of the interface."""
        return "simplex" if self.kind == "simplex" else "one-hot"


class LossConfig(_Strict):
    """What is minimised where there is a model before; without one it is cross-entropy.

    Args:
        kind: "higher-order" (HOC), "distillation", "influence" (BCT), "alignment" (OCA),
            "regression-alleviating" (Hot-Refresh), "lce", "mixbct", or "classification",
            which compares with nothing.
        weight: Of what is added to the cross-entropy, where it is added.
        distillation: Beside "alignment": the weight at which every item keeps its old direction,
            where OCA knows the old model by the means of its classes only.
    """

    kind: Literal[
        "higher-order",
        "distillation",
        "influence",
        "alignment",
        "regression-alleviating",
        "lce",
        "mixbct",
        "classification",
    ] = "higher-order"
    weight: float = Field(default=1.0, gt=0.0)
    distillation: float = Field(default=0.0, ge=0.0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.distillation and self.kind != "alignment":
            raise ValueError(
                f'no distillation beside kind = "{self.kind}" (it goes beside "alignment", '
                "or is a kind of its own)"
            )
        if self.weight != 1.0 and self.kind not in _ADDED:
            raise ValueError(
                f'no weight beside kind = "{self.kind}" (it goes beside {", ".join(_ADDED)}, '
                "which are added to the cross-entropy)"
            )
        return self

    @property
    def compares(self) -> bool:
        """Whether it compares with old vectors."""
        return self.kind != "classification"


def backbone(config: BackboneConfig, shape: tuple[int, ...]) -> tuple[nn.Module, int]:
    """A backbone for inputs of a shape, and the length of its rows.

    Raises:
        ConfigError: Convolutions over vectors, or the other way round.
    """
    if (config.kind == "mlp") != (len(shape) == 1):
        what = "vectors" if len(shape) == 1 else "pictures"
        fits = "mlp" if len(shape) == 1 else "cnn or resnet"
        raise ConfigError("backbone.kind", f"{fits}, for {what}", repr(config.kind))
    if config.kind == "mlp":
        layers = (
            nn.Linear(shape[0], config.width),
            nn.BatchNorm1d(config.width),
            nn.ReLU(),
            nn.Linear(config.width, config.dim),
        )
        return nn.Sequential(*layers), config.dim
    if config.kind == "cnn":
        return SmallCNN(shape[0], config.width), 4 * config.width
    return SmallResNet(shape[0], config.blocks, config.width), 4 * config.width


def head(config: HeadConfig, rows: int, table: Interface, old_dim: int | None) -> nn.Module:
    """A head on rows of the backbone.

    Raises:
        ConfigError: An "aligned" one without a model to align with.
    """
    if config.kind == "simplex":
        return SimplexHead(rows, table.capacity)
    if config.kind == "one-hot":
        return OneHotHead(rows, table.capacity)
    if config.kind == "learned":
        return LearnedHead(rows, table.capacity)
    if old_dim is None:
        raise ConfigError(
            "head.kind", "a model before this one", "none", "Train the first one with 'learned'."
        )
    return AlignedHead(rows, old_dim, config.extra, table.capacity)


def model(
    parts: tuple[BackboneConfig, HeadConfig],
    shape: tuple[int, ...],
    table: Interface,
    old_dim: int | None,
) -> Model:
    """A new model, not trained."""
    made, rows = backbone(parts[0], shape)
    return Model(made, head(parts[1], rows, table, old_dim))


def _means(stage: Stage) -> tuple[Tensor, Tensor]:
    """(classes, d_old) old means, and (classes,) which are there: some classes have no items."""
    means = class_means(*stage.old_vectors(), int(stage.labels.max()) + 1)
    return means, means.square().sum(1) > 0


def _lce(stage: Stage) -> Loss:
    centres, known = _means(stage)
    return LCE(centres, class_floors(*stage.old_vectors(), centres), known)


def _influence(stage: Stage) -> Loss:
    rows, known = _means(stage)
    return Influence(rows, known=known)


_ADDED: dict[str, Callable[[Stage], Loss]] = {
    "distillation": lambda stage: FeatureDistillation(memory_only=False),  # noqa: ARG005
    "influence": _influence,
    "regression-alleviating": lambda stage: RegressionAlleviating(),  # noqa: ARG005
    "lce": _lce,
}
_WHOLE: dict[str, Callable[[Stage], Loss]] = {
    "higher-order": lambda stage: HigherOrder(),  # noqa: ARG005
    "mixbct": lambda stage: MixBCT(classification=Classification(scale=16.0)),  # noqa: ARG005
}


def alignment(stage: Stage, distillation: float) -> Loss:
    """The loss of OCA at its published weights, and every item keeps its old direction.

    OCA as published has no such term: it sees the old model by the means of its classes only.
    """
    prototypes, known = _means(stage)
    published = OrthogonalAlignment(prototypes, known=known)
    if not distillation:
        return published
    items = FeatureDistillation(memory_only=False)
    return WeightedSum({"alignment": (1.0, published), "distillation": (distillation, items)})


def loss(config: LossConfig) -> Callable[[Stage], Loss]:
    """Makes the loss of a task."""

    def make(stage: Stage) -> Loss:
        plain: Loss = Classification()
        if stage.teacher is None or config.kind == "classification":
            return plain
        if config.kind == "alignment":
            return alignment(stage, config.distillation)
        if config.kind in _WHOLE:
            return _WHOLE[config.kind](stage)
        added: Any = _ADDED[config.kind](stage)
        return WeightedSum({"classes": (1.0, plain), config.kind: (config.weight, added)})

    return make
