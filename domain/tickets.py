"""The ticket: one entity for all that the company does for somebody; its role changes, its history stays.

`decide` is pure: what it must know besides the ticket comes in `Surroundings`. `evolve` never fails and never
decides.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Literal, assert_never
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from domain import text
from domain.errors import (
    CommentNotFound,
    FieldRequired,
    InvalidValue,
    OccurredBeforeLast,
    OccurredInFuture,
    ParentCycle,
    PersonNotFound,
    ReasonRequired,
    ServiceNotFound,
    TeamNotFound,
    TicketIsClosed,
    TicketNotFound,
    TransitionNotAllowed,
)
from domain.people import Person
from domain.services import Service
from domain.teams import Team
from domain.text import FieldValue, FreeText, SealedFields, SealedValue
from domain.workflows import ANY, REASON, Role, Status, StatusCategory, Transition, Workflow, Workflows


class Priority(StrEnum):
    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"


class Visibility(StrEnum):
    PUBLIC = "PUBLIC"
    INTERNAL = "INTERNAL"


# ---- events


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


class RoleChanged(msgspec.Struct, frozen=True, kw_only=True):
    role: str
    workflow: str
    workflow_version: int
    status: str
    category: StatusCategory


class StatusChanged(msgspec.Struct, frozen=True, kw_only=True):
    """`workflow_version`: the version that allowed the move; the ticket is on it from now on."""

    workflow_version: int
    status: str
    category: StatusCategory


class TicketAssigned(msgspec.Struct, frozen=True, kw_only=True):
    assignee: UUID


class TicketUnassigned(msgspec.Struct, frozen=True, kw_only=True):
    pass


class TeamAssigned(msgspec.Struct, frozen=True, kw_only=True):
    team: UUID


class TeamUnassigned(msgspec.Struct, frozen=True, kw_only=True):
    pass


class PriorityChanged(msgspec.Struct, frozen=True, kw_only=True):
    priority: Priority


class ParentSet(msgspec.Struct, frozen=True, kw_only=True):
    parent: UUID


class ParentRemoved(msgspec.Struct, frozen=True, kw_only=True):
    pass


class ServiceBound(msgspec.Struct, frozen=True, kw_only=True):
    service: UUID


class ServiceUnbound(msgspec.Struct, frozen=True, kw_only=True):
    pass


class RequesterChanged(msgspec.Struct, frozen=True, kw_only=True):
    requester: UUID | None


class FieldSet(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    value: SealedValue


class CommentAdded(msgspec.Struct, frozen=True, kw_only=True):
    comment: UUID
    body: FreeText
    visibility: Visibility
    in_reply_to: UUID | None = None


TicketEvent = (
    TicketOpened
    | RoleChanged
    | StatusChanged
    | TicketAssigned
    | TicketUnassigned
    | TeamAssigned
    | TeamUnassigned
    | PriorityChanged
    | ParentSet
    | ParentRemoved
    | ServiceBound
    | ServiceUnbound
    | RequesterChanged
    | FieldSet
    | CommentAdded
)

UNDATED = (CommentAdded,)
"""Events that may be dated before the ticket's last change, because no span depends on them."""


# ---- commands


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


class ChangeRole(msgspec.Struct, frozen=True, kw_only=True):
    """Without `status` the new role's workflow says where the ticket lands."""

    ticket: UUID
    role: str
    status: str | None = None


class TransitionTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Closing, cancelling and reopening are transitions. `fields` sets custom fields that it requires."""

    ticket: UUID
    status: str
    fields: dict[str, FieldValue] = {}


class AssignTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Absent leaves as it is, None unassigns."""

    ticket: UUID
    assignee: UUID | UnsetType | None = UNSET
    team: UUID | UnsetType | None = UNSET


