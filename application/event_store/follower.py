"""Following the log: every committed event once, in order of position, and never one that another skips past.

Positions are drawn before a transaction commits, so a reader that goes by the highest visible position would skip
events still in flight. The fence is the lock that every INSERT takes on the event table anyway: at a gap, whoever
holds it may still fill the gap; when those transactions are gone, what is not there will never be.
"""

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from uuid import UUID

import msgspec
import psycopg
from psycopg.pq import TransactionStatus

from application.event_store.database import Connection, Database, Role
from application.event_store.envelope import Row

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 3.0
LEASE_SECONDS = 10.0
"""A leader that has neither moved nor said that it lives for so long, and whose server process does not work, is paused
or cut off: whoever stands by ends its connection, and with it its lock and what it had begun, and leads."""

FENCE_PAUSE = 0.002
FENCE_PATIENCE = 0.25
"""Seconds after which a wait at a gap returns, so that its caller can look around; it then comes back."""

# Deliberately a statement of its own, run after the rows were read: rows and holders in one snapshot would miss a
# writer that commits in between.
_HOLDERS = """
select virtualtransaction from pg_locks
 where granted and locktype = 'relation' and relation = 'event'::regclass and mode = 'RowExclusiveLock'
   and database = (select oid from pg_database where datname = current_database())
   and pid <> pg_backend_pid()
"""
_SELECT = "select * from event where position > %s and position <= %s order by position limit %s"
_MAX_POSITION = 2**63 - 1


class Deposed(Exception):
    """Another follower leads under this name now; nothing was written."""


