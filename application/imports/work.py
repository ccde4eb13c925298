"""Import of work: every row of the file is an entry, a stream of its own, known by the row's key.

The people and tickets that rows name are made where they are not here. All rows are read first, so that a ticket is
opened at its first session, and then written by start, some thousands at a time. What a file of a million rows says
fits into memory.
"""

import hashlib
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from uuid import UUID, uuid4, uuid5
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from application.event_store.envelope import Cause, DomainEvent, Envelope
from application.event_store.recorder import AlreadyRecorded, VersionConflict
from application.event_store.streams import EventStore, WorkspaceStore
from application.handling import ATTEMPTS
from application.imports.importing import CHUNK_ROWS, PROGRESS_ROWS, Progress, Summary
from application.imports.names import Known
from application.imports.planning import CHANNEL, Counts
from application.imports.rejects import Rejects
from application.imports.source import Csv, SourceRow
from application.imports.work_mapping import CACHED_TIMES, WorkMapping, check_columns, filled, key_of
from application.workflows import workflows_in, workflows_stream
from domain import text, work
from domain.access import Actor, may_import
from domain.errors import Conflict, Forbidden, InvalidValue
from domain.people import PersonAdded, PersonKind
from domain.tickets import Priority, TicketOpened
from domain.work import ImportedWork
from domain.workflows import Role, Workflow

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Session(msgspec.Struct, frozen=True, gc=False):
    """A row of the file: what it says, by name. Times in seconds."""

    line: int
    key: str
    person: str
    ticket: str
    title: str
    tags: tuple[str, ...]
    started_at: datetime | None
    ended_at: datetime | None
    interruption: int
    seconds: int | None
    comment: str | None

    @property
    def at(self) -> datetime | None:
        return self.started_at or self.ended_at


def import_work(
    store: EventStore,
    actor: Actor,
    path: Path,
    mapping: WorkMapping,
    *,
    known: Known,
    rejects_path: Path,
    progress: Progress,
    dry_run: bool = False,
) -> Summary:
    """As `import_file`, of a log of work. Raises Refused where nothing can be imported, StoreUnavailable."""
    if not may_import(actor):
        raise Forbidden("import")
    started = time.monotonic()
    summary = Summary()
    workspace = store.workspace(actor.workspace)
    with Csv(path, mapping.file) as source:
        check_columns(mapping, source.header)
        with Rejects(rejects_path, source.header) as rejects:
            sessions = _read(source, mapping, rejects, summary, progress)
            writer = _Writer(workspace, actor, path.name, mapping, known, sessions, dry_run=dry_run)
            for first in range(0, len(sessions), CHUNK_ROWS):
                for line, reason in writer.write(sessions[first : first + CHUNK_ROWS], summary):
                    rejects.add(line, reason, [])
                progress("writing", min(first + CHUNK_ROWS, len(sessions)), len(sessions))
            summary.rejected = rejects.count
    summary.seconds = time.monotonic() - started
    return summary


# ---- reading


def _read(source: Csv, mapping: WorkMapping, rejects: Rejects, summary: Summary, progress: Progress) -> list[Session]:
    """By start, those without a time last; the same key twice is once."""
    reader = _Reader(mapping, source.header)
    sessions: dict[str, Session] = {}
    for row in source.rows():
        summary.rows += 1
        if summary.rows % PROGRESS_ROWS == 0:
            progress("reading", source.bytes_read, source.bytes)
        try:
            session = reader.session(row)
        except InvalidValue as error:
            rejects.add(row.line, error.message, row.cells)
            continue
        if session.key in sessions:
            summary.duplicates += 1
            continue
        sessions |= {part.key: part for part in _parts(session)}
    progress("reading", source.bytes, source.bytes)
    found = sorted(sessions.values(), key=lambda one: (one.at is None, one.at or EPOCH, one.line))
    dated = [one.at for one in found if one.at is not None]
    summary.first_at, summary.last_at = (dated[0], dated[-1]) if dated else (None, None)
    return found


