"""The aligners that a saved bridge may name, imported when they are asked for."""

from __future__ import annotations

import importlib
from types import MappingProxyType

from ..errors import InvalidInput
from .base import Aligner

# name in files -> (module beside this one, class)
ALIGNERS = MappingProxyType(
    {
        "diagonal": ("diagonal", "Diagonal"),
        "fastfill": ("forward", "FastFill"),
        "forward": ("forward", "Forward"),
        "kernel": ("kernel", "Kernel"),
        "low_rank": ("low_rank", "LowRank"),
        "mean_drift": ("drift", "MeanDrift"),
        "metric_compatible": ("metric_compatible", "MetricCompatible"),
        "orthogonal": ("orthogonal", "Orthogonal"),
        "procrustes": ("procrustes", "Procrustes"),
        "projection": ("projection", "Projection"),
        "residual_mlp": ("mlp", "ResidualMLP"),
        "reverse_query": ("metric_compatible", "ReverseQuery"),
        "ridge": ("linear", "Ridge"),
    }
)


def aligner_class(name: str) -> type[Aligner]:
    """The class behind a name.

    Raises:
        InvalidInput: No aligner of that name.
    Example:
        >>> aligner_class("ridge").__name__
        'Ridge'
    """
    if name not in ALIGNERS:
        raise InvalidInput(
            "aligner",
            f"one of {', '.join(sorted(ALIGNERS))}",
            repr(name),
            "An aligner of your own is passed to `Bridge.load` in `aligners`.",
        )
    module, attribute = ALIGNERS[name]
    found: type[Aligner] = getattr(importlib.import_module(f".{module}", __package__), attribute)
    return found
