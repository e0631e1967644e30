"""Searches: by graph, and row by row where there is none or it leaves a query short.

A graph answers with what it comes across first. With a filter it goes on until it has enough
or has seen too much, so a filter that few rows pass may leave a query with fewer hits than
there are: such a query is asked again, of every row.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..arrays import FloatArray
from ..hits import NO_ID, Hits
from ..postgres import Connection, sql
from .pgvector_index import Index, operator
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


def search_sql(table: Table, where: Any, half: bool) -> Any:
    """The k nearest rows of several queries, in one statement.

    Parameters: texts of vectors, what `where` takes, then the number of rows; for a graph
    over half floats first how many candidates are looked at again in full.

    Args:
        table: Searched.
        where: A condition over payloads, see `pgvector_where.py`.
        half: Whether the graph is over half floats.
    """
    sign = sql(operator(table.space.metric))
    asked = "WITH asked AS MATERIALIZED (SELECT n, v::vector({dim}) AS v FROM unnest(%s::text[])"
    asked += " WITH ORDINALITY AS given(v, n)) SELECT n, id, away FROM asked CROSS JOIN LATERAL "
    near = "(SELECT id, vector {sign} asked.v AS away FROM {table} WHERE NOT hidden AND {where} "
    if half:
        order = "ORDER BY vector::halfvec({dim}) {sign} asked.v::halfvec({dim}) LIMIT %s) AS wide "
        near = f"(SELECT id, away FROM {near}{order}ORDER BY away LIMIT %s) AS near "
    else:
        near += "ORDER BY vector {sign} asked.v LIMIT %s) AS near "
    return table.sql(f"{asked}{near}ORDER BY n, away", sign=sign, where=where)


class Search:
    """Searches in one table.

    Args:
        table: The table.
        index: Its graph.
    """

    def __init__(self, table: Table, index: Index) -> None:
        self._table, self._index = table, index
        self._built = False
        self.look()

    def look(self) -> None:
        """See whether there is a graph now."""
        self._built = self._table.postgres.run(self._index.is_built)

    def hits(self, asked: FloatArray, k: int, where: Where | None) -> Hits:
        """The k best visible rows for each of (q, d) queries."""
        test = condition(where)
        out = Hits.concat(
            [
                Hits.empty(0, k),
                *(
                    self._ask(asked[first : first + _QUERIES], k, test)
                    for first in range(0, len(asked), _QUERIES)
                ),
            ]
        )
        if self._index.wanted:
            self._complete(asked, test, out)
        return out

    def _ask(self, asked: FloatArray, k: int, test: Condition, exactly: bool = False) -> Hits:
        half = self._index.half and self._built and not exactly
        query = search_sql(self._table, test[0], half)
        values = [vector_texts(asked), *test[1], *([_AGAIN * k] if half else []), k]
        setting = ""
        if exactly:  # bitmaps of an index over payloads are still allowed
            setting = _BY_ROW
        elif self._built and not test[1]:
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

        out = Hits.empty(len(asked), k)
        filled = [0] * len(asked)
        found = self._table.postgres.run(work, single=True)
        for number, name, away in found:
            row = number - 1
            out.ids[row, filled[row]] = unescaped(name)
            out.scores[row, filled[row]] = -away
            filled[row] += 1
        return out

    def _complete(self, asked: FloatArray, test: Condition, out: Hits) -> None:
        """Ask again for what a graph has left short."""
        short = np.flatnonzero(out.ids[:, -1] == NO_ID)
        if not len(short):
            return
        shown = self._table.postgres.run(self._table.counts).shown
        filled = (out.ids[short] != NO_ID).sum(axis=1)
        short = short[filled < min(out.k, shown)]
        if not len(short):
            return
        self.look()  # another process may have built it
        if self._built:
            for first in range(0, len(short), _QUERIES):
                some = short[first : first + _QUERIES]
                again = self._ask(asked[some], out.k, test, exactly=True)
                out.ids[some], out.scores[some] = again.ids, again.scores
