"""Group append: commands that wait at the same time share one transaction, each answered for itself.

One connection, and no thread of its own: whoever finds nobody sending sends what waits, then hands over to one of those
that came meanwhile. So a single command is as quick as a plain statement, and a crowd shares one commit.
"""

import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
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
TRANSACTION_LIMIT = "10s"
"""PostgreSQL ends an append that takes longer, since readers wait behind it."""
RETRY_SECONDS = 15.0
"""How long an append outlives a lost connection before its command is told that the store is away."""


Seen = Mapping[UUID, int]
"""Versions of the other streams that a decision was made on. One that has grown since refuses the append."""
NOTHING_SEEN: Seen = MappingProxyType({})


class Appended(msgspec.Struct, frozen=True):
    """`won` is False where the version or the command id was taken, or a stream that was seen has grown: nothing of the
    command was written by this sending. `resent`: an earlier sending was lost on the way, and may have been what took
    them. `occurred_at`: of the last event, as recorded: never after the database's own clock."""

    won: bool
    version: int = 0
    position: int = 0
    occurred_at: datetime | None = None
    resent: bool = False


class _Waiting:
    """One command. Its caller waits for `baton`, which is handed over when the command is answered or when it is the
    caller's turn to send."""

    __slots__ = ("answer", "baton", "resent", "rows", "seen", "since")

    def __init__(self, rows: Sequence[StoredEnvelope], seen: Seen) -> None:
        self.rows, self.seen = rows, seen
        self.since = time.monotonic()
        self.resent = False
        self.answer: Appended | Exception | None = None
        self.baton = threading.Lock()
        self.baton.acquire()

    def tell(self, answer: "Appended | Exception") -> None:
        self.answer = answer
        self.baton.release()


class _ConnectionLost(Exception):
    """Whether the batch was committed is unknown; the command ids make sending it again harmless."""


def encode_rows(rows: Sequence[StoredEnvelope], n: int, seen: Seen = NOTHING_SEEN) -> list[dict[str, object]]:
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
            "seen": list(seen) or None,
            "seen_versions": list(seen.values()) or None,
        }
        for row in rows
    ]


