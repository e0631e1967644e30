"""Parquet: columns of ids, text and payload (extra `parquet`)."""

from __future__ import annotations

import os
import tempfile
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from ..errors import SourceError
from ..items import Item
from ..optional import need
from .fields import Fields, TextLike
from .filed import Filed
from .watch import Watch

_BATCH = 65_536  # rows read at once while indexing and unpacking


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Rows of the file in pieces that can be read one by one.

    Args:
        ends: The row behind each piece.
        read: Answers the table of a piece.
    """

    ends: list[int]
    read: Callable[[int], Any]

    def of(self, row: int) -> int:
        """The piece that a row is in."""
        return bisect_right(self.ends, row)

    def first(self, piece: int) -> int:
        """Its first row."""
        return self.ends[piece - 1] if piece else 0


class ParquetSource(Filed):
    """Reads items from one Parquet file, in the order of its rows.

    Opening reads the id column only. A scan holds the needed columns of one row group at a
    time, and reads each group once. Ids that lie scattered over several groups would cost a
    group each, in each call: the first such call unpacks the needed columns to an unnamed
    temporary file, in which any row is at hand. That takes about as long as a scan, and as
    much room on the disk as the columns unpacked.

    Args:
        path: The file.
        id: Column of the id: strings or integers.
        text: Column, list of columns, or template of the text: strings.
        payload: Columns kept as payload: strings, numbers, truth values, or lists of them.
    Raises:
        MissingExtra: pyarrow is not installed.
        SourceError: Not such a file, a missing column, one of an unusable type, an empty
            id or one that is there twice, or rows without text.
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
        self._arrow = need("pyarrow")
        self._watch = Watch(self.path)
        self._lock = threading.Lock()
        self._file = _opened(self.path)
        self._check_columns()
        about = self._file.metadata
        sizes = [about.row_group(g).num_rows for g in range(about.num_row_groups)]
        self._groups = _Pieces(list(accumulate(sizes)), self._group)
        self._unpacked: _Pieces | None = None
        self._held: tuple[int, Any] | None = None
        self._check_texts()
        kinds = self._file.schema_arrow
        self._schema = self._arrow.schema(
            [(name, _plain(kinds.field(name).type)) for name in self._fields.columns]
        )
        self._row = self._index()

    def _check_columns(self) -> None:
        schema = self._file.schema_arrow
        for name in self._fields.columns:
            if name not in schema.names:
                raise SourceError(
                    str(self.path), f"a column {name!r}", f"columns {', '.join(schema.names)}"
                )
            if schema.names.count(name) > 1:
                several = f"{schema.names.count(name)} of that name"
                raise SourceError(str(self.path), f"one column {name!r}", several, "Rename them.")
            kind = schema.field(name).type
            if name in self._fields.text:
                usable, wanted = _is_text(kind), "text"
            elif name == self._fields.id:
                usable = _is_text(kind) or self._arrow.types.is_integer(kind)
                wanted = "strings or integers"
            else:
                usable, wanted = _is_json(kind), "JSON values"
            if not usable:
                raise SourceError(str(self.path), f"{wanted} in column {name!r}", str(kind))

    def _check_texts(self) -> None:
        """Rows without text, as far as the file counts them; the rest is found when it is read."""
        about = self._file.metadata
        for place in range(about.num_columns):
            name = about.schema.column(place).path
            if name not in self._fields.text:
                continue
            told = [
                about.row_group(g).column(place).statistics for g in range(about.num_row_groups)
            ]
            without = sum(s.null_count for s in told if s is not None and s.has_null_count)
            if without:
                raise SourceError(
                    str(self.path),
                    f"text in every row of column {name!r}",
                    f"{without} rows without",
                    "Fill them, or leave them out.",
                )

    def _index(self) -> dict[str, int]:
        rows: dict[str, int] = {}
        count = 0
        with self._readable():
            for batch in self._file.iter_batches(batch_size=_BATCH, columns=[self._fields.id]):
                for value in batch.column(self._fields.id).to_pylist():
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
        """Items of rising rows, one piece of the file after the other."""
        items: list[Item] = []
        at = 0
        with self._lock, self._readable():
            pieces = self._pieces(rows)
            while at < len(rows):
                piece = pieces.of(rows[at])
                first, stop = pieces.first(piece), at
                while stop < len(rows) and rows[stop] < pieces.ends[piece]:
                    stop += 1
                part = pieces.read(piece).take([row - first for row in rows[at:stop]])
                for row, record in zip(rows[at:stop], part.to_pylist(), strict=True):
                    items.append(self._fields.item(record, f"{self.path} row {row}"))
                at = stop
        return items

    @contextmanager
    def _readable(self) -> Iterator[None]:
        """Damage that only shows when a column is read, or made text."""
        try:
            yield
        except (OSError, UnicodeDecodeError, self._arrow.ArrowException) as cause:
            raise SourceError(str(self.path), "readable columns", str(cause)) from cause

    def _pieces(self, rows: Sequence[int]) -> _Pieces:
        """Where to read: row groups while rows stay together, the unpacked file otherwise."""
        groups = self._groups
        scattered = len(rows) and groups.of(rows[0]) != groups.of(rows[-1])
        if self._unpacked is None and scattered and not isinstance(rows, range):
            self._held = None
            self._unpacked = self._unpack()
        if self._unpacked is None:
            return groups
        self._watch.check()
        return self._unpacked

    def _unpack(self) -> _Pieces:
        """Write the needed columns where any row is one short read away."""
        arrow, ipc = self._arrow, need("pyarrow.ipc")
        schema = self._schema
        number, path = tempfile.mkstemp()
        os.close(number)
        try:
            self._watch.check()
            with ipc.new_file(path, schema) as out:
                for batch in self._file.iter_batches(_BATCH, columns=schema.names):
                    table = arrow.Table.from_batches([batch])
                    out.write_table(table.select(schema.names).cast(schema))
            self._watch.check()
            # It is gone from the folder at once, and from the disk with the source.
            reader = ipc.open_file(arrow.memory_map(path))
        except (OSError, arrow.ArrowException) as cause:
            raise SourceError(
                str(self.path),
                f"columns that can be unpacked to {tempfile.gettempdir()}",
                str(cause),
                "Is there room? TMPDIR names another folder.",
            ) from cause
        finally:
            Path(path).unlink()
        sizes = [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]

        def read(piece: int) -> Any:
            return arrow.Table.from_batches([reader.get_batch(piece)])

        return _Pieces(list(accumulate(sizes)), read)

    def _group(self, group: int) -> Any:
        self._watch.check()
        if self._held is None or self._held[0] != group:
            self._held = None  # let go of the old one before reading the new one
            table = self._file.read_row_group(group, columns=self._schema.names)
            self._watch.check()
            self._held = (group, table.select(self._schema.names).cast(self._schema))
        return self._held[1]


