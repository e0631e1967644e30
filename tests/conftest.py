"""What tests of several folders share."""

import pytest


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
