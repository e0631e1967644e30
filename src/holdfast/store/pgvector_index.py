"""The graph over a table's visible rows: built beside reads and writes, and built anew.

A row that is replaced, hidden or deleted leaves a dead entry in the graph, and vacuuming a
graph takes longer than building one over the survivors. So a graph of which more is dead than
alive is replaced by a new one and dropped; the server is told to leave out the indexes of a table
that it vacuums by itself (`vacuum_index_cleanup`), and they are vacuumed when the graph is new.

A row that is written into a graph takes a millisecond; built at once, a graph takes a sixth of
that for each. So the graph of a table that is being filled *reaches* only the rows up to some
number of `written`: a search compares the others one by one, and writing costs what it costs
without a graph.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import InvalidInput
from ..postgres import Connection, name, sql
from ..space import Metric
from .memory import check_k
from .pgvector_hold import upkeep
from .pgvector_table import Counts, Table

MOST_LINKS, MOST_EFFORT = 100, 1_000  # that pgvector takes
FULL, HALF = 2_000, 4_000  # dimensions up to which pgvector indexes floats, and half floats
NONE, ALL = -1, 2**63 - 1  # what a graph reaches: no row, every row that will ever be
GROWTH = 1.5  # rows for each one that a graph reaches, from which the next one is built
_LINK, _NODE = 40, 400  # bytes for each of a row's links, and for the row itself, while building
_SPARE = 8 * 1024  # kilobytes
_CLASSES: dict[str, tuple[str, str]] = {
    "cosine": ("<#>", "ip"),  # rows and queries are of length one
    "dot": ("<#>", "ip"),
    "euclidean": ("<->", "l2"),
}


def operator(metric: Metric) -> str:
    """The distance that falls as scores rise."""
    return _CLASSES[metric][0]


@dataclass(frozen=True, slots=True)
class Graph:
    """How a graph is built.

    Args:
        links: Of a row, in each layer: pgvector's m.
        effort: Candidates while building: pgvector's ef_construction.
        exact_below: Visible rows below which there is none.
        payloads: Also keep an index over payloads.
        memory: MiB that building may use.
        workers: Processes of the server that help to build.
    """

    links: int
    effort: int
    exact_below: int
    payloads: bool
    memory: int
    workers: int

    def check(self, owner: str) -> None:
        """See that it can be built like this.

        Args:
            owner: Who asks, for the message.
        Raises:
            InvalidInput: It cannot.
        """
        if not 2 <= check_k(self.links, owner, "links") <= MOST_LINKS:
            raise InvalidInput(owner, f"links from 2 to {MOST_LINKS}", repr(self.links))
        least = 2 * self.links  # pgvector asks for that
        if not least <= check_k(self.effort, owner, "effort") <= MOST_EFFORT:
            raise InvalidInput(owner, f"effort from {least} to {MOST_EFFORT}", repr(self.effort))
        check_k(self.memory, owner, "build_memory")
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or self.workers < 0:
            raise InvalidInput(owner, "build_workers of at least 0", repr(self.workers))

    def kilobytes(self, rows: int, width: int) -> int:
        """What a graph over so many rows takes while it is built, as far as it may.

        Args:
            rows: How many.
            width: Bytes of a vector.
        """
        each = width + _LINK * self.links + _NODE
        return min(rows * each // 1024 + _SPARE, self.memory * 1024)


# A limit on statements is for those that somebody waits for; nobody waits for a graph.
_UNHURRIED = (
    "SELECT set_config(name, '0', false) FROM pg_settings"
    " WHERE name IN ('statement_timeout', 'transaction_timeout')"
)


class Index:
    """The graph of one table.

    Args:
        table: The table.
        graph: How to build it; None for none.
    """

    def __init__(self, table: Table, graph: Graph | None) -> None:
        self._table = table
        self._graph = graph if table.space.dim <= HALF else None
        half = table.space.dim > FULL
        self.half = half and self._graph is not None  # a graph over half floats
        self._kind = "halfvec" if half else "vector"
        self.suspect = False  # whether a search has failed in the graph

    @property
    def wanted(self) -> bool:
        """Whether there is to be a graph at all."""
        return self._graph is not None

    def reach(self, connection: Connection) -> int:
        """The last row, by `written`, that a graph reaches; or NONE, or ALL."""
        if self._graph is None:
            return NONE
        return max((reach for _, reach in self._found(connection)), default=NONE)

    def _found(self, connection: Connection) -> list[tuple[str, int]]:
        """Names of our graphs, and what they reach: nothing where one is not whole."""
        query = (
            "SELECT c.relname, i.indisvalid, pg_get_expr(i.indpred, i.indrelid) FROM pg_index i"
            " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam"
            " JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace"
            " WHERE m.amname = 'hnsw' AND n.nspname = %s AND t.relname = %s"
            " AND c.relname = ANY(%s)"
        )
        place = [self._table.schema, self._table.title, list(self._names)]
        found = connection.execute(query, place).fetchall()
        return [(index, _reach(said) if valid else NONE) for index, valid, said in found]

    def tend(self, growing: bool = False) -> None:
        """Build, replace or drop the graph, whatever is called for; others go on meanwhile.

        Args:
            growing: Many rows are still to come, which the graph need not reach.
        """
        postgres, title = self._table.postgres, f"{self._table.schema}.{self._table.title}"
        with (
            postgres.outside() as connection,
            upkeep(postgres, connection, title) as alone,
        ):
            if alone:  # else another thread or process is at it
                connection.execute(_UNHURRIED)
                self._tend(connection, growing)

    def _tend(self, connection: Connection, growing: bool) -> None:
        best, reach = self._best(connection)
        counts = self._table.counts(connection)
        clean = True  # whether a graph that is there holds no dead row
        if self._graph is None or counts.shown < self._graph.exact_below:
            self._drop(connection, best)
        elif reach < ALL or self.suspect or self._outdated(connection, counts):
            self._equip(connection, self._graph, counts.shown)
            self._renew(connection, self._graph, best, self._last(connection) if growing else ALL)
            self._note(connection, counts)
            self.suspect = False
        else:
            clean = False
        if not growing:
            self._drop(connection, self._by_written)
        if self._graph is not None and self._graph.payloads:
            self._index_payloads(connection)
        # Otherwise vacuuming it takes longer than building it anew.
        do = "VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF, ANALYZE)" if clean else "ANALYZE"
        connection.execute(self._table.sql(f"{do} {{table}}"))

    def _best(self, connection: Connection) -> tuple[str, int]:
        """The graph that reaches most, "" where there is none; all others are dropped."""
        found = self._found(connection)
        best = max(found, key=lambda graph: graph[1], default=("", NONE))
        best = best if best[1] > NONE else ("", NONE)
        for index, _ in found:
            if index != best[0]:  # whoever built it, or was about to drop it, died
                self._drop(connection, index)
        return best

    def _outdated(self, connection: Connection, counts: Counts) -> bool:
        """Whether more than half of the entries are dead."""
        query = self._table.sql("SELECT changed FROM {stores} WHERE name = %s")
        (then,) = connection.execute(query, [self._table.title]).fetchone()
        return bool(counts.changed - then > counts.shown)

    def _note(self, connection: Connection, counts: Counts) -> None:
        query = self._table.sql("UPDATE {stores} SET built = %s, changed = %s WHERE name = %s")
        connection.execute(query, [counts.shown, counts.changed, self._table.title])

    @property
    def _names(self) -> tuple[str, str]:
        """What graphs are called: while one is built, the other one serves."""
        return f"{self._table.title}_hnsw_0", f"{self._table.title}_hnsw_1"

    @property
    def _by_written(self) -> str:
        return f"{self._table.title}_written"

    def _last(self, connection: Connection) -> int:
        """The row that was written last; from now on there is a way to those after one."""
        self._make(connection, self._by_written, "(written)")
        query = self._table.sql("SELECT coalesce(max(written), 0) FROM {table}")
        return int(connection.execute(query).fetchone()[0])

    def _equip(self, connection: Connection, graph: Graph, rows: int) -> None:
        """Let a build have the memory that it takes: what does not fit takes several times as long.

        It gets no less than the server would give it.
        """
        width = self._table.space.dim * (2 if self.half else 4)
        query = (
            "SELECT set_config(name, greatest(setting::bigint, %s)::text || unit, false)"
            " FROM pg_settings WHERE name = 'maintenance_work_mem'"
        )
        connection.execute(query, [graph.kilobytes(rows, width)])
        query = "SELECT set_config('max_parallel_maintenance_workers', %s, false)"
        connection.execute(query, [str(graph.workers)])

    def _renew(self, connection: Connection, graph: Graph, old: str, reach: int) -> None:
        """Build a graph, and drop the one that was there."""
        fresh = next(each for each in self._names if each != old)
        kind, metric = self._kind, self._table.space.metric
        column = sql("(vector::halfvec({}))" if kind == "halfvec" else "vector").format(
            self._table.space.dim
        )
        rows = "NOT hidden" + ("" if reach == ALL else f" AND written <= {reach:d}::bigint")
        query = self._table.sql(
            "CREATE INDEX CONCURRENTLY {index} ON {table} USING hnsw ({column} {operators})"
            f" WITH (m = {graph.links:d}, ef_construction = {graph.effort:d}) WHERE {rows}",
            index=name(fresh),
            column=column,
            operators=sql(f"{kind}_{_CLASSES[metric][1]}_ops"),
        )
        connection.execute(query)
        self._drop(connection, old)

    def _drop(self, connection: Connection, index: str) -> None:
        if not index:
            return
        query = "DROP INDEX CONCURRENTLY IF EXISTS {schema}.{index}"
        connection.execute(self._table.sql(query, index=name(index)))

    def _index_payloads(self, connection: Connection) -> None:
        title = f"{self._table.title}_payload"
        self._make(connection, title, "USING gin (payload jsonb_path_ops)")

    def _make(self, connection: Connection, index: str, over: str) -> None:
        """An index, unless it is there; one that is not whole is left by a process that died."""
        query = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(%s)"
        place = self._table.sql("{schema}.{index}", index=name(index)).as_string(connection)
        found = connection.execute(query, [place]).fetchone()
        if found and not found[0]:
            self._drop(connection, index)
        query = "CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} ON {table} " + over
        connection.execute(self._table.sql(query, index=name(index)))


def _reach(condition: str) -> int:
    """What a graph over the rows that fulfil a condition reaches."""
    if "written" not in (condition or ""):
        return ALL
    told = re.search(r"written <= \(?'?(\d+)\)?'?::bigint", condition)
    return int(told[1]) if told else NONE