def columns_of(path: Path) -> list[str]:
    """The columns of a file that an item can hold, in their order; none of vectors.

    Raises:
        MissingExtra: pyarrow is not installed.
        SourceError: Not such a file.
    """
    fields = list(_opened(path).schema_arrow)
    return [f.name for f in fields if _is_json(f.type) and not _is_vector(f.type)]


def _opened(path: Path) -> Any:
    arrow, parquet = need("pyarrow"), need("pyarrow.parquet")
    try:
        return parquet.ParquetFile(path)
    except (OSError, arrow.ArrowException) as cause:
        raise SourceError(str(path), "a Parquet file", str(cause)) from cause


def _plain(kind: Any) -> Any:
    """A type without dictionaries, which would have to be one and the same throughout, and
    without views, of which no rows can be taken.
    """
    arrow = need("pyarrow")
    if arrow.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if arrow.types.is_string_view(kind):
        return arrow.large_string()
    if arrow.types.is_list(kind) or arrow.types.is_large_list(kind):
        return arrow.large_list(kind.value_field.with_type(_plain(kind.value_type)))
    return kind


def _is_text(kind: Any) -> bool:
    types = need("pyarrow").types
    if types.is_dictionary(kind):
        kind = kind.value_type
    kinds = (types.is_string, types.is_large_string, types.is_string_view)
    return any(is_kind(kind) for is_kind in kinds)


def _is_vector(kind: Any) -> bool:
    types = need("pyarrow").types
    listed = types.is_list(kind) or types.is_large_list(kind)
    return bool(listed and types.is_floating(kind.value_type))


def _is_json(kind: Any) -> bool:
    types = need("pyarrow").types
    if types.is_list(kind) or types.is_large_list(kind):
        return _is_json(kind.value_type)
    plain = (types.is_integer, types.is_floating, types.is_boolean, types.is_null)
    return _is_text(kind) or any(is_kind(kind) for is_kind in plain)
