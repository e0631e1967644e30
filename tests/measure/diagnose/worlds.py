"""Pairs of spaces of the same items, with faults planted or without."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from holdfast.arrays import IntArray, Vectors, as_vectors
from holdfast.space import Space

OLD, NEW = Space("toy-old", 24), Space("toy-new", 32)
KINDS, DOMAINS = 12, 3


@dataclass(frozen=True)
class World:
    """The same items twice.

    `kind` is what an item is and `domain` the coarser label; `lang` and `brand` are carried
    by the items, and `tag` is a cue that agrees with the kind for most of them.
    """

    old: Vectors
    new: Vectors
    kind: IntArray
    domain: IntArray
    columns: dict[str, IntArray]

    @property
    def payloads(self) -> list[dict[str, str]]:
        fields = {"kind": self.kind, "domain": self.domain, **self.columns}
        return [
            {name: f"{name}{values[row]}" for name, values in fields.items()}
            for row in range(len(self.kind))
        ]


def world(seed: int, fault: str = "", items: int = 400) -> World:
    """Two noisy turns of one latent table; `fault` is "shortcut", "loss" or nothing."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(KINDS, size=items)
    domain = kind % DOMAINS
    lang, brand = rng.integers(3, size=items), rng.integers(5, size=items)
    tag = np.where(rng.random(items) < 0.7, kind // DOMAINS, rng.integers(4, size=items))
    centres = rng.normal(size=(KINDS, 10)) + rng.normal(size=(DOMAINS, 10))[np.arange(KINDS) % 3]
    core = centres[kind] + rng.normal(size=(items, 10))
    spoken = 1.5 * np.eye(3)[lang] + 0.4 * rng.normal(size=(items, 3))
    made = 1.5 * np.eye(5)[brand] + 0.4 * rng.normal(size=(items, 5))

    def encoded(space: Space, tagged: float, keeps: float) -> Vectors:
        latent = np.hstack([core, keeps * spoken, made, tagged * np.eye(4)[tag]])
        turn = np.linalg.qr(rng.normal(size=(space.dim, space.dim)))[0][: latent.shape[1]]
        rows = latent @ turn + 0.5 * rng.normal(size=(items, space.dim))
        return as_vectors(rows, space, "world")

    old = encoded(OLD, 0.3, 1.0)
    new = encoded(NEW, 4.0 if fault == "shortcut" else 0.3, 0.0 if fault == "loss" else 1.0)
    return World(old, new, kind, domain, {"lang": lang, "brand": brand, "tag": tag})
