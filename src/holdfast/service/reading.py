"""Which side is read, as the status has it: how much of it, and by whom in a stage."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def read_new(told: Mapping[str, Any]) -> float:
    """The share of the gallery, or in stages of the traffic, that reads the new side."""
    stage = told["stage"]
    if not stage:
        return float(told["share"])
    if not told["whole"]:
        return 1.0
    return 0.0 if stage["held"] else float(stage["share"])


def by_name_alone(told: Mapping[str, Any]) -> bool:
    """Whether a stage has no share: who reads the new side is named, and nobody knows how many."""
    stage = told["stage"]
    return bool(stage and told["whole"] and not stage["held"] and not stage["share"])


def in_stage(told: Mapping[str, Any]) -> str:
    """Which sides answer in a stage; empty where it depends on nobody who asks."""
    stage = told["stage"]
    if not stage or not told["whole"]:
        return ""
    if stage["held"]:
        return "old"
    return "both" if stage["share"] < 1.0 else "new"
