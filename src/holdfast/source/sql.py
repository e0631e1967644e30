"""A table of the user's own in PostgreSQL: content, payload, and what others write into it.

With `feed`, triggers on the table note the id of each row that is inserted, changed or deleted,
in a table of that name beside it. Whoever writes needs to know nothing of it, nor be allowed
to; the note is part of their own transaction. Holdfast reads the user's table and never writes
to it.
"""

from __future__ import annotations

import hashlib
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from ..errors import ConfigError, SourceError
from ..items import Item
from ..postgres import DSN_ENV, Connection, Postgres, check_name, literal, name, sql
from .base import ItemPage, check_limit
from .feed import Change
from .fields import Fields, TextLike
from .sql_values import Key, as_json, as_selected

LONGEST_FEED = 48  # bytes; names of triggers add to it

_TABLE = (
    "CREATE TABLE {feed} (mark bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, id text NOT NULL)"
)

_FUNCTION = """
CREATE OR REPLACE FUNCTION {note}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS {body}
"""

_TRIGGERS = """
CREATE TRIGGER {inserted} AFTER INSERT ON {table} REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION {note}();
CREATE TRIGGER {updated} AFTER UPDATE ON {table} REFERENCING OLD TABLE AS stale NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION {note}();
CREATE TRIGGER {deleted} AFTER DELETE ON {table} REFERENCING OLD TABLE AS stale
    FOR EACH STATEMENT EXECUTE FUNCTION {note}();
CREATE TRIGGER {emptied} BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION {note}();
"""

# An update that touches none of the columns that are read is no change; a row without an id is
# no item, and whoever writes one is not to be kept from it.
_NOTE = """
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO {feed} (id) SELECT {id}::text FROM fresh WHERE {id} IS NOT NULL;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO {feed} (id) SELECT {id}::text FROM stale WHERE {id} IS NOT NULL;
    ELSIF TG_OP = 'TRUNCATE' THEN
        INSERT INTO {feed} (id) SELECT {id}::text FROM {table} WHERE {id} IS NOT NULL;
    ELSE
        INSERT INTO {feed} (id) SELECT DISTINCT k FROM (
            (SELECT {id}::text AS k, ROW({columns})::text FROM fresh
             EXCEPT SELECT {id}::text, ROW({columns})::text FROM stale)
            UNION ALL
            (SELECT {id}::text, ROW({columns})::text FROM stale
             EXCEPT SELECT {id}::text, ROW({columns})::text FROM fresh)) AS both_ways
            WHERE k IS NOT NULL;
    END IF;
    RETURN NULL;
END
"""


