"""What tests of several folders share."""

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples in each run, however busy the machine is; others are looked for by
# `pytest --hypothesis-profile=explore`.
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("same"), derandomize=False)
settings.load_profile("same")

# Tests kill processes and never cut the power: what they write may lie in memory, where nothing
# waits for a disk. A named folder goes first, and little memory or none leaves all as it was.
MEMORY = Path("/dev/shm")
ROOM = 4 * 2**30  # bytes; a run keeps far less


def pytest_configure():
    """Let folders of tests lie in memory where there is room, and programs be compiled once.

    Where Python is told to keep nothing that it compiled, each of hundreds of processes that
    tests start would compile the package again.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    if not MEMORY.is_dir() or not os.access(MEMORY, os.W_OK):
        return
    runs_programs = not os.statvfs(MEMORY).f_flag & os.ST_NOEXEC
    if runs_programs and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


@pytest.fixture(scope="session")
def postgres():
    """The connection string of a PostgreSQL with pgvector, which is in the environment as well.

    One server for the whole session: each test makes tables of its own.
    """
    pytest.importorskip("psycopg", reason="needs holdfast[postgres]")
    from bench.postgres import NoServer, server

    running = server(durable=False)
    try:
        dsn = running.__enter__()
    except NoServer as why:
        pytest.skip(str(why))
    yield dsn
    running.__exit__(None, None, None)