class SetPriority(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    priority: Priority


class SetParent(msgspec.Struct, frozen=True, kw_only=True):
    """None makes it a top-level ticket. No cycles: held by the workspace's guard row `hierarchy`, whose
    version the append checks, since the ancestors were read before."""

    ticket: UUID
    parent: UUID | None


class AddComment(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    body: str
    visibility: Visibility = Visibility.PUBLIC
    in_reply_to: UUID | None = None


TicketCommand = OpenTicket | ChangeRole | TransitionTicket | AssignTicket | SetPriority | SetParent | AddComment
CommandToTicket = ChangeRole | TransitionTicket | AssignTicket | SetPriority | SetParent | AddComment


# ---- state


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """`version`: number of events. `last_at`: occurred_at of the last dated event; later ones are never
    before it. `comments`: visibility by comment id, in the order they were written."""

    number: int
    version: int
    external_key: str | None
    title: str
    description: str | None
    role: str
    workflow: str
    workflow_version: int
    status: str
    category: StatusCategory
    status_since: datetime
    priority: Priority
    channel: str
    requester: UUID | None
    assignee: UUID | None
    team: UUID | None
    service: UUID | None
    parent: UUID | None
    tags: tuple[str, ...]
    fields: dict[str, FieldValue]
    due_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    last_at: datetime
    comments: tuple[tuple[UUID, Visibility], ...] = ()

    @property
    def key(self) -> str:
        return ticket_key(self.number)

    @property
    def closed(self) -> bool:
        return self.category.closed

    @property
    def rank(self) -> str:
        """Order within a board cell: of opening. Fixed width, so that strings sort as the numbers do."""
        return f"a{self.number:012d}"


def ticket_key(number: int) -> str:
    return f"T-{number}"


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision must know besides its ticket. `at` is None where the command names no time.

    `people`, `teams`, `services`, `tickets` hold those that the command names and that exist here.
    `ancestors` of the new parent, nearest first, the parent itself included."""

    now: datetime
    workflows: Workflows
    at: datetime | None = None
    reason: str | None = None
    channel: str = "api"
    number: int = 0
    new_id: UUID = UUID(int=0)
    people: Mapping[UUID, Person] = {}
    teams: Mapping[UUID, Team] = {}
    services: Mapping[UUID, Service] = {}
    tickets: Mapping[UUID, Ticket] = {}
    ancestors: tuple[UUID, ...] = ()


def occurred_at(ticket: Ticket | None, events: list[TicketEvent], around: Surroundings) -> datetime:
    """When the decided events happened: the named time if it is neither in the future nor before the ticket's
    last change, else now, but never before that change, so that a skewed clock refuses nobody.

    Raises OccurredInFuture, OccurredBeforeLast, InvalidValue.
    """
    if around.at is None:
        return around.now if ticket is None else max(around.now, ticket.last_at)
    at = _instant(around.at, "occurredAt")
    if at > around.now:
        raise OccurredInFuture(at)
    if ticket is not None:
        dated_back = all(isinstance(event, UNDATED) for event in events)
        earliest = ticket.opened_at if dated_back else ticket.last_at
        if at < earliest:
            raise OccurredBeforeLast(at, earliest)
    return at


def decide(ticket: Ticket | None, command: TicketCommand, around: Surroundings) -> list[TicketEvent]:
    """What happens; [] when nothing changes. Raises a subclass of Refused that states why not."""
    if isinstance(command, OpenTicket):
        assert ticket is None, "a new ticket has a new stream"
        return _open(command, around)
    if ticket is None:
        raise TicketNotFound(command.ticket)
    match command:
        case ChangeRole():
            return _change_role(ticket, command, around)
        case TransitionTicket():
            return _transition(ticket, command, around)
        case AssignTicket():
            return _assign(ticket, command, around)
        case SetPriority(priority=priority):
            _must_be_open(ticket)
            return [] if priority is ticket.priority else [PriorityChanged(priority=priority)]
        case SetParent():
            return _set_parent(ticket, command, around)
        case AddComment():
            return _add_comment(ticket, command, around)
        case _:
            assert_never(command)


def possible(ticket: Ticket, command: type[CommandToTicket]) -> bool:
    """Whether the ticket's state, apart from anybody's rights, accepts such a command now."""
    if command in (AssignTicket, SetPriority):
        return not ticket.closed
    return True


def available_transitions(ticket: Ticket, workflows: Workflows) -> list[tuple[Status, tuple[str, ...]]]:
    """Statuses that the ticket may move to now, each with what it requires and the ticket still lacks."""
    workflow = governing(ticket, workflows)
    return [
        (
            workflow.status(way.target),
            tuple(name for name in way.requires if name == REASON or not _has(ticket, name)),
        )
        for way in workflow.transitions_from(ticket.status)
    ]


def governing(ticket: Ticket, workflows: Workflows) -> Workflow:
    """The version by which the next move is judged: the newest, or the ticket's own where the newest has lost
    the status it stands in (nobody is stranded)."""
    newest = workflows.newest(ticket.workflow)
    return newest if newest.has(ticket.status) else workflows.version(ticket.workflow, ticket.workflow_version)


def _open(command: OpenTicket, around: Surroundings) -> list[TicketEvent]:
    role = around.workflows.role(command.role)
    workflow = around.workflows.newest(role.workflow)
    status = workflow.status(workflow.initial)
    for field, person in (("requester", command.requester), ("assignee", command.assignee)):
        _must_be_active(person, field, around)
    _must_exist(command.team, command.service, around)
    if command.parent is not None and command.parent not in around.tickets:
        raise TicketNotFound(command.parent, "parent")
    blank = text.is_blank(command.description or "")
    opened = TicketOpened(
        number=around.number,
        title=text.line(command.title, "title"),
        description=None if blank else text.prose(command.description or "", "description"),
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
        tags=_tags(command.tags),
        fields=_fields(command.fields),
        due_at=None if command.due_at is None else _instant(command.due_at, "dueAt"),
    )
    _must_fulfil(role, evolve(None, opened, around.now))
    return [opened]


def _change_role(ticket: Ticket, command: ChangeRole, around: Surroundings) -> list[TicketEvent]:
    role = around.workflows.role(command.role)
    workflow = around.workflows.newest(role.workflow)
    if role.key == ticket.role and workflow.key == ticket.workflow:
        if command.status in (None, ticket.status):
            return []
        raise InvalidValue(f"{ticket.key} has this role already; a transition changes its status.", ("status",))
    if command.status is not None:
        status = workflow.status(command.status)
        if way := workflow.transition(ANY, status.key):  # asked of every arrival, from another workflow too
            _must_meet(way, ticket, around, f"to arrive in {status.key!r}")
    elif workflow.key == ticket.workflow and workflow.has(ticket.status) and not ticket.closed:
        status = workflow.status(ticket.status)
    else:
        status = workflow.landing_status(ticket.category)
    _must_fulfil(role, ticket)
    return [
        RoleChanged(
            role=role.key,
            workflow=workflow.key,
            workflow_version=workflow.version,
            status=status.key,
            category=status.category,
        )
    ]


def _transition(ticket: Ticket, command: TransitionTicket, around: Surroundings) -> list[TicketEvent]:
    workflow = governing(ticket, around.workflows)
    status = workflow.status(command.status)
    fields = _fields(command.fields)
    changed: list[TicketEvent] = [
        FieldSet(key=key, value=value)
        for key, value in fields.items()
        if not text.same_value(ticket.fields.get(key), value)
    ]
    with_fields = replace(ticket, fields={**ticket.fields, **fields})
    if len(with_fields.fields) > text.FIELDS_LIMIT:
        raise InvalidValue(f"{ticket.key} would have more than {text.FIELDS_LIMIT} fields.", ("fields",))
    if status.key == ticket.status:
        return changed
    way = workflow.transition(ticket.status, status.key)
    if way is None:
        allowed = (other.target for other in workflow.transitions_from(ticket.status))
        raise TransitionNotAllowed(ticket.status, status.key, allowed)
    _must_meet(way, with_fields, around, f"to move from {ticket.status!r} to {status.key!r}")
    moved = StatusChanged(workflow_version=workflow.version, status=status.key, category=status.category)
    return [*changed, moved]


def _assign(ticket: Ticket, command: AssignTicket, around: Surroundings) -> list[TicketEvent]:
    if command.assignee is UNSET and command.team is UNSET:
        raise InvalidValue("Say whom to assign: assignee, team, or both; null unassigns.", ("assignee",))
    _must_be_open(ticket)
    events: list[TicketEvent] = []
    team, assignee = command.team, command.assignee
    if team is not UNSET and team != ticket.team:
        _must_exist(team, None, around)
        events.append(TeamUnassigned() if team is None else TeamAssigned(team=team))
    if assignee is not UNSET and assignee != ticket.assignee:
        _must_be_active(assignee, "assignee", around)
        events.append(TicketUnassigned() if assignee is None else TicketAssigned(assignee=assignee))
    return events


def _set_parent(ticket: Ticket, command: SetParent, around: Surroundings) -> list[TicketEvent]:
    if command.parent == ticket.parent:
        return []
    if command.parent is None:
        return [ParentRemoved()]
    if command.parent != command.ticket and command.parent not in around.tickets:
        raise TicketNotFound(command.parent, "parent")
    if command.ticket == command.parent or command.ticket in around.ancestors:
        raise ParentCycle(ticket.key)
    return [ParentSet(parent=command.parent)]


def _add_comment(ticket: Ticket, command: AddComment, around: Surroundings) -> list[TicketEvent]:
    answered = command.in_reply_to
    visibility = command.visibility
    if answered is not None:
        visible = dict(ticket.comments).get(answered)
        if visible is None:
            raise CommentNotFound(answered)
        if visible is Visibility.INTERNAL and visibility is Visibility.PUBLIC:
            raise InvalidValue("The answer to an internal comment is internal too.", ("visibility",))
    body = text.prose(command.body, "body")
    return [CommentAdded(comment=around.new_id, body=body, visibility=visibility, in_reply_to=answered)]


def _must_be_open(ticket: Ticket) -> None:
    if ticket.closed:
        raise TicketIsClosed(ticket.key)


def _must_be_active(person: UUID | None, field: str, around: Surroundings) -> None:
    if person is not None and not (person in around.people and around.people[person].active):
        raise PersonNotFound(person, field)


def _must_exist(team: UUID | None, service: UUID | None, around: Surroundings) -> None:
    if team is not None and team not in around.teams:
        raise TeamNotFound(team)
    if service is not None and not (service in around.services and around.services[service].active):
        raise ServiceNotFound(service)


def _instant(at: datetime, field: str) -> datetime:
    """The same instant in UTC. An offset of seconds, which RFC 3339 cannot write, would be lost otherwise."""
    if at.utcoffset() is None:
        raise InvalidValue(f"{field} needs an offset, as in 2026-03-01T09:00:00+03:00.", (field,))
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise InvalidValue(f"{field} is outside the years 1 to 9999.", (field,)) from None


def _must_meet(way: Transition, ticket: Ticket, around: Surroundings, why: str) -> None:
    for name in way.requires:
        if name == REASON:
            if text.is_blank(around.reason or ""):
                raise ReasonRequired(why)
        elif not _has(ticket, name):
            raise FieldRequired(name, why, custom=name not in TICKET_FIELDS)


def _must_fulfil(role: Role, ticket: Ticket) -> None:
    for name in role.requires:
        if not _has(ticket, name):
            raise FieldRequired(name, f"for the role {role.key}", custom=name not in TICKET_FIELDS)


TicketField = Literal["assignee", "team", "service", "requester", "parent", "description", "dueAt"]
TICKET_FIELDS: Mapping[str, str] = {
    "assignee": "assignee",
    "team": "team",
    "service": "service",
    "requester": "requester",
    "parent": "parent",
    "description": "description",
    "dueAt": "due_at",
}
"""What a workflow may require besides custom fields: the API's name -> the attribute."""


def _has(ticket: Ticket, name: str) -> bool:
    if name in TICKET_FIELDS:
        return getattr(ticket, TICKET_FIELDS[name]) is not None
    value = ticket.fields.get(name)
    return not text.is_blank(value) if isinstance(value, str) else value is not None


def _tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    if len(tags) > text.TAGS_LIMIT:
        raise InvalidValue(f"{len(tags)} tags; {text.TAGS_LIMIT} is the limit.", ("tags",))
    return tuple(dict.fromkeys(text.line(tag, "tags", text.KEY_LIMIT) for tag in tags))


def _fields(fields: Mapping[str, FieldValue]) -> dict[str, FieldValue]:
    if len(fields) > text.FIELDS_LIMIT:
        raise InvalidValue(f"{len(fields)} fields; {text.FIELDS_LIMIT} is the limit.", ("fields",))
    return {text.key(key, "fields"): text.field_value(key, value) for key, value in fields.items()}


def evolve(ticket: Ticket | None, event: TicketEvent, at: datetime) -> Ticket:
    """The ticket after this event, which happened at `at` (aware)."""
    if isinstance(event, TicketOpened):
        return _opened(event, at)
    assert ticket is not None, "a ticket's first event is TicketOpened"
    version = ticket.version + 1
    match event:
        case RoleChanged():
            return replace(
                _moved(ticket, event.status, event.category, at, event.workflow),
                role=event.role,
                workflow=event.workflow,
                workflow_version=event.workflow_version,
            )
        case StatusChanged():
            return replace(
                _moved(ticket, event.status, event.category, at, ticket.workflow),
                workflow_version=event.workflow_version,
            )
        case TicketAssigned(assignee=assignee):
            return replace(ticket, version=version, last_at=at, assignee=assignee)
        case TicketUnassigned():
            return replace(ticket, version=version, last_at=at, assignee=None)
        case TeamAssigned(team=team):
            return replace(ticket, version=version, last_at=at, team=team)
        case TeamUnassigned():
            return replace(ticket, version=version, last_at=at, team=None)
        case PriorityChanged(priority=priority):
            return replace(ticket, version=version, last_at=at, priority=priority)
        case ParentSet(parent=parent):
            return replace(ticket, version=version, last_at=at, parent=parent)
        case ParentRemoved():
            return replace(ticket, version=version, last_at=at, parent=None)
        case ServiceBound(service=service):
            return replace(ticket, version=version, last_at=at, service=service)
        case ServiceUnbound():
            return replace(ticket, version=version, last_at=at, service=None)
        case RequesterChanged(requester=requester):
            return replace(ticket, version=version, last_at=at, requester=requester)
        case FieldSet(key=key, value=value):
            return replace(ticket, version=version, last_at=at, fields={**ticket.fields, key: value})
        case CommentAdded(comment=comment, visibility=visibility):
            return replace(ticket, version=version, comments=(*ticket.comments, (comment, visibility)))
        case _:
            assert_never(event)


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


def _moved(ticket: Ticket, status: str, category: StatusCategory, at: datetime, workflow: str) -> Ticket:
    """`closed_at`: the first closing of the current closed stretch; done -> cancelled does not move it."""
    stays = status == ticket.status and workflow == ticket.workflow
    closed_at = (ticket.closed_at or at) if category.closed else None
    return replace(
        ticket,
        version=ticket.version + 1,
        last_at=at,
        status=status,
        category=category,
        status_since=ticket.status_since if stays else at,
        closed_at=closed_at,
    )
