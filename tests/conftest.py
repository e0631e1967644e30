"""What tests of several folders share."""

import pytest
from hypothesis import HealthCheck, settings

# The same examples in each run, however busy the machine is; others are looked for by
# `pytest --hypothesis-profile=explore`.
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", settings.get_profile("same"), derandomize=False)
settings.load_profile("same")


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
