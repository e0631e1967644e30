"""Searches: by graph, and row by row where there is none or it leaves a query short.

A graph answers with what it comes across first. With a filter it goes on until it has enough
or has seen too much, so a filter that few rows pass may leave a query with fewer hits than
there are: such a query is asked again, of every row.

A graph that does not reach all rows answers for those it does; the others, few, are compared
one by one in the same statement.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..arrays import FloatArray, IntArray
from ..errors import InvalidInput, StoreError
from ..hits import NO_ID, Hits
from ..postgres import Connection, sql
from .memory import check_k
from .pgvector_index import ALL, NONE, Index, operator
from .pgvector_payload import unescaped
from .pgvector_rows import vector_texts
from .pgvector_table import Table
from .pgvector_where import Condition, condition
from .where import Where

_QUERIES = 64  # asked in one statement
_BY_ROW = "SET LOCAL enable_indexscan = off"
# The planner takes long vectors, which lie elsewhere, for cheap to scan.
_BY_GRAPH = (
    "SELECT set_config('enable_seqscan', 'off', true), set_config('enable_sort', 'off', true)"
)
_AGAIN = 4  # candidates of a graph over half floats that are looked at in full, for each hit
MOST_EF = 1_000
_LOOK = 1.0  # seconds after which a graph that does not reach all rows may have been replaced


def session(ef: int, owner: str) -> dict[str, str]:
    """Settings of a connection that searches.

    Args:
        ef: Candidates that a graph search keeps.
        owner: Who asks, for the message.
    Raises:
        InvalidInput: More than pgvector takes.
    """
    if check_k(ef, owner, "ef") > MOST_EF:
        raise InvalidInput(owner, f"ef of at most {MOST_EF}", str(ef))
    return {
        "client_min_messages": "warning",
        "hnsw.ef_search": str(ef),
        "hnsw.iterative_scan": "relaxed_order",
    }


def search_sql(table: Table, where: Any, half: bool, reach: int = ALL) -> Any:
    """The k nearest rows of several queries, in one statement.

    Parameters: texts of vectors, what `where` takes, then the number of rows; for a graph
    over half floats first how many candidates are looked at again in full. For a graph that
    does not reach all rows what `where` takes and the number of rows follow once more. A row
    of the answer says whether the graph reaches it.

    Args:
        table: Searched.
        where: A condition over payloads, see `pgvector_where.py`.
        half: Whether the graph is over half floats.
        reach: The last row that the graph reaches, by `written`.
    """
    sign = sql(operator(table.space.metric))
    asked = "WITH asked AS MATERIALIZED (SELECT n, v::vector({dim}) AS v FROM unnest(%s::text[])"
    asked += (
        " WITH ORDINALITY AS given(v, n)) SELECT n, id, away, linked FROM asked CROSS JOIN LATERAL "
    )
    near = "(SELECT id, vector {sign} asked.v AS away, TRUE AS linked FROM {table}"
    near += " WHERE NOT hidden AND {where} "
    beyond = ""
    if NONE < reach < ALL:
        rest = f"{near}AND written > {reach:d}::bigint ".replace("TRUE", "FALSE")
        beyond = f" UNION ALL {rest}ORDER BY vector {{sign}} asked.v LIMIT %s)"
        near += f"AND written <= {reach:d}::bigint "
    if half:
        order = "ORDER BY vector::halfvec({dim}) {sign} asked.v::halfvec({dim}) LIMIT %s) AS wide "
        near = f"(SELECT id, away, linked FROM {near}{order}ORDER BY away LIMIT %s)"
    else:
        near += "ORDER BY vector {sign} asked.v LIMIT %s)"
    near = f"({near}{beyond})" if beyond else near
    return table.sql(f"{asked}{near} AS near ORDER BY n, away", sign=sign, where=where)


class Search:
    """Searches in one table.

    Args:
        table: The table.
        index: Its graph.
    """

    def __init__(self, table: Table, index: Index) -> None:
        self._table, self._index = table, index
        self._reach, self._looked = NONE, 0.0
        self.look()

    def look(self) -> None:
        """See which rows a graph reaches now."""
        self._looked = time.monotonic()
        self._reach = self._table.postgres.run(self._index.reach, single=True)

    def hits(self, asked: FloatArray, k: int, where: Where | None) -> Hits:
        """The k best visible rows for each of (q, d) queries."""
        if NONE < self._reach < ALL and time.monotonic() - self._looked > _LOOK:
            self.look()
        test, out = condition(where), Hits.empty(len(asked), k)
        linked = np.zeros(len(asked), dtype=np.int64)
        for first in range(0, len(asked), _QUERIES):
            part = slice(first, first + _QUERIES)
            found, linked[part] = self._ask(asked[part], k, test, self._reach)
            out.ids[part], out.scores[part] = found.ids, found.scores
        if self._index.wanted:
            self._complete(asked, test, out, linked)
        return out

    def _ask(
        self, asked: FloatArray, k: int, test: Condition, reach: int, exactly: bool = False
    ) -> tuple[Hits, IntArray]:
        """Hits, and how many rows the graph has found for each query."""
        half = self._index.half and reach > NONE
        query = search_sql(self._table, test[0], half, reach)
        values = [vector_texts(asked), *test[1], *([_AGAIN * k] if half else []), k]
        values += [*test[1], k] if NONE < reach < ALL else []
        setting = ""
        if exactly:  # bitmaps of an index over payloads are still allowed
            setting = _BY_ROW
        elif reach > NONE and not test[1]:
            setting = _BY_GRAPH

        def work(connection: Connection) -> list[tuple[Any, ...]]:
            with connection.cursor(binary=True) as cursor:
                if not setting:
                    cursor.execute(query, values)
                    return list(cursor.fetchall())
                with connection.pipeline(), connection.transaction():  # sent in one go
                    connection.execute(setting)
                    cursor.execute(query, values)
                return list(cursor.fetchall())

        try:
            rows = self._table.postgres.run(work, single=True)
        except StoreError as error:
            if exactly or not self._table.postgres.broke(error):
                raise
            self._index.suspect = True  # until upkeep has built another
            return self._ask(asked, k, test, NONE, exactly=True)[0], np.full(len(asked), k)
        out, linked = Hits.empty(len(asked), k), np.zeros(len(asked), dtype=np.int64)
        filled = [0] * len(asked)
        for number, name, away, by_graph in rows:
            row = number - 1
            linked[row] += by_graph
            if filled[row] < k:
                out.ids[row, filled[row]] = unescaped(name)
                out.scores[row, filled[row]] = -away
                filled[row] += 1
        return out, linked

    def _complete(self, asked: FloatArray, test: Condition, out: Hits, linked: IntArray) -> None:
        """Ask again for what a graph has left short."""
        short = np.flatnonzero(linked < out.k)
        if not len(short):
            return
        shown = self._table.postgres.run(self._table.counts).shown
        filled = (out.ids[short] != NO_ID).sum(axis=1)
        short = short[np.minimum(filled, linked[short]) < min(out.k, shown)]
        if not len(short):
            return
        self.look()  # another process may have built it
        if self._reach > NONE:
            for first in range(0, len(short), _QUERIES):
                some = short[first : first + _QUERIES]
                again, _ = self._ask(asked[some], out.k, test, NONE, exactly=True)
                out.ids[some], out.scores[some] = again.ids, again.scores