def _parts(session: Session) -> list[Session]:
    """Itself; or, of a sum of a task's work that is longer than an entry may be, several that follow one another."""
    start, seconds = session.started_at, session.seconds
    if start is None or seconds is None or session.ended_at is not None or not _LONGEST < seconds <= _LONGEST_SUM:
        return [session]
    lengths = [_LONGEST] * (seconds // _LONGEST) + ([seconds % _LONGEST] if seconds % _LONGEST else [])
    return [
        replace(
            session,
            key=session.key if n == 0 else f"{session.key} {n + 1}",
            started_at=start + n * work.ENTRY_LIMIT,
            interruption=0 if n else session.interruption,
            seconds=length,
        )
        for n, length in enumerate(lengths)
    ]


_LONGEST = int(work.ENTRY_LIMIT.total_seconds())
_LONGEST_SUM = 366 * 86_400


class _Reader:
    def __init__(self, mapping: WorkMapping, header: list[str]) -> None:
        self._mapping = mapping
        self._place = {column: n for n, column in enumerate(header)}
        self._none = frozenset(mapping.none)
        zone, times = ZoneInfo(mapping.time.zone), mapping.time

        @lru_cache(CACHED_TIMES)
        def instant(cell: str) -> datetime:
            for form in times.formats:
                try:
                    at = datetime.strptime(cell, form)  # noqa: DTZ007
                except ValueError:
                    continue
                if times.century is not None and at.year < 100:
                    at = at.replace(year=at.year + times.century)
                return at.replace(tzinfo=at.tzinfo or zone).astimezone(UTC)
            raise InvalidValue(f"{cell[:80]!r} is no time of the formats {', '.join(times.formats)}.")

        self._instant = instant

    def session(self, row: SourceRow) -> Session:
        """Raises InvalidValue."""
        if row.fault is not None:
            raise InvalidValue(row.fault)
        cells, mapping = row.cells, self._mapping
        columns, times = mapping.columns, mapping.time
        named = {column: cells[n] for column, n in self._place.items()}
        start, end = self._cell(cells, times.start), self._cell(cells, times.end)
        return Session(
            line=row.line,
            key=text.line(key_of(mapping, named), columns.key),
            person=text.line(named[columns.person], columns.person),
            ticket=text.line(filled(mapping.ticket.key, named), "ticket.key"),
            title=text.line(filled(mapping.ticket.title, named), "ticket.title"),
            tags=tuple(text.line(filled(tag, named), "ticket.tags") for tag in mapping.ticket.tags),
            started_at=None if start is None else self._instant(start),
            ended_at=None if end is None else self._instant(end),
            interruption=self._seconds(self._cell(cells, times.interruption)) or 0,
            seconds=self._seconds(self._cell(cells, times.net)),
            comment=self._cell(cells, columns.comment),
        )

    def _cell(self, cells: list[str], column: str | None) -> str | None:
        cell = None if column is None else cells[self._place[column]]
        return None if cell in self._none else cell

    def _seconds(self, cell: str | None) -> int | None:
        if cell is None:
            return None
        try:
            return round(float(cell) * self._mapping.time.seconds_per_unit)
        except (ValueError, OverflowError):
            raise InvalidValue(f"{cell[:80]!r} is no number of {self._mapping.time.unit}.") from None


# ---- writing


class _Writer:
    """Writes chunks of one file, one after another: all of a chunk or nothing."""

    def __init__(
        self,
        workspace: WorkspaceStore,
        actor: Actor,
        file_name: str,
        mapping: WorkMapping,
        known: Known,
        sessions: Sequence[Session],
        *,
        dry_run: bool,
    ) -> None:
        self._workspace, self._person, self._file_name = workspace, actor.person, file_name
        self._origin = uuid5(actor.workspace, f"import:{mapping.source}")
        self._secret = workspace.subject_key()
        self._people = known.people
        self._role, self._workflow = _role(workspace, mapping.ticket.role)
        self._dry_run = dry_run
        self._run = uuid4()
        self._made: set[UUID] = set()
        self._earliest = next((one.at for one in sessions if one.at is not None), EPOCH)
        self._opened: dict[str, datetime] = {}
        for one in sessions:
            self._opened.setdefault(one.ticket, one.at or self._earliest)

    def write(self, sessions: Sequence[Session], summary: Summary) -> Iterator[tuple[int, str]]:
        """Yields line and reason of rows that cannot be work. Raises Conflict, StoreUnavailable."""
        for _ in range(ATTEMPTS):
            chunk = self._planned(sessions)
            try:
                if chunk.envelopes and not self._dry_run:
                    self._workspace.prepare_keys(chunk.subjects)
                    self._workspace.append(chunk.envelopes)
            except (VersionConflict, AlreadyRecorded):
                continue
            self._made |= chunk.made
            summary.add(chunk.counts)
            yield from chunk.rejects
            return
        raise Conflict(None, None)

    def _planned(self, sessions: Sequence[Session]) -> "_Chunk":
        """Reads what is recorded of these rows by now."""
        chunk = _Chunk(self._workspace.workspace)
        entries = {one.key: uuid5(self._origin, f"work:{one.key}") for one in sessions}
        people = {name: self._person_id(name) for name in {one.person for one in sessions}}
        tickets = {key: uuid5(self._origin, f"ticket:{key}") for key in {one.ticket for one in sessions}}
        wanted = {*people.values(), *tickets.values()} - self._made
        there = self._workspace.load([*entries.values(), *wanted])
        chunk.made |= there.keys() & wanted
        missing = [key for key, id_ in tickets.items() if id_ in wanted and id_ not in there]
        numbers = iter([0] * len(missing) if self._dry_run else self._numbers(len(missing)))
        new = {key: next(numbers) for key in missing}
        for one in sessions:
            entry = entries[one.key]
            if entry in there:
                chunk.counts.duplicates += 1
                continue
            person, ticket = people[one.person], tickets[one.ticket]
            try:
                event = work.imported(self._said(one, person, ticket))
            except InvalidValue as error:
                chunk.rejects.append((one.line, error.message))
                continue
            self._make(chunk, one, person, ticket, new)
            at = max(event.ended_at, self._opened[one.ticket])
            self._add(chunk, entry, event, at, f"{self._file_name}:{one.line}")
            chunk.counts.imported += 1
        return chunk

    def _numbers(self, wanted: int) -> list[int]:
        return self._workspace.draw_numbers(wanted) if wanted else []

    def _said(self, one: Session, person: UUID, ticket: UUID) -> ImportedWork:
        return ImportedWork(
            ticket=ticket,
            person=person,
            role=self._role.key,
            placed_at=self._opened[one.ticket],
            started_at=one.started_at,
            ended_at=one.ended_at,
            interruption=one.interruption,
            seconds=one.seconds,
            comment=one.comment,
        )

    def _make(self, chunk: "_Chunk", one: Session, person: UUID, ticket: UUID, new: dict[str, int]) -> None:
        """The person and the ticket, where no row before had them."""
        at = self._opened[one.ticket]
        if one.person not in self._people and person not in self._made and person not in chunk.made:
            added = PersonAdded(kind=PersonKind.STAFF, name=one.person)
            self._add(chunk, person, added, at, self._file_name, subject=person)
            chunk.counts.people_added += 1
        if one.ticket in new and ticket not in chunk.made:
            self._add(chunk, ticket, self._ticket(one, new[one.ticket]), at, self._file_name)
            chunk.counts.tickets_new += 1
        chunk.made |= {person, ticket}

    def _ticket(self, one: Session, number: int) -> TicketOpened:
        status = self._workflow.status(self._workflow.initial)
        return TicketOpened(
            number=number,
            title=one.title,
            role=self._role.key,
            workflow=self._workflow.key,
            workflow_version=self._workflow.version,
            status=status.key,
            category=status.category,
            priority=Priority.NORMAL,
            channel=CHANNEL,
            tags=one.tags,
            external_key=one.ticket,
        )

    def _person_id(self, name: str) -> UUID:
        """Of who is here by this name, else derived from it as `Names` does."""
        digest = hashlib.blake2b(name.encode(), key=self._secret, digest_size=16).hexdigest()
        return self._people.get(name) or uuid5(self._origin, f"person:{digest}")

    def _add(
        self, chunk: "_Chunk", stream: UUID, event: DomainEvent, at: datetime, source: str, subject: UUID | None = None
    ) -> None:
        command = uuid5(self._origin, f"add:{stream}")
        cause = Cause(actor=self._person, command_id=command, correlation_id=self._run, channel=CHANNEL, source=source)
        chunk.envelopes.append(
            Envelope(
                workspace=self._workspace.workspace,
                originator_id=stream,
                originator_version=1,
                event=event,
                occurred_at=at,
                cause=cause,
                subject=subject,
                command_hash=command.bytes,
            )
        )
        if subject is not None:
            chunk.subjects.add(subject)
        chunk.counts.events[type(event).__name__] += 1


class _Chunk:
    """What some rows come to. `made`: people and tickets that are here once it is written."""

    def __init__(self, workspace: UUID) -> None:
        self.envelopes: list[Envelope] = []
        self.subjects: set[UUID] = {workspace}
        self.rejects: list[tuple[int, str]] = []
        self.counts = Counts()
        self.made: set[UUID] = set()


def _role(workspace: WorkspaceStore, key: str) -> tuple[Role, Workflow]:
    """Raises Refused."""
    catalogue = workflows_stream(workspace.workspace)
    known = workflows_in(workspace.load([catalogue]), workspace.workspace)
    role = known.role(key)
    return role, known.newest(role.workflow)
