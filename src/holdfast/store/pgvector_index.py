"""The graph over a table's visible rows: built beside reads and writes, and built anew.

A row that is replaced, hidden or deleted leaves a dead entry in the graph, and vacuuming a
graph takes longer than building one over the survivors. So a graph of which more is dead than
alive is replaced by a new one and dropped, never vacuumed by us.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..postgres import Connection, name, sql
from ..space import Metric
from .pgvector_table import Counts, Table

FULL, HALF = 2_000, 4_000  # dimensions up to which pgvector indexes floats, and half floats
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
    """

    links: int
    effort: int
    exact_below: int
    payloads: bool


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

    @property
    def wanted(self) -> bool:
        """Whether there is to be a graph at all."""
        return self._graph is not None

    def is_built(self, connection: Connection) -> bool:
        """Whether searches can use a graph."""
        return bool(self._graph) and any(valid for _, valid in self._found(connection))

    def _found(self, connection: Connection) -> list[tuple[str, bool]]:
        """Names of the table's graphs, and whether they are whole."""
        query = (
            "SELECT c.relname, i.indisvalid FROM pg_index i"
            " JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_am m ON m.oid = c.relam"
            " JOIN pg_class t ON t.oid = i.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace"
            " WHERE m.amname = 'hnsw' AND n.nspname = %s AND t.relname = %s ORDER BY c.relname"
        )
        place = [self._table.schema, self._table.title]
        found: list[tuple[str, bool]] = connection.execute(query, place).fetchall()
        return found

    def tend(self) -> None:
        """Build, replace or drop the graph, whatever is called for; others go on meanwhile."""
        with self._table.postgres.outside() as connection:
            self._tend(connection)

    def _tend(self, connection: Connection) -> None:
        if not self._alone(connection):
            return  # another process is at it
        found = self._found(connection)
        for index, valid in found:
            if not valid:  # whoever built it died
                self._drop(connection, index)
        built = [index for index, valid in found if valid]
        counts = self._table.counts(connection)
        if self._graph is None or counts.shown < self._graph.exact_below:
            for index in built:
                self._drop(connection, index)
        elif not built or self._outdated(connection, counts):
            self._build(connection, self._graph, built)
            for index in built:
                self._drop(connection, index)
            self._note(connection, counts)
        if self._graph is not None and self._graph.payloads:
            self._index_payloads(connection)
        connection.execute(self._table.sql("ANALYZE {table}"))

    def _alone(self, connection: Connection) -> bool:
        lock = "SELECT pg_try_advisory_lock(hashtextextended(%s, 3))"
        return bool(connection.execute(lock, [self._key]).fetchone()[0])

    @property
    def _key(self) -> str:
        return f"{self._table.schema}.{self._table.title}"

    def _outdated(self, connection: Connection, counts: Counts) -> bool:
        """Whether more than half of the entries are dead."""
        query = self._table.sql("SELECT changed FROM {stores} WHERE name = %s")
        (then,) = connection.execute(query, [self._table.title]).fetchone()
        return bool(counts.changed - then > counts.shown)

    def _note(self, connection: Connection, counts: Counts) -> None:
        query = self._table.sql("UPDATE {stores} SET built = %s, changed = %s WHERE name = %s")
        connection.execute(query, [counts.shown, counts.changed, self._table.title])

    def _build(self, connection: Connection, graph: Graph, taken: list[str]) -> None:
        number = next(n for n in range(len(taken) + 1) if self._called(n) not in taken)
        kind, metric = self._kind, self._table.space.metric
        column = sql("(vector::halfvec({}))" if kind == "halfvec" else "vector").format(
            self._table.space.dim
        )
        query = self._table.sql(
            "CREATE INDEX CONCURRENTLY {index} ON {table} USING hnsw ({column} {operators})"
            f" WITH (m = {graph.links:d}, ef_construction = {graph.effort:d}) WHERE NOT hidden",
            index=name(self._called(number)),
            column=column,
            operators=sql(f"{kind}_{_CLASSES[metric][1]}_ops"),
        )
        connection.execute(query)

    def _called(self, number: int) -> str:
        return f"{self._table.title}_hnsw_{number}"

    def _drop(self, connection: Connection, index: str) -> None:
        query = "DROP INDEX CONCURRENTLY IF EXISTS {schema}.{index}"
        connection.execute(self._table.sql(query, index=name(index)))

    def _index_payloads(self, connection: Connection) -> None:
        query = self._table.sql(
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} ON {table}"
            " USING gin (payload jsonb_path_ops)",
            index=name(f"{self._table.title}_payload"),
        )
        connection.execute(query)
