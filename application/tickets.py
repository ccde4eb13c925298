"""Commands to tickets."""

from collections.abc import Iterable, Mapping, Sequence, Set
from contextlib import suppress
from datetime import datetime
from typing import TypeVar
from uuid import UUID

import msgspec
from msgspec.structs import replace

from application import comments, links, merging, wip_limits
from application.attachments.contents import Contents
from application.event_store.envelope import Stream
from application.event_store.streams import EventStore, WorkspaceStore
from application.handling import Context, Decide, Decision, Further, Outcome, execute, new_id, now, state_in
from application.workflows import workflows_in, workflows_stream
from domain import tickets
from domain.access import may, sees
from domain.errors import Forbidden, TicketNotFound
from domain.files import Upload
from domain.links import blocking
from domain.people import Person
from domain.services import Service
from domain.teams import Team
from domain.text import FieldValue
from domain.ticket_state import Beside
from domain.tickets import (
    AddComment,
    AddContributor,
    AssignTicket,
    AttachFile,
    BindService,
    CommentCommand,
    EditComment,
    LinkTickets,
    MergeTickets,
    MergingCommand,
    OffshootCommand,
    OpenTicket,
    RankTicket,
    SetField,
    SetParent,
    SetRequester,
    SpawnTicket,
    SplitTicket,
    Surroundings,
    Ticket,
    TicketCommand,
    TicketOpened,
    TransferTicket,
    TransitionTicket,
    UnlinkTickets,
    UnmergeTicket,
    UnwatchTicket,
    WatchTicket,
)
from domain.workflows import Workflows

HIERARCHY = "hierarchy"
"""Guard row of a workspace: moved by every command that gives a ticket another parent."""

UUID_LENGTH = 36
NOTHING_BESIDE = Beside()


def handle(
    store: EventStore,
    context: Context,
    command: TicketCommand,
    contents: Contents | None = None,
    beside: Beside = NOTHING_BESIDE,
) -> Outcome:
    """`contents`: for AttachFile. `beside`: for a move that names one neighbour alone.
    Raises Refused, StoreUnavailable, StorageFull."""
    ready = prepared(store, context, command, contents, beside)
    return execute(
        store, context, ready.command, ready.stream, ready.others, ready.decide, guard=ready.guard, new=ready.new
    )


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """What `execute` takes."""

    command: TicketCommand
    stream: UUID
    others: Sequence[UUID | None]
    decide: Decide
    guard: str | None
    new: bool


def prepared(
    store: EventStore,
    context: Context,
    command: TicketCommand,
    contents: Contents | None = None,
    beside: Beside = NOTHING_BESIDE,
) -> Prepared:
    """As `handle`, up to where streams are loaded. Raises Refused, StoreUnavailable."""
    workspace = store.workspace(context.actor.workspace)
    if isinstance(command, OpenTicket) and not may(context.actor, command):
        raise Forbidden("open such a ticket")
    command = _completed(command, context)
    opens = isinstance(command, OpenTicket | OffshootCommand)
    id_ = new_id() if isinstance(command, OpenTicket | OffshootCommand) else command.ticket
    number = workspace.draw_number() if opens else 0
    catalogue = workflows_stream(context.actor.workspace)

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        ticket = state_in(loaded, id_, Ticket)
        given_to = state_in(loaded, command.ticket, Ticket) if isinstance(command, OffshootCommand) else ticket
        merged = merging.parts(workspace, command, given_to)
        _check_access(context, command, given_to, merged)
        loaded = loaded | _implied(workspace, command, given_to, loaded)
        upload = _examined(contents, context, command, ticket)
        around = Surroundings(
            now=now(),
            at=context.occurred_at,
            workflows=workflows_in(loaded, context.actor.workspace),
            reason=context.reason,
            channel=context.channel,
            number=number,
            new_id=new_id(),
            by=context.on_behalf_of or context.actor.person,
            people=_of(Person, loaded),
            teams=_of(Team, loaded),
            services=_of(Service, loaded),
            tickets=_of(Ticket, loaded),
            ancestors=_ancestors(workspace, command) if isinstance(command, SetParent) else (),
            blocked=_blocked(workspace, command, loaded),
            upload=upload,
            text=_text(workspace, command, given_to, merged),
            merged=merged,
            beside=beside,
        )
        events = tickets.decide(ticket, command, around)
        at = tickets.occurred_at(ticket, events, around)
        if upload is not None:
            _keep(contents, context, command, ticket, upload)
        arrivals = _arrivals(workspace, context, id_, ticket, events, at, around.workflows)
        further = [*arrivals, *_told(id_, events, loaded)]
        return Decision(events=events, occurred_at=at, subject=_subject(ticket, events), further=further)

    return Prepared(
        command=command,
        stream=id_,
        others=[catalogue, *_named(command), beside.after, beside.before],
        decide=decide,
        guard=_guard(command),
        new=opens,
    )


