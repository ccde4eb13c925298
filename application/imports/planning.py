"""From rows of a source to the events and commands that record them; nothing is written here."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from uuid import UUID, uuid4, uuid5

import msgspec
from msgspec import UNSET, UnsetType

from application.event_store.envelope import Cause, DomainEvent, Envelope, Stream
from application.event_store.recorder import Recorded
from application.event_store.streams import WorkspaceStore
from application.imports.custom_fields import CustomFields
from application.imports.names import Made, Name, Names
from application.imports.spool import Said, SpooledRow, Statuses
from domain import imports, tickets
from domain.errors import Refused
from domain.imports import ImportComment, ImportRow, Origin
from domain.people import PersonAdded
from domain.services import ServiceAdded
from domain.teams import TeamAdded
from domain.tickets import Ticket, TicketOpened

CHANNEL = "import"


class Counts(msgspec.Struct, kw_only=True):
    """`ignored`: changes that no event says, by what changed: title, description, channel of a ticket that is open."""

    imported: int = 0
    unchanged: int = 0
    duplicates: int = 0
    tickets_new: int = 0
    tickets_updated: int = 0
    people_added: int = 0
    teams_added: int = 0
    services_added: int = 0
    events: Counter[str] = msgspec.field(default_factory=Counter[str])
    ignored: Counter[str] = msgspec.field(default_factory=Counter[str])


class Plan(msgspec.Struct):
    """What a chunk of rows comes to: to be appended together, all or nothing."""

    envelopes: list[Envelope] = msgspec.field(default_factory=list[Envelope])
    unchanged: list[Recorded] = msgspec.field(default_factory=list[Recorded])
    subjects: set[UUID] = msgspec.field(default_factory=set[UUID])
    rejects: list[tuple[SpooledRow, str]] = msgspec.field(default_factory=list[tuple[SpooledRow, str]])
    counts: Counts = msgspec.field(default_factory=Counts)
    names: list[Name] = msgspec.field(default_factory=list[Name])
    """Looked up for the first time."""
    continues: UUID | None = None
    """The ticket in which the chunk before ended: if this one begins with it, it is not counted again."""


class _Folded(msgspec.Struct):
    """A ticket as the rows so far have made it."""

    stream: UUID
    ticket: Ticket | None
    version: int
    position: int
    seen: set[bytes] = msgspec.field(default_factory=set[bytes])
    said: Said | None = None
    is_counted: bool = False


class Planner:
    """Plans chunks of one file, one after another. `origin_id`: what the ids of this source are derived from."""

    def __init__(
        self,
        workspace: WorkspaceStore,
        person: UUID,
        file_name: str,
        origin: Origin,
        origin_id: UUID,
        statuses: Statuses,
        names: Names,
        custom_fields: CustomFields,
        *,
        dry_run: bool,
    ) -> None:
        self._workspace = workspace
        self._person = person
        self._file_name = file_name
        self._origin = origin
        self._origin_id = origin_id
        self._statuses = statuses
        self._names = names
        self._custom_fields = custom_fields
        self._dry_run = dry_run
        self._run = uuid4()
        """Correlates all events of this run."""
        self._ended_in: UUID | None = None

    def plan(self, rows: Sequence[SpooledRow]) -> Plan:
        """Reads what is recorded of these tickets by now. Raises StoreUnavailable."""
        plan = Plan(continues=self._ended_in)
        streams = {key: uuid5(self._origin_id, f"ticket:{key}") for key in dict.fromkeys(row.key for row in rows)}
        self._custom_fields.look_up(rows)
        names = self._names.unsettled(rows)
        loaded = self._workspace.load([*streams.values(), *(id_ for id_, _ in names.values())])
        plan.names = list(names)
        for made in self._names.settle(names, loaded):
            self._add(plan, made)
        commands = [uuid5(self._origin_id, row.digest.hex()) for row in rows]
        recorded = self._recorded(
            [command for row, command in zip(rows, commands, strict=True) if streams[row.key] in loaded]
        )
        numbers = self._draw(sum(stream not in loaded for stream in streams.values()))
        folded: _Folded | None = None
        for row, command in zip(rows, commands, strict=True):
            stream = streams[row.key]
            if folded is None or folded.stream != stream:
                folded = _folded(stream, loaded.get(stream))
                folded.is_counted = stream == plan.continues
            if row.digest in folded.seen or command in recorded:
                plan.counts.duplicates += 1
            else:
                self._take(plan, folded, row, command, numbers)
            folded.seen.add(row.digest)
            folded.said = row.said
        self._ended_in = folded.stream if folded else None
        return plan

    def give_up(self, plan: Plan) -> None:
        """Nothing of it was written, so nothing of it may be taken for granted."""
        self._names.unsettle(plan.names)
        self._ended_in = plan.continues

    def _recorded(self, commands: list[UUID]) -> frozenset[UUID]:
        """Those that an earlier run recorded. A ticket that is not there has none: it is written with its rows."""
        return frozenset(self._workspace.earlier(commands)) if commands else frozenset()

    def _draw(self, wanted: int) -> Iterator[int]:
        if self._dry_run or not wanted:
            return iter([0] * wanted)
        return iter(self._workspace.draw_numbers(wanted))

    def _take(self, plan: Plan, folded: _Folded, row: SpooledRow, command: UUID, numbers: Iterator[int]) -> None:
        ticket, counts = folded.ticket, plan.counts
        if ticket is not None and row.at < ticket.last_at:
            plan.rejects.append((row, f"older than the ticket's last change, at {ticket.last_at.isoformat()}"))
            return
        try:
            events = imports.decide(ticket, self._resolved(row, ticket, numbers, command), self._origin)
        except Refused as refused:
            plan.rejects.append((row, refused.message.rstrip(".")))
            return
        if ticket is not None and folded.said is not None:
            _note_ignored(counts.ignored, folded.said, row.said)
        if not events:
            counts.unchanged += 1
            left = Recorded(
                command_id=command,
                command_hash=row.digest,
                stream=folded.stream,
                version=folded.version,
                position=folded.position,
            )
            plan.unchanged.append(left)
            return
        counts.imported += 1
        if not folded.is_counted:
            counts.tickets_new += ticket is None
            counts.tickets_updated += ticket is not None
            folded.is_counted = True
        self._record(plan, folded, row, command, events)

    def _record(
        self,
        plan: Plan,
        folded: _Folded,
        row: SpooledRow,
        command: UUID,
        events: Sequence[tickets.TicketEvent],
    ) -> None:
        cause = Cause(
            actor=self._actor(row),
            command_id=command,
            correlation_id=self._run,
            channel=CHANNEL,
            source=f"{self._file_name}:{row.line}",
        )
        digest: bytes | None = row.digest
        for event in events:
            folded.ticket = tickets.evolve(folded.ticket, event, row.at)
            folded.version += 1
            subject = folded.ticket.requester or self._workspace.workspace
            if isinstance(event, TicketOpened):
                plan.subjects.add(subject)
            plan.envelopes.append(
                Envelope(
                    workspace=self._workspace.workspace,
                    originator_id=folded.stream,
                    originator_version=folded.version,
                    event=event,
                    occurred_at=row.at,
                    cause=cause,
                    subject=subject,
                    command_hash=digest,
                )
            )
            digest = None
            plan.counts.events[type(event).__name__] += 1

    def _actor(self, row: SpooledRow) -> UUID:
        actor = row.said.actor
        return self._person if actor is None else self._names.people[actor]

    def _resolved(self, row: SpooledRow, ticket: Ticket | None, numbers: Iterator[int], command: UUID) -> ImportRow:
        """Raises Refused."""
        said, names = row.said, self._names
        role = ticket.role if ticket is not None and said.role is UNSET else self._origin.role
        resolved = ImportRow(
            status=UNSET if said.status is UNSET else self._statuses.by_key(said.status),
            role=said.role,
            assignee=_id(said.assignee, names.people),
            team=_id(said.team, names.teams),
            priority=said.priority,
            service=_id(said.service, names.services),
            requester=_id(said.requester, names.people),
            tags=said.tags,
            fields=self._custom_fields.checked(said.fields, role if said.role is UNSET else said.role),
        )
        if said.does is not None and said.about is not None:
            resolved = self._doing(resolved, row, said.does, said.about)
        if said.estimate is not UNSET:
            resolved = msgspec.structs.replace(
                resolved,
                estimate=said.estimate,
                estimator=self._actor(row),
                new_estimate=uuid5(command, "estimate"),
            )
        if ticket is not None:
            return resolved
        return msgspec.structs.replace(
            resolved,
            number=next(numbers),
            external_key=row.key,
            title=said.title,
            description=said.description,
            channel=said.channel,
        )

    def _doing(self, resolved: ImportRow, row: SpooledRow, does: str, about: str) -> ImportRow:
        """What its act is, with ids."""
        person = self._names.people[about] if does in ("unassign", "watch", "unwatch") else None
        comment = None
        if does == "comment":
            author = self._person if row.said.actor is None else self._names.people[row.said.actor]
            comment = ImportComment(id=uuid5(self._origin_id, f"comment:{row.digest.hex()}"), author=author, body=about)
        return msgspec.structs.replace(
            resolved,
            retitled=about if does == "retitle" else None,
            tagged=about if does == "tag" else None,
            untagged=about if does == "untag" else None,
            unassigned=person if does == "unassign" else None,
            watched=person if does == "watch" else None,
            unwatched=person if does == "unwatch" else None,
            comment=comment,
        )

    def _add(self, plan: Plan, made: Made) -> None:
        command = uuid5(self._origin_id, f"add:{made.id}")
        cause = Cause(
            actor=self._person,
            command_id=command,
            correlation_id=self._run,
            channel=CHANNEL,
            source=self._file_name,
        )
        person = isinstance(made.event, PersonAdded)
        plan.envelopes.append(
            Envelope(
                workspace=self._workspace.workspace,
                originator_id=made.id,
                originator_version=1,
                event=made.event,
                occurred_at=made.at,
                cause=cause,
                subject=made.id if person else None,
                command_hash=command.bytes,
            )
        )
        if person:
            plan.subjects.add(made.id)
        _count_made(plan.counts, made.event)


def _folded(stream: UUID, before: Stream | None) -> _Folded:
    if before is None:
        return _Folded(stream, None, 0, 0)
    assert isinstance(before.state, Ticket), "ids of tickets are derived for tickets alone"
    return _Folded(stream, before.state, before.version, before.position)


def _count_made(counts: Counts, event: DomainEvent) -> None:
    counts.people_added += isinstance(event, PersonAdded)
    counts.teams_added += isinstance(event, TeamAdded)
    counts.services_added += isinstance(event, ServiceAdded)


def _note_ignored(ignored: Counter[str], before: Said, said: Said) -> None:
    if said.does is not None or before.does is not None:
        return
    if said.title != before.title:
        ignored["title"] += 1
    if said.description is not None and said.description != before.description:
        ignored["description"] += 1
    if said.channel is not None and said.channel != before.channel:
        ignored["channel"] += 1


def _id(name: str | UnsetType | None, ids: Mapping[str, UUID]) -> UUID | UnsetType | None:
    return name if name is None or name is UNSET else ids[name]
