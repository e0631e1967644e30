"""What each way of asking an old gallery of pictures and captions finds, for one world and seed."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from transformers import CLIPModel, PreTrainedTokenizerFast

from holdfast.align.augment import Augment
from holdfast.align.bridge import Bridge
from holdfast.align.crossing import Candidate, Support, cross
from holdfast.align.linear import Ridge
from holdfast.align.procrustes import Procrustes
from holdfast.align.projection import Projection
from holdfast.align.spherical import Interpolation
from holdfast.arrays import FloatArray, IntArray, Vectors, as_vectors, unit_rows
from holdfast.measure.cross_modal import DEPTHS, DIRECTIONS, Direction, Found, Pairing, ranks
from holdfast.space import Space
from holdfast.train.adapt_clip import Adapting, adapt

from .at_once import at_once
from .mixture import World as Table
from .mixture import fused, zscore
from .pictures import World
from .tiny_clip import pixels, scaled
from .towers import images as seen_by

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9)
ENOUGH = 1000  # support pairs from which some are used to adapt the new model
NOISELESS = Projection(noise=0.0)

Both = dict[Direction, IntArray]


@dataclass
class Cells:
    """Ranks by cell, and what was measured beside them.

    Args:
        ranks: (q,) of each direction, by cell.
        told: Figures and names that are no ranks.
    """

    ranks: dict[str, Both] = field(default_factory=dict)
    told: dict[str, Any] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Beside the models, so that a run that was cut off goes on."""
        rows = {f"{c}|{d}": r for c, both in self.ranks.items() for d, r in both.items()}
        with at_once(path) as partial:
            np.savez(partial, told=np.array(json.dumps(self.told)), **rows)

    @classmethod
    def load(cls, path: Path) -> Cells:
        """What `save` wrote."""
        out = cls()
        with np.load(path) as kept:
            out.told = json.loads(str(kept["told"]))
            for name in kept.files:
                if name != "told":
                    cell, _, direction = name.rpartition("|")
                    out.ranks.setdefault(cell, {})[direction] = kept[name]
        return out

    def found(self, cell: str) -> Found:
        """For recalls and flips."""
        return Found(cell, self.ranks[cell])


