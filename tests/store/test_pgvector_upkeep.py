"""What upkeep of a table asks of the server: memory, processes, and vacuuming."""

from __future__ import annotations

import psycopg
import pytest

from holdfast.errors import InvalidInput
from holdfast.space import Space
from holdfast.store.checks.bench import names, sample
from holdfast.store.pgvector_index import _SPARE, ALL, Graph
from tests.store.conftest import SPACE, table


@pytest.fixture
def told(postgres):
    """Carries out SQL and answers what the server remarked."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        remarks = []
        connection.add_notice_handler(lambda notice: remarks.append(notice.message_primary))

        def run(query):
            remarks.clear()
            connection.execute(query)
            return "\n".join(remarks)

        yield run


@pytest.mark.parametrize(("dim", "links", "count"), [(384, 16, 3000), (24, 32, 3000)])
def test_a_build_has_the_memory_that_the_graph_takes(make, told, tmp_path, dim, links, count):
    space = Space("wide@1", dim)
    store = make(space=space)
    store.upsert(names(count), sample(count, space))
    needed = Graph(links, 64, 0, False, 512, 0).kilobytes(count, 4 * dim) - _SPARE

    def built(kilobytes):
        told("SET min_parallel_table_scan_size = '1GB'")
        told(f"SET maintenance_work_mem = {kilobytes}")
        column = f"USING hnsw (vector vector_ip_ops) WITH (m = {links}, ef_construction = 64)"
        remarks = told(f"CREATE INDEX probe ON {table(tmp_path)} {column}")
        told("DROP INDEX probe")
        return remarks

    assert "no longer fits" not in built(needed)
    assert "no longer fits" in built(needed // 2)


def settings(store, rows):
    index = store._index
    with store._table.postgres.outside() as connection:
        index._equip(connection, index._graph, rows)
        query = "SHOW maintenance_work_mem", "SHOW max_parallel_maintenance_workers"
        return [connection.execute(each).fetchone()[0] for each in query]


def test_a_limit_on_statements_does_not_end_upkeep(make, postgres, monkeypatch):
    """Many servers have one; without its graph a large gallery would never be ready."""
    store = make(exact_below=10)
    store.upsert(names(50), sample(50, SPACE))
    tend, told = store._index._tend, []

    def ends(connection, growing):
        told.append(connection.execute("SHOW statement_timeout").fetchone()[0])
        tend(connection, growing)

    monkeypatch.setattr(store._index, "_tend", ends)
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute("ALTER ROLE CURRENT_USER SET statement_timeout = '1h'")
        try:
            store.tend()
        finally:
            server.execute("ALTER ROLE CURRENT_USER RESET statement_timeout")
    assert told == ["0"]
    assert store._postgres.run(store._index.reach) == ALL


def test_memory_and_processes_are_what_the_settings_say(make):
    """64 MB are what this server gives by default."""
    store = make(build_memory=300)
    assert settings(store, 1_000) == ["64MB", "0"]
    rows, each = 100_000, 4 * 24 + 40 * 16 + 400
    assert settings(store, rows) == [f"{rows * each // 1024 + 8 * 1024}kB", "0"]
    assert settings(store, 10_000_000) == ["300MB", "0"]
    store.close()
    assert settings(make(build_workers=3), 1_000) == ["64MB", "3"]


@pytest.mark.parametrize(
    "options",
    [
        {"build_memory": 0},
        {"build_memory": 1.5},
        {"build_workers": -1},
        {"build_workers": False},
        {"links": 1},
        {"links": 101},
        {"effort": 31},  # pgvector wants two for each link
        {"effort": 1001},
    ],
)
def test_settings_that_cannot_be_are_refused(make, options):
    with pytest.raises(InvalidInput, match=next(iter(options))):
        make(**options)


def test_a_graph_is_vacuumed_only_when_it_is_new(make, told, tmp_path):
    store = make(exact_below=200)
    store.upsert(names(1000), sample(1000, SPACE))
    store.tend()
    store.hide(names(1000)[:300])
    # By itself the server leaves the graph's dead entries alone, and so does upkeep.
    store.tend()
    assert "index scans: 0" in told(f"VACUUM (VERBOSE) {table(tmp_path)}")
    assert "300 dead item" in told(f"VACUUM (VERBOSE) {table(tmp_path)}").replace(",", "")
    store.hide(names(1000)[300:600])
    store.tend()
    assert " 0 dead item" in told(f"VACUUM (VERBOSE) {table(tmp_path)}")
