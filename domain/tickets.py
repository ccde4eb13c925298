"""The ticket: one entity for all that the company does for somebody; its role changes, its history stays.

`decide` is pure: what it must know besides the ticket comes in `Surroundings`. `evolve` never fails and never
decides. Each behaviour has a module of its own, with its events, its commands and its share of both; what the rest of
Proteus says of tickets is imported from here.
"""
# pyright: reportUnusedImport=false

from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec

from domain import (
    assignment,
    attachments,
    attributes,
    comments,
    field_values,
    hand_overs,
    hierarchy,
    links,
    participants,
    ranking,
    text,
    transitions,
)
from domain.assignment import (
    AssignmentEvent,
    AssignTicket,
    TeamAssigned,
    TeamUnassigned,
    TicketAssigned,
    TicketUnassigned,
)
from domain.attachments import AttachFile, AttachmentCommand, AttachmentEvent, DetachFile, FileAttached, FileDetached
from domain.attributes import (
    AttributeCommand,
    AttributeEvent,
    BindService,
    DescribeTicket,
    PriorityChanged,
    RequesterChanged,
    RetitleTicket,
    ScheduleTicket,
    ServiceBound,
    ServiceUnbound,
    SetPriority,
    SetRequester,
    TagTicket,
    TicketDescribed,
    TicketRetitled,
    TicketScheduled,
    TicketTagged,
    TicketUntagged,
    UntagTicket,
)
from domain.comments import (
    AddComment,
    CommentAdded,
    CommentCommand,
    CommentEdited,
    CommentEvent,
    CommentWithdrawn,
    EditComment,
    WithdrawComment,
)
from domain.errors import OccurredBeforeLast, OccurredInFuture, TicketNotFound
from domain.field_values import FieldSet, SetField
from domain.hand_overs import TicketTransferred, TransferTicket
from domain.hierarchy import HierarchyEvent, ParentRemoved, ParentSet, SetParent
from domain.links import LinkCommand, LinkEvent, LinkTickets, TicketLinked, TicketUnlinked, UnlinkTickets
from domain.participants import (
    AddContributor,
    ContributorAdded,
    ContributorRemoved,
    ParticipantCommand,
    ParticipantEvent,
    RemoveContributor,
    TicketUnwatched,
    TicketWatched,
    UnwatchTicket,
    WatchTicket,
)
from domain.ranking import Place, RankTicket, TicketRanked
from domain.text import FieldValue, FreeText, SealedFields
from domain.ticket_state import (
    Link,
    LinkKind,
    Priority,
    Surroundings,
    Ticket,
    Visibility,
    checked_description,
    checked_tags,
    instant,
    must_be_active,
    must_exist,
    must_fulfil,
    ticket_key,
)
from domain.transitions import (
    ChangeRole,
    RoleChanged,
    StatusChanged,
    TransitionCommand,
    TransitionEvent,
    TransitionTicket,
    available_transitions,
    judging,
)
from domain.workflows import StatusCategory


class TicketOpened(msgspec.Struct, frozen=True, kw_only=True):
    """`channel`: by which way the request came (phone, site, …).
    `requester`: the data subject of the free text."""

    number: int
    title: FreeText
    description: FreeText | None = None
    role: str
    workflow: str
    workflow_version: int
    status: str
    category: StatusCategory
    priority: Priority
    channel: str
    requester: UUID | None = None
    assignee: UUID | None = None
    team: UUID | None = None
    service: UUID | None = None
    parent: UUID | None = None
    tags: tuple[str, ...] = ()
    fields: SealedFields = {}
    due_at: datetime | None = None
    external_key: str | None = None


TicketEvent = (
    TicketOpened
    | TransitionEvent
    | TicketTransferred
    | FieldSet
    | AssignmentEvent
    | AttributeEvent
    | ParticipantEvent
    | TicketRanked
    | HierarchyEvent
    | LinkEvent
    | CommentEvent
    | AttachmentEvent
)

UNDATED = (CommentAdded, CommentEdited, CommentWithdrawn, FileAttached)
"""Events that may be dated before the ticket's last change, because no span depends on them."""


class OpenTicket(msgspec.Struct, frozen=True, kw_only=True):
    title: str
    role: str
    description: str | None = None
    service: UUID | None = None
    requester: UUID | None = None
    channel: str | None = None
    priority: Priority | None = None
    assignee: UUID | None = None
    team: UUID | None = None
    parent: UUID | None = None
    tags: tuple[str, ...] = ()
    fields: dict[str, FieldValue] = {}
    due_at: datetime | None = None


CommandToTicket = (
    TransitionCommand
    | TransferTicket
    | AssignTicket
    | AttributeCommand
    | SetField
    | ParticipantCommand
    | RankTicket
    | SetParent
    | LinkCommand
    | CommentCommand
    | AttachmentCommand
)
TicketCommand = OpenTicket | CommandToTicket


def occurred_at(ticket: Ticket | None, events: list[TicketEvent], around: Surroundings) -> datetime:
    """When the decided events happened: the named time if it is neither in the future nor before the last change of
    the ticket or of one that is told too, else now, but never before that change, so that a skewed clock refuses
    nobody.

    Raises OccurredInFuture, OccurredBeforeLast, InvalidValue.
    """
    told = [around.tickets[event.other] for event in events if isinstance(event, LinkEvent)]
    last = [one.last_at for one in (ticket, *told) if one is not None]
    earliest = [] if ticket is None else [_not_before(ticket, event, max(last)) for event in events]
    if around.at is None:
        return max([around.now, *last, *earliest])
    at = instant(around.at, "occurredAt")
    if at > around.now:
        raise OccurredInFuture(at)
    if ticket is not None and at < max(earliest, default=ticket.opened_at):
        raise OccurredBeforeLast(at, max(earliest, default=ticket.opened_at))
    return at