class Appender:
    """Takes the events of one command on one stream, and answers. Thread-safe."""

    def __init__(self, database: Database, wakeup: Wakeup) -> None:
        self._database = database
        self._wakeup = wakeup
        self._connection: Connection | None = None
        self._queues: OrderedDict[UUID, deque[_Waiting]] = OrderedDict()
        self._size = 0
        self._sending = False
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._closing = False
        metrics.APPEND_QUEUE.set_function(lambda: self._size)

    def append(self, rows: Sequence[StoredEnvelope], seen: Seen) -> Appended:
        """Waits for the answer. Raises StoreUnavailable, StoreOverloaded, or what PostgreSQL says of the rows."""
        return self.append_each([(rows, seen)])[0]

    def append_each(self, commands: Sequence[tuple[Sequence[StoredEnvelope], Seen]]) -> list[Appended]:
        """Several commands of one workspace, as if as many callers gave them at once. Raises as `append`, for the first
        that could not be answered, when all have been tried."""
        if not commands:
            return []
        crowd = [_Waiting(rows, seen) for rows, seen in commands]
        with self._lock:
            if self._closing:
                raise StoreUnavailable("The event store is closing.")
            if self._size >= QUEUE_LIMIT:
                raise StoreOverloaded(f"{self._size} commands wait already.")
            self._queues.setdefault(crowd[0].rows[0].workspace, deque()).extend(crowd)
            self._size += len(crowd)
            sends, self._sending = not self._sending, True
        # In the order of the queue: so the baton of one that is to send is always the next that is waited for.
        answers = [self._answer(waiting, sends=sends and waiting is crowd[0]) for waiting in crowd]
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return [answer for answer in answers if isinstance(answer, Appended)]

    def _answer(self, waiting: _Waiting, *, sends: bool) -> "Appended | Exception":
        if not sends:
            waiting.baton.acquire()
        if waiting.answer is None:
            self._send_until_answered(waiting)
        assert waiting.answer is not None
        return waiting.answer

    def close(self) -> None:
        """Waits until what waits is appended, then takes nothing more."""
        with self._lock:
            self._closing = True
            self._idle.wait_for(lambda: not self._sending, timeout=RETRY_SECONDS + 5)
            if not self._sending:
                self._disconnect()

    def _send_until_answered(self, own: _Waiting) -> None:
        """Workspaces take turns, so that its own may not be in the first batch."""
        interrupted: BaseException | None = None
        answered = False
        while not answered:
            batch = self._take()
            try:
                answers = self._append(batch)
            except BaseException as error:  # nobody may be left waiting, whatever ends this one
                interrupted = error
                self._disconnect()
                failure = StoreUnavailable("The command that was sending was interrupted.")
                answers = [(waiting, failure) for waiting in batch]
            answered = any(waiting is own for waiting, _ in answers)
            if answered:
                self._hand_over()  # first, so that PostgreSQL works while those that were answered go on
            for waiting, answer in answers:
                waiting.tell(answer)
        if interrupted is not None:
            raise interrupted

    def _hand_over(self) -> None:
        with self._lock:
            if self._size:
                next(iter(self._queues.values()))[0].baton.release()
            else:
                self._sending = False
                self._idle.notify_all()

    def _take(self) -> list[_Waiting]:
        """The next batch: workspaces in turn, and at most one command per stream and per command id."""
        with self._lock:
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

    def _append(self, batch: list[_Waiting]) -> list[tuple[_Waiting, Appended | Exception]]:
        answers: list[tuple[_Waiting, Appended | Exception]] = []
        delay = 0.01
        while batch:
            try:
                with metrics.APPEND_SECONDS.time():
                    sent = self._send(batch)
            except (_ConnectionLost, psycopg.errors.DeadlockDetected) as error:
                metrics.APPEND_RESENT.inc()
                batch, old = self._without_old(batch, error)
                answers += old
                time.sleep(delay)
                delay = min(delay * 2, 1.0)
            except Exception as error:
                if len(batch) == 1:
                    return [*answers, (batch[0], error)]
                for waiting in batch:  # one of them is bad: each for itself
                    answers += self._append([waiting])
                return answers
            else:
                self._wakeup.appended()
                metrics.APPEND_BATCH.observe(len(batch))
                return [*answers, *zip(batch, sent, strict=True)]
        return answers

    def _send(self, batch: list[_Waiting]) -> list[Appended]:
        parts: dict[UUID, list[dict[str, object]]] = {}
        for n, waiting in enumerate(batch):
            parts.setdefault(waiting.rows[0].workspace, []).extend(encode_rows(waiting.rows, n, waiting.seen))
        document = msgspec.json.encode(
            [{"workspace": workspace, "events": events} for workspace, events in parts.items()]
        )
        connection = self._connected()
        try:
            rows = connection.execute("select * from append(%s::text::json)", (document.decode(),)).fetchall()
        except psycopg.Error as error:
            if not was_lost(connection, error):
                raise
            self._disconnect()
            for waiting in batch:
                waiting.resent = True
            raise _ConnectionLost(str(error)) from None
        won = {n: Appended(True, version, position, at) for n, version, position, at in rows}
        return [won.get(n, Appended(False, resent=waiting.resent)) for n, waiting in enumerate(batch)]

    def _connected(self) -> Connection:
        if self._connection is None:
            try:
                self._connection = self._database.connect(Role.APP, transaction_timeout=TRANSACTION_LIMIT)
            except psycopg.Error as error:
                raise _ConnectionLost(str(error)) from None
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _without_old(
        self, batch: list[_Waiting], error: Exception
    ) -> tuple[list[_Waiting], list[tuple[_Waiting, Appended | Exception]]]:
        """Those of the batch that may be sent again; and those in it and behind it that have waited too long, to be
        told that the store is away."""
        horizon = time.monotonic() - RETRY_SECONDS
        old = [waiting for waiting in batch if waiting.since < horizon]
        with self._lock:
            for workspace, queue in list(self._queues.items()):
                while queue and queue[0].since < horizon:
                    old.append(queue.popleft())
                    self._size -= 1
                if not queue:
                    del self._queues[workspace]
        away = StoreUnavailable(f"PostgreSQL does not answer: {error}")
        return [waiting for waiting in batch if waiting.since >= horizon], [(waiting, away) for waiting in old]
