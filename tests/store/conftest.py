"""What tests of the store in PostgreSQL share."""

import json

import pytest

from holdfast.space import Space

SPACE = Space("a model@1", 24)


@pytest.fixture
def make(postgres, tmp_path):
    """Opens stores and closes them in the end."""
    from holdfast.store.pgvector import PgvectorStore

    opened = []

    def opener(folder="side", space=SPACE, **options):
        store = PgvectorStore(tmp_path / folder, space, **options)
        opened.append(store)
        return store

    yield opener
    for store in opened:
        store.close()


def table(tmp_path, folder="side"):
    """Name of the table of a folder."""
    return json.loads((tmp_path / folder / "postgres.json").read_text())["table"]
