"""The tree of tickets: what is part of what."""

from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.errors import ParentCycle
from domain.ticket_state import Surroundings, Ticket, must_be_there, must_keep


class ParentSet(msgspec.Struct, frozen=True, kw_only=True):
    parent: UUID


class ParentRemoved(msgspec.Struct, frozen=True, kw_only=True):
    pass


HierarchyEvent = ParentSet | ParentRemoved


class SetParent(msgspec.Struct, frozen=True, kw_only=True):
    """None makes it a top-level ticket. No cycles: held by the workspace's guard row `hierarchy`, whose
    version the append checks, since the ancestors were read before."""

    ticket: UUID
    parent: UUID | None


def decide(ticket: Ticket, command: SetParent, around: Surroundings) -> list[HierarchyEvent]:
    if command.parent == ticket.parent:
        return []
    if command.parent is None:
        must_keep("parent", ticket, around)
        return [ParentRemoved()]
    if command.parent != command.ticket:
        must_be_there(command.parent, "parent", around)
    if command.ticket == command.parent or command.ticket in around.ancestors:
        raise ParentCycle(ticket.key)
    return [ParentSet(parent=command.parent)]


def evolve(ticket: Ticket, event: HierarchyEvent, at: datetime) -> Ticket:
    version = ticket.version + 1
    match event:
        case ParentSet(parent=parent):
            return replace(ticket, version=version, last_at=at, parent=parent)
        case ParentRemoved():
            return replace(ticket, version=version, last_at=at, parent=None)
        case _:
            assert_never(event)
