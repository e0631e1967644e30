"""Upgrades of galleries on Qdrant, in its local mode: apart, as a pair, and on the way there."""

from __future__ import annotations

import shutil
from contextlib import closing

import numpy as np
import pytest

from holdfast.arrays import as_vectors
from holdfast.errors import ConfigError, StoreError
from holdfast.items import Item
from holdfast.space import Space
from holdfast.store.registry import open_store
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.gallery import Gallery
from holdfast.upgrade.ledger import Ledger
from holdfast.upgrade.mover import Copy
from holdfast.upgrade.plan import Plan
from holdfast.upgrade.project import Project
from holdfast.upgrade.side import Side
from tests.upgrade.test_project import Home

pytest.importorskip("qdrant_client", reason="needs holdfast[qdrant]")
from tests.store.qdrant_server import Qdrant

PAIR = 'pair = true\nalias = "documents"'
APART = 'alias = "documents"'


class OnQdrant(Home):
    """The same home, with another store."""

    def __init__(self, folder, options):
        self.options = options
        super().__init__(folder, count=40)

    def project(self, *args, **more):
        path = super().project(*args, **more).path
        text = (
            path.read_text().replace('"faiss"', '"qdrant"').replace('index = "flat"', self.options)
        )
        path.write_text(text)
        return Project(path)


@pytest.mark.parametrize("options", [APART, PAIR], ids=["apart", "pair"])
def test_a_whole_upgrade_with_writes_a_rollback_and_the_old_side_given_up(tmp_path, options):
    home = OnQdrant(tmp_path, options)
    project = home.project()
    project.build()
    assert home.finds_itself(project)
    project.plan()
    gallery = project.gallery()
    engine = project.engine(gallery)
    old, new = gallery.old.store, gallery.new.store
    assert engine.run(until=0.5).state == "paused"
    assert (old.visible, new.visible, len(old)) == (20, 20, 40)
    if old.limits.pair:  # the old side answers where the new vector is missing
        assert old._points.count({"must_not": [{"has_vector": new._points.vector}]}) == 20
        assert old._points.count({}) == 40
    texts = list(home.documents.values())
    assert gallery.search(texts, 1).ids[:, 0].tolist() == list(home.documents)
    # Writes on both sides, one deleted on each.
    moved = new.scan().rows.ids[0]
    hidden = dict(zip(old.scan().rows.ids, old.scan().rows.hidden, strict=True))
    waiting = next(name for name in hidden if not hidden[name])
    gallery.upsert([Item("fresh", "w1 w2 own99", {"even": True})])
    gallery.upsert([Item("d1", "w3 w4 changed", {"even": False})])
    gallery.delete([moved, waiting] if "d1" not in (moved, waiting) else [])
    assert engine.run().state == "ready"
    leads = [_lead(gallery)]
    engine.cut_over()
    leads.append(_lead(gallery))
    assert gallery.search(["w3 w4 changed", "w1 w2 own99"], 1).ids[:, 0].tolist() == ["d1", "fresh"]
    count = len(gallery)
    engine.roll_back()
    leads.append(_lead(gallery))
    assert (old.visible, len(old)) == (count, count)
    assert gallery.search(["w3 w4 changed", "w1 w2 own99"], 1).ids[:, 0].tolist() == ["d1", "fresh"]
    gallery.close()
    project = home.project()
    home.upgrade(project)
    gallery = project.gallery()
    leads.append(_lead(gallery))
    project.engine(gallery).finish()
    gallery.close()
    project.drop_old()
    if options == PAIR:
        assert set(leads) == {"holdfast"}
    else:
        assert leads[0] == leads[2] != leads[1] == leads[3]
    gallery = project.gallery()
    assert len(gallery) == count
    store = gallery.old.store
    assert store._points.count({}) == count  # nothing of the old space is left
    assert len(store._points._vectors()) == 1
    gallery.close()


def _lead(gallery):
    """The collection that the alias names; apart, each folder has aliases of its own."""
    side = gallery.new if gallery.reads == "new" else gallery.old
    (held,) = side.store._points._connection.call("get_aliases").aliases
    return held.collection_name


