"""Hold a folder for one process: the second one gets an error that names the first."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from contextlib import suppress
from pathlib import Path

from ..errors import StoreError, StoreHeld, said
from ..sqlite import MACHINE

HOLDER = "holder.json"


class Hold:
    """An exclusive lock on a folder; the system drops it when the process dies.

    Args:
        folder: Created if it is not there.
    Raises:
        StoreHeld: Another process has it, or this one has it open already.
        StoreError: It cannot be made, or written.
    """

    def __init__(self, folder: Path) -> None:
        self._path, self._owner = folder / HOLDER, os.getpid()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a+", encoding="utf-8")
            self._take()
        except OSError as cause:
            raise StoreError(
                str(folder), "a folder that can be written", said(cause), MACHINE
            ) from cause

    def _take(self) -> None:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file.seek(0)
            self._file.truncate()
            json.dump({"pid": self._owner, "host": socket.gethostname()}, self._file)
            self._file.flush()
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read()
            self._file.close()
            who = _describe(holder)
            raise StoreHeld(
                str(self._path.parent),
                "a folder that nobody holds",
                f"one held by {who}",
                way_on(who),
            ) from None
        except OSError:
            with suppress(OSError):  # closing writes once more
                self.release()
            raise

    @property
    def forked(self) -> bool:
        """Whether this process was forked from the one that holds it."""
        return os.getpid() != self._owner

    def check(self) -> None:
        """Refuse to write where nobody would find it; call it before a change.

        Raises:
            StoreError: The folder was moved or deleted: its files are open still, and only they. Or
                this process was forked from the one that holds it, which knows nothing of its rows.
        """
        if self._file.closed:
            return
        if self.forked:
            raise StoreError(
                str(self._path.parent),
                f"changes by process {self._owner}, which opened it",
                f"one by process {os.getpid()}, which was forked from it",
                "Let that process write, or open the store after the fork, and there alone.",
            )
        try:
            if os.path.samestat(self._path.stat(), os.fstat(self._file.fileno())):
                return
            got = "another one"
        except FileNotFoundError:
            got = "none"
        raise StoreError(
            str(self._path.parent),
            "the folder that was opened",
            got,
            "Was it moved or deleted? Put it back, or stop this process and open it where it is.",
        )

    def release(self) -> None:
        """Let go. Calling it twice is fine.

        The lock is given back in words: closing alone would leave it to a process that was forked
        meanwhile, if only on its way to another program. Such a process leaves it to this one.
        """
        if not self._file.closed and not self.forked:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._file.close()


def myself() -> str:
    """This process, as those call it that are kept out."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def way_on(who: str) -> str:
    """What to do where somebody holds what is wanted.

    Args:
        who: Holds it.
    """
    if who == myself():
        return "That is this process: close what it has opened there, or go on with that."
    return "Let that process do the work, or stop it first."


def _describe(holder: str) -> str:
    try:
        data = json.loads(holder)
        return f"process {data['pid']} on {data['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
