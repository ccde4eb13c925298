"""The sequencer: gives each workspace's events their places in its log, in order of position, and signs the tree.

One leads per shard. It follows behind the fence, so that no event comes before one that has its place already. Leaves,
tree and tracking row move in one transaction, which is on disk before anything signed can be read: a checkpoint never
tells of an event that a crash may lose.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import LiteralString, Self
from uuid import UUID

import msgspec

from application.audit import leaves, signing
from application.audit.proofs import hashes
from application.audit.tree import Edge, cut, edge_reads
from application.audit.verifying import leaf_hash
from application.event_store import metrics
from application.event_store.database import Connection, Database, Role
from application.event_store.envelope import POSITION, RECORDED_AT, WORKSPACE, Row
from application.event_store.follower import Deposed, Leadership, Listener, LogReader, Stand
from application.event_store.wakeup import CHANNEL

log = logging.getLogger(__name__)

NAME = "audit"
BATCH = 4_000
CACHED_LOGS = 1_000
IDLE_SECONDS = 0.5
GATHER_SECONDS = 0.2
"""How long events gather before they get their places: nobody waits for one, and a batch costs a write to disk."""
STANDBY_SECONDS = 1.0
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0


class Pace(msgspec.Struct, frozen=True):
    """How often a log's tree is signed: after so many events, and at the latest so long after the first that is not
    signed. The merge delay is `seconds`, and what the sequencer lags behind."""

    events: int = 10_000
    seconds: float = 5.0


class Sequencer:
    """Leads if it can, and stands by. `run` blocks; `stop` from elsewhere."""

    def __init__(self, database: Database, pace: Pace) -> None:
        self._database, self._pace = database, pace
        self._stopping = threading.Event()
        self._awake = threading.Event()

    def stop(self) -> None:
        self._stopping.set()
        self._awake.set()

    def run(self) -> None:
        """Until stopped. What fails is tried again, ever more slowly; nothing is lost."""
        listener = Listener(self._database, CHANNEL, self._awake)
        pause = FIRST_PAUSE
        try:
            while not self._stopping.is_set():
                started = time.monotonic()
                try:
                    with Session(self._database, self._pace) as session:
                        self._follow(session)
                except Deposed:
                    log.info("another process leads the sequencer now")
                except Exception:
                    if time.monotonic() - started > 10 * LONGEST_PAUSE:
                        pause = FIRST_PAUSE
                    log.exception("the sequencer stopped; trying again in %.1f s", pause)
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
            moved = session.step()
            if not moved:
                self._awake.wait(min(IDLE_SECONDS, self._pace.seconds))
            if moved < BATCH:
                self._stopping.wait(min(GATHER_SECONDS, self._pace.seconds))


class _Log:
    """One workspace's log as it stands. `signed`: the size of its newest checkpoint. `live`: false while it waits for
    events that stand behind those that were passed."""

    def __init__(self, edge: Edge, signed: int, live: bool) -> None:
        self.edge, self.signed, self.live = edge, signed, live


class _Writes:
    """What one transaction adds, by table."""

    def __init__(self) -> None:
        self.leaves: list[tuple[UUID, int, int, bytes, bytes]] = []
        self.nodes: list[tuple[UUID, int, int, bytes]] = []
        self.ends: dict[UUID, tuple[int, int]] = {}
        self.checkpoints: list[tuple[UUID, int, bytes, str]] = []

    def write(self, connection: Connection) -> None:
        statements: tuple[tuple[LiteralString, Sequence[tuple[object, ...]]], ...] = (
            (_INSERT_LEAVES, self.leaves),
            (_INSERT_NODES, self.nodes),
            (_INSERT_CHECKPOINTS, self.checkpoints),
            (_MOVE_LOGS, [(workspace, *end) for workspace, end in self.ends.items()]),
        )
        for statement, rows in statements:
            if rows:
                connection.execute(statement, [list(column) for column in zip(*rows, strict=True)])


class Session:
    """A connection to write and lead by, one to read by and one to the keys, from connecting to losing one of them."""

    def __init__(self, database: Database, pace: Pace) -> None:
        self._pace = pace
        self._keys = database.keys.connect(Role.PROJECTOR, statement_timeout="60s")
        self._connection = database.connect(Role.PROJECTOR, statement_timeout="60s")
        self._reading = database.connect(Role.PROJECTOR, statement_timeout="60s")
        self._reader = LogReader(self._reading)
        self._leadership = Leadership(database, self._connection)
        self._logs: OrderedDict[UUID, _Log] = OrderedDict()
        self._due: dict[UUID, float] = {}
        """When, by the monotonic clock, a log that has grown since is signed at the latest."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._reading.close()
        self._keys.close()
        self._leadership.close()

    def acquire(self) -> None:
        """Leads, if nobody else does, or keeps leading. Raises Deposed."""
        self._leadership.keep()
        if NAME not in self._leadership.places:
            if not self._leadership.acquire(NAME):
                return
            for (workspace,) in self._connection.execute(_UNSIGNED).fetchall():
                self._due[workspace] = 0.0
        for workspace, position in self._connection.execute(_BEHIND).fetchall():
            self._bring_up(workspace, position)

    def step(self) -> int:
        """One batch, and the checkpoints that are due; of how many events, 0 if there was nothing to do. Raises
        Deposed."""
        place = self._leadership.places.get(NAME)
        if place is None:
            return 0
        rows = self._reader.read(place.stand.position, BATCH)
        if not rows and not self._is_due():
            return 0
        stand = Stand(rows[-1][POSITION], max(row[RECORDED_AT] for row in rows)) if rows else place.stand
        with self._writing(stand) as writes:
            new = {row[WORKSPACE] for row in rows} - self._logs.keys()
            if new:
                self._connection.execute(_BEGIN_LOGS, (list(new),))
            self._append([row for row in rows if self._log(row[WORKSPACE]).live], writes)
        metrics.SEQUENCED_EVENTS.inc(len(rows))
        return len(rows)

    def catch_up(self) -> None:
        """Until nothing is left to do and all is signed, if nobody else leads. Raises Deposed."""
        self.acquire()
        while self.step() or self._behind():
            pass
        self._due = dict.fromkeys(self._due, 0.0)
        self.step()

    def _behind(self) -> bool:
        place = self._leadership.places.get(NAME)
        return place is not None and self._reader.head() > place.stand.position

    def _bring_up(self, workspace: UUID, position: int) -> None:
        """A workspace that has moved here: its events stand behind those that were passed already."""
        stand = self._leadership.places[NAME].stand
        log_ = self._log(workspace)
        while not log_.live:
            rows = self._reading.execute(_OF_WORKSPACE, (workspace, position, stand.position, BATCH), binary=True)
            found = rows.fetchall()
            with self._writing(stand) as writes:
                self._append(found, writes)
                if len(found) < BATCH:
                    self._connection.execute("update audit_log set live = true where workspace = %s", (workspace,))
            position = found[-1][POSITION] if found else position
            log_.live = len(found) < BATCH

    @contextmanager
    def _writing(self, to: Stand) -> Generator[_Writes]:
        """A transaction in which the sequencer moves, and what is due is signed. Raises Deposed."""
        writes = _Writes()
        try:
            with ExitStack() as held, self._connection.transaction():
                yield writes
                self._sign(writes, held)
                writes.write(self._connection)
                self._leadership.advance([NAME], to)
        except BaseException:
            self._logs.clear()  # they tell of what is not written
            raise
        self._leadership.advanced([NAME], to)
        for workspace, *_ in writes.checkpoints:
            del self._due[workspace]
        while len(self._logs) > CACHED_LOGS:
            self._logs.popitem(last=False)

    def _append(self, rows: Sequence[Row], writes: _Writes) -> None:
        wanted = {subject for row in rows for subject in leaves.subjects(row)}
        known = leaves.commitments(self._keys, wanted)
        due = time.monotonic() + self._pace.seconds
        for row in rows:
            workspace, position = row[WORKSPACE], row[POSITION]
            edge = self._log(workspace).edge
            index = edge.size
            leaf = leaves.write(index, row, leaves.keys_of(row, known))
            hash_ = leaf_hash(leaf)
            writes.leaves.append((workspace, index, position, leaf, hash_))
            writes.nodes += [(workspace, *node) for node in edge.append(hash_)]
            writes.ends[workspace] = edge.size, position
            self._due.setdefault(workspace, due)

    def _is_due(self) -> bool:
        now = time.monotonic()
        return any(due <= now for due in self._due.values())

    def _sign(self, writes: _Writes, held: ExitStack) -> None:
        """`held`: until what was signed is written."""
        now = time.monotonic()
        logs = {workspace: self._log(workspace) for workspace in self._due}
        due = [
            workspace
            for workspace, log_ in logs.items()
            if self._due[workspace] <= now or log_.edge.size - log_.signed >= self._pace.events
        ]
        signers = held.enter_context(signing.in_use(self._keys, due)) if due else {}
        for workspace, signer in signers.items():
            log_ = logs[workspace]
            size, root = log_.edge.size, log_.edge.root()
            writes.checkpoints.append((workspace, size, root, signing.checkpoint(size, root, signer)))
            log_.signed = size

    def _log(self, workspace: UUID) -> _Log:
        if workspace not in self._logs:
            self._logs[workspace] = self._loaded(workspace)
        return self._logs[workspace]

    def _loaded(self, workspace: UUID) -> _Log:
        row = self._connection.execute(_LOG, (workspace, workspace)).fetchone()
        assert row is not None, "a log is begun before it is looked at"
        size, live, signed = row
        reads = list(edge_reads(size))
        found = hashes(self._connection, workspace, reads)
        return _Log(Edge(size, [cut(found[one]) for one in reads]), signed, live)


