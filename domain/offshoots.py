"""Tickets that come of another one: a sub-ticket for another service, or a comment split off. Both tickets have a link
that says so, each as it looks from there."""

from typing import assert_never
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType

from domain import comments, opening
from domain.comments import CommentAdded
from domain.errors import CommentIsWithdrawn
from domain.links import TicketLinked
from domain.opening import OpenTicket, TicketOpened
from domain.text import FieldValue
from domain.ticket_state import LinkKind, Priority, Surroundings, Ticket, must_be_open, must_be_there


class SpawnTicket(msgspec.Struct, frozen=True, kw_only=True):
    """A new ticket below `ticket`, for another service. Without `requester`: whoever asked for `ticket`."""

    ticket: UUID
    title: str
    role: str
    service: UUID
    description: str | None = None
    requester: UUID | UnsetType | None = UNSET
    priority: Priority | None = None
    assignee: UUID | None = None
    team: UUID | None = None
    tags: tuple[str, ...] = ()
    fields: dict[str, FieldValue] = {}


class SplitTicket(msgspec.Struct, frozen=True, kw_only=True):
    """A new ticket that begins with a comment of `ticket`, or of one that was merged into it: its text, its author, and
    who may read it. The comment stays where it is too. Without `role`, `requester`: as `ticket` has them."""

    ticket: UUID
    comment: UUID
    title: str
    role: str | None = None
    requester: UUID | UnsetType | None = UNSET
    priority: Priority | None = None
    assignee: UUID | None = None
    team: UUID | None = None
    service: UUID | None = None


OffshootCommand = SpawnTicket | SplitTicket
Beginnings = TicketOpened | CommentAdded | TicketLinked


def decide(command: OffshootCommand, around: Surroundings) -> list[Beginnings]:
    """Events of the new ticket."""
    origin = must_be_there(command.ticket, "ticket", around)
    match command:
        case SpawnTicket():
            return _spawn(origin, command, around)
        case SplitTicket():
            return _split(origin, command, around)
        case _:
            assert_never(command)


def _spawn(origin: Ticket, command: SpawnTicket, around: Surroundings) -> list[Beginnings]:
    must_be_open(origin)
    new = OpenTicket(
        title=command.title,
        role=command.role,
        description=command.description,
        service=command.service,
        requester=origin.requester if command.requester is UNSET else command.requester,
        priority=command.priority,
        assignee=command.assignee,
        team=command.team,
        parent=command.ticket,
        tags=command.tags,
        fields=command.fields,
    )
    return [opening.decide(new, around), TicketLinked(kind=LinkKind.SPAWNED_FROM, other=command.ticket)]


def _split(origin: Ticket, command: SplitTicket, around: Surroundings) -> list[Beginnings]:
    said = comments.there(origin, command.comment, merged=around.merged)
    if said.withdrawn:
        raise CommentIsWithdrawn
    assert around.text is not None, "what a comment says is looked up where one is split off"
    new = OpenTicket(
        title=command.title,
        role=command.role or origin.role,
        service=command.service,
        requester=origin.requester if command.requester is UNSET else command.requester,
        channel=origin.channel,
        priority=command.priority or origin.priority,
        assignee=command.assignee,
        team=command.team,
    )
    talk = CommentAdded(comment=around.new_id, author=said.author, body=around.text, visibility=said.visibility)
    return [opening.decide(new, around), talk, TicketLinked(kind=LinkKind.SPLIT_FROM, other=command.ticket)]
