"""Build the graph of a copied shard in a process of its own.

The engine holds the interpreter while it builds; in this process every search would stand
still, for minutes at a million rows. The child works on a folder that nobody else opens, at a
lower priority, and dies with its parent.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from ..errors import StoreError
from ..space import Space
from .edge_pointer import writing
from .vectorfile import sync_tree

CHANGED, NOTHING_TO_DO = 0, 3  # exit codes of the child
_CHILD = "from holdfast.store.edge_shard import rebuild; rebuild()"
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


class Build:
    """A running build.

    Args:
        path: The copy.
        space: The space of its vectors.
        exact: Whether to go without a graph.
        fields: Payload paths to index before.
        large: Whether there are rows enough for a graph, so that it should hold all of them.
    """

    def __init__(
        self, path: Path, space: Space, exact: bool, fields: list[str], large: bool
    ) -> None:
        task = {
            "path": str(path),
            "space": space.to_json(),
            "exact": exact,
            "fields": fields,
            "large": large,
            "parent": os.getpid(),
        }
        self._path, self._stopped = path, False
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-c", _CHILD, json.dumps(task)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,  # Ctrl-C is for the parent, which may have a batch to end
        )

    def wait(self) -> bool | None:
        """Whether anything was built, which is on disk then; None when it was stopped, by whomever.

        Raises:
            StoreError: The child failed, or the disk.
        """
        _, said = self._child.communicate()
        code = self._child.returncode
        if code == CHANGED:
            keep(self._path)
        if code in (CHANGED, NOTHING_TO_DO):
            return code == CHANGED
        if self._stopped or code == -signal.SIGTERM:  # a service is stopped with its children
            return None
        lines = said.decode(errors="replace").strip().splitlines()
        raise StoreError(
            f"building the graph in {self._path}",
            "a child process that ends well",
            f"exit code {code}: {lines[-1] if lines else 'nothing said'}",
            "The store goes on without the new graph; look at memory and disk space.",
        )

    def stop(self) -> None:
        """End the child; `wait` then answers None."""
        self._stopped = True
        self._child.terminate()


def keep(path: Path) -> None:
    """Bring a copy to the disk: its files were written, and nobody has synced them.

    Raises:
        StoreError: The disk refuses.
    """
    with writing(path):
        sync_tree(path)


def become_child(parent: int) -> None:
    """Give way to other processes, and do not outlive the parent."""
    os.nice(5)
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        # A thread that wakes waits for a time slice of others, however low their priority: ten
        # times as long as a search takes. So some cores stay free.
        os.sched_setaffinity(0, cores[: max(len(cores) - max(len(cores) // 4, 1), 1)])
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
        if os.getppid() != parent:
            raise SystemExit("the parent is gone")
