"""Rebuilding a read model beside the live one: shadow tables, bulk fold, catch up, compare, swap. Readers notice
nothing; a rebuild that is killed at any moment leaves the live one serving, and the next one starts afresh."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import psycopg
from psycopg import sql

from application.event_store.database import Connection, Database, Role
from application.event_store.follower import LogReader
from application.event_store.mapper import EnvelopeMapper
from application.event_store.sealing import Keyring, Sealer
from projections.engine import BATCH, Projection, States, secure

Progress = Callable[[int, int], None]
"""Called with the position reached and the head of the log."""

SWAP_ATTEMPTS = 100
SWAP_LOCK_TIMEOUT = "100ms"
EARLIEST = datetime.min.replace(tzinfo=UTC)


class RebuildBusy(Exception):
    """The swap found no moment without readers holding the old tables; nothing changed."""


class RebuildSummary(msgspec.Struct, frozen=True, kw_only=True):
    """`same`: whether the rebuilt tables equal the live ones; None where the live ones moved on while comparing."""

    name: str
    events: int
    seconds: float
    same: bool | None
    digests: dict[str, str]


def rebuild(
    database: Database, projection: Projection, progress: Progress = lambda position, head: None
) -> RebuildSummary:
    """Raises RebuildBusy, psycopg.Error."""
    started = time.monotonic()
    with _Rebuild(database, projection) as under_way:
        under_way.make_shadow()
        under_way.catch_up(progress)
        under_way.add_indexes()
        under_way.catch_up(progress)
        same, digests = under_way.compare()
        under_way.swap(progress)
        return RebuildSummary(
            name=projection.name,
            events=under_way.events,
            seconds=time.monotonic() - started,
            same=same,
            digests=digests,
        )


class _Rebuild:
    def __init__(self, database: Database, projection: Projection) -> None:
        self._projection = projection
        self._live, self._shadow = database.schema, f"{database.schema}_rebuild_{projection.name}"
        path = f"{self._shadow},{database.schema},{database.keys_schema}"
        self._owner = database.connect(Role.OWNER, search_path=path)
        self._writer = database.connect(Role.PROJECTOR, search_path=path, synchronous_commit="off")
        self._keys = database.pool(Role.PROJECTOR, 1)
        self._reader = LogReader(self._writer)
        self._states = States(self._reader, EnvelopeMapper(Sealer(Keyring(self._keys))))
        self.position, self.events, self._recorded_max = 0, 0, EARLIEST

    def __enter__(self) -> "_Rebuild":
        lock = self._owner.execute("select pg_try_advisory_lock(hashtextextended(%s, 0))", (self._shadow,)).fetchone()
        if lock is None or not lock[0]:
            self.__exit__()
            raise RebuildBusy(f"Another rebuild of {self._projection.name} is under way.")
        return self

    def __exit__(self, *_: object) -> None:
        self._keys.close()
        self._writer.close()
        self._owner.close()

    def make_shadow(self) -> None:
        shadow = sql.Identifier(self._shadow)
        with self._owner.transaction():
            self._owner.execute(sql.SQL("drop schema if exists {} cascade").format(shadow))
            self._owner.execute(sql.SQL("create schema {}").format(shadow))
            self._owner.execute(sql.SQL("grant usage on schema {} to proteus_projector").format(shadow))
            self._owner.execute(self._projection.ddl)
            secure(self._owner, self._projection)

    def add_indexes(self) -> None:
        self._owner.execute(self._projection.indexes)
        for table in self._projection.tables:  # else queries are planned without statistics, right after the swap
            self._owner.execute(sql.SQL("analyze {}").format(sql.Identifier(self._shadow, table)))

    def catch_up(self, progress: Progress) -> None:
        """To the head of the log, as it is when reached."""
        while rows := self._reader.read(self.position, BATCH):
            changes = self._states.fold(rows, self._recorded_max)
            with self._writer.transaction():
                self._projection.fold(self._writer, changes)
            self.position, self._recorded_max = rows[-1].position, changes[-1].recorded_max
            self.events += len(rows)
            progress(self.position, self._reader.head())

    def compare(self) -> tuple[bool | None, dict[str, str]]:
        tables = self._projection.tables
        before = self._live_position()
        live = {table: digest(self._writer, self._projection, table, self._live) for table in tables}
        built = {table: digest(self._writer, self._projection, table, self._shadow) for table in tables}
        stood_still = before == self._live_position() == self.position
        return (live == built if stood_still else None), built

    def swap(self, progress: Progress) -> None:
        """Policies and grants were set before. A short lock timeout, again and again, never queues readers."""
        for attempt in range(SWAP_ATTEMPTS):
            self.catch_up(progress)
            try:
                if self._try_swap():
                    return
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                time.sleep(0.05 + 0.01 * attempt)
        raise RebuildBusy(f"The old tables of {self._projection.name} were never free for a moment; try again.")

    def _try_swap(self) -> bool:
        """False where the live one is ahead: the shadow must catch up first."""
        with self._owner.transaction():
            self._owner.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(SWAP_LOCK_TIMEOUT)))
            live = self._owner.execute(
                "select position from tracking where name = %s for update", (self._projection.name,)
            ).fetchone()
            assert live is not None
            if live[0] > self.position:
                return False
            for table in self._projection.tables:
                self._owner.execute(sql.SQL("drop table {}").format(sql.Identifier(self._live, table)))
                self._owner.execute(
                    sql.SQL("alter table {} set schema {}").format(
                        sql.Identifier(self._shadow, table), sql.Identifier(self._live)
                    )
                )
            # The epoch deposes whoever leads: its next write, from before the swap, must not land.
            self._owner.execute(
                "update tracking set position = %s, recorded_at = %s, epoch = epoch + 1 where name = %s",
                (self.position, self._recorded_max, self._projection.name),
            )
            self._owner.execute(sql.SQL("drop schema {}").format(sql.Identifier(self._shadow)))
        return True

    def _live_position(self) -> int:
        row = self._writer.execute("select position from tracking where name = %s", (self._projection.name,)).fetchone()
        assert row is not None
        return int(row[0])


def digest(connection: Connection, projection: Projection, table: str, schema: str) -> str:
    """Of all rows in the order of the table's key: equal tables have equal digests."""
    keys = sql.SQL(", ").join(sql.Identifier("r", name) for name in projection.keys[table])
    row = connection.execute(
        sql.SQL(
            "select count(*) || ':' || coalesce(md5(string_agg(md5(r::text), '' order by {})), '') from {} r"
        ).format(keys, sql.Identifier(schema, table))
    ).fetchone()
    assert row is not None
    return str(row[0])
