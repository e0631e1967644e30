"""Two tables of one database change sides in one transaction: no reader sees it half done."""

from __future__ import annotations

import threading
import time
from contextlib import closing

import numpy as np
import psycopg
import pytest

from bench.crash_world import HashEncoder, World, item
from holdfast.source.store_payload import StorePayloadSource
from holdfast.store.pgvector import PgvectorStore
from holdfast.upgrade.engine import Engine
from holdfast.upgrade.mover import ReEmbed

WORLD = World("pgvector", 300, (16, 24), rate=0.0, options={"exact_below": 100})


@pytest.fixture
def gallery(postgres, tmp_path):
    WORLD.found(tmp_path / "gallery")
    with closing(WORLD.open(tmp_path / "gallery")) as opened:
        yield opened


def engine(gallery, listener=None):
    source = StorePayloadSource(gallery.old.store)
    return Engine(gallery, ReEmbed(source, gallery.new.encoder), WORLD.plan, listener=listener)


def title(store):
    return f"{store._table.schema}.{store._table.title}"


class Onlooker(threading.Thread):
    """Another client, which asks in plain SQL on how many sides each item is visible."""

    def __init__(self, dsn, gallery):
        super().__init__(daemon=True)
        old, new = title(gallery.old.store), title(gallery.new.store)
        self.query = (
            f"SELECT coalesce(n, 0), count(*) FROM (SELECT id FROM {old}) a LEFT JOIN ("
            f"SELECT id, count(*) AS n FROM (SELECT id FROM {old} WHERE NOT hidden UNION ALL"
            f" SELECT id FROM {new} WHERE NOT hidden) v GROUP BY id) b USING (id) GROUP BY 1"
        )
        self.dsn, self.seen, self.looks, self.done = dsn, {}, 0, threading.Event()

    def run(self):
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            while not self.done.is_set():
                for sides, items in connection.execute(self.query).fetchall():
                    self.seen[sides] = self.seen.get(sides, 0) + items
                self.looks += 1
                time.sleep(0.002)

    def look_on(self, times):
        """Wait until it has looked that often, beside whatever goes on."""
        until = time.monotonic() + 240
        while self.looks < times:
            assert self.is_alive()
            assert time.monotonic() < until
            time.sleep(0.002)


def test_a_reader_of_the_tables_sees_each_item_on_one_side_at_every_moment(gallery, postgres):
    onlooker, batches = Onlooker(postgres, gallery), []

    def hear(status):
        batches.append(status)
        onlooker.look_on(5 * len(batches))  # however late it comes to its turn

    runner = engine(gallery, hear)
    onlooker.start()
    runner.run(0.5)
    gallery.upsert([item(f"0-{n}", 1) for n in range(0, 60, 3)])
    gallery.delete([f"1-{n}" for n in range(5)])
    runner.run()
    runner.cut_over()
    gallery.upsert([item(f"2-{n}", 2) for n in range(10)])
    runner.roll_back()
    onlooker.done.set()
    onlooker.join()
    assert onlooker.looks >= 5 * len(batches) > 0
    assert set(onlooker.seen) == {1}
    assert gallery.state == "rolled back"
    assert len(gallery) == 295
    assert gallery.old.store.visible == 295
    assert gallery.new.store.visible == 0


def test_a_batch_that_fails_half_way_leaves_both_tables_as_they_were(gallery, monkeypatch):
    runner = engine(gallery)
    runner.step()
    moved = gallery.new.store.visible
    monkeypatch.setattr(PgvectorStore, "hide", lambda self, ids: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runner.step()
    monkeypatch.undo()
    assert (len(gallery.new.store), gallery.old.store.visible) == (moved, 300 - moved)
    runner.run()
    assert (gallery.new.store.visible, gallery.old.store.visible) == (300, 0)


def test_a_view_follows_the_side_that_is_read(postgres, tmp_path):
    view = f"searched {tmp_path.name}"
    world = World("pgvector", 40, (16, 24), rate=0.0, options={"view": view})
    world.found(tmp_path / "gallery")
    with psycopg.connect(postgres, autocommit=True) as others:
        role = f"reader_{abs(hash(view))}"
        others.execute(f"CREATE ROLE {role}")

        def read():
            others.execute(f"SET ROLE {role}")
            rows = others.execute(f'SELECT id, vector_dims(vector) FROM "{view}"').fetchall()
            others.execute("RESET ROLE")
            return len(rows), {dim for _, dim in rows}

        with closing(world.open(tmp_path / "gallery")) as gallery:
            gallery.lead()
            others.execute(f'GRANT SELECT ON "{view}" TO {role}')
            assert read() == (40, {16})
            runner = engine(gallery)
            runner.run(0.5)
            assert read() == (40, {16})  # the old side has every item, hidden or not
            runner.run()
            runner.cut_over()
            assert read() == (40, {24})
            runner.roll_back()
            assert read() == (40, {16})
        others.execute(f'DROP VIEW "{view}"; DROP ROLE {role}')


def test_finishing_drops_the_old_table_with_its_graph(gallery, postgres):
    runner = engine(gallery)
    gallery.old.store.tend()
    name = gallery.old.store._table.title
    found = f"SELECT indexname FROM pg_indexes WHERE tablename = '{name}'"
    with psycopg.connect(postgres, autocommit=True) as connection:
        assert len(connection.execute(found).fetchall()) == 2
        runner.run()
        runner.cut_over()
        runner.finish()
        gallery.old.store.drop()
        assert connection.execute(found).fetchall() == []
    asked = HashEncoder(WORLD.spaces[1]).encode(["0-1@0"], "query")
    assert gallery.search(asked, 1).ids[0, 0] == "0-1"
    assert np.isclose(gallery.search(asked, 1).scores[0, 0], 1.0, atol=1e-5)
