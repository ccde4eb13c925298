"""Who listens for what was projected keeps up with it, however slowly it looks at the log."""

import time
from collections.abc import Callable

import psycopg
from psycopg.rows import TupleRow

from api.serving import following
from application.event_store.database import Database
from application.event_store.wakeup import PROJECTED

CROWD = 2_000
"""A socket that nobody reads holds a few hundred notifications; PostgreSQL's process behind it then waits."""
LISTENING = "query like 'listen %'"
WAITING = "wait_event = 'ClientWrite'"


def test_a_crowd_of_notifications_is_read_at_once(database: Database) -> None:
    with following(database), psycopg.connect(database.url, autocommit=True) as connection:
        assert _becomes(connection, LISTENING, lambda count: count >= 3)
        for _ in range(CROWD):
            connection.execute("select pg_notify(%s, '')", (PROJECTED,))
        assert _becomes(connection, WAITING, lambda count: count == 0)


def _becomes(connection: psycopg.Connection[TupleRow], which: str, wanted: Callable[[int], bool]) -> bool:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        asked = f"select count(*) from pg_stat_activity where datname = current_database() and {which}"
        [(found,)] = connection.execute(asked.encode()).fetchall()
        if wanted(found):
            return True
        time.sleep(0.1)
    return False
