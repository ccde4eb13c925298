"""Who holds a ticket: a person, a team, both or nobody."""

from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from domain.errors import InvalidValue
from domain.ticket_state import Surroundings, Ticket, must_be_active, must_be_open, must_exist, must_keep


class TicketAssigned(msgspec.Struct, frozen=True, kw_only=True):
    assignee: UUID


class TicketUnassigned(msgspec.Struct, frozen=True, kw_only=True):
    pass


class TeamAssigned(msgspec.Struct, frozen=True, kw_only=True):
    team: UUID


class TeamUnassigned(msgspec.Struct, frozen=True, kw_only=True):
    pass


AssignmentEvent = TicketAssigned | TicketUnassigned | TeamAssigned | TeamUnassigned


class AssignTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Absent leaves as it is, None unassigns."""

    ticket: UUID
    assignee: UUID | UnsetType | None = UNSET
    team: UUID | UnsetType | None = UNSET


def decide(ticket: Ticket, command: AssignTicket, around: Surroundings) -> list[AssignmentEvent]:
    """What the role requires stays."""
    events = changed(ticket, command, around)
    for event in events:
        if isinstance(event, TicketUnassigned | TeamUnassigned):
            must_keep("assignee" if isinstance(event, TicketUnassigned) else "team", ticket, around)
    return events


def changed(ticket: Ticket, command: AssignTicket, around: Surroundings) -> list[AssignmentEvent]:
    """As it is while the ticket leaves its role."""
    if command.assignee is UNSET and command.team is UNSET:
        raise InvalidValue("Say whom to assign: assignee, team, or both; null unassigns.", ("assignee",))
    must_be_open(ticket)
    events: list[AssignmentEvent] = []
    team, assignee = command.team, command.assignee
    if team is not UNSET and team != ticket.team:
        must_exist(team, None, around)
        events.append(TeamUnassigned() if team is None else TeamAssigned(team=team))
    if assignee is not UNSET and assignee != ticket.assignee:
        must_be_active(assignee, "assignee", around)
        events.append(TicketUnassigned() if assignee is None else TicketAssigned(assignee=assignee))
    return events


def evolve(ticket: Ticket, event: AssignmentEvent, at: datetime) -> Ticket:
    version = ticket.version + 1
    match event:
        case TicketAssigned(assignee=assignee):
            return replace(ticket, version=version, last_at=at, assignee=assignee)
        case TicketUnassigned():
            return replace(ticket, version=version, last_at=at, assignee=None)
        case TeamAssigned(team=team):
            return replace(ticket, version=version, last_at=at, team=team)
        case TeamUnassigned():
            return replace(ticket, version=version, last_at=at, team=None)
        case _:
            assert_never(event)
