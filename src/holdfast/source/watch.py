"""Watch a file: an index into it is worthless once it was written again."""

from __future__ import annotations

from pathlib import Path

from ..errors import SourceError, said


class Watch:
    """Remembers a file as it is now.

    Args:
        path: The file.
    Raises:
        SourceError: It is not there or cannot be looked at.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen = self._look()

    def check(self) -> None:
        """Refuse to go on when size, time of change or the file itself is another one.

        Raises:
            SourceError: It is.
        """
        if self._look() != self._seen:
            raise SourceError(
                str(self.path),
                "the file as it was when it was opened",
                "another size or time of change",
                "Open the source again; items may have moved.",
            )

    def _look(self) -> tuple[int, int, int]:
        try:
            found = self.path.stat()
        except (OSError, ValueError) as cause:  # of a name that no file can have
            raise SourceError(str(self.path), "a readable file", said(cause)) from cause
        return found.st_size, found.st_mtime_ns, found.st_ino