class Bench:
    """One world, encoded by both models.

    Args:
        world: The pictures.
        rows: As `towers.encoded` answers.
        home: Folder of the models.
    """

    def __init__(self, world: World, rows: Mapping[str, FloatArray], home: Path) -> None:
        self.world, self.home = world, home
        self.spaces = {
            side: Space(f"{side} {world.name}", rows[f"{side}.texts"].shape[1])
            for side in ("old", "new")
        }
        self.rows = {
            name: as_vectors(array, self.spaces[name.partition(".")[0]], "bench")
            for name, array in rows.items()
        }
        self.pairing = Pairing(world.test.of, len(world.test.captions))
        self.cells = Cells()

    def measured(self) -> Cells:
        """Everything."""
        old = self._test("old")
        self._ask("old/old", *old)
        self._add("new/new", *self._test("new"), self._test("new"))
        bridges = {
            "ridge": self._fitted(Ridge()),
            "procrustes": self._fitted(Procrustes(center=False)),
            "projection without noise": self._fitted(NOISELESS),
            "projection": self._fitted(Projection()),
        }
        for name, bridge in bridges.items():
            self._ask(name, *(bridge.transform(rows) for rows in self._test("new")))
        mapped = [bridges["projection"].transform(rows) for rows in self._test("new")]
        self._add("new/new through the projection", *mapped, tuple(mapped))
        more = self._adapted(bridges["projection"])
        for name in ("procrustes", "projection"):
            for rule in ("slerp", "adaptive"):
                self._joined(name, bridges[name], rule)
        self._chosen(more)
        self._mixed(bridges["projection"])
        gap = self._test("new")[0].array - self._first_captions()
        self.cells.told["pair distance"] = float(np.median(np.linalg.norm(gap, axis=1)))
        return self.cells

    def _first_captions(self) -> FloatArray:
        return self._test("new")[1].array[[own[0] for own in self.world.test.of]]

    def _test(self, side: str) -> tuple[Vectors, Vectors]:
        return self.rows[f"{side}.test.images"], self.rows[f"{side}.test.captions"]

    def _fitted(self, aligner: Any) -> Bridge:
        begun = time.process_time()
        texts = self.rows["new.texts"], self.rows["old.texts"]
        bridge = Bridge.fit(aligner, *texts)
        self.cells.told[f"seconds to fit {aligner.name}"] = time.process_time() - begun
        return bridge

    def _add(
        self, cell: str, images: Vectors, texts: Vectors, stored: tuple[Vectors, Vectors]
    ) -> None:
        found = Found.of(cell, images, texts, self.pairing, stored)
        self.cells.ranks[cell] = dict(found.ranks)

    def _ask(self, cell: str, images: Vectors, texts: Vectors) -> None:
        """Queries of the old space ask the old gallery."""
        self._add(cell, images, texts, self._test("old"))

    def _support(self, part: slice = slice(None)) -> Support:
        """The support pairs, or some of the pictures with all captions."""
        r, name = self.rows, "support"
        return Support(
            r[f"old.{name}.images"].take(part),
            r[f"old.{name}.captions"],
            r[f"new.{name}.images"].take(part),
            r[f"new.{name}.captions"],
            self.world.support.of[part],
        )

    def _joined(self, name: str, bridge: Bridge, rule: Any) -> None:
        """Joined with the old query; the share is chosen on all support pairs."""
        support, queries = self._support(), []
        back: list[list[int]] = [[] for _ in self.world.support.captions]
        for picture, own in enumerate(support.captions):
            for place in own:
                back[place].append(picture)
        sides = (
            (support.old_images, support.new_images, support.old_texts, support.captions),
            (support.old_texts, support.new_texts, support.old_images, back),
        )
        for place, (old, new, stored, own) in enumerate(sides):
            right = [np.array(rows) for rows in own]
            join = Interpolation.fit(old, bridge.transform(new), stored, right, rule, DEPTHS)
            asked = bridge.transform(self._test("new")[place])
            queries.append(join.between(self._test("old")[place], asked))
            self.cells.told[f"{name} + {rule} {DIRECTIONS[place]}"] = str(
                join.alpha if rule == "slerp" else (join.offset, join.slope)
            )
        self._ask(f"{name} + {rule}", *queries)

    def _chosen(self, more: tuple[Candidate, tuple[Vectors, Vectors], Support] | None) -> None:
        """What the ladder takes, direction by direction."""
        support = self._support() if more is None else more[2]
        extra = () if more is None else (more[0],)
        ladder = cross(self.rows["new.texts"], self.rows["old.texts"], support, more=extra)
        self.cells.told["ladder"] = {d: way.name for d, way in ladder.ways.items()}
        queries = []
        for place, direction in enumerate(DIRECTIONS):
            way, old = ladder[direction], self._test("old")[place]
            if way.name.startswith("adapted") and more is not None:
                asked = more[1][place]
                queries.append(asked if way.join is None else way.join.between(old, asked))
            else:
                queries.append(way.queries(old, self._test("new")[place]))
        self._ask("chosen by the ladder", *queries)

    def _adapted(self, bridge: Bridge) -> tuple[Candidate, tuple[Vectors, Vectors], Support] | None:
        """The second stage on two thirds of the support pairs, where there are enough."""
        support, size = self.world.support, self.world.sizes[1]
        if len(support.images) < ENOUGH:
            return None
        begun, cut = time.process_time(), 2 * len(support.images) // 3
        model = CLIPModel.from_pretrained(self.home / "new").eval()
        tokenizer = PreTrainedTokenizerFast.from_pretrained(self.home / "new")
        told = [support.captions[own[0]] for own in support.of[:cut]]
        tokens = tokenizer(told, padding=True, truncation=True, return_tensors="pt")
        shown = scaled(pixels(support.images[:cut], size.image))
        state = bridge.aligner.get_state()
        made = adapt(model, state, shown, {"input_ids": tokens["input_ids"]}, settings=Adapting())
        cells = self.cells.told
        cells["adapted"] = {"epoch": made.epoch, "pairs": cut, "parameters": made.parameters}
        cells["seconds to adapt"] = time.process_time() - begun

        def mapped(given: Any) -> Vectors:
            rows = as_vectors(seen_by(made.model, given, size), self.spaces["new"], "bench")
            return bridge.transform(rows)

        asked = mapped(self.world.test.images), bridge.transform(self._test("new")[1])
        self._ask("projection, adapted on pairs", *asked)
        rest = self._support(slice(cut, None))
        texts = bridge.transform(rest.new_texts)
        return Candidate("adapted", mapped(support.images[cut:]), texts), asked, rest

    def _mixed(self, bridge: Bridge) -> None:
        """Part of the gallery moved: R@k of each share, by the ways a mixture is served."""
        old, new = self._test("old"), self._test("new")
        for place, direction in enumerate(DIRECTIONS):
            other = 1 - place
            right = self.pairing.right(direction)
            table = _table((old[place], new[place]), (old[other], new[other]))
            over = bridge.transform(new[place]).array @ old[other].array.T
            order = np.random.default_rng(0).permutation(table.old.shape[1])
            ways: dict[str, Callable[..., FloatArray]] = {
                "calibrated": lambda m, w, t=table: zscore(t, m, w),
                "fused": lambda m, w, t=table: fused(t, m, w),
                "one index": lambda _, w, t=table.new, o=over: _beside(t, o, w),
            }
            for share in SHARES:
                cut = round(share * len(order))
                moved, waiting = order[:cut], order[cut:]
                for way, serve in ways.items():
                    made = ranked(serve(moved, waiting), right)
                    cell = f"mixed@{share:.0%}, {way}"
                    self.cells.ranks.setdefault(cell, {})[direction] = made
        self._check_index(bridge)

    def _check_index(self, bridge: Bridge) -> None:
        """New among new in the one index is new/new, rank by rank."""
        augment = Augment.of(bridge)
        images, texts = self._test("new")
        stored = augment.documents(texts)
        alike = ranks(augment.queries(images), stored, self.pairing.right("I2T"))
        same = np.mean(alike == self.cells.ranks["new/new"]["I2T"])
        self.cells.told["ranks of new/new kept in the one index"] = float(same)