def _not_before(ticket: Ticket, event: TicketEvent, last: datetime) -> datetime:
    if isinstance(event, CommentEvent):
        return comments.not_before(ticket, event)
    return ticket.opened_at if isinstance(event, UNDATED) else last


def decide(ticket: Ticket | None, command: TicketCommand, around: Surroundings) -> list[TicketEvent]:
    """What happens; [] when nothing changes. Raises a subclass of Refused that states why not."""
    if isinstance(command, OpenTicket):
        assert ticket is None, "a new ticket has a new stream"
        return _open(command, around)
    if ticket is None:
        raise TicketNotFound(command.ticket)
    if isinstance(command, TransitionCommand):
        return [*transitions.decide(ticket, command, around)]
    if isinstance(command, TransferTicket):
        return [*hand_overs.decide(ticket, command, around)]
    if isinstance(command, AssignTicket):
        return [*assignment.decide(ticket, command, around)]
    if isinstance(command, AttributeCommand):
        return [*attributes.decide(ticket, command, around)]
    if isinstance(command, SetField):
        return [*field_values.decide(ticket, command, around)]
    if isinstance(command, ParticipantCommand):
        return [*participants.decide(ticket, command, around)]
    if isinstance(command, RankTicket):
        return [*ranking.decide(ticket, command, around)]
    if isinstance(command, SetParent):
        return [*hierarchy.decide(ticket, command, around)]
    if isinstance(command, LinkCommand):
        return [*links.decide(ticket, command, around)]
    if isinstance(command, AttachmentCommand):
        return [*attachments.decide(ticket, command, around)]
    return [*comments.decide(ticket, command, around)]


def possible(ticket: Ticket, command: type[CommandToTicket]) -> bool:
    """Whether the ticket's state, apart from anybody's rights, accepts such a command now."""
    return not (ticket.closed and command in _ONLY_WHILE_OPEN)


_ONLY_WHILE_OPEN = frozenset[type[CommandToTicket]](
    {TransferTicket, AssignTicket, SetPriority, ScheduleTicket, AddContributor}
)


def _open(command: OpenTicket, around: Surroundings) -> list[TicketEvent]:
    role = around.workflows.role(command.role)
    workflow = around.workflows.newest(role.workflow)
    status = workflow.status(workflow.initial)
    for field, person in (("requester", command.requester), ("assignee", command.assignee)):
        must_be_active(person, field, around)
    must_exist(command.team, command.service, around)
    if command.parent is not None and command.parent not in around.tickets:
        raise TicketNotFound(command.parent, "parent")
    opened = TicketOpened(
        number=around.number,
        title=text.line(command.title, "title"),
        description=checked_description(command.description),
        role=role.key,
        workflow=workflow.key,
        workflow_version=workflow.version,
        status=status.key,
        category=status.category,
        priority=command.priority or Priority.NORMAL,
        channel=text.line(command.channel or around.channel, "channel", text.KEY_LIMIT),
        requester=command.requester,
        assignee=command.assignee,
        team=command.team,
        service=command.service,
        parent=command.parent,
        tags=checked_tags(command.tags),
        fields=field_values.checked(command.fields, role.key, around),
        due_at=None if command.due_at is None else instant(command.due_at, "dueAt"),
    )
    must_fulfil(role, evolve(None, opened, around.now), around.workflows)
    return [opened]


def evolve(ticket: Ticket | None, event: TicketEvent, at: datetime) -> Ticket:
    """The ticket after this event, which happened at `at` (aware)."""
    if isinstance(event, TicketOpened):
        return _opened(event, at)
    assert ticket is not None, "a ticket's first event is TicketOpened"
    if isinstance(event, CommentEvent):  # the most frequent by far
        return comments.evolve(ticket, event, at)
    if isinstance(event, TransitionEvent):
        return transitions.evolve(ticket, event, at)
    if isinstance(event, AssignmentEvent):
        return assignment.evolve(ticket, event, at)
    if isinstance(event, AttributeEvent):
        return attributes.evolve(ticket, event, at)
    if isinstance(event, AttachmentEvent):
        return attachments.evolve(ticket, event, at)
    if isinstance(event, FieldSet):
        return field_values.evolve(ticket, event, at)
    if isinstance(event, ParticipantEvent):
        return participants.evolve(ticket, event, at)
    if isinstance(event, TicketTransferred):
        return hand_overs.evolve(ticket, event, at)
    if isinstance(event, LinkEvent):
        return links.evolve(ticket, event, at)
    if isinstance(event, TicketRanked):
        return ranking.evolve(ticket, event, at)
    return hierarchy.evolve(ticket, event, at)


def _opened(event: TicketOpened, at: datetime) -> Ticket:
    assert not isinstance(event.fields, str), "sealed fields are opened before they are folded"
    return Ticket(
        number=event.number,
        version=1,
        external_key=event.external_key,
        title=event.title,
        description=event.description,
        role=event.role,
        workflow=event.workflow,
        workflow_version=event.workflow_version,
        status=event.status,
        category=event.category,
        status_since=at,
        priority=event.priority,
        channel=event.channel,
        requester=event.requester,
        assignee=event.assignee,
        team=event.team,
        service=event.service,
        parent=event.parent,
        tags=event.tags,
        fields=event.fields,
        due_at=event.due_at,
        opened_at=at,
        closed_at=at if event.category.closed else None,
        last_at=at,
    )