class SqlSource:
    """Reads items from a table or view, in the order of their ids.

    Args:
        table: Its name.
        id: Column of the id: unique and never null; text, a number or a UUID.
        text: Column, list of columns, or template of the text.
        payload: Columns kept as payload.
        schema: Of the table.
        dsn_env: Name of the environment variable with the connection string.
        feed: Name of a table in which triggers note what changes; none without it. It is made
            where it is not there, which takes the rights of the table's owner.
    Raises:
        MissingExtra: psycopg is not installed.
        ConfigError: The environment does not say where the database is, or fields that make
            no sense.
        SourceError: No such table, or columns it does not have.
    """

    def __init__(
        self,
        table: str,
        id: str = "id",  # noqa: A002
        text: TextLike = "text",
        payload: Sequence[str] | None = None,
        schema: str = "public",
        dsn_env: str = DSN_ENV,
        feed: str = "",
    ) -> None:
        self._who = f"table {schema}.{table}"
        self._fields = Fields(id, text, payload)
        self._place = (check_name(schema, "source: schema"), check_name(table, "source: table"))
        self._columns = [check_name(column, "source: column") for column in self._fields.columns]
        self._feed = check_name(feed, "source: feed", LONGEST_FEED) if feed else ""
        self._postgres = Postgres(dsn_env, self._who, SourceError)
        weakref.finalize(self, self._postgres.close)
        self._names = {
            "table": name(*self._place),
            "id": name(id),
            "columns": sql(", ").join([name(column) for column in self._columns]),
            "feed": name(schema, feed),
        }
        try:
            kinds = self._check()
            self._key = Key(kinds[self._fields.id])
            values = [as_selected(kinds[column]) for column in self._columns]
            self._names["values"] = sql(", ").join(
                [
                    sql(value).format(name(column))
                    for value, column in zip(values, self._columns, strict=True)
                ]
            )
            if feed:
                self._postgres.run(self._install)
        except BaseException:
            self.close()
            raise

    def _sql(self, text: str, **more: Any) -> Any:
        return sql(text).format(**self._names, **more)

    def _check(self) -> dict[str, str]:
        """The columns must be there; a table in use may be large, so no row is looked at."""
        query = (
            "SELECT a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a"
            " JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relname = %s AND a.attnum > 0 AND NOT a.attisdropped"
        )
        there = dict(self._fetch(query, list(self._place)))
        if not there:
            raise SourceError(self._who, "a table or view that can be seen", "none")
        missing = [column for column in self._columns if column not in there]
        if missing:
            raise SourceError(
                self._who, f"a column {missing[0]!r}", f"columns {', '.join(sorted(there))}"
            )
        return there

    def _fetch(self, query: Any, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        def work(connection: Connection) -> list[tuple[Any, ...]]:
            found: list[tuple[Any, ...]] = connection.execute(query, values).fetchall()
            return found

        return self._postgres.run(work, single=True)

    # content

    def __len__(self) -> int:
        ((count,),) = self._fetch(self._sql("SELECT count(*) FROM {table}"))
        return int(count)

    def get(self, ids: Sequence[str]) -> list[Item | None]:
        wanted = [key for key in dict.fromkeys(ids) if self._key.can_be(key)]
        query = self._sql(
            f"SELECT t.{{id}}::text, {{values}} FROM {{table}} t WHERE {self._key.among('t.{id}')}"
        )
        found = {item.id: item for item in self._items(self._unique(query, [wanted]))}
        return [found.get(key) for key in ids]

    def scan(self, after: str | None = None, limit: int = 1000) -> ItemPage:
        """See the protocol. The order is that of the ids in the database."""
        check_limit(limit)
        if after is not None and not self._key.can_be(after):
            raise SourceError(f"scan of {self._who}", "a cursor from here", ascii(after)[:80])
        if after is None:
            self._refuse_nameless()
        beyond = "" if after is None else f"WHERE {self._key.beyond('t.{id}')}"
        query = self._sql(
            "SELECT t.{id}::text, {values} FROM {table} t"
            f" {beyond} ORDER BY t.{{id}} LIMIT %s"
        )
        rows = self._unique(query, [*([] if after is None else [after]), limit + 1])
        more = rows[limit - 1][0] if len(rows) > limit else None
        return ItemPage(self._items(rows[:limit]), more)

    def _refuse_nameless(self) -> None:
        """Rows without an id: a scan, which goes on after an id, would pass most of them over."""
        ((found,),) = self._fetch(
            self._sql("SELECT EXISTS (SELECT FROM {table} WHERE {id} IS NULL)")
        )
        if found:
            raise SourceError(
                self._who,
                f"an id in each row of {self._fields.id!r}",
                "null",
                "Fill it, or leave such rows out by a view.",
            )

    def _items(self, rows: list[tuple[Any, ...]]) -> list[Item]:
        """Rows without any text have no content: they are passed over."""
        items = []
        for key, *values in rows:
            record = dict(zip(self._columns, values, strict=True))
            text = {column: record[column] for column in self._fields.text}
            if all(value is None for value in text.values()):
                continue
            record |= {column: "" if v is None else v for column, v in text.items()}
            record |= {column: as_json(record[column]) for column in self._fields.payload}
            item = self._fields.item({**record, self._fields.id: key}, self._who)
            if self._fields.id in item.payload:  # there it keeps its type
                payload = {**item.payload, self._fields.id: record[self._fields.id]}
                item = replace(item, payload=payload)
            items.append(item)
        return items

    def _unique(self, query: Any, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Rows with ids of their own: of two, a scan may pass over one, and `get` choose any."""
        rows = self._fetch(query, values)
        keys = Counter(row[0] for row in rows)
        if len(keys) != len(rows):
            twice = keys.most_common(1)[0][0]
            raise SourceError(
                self._who,
                f"a column {self._fields.id!r} that is unique",
                f"{twice!r} more than once",
                "Name another column; a view can join several into one.",
            )
        return rows

    # the feed

    def _install(self, connection: Connection) -> None:
        """Make the feed with its triggers, once."""
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('holdfast feeds', 0))")
        title = f"{self._feed}_note"
        note, body = name(self._place[0], title), self._sql(_NOTE).as_string(connection)
        function = self._sql(_FUNCTION, note=note, body=literal(body))
        there = "SELECT FROM pg_tables WHERE schemaname = %s AND tablename = %s"
        if connection.execute(there, [self._place[0], self._feed]).fetchone() is not None:
            self._check_feed(connection)
            if self._noted_by(connection, title) != body:  # other columns were read until now
                connection.execute(function)
            return
        connection.execute(self._sql(_TABLE))
        connection.execute(function)
        triggers = {event: name(title) for event, title in self._triggers.items()}
        connection.execute(self._sql(_TRIGGERS, note=note, **triggers))

    @property
    def _triggers(self) -> dict[str, str]:
        """Their names, by what happens to the table."""
        events = ("inserted", "updated", "deleted", "emptied")
        return {event: f"{self._feed}_{event}" for event in events}

    def _noted_by(self, connection: Connection, title: str) -> str:
        """The body of the function that notes changes."""
        query = (
            "SELECT p.prosrc FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE n.nspname = %s AND p.proname = %s"
        )
        found = connection.execute(query, [self._place[0], title]).fetchone()
        return str(found[0]) if found else ""

    def _check_feed(self, connection: Connection) -> None:
        """All triggers must be on the table that is there now: a swapped one has none."""
        query = (
            "SELECT count(*) FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = %s AND c.relname = %s AND t.tgname = ANY(%s)"
            " AND t.tgenabled <> 'D'"
        )
        values = [*self._place, list(self._triggers.values())]
        if connection.execute(query, values).fetchone()[0] < len(self._triggers):
            raise ConfigError(
                "source: feed",
                f"a feed of {self._who}",
                f"{self._feed!r}, a table whose triggers are not on it",
                "Choose another name, or drop that table, and open it again: it is made with them. "
                "What was written without them has to be written again.",
            )

    @contextmanager
    def following(self) -> Iterator[bool]:
        """See `Feed`: held by a connection, so it is free again when the process dies."""
        if not self._feed:
            raise ConfigError("source", "a feed", "none", 'Set feed = "a_name" under [source].')
        digest = hashlib.sha256(repr((self._place, self._feed)).encode()).digest()
        key = int.from_bytes(digest[:8], "big", signed=True)
        with self._postgres.outside() as connection:
            self._check_feed(connection)
            (free,) = connection.execute("SELECT pg_try_advisory_lock(%s)", [key]).fetchone()
            try:
                yield bool(free)
            finally:
                if free:  # now: the server learns later that a connection was closed
                    connection.execute("SELECT pg_advisory_unlock(%s)", [key])

    def latest(self) -> int:
        ((mark,),) = self._fetch(self._sql("SELECT coalesce(max(mark), 0) FROM {feed}"))
        return int(mark)

    def changed(self, limit: int = 1000, after: int = 0) -> list[Change]:
        query = self._sql("SELECT mark, id FROM {feed} WHERE mark > %s ORDER BY mark LIMIT %s")
        found = self._fetch(query, [after, check_limit(limit)])
        return [Change(mark, key) for mark, key in found]

    def answers(self) -> bool:
        try:
            self._fetch(self._sql("SELECT {columns} FROM {table} LIMIT 0"))
        except SourceError:
            return False
        return True

    def taken(self, changes: Sequence[Change]) -> None:
        # By mark, not up to a mark: an earlier one may belong to a transaction that is still open.
        query = self._sql("DELETE FROM {feed} WHERE mark = ANY(%s)")
        marks = [change.mark for change in changes]
        self._postgres.run(lambda connection: connection.execute(query, [marks]), single=True)

    def close(self) -> None:
        """Close the connections. Calling it twice is fine."""
        self._postgres.close()
