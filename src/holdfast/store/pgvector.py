"""PostgreSQL with pgvector: a table for each space, next to whatever else the database holds.

A row is hidden by a flag, which the graph over visible rows leaves out. Every call is one
transaction; two stores of one database can share one (`together`), so that an item which
changes sides does so for every reader at once.

    folder/postgres.json    which table is the one of this folder

One process holds a table, as with the stores in a folder. Let another program write to it, and
`shared = true` opens it without.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import IntArray, Vectors, VectorsLike, as_vectors, ids_given
from ..errors import InvalidInput, StoreError, StoreHeld
from ..hits import Hits
from ..postgres import DSN_ENV, Connection, Postgres, check_name
from ..space import Space
from .base import NO_REVISION, Limits, Page, Rows
from .lately import Lately
from .memory import check_batch, check_k
from .payloads import Payloads
from .pgvector_hold import Hold
from .pgvector_index import GROWTH, Graph, Index
from .pgvector_payload import JSONB, escaped, jsonb_texts, unescaped
from .pgvector_rows import copy_stream, read_vectors, vector_texts
from .pgvector_search import Search, session
from .pgvector_table import LONGEST_NAME, Counts, Table, table_name
from .vectorfile import write_lasting
from .where import WhereLike, parse

LONGEST_ID = 2_600  # bytes that an index of PostgreSQL takes
_FRESH = 0.1  # seconds for which counts are believed: others may write too

_STAGE = (
    "CREATE TEMP TABLE IF NOT EXISTS holdfast_batch"
    " (id text, revision bigint, payload jsonb, vector vector) ON COMMIT DELETE ROWS"
)
_STAGED = "COPY pg_temp.holdfast_batch (id, revision, payload, vector) FROM STDIN (FORMAT binary)"
_MERGE = (
    "INSERT INTO {table} AS kept (id, revision, payload, vector)"
    " SELECT id, coalesce(revision, 0), payload::jsonb, vector::vector FROM [batch] ORDER BY id"
    " ON CONFLICT (id) DO UPDATE SET payload = excluded.payload, vector = excluded.vector,"
    " written = excluded.written, "
)
_FEW = 32  # rows that are handed over with the statement: fewer ways to the server and back
_HANDED = (
    "unnest(%s::text[], %s::bigint[], %s::text[], %s::text[])"
    " AS batch(id, revision, payload, vector)"
)
_GIVEN = "revision = excluded.revision WHERE excluded.revision >= kept.revision"
_COUNTED = "revision = kept.revision + 1"
# Rows are locked in one order, so that writers wait for each other and never both.
_LOCKED = (
    "WITH locked AS MATERIALIZED (SELECT id FROM {table} WHERE id = ANY(%s) [which]"
    " ORDER BY id FOR UPDATE) "
)
_FLAG = "UPDATE {table} t SET hidden = [flag] FROM locked WHERE t.id = locked.id"
_PATH = (
    "SELECT set_config('search_path', concat_ws(', ', nullif(current_setting('search_path'), ''),"
    " quote_ident(n.nspname)), false) FROM pg_extension e JOIN pg_namespace n"
    " ON n.oid = e.extnamespace WHERE e.extname = 'vector'"
)


class PgvectorStore:
    """Rows in a table that one process holds; search by graph once `tend` has built it.

    Args:
        folder: Where it is noted which table this is.
        space: The space of every vector; of more than 4,000 dimensions it is searched row by row.
        dsn_env: Name of the environment variable with the connection string.
        schema: Of the database; it must be there.
        prefix: Of the table's name, which then follows from it and the space, whatever the
            folder; without one a new table gets a name of its own.
        exact: Compare every query with every row, and build no graph.
        ef: Candidates that a graph search keeps: more finds more and takes longer.
        links: Of a row in the graph.
        effort: Candidates while the graph is built.
        exact_below: Visible rows below which no graph is built.
        payload_index: Keep an index over payloads, for filters that few rows pass.
        build_memory: MiB of the server that building a graph may use; it takes what it needs of
            them, or `maintenance_work_mem` where that is more. What does not fit takes several
            times as long.
        build_workers: Processes of the server that help to build a graph: quicker, on cores that
            searches would have. They share memory, of which a container may allow little.
        view: Name of a view over whichever side is read: others search by it, and a cut-over
            or a rollback turns it in one transaction. None without it.
        shared: Do not hold the table.
    Raises:
        MissingExtra: psycopg is not installed.
        ConfigError: The environment does not say where the database is.
        StoreHeld: Another process has the table.
        OccupiedStore: The table holds vectors of another space.
        StoreError: The database, or the table, cannot be used.
    """

    growth = GROWTH  # see `growing.py`

    def __init__(  # noqa: PLR0913, each is a setting of a configuration
        self,
        folder: Path | str,
        space: Space,
        *,
        dsn_env: str = DSN_ENV,
        schema: str = "public",
        prefix: str = "",
        exact: bool = False,
        ef: int = 100,
        links: int = 16,
        effort: int = 64,
        exact_below: int = 2_000,
        payload_index: bool = False,
        build_memory: int = 512,
        build_workers: int = 0,
        view: str = "",
        shared: bool = False,
    ) -> None:
        self.space, self.folder = space, Path(folder)
        self._owner = f"PgvectorStore {self.folder.name} of {space.name}"
        floor = 1.0 if exact else 0.95
        self.limits = Limits(exact, floor, persistent=True, pair=True, remote=True)
        graph = Graph(links, effort, exact_below, payload_index, build_memory, build_workers)
        graph.check(self._owner)
        self._postgres = Postgres(
            dsn_env, self._owner, settings=session(ef, self._owner), greet=self._greet
        )
        self._view = check_name(view, f"{self._owner}: view") if view else ""
        self._hold: Hold | None = None
        try:
            self._table = self._open(schema, prefix, shared)
            self._index = Index(self._table, None if exact else graph)
            self._search = Search(self._table, self._index)
            self._counts = Lately(self._counted, _FRESH)
        except BaseException:
            self.close()
            raise

    def _open(self, schema: str, prefix: str, shared: bool) -> Table:
        """The table of this folder: the one that was noted, or a new one."""
        noted = self._noted()
        if prefix:
            check_name(prefix, f"{self._owner}: prefix", LONGEST_NAME - 26)
        title = table_name(prefix or f"holdfast_{secrets.token_hex(4)}", self.space)
        if noted and not prefix:
            schema, title = noted
        elif noted and noted != (schema, title):
            raise StoreError(
                self._owner,
                f"the table {'.'.join(noted)}, which is the one of this folder",
                f"settings that name {schema}.{title}",
                "Set prefix and schema as they were, or choose another folder.",
            )
        table = Table(self._postgres, schema, title, self.space)
        if not shared:
            self._hold = Hold(self._postgres, f"{schema}.{title}")
        table.open(expected=noted is not None)
        if noted is None:
            self._note(table)
        return table

    @property
    def _notes(self) -> Path:
        return self.folder / "postgres.json"

    def _noted(self) -> tuple[str, str] | None:
        try:
            told = json.loads(self._notes.read_text(encoding="utf-8"))
            return str(told["schema"]), str(told["table"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as cause:
            raise StoreError(str(self._notes), "the name of a table", f"{cause!r}") from cause

    def _note(self, table: Table) -> None:
        told = json.dumps({"schema": table.schema, "table": table.title})
        written = write_lasting(self._notes, told, keep=True)
        if not written and self._noted() != (table.schema, table.title):
            table.drop()  # nobody would find what is written to it
            raise StoreHeld(
                self._owner,
                "a new folder that nobody else opens",
                "one that another process has opened meanwhile",
                "Let that process do the work, or open it again.",
            )

    def _greet(self, connection: Connection) -> None:
        if self._hold is not None:
            self._hold.join(connection)
        connection.execute(_PATH)

    def together(self, other: object) -> AbstractContextManager[None]:
        """One transaction for what this thread does in both stores, if they are neighbours.

        Args:
            other: Any store; another one of this database is a neighbour.
        """
        if isinstance(other, PgvectorStore) and self._postgres.same_database(other._postgres):
            return self._joined(other)
        return nullcontext()

    @contextmanager
    def _joined(self, other: PgvectorStore) -> Iterator[None]:
        try:
            with self._postgres.joined(other._postgres):
                yield
        finally:
            self._counts.forget()
            other._counts.forget()

    @property
    def visible(self) -> int:
        return self._told().shown

    def __len__(self) -> int:
        return self._told().total

    def _counted(self) -> Counts:
        return self._postgres.run(self._table.counts, single=True)

    def _told(self) -> Counts:
        """Within a transaction of this thread, as that sees it."""
        return self._counted() if self._postgres.inside else self._counts.now()

    # Writing

    def upsert(
        self,
        ids: Sequence[str],
        vectors: VectorsLike,
        payloads: Sequence[Mapping[str, Any]] | None = None,
        revisions: Sequence[int] | IntArray | None = None,
    ) -> None:
        owner = f"upsert into {self.space.name}"
        names, rows, given, numbers = check_batch(
            owner, self.space, ids, vectors, payloads, revisions
        )
        _check_lengths(names, owner)
        if not names:
            return
        texts, write = jsonb_texts(given), self._hand_over if len(names) <= _FEW else self._stage
        merge = _MERGE + (_COUNTED if numbers is None else _GIVEN)
        try:
            self._postgres.run(
                lambda c: write(c, merge, names, numbers, texts, rows.array),
                single=len(names) <= _FEW,
            )
        except StoreError as error:
            if not self._postgres.cannot_keep(error):
                raise
            raise InvalidInput(owner, "rows that PostgreSQL can keep", error.got) from error
        finally:
            self._counts.forget()

    def _hand_over(
        self, connection: Connection, merge: str, names: list[str], *columns: Any
    ) -> None:
        revisions, texts, array = columns
        numbers = [None] * len(names) if revisions is None else revisions.tolist()
        keys = [escaped(name) for name in names]
        query = self._table.sql(merge.replace("[batch]", _HANDED))
        connection.execute(query, [keys, numbers, texts, vector_texts(array)])

    def _stage(self, connection: Connection, merge: str, names: list[str], *columns: Any) -> None:
        connection.execute(_STAGE)
        connection.execute("DELETE FROM pg_temp.holdfast_batch")  # of this transaction
        with connection.cursor().copy(_STAGED) as copy:
            for piece in copy_stream(names, *columns):
                copy.write(piece)
        connection.execute(self._table.sql(merge.replace("[batch]", "pg_temp.holdfast_batch")))

    def delete(self, ids: Sequence[str]) -> None:
        self._change(ids, "DELETE FROM {table} t USING locked WHERE t.id = locked.id")

    def hide(self, ids: Sequence[str]) -> None:
        self._change(ids, _FLAG.replace("[flag]", "TRUE"), "AND NOT hidden")

    def unhide(self, ids: Sequence[str]) -> None:
        self._change(ids, _FLAG.replace("[flag]", "FALSE"), "AND hidden")

    def _change(self, ids: Sequence[str], change: str, which: str = "") -> None:
        keys = [escaped(name) for name in ids_given(ids, self._owner)]
        query = self._table.sql(_LOCKED.replace("[which]", which) + change)
        if not keys:
            return
        try:
            self._postgres.run(lambda connection: connection.execute(query, [keys]), single=True)
        finally:
            self._counts.forget()

    # Reading

    def revisions(self, ids: Sequence[str]) -> IntArray:
        names = ids_given(ids, self._owner)
        query = self._table.sql("SELECT id, revision FROM {table} WHERE id = ANY(%s)")
        found = dict(self._fetch(query, [[escaped(name) for name in names]]))
        known = [found.get(escaped(name), NO_REVISION) for name in names]
        return np.array(known, dtype=np.int64)

    def get(self, ids: Sequence[str], vectors: bool = True) -> Rows:
        names = ids_given(ids, self._owner)
        query = self._table.sql(f"SELECT {_columns(vectors)} FROM {{table}} WHERE id = ANY(%s)")
        found = self._rows(self._fetch(query, [[escaped(name) for name in names]]), vectors)
        return found.ordered(names, self.space.name)

    def scan(self, after: str | None = None, limit: int = 1000, vectors: bool = False) -> Page:
        """See the protocol. The order is that of the ids' bytes."""
        limit = check_k(limit, f"scan of {self.space.name}", "a limit")
        query = self._table.sql(
            f"SELECT {_columns(vectors)} FROM {{table}} WHERE id > %s ORDER BY id LIMIT %s"
        )
        found = self._fetch(query, [escaped(after or ""), limit + 1])
        rows = self._rows(found[:limit], vectors)
        return Page(rows, rows.ids[-1] if len(found) > limit else None)

    def _fetch(self, query: Any, values: list[Any]) -> list[tuple[Any, ...]]:
        def work(connection: Connection) -> list[tuple[Any, ...]]:
            with connection.cursor(binary=True) as cursor:
                found: list[tuple[Any, ...]] = cursor.execute(query, values).fetchall()
                return found

        return self._postgres.run(work, single=True)

    def _rows(self, found: list[tuple[Any, ...]], vectors: bool) -> Rows:
        columns = list(zip(*found, strict=True)) or [()] * (5 if vectors else 4)
        array = read_vectors(columns[4], self.space.dim) if vectors else None
        return Rows(
            [unescaped(name) for name in columns[0]],
            np.array(columns[1], dtype=np.int64),
            Payloads(list(columns[2]), JSONB),
            np.array(columns[3], dtype=bool),
            None if array is None else Vectors(self.space, array),
        )

    def search(self, queries: VectorsLike, k: int, where: WhereLike = None) -> Hits:
        owner = f"search in {self.space.name}"
        asked, k, tree = as_vectors(queries, self.space, owner), check_k(k, owner), parse(where)
        return self._search.hits(asked.array, k, tree)

    # Upkeep

    def tend(self) -> None:
        """See the protocol. Searches and writes go on meanwhile, here and elsewhere."""
        self._index.tend()
        self._search.look()

    def grow(self) -> None:
        """Build a graph over the rows there are; later ones are compared one by one.

        Keeping up a graph takes a millisecond a row, a hundred times as long as writing it.
        """
        self._index.tend(growing=True)
        self._search.look()

    def lead(self) -> None:
        """Let the view, if there is one, show this store."""
        if self._view:
            self._table.show_as(self._view)

    def close(self) -> None:
        self._postgres.close()
        if self._hold is not None:
            self._hold.release()

    def drop(self) -> None:
        """Delete the table and its graph, and close: what a store in a folder does by its files.

        Searches of others wait for this, or it waits for them.
        """
        self._table.drop()
        self._notes.unlink(missing_ok=True)
        self.close()


def _columns(vectors: bool) -> str:
    return "id, revision, payload::text, hidden" + (", vector" if vectors else "")


def _check_lengths(names: list[str], owner: str) -> None:
    for name in names:
        if len(name) > LONGEST_ID // 4 and len(escaped(name).encode()) > LONGEST_ID:
            raise InvalidInput(
                owner,
                f"ids of at most {LONGEST_ID:,} bytes",
                f"{name[:40]!r}... of {len(name):,} characters",
                "Use a digest of it as the id, and keep it in the payload.",
            )