def _guard(command: TicketCommand) -> str | None:
    if isinstance(command, SetParent):
        return HIERARCHY
    if isinstance(command, MergingCommand) or (isinstance(command, LinkTickets) and blocking(command)):
        return links.BLOCKING
    return None


def _implied(
    workspace: WorkspaceStore, command: TicketCommand, ticket: Ticket | None, loaded: dict[UUID, Stream]
) -> dict[UUID, Stream]:
    """What the command does not name, and its ticket does."""
    match command:
        case SpawnTicket() | SplitTicket() if ticket is not None and ticket.requester is not None:
            return _missing(workspace, {ticket.requester}, loaded)
        case MergeTickets(into=into) if ticket is not None:
            return _with_parts(workspace, {into, *(link.other for link in ticket.links)}, loaded)
        case UnmergeTicket() if ticket is not None and ticket.merged is not None:
            return _with_parts(workspace, {ticket.merged.into, *(link.other for link in ticket.merged.moved)}, loaded)
        case _:
            return {}


def _with_parts(workspace: WorkspaceStore, wanted: Set[UUID], loaded: dict[UUID, Stream]) -> dict[UUID, Stream]:
    """Tickets, and what was merged into each of them itself. Whatever joins or leaves one of them moves that one."""
    found = _missing(workspace, wanted, loaded)
    states = [state for id_ in wanted if (state := state_in(loaded | found, id_, Ticket))]
    parts = {part for state in states for part in merging.directly(state)}
    return found | _missing(workspace, parts, loaded | found)


def _missing(workspace: WorkspaceStore, wanted: Set[UUID], loaded: Mapping[UUID, Stream]) -> dict[UUID, Stream]:
    missing = wanted - loaded.keys()
    return workspace.load(missing) if missing else {}


def _blocked(workspace: WorkspaceStore, command: TicketCommand, loaded: dict[UUID, Stream]) -> Set[UUID]:
    """What must not come to block the ticket, because it waits for it."""
    if isinstance(command, LinkTickets):
        ends = blocking(command)
        return links.blocked(workspace, [ends[1]]) if ends else frozenset()
    if isinstance(command, MergeTickets):
        both = {command.ticket, command.into}
        states = [state for id_ in both if (state := state_in(loaded, id_, Ticket))]
        return links.blocked(workspace, {other for state in states for other in links.directly(state)} - both)
    return frozenset()


def _text(
    workspace: WorkspaceStore, command: TicketCommand, ticket: Ticket | None, merged: Mapping[UUID, Ticket]
) -> str | None:
    if ticket is not None and isinstance(command, EditComment | SplitTicket):
        return comments.text_of(workspace, command, ticket, merged)
    return None


def _told(id_: UUID, events: list[tickets.TicketEvent], loaded: dict[UUID, Stream]) -> list[Further]:
    """What other tickets are told, each under its own requester's key."""
    return [
        Further(
            stream=other,
            before=loaded.get(other),
            events=told,
            subject=_subject(state_in(loaded, other, Ticket), []),
        )
        for other, told in tickets.told(id_, events).items()
    ]


def _arrivals(
    workspace: WorkspaceStore,
    context: Context,
    id_: UUID,
    before: Ticket | None,
    events: Sequence[tickets.TicketEvent],
    at: datetime,
    known: Workflows,
) -> list[Further]:
    """Places with a hard limit are told who comes; where there are none, nothing is done."""
    if not events or not any(limit.hard for limit in known.wip_limits.values()):
        return []
    after = before
    for event in events:
        after = tickets.evolve(after, event, at)
    assert after is not None, "there were events"
    return wip_limits.arrivals(workspace, context, id_, before, after, known)


def _completed(command: TicketCommand, context: Context) -> TicketCommand:
    """With what goes without saying: a requester's own ticket is theirs, and who names nobody watches themselves."""
    if isinstance(command, OpenTicket) and command.requester is None and not context.actor.reads_all:
        return replace(command, requester=context.actor.person)
    if isinstance(command, WatchTicket | UnwatchTicket) and command.person is None:
        return replace(command, person=context.on_behalf_of or context.actor.person)
    return command


