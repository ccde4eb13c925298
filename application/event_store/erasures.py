"""Hearing of erasures: whoever keeps keys, or texts that were opened with them, must forget both when a key is deleted.

PostgreSQL tells every connection that listens, where the keys lie. Who was not connected meanwhile forgets everything
when it is again.
"""

import threading
from collections.abc import Callable

import psycopg

from application.event_store.database import Connection, Place, Role

ERASED = "proteus_erased"
"""A key was deleted, or what was made of the texts that it had sealed."""
LONGEST_PAUSE = 5.0


class Watch:
    """Calls `forget` in a thread of its own. Closing does not wait for it. `deaf`: where keys lie, nobody answers, so
    that it would not hear."""

    def __init__(self, keys: Place, forget: Callable[[], None]) -> None:
        self._place, self._forget = keys, forget
        self.deaf = False
        self._closing = threading.Event()
        threading.Thread(target=self._run, name="proteus-erasures", daemon=True).start()

    def close(self) -> None:
        self._closing.set()

    def _run(self) -> None:
        pause = 0.1
        while not self._closing.is_set():
            try:
                with self._place.connect(Role.APP) as connection:
                    connection.execute(f"listen {ERASED}".encode())
                    self._forget()
                    self.deaf = False
                    pause = 0.1
                    while not self._closing.is_set():
                        for _ in connection.notifies(timeout=0.5, stop_after=1):
                            self._forget()
            except psycopg.Error:
                self.deaf = True
                self._closing.wait(pause)
                pause = min(pause * 2, LONGEST_PAUSE)


def tell(keys: Connection) -> None:
    """Everybody who listens, as soon as the transaction commits."""
    keys.execute("select pg_notify(%s, '')", (ERASED,))