@pytest.mark.parametrize("target", ["qdrant", "edge"])
def test_a_gallery_moves_between_edge_and_qdrant_and_keeps_every_bit(tmp_path, target):
    space = Space("demo@1", 8)
    origin = "edge" if target == "qdrant" else "qdrant"
    old, new = (open_store(k, tmp_path / k, space) for k in (origin, target))
    names = [f"row-{n}" for n in range(60)]
    rows = np.random.default_rng(0).normal(size=(60, 8))
    payloads = [{"n": n, "x": n / 7, "tags": ["a", None, {"ü": 1.5}]} for n in range(60)]
    old.upsert(names, rows, payloads, list(range(60)))
    before_rows = old.get(names)
    plan = Plan(mover="copy", merge="compatible", batch_size=16, max_batch_size=16)
    ledger = Ledger(tmp_path / "move.sqlite")
    ledger.begin(plan.model_dump(), space, space)
    gallery = Gallery(Side(old), Side(new), ledger, mode=plan.merge)
    engine = Engine(gallery, Copy(space), plan)
    asked = as_vectors(np.eye(8), space, "queries")
    filters = (None, {"n": {"gte": 30}}, {"x": {"lt": 3.0}}, {"not": {"tags": "a"}})
    before = [gallery.search(asked, 5, where) for where in filters]
    for share in (0.4, 1.0):
        engine.run(until=share)
        for where, hits in zip(filters, before, strict=True):
            found = gallery.search(asked, 5, where)
            assert (found.ids == hits.ids).all()
            np.testing.assert_allclose(
                found.scores[found.ids != ""], hits.scores[hits.ids != ""], atol=1e-6
            )
    engine.cut_over()
    engine.finish()
    after = new.get(names)
    assert (after.vectors.array == before_rows.vectors.array).all()
    assert after.revisions.tolist() == list(range(60))
    assert list(after.payloads) == payloads
    gallery.close()


def test_a_gallery_that_has_left_its_folder_for_a_server_needs_the_folder_no_more(tmp_path):
    home = OnQdrant(tmp_path, APART)
    local = home.project()
    local.build()
    space = local.old_encoder.space
    with closing(local.store(space)) as store:
        rows = store.scan(limit=100, vectors=True).rows
    server = Qdrant()
    try:
        home.options = f'url = "{server.url}"'
        remote = home.project()
        with closing(remote.store(space)) as store:
            store.upsert(rows.ids, rows.vectors, rows.payloads, rows.revisions)
        assert home.finds_itself(remote)
        shutil.rmtree(remote.store_folder(space))
        assert home.finds_itself(home.project())
        home.project().plan()
        with closing(home.project().gallery()) as gallery:
            assert home.project().engine(gallery).run(0.5).share == 0.5
        assert home.finds_itself(home.project())
    finally:
        server.stop()
    home.options = APART
    with pytest.raises(StoreError, match="the folder that keeps its vectors, got none"):
        home.project().gallery()


@pytest.mark.parametrize("share", [None, 0.5])
def test_a_gallery_is_not_looked_for_where_it_was_not_filled(tmp_path, share):
    """An empty collection would answer nothing; in an upgrade, that could be cut over."""
    home = OnQdrant(tmp_path, APART)
    home.project().build()
    if share:
        home.project().plan()
        with closing(home.project().gallery()) as gallery:
            home.project().engine(gallery).run(share)
    server = Qdrant()
    try:
        for options in (f'url = "{server.url}"', 'collection = "another"', "pair = true"):
            home.options = options
            other = home.project()
            for step in [other.gallery] if share else [other.gallery, other.build, other.plan]:
                with pytest.raises(ConfigError, match="store: expected the url, collection, pair"):
                    step()
    finally:
        server.stop()
    home.options = "exact = true"  # which moves nothing
    assert home.finds_itself(home.project())


def test_a_gallery_that_was_filled_on_a_server_is_not_looked_for_in_a_folder(tmp_path):
    server = Qdrant()
    try:
        home = OnQdrant(tmp_path, f'url = "{server.url}"')
        home.project().build()
        home.options = APART
        with pytest.raises(ConfigError, match=r"holdfast.toml: store: .* Name it as it was"):
            home.project().gallery()
        home.options = f'url = "{server.url}"'
        assert home.finds_itself(home.project())
    finally:
        server.stop()
    assert b"127.0.0.1" not in (tmp_path / "gallery" / "ledger.sqlite").read_bytes()