def _table(queries: tuple[Vectors, Vectors], docs: tuple[Vectors, Vectors]) -> Table:
    judged = SimpleNamespace(
        old_queries=queries[0], new_queries=queries[1], old_docs=docs[0], new_docs=docs[1]
    )
    return Table.of(judged)


def _beside(new: FloatArray, over: FloatArray, waiting: IntArray) -> FloatArray:
    """The one index: old rows by the bridged half of the query, new ones by the other."""
    out = new.copy()
    out[:, waiting] = over[:, waiting]
    return out


def ranked(table: FloatArray, right: list[list[int]]) -> IntArray:
    """(q,) rank of the best right column."""
    best = np.array([row[own].max() for row, own in zip(table, right, strict=True)])
    return 1 + np.sum(table > best[:, None], axis=1).astype(np.int64)


def cells_of(world: World, rows: Mapping[str, FloatArray], home: Path) -> Cells:
    """Measured, or read where they were measured before."""
    path = home / "cells.npz"
    if path.exists() and path.stat().st_mtime > (home / "rows.npz").stat().st_mtime:
        return Cells.load(path)
    torch.manual_seed(0)
    rows = {name: unit_rows(array) for name, array in rows.items()}
    cells = Bench(world, rows, home).measured()
    cells.save(path)
    return cells
