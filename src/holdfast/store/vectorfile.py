"""Vectors of one length, one behind the other in a file; the place of one is its slot."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from ..arrays import FloatArray, IntArray
from ..artifact import write_whole

_BLOCK = 65_536  # vectors copied at once
_CLOSED = -1


class VectorFile:
    """Rows of float32 that are written once and read through the page cache.

    It does not know how many of its rows count: whoever owns it does, and tells.

    Args:
        path: An existing file; what lies behind the last known row is cut off.
        dim: Length of a vector.
        known: Rows that count.
    Raises:
        EOFError: The file is shorter than that.
    """

    def __init__(self, path: Path, dim: int, known: int) -> None:
        self.path, self._dim = path, dim
        self._map: FloatArray = np.zeros((0, dim), dtype=np.float32)
        self._handle = os.open(path, os.O_RDWR)
        size, wanted = os.fstat(self._handle).st_size, known * 4 * dim
        if size < wanted:
            self.close()
            raise EOFError(f"{size} bytes in {path.name} instead of {wanted}")
        os.ftruncate(self._handle, wanted)

    def write(self, slot: int, array: FloatArray) -> None:
        """Write (n, d) rows from a slot on, and sync them."""
        left = np.ascontiguousarray(array, dtype="<f4").view(np.uint8).reshape(-1).data
        at = slot * 4 * self._dim
        while left:
            done = os.pwrite(self._handle, left, at)
            left, at = left[done:], at + done
        os.fdatasync(self._handle)

    def read(self, slots: IntArray) -> FloatArray:
        """(n, d) copies of rows, in the order asked for. The slots must have been written."""
        if len(slots) and int(slots.max()) >= len(self._map):
            rows = os.fstat(self._handle).st_size // (4 * self._dim)
            self._map = np.memmap(self.path, dtype="<f4", mode="r", shape=(rows, self._dim))
        return np.asarray(self._map)[slots]

    def block(self, first: int, last: int) -> FloatArray:
        """(n, d) rows from a slot up to, not including, another one, as the disk has them."""
        size = 4 * self._dim
        data = os.pread(self._handle, (last - first) * size, first * size)
        return np.frombuffer(data, dtype="<f4").reshape(last - first, self._dim)

    def copy(self, slots: IntArray, path: Path) -> None:
        """Write the rows of these slots to a new file, and sync it."""
        with path.open("wb") as file:
            for start in range(0, len(slots), _BLOCK):
                file.write(self.read(slots[start : start + _BLOCK]).data)
            file.flush()
            os.fsync(file.fileno())
        sync_folder(path.parent)

    def close(self) -> None:
        """Let go of the file. Calling it twice is fine."""
        if self._handle != _CLOSED:
            os.close(self._handle)
            self._handle = _CLOSED


def write_lasting(path: Path, text: str, keep: bool = False) -> bool:
    """Replace a small file in one step; when this returns it is on disk, under its name.

    Args:
        path: Where.
        text: What.
        keep: Whether to leave a file alone that is there.
    Returns:
        Whether it was written.
    """
    written = write_whole(path, text.encode(), keep)
    sync_folder(path.parent)
    return written


def sync_tree(folder: Path) -> None:
    """Make all files of a folder durable, and their names."""
    for path in (*folder.rglob("*"), folder):
        with suppress(FileNotFoundError):  # an engine that has it open may give up what is spare
            sync_folder(path)  # a file is synced alike


def sync_folder(folder: Path) -> None:
    """Make the names of new files durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
