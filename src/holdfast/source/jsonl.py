"""JSON Lines: one record a line, packed with gzip or not."""

from __future__ import annotations

import gzip
import os
import shutil
import tempfile
import weakref
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

from ..errors import SourceError, said
from ..items import Item
from ..settings import json_of
from .fields import Fields, TextLike
from .filed import Filed
from .pictures import gone
from .watch import Watch

_MARK = b"\xef\xbb\xbf"  # some programs put it at the start of UTF-8 files


class JsonlSource(Filed):
    """Reads items from a file of JSON objects, in the order of its lines.

    Opening reads the file once, checks every line and keeps where each one starts; after
    that any item is one short read away. A record takes about 100 bytes of memory beside
    its id. A packed file is unpacked to an unnamed temporary file first, since gzip
    cannot be entered in the middle.

    Args:
        path: The file; gzip where it ends in .gz. Blank lines are skipped.
        id: Field of the id, see `Fields`.
        text: Field, list of fields, or template of the text.
        payload: Fields kept as payload.
        image: Field of a picture's path, relative to the file's folder. Where a record has
            one, the picture is its content instead of the text.
    Raises:
        SourceError: No such file, or a line that is not an object, lacks a field or
            repeats an id: with its number.
        ConfigError: Fields that make no sense, see `Fields`.
    """

    def __init__(
        self,
        path: str | Path,
        id: str = "id",  # noqa: A002
        text: TextLike = "text",
        payload: Sequence[str] | None = None,
        image: str | None = None,
    ) -> None:
        self.path = Path(path)
        self._fields = Fields(id, text, payload, image, self.path.parent)
        self._watch = Watch(self.path)
        self._unpacked: IO[bytes] | None = None
        if self.path.suffix == ".gz":
            self._unpacked = _unpack(self.path)
            weakref.finalize(self, self._unpacked.close)
        self._starts, self._lengths = array("q"), array("q")
        self._row: dict[str, int] = {}
        self._index()

    def _index(self) -> None:
        unused = set(self._fields.payload)
        lines = array("q")  # of each row, since blank ones are skipped
        with self._open() as file:
            start = 0
            for number, raw in enumerate(file, start=1):
                skip = len(_MARK) if number == 1 and raw.startswith(_MARK) else 0
                line, place = raw[skip:], f"{self.path} line {number}"
                if line.strip():
                    record = _object(line.rstrip(b"\r\n"), place)
                    item = self._fields.item(record, place)
                    row = self._row.setdefault(item.id, len(lines))
                    if row != len(lines):
                        raise SourceError(
                            place, "an id of its own", f"{item.id!r}, as in line {lines[row]}"
                        )
                    lines.append(number)
                    unused.difference_update(record)  # null is there, too
                    self._starts.append(start + skip)
                    self._lengths.append(len(line))
                start += len(raw)
        if unused and self._row:
            raise SourceError(
                str(self.path),
                "payload fields that occur",
                f"none with {', '.join(sorted(unused))}",
            )

    def get(self, ids: Sequence[str]) -> list[Item | None]:
        # A picture whose file has gone is content that is gone.
        return [
            None if item and isinstance(item.content, Path) and gone(item.content) else item
            for item in super().get(ids)
        ]

    def _read(self, rows: Sequence[int]) -> list[Item]:
        items = []
        with self._open() as file:
            number = file.fileno()
            for row in rows:
                # Reads at a place of its own: threads may share the file.
                raw = os.pread(number, self._lengths[row], self._starts[row])
                place = f"{self.path} record {row + 1}"
                items.append(self._fields.item(_object(raw, place), place))
        return items

    @contextmanager
    def _open(self) -> Iterator[IO[bytes]]:
        """The lines, of a file that is the same before and after."""
        self._watch.check()
        try:
            if self._unpacked is not None:
                yield self._unpacked
            else:
                with self.path.open("rb") as file:
                    yield file
        except OSError as cause:
            raise SourceError(str(self.path), "a readable file", said(cause)) from cause
        self._watch.check()


def _unpack(path: Path) -> IO[bytes]:
    with ExitStack() as opened:
        try:
            plain = opened.enter_context(tempfile.TemporaryFile())
            with gzip.open(path, "rb") as packed:
                shutil.copyfileobj(packed, plain, 1 << 20)
            plain.seek(0)
        except (gzip.BadGzipFile, EOFError, zlib.error) as cause:
            raise SourceError(str(path), "a whole gzip file", str(cause)) from cause
        except OSError as cause:
            raise SourceError(
                str(path),
                "room to unpack it among temporary files",
                said(cause),
                "TMPDIR names another folder for them.",
            ) from cause
        opened.pop_all()  # it lives as long as the source
        return plain


def _object(line: bytes, place: str) -> dict[str, Any]:
    try:
        record = json_of(line)
    except ValueError as cause:  # bad UTF-8 is one too
        raise SourceError(place, "a JSON object", str(cause)) from cause
    if not isinstance(record, dict):
        raise SourceError(place, "a JSON object", type(record).__name__)
    return record
