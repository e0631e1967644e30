"""A folder of pictures."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import SourceError, said
from ..items import Item
from .filed import Filed

ENDINGS = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


class PictureSource(Filed):
    """Reads the pictures below a folder, in the order of their names.

    The id of a picture is its path below the folder, "2019/beach/03.jpg"; its content is the
    path of the file, which the encoder opens when it is its turn. The payload says the same path
    under `file`, the folder it lies in under `folder`, and its size under `bytes`. The folder is
    listed once, when it is opened; a file that has gone since is content that is gone.

    Args:
        path: The folder. Hidden files and folders are left out.
        endings: Which files are pictures, by the end of their names in any case.
    Raises:
        SourceError: No such folder, one that cannot be listed, or a name in it that is no text.
    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / "a.JPG").write_bytes(b"...")
        ...     [item.id for item in PictureSource(folder).scan().items]
        ['a.JPG']
    """

    def __init__(self, path: str | Path, endings: Sequence[str] = ENDINGS) -> None:
        self.path = Path(path)
        self.endings = tuple(ending.lower() for ending in endings)
        if not self.path.is_dir():
            raise SourceError(str(self.path), "a folder of pictures", "none there")
        names = sorted(self._found())
        for name in names:
            if not name.isascii() and name.encode("utf-8", "replace").decode() != name:
                raise SourceError(
                    str(self.path), "names of files in UTF-8", ascii(name), "Rename it."
                )
        self._row = {name: row for row, name in enumerate(names)}
        self._names = names

    def _found(self) -> Iterator[str]:
        """The paths of pictures below the folder; what cannot be listed is not passed over."""
        for folder, inside, names in os.walk(self.path, onerror=_unlisted):
            inside[:] = [name for name in inside if not name.startswith(".")]
            for name in names:
                file = Path(folder, name)
                fits = not name.startswith(".") and file.suffix.lower() in self.endings
                if fits and not gone(file):
                    yield file.relative_to(self.path).as_posix()

    def get(self, ids: Sequence[str]) -> list[Item | None]:
        known = [name for name in ids if name in self._row and not gone(self.path / name)]
        found = dict(zip(known, self._read([self._row[name] for name in known]), strict=True))
        return [found.get(name) for name in ids]

    def _read(self, rows: Sequence[int]) -> list[Item]:
        return [self._item(self._names[row]) for row in rows]

    def _item(self, name: str) -> Item:
        file = self.path / name
        try:
            size = file.stat().st_size
        except OSError as cause:
            raise SourceError(str(file), "a file that is still there", said(cause)) from cause
        folder = Path(name).parent.as_posix()
        return Item(name, file, {"file": name, "folder": folder, "bytes": size})


def gone(file: Path) -> bool:
    """Whether no file is there; of one that cannot be looked at, whoever opens it says why."""
    try:
        return not stat.S_ISREG(file.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError, ValueError):  # the last: no name of a file
        return True
    except OSError:
        return False


def _unlisted(cause: OSError) -> None:
    raise SourceError(str(cause.filename), "a folder that can be listed", said(cause)) from cause
