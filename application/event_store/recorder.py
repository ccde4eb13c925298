"""The library's recorder over our table: grouped append instead of a table lock, reads of one workspace."""

from collections.abc import Sequence
from typing import Any, LiteralString, cast
from uuid import UUID

import msgspec
import psycopg
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    Mapper,
    Notification,
    ProcessRecorder,
    RecordConflictError,
    Subscription,
    TrackingRecorder,
    Transcoder,
)
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from application.event_store.appender import NOTHING_SEEN, Appended, Appender, Seen, encode_rows
from application.event_store.attempts import StoreUnavailable, on_connection
from application.event_store.database import Connection
from application.event_store.envelope import Row, StoredEnvelope, stored
from application.event_store.wakeup import Wakeup

Statement = tuple[LiteralString, Sequence[object]]

MOVED_LIMIT = 1_000

EARLIER: LiteralString = "select * from earlier(%s, %s::uuid[])"


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """What a command left behind: the last version and position that it wrote (or found, if nothing changed)."""

    command_id: UUID
    command_hash: bytes
    stream: UUID
    version: int
    position: int


class VersionConflict(RecordConflictError):
    """Somebody else appended to the stream or to one that was seen, or moved the guard, since it was loaded."""


class AlreadyRecorded(RecordConflictError):
    """The command id was recorded before; `first` is what it left behind."""

    def __init__(self, first: Recorded, *, resent: bool = False) -> None:
        super().__init__(f"command {first.command_id} was recorded before")
        self.first = first
        self.resent = resent
        """True where this very append was sent twice, after a lost connection: the first sending won."""


class Guard(msgspec.Struct, frozen=True):
    """A rule that spans streams: append only if the guard still has this version (0: never used), and move it."""

    name: str
    version: int


