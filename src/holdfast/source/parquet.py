"""Parquet: columns of ids, text and payload (extra `parquet`)."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

from ..errors import SourceError
from ..items import Item
from ..optional import need
from .fields import Fields, TextLike
from .filed import Filed
from .watch import Watch

_BATCH = 65_536  # ids read at once while indexing


class ParquetSource(Filed):
    """Reads items from one Parquet file, in the order of its rows.

    Opening reads the id column only. Later reads hold the needed columns of one row group
    at a time, so memory is bounded by the largest one; the last one is kept, which makes
    a scan read each group once. Ids scattered over many groups cost a group each: ask in
    the order of the scan where there is a choice.

    Args:
        path: The file.
        id: Column of the id: strings or integers.
        text: Column, list of columns, or template of the text: strings.
        payload: Columns kept as payload: strings, numbers, truth values, or lists of them.
    Raises:
        MissingExtra: pyarrow is not installed.
        SourceError: Not such a file, a missing column, one of an unusable type, an empty
            id or one that is there twice.
    """

    def __init__(
        self,
        path: str | Path,
        id: str = "id",  # noqa: A002
        text: TextLike = "text",
        payload: Sequence[str] | None = None,
    ) -> None:
        self.path = Path(path)
        self._fields = Fields(id, text, payload)
        self._arrow, parquet = need("pyarrow"), need("pyarrow.parquet")
        self._watch = Watch(self.path)
        self._lock = threading.Lock()
        try:
            self._file = parquet.ParquetFile(self.path)
        except (OSError, self._arrow.ArrowException) as cause:
            raise SourceError(str(self.path), "a Parquet file", str(cause)) from cause
        self._check_columns()
        about = self._file.metadata
        sizes = [about.row_group(g).num_rows for g in range(about.num_row_groups)]
        self._ends = list(accumulate(sizes))
        self._held: tuple[int, Any] | None = None
        self._row = self._index()

    def _check_columns(self) -> None:
        schema = self._file.schema_arrow
        for name in self._fields.columns:
            if name not in schema.names:
                raise SourceError(
                    str(self.path), f"a column {name!r}", f"columns {', '.join(schema.names)}"
                )
            kind = schema.field(name).type
            if name in self._fields.text:
                usable, wanted = self._is_text(kind), "text"
            elif name == self._fields.id:
                usable = self._is_text(kind) or self._arrow.types.is_integer(kind)
                wanted = "strings or integers"
            else:
                usable, wanted = self._is_json(kind), "JSON values"
            if not usable:
                raise SourceError(str(self.path), f"{wanted} in column {name!r}", str(kind))

    def _is_text(self, kind: Any) -> bool:
        types = self._arrow.types
        if types.is_dictionary(kind):
            kind = kind.value_type
        return bool(types.is_string(kind) or types.is_large_string(kind))

    def _is_json(self, kind: Any) -> bool:
        types = self._arrow.types
        if types.is_list(kind) or types.is_large_list(kind):
            return self._is_json(kind.value_type)
        number = types.is_integer(kind) or types.is_floating(kind)
        return bool(number or types.is_boolean(kind) or self._is_text(kind))

    def _index(self) -> dict[str, int]:
        rows: dict[str, int] = {}
        count = 0
        for batch in self._file.iter_batches(batch_size=_BATCH, columns=[self._fields.id]):
            for value in batch.column(0).to_pylist():
                place = f"{self.path} row {count}"
                name = self._fields.id_of({self._fields.id: value}, place)
                if rows.setdefault(name, count) != count:
                    raise SourceError(
                        place, "an id of its own", f"{name!r}, as in row {rows[name]}"
                    )
                count += 1
        self._watch.check()
        return rows

    def _read(self, rows: Sequence[int]) -> list[Item]:
        """Items of rising rows, one row group after the other."""
        items: list[Item] = []
        at = 0
        with self._lock:
            while at < len(rows):
                group = bisect_right(self._ends, rows[at])
                first = self._ends[group - 1] if group else 0
                stop = at
                while stop < len(rows) and rows[stop] < self._ends[group]:
                    stop += 1
                part = self._group(group).take([row - first for row in rows[at:stop]])
                for row, record in zip(rows[at:stop], part.to_pylist(), strict=True):
                    items.append(self._fields.item(record, f"{self.path} row {row}"))
                at = stop
        return items

    def _group(self, group: int) -> Any:
        self._watch.check()
        if self._held is None or self._held[0] != group:
            self._held = None  # let go of the old one before reading the new one
            try:
                table = self._file.read_row_group(group, columns=self._fields.columns)
            except (OSError, self._arrow.ArrowException) as cause:
                raise SourceError(
                    f"{self.path} row group {group}", "readable columns", str(cause)
                ) from cause
            self._watch.check()
            self._held = (group, table)
        return self._held[1]
