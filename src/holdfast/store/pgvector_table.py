"""One table for each space, and what Holdfast notes about its tables beside them.

    <table>            id, revision, payload, hidden, vector
    holdfast_stores    a row for each table: its space, and when its graph was built
    holdfast_counts    what each statement added to or took from a table: counting is a sum

Counts are kept by triggers, so that they are right whoever writes, and by new rows, so that
writers need not wait for each other.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from ..errors import OccupiedStore, StoreError
from ..postgres import Connection, Postgres, check_name, literal, name, sql
from ..space import Space

FORMAT = 1
LONGEST_NAME = 48  # of a table: names of its indexes and triggers add to it
MOST_DIMENSIONS = 16_000
NEEDED = (0, 8)  # of pgvector: since then a filtered search goes on until it has enough
_MANY = 200  # rows of counts that are put together

_CREATE = """
CREATE TABLE IF NOT EXISTS {schema}.holdfast_stores (
    name text PRIMARY KEY, format integer NOT NULL, space text NOT NULL,
    built bigint NOT NULL DEFAULT 0, changed bigint NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS {schema}.holdfast_counts (
    name text NOT NULL, total bigint NOT NULL, shown bigint NOT NULL, changed bigint NOT NULL
);
CREATE INDEX IF NOT EXISTS holdfast_counts_name ON {schema}.holdfast_counts (name);
CREATE OR REPLACE FUNCTION {schema}.holdfast_count() RETURNS trigger LANGUAGE plpgsql AS {body};
CREATE TABLE {table} (
    id text COLLATE "C" PRIMARY KEY,
    revision bigint NOT NULL,
    payload jsonb NOT NULL,
    hidden boolean NOT NULL DEFAULT FALSE,
    vector vector({dim}) NOT NULL
);
CREATE TRIGGER holdfast_inserted AFTER INSERT ON {table}
    REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION {schema}.holdfast_count();
CREATE TRIGGER holdfast_updated AFTER UPDATE ON {table}
    REFERENCING OLD TABLE AS stale NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.holdfast_count();
CREATE TRIGGER holdfast_deleted AFTER DELETE ON {table}
    REFERENCING OLD TABLE AS stale FOR EACH STATEMENT EXECUTE FUNCTION {schema}.holdfast_count();
CREATE TRIGGER holdfast_emptied AFTER TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.holdfast_count();
"""

# Who else may read a view.
_READERS = """
SELECT r.rolname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
    aclexplode(c.relacl) AS given JOIN pg_roles r ON r.oid = given.grantee
WHERE n.nspname = %s AND c.relname = %s AND given.privilege_type = 'SELECT'
    AND given.grantee <> c.relowner
"""

_COUNT = """
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        DELETE FROM {counts} WHERE name = TG_TABLE_NAME;
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO {counts} SELECT TG_TABLE_NAME, count(*), count(*) FILTER (WHERE NOT hidden), 0
        FROM fresh HAVING count(*) > 0;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO {counts}
        SELECT TG_TABLE_NAME, -count(*), -count(*) FILTER (WHERE NOT hidden), count(*)
        FROM stale HAVING count(*) > 0;
    ELSE
        INSERT INTO {counts} SELECT TG_TABLE_NAME, 0,
            count(*) FILTER (WHERE NOT hidden)
            - (SELECT count(*) FILTER (WHERE NOT hidden) FROM stale), count(*)
        FROM fresh HAVING count(*) > 0;
    END IF;
    RETURN NULL;
END
"""


@dataclass(frozen=True, slots=True)
class Counts:
    """What is known about a table's rows.

    Args:
        total: Rows, hidden ones included.
        shown: Rows that search can return.
        changed: Rows replaced or deleted, ever.
    """

    total: int
    shown: int
    changed: int


def table_name(prefix: str, space: Space) -> str:
    """A table's name that says which model it holds."""
    model = re.sub(r"[^a-z0-9]+", "_", space.name.lower()).strip("_")[:16]
    return f"{prefix}_{model}_{space.fingerprint[:8]}" if model else f"{prefix}_{space.fingerprint}"


class Table:
    """A table of one space.

    Args:
        postgres: Where it is.
        schema: In which schema.
        title: Its name; any string, it is always quoted.
        space: The space of its vectors.
    """

    def __init__(self, postgres: Postgres, schema: str, title: str, space: Space) -> None:
        self.postgres, self.space = postgres, space
        self.schema = check_name(schema, f"{postgres.who}: schema")
        self.title = check_name(title, f"{postgres.who}: table", LONGEST_NAME)
        self.name = name(self.schema, self.title)

    def sql(self, text: str, **more: Any) -> Any:
        """SQL about this table and what is noted about it."""
        return sql(text).format(
            table=self.name,
            schema=name(self.schema),
            stores=name(self.schema, "holdfast_stores"),
            counts=name(self.schema, "holdfast_counts"),
            dim=literal(self.space.dim),
            **more,
        )

    def open(self, expected: bool) -> None:
        """Make the table, or see that it is ours and of this space.

        Args:
            expected: It must be there.
        Raises:
            OccupiedStore: It holds another space.
            StoreError: It is not one of Holdfast's, or pgvector is not usable.
        """
        if self.space.dim > MOST_DIMENSIONS:
            raise StoreError(
                self.postgres.who, f"at most {MOST_DIMENSIONS:,} dimensions", f"{self.space.dim:,}"
            )
        self.postgres.run(lambda connection: self._open(connection, expected))

    def _open(self, connection: Connection, expected: bool) -> None:
        # One at a time: two that create the same thing would fail.
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended('holdfast tables', 0))")
        _check_server(connection, self.postgres.who)
        told = self._told(connection)
        there = self._is_there(connection)
        if there and told:
            self._check(*told)
        elif there or told or expected:
            raise StoreError(
                self.postgres.who,
                f"a table {self.schema}.{self.title} of Holdfast, or none",
                "one that something else made" if there else "none where there was one",
                "Is this the right database? Otherwise choose another prefix, or restore it.",
            )
        else:
            body = literal(self.sql(_COUNT).as_string(connection))
            connection.execute(self.sql(_CREATE, body=body))
            space = json.dumps(self.space.to_json())
            connection.execute(
                self.sql("INSERT INTO {stores} (name, format, space) VALUES (%s, %s, %s)"),
                [self.title, FORMAT, space],
            )

    def _is_there(self, connection: Connection) -> bool:
        found = "SELECT FROM pg_tables WHERE schemaname = %s AND tablename = %s"
        return connection.execute(found, [self.schema, self.title]).fetchone() is not None

    def _told(self, connection: Connection) -> tuple[int, str] | None:
        found = "SELECT FROM pg_tables WHERE schemaname = %s AND tablename = 'holdfast_stores'"
        if connection.execute(found, [self.schema]).fetchone() is None:
            return None
        query = self.sql("SELECT format, space FROM {stores} WHERE name = %s")
        told: tuple[int, str] | None = connection.execute(query, [self.title]).fetchone()
        return told

    def _check(self, form: int, space: str) -> None:
        if form != FORMAT:
            raise StoreError(
                self.postgres.who,
                f"a table of format {FORMAT}",
                f"format {form}",
                "Open it with the version of Holdfast that wrote it.",
            )
        held = Space.from_json(json.loads(space))
        if held != self.space:
            raise OccupiedStore(
                self.postgres.who,
                f"vectors of {self.space}",
                f"vectors of {held} in {self.schema}.{self.title}",
                "Open it with that space, or choose another folder or prefix.",
            )

    def counts(self, connection: Connection) -> Counts:
        """How many rows there are, as this transaction sees it."""
        query = self.sql(
            "SELECT coalesce(sum(total), 0)::bigint, coalesce(sum(shown), 0)::bigint,"
            " coalesce(sum(changed), 0)::bigint, count(*) FROM {counts} WHERE name = %s"
        )
        *numbers, rows = connection.execute(query, [self.title]).fetchone()
        if rows > _MANY:
            self._put_together(connection)
        return Counts(*numbers)

    def _put_together(self, connection: Connection) -> None:
        """Replace rows of counts by their sum; those that somebody else is at are left alone."""
        query = self.sql(
            "WITH locked AS (SELECT ctid FROM {counts} WHERE name = %s FOR UPDATE SKIP LOCKED),"
            " gone AS (DELETE FROM {counts} WHERE ctid IN (SELECT ctid FROM locked)"
            " RETURNING total, shown, changed)"
            " INSERT INTO {counts} SELECT %s, sum(total), sum(shown), sum(changed) FROM gone"
            " HAVING count(*) > 0"
        )
        connection.execute(query, [self.title, self.title])

    def show_as(self, view: str) -> None:
        """Let a view show this table, hidden rows included, from one moment to the next.

        Whoever may read the old view may read the new one.
        """
        shown = self.sql("SELECT id, revision, payload, vector FROM {table}")
        title = name(self.schema, view)

        def work(connection: Connection) -> None:
            # Others ask for the view of before until this is committed, and wait no longer.
            connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 4))", [view])
            readers = connection.execute(_READERS, [self.schema, view]).fetchall()
            connection.execute(sql("DROP VIEW IF EXISTS {}").format(title))
            connection.execute(sql("CREATE VIEW {} AS {}").format(title, shown))
            for (role,) in readers:
                connection.execute(sql("GRANT SELECT ON {} TO {}").format(title, name(role)))

        self.postgres.run(work)

    def drop(self) -> None:
        """Delete the table with its index, and what is noted about it."""

        def work(connection: Connection) -> None:
            connection.execute(self.sql("DROP TABLE IF EXISTS {table}"))
            if self._told(connection):
                for notes in ("{stores}", "{counts}"):
                    query = self.sql(f"DELETE FROM {notes} WHERE name = %s")
                    connection.execute(query, [self.title])

        self.postgres.run(work)


def _check_server(connection: Connection, who: str) -> None:
    """UTF-8, and a pgvector that is new enough; installed where that is allowed."""
    (encoding,) = connection.execute("SHOW server_encoding").fetchone()
    if encoding != "UTF8":
        raise StoreError(who, "a database in UTF8", f"one in {encoding}", "Create one in UTF8.")
    query = "SELECT extversion FROM pg_extension WHERE extname = 'vector'"
    if connection.execute(query).fetchone() is None:
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    (version,) = connection.execute(query).fetchone()
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < NEEDED:
        raise StoreError(
            who,
            f"pgvector {'.'.join(map(str, NEEDED))} or newer",
            version,
            "Update it: ALTER EXTENSION vector UPDATE.",
        )
