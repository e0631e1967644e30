"""Two small CLIPs and what they say of digit scenes: noise is what carries a map to pictures.

`digit_scenes.npz` holds, in bytes, vectors of 8,000 captions without pictures and of
500 scenes that neither model saw, by the two models of seed 0 of `bench.cross_modal`. Among half
as many captions the first five are what the first ten are there.
"""

from pathlib import Path

import numpy as np
import pytest

from holdfast.align.linear import Ridge
from holdfast.align.procrustes import Procrustes
from holdfast.align.projection import Projection
from holdfast.arrays import as_vectors, unit_rows
from holdfast.measure.cross_modal import CrossTest, Found, Pairing
from holdfast.space import Space

pytest.importorskip("torch", reason="needs holdfast[train]")
pytestmark = pytest.mark.slow

OLD, NEW = Space("old", 32), Space("new", 64)
PAIRS = Pairing([[i] for i in range(500)], 500)


@pytest.fixture(scope="module")
def rows():
    with np.load(Path(__file__).with_name("digit_scenes.npz")) as kept:
        return {name: unit_rows(kept[name].astype(np.float32)) for name in kept.files}


@pytest.fixture(scope="module")
def cells(rows):
    """Found by cell."""
    stored = tuple(as_vectors(rows[f"old_{kind}"], OLD, "test") for kind in ("images", "captions"))
    made = {"old/old": Found.of("old/old", *stored, PAIRS)}
    aligners = {
        "ridge": Ridge(),
        "procrustes": Procrustes(center=False),
        "without": Projection(noise=0.0),
        "with": Projection(),
    }
    for name, aligner in aligners.items():
        aligner.fit(rows["new_texts"], rows["old_texts"])
        asked = (
            as_vectors(aligner.transform(rows[f"new_{kind}"]), OLD, "test")
            for kind in ("images", "captions")
        )
        made[name] = Found.of(name, *asked, PAIRS, stored)
    return made


def recall(cells, name, direction):
    return cells[name].recall(direction, 5).value


def test_noise_brings_pictures_over_and_leaves_texts_alone(cells):
    old, plain, noisy = (recall(cells, name, "I2T") for name in ("old/old", "without", "with"))
    assert noisy >= plain + 0.08
    assert noisy >= old + 0.10
    assert recall(cells, "with", "T2I") >= recall(cells, "old/old", "T2I") - 0.02


def test_a_rotation_travels_better_than_a_freer_map(cells):
    assert recall(cells, "procrustes", "I2T") >= recall(cells, "ridge", "I2T") + 0.1


def test_the_verdict_sees_what_the_projection_wins(cells):
    test = CrossTest(cells["old/old"], cells["with"])
    assert test.compatible(5)["I2T"]
    assert not CrossTest(cells["old/old"], cells["ridge"]).compatible(5)["I2T"]
    changed = test.flips("I2T", 5)
    assert changed.positive.value > 2 * changed.negative.value > 0
