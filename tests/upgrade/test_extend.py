"""Extended spaces: the old store answers exactly what zero-padded vectors would."""

from __future__ import annotations

import numpy as np
import pytest

from holdfast.arrays import as_vectors
from holdfast.errors import ConfigError
from holdfast.hits import difference
from holdfast.space import Space
from holdfast.store.memory import MemoryStore
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.search.extend import search_extended
from holdfast.upgrade.side import Side


@pytest.mark.parametrize("metric", ["cosine", "dot", "euclidean"])
def test_scores_are_those_of_padded_vectors(metric):
    rng = np.random.default_rng(0)
    old = Space("old", 6, metric)
    new = Space("new", 9, metric, extends=old.fingerprint)
    names = [f"i{n}" for n in range(50)]
    stored = as_vectors(rng.normal(size=(50, 6)), old, "test")
    small, padded = MemoryStore(old), MemoryStore(new)
    small.upsert(names, stored)
    padded.upsert(names, np.pad(stored.array, ((0, 0), (0, 3))))
    queries = rng.normal(size=(7, 9))
    queries[0, :6] = 0.0  # nothing in the old coordinates
    asked = as_vectors(queries, new, "test")
    got = search_extended(small, asked, 10, None)
    wanted = padded.search(asked, 50)
    assert np.allclose(got.scores, wanted.scores[:, :10], atol=1e-5)
    assert difference(got.take(slice(1, None)), wanted.take(slice(1, None))) is None
    # The ranking among old items is bit by bit that of the old store.
    alone = small.search(as_vectors(np.ascontiguousarray(queries[1:, :6]), old, "test"), 10)
    assert np.array_equal(got.ids[1:], alone.ids)


def test_a_gallery_of_extended_spaces_is_one_padded_gallery(tmp_path):
    rng = np.random.default_rng(1)
    old = Space("old", 4)
    new = Space("new", 6, extends=old.fingerprint)
    before, after = MemoryStore(old), MemoryStore(new)
    table = rng.normal(size=(30, 6)).astype(np.float32)
    names = [f"i{n}" for n in range(30)]
    ledger = Ledger(tmp_path / "ledger.sqlite", lambda: 0.0)
    ledger.begin({}, old, new)
    ledger.set_state("copying")
    before.upsert(names, table[:, :4])
    before.hide(names[:12])
    after.upsert(names[:12], table[:12])
    gallery = Gallery(Side(before), Side(after), ledger, mode="compatible", clock=lambda: 1)
    truth = MemoryStore(new)
    truth.upsert(names, np.vstack([table[:12], np.pad(table[12:, :4], ((0, 0), (0, 2)))]))
    queries = as_vectors(rng.normal(size=(9, 6)), new, "test")
    assert difference(gallery.search(queries, 8), truth.search(queries, 30)) is None
    gallery.close()


def test_compatible_merging_of_unrelated_spaces_is_refused(tmp_path):
    ledger = Ledger(tmp_path / "ledger.sqlite", lambda: 0.0)
    sides = Side(MemoryStore(Space("a", 4))), Side(MemoryStore(Space("b", 6)))
    with pytest.raises(ConfigError, match="'compatible'"):
        Gallery(*sides, ledger, mode="compatible", clock=lambda: 1)
    with pytest.raises(ConfigError, match="one of compatible, calibrated, by_rank, fused, cascade"):
        Gallery(*sides, ledger, mode="fuse", clock=lambda: 1)  # raw scores were merged
    ledger.close()
