"""A folder of pictures."""

from __future__ import annotations

from collections.abc import Sequence
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
        SourceError: No such folder, or a name in it that is no text.
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
        names = sorted(name for file in self.path.rglob("*") if (name := self._name(file)))
        for name in names:
            if not name.isascii() and name.encode("utf-8", "replace").decode() != name:
                raise SourceError(
                    str(self.path), "names of files in UTF-8", ascii(name), "Rename it."
                )
        self._row = {name: row for row, name in enumerate(names)}
        self._names = names

    def _name(self, file: Path) -> str:
        """Its path below the folder; empty where it is no picture of ours."""
        below = file.relative_to(self.path)
        hidden = any(part.startswith(".") for part in below.parts)
        if hidden or file.suffix.lower() not in self.endings or not file.is_file():
            return ""
        return below.as_posix()

    def get(self, ids: Sequence[str]) -> list[Item | None]:
        known = [name for name in ids if name in self._row and (self.path / name).is_file()]
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
