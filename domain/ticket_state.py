"""The ticket as it stands, what a decision about it must know besides, and the checks that its behaviours share."""

from collections.abc import Mapping, Set
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Literal
from uuid import UUID

import msgspec

from domain import text
from domain.errors import (
    FieldRequired,
    FieldsRequired,
    InvalidValue,
    PersonNotFound,
    ReasonRequired,
    ServiceNotFound,
    TeamNotFound,
    TicketIsClosed,
    TicketIsMerged,
    TicketNotFound,
)
from domain.files import Upload
from domain.people import Person
from domain.services import Service
from domain.talk import Talk
from domain.teams import Team
from domain.text import FieldValue
from domain.workflow_state import Occasion, Role, StatusCategory, Workflow, Workflows


class Priority(StrEnum):
    CRITICAL = "CRITICAL"
    HIGH = "HIGH"
    NORMAL = "NORMAL"
    LOW = "LOW"


class Visibility(StrEnum):
    PUBLIC = "PUBLIC"
    INTERNAL = "INTERNAL"


class LinkKind(StrEnum):
    """How a ticket is linked to another one, as it looks from the ticket."""

    RELATES = "RELATES"
    BLOCKS = "BLOCKS"
    BLOCKED_BY = "BLOCKED_BY"
    DUPLICATES = "DUPLICATES"
    DUPLICATED_BY = "DUPLICATED_BY"
    CAUSES = "CAUSES"
    CAUSED_BY = "CAUSED_BY"
    MERGED_INTO = "MERGED_INTO"
    MERGED_FROM = "MERGED_FROM"
    SPLIT_FROM = "SPLIT_FROM"
    SPLIT_INTO = "SPLIT_INTO"
    SPAWNED_FROM = "SPAWNED_FROM"
    SPAWNED = "SPAWNED"


class Link(msgspec.Struct, frozen=True, kw_only=True):
    kind: LinkKind
    other: UUID


class Merge(msgspec.Struct, frozen=True, kw_only=True):
    """Into which ticket it was merged, and what takes that back: links that moved (`added`: those that the target did
    not have), people who began to watch the target, and where the ticket stood. `shared`, `shared_watchers`: what the
    target had by then because of others that were merged into it."""

    into: UUID
    number: int
    moved: tuple[Link, ...]
    added: tuple[Link, ...]
    watchers: tuple[UUID, ...]
    shared: tuple[Link, ...] = ()
    shared_watchers: tuple[UUID, ...] = ()
    workflow_version: int
    status: str
    category: StatusCategory

    @property
    def key(self) -> str:
        return ticket_key(self.number)


