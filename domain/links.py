"""Links between tickets: what relates to what, blocks it, duplicates it, causes it.

Each of the two tickets has the link in its own stream, as it looks from there: `decide` says what one of them is told,
`mirrored` what the other is told in the same append.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.errors import InvalidValue, LinkCycle, TooManyLinks
from domain.ticket_state import Link, LinkKind, Surroundings, Ticket, must_be_there

LINKS_LIMIT = 200

INVERSE: Mapping[LinkKind, LinkKind] = {
    LinkKind.RELATES: LinkKind.RELATES,
    LinkKind.BLOCKS: LinkKind.BLOCKED_BY,
    LinkKind.BLOCKED_BY: LinkKind.BLOCKS,
    LinkKind.DUPLICATES: LinkKind.DUPLICATED_BY,
    LinkKind.DUPLICATED_BY: LinkKind.DUPLICATES,
    LinkKind.CAUSES: LinkKind.CAUSED_BY,
    LinkKind.CAUSED_BY: LinkKind.CAUSES,
    LinkKind.MERGED_INTO: LinkKind.MERGED_FROM,
    LinkKind.MERGED_FROM: LinkKind.MERGED_INTO,
    LinkKind.SPLIT_FROM: LinkKind.SPLIT_INTO,
    LinkKind.SPLIT_INTO: LinkKind.SPLIT_FROM,
    LinkKind.SPAWNED_FROM: LinkKind.SPAWNED,
    LinkKind.SPAWNED: LinkKind.SPAWNED_FROM,
}
"""How a link looks from the other ticket."""

MADE = frozenset(
    {
        LinkKind.RELATES,
        LinkKind.BLOCKS,
        LinkKind.BLOCKED_BY,
        LinkKind.DUPLICATES,
        LinkKind.DUPLICATED_BY,
        LinkKind.CAUSES,
        LinkKind.CAUSED_BY,
    }
)
"""Links that people make and undo; the others say what other commands did."""

# ---- events


class TicketLinked(msgspec.Struct, frozen=True, kw_only=True):
    kind: LinkKind
    other: UUID


class TicketUnlinked(msgspec.Struct, frozen=True, kw_only=True):
    kind: LinkKind
    other: UUID


LinkEvent = TicketLinked | TicketUnlinked


# ---- commands


class LinkTickets(msgspec.Struct, frozen=True, kw_only=True):
    """`ticket` BLOCKS `other`, and so on. No ticket blocks itself through others: held by the workspace's guard row
    `blocking`, whose version the append checks, since what the blocked one blocks was read before."""

    ticket: UUID
    kind: LinkKind
    other: UUID


class UnlinkTickets(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    kind: LinkKind
    other: UUID


LinkCommand = LinkTickets | UnlinkTickets


def blocking(command: LinkTickets) -> tuple[UUID, UUID] | None:
    """Which ticket would block which; None where the link is of another kind."""
    if command.kind is LinkKind.BLOCKS:
        return command.ticket, command.other
    if command.kind is LinkKind.BLOCKED_BY:
        return command.other, command.ticket
    return None


def decide(ticket: Ticket, command: LinkCommand, around: Surroundings) -> list[LinkEvent]:
    if command.kind not in MADE:
        raise InvalidValue(f"{command.kind.value} is no link that is made or undone by itself.", ("kind",))
    there = Link(kind=command.kind, other=command.other) in ticket.links
    match command:
        case LinkTickets():
            if there:
                return []
            _must_be_linkable(ticket, command, around)
            return [TicketLinked(kind=command.kind, other=command.other)]
        case UnlinkTickets():
            return [TicketUnlinked(kind=command.kind, other=command.other)] if there else []
        case _:
            assert_never(command)


def _must_be_linkable(ticket: Ticket, command: LinkTickets, around: Surroundings) -> None:
    if command.other == command.ticket:
        raise InvalidValue(f"{ticket.key} is not linked to itself.", ("other",))
    other = must_be_there(command.other, "other", around)
    for one in (ticket, other):
        if len(one.links) >= LINKS_LIMIT:
            raise TooManyLinks(one.key, LINKS_LIMIT)
    ends = blocking(command)
    if ends is not None and ends[0] in around.blocked:
        raise LinkCycle(ticket.key if ends[0] == command.ticket else other.key)


def mirrored(event: LinkEvent, ticket: UUID) -> LinkEvent:
    """What the other ticket is told, when `ticket` is told this."""
    return replace(event, kind=INVERSE[event.kind], other=ticket)


def evolve(ticket: Ticket, event: LinkEvent, at: datetime) -> Ticket:
    version, link = ticket.version + 1, Link(kind=event.kind, other=event.other)
    match event:
        case TicketLinked():
            return replace(ticket, version=version, last_at=at, links=(*ticket.links, link))
        case TicketUnlinked():
            left = tuple(one for one in ticket.links if one != link)
            return replace(ticket, version=version, last_at=at, links=left)
        case _:
            assert_never(event)
