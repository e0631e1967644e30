"""How many rows a table has, as asked a moment ago: each search wants to know several times."""

from __future__ import annotations

import time

from .pgvector_table import Counts, Table

_FRESH = 0.1  # seconds for which counts are believed: others may write too


class Counted:
    """Counts of one table. What this process writes it knows at once.

    Args:
        table: The table.
    """

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known: tuple[float, Counts] | None = None
        self._version = object()  # another one after each write

    def now(self) -> Counts:
        """Within a transaction of this thread, as that sees it."""
        known, version = self._known, self._version
        if self._table.postgres.inside:
            return self._read()
        if known is None or time.monotonic() - known[0] > _FRESH:
            begun = time.monotonic()
            known = begun, self._read()
            if version is self._version:  # nothing was written meanwhile
                self._known = known
        return known[1]

    def _read(self) -> Counts:
        return self._table.postgres.run(self._table.counts, single=True)

    def forget(self) -> None:
        """Something was written."""
        self._version, self._known = object(), None
