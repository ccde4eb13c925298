"""The scrub: makes the tree anew from the event table, and says which event is the first that differs.

What is compared, leaf by leaf: the event's row with what its leaf says, the leaf with its hash, the hashes with the
tree that is kept, the tree with every checkpoint that was signed.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from uuid import UUID

import msgspec
import psycopg

from application.audit import leaves, signing
from application.audit.leaves import Leaf
from application.audit.proofs import CHECKPOINTS, SignedTree
from application.audit.tree import WIDTH_BITS, Edge
from application.audit.verifying import Checkpoint, NotProven, leaf_hash
from application.event_store.database import Connection, Database, Role
from application.event_store.envelope import Row

log = logging.getLogger(__name__)

CHUNK = 2_000
CHECK_SECONDS = 60.0
REST_SECONDS = 0.02
"""Between two chunks of a scrub that nobody waits for."""

Kept = tuple[int, int]
"""A hash of the tree: level, index."""

Progress = Callable[[int, int], None]
"""Called with the number of leaves done and of all."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing that differs. `index`: of the leaf, None of an event that has none. `position`: of the event."""

    index: int | None
    position: int | None
    says: str


class Scrubbed(msgspec.Struct, frozen=True, kw_only=True):
    """`size`: how many leaves the log had."""

    size: int
    finding: Finding | None


def scrub(
    database: Database,
    workspace: UUID,
    progress: Progress = lambda done, total: None,
    go_on: Callable[[], bool] = lambda: True,
) -> Scrubbed | None:
    """Of one workspace, as far as its log has come; the result is kept, too. None where `go_on` said to stop.
    Raises psycopg.Error."""
    with (
        database.connect(Role.PROJECTOR, statement_timeout="0") as connection,
        database.keys.connect(Role.PROJECTOR, statement_timeout="0") as keys,
    ):
        # In this order: a tree that is signed meanwhile is not looked at, an event that comes meanwhile no stranger.
        signed = [SignedTree(*row) for row in connection.execute(f"{CHECKPOINTS} order by size", (workspace,))]
        passed, size = connection.execute(_STAND, (workspace,)).fetchone() or (0, 0)
        stranger = _stranger(connection, workspace, passed)
        before = stranger.position if stranger else None
        scrubbing = _Scrubbing(connection, keys, workspace, size, signed, before=before)
        for done in scrubbing.run():
            progress(done, size)
            if not go_on():
                return None
        found = scrubbing.finding or stranger
        connection.execute(
            "insert into audit_scrub (workspace, size, index, position, finding) values (%s, %s, %s, %s, %s)",
            (workspace, size, found and found.index, found and found.position, found and found.says),
        )
    return Scrubbed(size=size, finding=found)


def _stranger(connection: Connection, workspace: UUID, passed: int) -> Finding | None:
    """The first event that the sequencer has passed and that has no leaf."""
    row = connection.execute(_STRANGER, {"workspace": workspace, "passed": passed}).fetchone()
    if row is None:
        return None
    position, name, stream, version = row
    says = f"{name}, version {version} of the stream {stream}, was slipped in at position {position}: it has no leaf."
    return Finding(index=None, position=position, says=says)


