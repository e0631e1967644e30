"""Stores whose index knows that they are being filled.

Where an index is dear to keep up it may stop short meanwhile. Such a store is told now and then
to take in what has come; until then it compares queries with that row by row. `tend` makes the
index whole, and from then on it is kept up with each write.

Where the layout of an index depends on how many rows it holds, it is told how many those will be.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Expects(Protocol):
    """A store whose index is laid out for some number of rows."""

    def expect(self, rows: int) -> None:
        """Lay the next index out for so many, where there are fewer."""
        ...


@runtime_checkable
class Grows(Protocol):
    """A store that is filled faster where its index may stop short."""

    @property
    def growth(self) -> float:
        """Rows for each one of the last time, from which it is worth doing again; above 1."""
        ...

    def grow(self) -> None:
        """Let the index reach all rows there are, though none of those to come."""
        ...
