"""The engine: follows the log and folds it into read models, many events at a time.

Each read model moves its tracking row in the transaction that writes its rows, so that it never doubles or loses an
event. Read models that stand at the same position share one read, one opening of sealed texts and one fold of the
domain's own states.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg import sql

from application.event_store.database import Connection, Database, Role
from application.event_store.envelope import Envelope, State, StoredEnvelope, Stream
from application.event_store.event_types import fold
from application.event_store.follower import Deposed, Leadership, Listener, LogReader, Place
from application.event_store.mapper import EnvelopeMapper
from application.event_store.sealing import Keyring, Sealer
from application.event_store.wakeup import CHANNEL

log = logging.getLogger(__name__)

BATCH = 2_000
CACHED_STATES = 50_000
IDLE_SECONDS = 0.5
STANDBY_SECONDS = 1.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


class Change(msgspec.Struct, frozen=True):
    """One event and what it made of its stream: the domain's own state before and after.
    `recorded_max`: the latest time at which this event or any before it was recorded."""

    envelope: Envelope
    before: State | None
    after: State
    recorded_max: datetime


class Projection(msgspec.Struct, frozen=True, kw_only=True):
    """A read model: its tables, how a batch of events folds into rows, and which columns hold personal data.

    `tables`: each has a column `workspace`; `ddl` makes them with what the fold needs, `indexes` the rest.
    `keys`: the columns by which each table's rows are put in order, to compare two of them.
    `fold` writes through the given connection, inside the engine's transaction.
    `personal`: table -> columns in plain text that an erasure must wipe.
    """

    name: str
    tables: tuple[str, ...]
    keys: dict[str, tuple[str, ...]]
    ddl: LiteralString
    indexes: LiteralString
    fold: Callable[[Connection, Sequence[Change]], None]
    personal: dict[str, tuple[str, ...]] = {}


class States:
    """The domain's states as of the last event that was folded, by stream; loaded from the log where unknown."""

    def __init__(self, reader: LogReader, mapper: EnvelopeMapper) -> None:
        self._reader = reader
        self._mapper = mapper
        self._streams: OrderedDict[UUID, Stream] = OrderedDict()

    def fold(self, rows: Sequence[StoredEnvelope], recorded_max: datetime) -> list[Change]:
        envelopes = self._mapper.to_envelopes(rows)
        self._load_missing(envelopes)
        changes: list[Change] = []
        for envelope in envelopes:
            assert envelope.recorded_at is not None
            recorded_max = max(recorded_max, envelope.recorded_at)
            before = self._streams.get(envelope.originator_id)
            after = fold(before, envelope)
            self._streams[envelope.originator_id] = after
            self._streams.move_to_end(envelope.originator_id)
            changes.append(Change(envelope, before.state if before else None, after.state, recorded_max))
        while len(self._streams) > CACHED_STATES:
            self._streams.popitem(last=False)
        return changes

    def _load_missing(self, envelopes: Sequence[Envelope]) -> None:
        first: dict[UUID, int] = {}
        for envelope in envelopes:
            first.setdefault(envelope.originator_id, envelope.originator_version)
        missing: dict[UUID, int] = {}
        for id_, version in first.items():
            known = self._streams.get(id_)
            if (known.version if known else 0) != version - 1:
                self._streams.pop(id_, None)
                if version > 1:
                    missing[id_] = version
        if missing:
            for envelope in self._mapper.to_envelopes(self._reader.streams(missing)):
                self._streams[envelope.originator_id] = fold(self._streams.get(envelope.originator_id), envelope)


class Engine:
    """Leads as many read models as it can get, and stands by for the rest. `run` blocks; `stop` from elsewhere."""

    def __init__(self, database: Database, projections: Sequence[Projection]) -> None:
        self._database = database
        self._projections = {projection.name: projection for projection in projections}
        self._stopping = threading.Event()
        self._awake = threading.Event()

    def stop(self) -> None:
        self._stopping.set()
        self._awake.set()

    def run(self) -> None:
        """Until stopped. A lost connection or a failing batch is tried again, ever more slowly; nothing is lost."""
        listener = Listener(self._database, CHANNEL, self._awake)
        pause = 0.1
        try:
            while not self._stopping.is_set():
                started = time.monotonic()
                try:
                    with Session(self._database, self._projections) as session:
                        self._follow(session)
                except Deposed as error:
                    log.info("another process leads %s now", error)
                except Exception:
                    if time.monotonic() - started > 10 * LONGEST_PAUSE:
                        pause = 0.1  # it has worked meanwhile: this is another failure
                    log.exception("projections stopped; trying again in %.1f s", pause)
                    self._stopping.wait(pause)
                    pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            listener.close()

    def _follow(self, session: "Session") -> None:
        next_standby = 0.0
        while not self._stopping.is_set():
            if time.monotonic() >= next_standby:
                session.acquire()
                next_standby = time.monotonic() + STANDBY_SECONDS
            self._awake.clear()
            if not session.step():
                self._awake.wait(IDLE_SECONDS)


