"""The engine: follows the log and folds it into read models, many events at a time.

Read models move their tracking rows in the transaction that writes their rows, so that none doubles or loses an event.
Those that stand at the same position share one read, one opening of sealed texts, one fold of the domain's own states
and one transaction. Where there is much to do, PostgreSQL writes one batch while the next is read and folded.
"""

import logging
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from uuid import UUID

import msgspec

from application.event_store import metrics, tracing
from application.event_store.database import Database, Role
from application.event_store.envelope import POSITION
from application.event_store.follower import Deposed, Leadership, Listener, LogReader, Stand
from application.event_store.mapper import EnvelopeMapper
from application.event_store.sealing import Keyring, Sealer
from application.event_store.wakeup import CHANNEL, PROJECTED
from projections import parking
from projections.parking import Parked
from projections.projection import Change, Projection
from projections.rebuild import build_new
from projections.states import Folded, States, few_collections
from projections.writing import Inserts

log = logging.getLogger(__name__)

BATCH = 4_000
IDLE_SECONDS = 0.5
PACE_SECONDS = 0.01
"""Where events come in a crowd, steps begin at most so often: few large ones cost less than many small ones. One event
alone is never waited with."""
STANDBY_SECONDS = 1.0
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0


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
                    build_new(self._database, list(self._projections.values()), self._go_on)
                    with few_collections(), Session(self._database, self._projections) as session:
                        self._follow(session)
                except Deposed as error:
                    log.info("another process leads %s now", error)
                except _Stopped:
                    break
                except Exception:
                    if time.monotonic() - started > 10 * LONGEST_PAUSE:
                        pause = 0.1  # it has worked meanwhile: this is another failure
                    log.exception("projections stopped; trying again in %.1f s", pause)
                    self._stopping.wait(pause)
                    pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            listener.close()

    def _go_on(self, position: int, head: int) -> None:
        if self._stopping.is_set():
            raise _Stopped

    def _follow(self, session: "Session") -> None:
        next_standby = 0.0
        while not self._stopping.is_set():
            if time.monotonic() >= next_standby:
                session.acquire()
                next_standby = time.monotonic() + STANDBY_SECONDS
            self._awake.clear()
            began = time.monotonic()
            moved = session.step(ahead=True)
            if not moved:
                self._awake.wait(IDLE_SECONDS)
            elif 1 < moved < BATCH:
                self._stopping.wait(max(0.0, began + PACE_SECONDS - time.monotonic()))


class _Stopped(Exception):
    """While building from the beginning; the next one begins again."""


class _Failing(msgspec.Struct):
    """A read model whose last batch failed: left out until `until`, of the monotonic clock."""

    until: float
    pause: float


class _Batch(msgspec.Struct, frozen=True):
    """Folded, to be written: what each read model makes of it, and what it writes; None where its fold failed."""

    folded: Folded
    changes: dict[str, Sequence[Change]]
    writes: dict[str, Inserts | None]

    def traces(self) -> Iterator[str | None]:
        return (change.envelope.cause.trace for change in self.folded.changes)


