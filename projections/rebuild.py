"""Rebuilding read models beside the live ones, several in one pass: shadow tables, bulk fold, catch up, compare, swap.
Readers notice nothing; a rebuild that is killed at any moment leaves the live ones serving, and the next one starts
afresh."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

import msgspec
import psycopg
from psycopg import sql

from application.event_store.database import Connection, Database, Role
from application.event_store.envelope import POSITION, Row
from application.event_store.follower import LogReader, Stand
from application.event_store.mapper import EnvelopeMapper
from application.event_store.sealing import Keyring, Sealer
from projections import parking
from projections.parking import Parked
from projections.projection import Change, Projection, allow, enforce
from projections.states import EARLIEST, Folded, States, few_collections
from projections.writing import Columns, Copies, Inserts

log = logging.getLogger(__name__)

Progress = Callable[[int, int], None]
"""Called with the position reached and the head of the log."""

BATCH = 4_000
NEW_FROM = 20_000
"""Events in the log, from which on read models that have not begun are built rather than followed."""
SWAP_ATTEMPTS = 100
SWAP_LOCK_TIMEOUT = "100ms"
INDEX_MEMORY = "256MB"


class RebuildBusy(Exception):
    """The swap found no moment without readers holding the old tables, or another rebuild is under way."""


class RebuildSummary(msgspec.Struct, frozen=True, kw_only=True):
    """`same`: whether the rebuilt tables equal the live ones; None where the live ones moved on while comparing.
    `seconds` since the beginning, until it was swapped."""

    name: str
    events: int
    seconds: float
    same: bool | None
    digests: dict[str, str]


def rebuild(
    database: Database, projection: Projection, progress: Progress = lambda position, head: None
) -> RebuildSummary:
    """Raises as `rebuild_all` does."""
    [summary] = rebuild_all(database, [projection], progress)
    return summary


def rebuild_all(
    database: Database, projections: Sequence[Projection], progress: Progress = lambda position, head: None
) -> list[RebuildSummary]:
    """All of them from one pass over the log, each swapped by itself: those that were swapped before an error stay.
    What cannot be folded is parked again, and nothing else. Raises RebuildBusy, parking.ReadModelBroken,
    psycopg.Error."""
    started = time.monotonic()
    summaries: list[RebuildSummary] = []
    with few_collections(), _Rebuild(database, projections) as under_way:
        under_way.make_shadows()
        under_way.catch_up(progress)
        under_way.finish_tables()
        under_way.catch_up(progress)
        for projection in projections:
            same, digests = under_way.compare(projection)
            under_way.swap(projection, progress)
            seconds = time.monotonic() - started
            summaries.append(
                RebuildSummary(
                    name=projection.name, events=under_way.events, seconds=seconds, same=same, digests=digests
                )
            )
    return summaries


def build_new(
    database: Database, projections: Sequence[Projection], progress: Progress = lambda position, head: None
) -> bool:
    """Where none of them has begun and the log is long, they are built as a rebuild builds them, in half of the time.
    Where others are live, a new one follows beside them instead. False if it did not: following them does as well."""
    names = [projection.name for projection in projections]
    with database.connect(Role.PROJECTOR) as connection:
        begun = connection.execute("select max(position) from tracking where name = any(%s)", (names,)).fetchone()
        if begun is None or begun[0] != 0 or LogReader(connection).head() < NEW_FROM:
            return False
    try:
        rebuild_all(database, projections, progress)
    except (RebuildBusy, parking.ReadModelBroken, psycopg.Error):
        log.exception("%s could not be built from the beginning; they follow instead", ", ".join(names))
        return False
    return True


class _Part(msgspec.Struct, frozen=True):
    """What one read model makes of a batch; `writes` None where its fold failed."""

    projection: Projection
    changes: Sequence[Change]
    writes: Inserts | Copies | None


class _Rebuild:
    """`left`: those that are not swapped yet."""

    def __init__(self, database: Database, projections: Sequence[Projection]) -> None:
        self._live = database.schema
        self.left = list(projections)
        path = ",".join([*map(self._shadow, projections), database.schema])
        self._owner = database.connect(Role.OWNER, search_path=path, maintenance_work_mem=INDEX_MEMORY)
        self._writing = database.connect(Role.PROJECTOR, search_path=path, synchronous_commit="off")
        self._reading = database.connect(Role.PROJECTOR, search_path=path)
        self._keys = database.keys.pool(Role.PROJECTOR, 1)
        self._writer = ThreadPoolExecutor(1, "proteus-rebuild")
        self._ahead = ThreadPoolExecutor(1, "proteus-rebuild-read")
        self._reader = LogReader(self._reading)
        self._states = States(self._reader, EnvelopeMapper(Sealer(Keyring(self._keys))))
        self._columns = Columns(self._reading)
        self._guarded = False
        self._parked: dict[str, dict[UUID, Parked]] = {projection.name: {} for projection in projections}
        self._stand: Stand = Stand(0, EARLIEST)
        self.events = 0

    def _shadow(self, projection: Projection) -> str:
        return f"{self._live}_rebuild_{projection.name}"

    def __enter__(self) -> "_Rebuild":
        for projection in self.left:
            lock = self._owner.execute(
                "select pg_try_advisory_lock(hashtextextended(%s, 0))", (self._shadow(projection),)
            ).fetchone()
            if lock is None or not lock[0]:
                self.__exit__()
                raise RebuildBusy(f"Another rebuild of {projection.name} is under way.")
        return self

    def __exit__(self, *_: object) -> None:
        self._ahead.shutdown(cancel_futures=True)
        self._writer.shutdown(cancel_futures=True)
        self._keys.close()
        self._reading.close()
        self._writing.close()
        if not self._owner.closed:  # PostgreSQL lets go of what a closed connection held only a moment later
            self._owner.execute("select pg_advisory_unlock_all()")
        self._owner.close()

    def make_shadows(self) -> None:
        for projection in self.left:
            shadow, live = sql.Identifier(self._shadow(projection)), sql.Identifier(self._live)
            with self._owner.transaction():
                self._owner.execute(sql.SQL("drop schema if exists {} cascade").format(shadow))
                self._owner.execute(sql.SQL("create schema {}").format(shadow))
                self._owner.execute(sql.SQL("grant usage on schema {} to proteus_projector").format(shadow))
                self._owner.execute(sql.SQL("set local search_path to {}, {}").format(shadow, live))
                self._owner.execute(projection.ddl)
                allow(self._owner, projection.tables)

    def finish_tables(self) -> None:
        """Row-level security comes before anybody else can see them, and ends COPY."""
        for projection in self.left:
            enforce(self._owner, projection.tables)
            self._owner.execute(projection.indexes)
            for table in projection.tables:  # else queries are planned without statistics, right after the swap
                self._owner.execute(sql.SQL("analyze {}").format(sql.Identifier(self._shadow(projection), table)))
        self._guarded = True

    def catch_up(self, progress: Progress) -> None:
        """To the head of the log, as it is when reached. While a batch is folded, one is written and one read."""
        written: Future[None] | None = None
        ahead: Future[list[Row]] | None = None
        while rows := self._reader.read(self._stand.position, BATCH) if ahead is None else ahead.result():
            full = len(rows) == BATCH  # else this is the head, which will have moved when this was folded
            ahead = self._ahead.submit(self._reader.read, rows[-1][POSITION], BATCH) if full else None
            left_out = parking.common([self._parked[one.name] for one in self.left])
            folded = self._states.fold(rows, self._stand.recorded_at, left_out)
            batch = [self._folded(projection, folded.changes) for projection in self.left]
            if written is not None:
                written.result()
            written = self._writer.submit(self._write, folded, batch)
            self._stand = folded.stand
            self.events += len(rows)
            progress(self._stand.position, self._reader.head())
        if written is not None:
            written.result()

    def _folded(self, projection: Projection, changes: Sequence[Change]) -> _Part:
        kept = parking.without(changes, self._parked[projection.name])
        try:
            return _Part(projection, kept, self._written(projection, kept))
        except Exception:
            return _Part(projection, kept, None)  # what it is shows when it is sifted

    def _written(self, projection: Projection, changes: Sequence[Change]) -> Inserts | Copies:
        writes = Inserts() if self._guarded else Copies(self._columns)
        projection.fold(writes, changes)
        return writes

    def _write(self, folded: Folded, batch: Sequence[_Part]) -> None:
        """Of all read models, or, where something is refused, of one after another: sifted."""
        try:
            with self._writing.transaction():
                for part in batch:
                    self._write_part(part)
        except Exception as error:
            if not parking.is_poison(error):
                raise
            for part in batch:
                self._sift(part)
        for part in batch:
            self._park(part.projection, folded.unreadable)

    def _write_part(self, part: _Part) -> None:
        """What was parked since it was folded is left out after all."""
        changes = parking.without(part.changes, self._parked[part.projection.name])
        if part.writes is not None and len(changes) == len(part.changes):
            part.writes.write(self._writing)
        else:
            self._written(part.projection, changes).write(self._writing)

    def _sift(self, part: _Part) -> None:
        changes = parking.without(part.changes, self._parked[part.projection.name])
        with self._writing.transaction():
            found = parking.sift(
                self._writing, changes, lambda some: self._written(part.projection, some).write(self._writing)
            )
        self._park(part.projection, found)

    def _park(self, projection: Projection, found: Mapping[UUID, Parked]) -> None:
        known = self._parked[projection.name]
        new = [one for stream, one in found.items() if stream not in known]
        parking.check(len(known), new)
        self._parked[projection.name] = known | {one.stream: one for one in new}

    def compare(self, projection: Projection) -> tuple[bool | None, dict[str, str]]:
        def digests(connection: Connection, schema: str) -> dict[str, str]:
            return {table: digest(connection, table, schema) for table in projection.tables}

        before = self._live_position(projection)
        living = self._writer.submit(digests, self._writing, self._live)
        built = digests(self._reading, self._shadow(projection))
        live = living.result()
        stood_still = before == self._live_position(projection) == self._stand.position
        return (live == built if stood_still else None), built

    def swap(self, projection: Projection, progress: Progress) -> None:
        """Policies and grants were set before. A short lock timeout, again and again, never queues readers."""
        for attempt in range(SWAP_ATTEMPTS):
            self.catch_up(progress)
            try:
                if self._try_swap(projection):
                    self.left.remove(projection)
                    return
            except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
                time.sleep(0.05 + 0.01 * attempt)
        raise RebuildBusy(f"The old tables of {projection.name} were never free for a moment; try again.")

    def _try_swap(self, projection: Projection) -> bool:
        """False where the live one is ahead: the shadow must catch up first."""
        with self._owner.transaction():
            self._owner.execute(sql.SQL("set local lock_timeout = {}").format(sql.Literal(SWAP_LOCK_TIMEOUT)))
            live = self._owner.execute(
                "select position from tracking where name = %s for update", (projection.name,)
            ).fetchone()
            assert live is not None
            if live[0] > self._stand.position:
                return False
            shadow = self._shadow(projection)
            for table in projection.tables:
                self._owner.execute(sql.SQL("drop table if exists {}").format(sql.Identifier(self._live, table)))
                self._owner.execute(
                    sql.SQL("alter table {} set schema {}").format(
                        sql.Identifier(shadow, table), sql.Identifier(self._live)
                    )
                )
            # The epoch deposes whoever leads: its next write, from before the swap, must not land.
            self._owner.execute(
                "update tracking set position = %s, recorded_at = %s, epoch = epoch + 1, shape = %s where name = %s",
                (self._stand.position, self._stand.recorded_at, projection.shape, projection.name),
            )
            self._owner.execute("delete from parked where projection = %s", (projection.name,))
            record = Inserts()
            parking.record(record, projection.name, self._parked[projection.name].values())
            record.write(self._owner)
            self._owner.execute(sql.SQL("drop schema {}").format(sql.Identifier(shadow)))
        return True

    def _live_position(self, projection: Projection) -> int:
        row = self._reading.execute("select position from tracking where name = %s", (projection.name,)).fetchone()
        assert row is not None
        return int(row[0])


def digest(connection: Connection, table: str, schema: str) -> str:
    """Of all rows, whatever their order: equal tables have equal digests. Of a table that is not there: none."""
    there = connection.execute(
        "select to_regclass(format('%%I.%%I', %s::text, %s::text)) is not null", (schema, table)
    ).fetchone()
    if there != (True,):
        return ""
    row = connection.execute(
        sql.SQL("select count(*) || ':' || coalesce(sum(hashtextextended(r::text, 0)), 0) from {} r").format(
            sql.Identifier(schema, table)
        )
    ).fetchone()
    assert row is not None
    return str(row[0])


def digests_of(database: Database, workspace: UUID, projections: Sequence[Projection]) -> dict[str, str]:
    """Of the rows that a workspace has in each table."""
    with database.connect(Role.READER) as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace),))
        tables = [table for projection in projections for table in projection.tables]
        return {table: digest(connection, table, database.schema) for table in tables}
