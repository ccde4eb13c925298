"""Group append: commands that wait at the same time share one transaction, each answered for itself.

One thread, one connection. While a transaction is under way the next batch gathers, so a single command waits for
nobody and a crowd shares one commit.
"""

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from uuid import UUID

import msgspec
import psycopg

from application.event_store import metrics
from application.event_store.attempts import StoreOverloaded, StoreUnavailable, was_lost
from application.event_store.database import Connection, Database, Role
from application.event_store.envelope import StoredEnvelope
from application.event_store.wakeup import Wakeup

log = logging.getLogger(__name__)

BATCH_LIMIT = 256
QUEUE_LIMIT = 10_000
RETRY_SECONDS = 15.0
"""How long an append outlives a lost connection before its command is told that the store is away."""


class Appended(msgspec.Struct, frozen=True):
    """`won` is False where the version or the command id was taken: nothing of the command was written by this
    sending. `resent`: an earlier sending was lost on the way, and may have been what took them."""

    won: bool
    version: int = 0
    position: int = 0
    resent: bool = False


class _Waiting(msgspec.Struct):
    rows: Sequence[StoredEnvelope]
    answer: "Future[Appended]"
    since: float
    resent: bool = False


class _ConnectionLost(Exception):
    """Whether the batch was committed is unknown; the command ids make sending it again harmless."""


def encode_rows(rows: Sequence[StoredEnvelope], n: int) -> list[dict[str, object]]:
    """As the SQL type new_event wants them."""
    return [
        {
            "n": n,
            "first": row.command_hash is not None,
            "stream": row.originator_id,
            "version": row.originator_version,
            "name": row.topic,
            "event_version": row.event_version,
            "state": row.state.decode(),
            "occurred_at": row.occurred_at,
            "actor": row.cause.actor,
            "on_behalf_of": row.cause.on_behalf_of,
            "channel": row.cause.channel,
            "source": row.cause.source,
            "reason": row.cause.reason,
            "command_id": row.cause.command_id,
            "command_hash": row.command_hash.hex() if row.command_hash is not None else None,
            "correlation_id": row.cause.correlation_id,
            "causation_id": row.cause.causation_id,
            "trace": row.cause.trace,
        }
        for row in rows
    ]


class Appender:
    """Takes the events of one command on one stream, answers through a future. Thread-safe."""

    def __init__(self, database: Database, wakeup: Wakeup) -> None:
        self._database = database
        self._wakeup = wakeup
        self._connection: Connection | None = None
        self._queues: OrderedDict[UUID, deque[_Waiting]] = OrderedDict()
        self._size = 0
        self._condition = threading.Condition()
        self._closing = False
        metrics.APPEND_QUEUE.set_function(lambda: self._size)
        self._thread = threading.Thread(target=self._run, name="proteus-append", daemon=True)
        self._thread.start()

    def append(self, rows: Sequence[StoredEnvelope]) -> Appended:
        """Waits for the answer. Raises StoreUnavailable, StoreOverloaded, or what PostgreSQL says of the rows."""
        waiting = _Waiting(rows, Future(), time.monotonic())
        with self._condition:
            if self._closing:
                raise StoreUnavailable("The event store is closing.")
            if self._size >= QUEUE_LIMIT:
                raise StoreOverloaded(f"{self._size} commands wait already.")
            self._queues.setdefault(rows[0].workspace, deque()).append(waiting)
            self._size += 1
            self._condition.notify()
        return waiting.answer.result()

    def close(self) -> None:
        """Appends what waits, then stops."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        self._thread.join(timeout=RETRY_SECONDS + 5)

    def _run(self) -> None:
        while batch := self._take():
            try:
                self._append(batch)
            except Exception as error:
                log.exception("an append batch failed")
                for waiting in batch:
                    if not waiting.answer.done():
                        waiting.answer.set_exception(error)
        if self._connection is not None:
            self._connection.close()

    def _take(self) -> list[_Waiting]:
        """The next batch: workspaces in turn, and at most one command per stream and per command id.
        Empty when closing and nothing waits."""
        with self._condition:
            while not self._size:
                if self._closing:
                    return []
                self._condition.wait()
            batch: list[_Waiting] = []
            taken: set[object] = set()
            idle = 0
            while len(batch) < BATCH_LIMIT and idle < len(self._queues):
                workspace, queue = next(iter(self._queues.items()))
                self._queues.move_to_end(workspace)
                first = queue[0].rows[0]
                marks = {first.originator_id, (workspace, first.cause.command_id)}
                if taken & marks:
                    idle += 1
                    continue
                idle = 0
                taken |= marks
                batch.append(queue.popleft())
                if not queue:
                    del self._queues[workspace]
            self._size -= len(batch)
        # Processes that append to the same streams meet them in the same order, so that they do not deadlock.
        batch.sort(key=lambda waiting: (waiting.rows[0].workspace, waiting.rows[0].originator_id))
        return batch

    def _append(self, batch: list[_Waiting]) -> None:
        delay = 0.01
        while batch:
            try:
                with metrics.APPEND_SECONDS.time():
                    answered = self._send(batch)
            except (_ConnectionLost, psycopg.errors.DeadlockDetected) as error:
                metrics.APPEND_RESENT.inc()
                batch = self._without_old(batch, error)
                time.sleep(delay)
                delay = min(delay * 2, 1.0)
            except Exception as error:
                if len(batch) == 1:
                    batch[0].answer.set_exception(error)
                else:
                    for waiting in batch:  # one of them is bad: each for itself
                        self._append([waiting])
                return
            else:
                for waiting, answer in zip(batch, answered, strict=True):
                    waiting.answer.set_result(answer)
                self._wakeup.appended()
                metrics.APPEND_BATCH.observe(len(batch))
                return

    def _send(self, batch: list[_Waiting]) -> list[Appended]:
        parts: dict[UUID, list[dict[str, object]]] = {}
        for n, waiting in enumerate(batch):
            parts.setdefault(waiting.rows[0].workspace, []).extend(encode_rows(waiting.rows, n))
        document = msgspec.json.encode(
            [{"workspace": workspace, "events": events} for workspace, events in parts.items()]
        )
        connection = self._connected()
        try:
            rows = connection.execute("select * from append(%s::text::json)", (document.decode(),)).fetchall()
        except psycopg.Error as error:
            if not was_lost(connection, error):
                raise
            connection.close()
            self._connection = None
            for waiting in batch:
                waiting.resent = True
            raise _ConnectionLost(str(error)) from None
        won = {n: Appended(True, version, position) for n, version, position in rows}
        return [won.get(n, Appended(False, resent=waiting.resent)) for n, waiting in enumerate(batch)]

    def _connected(self) -> Connection:
        if self._connection is None:
            try:
                self._connection = self._database.connect(Role.APP, transaction_timeout="10s")
            except psycopg.Error as error:
                raise _ConnectionLost(str(error)) from None
        return self._connection

    def _without_old(self, batch: list[_Waiting], error: Exception) -> list[_Waiting]:
        """Tells those that have waited too long, in the batch and behind it, that the store is away."""
        horizon = time.monotonic() - RETRY_SECONDS
        old = [waiting for waiting in batch if waiting.since < horizon]
        with self._condition:
            for workspace, queue in list(self._queues.items()):
                while queue and queue[0].since < horizon:
                    old.append(queue.popleft())
                    self._size -= 1
                if not queue:
                    del self._queues[workspace]
        for waiting in old:
            waiting.answer.set_exception(StoreUnavailable(f"PostgreSQL does not answer: {error}"))
        return [waiting for waiting in batch if waiting.since >= horizon]
