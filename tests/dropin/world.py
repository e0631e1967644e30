"""A gallery for drop-ins: words as bags, in two models."""

from __future__ import annotations

from pathlib import Path

from holdfast.arrays import as_vectors
from holdfast.source.store_payload import StorePayloadSource
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.merge import Mode
from holdfast.upgrade.mover import ReEmbed
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.side import Side
from tests.cli import toys
from tests.upgrade.toys import Clock

OLD, NEW = Space("old", toys.OLD_DIM), Space("new", toys.NEW_DIM)


class Words:
    """A bag of words; one that says nothing is a bag of one unknown word."""

    def __init__(self, space: Space) -> None:
        self.space = space

    def encode(self, contents, role):
        bags = toys._bags([text or "-" for text in contents], self.space.dim)
        return as_vectors(bags, self.space, "words")


def plain() -> Gallery:
    """One store."""
    return Gallery(Side(MemoryStore(OLD), Words(OLD)), clock=Clock(1))


def upgrading(folder: Path, mode: Mode = "calibrated") -> tuple[Gallery, Engine]:
    """Two stores and an engine, nothing moved."""
    ledger = Ledger(folder / "ledger.sqlite", lambda: 0.0)
    plan = Plan(batch_size=4, max_batch_size=4, merge=mode)
    ledger.begin(plan.model_dump(), OLD, NEW)
    old = MemoryStore(OLD)
    sides = Side(old, Words(OLD)), Side(MemoryStore(NEW), Words(NEW))
    gallery = Gallery(*sides, ledger, mode=mode, clock=Clock(1))
    return gallery, Engine(gallery, ReEmbed(StorePayloadSource(old, "text"), Words(NEW)), plan)