class Recorder(ApplicationRecorder):
    """Reads and writes one workspace. Cheap: pool and appender are the shard's."""

    def __init__(
        self,
        workspace: UUID,
        pool: ConnectionPool[Connection],
        appender: Appender,
        wakeup: Wakeup,
    ) -> None:
        self.workspace = workspace
        self._pool = pool
        self._appender = appender
        self._wakeup = wakeup

    def insert_events(self, stored_events: Sequence[Any], **kwargs: Any) -> Sequence[int]:
        """One command's events; all or nothing.

        `guards`: appended in a transaction of their own, as are several streams or commands at once.
        `seen`: versions of other streams, for one command on one stream: refused where one has grown.
        `answers`: a list that gets the answer for one command on one stream.
        Raises VersionConflict, AlreadyRecorded, StoreUnavailable.
        """
        rows = cast(Sequence[StoredEnvelope], stored_events)
        guards: Sequence[Guard] = kwargs.get("guards") or ()
        unchanged: Sequence[Recorded] = kwargs.get("unchanged") or ()
        streams = {row.originator_id for row in rows}
        commands = {row.cause.command_id for row in rows}
        if guards or unchanged or len(streams) > 1 or len(commands) > 1:
            return self._insert_together(rows, guards, unchanged)
        if not rows:
            return ()
        answer = self._appender.append(rows, kwargs.get("seen", NOTHING_SEEN))
        if not answer.won:
            self._raise_lost(rows[0].cause.command_id, resent=answer.resent)
        answers: list[Appended] = kwargs.get("answers", [])
        answers.append(answer)
        # Only the last position matters to callers: it is what the command's result carries.
        return [answer.position] * len(rows)

    def append_each(
        self, commands: Sequence[Sequence[StoredEnvelope]], seen: Sequence[Seen]
    ) -> list[Appended | VersionConflict | AlreadyRecorded]:
        """Commands on a stream of their own each, every one of them all or nothing for itself. Raises
        StoreUnavailable; some may be recorded then."""
        answers = self._appender.append_each(list(zip(commands, seen, strict=True)))
        ids = [rows[0].cause.command_id for rows in commands]
        lost = [id_ for id_, answer in zip(ids, answers, strict=True) if not answer.won]
        first = {recorded.command_id: recorded for recorded in self.earlier(lost)} if lost else {}
        return [
            answer
            if answer.won
            else AlreadyRecorded(first[id_], resent=answer.resent)
            if id_ in first
            else VersionConflict(f"lost a race with another command ({id_})")
            for id_, answer in zip(ids, answers, strict=True)
        ]

    def _insert_together(
        self, rows: Sequence[StoredEnvelope], guards: Sequence[Guard], unchanged: Sequence[Recorded]
    ) -> Sequence[int]:
        encoded = [event for n, row in enumerate(rows) for event in encode_rows([row], n)]
        arguments = (
            self.workspace,
            msgspec.json.encode(encoded).decode(),
            msgspec.json.encode(guards).decode(),
            msgspec.json.encode([_hexed(one) for one in unchanged]).decode(),
        )
        append: Statement = (
            "select * from append_together(%s, %s::text::json, %s::text::json, %s::text::json)",
            arguments,
        )
        lost: list[psycopg.Error] = []
        try:
            found = self._query_all([append], lost)[0]
        except (psycopg.errors.SerializationFailure, psycopg.errors.UniqueViolation) as error:
            # A guard that has moved, too, may have been moved by a first sending whose answer was lost.
            commands = [row.cause.command_id for row in rows if row.command_hash is not None]
            self._raise_if_recorded([*commands, *(one.command_id for one in unchanged)], resent=bool(lost))
            raise VersionConflict(str(error)) from None
        if rows:
            self._wakeup.appended()
        positions = {(stream, version): position for stream, version, position in found}
        return [positions[row.originator_id, row.originator_version] for row in rows]

    def _raise_lost(self, command_id: UUID, *, resent: bool) -> None:
        self._raise_if_recorded([command_id], resent=resent)
        raise VersionConflict(f"lost a race with another command ({command_id})")

    def _raise_if_recorded(self, commands: Sequence[UUID], *, resent: bool = False) -> None:
        for first in self.earlier(commands):
            raise AlreadyRecorded(first, resent=resent)

    def earlier(self, commands: Sequence[UUID]) -> list[Recorded]:
        """What these commands left behind, those of them that were recorded."""
        return [_recorded(row) for row in self._query(EARLIER, (self.workspace, list(commands)))]

    def load(self, after: dict[UUID, int]) -> list[Row]:
        """The events of several streams, each after a version, ordered by stream and version."""
        return self.load_for(after, ())[0]

    def load_for(self, after: dict[UUID, int], commands: Sequence[UUID]) -> tuple[list[Row], list[Recorded]]:
        """As load, and in the same round trip what these commands left behind, those that were recorded before."""
        arguments = (self.workspace, list(after), list(after.values()))
        load = ("select * from load(%s, %s::uuid[], %s::int[])", arguments)
        earlier = (EARLIER, (self.workspace, list(commands)))
        rows, *found = self._query_all([load, earlier] if commands else [load])
        return rows, [_recorded(row) for row in found[0]] if found else []

    def draw_numbers(self, wanted: int) -> int:
        """The last of `wanted` new ticket numbers. Never handed out again, used or not."""
        return cast(int, self._query("select draw_numbers(%s, %s)", (self.workspace, wanted))[0][0])

    def guard(self, name: str) -> Guard:
        row = self._in_workspace("select version from guard where workspace = %s and name = %s", (self.workspace, name))
        return Guard(name, row[0][0] if row else 0)

    def moved_since(self, position: int, names: Sequence[str]) -> list[UUID]:
        """Streams that have one of these events after a position. Only a few: raises VersionConflict where they are
        too many."""
        rows = self._in_workspace(
            "select distinct stream from event where workspace = %s and position > %s and name = any(%s) limit %s",
            (self.workspace, position, list(names), MOVED_LIMIT + 1),
        )
        if len(rows) > MOVED_LIMIT:
            raise VersionConflict(f"more than {MOVED_LIMIT} streams have moved since {position}")
        return [row[0] for row in rows]

    def select_events(
        self,
        originator_id: Any,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEnvelope]:
        rows = [stored(row) for row in self.load({originator_id: gt or 0})]
        rows = [row for row in rows if lte is None or row.originator_version <= lte]
        return (rows[::-1] if desc else rows)[:limit]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Refused: only the fenced follower reads the log by position without skipping events still in flight."""
        raise StoreUnavailable("Read the log with application.event_store.follower.")

    def max_notification_id(self) -> int | None:
        rows = self._in_workspace("select max(position) from event where workspace = %s", (self.workspace,))
        return cast("int | None", rows[0][0])

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        """Refused, as select_notifications."""
        raise StoreUnavailable("Read the log with application.event_store.follower.")

    def _in_workspace(self, query: LiteralString, arguments: Sequence[object]) -> list[TupleRow]:
        setting: Statement = ("select set_config('proteus.workspace', %s, true)", (str(self.workspace),))
        return self._query_all([setting, (query, arguments)])[1]

    def _query(self, query: LiteralString, arguments: Sequence[object]) -> list[TupleRow]:
        return self._query_all([(query, arguments)])[0]

    def _query_all(
        self, statements: Sequence[Statement], lost: list[psycopg.Error] | None = None
    ) -> list[list[TupleRow]]:
        """One transaction in one round trip. Harmless to repeat: reads, and appends that name their command id."""

        def work(connection: Connection) -> list[list[TupleRow]]:
            if len(statements) == 1:
                return [connection.execute(*statements[0], binary=True).fetchall()]
            with connection.pipeline():
                cursors = [connection.execute(*statement, binary=True) for statement in statements]
            return [cursor.fetchall() for cursor in cursors]

        return on_connection(self._pool, work, lost)


def _recorded(row: TupleRow) -> Recorded:
    command, digest, stream, version, position = row
    return Recorded(command_id=command, command_hash=digest, stream=stream, version=version, position=position)


def _hexed(recorded: Recorded) -> dict[str, object]:
    return {**msgspec.structs.asdict(recorded), "command_hash": recorded.command_hash.hex()}


class Factory(InfrastructureFactory[TrackingRecorder]):
    """Hands the library's Application the parts of one workspace instead of building them from the environment."""

    recorder: Recorder
    envelope_mapper: Mapper[UUID]

    def mapper(
        self, transcoder: Transcoder | None = None, mapper_class: type[Mapper[Any]] | None = None
    ) -> Mapper[Any]:
        return self.envelope_mapper

    def application_recorder(self) -> ApplicationRecorder:
        return self.recorder

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        return self.recorder

    def tracking_recorder(self, tracking_recorder_class: type[TrackingRecorder] | None = None) -> TrackingRecorder:
        raise NotImplementedError("followers keep their tracking rows themselves")

    def process_recorder(self) -> ProcessRecorder:
        raise NotImplementedError("followers keep their tracking rows themselves")
