"""A table of the user's own as a source: the contract, ids of any type, and who wrote into it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, time
from itertools import count
from uuid import uuid4

import psycopg
import pytest

from holdfast.errors import ConfigError, SourceError
from holdfast.source.check import source_checks
from holdfast.source.feed import Feed
from holdfast.source.registry import open_source
from holdfast.source.sql import SqlSource
from tests.store.test_pgvector_where import HOSTILE

NUMBER = count()


@pytest.fixture
def sql(postgres):
    with psycopg.connect(postgres, autocommit=True) as connection:
        yield lambda query, *values: connection.execute(query, values or None)


@pytest.fixture
def table(sql):
    """A new table of documents."""
    name = f"documents_{uuid4().hex[:8]}"
    sql(
        f"CREATE TABLE {name} (id text PRIMARY KEY, title text, body text, lang text, year int,"
        " seen int DEFAULT 0)"
    )
    return name


@pytest.mark.parametrize("check", source_checks(), ids=str)
def test_contract(check, sql):
    def plant(items):
        name = f"planted_{uuid4().hex[:8]}"
        sql(f'CREATE TABLE {name} (key text PRIMARY KEY, "the body" text, lang text, year int)')
        for item in items:
            row = [item.id, item.content, item.payload["lang"], item.payload["year"]]
            sql(f"INSERT INTO {name} VALUES (%s, %s, %s, %s)", *row)
        return SqlSource(name, id="key", text="the body", payload=["lang", "year"])

    check(plant)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("bigint", ["10", "9", "-3", "9007199254740993"]),
        ("smallint", ["10", "9"]),
        ("uuid", ["00000000-0000-0000-0000-00000000000a", "f0000000-0000-0000-0000-000000000000"]),
        ("varchar(20)", ["b", "a", "10", "9"]),
        ("numeric", ["1.50", "1.5000001"]),
        ("date", ["2024-01-02", "2023-12-31"]),
        ("char(6)", ["abc", "abd", "a", "b"]),
        ("bit(4)", ["0101", "0110", "0111"]),
    ],
)
def test_ids_of_any_type_are_text_here(sql, kind, values):
    name = f"typed_{uuid4().hex[:8]}"
    sql(f"CREATE TABLE {name} (id {kind} PRIMARY KEY, text text)")
    for value in values:
        sql(f"INSERT INTO {name} VALUES (%s, %s)", value, f"text of {value}")
    source = SqlSource(name)
    asked = [*values, "absent", "010", "1e1", "99999999999999999999999", "\0", "\ud800", "", "٣"]
    found = source.get(asked)
    assert [item and item.content for item in found] == [
        *[f"text of {value}" for value in values],
        *[None] * 8,
    ]
    seen, after = [], None
    for _ in range(len(values)):
        page = source.scan(after, 1)
        seen += [item.id for item in page.items]
        after = page.after
    assert (sorted(seen), after) == (sorted(values), None)


@pytest.mark.parametrize("title", ['odd {kind} of "id"', "a %s", "kind of {}", "100% id"])
def test_a_type_of_any_name_can_be_an_id(sql, title):
    name, quoted = f"odd_{uuid4().hex[:8]}", title.replace('"', '""').replace("%", "%%")
    sql(f"CREATE TYPE \"{quoted}\" AS ENUM ('one', 'two', 'three')".replace("%%", "%"))
    sql(f'CREATE TABLE {name} (id "{quoted}" PRIMARY KEY, text text)'.replace("%%", "%"))
    sql(f"INSERT INTO {name} VALUES ('one', 'a'), ('two', 'b'), ('three', 'c')")
    source = SqlSource(name)
    assert [i.content for i in source.get(["two", "one"])] == ["b", "a"]
    page = source.scan(limit=1)
    assert [i.id for i in source.scan(page.after).items] == ["two", "three"]


def test_payloads_are_json_and_rows_without_text_are_gone(sql):
    name = f"kinds_{uuid4().hex[:8]}"
    sql(
        f"CREATE TABLE {name} (id int PRIMARY KEY, title text, body text, price numeric(9,2),"
        " whole numeric, odd float8, day date, tags text[], more jsonb, flag boolean, empty text)"
    )
    sql(
        f"INSERT INTO {name} VALUES (1, 'Kelp', NULL, 2.50, 3, 'NaN', '2024-02-01', '{{a,b}}',"
        """ '{"deep": [1, null]}', true, NULL), (2, NULL, NULL, 1, 1, 1, NULL, NULL, '{}', false,"""
        " '')"
    )
    fields = ["id", "price", "whole", "odd", "day", "tags", "more", "flag", "empty"]
    source = SqlSource(name, text="{title}: {body}", payload=fields)
    assert source.get(["2"]) == [None]
    (item,) = source.scan().items
    assert item.content == "Kelp: "
    assert item.payload == {
        "id": 1, "price": 2.5, "whole": 3, "day": "2024-02-01", "tags": ["a", "b"],
        "more": {"deep": [1, None]}, "flag": True,
    }  # fmt: skip


def test_times_that_no_calendar_of_python_has_are_text(sql):
    name = f"times_{uuid4().hex[:8]}"
    sql(
        f"CREATE TABLE {name} (id int PRIMARY KEY, text text, day date, at timestamptz,"
        " local timestamp, clock time)"
    )
    sql(
        f"INSERT INTO {name} VALUES"
        " (1, 'a', 'infinity', '-infinity', 'infinity', '24:00'),"
        " (2, 'b', '0044-03-15 BC', '20000-01-01 00:00+00', '10000-01-01', '10:00'),"
        " (3, 'c', '2024-02-01', '2024-02-01 10:00:00.5+00', '2024-02-01 10:00', '10:00:00.25')"
    )
    source = SqlSource(name, payload=["day", "at", "local", "clock"])
    first, second, third = (item.payload for item in source.scan().items)
    assert first == {"day": "infinity", "at": "-infinity", "local": "infinity", "clock": "24:00:00"}
    assert (second["day"], second["local"]) == ("0044-03-15 BC", "10000-01-01T00:00:00")
    assert second["at"].startswith("20000-01-01T00:00:00")
    assert datetime.fromisoformat(third["at"]) == datetime(2024, 2, 1, 10, 0, 0, 500_000, UTC)
    assert (third["day"], third["local"]) == ("2024-02-01", "2024-02-01T10:00:00")
    assert time.fromisoformat(third["clock"]) == time(10, 0, 0, 250_000)
    assert source.get(["1", "3"])[1].payload == third


def feed_of(source):
    return [change.id for change in source.changed()]


def opened(table, **more):
    return SqlSource(table, text="{title} {body}", payload=["lang"], feed=f"feed_{table}", **more)


def test_the_feed_notes_what_plain_sql_does(sql, table):
    source = opened(table)
    assert isinstance(source, Feed)
    sql(
        f"INSERT INTO {table} (id, title, body)"
        " VALUES ('a', 'A', ''), ('b', 'B', ''), ('c', '', '')"
    )
    assert feed_of(source) == ["a", "b", "c"]
    source.taken(source.changed())
    sql(f"UPDATE {table} SET seen = seen + 1")  # not a column that is read
    sql(f"UPDATE {table} SET title = title")
    assert feed_of(source) == []
    sql(f"UPDATE {table} SET body = 'new' WHERE id = 'b'")
    sql(f"UPDATE {table} SET lang = 'de' WHERE id = 'a'")
    sql(f"UPDATE {table} SET id = 'd' WHERE id = 'c'")  # two items changed: one went, one came
    assert [feed_of(source)[:2], sorted(feed_of(source)[2:])] == [["b", "a"], ["c", "d"]]
    source.taken(source.changed()[:1])
    sql(f"DELETE FROM {table} WHERE id IN ('a', 'zzz')")
    assert sorted(feed_of(source)) == ["a", "a", "c", "d"]
    source.taken(source.changed())
    sql(f"TRUNCATE {table}")
    assert sorted(feed_of(source)) == ["b", "d"]
    again = opened(table)  # the triggers are there once
    assert sorted(feed_of(again)) == ["b", "d"]


@pytest.mark.parametrize(
    "harm",
    [
        "DROP TRIGGER feed_{0}_updated ON {0}",
        "ALTER TABLE {0} DISABLE TRIGGER feed_{0}_deleted",
        "ALTER TABLE {0} RENAME TO before_{0}; CREATE TABLE {0} (LIKE before_{0} INCLUDING ALL)",
    ],
)
def test_a_feed_that_notes_no_more_is_not_taken_for_a_quiet_one(sql, table, harm):
    source = opened(table)
    with source.following() as mine:
        assert mine
    sql(harm.format(table))
    for look in (lambda: source.following().__enter__(), lambda: opened(table)):
        with pytest.raises(ConfigError, match="whose triggers are not on it"):
            look()


def test_a_feed_notes_the_columns_that_are_read_now(sql, table):
    first = opened(table)
    sql(f"INSERT INTO {table} (id, title) VALUES ('a', 'A')")
    first.taken(first.changed())
    sql(f"UPDATE {table} SET year = 2001")
    assert feed_of(first) == []
    more = SqlSource(table, text="{title} {body}", payload=["year"], feed=f"feed_{table}")
    sql(f"UPDATE {table} SET year = 2002")
    assert feed_of(more) == ["a"]
    more.taken(more.changed())
    sql(f"UPDATE {table} SET lang = 'de'")  # read no longer
    assert feed_of(more) == []


@pytest.mark.parametrize("name", ["feed", 'of "100%" {x}'])
def test_a_feed_that_is_right_is_left_alone(sql, table, monkeypatch, name):
    options = {"text": "title", "feed": f"{name} {next(NUMBER)}"}
    SqlSource(table, **options)
    monkeypatch.setattr("holdfast.source.sql._FUNCTION", "no SQL at all")
    SqlSource(table, **options)  # so it takes no rights of the owner either
    with pytest.raises(SourceError, match="syntax error"):
        SqlSource(table, payload=["year"], **options)


def test_a_column_that_is_not_unique_is_no_id(sql):
    name = f"twice_{uuid4().hex[:8]}"
    sql(f"CREATE TABLE {name} (id text, text text)")
    sql(f"INSERT INTO {name} VALUES ('a', '1'), ('b', '2'), ('b', '3'), ('c', '4')")
    source = SqlSource(name)
    assert source.get(["a", "c"])[1].content == "4"
    for wrong in (
        lambda: source.get(["b"]),
        lambda: source.scan(limit=2),  # the other row stands on the next page
        lambda: source.scan("a"),
    ):
        with pytest.raises(SourceError, match=r"'id' that is unique, got 'b' more than once"):
            wrong()


def test_rows_without_an_id_are_refused_wherever_pages_end(sql):
    name = f"without_{uuid4().hex[:8]}"
    sql(f"CREATE TABLE {name} (id int, text text)")
    sql(f"INSERT INTO {name} VALUES (1, 'a'), (2, 'b'), (NULL, 'c')")
    source = SqlSource(name)
    assert source.get(["2"])[0].content == "b"
    for limit in (1, 2, 3, 10):
        with pytest.raises(SourceError, match=r"an id in each row of 'id', got null"):
            source.scan(limit=limit)
    sql(f"DELETE FROM {name} WHERE id IS NULL")
    assert [item.id for item in source.scan().items] == ["1", "2"]


def test_a_feed_lets_others_write_rows_without_an_id(sql):
    name = f"unnamed_{uuid4().hex[:8]}"
    sql(f"CREATE TABLE {name} (id int, text text)")
    source = SqlSource(name, feed=f"feed_{name}")
    sql(f"INSERT INTO {name} VALUES (1, 'a'), (NULL, 'b')")
    sql(f"UPDATE {name} SET text = 'c' WHERE id IS NULL")
    sql(f"UPDATE {name} SET id = 2 WHERE id IS NULL")
    sql(f"UPDATE {name} SET id = NULL WHERE id = 1")
    assert feed_of(source) == ["1", "2", "1"]
    sql(f"DELETE FROM {name} WHERE id IS NULL")
    sql(f"TRUNCATE {name}")
    assert feed_of(source) == ["1", "2", "1", "2"]


def test_what_was_rolled_back_is_not_noted_and_what_is_open_is_not_forgotten(postgres, sql, table):
    source = opened(table)
    with psycopg.connect(postgres) as slow:
        slow.execute(f"INSERT INTO {table} (id, title) VALUES ('early', 'x')")
        sql(f"INSERT INTO {table} (id, title) VALUES ('late', 'x')")
        assert feed_of(source) == ["late"]
        source.taken(source.changed())
        slow.commit()
        assert feed_of(source) == ["early"]  # its mark is the smaller one
        slow.execute(f"DELETE FROM {table}")
        slow.rollback()
    assert feed_of(source) == ["early"]


def test_writers_without_rights_on_the_feed_are_noted(postgres, sql, table):
    source, role = opened(table), f"writer_{uuid4().hex[:8]}"
    sql(f"CREATE ROLE {role} LOGIN")
    sql(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role}")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"SET ROLE {role}")
        connection.execute(f"INSERT INTO {table} (id, title) VALUES ('x', 'y')")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"SELECT * FROM feed_{table}")
    assert feed_of(source) == ["x"]
    sql(f"DROP OWNED BY {role}")
    sql(f"DROP ROLE {role}")


def test_one_follower_at_a_time(sql, table):
    first, second = opened(table), opened(table)
    with first.following() as mine, second.following() as theirs:
        assert (mine, theirs) == (True, False)
    with second.following() as theirs:
        assert theirs


@pytest.mark.parametrize(
    "name", [h for h in HOSTILE if h and not set(h) & {"\0", "\ud800"}], ids=ascii
)
def test_names_and_ids_are_never_sql(postgres, name):
    quoted = psycopg.sql.Identifier(name).as_string()
    with psycopg.connect(postgres, autocommit=True) as raw:
        raw.execute(f"CREATE TABLE {quoted} ({quoted} text PRIMARY KEY, b text)")
        text = [name] if set(name) & set("{}") else name
        feed = f"f{next(NUMBER)} {name}"
        source = SqlSource(name, id=name, text=text, payload=["b"], feed=feed)
        doubled = quoted.replace("%", "%%")
        raw.execute(f"INSERT INTO {doubled} VALUES (%s, %s)", [name, name])
        (item,) = source.get([name])
        assert (item.id, item.content, item.payload) == (name, name, {"b": name})
        assert feed_of(source) == [name]
        source.taken(source.changed())
        assert (len(source), feed_of(source), source.get(["other"])) == (1, [], [None])
        assert [i.id for i in source.scan().items] == [name]
        assert source.scan(name).items == []
        raw.execute(f"DROP TABLE {quoted}")


def test_what_cannot_be_read_is_said(sql, table, monkeypatch):
    with pytest.raises(SourceError, match="a table or view that can be seen"):
        SqlSource("no_such_table")
    with pytest.raises(SourceError, match="a column 'text'"):
        SqlSource(table)
    sql(f"CREATE TABLE taken_{table} (id int)")
    with pytest.raises(ConfigError, match="whose triggers are not on it"):
        SqlSource(table, text="title", feed=f"taken_{table}")
    with pytest.raises(ConfigError, match="the name of an environment variable"):
        SqlSource(table, text="title", dsn_env="postgresql://me:hunter2@host/db")
    with pytest.raises(ConfigError) as caught:
        open_source("sql", table=table, dsn="postgresql://me:hunter2@host/db")
    assert "hunter2" not in str(caught.value)
    source = SqlSource(table, text="title")
    with pytest.raises(ConfigError, match='Set feed = "a_name"'), source.following():
        pass
    for cursor in ("a\0", "\ud800"):
        with pytest.raises(SourceError, match="a cursor from here"):
            source.scan(cursor)


def test_threads_may_write_while_it_is_read(sql, table, postgres):
    source = opened(table)

    def write(part):
        with psycopg.connect(postgres, autocommit=True) as connection:
            for n in range(40):
                connection.execute(
                    f"INSERT INTO {table} (id, title) VALUES (%s, 'x')", [f"{part}-{n}"]
                )

    writers = [threading.Thread(target=write, args=(part,)) for part in range(3)]
    for writer in writers:
        writer.start()
    taken = []
    while any(writer.is_alive() for writer in writers) or source.changed(1):
        changes = source.changed(7)
        source.taken(changes)
        taken += [change.id for change in changes]
    assert sorted(taken) == sorted(f"{part}-{n}" for part in range(3) for n in range(40))
