"""A gallery over one augmented index: the new model alone asks old rows and new ones."""

import numpy as np
import pytest

from holdfast.align.augment import Augment, Augmented
from holdfast.align.bridge import Bridge
from holdfast.align.procrustes import Procrustes
from holdfast.align.projection import Projection
from holdfast.arrays import as_vectors
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.side import Bridged, Side

OLD, NEW, COUNT = Space("old", 6), Space("new", 10), 60
NAMES = [f"i{n}" for n in range(COUNT)]


class Model:
    """Contents are rows of numbers; a fixed turn makes vectors of them."""

    def __init__(self, space):
        self.space = space
        self.turn = np.random.default_rng(space.dim).normal(size=(12, space.dim))

    def encode(self, contents, role):
        return as_vectors(np.array(contents) @ self.turn, self.space, "test")


@pytest.mark.parametrize("aligner", [Procrustes(center=False), Projection(epochs=3)], ids=repr)
@pytest.mark.parametrize("moved", [0, 25, COUNT])
def test_old_rows_rank_as_over_the_bridge_and_new_ones_as_by_the_new_model(
    aligner, moved, tmp_path
):
    rng = np.random.default_rng(0)
    old, new = Model(OLD), Model(NEW)
    texts, items, asked = (rng.normal(size=(n, 12)).tolist() for n in (200, COUNT, 9))
    bridge = Bridge.fit(aligner, new.encode(texts, "query"), old.encode(texts, "query"))
    encoder = Augmented(new, Augment.of(bridge))
    before, after = MemoryStore(OLD), MemoryStore(encoder.space)
    before.upsert(NAMES, old.encode(items, "document"))
    ledger = Ledger(tmp_path / "ledger.sqlite", lambda: 0.0)
    ledger.begin({}, OLD, encoder.space)
    ledger.set_state("copying")
    if moved:
        before.hide(NAMES[:moved])
        after.upsert(NAMES[:moved], encoder.encode(items[:moved], "document"))
    # The old model is never asked: while nothing has moved the bridge stands for it.
    sides = Side(before, Bridged(new, bridge)), Side(after, encoder)
    gallery = Gallery(*sides, ledger, mode="compatible", clock=lambda: 1)
    hits = gallery.search(asked, COUNT)
    gallery.close()

    mapped = bridge.transform(new.encode(asked, "query")).array
    over = mapped @ old.encode(items, "document").array.T
    own = new.encode(asked, "query").array @ new.encode(items, "document").array.T
    for row in range(len(asked)):
        names = [name for name, _ in hits.row(row)]
        assert sorted(names) == sorted(NAMES)  # none lost, none twice
        places = np.array([NAMES.index(name) for name in names])
        new_ones, old_ones = places[places < moved], places[places >= moved]
        assert (np.diff(own[row, new_ones]) <= 1e-5).all()
        assert (np.diff(over[row, old_ones]) <= 1e-5).all()