class _Scrubbing:
    """One pass over the leaves. It ends at the first that differs, or `before` a position where something else does."""

    def __init__(
        self,
        connection: Connection,
        keys: Connection,
        workspace: UUID,
        size: int,
        signed: Sequence[SignedTree],
        before: int | None,
    ) -> None:
        self._connection, self._keys = connection, keys
        self._workspace, self._size, self._before = workspace, size, before
        self._signed = deque(signed)
        self._signers = signing.known(keys, workspace)
        self._edge = Edge()
        self._agreed: tuple[int, int] | None = None
        """Index and position of the first leaf that no checkpoint has confirmed."""
        self.finding: Finding | None = None

    def run(self) -> Iterator[int]:
        """Yields how many leaves are done."""
        while self.finding is None and self._edge.size < self._size:
            first, past = self._edge.size, min(self._edge.size + CHUNK, self._size)
            rows = self._connection.execute(_LEAVES, (self._workspace, first, past), binary=True).fetchall()
            near = [row for row in rows if self._before is None or row[1] < self._before]
            self._check(near, past)
            further = rows[len(near)][0] if len(near) < len(rows) else past
            if self.finding is None and self._edge.size < further:
                self.finding = Finding(index=self._edge.size, position=None, says=f"Leaf {self._edge.size} is missing.")
            if len(near) < len(rows):
                return
            yield self._edge.size
        if self.finding is None and self._signed:
            beyond = self._signed[0]
            when = f"{beyond.at:%Y-%m-%d %H:%M:%S}"
            says = f"The log was cut: a tree of {beyond.size} events was signed at {when}, and it has {self._size}."
            self.finding = Finding(index=self._size, position=None, says=says)

    def _check(self, rows: Sequence[Row], past: int) -> None:
        nodes = self._nodes(past)
        events = [row[4:] for row in rows]
        subjects = {subject for event in events if event[0] is not None for subject in leaves.subjects(event)}
        known = leaves.commitments(self._keys, subjects)
        for row, event in zip(rows, events, strict=True):
            says = self._differs(row, event, known, nodes)
            if says is not None:
                self.finding = self.finding or Finding(index=row[0], position=row[1], says=says)
                return

    def _differs(self, row: Row, event: Row, known: leaves.Commitments, nodes: dict[Kept, bytes]) -> str | None:
        index, position, leaf, hash_ = row[:4]
        if index != self._edge.size:
            return f"Leaf {self._edge.size} is missing."
        said = leaves.read(leaf)
        if said is None:
            return f"Leaf {index}, of the event at position {position}, cannot be read."
        what = f"{said.name}, version {said.version} of the stream {said.stream}, at position {position}"
        if event[0] is None:
            return f"{what}, was removed."
        again = leaves.write(index, event, said.keys)
        if again != leaf:
            return f"{what}: {_difference(said, leaves.read(again))}."
        if not set(said.keys) <= set(leaves.keys_of(event, known)):
            return f"{what}: a key that sealed it was replaced."
        if leaf_hash(leaf) != hash_:
            return f"{what}: its leaf and the hash of it differ."
        self._agreed = self._agreed or (index, position)
        if any(nodes.get((level, n)) != root for level, n, root in self._edge.append(hash_)):
            return f"{what}: the tree above it is not the one that its leaves make."
        return self._differs_from_signed(position)

    def _differs_from_signed(self, position: int) -> str | None:
        size = self._edge.size
        while self._signed and self._signed[0].size == size:
            signed = self._signed.popleft()
            if self._edge.root() != signed.root or not self._is_signed(signed):
                assert self._agreed is not None, "a leaf stands before"
                index, first = self._agreed
                which = (
                    f"The event at position {first}"
                    if index == size - 1
                    else f"An event from position {first} to {position}"
                )
                says = (
                    f"{which} was rewritten, with its leaf: the tree of {size} that was signed at"
                    f" {signed.at:%Y-%m-%d %H:%M:%S} is another."
                )
                self.finding = Finding(index=index, position=first, says=says)
                return says
            self._agreed = None
        return None

    def _is_signed(self, signed: SignedTree) -> bool:
        """By one of the workspace's keys, and of this tree."""
        try:
            note = Checkpoint.parse(signed.note)
            by = [key for key in self._signers if note.signed_by(key) is not None]
        except NotProven:
            return False
        return bool(by) and (note.size, note.root, note.origin) == (signed.size, signed.root, by[0].name)

    def _nodes(self, past: int) -> dict[Kept, bytes]:
        """Of the tree that is kept, those that the next leaves complete."""
        found: dict[Kept, bytes] = {}
        level = 1
        while past >> WIDTH_BITS * level:
            span = self._edge.size >> WIDTH_BITS * level, past >> WIDTH_BITS * level
            rows = self._connection.execute(_NODES, (self._workspace, level, *span)).fetchall()
            found |= {(level, index): hash_ for index, hash_ in rows}
            level += 1
        return found


def _difference(said: Leaf, found: Leaf | None) -> str:
    assert found is not None, "it was written just now"
    if (said.stream, said.version, said.name) != (found.stream, found.version, found.name):
        return f"{found.name}, version {found.version} of the stream {found.stream}, stands there now"
    changed = [word for field, word in _WORDS if getattr(said, field) != getattr(found, field)]
    return f"{' and '.join(changed) or 'what its leaf says'} was changed"


_WORDS = (
    ("state", "its content"),
    ("cause", "who caused it, when or why"),
    ("recorded_at", "when it was recorded"),
)

# The stand first: what was passed by then has its leaf, whatever comes meanwhile.
_STAND = """
select case when coalesce(l.live, true) then t.position else coalesce(l.position, 0) end, coalesce(l.size, 0)
  from tracking t left join audit_log l on l.workspace = %s where t.name = 'audit'
"""
_STRANGER = """
select e.position, e.name, e.stream, e.version from event e
 where e.workspace = %(workspace)s and e.position <= %(passed)s
   and not exists (select from audit_leaf l where l.workspace = e.workspace and l.position = e.position)
 order by e.position limit 1
"""
_LEAVES = """
select l.index, l.position, l.leaf, l.hash, e.* from audit_leaf l
  left join event e on e.position = l.position and e.workspace = l.workspace
 where l.workspace = %s and l.index >= %s and l.index < %s order by l.index
"""
_NODES = "select index, hash from audit_node where workspace = %s and level = %s and index >= %s and index < %s"


class Scrubber:
    """Scrubs every workspace now and then, in a thread of its own that yields to others."""

    def __init__(self, database: Database, period: timedelta, every: float = CHECK_SECONDS) -> None:
        """`every`: seconds between two looks for a log whose last scrub is a period ago."""
        self._database, self._period, self._every = database, period, every
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proteus-scrubber", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping.wait(self._every):
            try:
                self._scrub_due()
            except psycopg.Error:
                log.exception("the logs were not scrubbed; trying again")

    def _scrub_due(self) -> None:
        """Those whose last scrub is a period ago. Nothing where another process is at it."""
        with self._database.connect(Role.PROJECTOR) as connection:
            if connection.execute(_LOCK).fetchone() != (True,):
                return
            for (workspace,) in connection.execute(_DUE, (self._period,)).fetchall():
                scrubbed = scrub(self._database, workspace, go_on=self._rest)
                if scrubbed is None:
                    return
                if scrubbed.finding is not None:
                    log.error("the log of workspace %s was tampered with: %s", workspace, scrubbed.finding.says)

    def _rest(self) -> bool:
        return not self._stopping.wait(REST_SECONDS)


_LOCK = "select pg_try_advisory_lock(hashtextextended(current_schema() || ' audit scrub', 0))"
_DUE = """
select l.workspace from audit_log l
 where not exists (select from audit_scrub s where s.workspace = l.workspace and s.at > clock_timestamp() - %s)
"""