def _check_access(
    context: Context, command: TicketCommand, ticket: Ticket | None, merged: Mapping[UUID, Ticket]
) -> None:
    if isinstance(command, OpenTicket):
        return
    if ticket is None or not sees(context.actor, ticket):
        raise TicketNotFound(command.ticket)
    if not may(context.actor, command, ticket):
        raise Forbidden(f"give the command {type(command).__name__} to this ticket")
    if isinstance(command, CommentCommand):
        comments.check_access(context, command, ticket, merged)


def _named(command: TicketCommand) -> list[UUID | None]:
    """Streams besides the ticket's that the decision must know."""
    match command:
        case OpenTicket():
            named = [command.requester, command.assignee, command.team, command.service, command.parent]
            return [*named, *_in_fields(command.fields.values())]
        case TransferTicket(team=team, assignee=assignee, service=service, fields=fields):
            held = assignee if isinstance(assignee, UUID) else None
            return [team, held, service, *_in_fields(fields.values())]
        case TransitionTicket(fields=fields):
            return [*_in_fields(fields.values())]
        case SetField(value=value):
            return [*_in_fields([value])]
        case AssignTicket(assignee=assignee, team=team):
            return [id_ for id_ in (assignee, team) if isinstance(id_, UUID)]
        case RankTicket(after=after, before=before, assignee=assignee):
            return [after, before, assignee if isinstance(assignee, UUID) else None]
        case SetParent(parent=parent):
            return [parent]
        case LinkTickets(other=other) | UnlinkTickets(other=other):
            return [other]
        case MergeTickets(into=into):
            return [into]
        case SpawnTicket() | SplitTicket():
            requester = command.requester if isinstance(command.requester, UUID) else None
            named = [command.ticket, requester, command.assignee, command.team, command.service]
            return [*named, *(_in_fields(command.fields.values()) if isinstance(command, SpawnTicket) else ())]
        case BindService(service=service):
            return [service]
        case SetRequester(requester=requester):
            return [requester]
        case AddContributor(person=person) | WatchTicket(person=person):
            return [person]
        case AddComment(mentions=mentions) | EditComment(mentions=mentions):
            return [*mentions] if mentions else []
        case _:
            return []


def _in_fields(values: Iterable[FieldValue]) -> Iterable[UUID]:
    """Values that may name a person or a team: which fields do, the decision knows."""
    for value in values:
        if isinstance(value, str) and len(value) == UUID_LENGTH:
            with suppress(ValueError):
                yield UUID(value)


def _ancestors(workspace: WorkspaceStore, command: SetParent) -> tuple[UUID, ...]:
    """The new parent and all above it. That nobody moves one of them meanwhile is what the guard is for."""
    chain: list[UUID] = []
    above = command.parent
    while above is not None and above not in chain:
        chain.append(above)
        ticket = state_in(workspace.load([above]), above, Ticket)
        above = ticket.parent if ticket else None
    return tuple(chain)


def _subject(ticket: Ticket | None, events: list[tickets.TicketEvent]) -> UUID | None:
    """Free text belongs to the requester at that moment: a leaving employee's erasure keeps the company's tickets."""
    if ticket is not None:
        return ticket.requester
    return events[0].requester if events and isinstance(events[0], TicketOpened) else None


def _examined(
    contents: Contents | None, context: Context, command: TicketCommand, ticket: Ticket | None
) -> Upload | None:
    if not isinstance(command, AttachFile) or ticket is None:
        return None
    assert contents is not None, "who attaches says where contents lie"
    actor = context.actor
    return contents.examine(actor.workspace, actor.person, command.upload, ticket.requester or actor.workspace)


def _keep(
    contents: Contents | None, context: Context, command: TicketCommand, ticket: Ticket | None, upload: Upload
) -> None:
    """Before the event that names it is appended."""
    assert contents is not None
    assert ticket is not None
    assert isinstance(command, AttachFile)
    actor = context.actor
    subject = ticket.requester or actor.workspace
    contents.keep(actor.workspace, actor.person, command.upload, subject, upload.content)


T = TypeVar("T")


def _of(kind: type[T], loaded: dict[UUID, Stream]) -> dict[UUID, T]:
    return {id_: stream.state for id_, stream in loaded.items() if isinstance(stream.state, kind)}
