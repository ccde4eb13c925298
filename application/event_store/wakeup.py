"""Telling followers that there is something new, by a coalesced NOTIFY.

It is not needed for correctness: followers poll as well, so a lost NOTIFY costs milliseconds, not events. It is sent
outside the append transaction, because NOTIFY takes a lock that lets only one transaction commit at a time.
"""

import threading
import time

import psycopg
from psycopg.rows import TupleRow

from application.event_store.database import Database, Role

CHANNEL = "proteus_events"
"""Something was appended."""
PROJECTED = "proteus_projected"
"""Read models have moved."""
COALESCE_SECONDS = 0.01


class Wakeup:
    """Thread-safe. `appended` is cheap: it sets a flag."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._closing = threading.Event()
        self._notify = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proteus-notify", daemon=True)
        self._thread.start()

    def appended(self) -> None:
        self._notify.set()

    def close(self) -> None:
        self._closing.set()
        self._notify.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        connection: psycopg.Connection[tuple[object, ...]] | None = None
        while True:
            self._notify.wait()
            self._notify.clear()
            if self._closing.is_set():
                break
            try:
                connection = connection or self._database.connect(Role.APP)
                connection.execute("select pg_notify(%s, %s)", (CHANNEL, self._database.schema))
            except psycopg.Error:
                connection = None  # followers poll; the next append connects again
            time.sleep(COALESCE_SECONDS)
        if connection is not None:
            connection.close()


async def heard(listening: psycopg.AsyncConnection[TupleRow], seconds: float) -> bool:
    """Whether a connection that listens was notified within so long, of whatever. All that came together is read before
    the caller does anything else: a socket that fills up would hold up PostgreSQL's process behind it."""
    return bool([one async for one in listening.notifies(timeout=seconds, stop_after=1)])