_UNSIGNED = """
select l.workspace from audit_log l
 where l.size > coalesce((select max(c.size) from audit_checkpoint c where c.workspace = l.workspace), 0)
"""
_BEHIND = """
select l.workspace, l.position from audit_log l join workspace w on w.id = l.workspace
 where not l.live and not w.arriving
"""
_BEGIN_LOGS = """
insert into audit_log (workspace, live) select w.id, not w.arriving from workspace w where w.id = any(%s)
on conflict do nothing
"""
_OF_WORKSPACE = """
select * from event where workspace = %s and position > %s and position <= %s order by position limit %s
"""
_LOG = """
select l.size, l.live, coalesce((select max(c.size) from audit_checkpoint c where c.workspace = %s), 0)
  from audit_log l where l.workspace = %s
"""
_INSERT_LEAVES = """
insert into audit_leaf (workspace, index, position, leaf, hash)
select * from unnest(%b::uuid[], %b::bigint[], %b::bigint[], %b::bytea[], %b::bytea[])
"""
_INSERT_NODES = """
insert into audit_node (workspace, level, index, hash)
select * from unnest(%b::uuid[], %b::int[], %b::bigint[], %b::bytea[])
"""
# Two trees of one size are never signed: where the log was rewritten, what was signed first stays, and the scrub tells.
_INSERT_CHECKPOINTS = """
insert into audit_checkpoint (workspace, size, root, note)
select * from unnest(%b::uuid[], %b::bigint[], %b::bytea[], %b::text[]) on conflict do nothing
"""
_MOVE_LOGS = """
update audit_log l set size = m.size, position = m.position
  from unnest(%b::uuid[], %b::bigint[], %b::bigint[]) m (workspace, size, position) where l.workspace = m.workspace
"""