class _Failing(msgspec.Struct):
    """A read model whose last batch failed: left out until `until`, of the monotonic clock."""

    until: float
    pause: float


class Session:
    """One connection to read and write by, from connecting to losing it."""

    def __init__(self, database: Database, projections: dict[str, Projection]) -> None:
        self._projections = projections
        self._connection = database.connect(Role.PROJECTOR, synchronous_commit="off", statement_timeout="60s")
        self._keys = database.pool(Role.PROJECTOR, 1)
        self._reader = LogReader(self._connection)
        self._states = States(self._reader, EnvelopeMapper(Sealer(Keyring(self._keys))))
        self._leadership = Leadership(database, self._connection)
        self._failing: dict[str, _Failing] = {}

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._keys.close()
        self._connection.close()

    def acquire(self) -> None:
        for name in self._projections:
            self._leadership.acquire(name)

    def step(self) -> bool:
        """Moves each that is behind by one batch; False if there was nothing to do. Those at one position move
        together, and the positions take turns: one that is new, or failed, catches up without the live ones waiting.
        One whose fold fails is tried again later, ever more slowly, and does not hold back the others."""
        moved = False
        for position in sorted({place.position for place in self._working().values()}):
            moved = self._step_from(position) or moved
        return moved

    def _step_from(self, position: int) -> bool:
        """To where the next ones stand, at most, so that they go on together."""
        places = self._working()
        behind = [name for name, place in places.items() if place.position == position]
        if not behind:  # one that stood here has moved, or failed, meanwhile
            return False
        ahead = min((place.position for place in places.values() if place.position > position), default=None)
        rows = self._reader.read(position, BATCH)
        if ahead is not None:
            rows = [row for row in rows if row.position <= ahead]
        if not rows:
            return False
        changes = self._states.fold(rows, max(places[name].recorded_at for name in behind))
        for name in behind:
            try:
                self._write(self._projections[name], changes)
                self._failing.pop(name, None)
            except Exception as error:
                if isinstance(error, Deposed) or self._connection.closed:
                    raise
                self._failed(name)
        return True

    def _working(self) -> dict[str, Place]:
        now = time.monotonic()
        held = {name for name, failing in self._failing.items() if failing.until > now}
        return {name: place for name, place in self._leadership.places.items() if name not in held}

    def _failed(self, name: str) -> None:
        last = self._failing.get(name)
        pause = min(last.pause * 2, LONGEST_PAUSE) if last else FIRST_PAUSE
        self._failing[name] = _Failing(time.monotonic() + pause, pause)
        log.exception("the read model %s stands still; trying again in %.1f s", name, pause)

    def _write(self, projection: Projection, changes: Sequence[Change]) -> None:
        position, recorded_at = changes[-1].envelope.position, changes[-1].recorded_max
        with self._connection.transaction():
            projection.fold(self._connection, changes)
            self._leadership.advance(projection.name, position, recorded_at)
        self._leadership.advanced(projection.name, position, recorded_at)

    def catch_up(self) -> None:
        """Until those that this session leads, and that do not fail, have nothing to do: for tests and for loading.
        A gap held by a live writer is waited for."""
        self.acquire()
        while self.step() or self._behind():
            pass

    def _behind(self) -> bool:
        places = self._working().values()
        return bool(places) and self._reader.head() > min(place.position for place in places)


def insert(connection: Connection, table: LiteralString, rows: Sequence[dict[str, Any] | msgspec.Struct]) -> None:
    """Adds many rows at once, all with the same names, which are the columns'. (COPY refuses tables with row-level
    security.)"""
    names = rows[0] if isinstance(rows[0], dict) else rows[0].__struct_fields__
    connection.execute(
        sql.SQL("insert into {0} ({1}) select {1} from json_populate_recordset(null::{0}, %s::text::json)").format(
            sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, names))
        ),
        (msgspec.json.encode(rows).decode(),),
    )


def install(connection: Connection, projections: Sequence[Projection]) -> None:
    """Makes the tables that are missing; call it as the owner, with the shard's search_path."""
    for projection in projections:
        known = connection.execute("select 1 from tracking where name = %s", (projection.name,)).fetchone()
        if known is None:
            connection.execute(projection.ddl)
            secure(connection, projection)
            connection.execute(projection.indexes)
            connection.execute("insert into tracking (name) values (%s)", (projection.name,))


def secure(connection: Connection, projection: Projection) -> None:
    """Row-level security and grants; part of making a table, so that none is ever without them."""
    for table in projection.tables:
        name = sql.Identifier(table)
        for statement in _SECURITY:
            connection.execute(sql.SQL(statement).format(name))


_SECURITY: tuple[LiteralString, ...] = (
    "alter table {} enable row level security",
    "alter table {} force row level security",
    "create policy own on {} for select to proteus_reader using (workspace = current_workspace())",
    "create policy follow on {} to proteus_projector, proteus_owner using (true)",
    "grant select on {} to proteus_reader",
    "grant select, insert, update, delete on {} to proteus_projector",
)
