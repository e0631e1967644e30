"""The store in PostgreSQL beyond the contract: its graph, its hold, hostile names, lost servers."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from socket import gethostname

import numpy as np
import psycopg
import pytest

from holdfast.errors import ConfigError, InvalidInput, StoreError, StoreHeld
from holdfast.space import Space
from holdfast.store.checks.bench import names, sample
from holdfast.store.memory import MemoryStore
from holdfast.store.pgvector import PgvectorStore
from holdfast.store.pgvector_index import ALL, NONE
from holdfast.store.pgvector_table import FORMAT, Table
from holdfast.store.registry import open_store
from tests.house.tree import ROOT
from tests.store.conftest import SPACE, table
from tests.store.test_pgvector_where import HOSTILE


@pytest.fixture
def sql(postgres):
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield lambda query, *values: connection.execute(query, values or None)


def recall(store, rows, count=40):
    exact = MemoryStore(store.space)
    for page in [store.scan(limit=100_000, vectors=True)]:
        shown = [n for n, hidden in zip(page.rows.ids, page.rows.hidden, strict=True) if not hidden]
        exact.upsert(shown, store.get(shown).vectors)
    found, true = store.search(rows[:count], 10).ids, exact.search(rows[:count], 10).ids
    return np.mean([len(set(a) & set(b)) / 10 for a, b in zip(found, true, strict=True)])


def plans(store, sql, monkeypatch):
    """How PostgreSQL would answer a search of one query."""
    from holdfast.store import pgvector_search

    kept = {}
    whole = pgvector_search.search_sql
    query = sample(1, store.space, seed=5)
    with monkeypatch.context() as patch:
        patch.setattr(pgvector_search, "search_sql", lambda *a: kept.setdefault("query", whole(*a)))
        store.search(query, 5)
    half = store._search._index.half and store._search._reach > NONE
    values = [pgvector_search.vector_texts(query), *([20] if half else []), 5]
    values += [5] if NONE < store._search._reach < ALL else []
    if store._search._reach > NONE:
        sql("SET enable_seqscan = off")
        sql("SET enable_sort = off")
    explain = psycopg.sql.SQL("EXPLAIN {}").format(kept["query"])
    return "\n".join(line for (line,) in sql(explain, *values))


@pytest.mark.parametrize("dim", [384, 2100])
def test_upkeep_builds_a_graph_that_searches_use(make, tmp_path, sql, monkeypatch, dim):
    space, count = Space("wide@1", dim), 1200 if dim > 2000 else 3000
    store, rows = make(space=space, exact_below=500), sample(count, space)
    store.upsert(names(count), rows)
    assert "hnsw" not in plans(store, sql, monkeypatch)
    store.tend()
    told = plans(store, sql, monkeypatch)
    assert f"Index Scan using {table(tmp_path)}_hnsw_0" in told
    assert recall(store, sample(40, space, seed=3)) > 0.9
    (kind,) = sql(
        "SELECT indexdef FROM pg_indexes WHERE indexname LIKE %s", f"{table(tmp_path)}_h%"
    )
    assert ("halfvec_ip_ops" in kind[0]) == (dim > 2000)
    exact = MemoryStore(space)
    exact.upsert(names(count), rows)
    hits = store.search(rows[:5], 3)
    true = exact.search(rows[:5], count)
    for query in range(5):  # in half floats or not, the score is the true one
        assert dict(hits.row(query)) == pytest.approx(
            {n: s for n, s in true.row(query) if n in dict(hits.row(query))}, abs=1e-5
        )


def test_a_graph_of_which_most_is_dead_is_replaced_and_dropped(make, tmp_path, sql):
    store = make(exact_below=200)
    store.upsert(names(1000), sample(1000, SPACE))

    def graphs():
        found = sql(
            "SELECT indexname FROM pg_indexes WHERE indexname LIKE %s", f"{table(tmp_path)}_hnsw%"
        )
        return [name[-1] for (name,) in found]

    assert graphs() == []
    store.tend()
    store.tend()
    assert graphs() == ["0"]
    store.hide(names(1000)[:300])  # less than half is dead
    store.tend()
    assert graphs() == ["0"]
    store.hide(names(1000)[300:600])
    store.tend()
    assert graphs() == ["1"]
    assert recall(store, sample(30, SPACE, seed=1), 30) > 0.9
    store.hide(names(1000)[:900])
    store.tend()
    assert graphs() == []


def test_a_graph_that_was_cut_off_is_cleared_away(make, tmp_path, sql):
    store = make(exact_below=10)
    store.upsert(names(50), sample(50, SPACE))
    title = table(tmp_path)
    sql(f"CREATE INDEX {title}_hnsw_0 ON {title} USING hnsw (vector vector_ip_ops)")
    sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", f"{title}_hnsw_0")
    store.tend()
    (found,) = sql(
        "SELECT indexdef FROM pg_indexes WHERE tablename = %s AND indexdef LIKE '%%hnsw%%'", title
    )
    assert "NOT hidden" in found[0]


@pytest.mark.parametrize("dim", [24, 2100])
def test_a_graph_that_stops_short_leaves_no_row_out(make, tmp_path, sql, monkeypatch, dim):
    space = Space("growing@1", dim)
    store, exact = make(space=space, exact_below=100, ef=200), MemoryStore(space)
    ids, rows = names(900), sample(900, space)
    payloads = [{"n": i, "rare": i % 90 == 7} for i in range(900)]

    def write(first, last):
        some = slice(first, last)
        for each in (store, exact):
            each.upsert(ids[some], rows[some], payloads[some])

    def graphs():
        title = table(tmp_path)
        found = sql("SELECT indexdef FROM pg_indexes WHERE tablename = %s", title)
        return [told for (told,) in found if "hnsw" in told or "(written)" in told]

    asked = sample(40, space, seed=4)
    write(0, 300)
    store.grow()
    write(300, 600)
    assert any("written <= '300'" in told or "(300)" in told for told in graphs())
    plan = plans(store, sql, monkeypatch)
    assert f"using {table(tmp_path)}_hnsw" in plan
    assert f"{table(tmp_path)}_written" in plan
    write(250, 280)  # replaced: they leave the graph for what is compared one by one
    for each in (store, exact):
        each.hide(ids[290:310])
        each.delete(ids[100:120] + ids[500:510])
    for where in (None, {"rare": True}, {"n": {"gte": 200, "lt": 420}}, {"n": 17}):
        mine, true = store.search(asked, 12, where), exact.search(asked, 12, where)
        same = np.mean([len({*a} & {*b} - {""}) for a, b in zip(mine.ids, true.ids, strict=True)])
        assert same > 0.97 * (true.ids != "").sum(axis=1).mean(), where
        assert (mine.scores[:, 1:] <= mine.scores[:, :-1]).all()
    hidden = (np.array(ids[290:310])[None, None] == store.search(asked, 50).ids[..., None]).any()
    assert not hidden
    store.grow()
    write(600, 900)
    store.tend()
    assert len(graphs()) == 1
    assert "written" not in graphs()[0]
    assert recall(store, asked) > 0.95


def test_a_filter_is_not_cut_short_by_rows_beyond_the_graph(make):
    """Ten rows that a graph misses must not be replaced by ten that it does not reach."""
    store, exact = make(exact_below=500, ef=10), MemoryStore(SPACE)
    rows = sample(4000, SPACE)
    payloads = [{"rare": i % 400 == 7 or i >= 3980} for i in range(4000)]
    for some in (slice(0, 3980), slice(3980, 4000)):
        for each in (store, exact):
            each.upsert(names(4000)[some], rows[some], payloads[some])
        if some.start == 0:
            store.grow()
    asked = sample(50, SPACE, seed=2)
    mine, true = (each.search(asked, 10, {"rare": True}) for each in (store, exact))
    assert (mine.ids == true.ids).all()


@pytest.mark.parametrize("form", [FORMAT - 1, FORMAT + 1])
def test_a_table_of_another_format_is_refused_and_left_as_it_was(make, tmp_path, sql, form):
    store = make()
    store.upsert(names(30), sample(30, SPACE))
    store.close()
    title = table(tmp_path)
    sql("UPDATE holdfast_stores SET format = %s WHERE name = %s", form, title)
    with pytest.raises(StoreError, match=rf"a table of format {FORMAT}, got format {form}\. Open"):
        make()
    told = "SELECT format FROM holdfast_stores WHERE name = %s"
    assert sql(told, title).fetchone() == (form,)
    sql("UPDATE holdfast_stores SET format = %s WHERE name = %s", FORMAT, title)
    assert len(make()) == 30


def test_an_index_that_was_cut_off_is_made_again(make, tmp_path, sql):
    store = make(exact_below=10, payload_index=True)
    store.upsert(names(50), sample(50, SPACE))
    store.grow()
    for kind in ("payload", "written"):
        title = f"{table(tmp_path)}_{kind}"
        sql("UPDATE pg_index SET indisvalid = false WHERE indexrelid = %s::regclass", title)
    store.upsert(names(60)[50:], sample(60, SPACE)[50:])
    store.grow()
    query = "SELECT count(*) FILTER (WHERE indisvalid), count(*) FROM pg_index"
    query += " WHERE indrelid = %s::regclass"
    assert sql(query, table(tmp_path)).fetchone() == (4, 4)  # with the key and the graph


def test_a_graph_of_somebody_else_is_left_alone(make, tmp_path, sql):
    store = make(exact_below=10)
    store.upsert(names(50), sample(50, SPACE))
    sql(f"CREATE INDEX theirs ON {table(tmp_path)} USING hnsw (vector vector_l2_ops)")
    store.tend()
    store.hide(names(45))
    store.tend()
    query = "SELECT indexname FROM pg_indexes WHERE tablename = %s AND indexdef LIKE '%%hnsw%%'"
    assert sql(query, table(tmp_path)).fetchall() == [("theirs",)]


def test_a_filter_that_few_rows_pass_finds_them_all(make):
    store = make(exact_below=500, ef=10)
    rows = sample(4000, SPACE)
    store.upsert(names(4000), rows, [{"rare": i % 400 == 7, "n": i} for i in range(4000)])
    store.tend()
    exact = MemoryStore(SPACE)
    exact.upsert(names(4000)[7::400], rows[7::400])
    asked = sample(50, SPACE, seed=2)
    assert (store.search(asked, 10, {"rare": True}).ids == exact.search(asked, 10).ids).all()
    assert (store.search(asked, 3, {"n": 17}).ids[:, 0] == "row 17").all()


def test_a_table_is_held_and_the_holder_named(make, tmp_path):
    store = make()
    with pytest.raises(StoreHeld, match=f"one held by process {os.getpid()} on"):
        make()
    beside = make(shared=True)  # may look, and write
    beside.upsert(["a"], sample(1, SPACE))
    assert len(store) == 1
    store.close()
    assert len(make()) == 1


def tables(sql):
    """All of the database but those that keep notes of the others."""
    found = {name for (name,) in sql("SELECT tablename FROM pg_tables")}
    return found - {"holdfast_stores", "holdfast_counts"}


@pytest.mark.parametrize("prefix", ["", "ours"])
def test_two_that_open_a_new_folder_at_once_do_not_part(make, sql, monkeypatch, prefix):
    """Each would write to a table of its own, and one of them would not be found again."""
    opening, first = Table.open, []

    def slowly(table, expected):
        opening(table, expected=expected)
        if not first:
            first.append(None)
            first[0] = make(prefix=prefix, shared=bool(prefix))

    monkeypatch.setattr(Table, "open", slowly)
    before = tables(sql)
    if prefix:  # then both speak of one table
        make(prefix=prefix, shared=True)
    else:
        with pytest.raises(StoreHeld, match="another process has opened meanwhile"):
            make()
    first[0].upsert(["a"], sample(1, SPACE))
    first[0].close()
    assert make(prefix=prefix).scan().rows.ids == ["a"]
    assert tables(sql) - before == {first[0]._table.title}


def test_a_table_held_by_a_process_that_was_killed_is_free_again(make, tmp_path):
    make().close()
    code = (
        "import sys, time\nfrom holdfast.space import Space\n"
        "from holdfast.store.pgvector import PgvectorStore\n"
        "store = PgvectorStore(sys.argv[1], Space('a model@1', 24))\n"
        "print('open', flush=True)\ntime.sleep(600)\n"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "side")], stdout=subprocess.PIPE, cwd=ROOT
    )
    assert child.stdout.readline() == b"open\n"
    with pytest.raises(StoreHeld, match=f"process {child.pid} on"):
        make()
    child.kill()
    child.wait()
    child.stdout.close()
    assert len(make()) == 0


class Lingering:
    """A connection whose end a busy server does not notice until `end`."""

    def __init__(self, connection):
        self._connection, self.end = connection, connection.close

    def __getattr__(self, name):
        return getattr(self._connection, name)

    def close(self):
        pass


def test_a_table_that_was_closed_is_free_however_late_the_server_sees_it(make):
    store = make()
    lingering = store._hold._connection = Lingering(store._hold._connection)
    store.close()
    make()
    with pytest.raises(StoreHeld):
        make()
    lingering.end()


def test_a_hold_that_was_lost_is_waited_for_until_the_server_has_let_go(make, sql, monkeypatch):
    """Its process may tell that it ends before it has ended, and goes by the name of this one."""
    store = make()
    store.upsert(names(5), sample(5, SPACE))
    lost = store._hold._connection = Lingering(store._hold._connection)
    backend, pauses, pause = lost.info.backend_pid, [], time.sleep

    def sleep(seconds):
        pauses.append(seconds)
        lost.end()
        while sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", backend).fetchone():
            pause(0.01)  # the server needs its own time to let go

    monkeypatch.setattr("holdfast.store.pgvector_hold.time.sleep", sleep)
    answers = store._postgres.answers
    monkeypatch.setattr(store._postgres, "answers", lambda each: each is not lost and answers(each))
    store._postgres._drop_idle()
    assert len(store) == 5
    assert len(pauses) == 1
    with pytest.raises(StoreHeld):
        make()


def test_a_lost_connection_is_opened_again(make, sql):
    store = make()
    store.upsert(names(5), sample(5, SPACE))
    sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s",
        f"holdfast {os.getpid()}@%",
    )
    assert len(store) == 5
    store.upsert(names(6), sample(6, SPACE))
    assert store.search(sample(1, SPACE), 1).ids[0, 0] == "row 0"
    with pytest.raises(StoreHeld):  # the hold was taken again too
        make()


def test_a_hold_that_alone_was_lost_is_taken_again_beside_work_that_goes_on(make, sql, monkeypatch):
    """A server that ends idle connections ends the hold first: nobody works on it."""

    def sleep(_):
        raise TimeoutError("it waits for itself")

    store = make()
    store.upsert(names(5), sample(5, SPACE))
    with store._postgres.transaction():  # another thread's, which goes on
        lost = store._hold._connection
        sql("SELECT pg_terminate_backend(%s, 60000)", store._hold._backend)
        monkeypatch.setattr("holdfast.store.pgvector_hold.time.sleep", sleep)
        with store._postgres.outside() as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        monkeypatch.undo()
        assert lost.closed
        with pytest.raises(StoreHeld):
            make()
    assert len(store) == 5


def test_what_a_server_says_while_a_connection_is_made_is_a_store_error(make, monkeypatch):
    store = make()

    def ended(_):
        raise psycopg.errors.AdminShutdown("terminating connection")

    monkeypatch.setattr(store._hold, "join", ended)
    store._postgres._drop_idle()
    with pytest.raises(StoreError, match="terminating connection"):
        store.revisions(["a"])


def test_counts_are_right_whoever_writes(make, tmp_path, sql):
    store, title = make(), table(tmp_path)
    store.upsert(names(300), sample(300, SPACE))
    sql(f"DELETE FROM {title} WHERE id < 'row 2'")
    sql(f"UPDATE {title} SET hidden = true WHERE id < 'row 5'")
    sql(f"UPDATE {title} SET hidden = false WHERE id < 'row 3'")
    for i in range(210):  # so many small changes that their counts are put together
        sql(f"UPDATE {title} SET hidden = NOT hidden WHERE id = %s", names(300)[-1 - i % 7])
    ((total, shown),) = sql(f"SELECT count(*), count(*) FILTER (WHERE NOT hidden) FROM {title}")
    assert (len(store), store.visible) == (total, shown)
    ((kept,),) = sql("SELECT count(*) FROM holdfast_counts WHERE name = %s", title)
    assert kept < 100
    assert (len(store), store.visible) == (total, shown)
    store.hide(names(300)[-7:])  # what this store writes it knows at once
    ((shown,),) = sql(f"SELECT count(*) FROM {title} WHERE NOT hidden")
    assert store.visible == shown
    sql(f"TRUNCATE {title}")
    time.sleep(0.15)  # and what others write a tenth of a second later
    assert (len(store), store.visible) == (0, 0)


def test_writers_that_want_the_same_rows_do_not_lock_each_other_out(make):
    store, ids, rows = make(), names(40), sample(40, SPACE)

    def write(turn):
        order = np.random.default_rng(turn).permutation(40)
        some = [ids[i] for i in order]
        store.upsert(some, rows[order], None, [turn] * 40)
        store.hide(some)
        store.unhide(some)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(24)))
    assert store.revisions(ids).tolist() == [23] * 40
    assert store.visible == 40


@pytest.mark.parametrize(
    "title", [h[:22] for h in HOSTILE if h and not set(h) & {"\0", "\ud800"}], ids=ascii
)
def test_tables_of_any_name_are_quoted(make, tmp_path, sql, title):
    sql("CREATE TABLE IF NOT EXISTS users (name text)")
    store = make(folder="hostile", prefix=title, exact_below=3)
    rows = sample(8, SPACE)
    store.upsert(names(8), rows, [{"n": i} for i in range(8)])
    store.tend()
    store.hide(names(2))
    assert store.search(rows[5:6], 2, {"n": {"gte": 5}}).ids[0, 0] == "row 5"
    assert (len(store), store.visible) == (8, 6)
    assert table(tmp_path, "hostile").startswith(title)
    store.drop()
    assert sql("SELECT count(*) FROM users").fetchone() == (0,)


@pytest.mark.parametrize(
    "options",
    [{"prefix": "a\0b"}, {"prefix": "x" * 40}, {"prefix": "\ud800"}, {"schema": "s\0"},
     {"schema": "x" * 64}, {"schema": ""}, {"prefix": "é" * 12}],
    ids=ascii,
)  # fmt: skip
def test_names_that_would_be_cut_or_cannot_be_are_refused(make, options):
    with pytest.raises(ConfigError, match="a name of 1 to"):
        make(**options)


def test_ids_of_any_text_are_kept_apart(make):
    store, ids = make(), [h for h in HOSTILE if h and h != "\ud800"]
    rows = sample(len(ids), SPACE)
    store.upsert(ids, rows, [{"key": name} for name in ids])
    assert sorted(store.scan().rows.ids) == sorted(ids)
    for i, name in enumerate(ids):
        assert store.search(rows[i : i + 1], 1).ids[0, 0] == name
        assert store.get([name]).payloads[0] == {"key": name}
        assert store.search(rows[:1], 5, {"key": name}).ids[0, :2].tolist() == [name, ""]
    store.hide(ids[:3])
    store.delete(ids[3:6])
    assert (len(store), store.visible) == (len(ids) - 3, len(ids) - 6)
    assert store.revisions(["\ud800"]).tolist() == [-1]
    store.delete(["\ud800"])


def test_an_id_too_long_for_an_index_is_refused_before_anything_is_written(make):
    store = make()
    with pytest.raises(InvalidInput, match=r"at most 2,600 bytes"):
        store.upsert(["fine", "é" * 1301], sample(2, SPACE))
    assert len(store) == 0
    store.upsert(["é" * 1300], sample(1, SPACE))
    assert store.scan().rows.ids == ["é" * 1300]


def test_a_foreign_table_is_left_alone(make, sql):
    from holdfast.store.pgvector_table import table_name

    title = table_name("mine", SPACE)
    sql(f'CREATE TABLE "{title}" (id text)')
    with pytest.raises(StoreError, match="one that something else made"):
        make(prefix="mine")
    assert sql(f'SELECT count(*) FROM "{title}"').fetchone() == (0,)
    sql(f'DROP TABLE "{title}"')


def test_a_table_that_is_gone_is_not_made_anew(make, tmp_path, sql):
    make().close()
    sql(f"DROP TABLE {table(tmp_path)}")
    with pytest.raises(StoreError, match="none where there was one"):
        make()
    with pytest.raises(StoreError, match="which is the one of this folder"):
        make(prefix="another")


def test_a_prefix_finds_its_table_from_any_folder(make):
    make("one", prefix="named").upsert(["a"], sample(1, SPACE))
    with pytest.raises(StoreHeld):
        make("two", prefix="named")
    assert len(make("three", prefix="named", shared=True)) == 1


SECRET = "hunter2"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (f"postgresql://me:{SECRET}@host/db", None),
        (f"password={SECRET}", None),
        ("HOLDFAST_NO_SUCH_VARIABLE", None),
        ("HOLDFAST_TEST_DSN", f"hello {SECRET}"),
        ("HOLDFAST_TEST_DSN", f"postgresql://me:{SECRET}@host/db?nonsense={SECRET}"),
        ("HOLDFAST_TEST_DSN", f"postgresql://me:{SECRET}@127.0.0.1:1/db"),
    ],
)
def test_no_message_repeats_a_password(tmp_path, monkeypatch, name, content):
    if content:
        monkeypatch.setenv("HOLDFAST_TEST_DSN", content)
    with pytest.raises((ConfigError, StoreError)) as caught:
        PgvectorStore(tmp_path, SPACE, dsn_env=name)
    assert SECRET not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


def test_a_setting_that_tries_to_carry_a_password_is_refused(tmp_path):
    for options in ({"dsn": f"postgresql://me:{SECRET}@host/db"}, {"password": SECRET}):
        with pytest.raises(ConfigError, match="options among dsn_env") as caught:
            open_store("pgvector", tmp_path, SPACE, **options)
        assert SECRET not in f"{caught.value} {caught.value.__cause__!r}"


def test_neighbours_change_together_or_not_at_all(make, sql, tmp_path):
    old, new = make("old"), make("new", Space("new@1", 8))
    old.upsert(names(10), sample(10, SPACE))
    seen = []

    def look():
        seen.append((len(new), old.visible))

    with old.together(new):
        new.upsert(names(4), sample(4, new.space))
        old.hide(names(4))
        assert (len(new), old.visible) == (4, 6)  # this thread is inside
        other = threading.Thread(target=look)
        other.start()
        other.join()
    look()
    assert seen == [(0, 10), (4, 6)]

    def half():
        with old.together(new):
            new.delete(names(4))
            old.unhide(names(4))
            new.upsert(["x"], [[np.nan] * 8])

    with pytest.raises(InvalidInput):
        half()
    look()
    assert seen[-1] == (4, 6)
    with old.together(MemoryStore(SPACE)):  # not a neighbour: nothing is joined
        old.hide(names(5))
        other = threading.Thread(target=look)
        other.start()
        other.join()
    assert seen[-1] == (4, 5)


def test_values_that_the_server_refuses_leave_nothing(make, monkeypatch):
    from holdfast.store import pgvector

    store = make()
    monkeypatch.setattr(pgvector, "jsonb_texts", lambda given: ["{}", "{not json"])
    with pytest.raises(InvalidInput, match="rows that PostgreSQL can keep"):
        store.upsert(["a", "b"], sample(2, SPACE))
    assert (len(store), store.scan().rows.ids) == (0, [])


def test_upkeep_survives_lost_connections(make, sql):
    store = make(exact_below=10)
    store.upsert(names(50), sample(50, SPACE))
    sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s",
        f"holdfast {os.getpid()}@%",
    )
    store.tend()
    assert recall(store, sample(10, SPACE, seed=8), 10) == 1.0


class Lost(Lingering):
    """One that a network has cut: nothing comes back, and the server does not know of it."""

    cut = False

    def execute(self, *given):
        if self.cut:
            raise psycopg.OperationalError("the network is down")
        return self._connection.execute(*given)


def failing_once(monkeypatch, store, kind):
    """The next upkeep fails while it builds, over a connection of this kind; answers that."""
    index, connect, made = store._index, store._postgres.connect, []
    renew = index._renew

    def first(*given):
        if made[0] is not given[0]:
            renew(*given)
            return
        made[0].cut = True
        raise psycopg.OperationalError("could not write to file")

    def connected():
        made.append(kind(connect()) if not made else connect())
        return made[-1]

    monkeypatch.setattr(store._postgres, "connect", connected)
    monkeypatch.setattr(index, "_renew", first)
    with pytest.raises(StoreError, match="could not write"):
        store.tend()
    return made[0]


def test_an_upkeep_that_failed_does_not_stand_in_the_way_of_the_next(make, monkeypatch):
    store = make(exact_below=10)
    store.upsert(names(50), sample(50, SPACE))
    lingering = failing_once(monkeypatch, store, Lingering)
    store.tend()
    assert len(store._postgres.run(store._index._found)) == 1
    lingering.end()


def test_what_a_lost_upkeep_has_left_on_the_server_is_waited_for(make, monkeypatch):
    store = make(exact_below=10)
    store.upsert(names(50), sample(50, SPACE))
    lost, pauses = failing_once(monkeypatch, store, Lost), []

    def sleep(seconds):
        pauses.append(seconds)
        lost.end()

    monkeypatch.setattr("holdfast.store.pgvector_hold.time.sleep", sleep)
    store.tend()
    assert len(store._postgres.run(store._index._found)) == 1
    assert pauses


@pytest.mark.parametrize("lives", [True, False])
def test_upkeep_is_left_to_another_process_that_is_at_it(make, tmp_path, sql, monkeypatch, lives):
    store, pid = make(exact_below=10), os.getppid() if lives else 2**22 + 1
    store.upsert(names(50), sample(50, SPACE))
    sql("SELECT set_config('application_name', %s, false)", f"holdfast {pid}@{gethostname()}")
    key = f"public.{table(tmp_path)}"
    sql("SELECT pg_advisory_lock(hashtextextended(%s, 3))", key)
    monkeypatch.setattr("holdfast.store.pgvector_hold._PATIENCE", 0.2)
    if lives:
        store.tend()
    else:  # that one is dead, and the server does not know of it
        with pytest.raises(StoreError, match="still tends for a connection that was lost"):
            store.tend()
    assert store._postgres.run(store._index._found) == []
    sql("SELECT pg_advisory_unlock(hashtextextended(%s, 3))", key)
    store.tend()
    assert len(store._postgres.run(store._index._found)) == 1


def test_which_table_is_whose_is_on_disk_before_anything_is_written(make, tmp_path, monkeypatch):
    """Else a power failure might leave a folder that takes a new, empty table for its own."""
    synced, sync = [], os.fsync

    def noted(handle):
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))
        sync(handle)

    monkeypatch.setattr("os.fsync", noted)
    make()
    home = tmp_path / "side"
    assert synced[-2:] == [str(home / ".postgres.json.partial"), str(home)]


def test_a_graph_that_is_not_in_order_is_gone_round_and_replaced(make, monkeypatch):
    """As where pgvector says "cannot load deleted element"."""
    store, exact = make(exact_below=100), MemoryStore(SPACE)
    for each in (store, exact):
        each.upsert(names(500), sample(500, SPACE), [{"n": i % 3} for i in range(500)])
    store.tend()
    run, failed = store._postgres.run, []

    def breaks(work, single=False):
        if len(failed) < 2 and single:
            failed.append(work)
            broken = psycopg.errors.InternalError_("cannot load deleted element")
            raise StoreError("database", "an answer", "none") from broken
        return run(work, single)

    asked = sample(70, SPACE, seed=6)
    monkeypatch.setattr(store._postgres, "run", breaks)
    with pytest.raises(StoreError):  # that one fails again
        store.search(asked[:1], 5)
    failed.clear()
    failed.append(None)
    assert (store.search(asked, 9, {"n": 1}).ids == exact.search(asked, 9, {"n": 1}).ids).all()
    assert len(failed) == 2
    (graph, _), *_ = run(store._index._found)
    store.tend()
    assert [name for name, _ in run(store._index._found)] == [graph[:-1] + "1"]
    store.tend()  # that one is in order
    assert [name for name, _ in run(store._index._found)] == [graph[:-1] + "1"]