class Session:
    """A connection to write and lead by and one to read by, from connecting to losing one of them."""

    def __init__(self, database: Database, projections: dict[str, Projection]) -> None:
        self._database = database
        self._projections = projections
        self._connection = database.connect(Role.PROJECTOR, synchronous_commit="off", statement_timeout="60s")
        self._reading = database.connect(Role.PROJECTOR, statement_timeout="60s")
        self._keys = database.keys.pool(Role.PROJECTOR, 1)
        self._reader = LogReader(self._reading)
        self._states = States(self._reader, EnvelopeMapper(Sealer(Keyring(self._keys))))
        self._leadership = Leadership(database, self._connection)
        self._failing: dict[str, _Failing] = {}
        self._parked: dict[str, set[UUID]] = {}
        self._writer = ThreadPoolExecutor(1, "proteus-write")
        self._written: tuple[_Batch, Future[None]] | None = None

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.shutdown(cancel_futures=True)
        self._keys.close()
        self._reading.close()
        self._leadership.close()

    def acquire(self) -> None:
        """Leads what nobody else leads, or what somebody led who is paused, and keeps what it leads. Raises Deposed."""
        self._settle()
        self._leadership.keep()
        for name in self._projections:
            if name not in self._leadership.places and self._leadership.acquire(name):
                self._parked[name] = parking.load(self._connection, name)

    def step(self, *, ahead: bool = False) -> int:
        """Moves each that is behind by one batch; over how many events, 0 if there was nothing to do. Those at one
        position move together, and the positions take turns: one that is new, or failed, catches up without the live
        ones waiting. One whose fold fails is tried again later, ever more slowly, and does not hold back the others.

        `ahead`: a full batch is still being written when it returns, and the next one may be folded meanwhile."""
        moved = 0
        for position in sorted({stand.position for stand in self._stands().values()}):
            moved += self._step_from(position)
        if not (ahead and moved):
            self._settle()
        return moved

    def _step_from(self, position: int) -> int:
        """To where the next ones stand, at most, so that they go on together."""
        stands = self._stands()
        behind = [name for name, stand in stands.items() if stand.position == position]
        if not behind:  # one that stood here has moved, or failed, meanwhile
            return 0
        further = min((stand.position for stand in stands.values() if stand.position > position), default=None)
        rows = self._reader.read(position, BATCH)
        full = len(rows) == BATCH
        if further is not None:
            rows = [row for row in rows if row[POSITION] <= further]
        if not rows:
            return 0
        left_out = parking.common([self._parked[name] for name in behind])
        folded = self._states.fold(rows, max(stands[name].recorded_at for name in behind), left_out)
        batch = self._fold(folded, behind)
        if not self._settle():
            return len(rows)  # what the batch was folded upon is not there
        if None in batch.writes.values():
            self._write_one_by_one(batch)
            return len(rows)
        self._written = batch, self._writer.submit(self._write, batch)
        for name in behind:  # the next batch is folded before this one is there
            self._parked[name] |= folded.unreadable.keys()
        if not full:
            self._settle()
        return len(rows)

    def _fold(self, folded: Folded, names: Sequence[str]) -> _Batch:
        batch = _Batch(folded, {}, {})
        for name in names:
            changes = batch.changes[name] = parking.without(folded.changes, self._parked[name])
            new = [one for one in folded.unreadable.values() if one.stream not in self._parked[name]]
            writes = batch.writes[name] = Inserts()
            try:
                parking.check(len(self._parked[name]), new)
                with metrics.FOLD_SECONDS.labels(name).time(), tracing.span(f"fold {name}", of=batch.traces()):
                    self._projections[name].fold(writes, changes)
                parking.record(writes, name, new)
            except Exception:
                batch.writes[name] = None  # what it is shows when it is sifted
        return batch

    def _stands(self) -> dict[str, Stand]:
        """Where those that do not fail will stand when what is being written is."""
        now = time.monotonic()
        stands: dict[str, Stand] = {
            name: place.stand
            for name, place in self._leadership.places.items()
            if name not in self._failing or self._failing[name].until <= now
        }
        if self._written is not None:
            batch = self._written[0]
            stands |= dict.fromkeys(batch.writes, batch.folded.stand)
        return stands

    def _write(self, batch: _Batch) -> None:
        """Of all read models or of none. One round trip."""
        with (
            metrics.WRITE_SECONDS.time(),
            tracing.span("write read models", of=batch.traces()),
            self._connection.pipeline(),
        ):
            with self._connection.transaction():
                for writes in batch.writes.values():
                    assert writes is not None, "a fold that failed is sifted"
                    writes.write(self._connection)
                self._leadership.advance(batch.writes, batch.folded.stand)
            self._tell_readers()
        self._leadership.advanced(batch.writes, batch.folded.stand)
        for name in batch.writes:
            metrics.FOLDED_EVENTS.labels(name).inc(len(batch.changes[name]))

    def _settle(self) -> bool:
        """Waits for what is being written. False where not all of it was: what was folded since is of no use."""
        if self._written is None:
            return True
        batch, written = self._written
        self._written = None
        try:
            written.result()
        except Exception as error:
            if isinstance(error, Deposed) or self._connection.closed:
                raise
            self._write_one_by_one(batch)
            return False
        self._tell(batch.folded.unreadable.values(), batch.writes)
        for name in batch.writes:
            self._failing.pop(name, None)
        return True

    def _write_one_by_one(self, batch: _Batch) -> None:
        """So that no read model holds back another, and no stream the others."""
        for name in batch.writes:
            try:
                self._write_sifted(name, batch)
                self._failing.pop(name, None)
            except Exception as error:
                if isinstance(error, Deposed) or self._connection.closed:
                    raise
                self._parked[name] = parking.load(self._connection, name)
                self._failed(name)

    def _write_sifted(self, name: str, batch: _Batch) -> None:
        projection, stand = self._projections[name], batch.folded.stand

        def write(changes: Sequence[Change]) -> None:
            writes = Inserts()
            projection.fold(writes, changes)
            writes.write(self._connection)

        with self._connection.transaction():
            known = parking.load(self._connection, name)
            found = parking.sift(self._connection, batch.changes[name], write)
            found = {**batch.folded.unreadable, **found}
            new = [one for stream, one in found.items() if stream not in known]
            parking.check(len(known), new)
            record = Inserts()
            parking.record(record, name, new)
            record.write(self._connection)
            self._leadership.advance([name], stand)
        self._tell_readers()
        self._leadership.advanced([name], stand)
        metrics.FOLDED_EVENTS.labels(name).inc(len(batch.changes[name]))
        self._parked[name] = known | found.keys()
        self._tell(new, [name])

    def _tell_readers(self) -> None:
        """Not in the transaction: NOTIFY lets only one commit at a time that does it."""
        self._connection.execute("select pg_notify(%s, '')", (PROJECTED,))

    def _tell(self, parked: Iterable[Parked], names: Iterable[str]) -> None:
        for one in parked:
            log.error(
                "stream %s is parked in %s from position %d on: %s; `proteus retry` makes it up once that is mended",
                one.stream,
                ", ".join(names),
                one.position,
                one.error,
            )

    def _failed(self, name: str) -> None:
        last = self._failing.get(name)
        pause = min(last.pause * 2, LONGEST_PAUSE) if last else FIRST_PAUSE
        self._failing[name] = _Failing(time.monotonic() + pause, pause)
        metrics.FOLD_FAILURES.labels(name).inc()
        log.exception("the read model %s stands still; trying again in %.1f s", name, pause)

    def catch_up(self) -> None:
        """Until those that this session leads, and that do not fail, have nothing to do: for tests and for loading.
        A gap held by a live writer is waited for."""
        if not self._leadership.places:
            build_new(self._database, list(self._projections.values()))
        self.acquire()
        with few_collections():
            while self.step(ahead=True) or self._behind():
                pass

    def _behind(self) -> bool:
        stands = self._stands().values()
        return bool(stands) and self._reader.head() > min(stand.position for stand in stands)
