"""Who read which ticket: written down before it is shown, together with what others read at the same time.

What cannot be written down is not shown. The same person reading the same ticket in the same way again within a minute
is not written again.
"""

import asyncio
import logging
import time
from collections import OrderedDict, defaultdict
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from enum import StrEnum
from uuid import UUID

import psycopg
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from application.event_store.attempts import StoreUnavailable
from application.event_store.database import Database, Role

log = logging.getLogger(__name__)

SAME_SECONDS = 60.0
KNOWN = 100_000
"""Reads of the last minute that a process remembers; who is forgotten is written once more."""
SWEPT = 10_000
"""Rows that one transaction removes."""


class Way(StrEnum):
    QUERY = "QUERY"
    MUTATION = "MUTATION"
    SUBSCRIPTION = "SUBSCRIPTION"
    DOWNLOAD = "DOWNLOAD"


Read = tuple[UUID, UUID, UUID, Way]
"""Workspace, person, ticket, way."""
Waiting = tuple[Sequence[Read], asyncio.Future[None]]


class ReadLog:
    """One per serving process. Open it inside its event loop."""

    def __init__(self, database: Database) -> None:
        self._pool = database.async_pool(Role.APP, 1, statement_timeout="10s")
        self._known: OrderedDict[Read, float] = OrderedDict()
        self._waiting: list[Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        """Whoever waits is told that nothing was written."""
        await self._pool.close()
        if self._writing is not None:
            self._writing.cancel()
            with suppress(asyncio.CancelledError):
                await self._writing
        waiting, self._waiting = self._waiting, []
        _answer(waiting, StoreUnavailable("Reads are not logged any more, so nothing is shown: the process ends."))

    async def note(self, workspace: UUID, person: UUID, tickets: Collection[UUID], way: Way) -> None:
        """Returns when it is written. Raises StoreUnavailable."""
        since = time.monotonic() - SAME_SECONDS
        reads = [(workspace, person, ticket, way) for ticket in tickets]
        new = [read for read in reads if self._known.get(read, since) <= since]
        if not new:
            return
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((new, written))
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write(), name="proteus-reads")
        await written

    async def _write(self) -> None:
        """One transaction after another, each with all that wait when it begins."""
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            reads = list(dict.fromkeys(read for some, _ in waiting for read in some))
            try:
                await self._insert(reads)
            except BaseException as failed:
                _answer(waiting, StoreUnavailable(f"Reads cannot be logged, so nothing is shown: {failed}"))
                if not isinstance(failed, Exception):
                    raise
                if not isinstance(failed, _EXPECTED):  # whatever it is, the next ones are written
                    log.exception("reads were not logged")
            else:
                self._remember(reads)
                _answer(waiting, None)

    async def _insert(self, reads: Sequence[Read]) -> None:
        by_workspace: defaultdict[UUID, list[Read]] = defaultdict(list)
        for read in reads:
            by_workspace[read[0]].append(read)
        async with self._pool.connection() as connection, connection.transaction():
            for workspace, some in by_workspace.items():
                await connection.execute("select set_config('proteus.workspace', %s, true)", (str(workspace),))
                _, people, tickets, ways = (list(column) for column in zip(*some, strict=True))
                await connection.execute(
                    "insert into read_access (workspace, person, ticket, way)"
                    " select %s, * from unnest(%s::uuid[], %s::uuid[], %s::text[])",
                    (workspace, people, tickets, [way.value for way in ways]),
                )

    def _remember(self, reads: Sequence[Read]) -> None:
        at = time.monotonic()
        for read in reads:
            self._known[read] = at
            self._known.move_to_end(read)
        while len(self._known) > KNOWN:
            self._known.popitem(last=False)


_EXPECTED = (psycopg.Error, PoolTimeout, PoolClosed, TooManyRequests)


def _answer(waiting: Sequence[Waiting], error: Exception | None) -> None:
    for _, written in waiting:
        if written.done():  # whoever waited has gone
            continue
        if error is None:
            written.set_result(None)
        else:
            written.set_exception(error)


def forget(database: Database, kept: timedelta) -> int:
    """Removes what is older; how many. Raises psycopg.Error."""
    removed = 0
    with database.connect(Role.OWNER) as connection:
        while True:
            gone = connection.execute(
                "delete from read_access where ctid = any(array("
                " select ctid from read_access where at < clock_timestamp() - %s limit %s))",
                (kept, SWEPT),
            ).rowcount
            removed += gone
            if gone < SWEPT:
                return removed
