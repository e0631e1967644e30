"""A process that writes plain SQL into the content of a gallery, and knows nothing of Holdfast.

python -m bench.crash_outside TABLE SEED inserts, updates and deletes until it is killed.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time

import psycopg

from holdfast.postgres import DSN_ENV

from .crash_world import OUTSIDE

THREADS = 2


def write(table: str, seed: int) -> None:
    """Transactions of one connection; ids overlap with those of the other ones."""
    chance = random.Random(seed)
    with psycopg.connect(os.environ[DSN_ENV]) as connection:
        (most,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
        while True:
            try:
                for _ in range(chance.choice((1, 1, 3))):
                    change(connection, table, chance, 2 * most)
                (connection.rollback if chance.random() < 0.1 else connection.commit)()
            except psycopg.errors.DeadlockDetected:
                connection.rollback()
            time.sleep(chance.uniform(0.0, 0.02))


def change(connection: psycopg.Connection, table: str, chance: random.Random, most: int) -> None:
    """One statement."""
    ids = [f"{OUTSIDE}-{chance.randrange(most)}" for _ in range(chance.choice((1, 1, 2, 8)))]
    dice = chance.random()
    if dice < 0.45:
        connection.execute(
            f"INSERT INTO {table} SELECT DISTINCT ON (id) id, id || '@' || v, v, id FROM"
            f" (SELECT id, nextval('{table}_version') AS v FROM unnest(%s::text[]) id) t"
            " ON CONFLICT (id) DO UPDATE SET text = excluded.text, version = excluded.version",
            [ids],
        )
    elif dice < 0.7:
        connection.execute(
            f"UPDATE {table} t SET text = t.id || '@' || v, version = v FROM (SELECT id AS name,"
            f" nextval('{table}_version') AS v FROM unnest(%s::text[]) id) n WHERE t.id = n.name",
            [ids],
        )
    else:
        connection.execute(f"DELETE FROM {table} WHERE id = ANY(%s)", [ids])


if __name__ == "__main__":
    for number in range(1, THREADS):
        threading.Thread(
            target=write, args=(sys.argv[1], int(sys.argv[2]) + number), daemon=True
        ).start()
    write(sys.argv[1], int(sys.argv[2]))