class LogReader:
    """Reads the whole log in order of position. One connection in the projector's role, autocommit: a snapshot that
    outlives a statement would break the fence, as would a standby or a connection pooler between."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def read(self, after: int, limit: int) -> list[Row]:
        """The next events after a position; [] if there are none, or a writer in flight may still put one first."""
        rows = self._select(after, limit)
        ready = _contiguous(rows, after)
        if len(ready) < len(rows):
            ready = self._past_the_gap(after, limit, horizon=rows[-1][0], ready=ready)
        return ready

    def head(self) -> int:
        row = self._connection.execute("select coalesce(max(position), 0) from event").fetchone()
        return row[0] if row else 0

    def streams(self, below: dict[UUID, int]) -> list[Row]:
        """The events of several streams, each below a version, ordered by stream and version."""
        return self._connection.execute(
            # Lateral: by index whatever the statistics say, as in the function `load`.
            "select e.* from unnest(%s::uuid[], %s::int[]) as w(stream, version) cross join lateral"
            " (select * from event f where f.stream = w.stream and f.version < w.version order by f.version) e"
            " order by e.stream, e.version",
            (list(below), list(below.values())),
            binary=True,
        ).fetchall()

    def _past_the_gap(self, after: int, limit: int, horizon: int, ready: list[Row]) -> list[Row]:
        """Hands over what stands before the gap rather than wait; waits only where the gap comes first.

        Rows above the horizon are never accepted here: their neighbours may have begun after the fence was taken.
        """
        fence = self._holders()
        deadline = time.monotonic() + FENCE_PATIENCE
        while True:
            over = not fence  # before the next read
            if over or not ready:
                rows = self._select(after, limit, horizon)
                ready = rows if over else _contiguous(rows, after)
            if over or ready or time.monotonic() > deadline:
                return ready
            time.sleep(FENCE_PAUSE)
            fence &= self._holders()

    def _select(self, after: int, limit: int, up_to: int = _MAX_POSITION) -> list[Row]:
        return self._connection.execute(_SELECT, (after, up_to, limit), binary=True).fetchall()

    def _holders(self) -> set[str]:
        return {row[0] for row in self._connection.execute(_HOLDERS)}


def _contiguous(rows: Sequence[Row], after: int) -> list[Row]:
    """The rows before the first gap. Positions grow by one, so this is where the offset stops being constant."""
    if not rows or rows[-1][0] == after + len(rows):
        return list(rows)
    return [row for n, row in enumerate(rows, start=after + 1) if row[0] == n]


class Stand(msgspec.Struct, frozen=True):
    """Which event was passed last, and the latest time at which it or any before it was recorded."""

    position: int
    recorded_at: datetime


class Place(msgspec.Struct):
    """Where a leader stands, and under which epoch it may write."""

    stand: Stand
    epoch: int


class Leadership:
    """Who follows the log under which name: a session advisory lock picks the leader, an epoch on the tracking row
    keeps a leader that was paused, and replaced meanwhile, from writing. Its lease is the tracking row's time."""

    def __init__(self, database: Database, connection: Connection) -> None:
        self._database = database
        self._connection = connection
        self._kept_at = 0.0
        self.places: dict[str, Place] = {}

    def acquire(self, name: str) -> bool:
        """Tries to lead; True if this process does now."""
        if name in self.places:
            return True
        if not self._lock(name) and not (self._end_paused(name) and self._lock(name)):
            return False
        found = self._connection.execute(
            "update tracking set epoch = epoch + 1, updated_at = clock_timestamp() where name = %s"
            " returning position, recorded_at, epoch",
            (name,),
        ).fetchone()
        if found is None:
            self._unlock(name)
            return False
        position, recorded_at, epoch = found
        self.places[name] = Place(Stand(position, recorded_at), epoch)
        return True

    def advance(self, names: Iterable[str], to: Stand) -> None:
        """Moves the tracking rows, inside the caller's transaction; call `advanced` once that is committed.
        Raises Deposed."""
        places = {name: self.places[name] for name in names}
        stood = [
            {"name": name, "epoch": place.epoch, "position": place.stand.position} for name, place in places.items()
        ]
        moved = self._connection.execute(
            "update tracking t set position = %s, recorded_at = greatest(t.recorded_at, %s),"
            " updated_at = clock_timestamp()"
            " from json_to_recordset(%s::text::json) p (name text, epoch bigint, position bigint)"
            " where t.name = p.name and t.epoch = p.epoch and t.position = p.position returning t.name",
            (
                to.position,
                to.recorded_at,
                msgspec.json.encode(stood).decode(),
            ),  # as lists it would take ten times as long
        ).fetchall()
        lost = places.keys() - {name for (name,) in moved}
        if lost:
            raise Deposed(", ".join(sorted(lost)))

    def advanced(self, names: Iterable[str], to: Stand) -> None:
        self._kept_at = time.monotonic()
        for name in names:
            place = self.places[name]
            place.stand = Stand(to.position, max(to.recorded_at, place.stand.recorded_at))

    def keep(self) -> None:
        """Says that this leader lives, if it has not for HEARTBEAT_SECONDS. Raises Deposed."""
        if not self.places or time.monotonic() < self._kept_at + HEARTBEAT_SECONDS:
            return
        kept = self._connection.execute(
            "update tracking t set updated_at = clock_timestamp() from unnest(%s::text[], %s::bigint[]) p (name, epoch)"
            " where t.name = p.name and t.epoch = p.epoch returning t.name",
            (list(self.places), [place.epoch for place in self.places.values()]),
        ).fetchall()
        self._kept_at = time.monotonic()
        lost = self.places.keys() - {name for (name,) in kept}
        if lost:
            raise Deposed(", ".join(sorted(lost)))

    def close(self) -> None:
        """Lets go of everything before the connection is closed: PostgreSQL would notice that a moment later."""
        self.places.clear()
        if self._connection.info.transaction_status is TransactionStatus.IDLE:
            with suppress(psycopg.Error):
                self._connection.execute("select pg_advisory_unlock_all()")
        self._connection.close()

    def _lock(self, name: str) -> bool:
        lock = (f"{self._database.schema} {name}",)
        row = self._connection.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", lock).fetchone()
        return bool(row and row[0])

    def _unlock(self, name: str) -> None:
        self._connection.execute(
            "select pg_advisory_unlock(hashtextextended(%s, 0))", (f"{self._database.schema} {name}",)
        )

    def _end_paused(self, name: str) -> bool:
        """Ends the connection of a leader whose lease is over: True if it is gone. A stopped process keeps its
        connection, and its lock, for as long as it is stopped."""
        lock = f"{self._database.schema} {name}"
        holder = self._connection.execute(_EXPIRED, (lock, name, LEASE_SECONDS)).fetchone()
        if holder is None:
            return False
        try:
            # As the login itself: that may end its own connections, which none of its roles may.
            with psycopg.connect(self._database.url, autocommit=True, connect_timeout=10) as login:
                ended = login.execute(_END, holder).fetchone()
        except psycopg.errors.InsufficientPrivilege:
            log.warning("%s is led by a process that is paused, and that another login must end", name)
            return False
        if ended is None:
            return False
        log.warning(
            "the leader of %s has been silent for more than %.0f s: its connection was ended", name, LEASE_SECONDS
        )
        return bool(ended[0])


# Whoever holds the lock, by the two halves of its key, while the lease is over.
_EXPIRED = """
select l.pid from pg_locks l, tracking t
 where l.granted and l.locktype = 'advisory' and l.objsubid = 1
   and l.database = (select oid from pg_database where datname = current_database())
   and (l.classid::bigint << 32 | l.objid::bigint) = hashtextextended(%s, 0)
   and t.name = %s and t.updated_at < clock_timestamp() - make_interval(secs => %s)
"""
# One that is at work, or waits for a lock, is not paused.
_END = """
select pg_terminate_backend(pid, 5000) from pg_stat_activity
 where pid = %s and (state <> 'active' or wait_event_type = 'Client')
"""


class Listener:
    """Hears of appends by other processes. Losing it costs milliseconds: whoever waits polls as well."""

    def __init__(self, database: Database, channel: str, heard: threading.Event) -> None:
        self._database, self._channel, self._heard = database, channel, heard
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proteus-listen", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        pause = 0.1
        while not self._closing.is_set():
            try:
                with self._database.connect(Role.PROJECTOR) as connection:
                    connection.execute(f"listen {self._channel}".encode())
                    self._heard.set()
                    pause = 0.1
                    while not self._closing.is_set():
                        for _ in connection.notifies(timeout=0.5, stop_after=1):
                            self._heard.set()
            except psycopg.Error:
                self._closing.wait(pause)
                pause = min(pause * 2, 5.0)
