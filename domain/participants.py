"""Who is on a ticket beside its assignee: contributors, who work on it, and watchers, who want to know of it."""

from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.errors import InvalidValue
from domain.ticket_state import Surroundings, Ticket, must_be_active, must_be_open

CONTRIBUTORS_LIMIT = 50
WATCHERS_LIMIT = 500

# ---- events


class ContributorAdded(msgspec.Struct, frozen=True, kw_only=True):
    person: UUID


class ContributorRemoved(msgspec.Struct, frozen=True, kw_only=True):
    person: UUID


class TicketWatched(msgspec.Struct, frozen=True, kw_only=True):
    person: UUID


class TicketUnwatched(msgspec.Struct, frozen=True, kw_only=True):
    person: UUID


ParticipantEvent = ContributorAdded | ContributorRemoved | TicketWatched | TicketUnwatched


# ---- commands


class AddContributor(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    person: UUID


class RemoveContributor(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    person: UUID


class WatchTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Without `person`: whoever gives the command."""

    ticket: UUID
    person: UUID | None = None


class UnwatchTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Without `person`: whoever gives the command."""

    ticket: UUID
    person: UUID | None = None


ParticipantCommand = AddContributor | RemoveContributor | WatchTicket | UnwatchTicket


def decide(ticket: Ticket, command: ParticipantCommand, around: Surroundings) -> list[ParticipantEvent]:
    person = command.person
    assert person is not None, "the application has filled in who gives the command"
    match command:
        case AddContributor():
            if person in ticket.contributors:
                return []
            must_be_open(ticket)
            must_be_active(person, "person", around)
            _must_have_room(ticket.contributors, CONTRIBUTORS_LIMIT, f"{ticket.key} has {{}} contributors")
            return [ContributorAdded(person=person)]
        case RemoveContributor():
            return [ContributorRemoved(person=person)] if person in ticket.contributors else []
        case WatchTicket():
            if person in ticket.watchers:
                return []
            must_be_active(person, "person", around)
            _must_have_room(ticket.watchers, WATCHERS_LIMIT, f"{ticket.key} has {{}} watchers")
            return [TicketWatched(person=person)]
        case UnwatchTicket():
            return [TicketUnwatched(person=person)] if person in ticket.watchers else []
        case _:
            assert_never(command)


def _must_have_room(people: tuple[UUID, ...], limit: int, what: str) -> None:
    if len(people) >= limit:
        raise InvalidValue(f"{what.format(len(people))}, which is the limit.", ("person",))


def evolve(ticket: Ticket, event: ParticipantEvent, at: datetime) -> Ticket:
    version, person = ticket.version + 1, event.person
    match event:
        case ContributorAdded():
            return replace(ticket, version=version, last_at=at, contributors=(*ticket.contributors, person))
        case ContributorRemoved():
            return replace(ticket, version=version, last_at=at, contributors=_without(ticket.contributors, person))
        case TicketWatched():
            return replace(ticket, version=version, last_at=at, watchers=(*ticket.watchers, person))
        case TicketUnwatched():
            return replace(ticket, version=version, last_at=at, watchers=_without(ticket.watchers, person))
        case _:
            assert_never(event)


def _without(people: tuple[UUID, ...], person: UUID) -> tuple[UUID, ...]:
    return tuple(one for one in people if one != person)