class Attachment(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    visibility: Visibility
    bytes: int


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """`said_version`, `said_at`: of the event that wrote, edited or withdrew it last, which has its text."""

    id: UUID
    author: UUID
    visibility: Visibility
    said_version: int
    said_at: datetime
    mentions: tuple[UUID, ...] = ()
    withdrawn: bool = False


NOTHING_SAID: Talk[Comment] = Talk()


class Rating(msgspec.Struct, frozen=True, kw_only=True):
    """What the requester says of a result, from 1 to 5. `closed_at`: of the closing whose result it is."""

    score: int
    comment: str | None
    closed_at: datetime


class EstimateState(StrEnum):
    """REQUESTED: nobody has given it yet. GIVEN: the client decides."""

    REQUESTED = "REQUESTED"
    GIVEN = "GIVEN"
    ACCEPTED = "ACCEPTED"
    DECLINED = "DECLINED"

    @property
    def settled(self) -> bool:
        return self in (EstimateState.ACCEPTED, EstimateState.DECLINED)


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """Prices are without tax, in the currency, both or neither. `valid_until`: the last day to accept it."""

    least_seconds: int
    most_seconds: int
    least_price: Decimal | None = None
    most_price: Decimal | None = None
    currency: str | None = None
    valid_until: date | None = None


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    state: EstimateState = EstimateState.REQUESTED
    offer: Offer | None = None
    questions: tuple[UUID, ...] = ()


class Ticket(msgspec.Struct, frozen=True, kw_only=True):
    """`version`: number of events. `last_at`: occurred_at of the last dated event; later ones are never
    before it. `comments`: in the order they were written. `rating`: the last one."""

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
    start_at: datetime | None = None
    due_at: datetime | None
    opened_at: datetime
    closed_at: datetime | None
    last_at: datetime
    contributors: tuple[UUID, ...] = ()
    watchers: tuple[UUID, ...] = ()
    comments: Talk[Comment] = NOTHING_SAID
    attachments: tuple[Attachment, ...] = ()
    links: tuple[Link, ...] = ()
    merged: Merge | None = None
    rating: Rating | None = None
    sensitive: bool = False
    ranked: str | None = None
    estimates: tuple[Estimate, ...] = ()
    documents: tuple[UUID, ...] = ()

    @property
    def key(self) -> str:
        return ticket_key(self.number)

    @property
    def closed(self) -> bool:
        return self.category.closed

    @property
    def rank(self) -> str:
        """Order within a board cell: where it was put, else that of opening. The latter has a fixed width, so that
        strings sort as the numbers do, and no 0 at its end, so that there is room before each."""
        return self.ranked or f"a{self.number:012d}1"

    def comment(self, id_: UUID) -> Comment | None:
        return self.comments.find(id_)


def ticket_key(number: int) -> str:
    return f"T-{number}"


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """Neighbours that the command does not name, as a read model shows them: where they have moved meanwhile, they only
    say where about."""

    after: UUID | None = None
    before: UUID | None = None


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision must know besides its ticket. `at` is None where the command names no time. `by`: who gives the
    command, or in whose name it is given.

    `people`, `teams`, `services`, `tickets` hold those that the command names and that exist here.
    `ancestors` of the new parent, nearest first, the parent itself included. `blocked`: what the ticket that a new link
    blocks blocks itself, directly and through others, itself included; of a merge, what both tickets block. `upload`:
    which the command attaches. `text`: of the comment that it edits or splits off. `merged`: tickets that are parts of
    this one, where the command names a comment that it has not got itself."""

    now: datetime
    workflows: Workflows
    at: datetime | None = None
    reason: str | None = None
    channel: str = "api"
    number: int = 0
    new_id: UUID = UUID(int=0)
    by: UUID = UUID(int=0)
    people: Mapping[UUID, Person] = {}
    teams: Mapping[UUID, Team] = {}
    services: Mapping[UUID, Service] = {}
    tickets: Mapping[UUID, Ticket] = {}
    ancestors: tuple[UUID, ...] = ()
    blocked: Set[UUID] = frozenset()
    upload: Upload | None = None
    text: str | None = None
    merged: Mapping[UUID, Ticket] = {}
    beside: Beside = Beside()


def must_be_there(id_: UUID, field: str, around: Surroundings) -> Ticket:
    """A ticket that the command names, and that is not merged into another. Raises TicketNotFound, TicketIsMerged."""
    ticket = around.tickets.get(id_)
    if ticket is None:
        raise TicketNotFound(id_, field)
    must_not_be_merged(ticket, field)
    return ticket


def must_not_be_merged(ticket: Ticket, field: str = "ticket") -> None:
    if ticket.merged is not None:
        raise TicketIsMerged(ticket.key, ticket.merged.key, field)


def must_be_open(ticket: Ticket) -> None:
    if ticket.closed:
        raise TicketIsClosed(ticket.key)


def must_say_why(workflow: Workflow, occasion: Occasion, around: Surroundings) -> None:
    """Raises ReasonRequired."""
    if occasion in workflow.reasons and text.is_blank(around.reason or ""):
        raise ReasonRequired(_WHY[occasion])


_WHY = {
    Occasion.CLOSING: "to close the ticket",
    Occasion.REOPENING: "to open the ticket again",
    Occasion.ROLE_CHANGE: "to change the role",
    Occasion.PRIORITY_CHANGE: "to change the priority",
}


def crossing(ticket: Ticket, to: StatusCategory) -> Occasion | None:
    """Whether a move to a status of this category closes the ticket, or opens it again."""
    if ticket.closed == to.closed:
        return None
    return Occasion.CLOSING if to.closed else Occasion.REOPENING


def must_be_active(person: UUID | None, field: str, around: Surroundings) -> None:
    if person is not None and not (person in around.people and around.people[person].active):
        raise PersonNotFound(person, field)


def must_exist(team: UUID | None, service: UUID | None, around: Surroundings) -> None:
    if team is not None and team not in around.teams:
        raise TeamNotFound(team)
    if service is not None and not (service in around.services and around.services[service].active):
        raise ServiceNotFound(service)


def instant(at: datetime, field: str) -> datetime:
    """The same instant in UTC. An offset of seconds, which RFC 3339 cannot write, would be lost otherwise."""
    if at.utcoffset() is None:
        raise InvalidValue(f"{field} needs an offset, as in 2026-03-01T09:00:00+03:00.", (field,))
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise InvalidValue(f"{field} is outside the years 1 to 9999.", (field,)) from None


def must_fulfil(role: Role, ticket: Ticket, workflows: Workflows) -> None:
    """What the role requires, and the custom fields that are required for it: all that is missing is named at once.
    Raises FieldRequired, FieldsRequired."""
    missing = [
        FieldRequired(name, f"for the role {role.key}", custom=name not in TICKET_FIELDS)
        for name in (*role.requires, *workflows.required_fields(role.key))
        if not has(ticket, name)
    ]
    if missing:
        raise missing[0] if len(missing) == 1 else FieldsRequired(missing)


def must_keep(name: str, ticket: Ticket, around: Surroundings) -> None:
    """What the ticket's role requires is not taken away. A role that came by an import may be unknown here."""
    role = around.workflows.roles.get(ticket.role)
    if role is not None and name in role.requires:
        raise FieldRequired(name, f"for the role {role.key}")


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


def has(ticket: Ticket, name: str) -> bool:
    if name in TICKET_FIELDS:
        return getattr(ticket, TICKET_FIELDS[name]) is not None
    value = ticket.fields.get(name)
    return not text.is_blank(value) if isinstance(value, str) else value not in (None, ())


def checked_description(description: str | None) -> str | None:
    """None where there is nothing to see in it."""
    if description is None or text.is_blank(description):
        return None
    return text.prose(description, "description")


def checked_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    if len(tags) > text.TAGS_LIMIT:
        raise InvalidValue(f"{len(tags)} tags; {text.TAGS_LIMIT} is the limit.", ("tags",))
    return tuple(dict.fromkeys(text.line(tag, "tags", text.KEY_LIMIT) for tag in tags))
