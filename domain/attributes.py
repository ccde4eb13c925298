"""What a ticket says of itself: priority, service, requester."""

from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.ticket_state import Priority, Surroundings, Ticket, must_be_open


class PriorityChanged(msgspec.Struct, frozen=True, kw_only=True):
    priority: Priority


class ServiceBound(msgspec.Struct, frozen=True, kw_only=True):
    service: UUID


class ServiceUnbound(msgspec.Struct, frozen=True, kw_only=True):
    pass


class RequesterChanged(msgspec.Struct, frozen=True, kw_only=True):
    requester: UUID | None


AttributeEvent = PriorityChanged | ServiceBound | ServiceUnbound | RequesterChanged


class SetPriority(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    priority: Priority


def decide(ticket: Ticket, command: SetPriority, around: Surroundings) -> list[AttributeEvent]:
    must_be_open(ticket)
    return [] if command.priority is ticket.priority else [PriorityChanged(priority=command.priority)]


def evolve(ticket: Ticket, event: AttributeEvent, at: datetime) -> Ticket:
    version = ticket.version + 1
    match event:
        case PriorityChanged(priority=priority):
            return replace(ticket, version=version, last_at=at, priority=priority)
        case ServiceBound(service=service):
            return replace(ticket, version=version, last_at=at, service=service)
        case ServiceUnbound():
            return replace(ticket, version=version, last_at=at, service=None)
        case RequesterChanged(requester=requester):
            return replace(ticket, version=version, last_at=at, requester=requester)
        case _:
            assert_never(event)
