"""Work on a pooled connection that may have died since it was last used."""

from collections.abc import Callable
from typing import Any, TypeVar

import psycopg
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout, TooManyRequests

from application.event_store.database import Connection

ATTEMPTS = 3

T = TypeVar("T")


class StoreUnavailable(Exception):
    """The event store cannot answer now; whether the command was recorded is known by sending it again with its id."""


class StoreOverloaded(StoreUnavailable):
    """Too many commands wait; nothing was written."""


def was_lost(connection: psycopg.Connection[Any], error: psycopg.Error) -> bool:
    """Whether the connection is gone, so that nobody knows if its last statement was committed. An error that
    PostgreSQL reports over a living connection has rolled it back for sure."""
    if connection.closed:
        return True
    state = error.sqlstate
    if state is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return state.startswith(("57P", "08"))


def on_connection(
    pool: ConnectionPool[Connection], work: Callable[[Connection], T], lost: list[psycopg.Error] | None = None
) -> T:
    """Does the work on an autocommit connection; again on another where that one was lost on the way, or was the
    victim of a deadlock: it must be harmless to repeat. `lost` is told of attempts that may have been committed.

    Raises StoreUnavailable, and what PostgreSQL says of the work.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with pool.connection() as connection:
                try:
                    return work(connection)
                except psycopg.Error as error:
                    if was_lost(connection, error):
                        connection.close()  # it may not know yet, and would fail on its way back to the pool
                        if lost is not None:
                            lost.append(error)
                    elif not isinstance(error, psycopg.errors.DeadlockDetected):
                        raise
                    if attempt == ATTEMPTS:
                        raise StoreUnavailable(f"PostgreSQL does not answer: {error}") from None
        except TooManyRequests as error:
            raise StoreOverloaded(f"Too many wait for PostgreSQL: {error}") from None
        except (PoolTimeout, PoolClosed) as error:
            raise StoreUnavailable(f"No connection to PostgreSQL: {error}") from None
        # After a restart of the server every idle connection is as dead as this one was.
        pool.check()
    raise AssertionError("unreachable")
