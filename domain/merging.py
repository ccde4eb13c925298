"""Merging: a ticket that turns out to be about the same as another goes on there, and can be taken out again.

Its links and watchers move to the other ticket by the events that make links and watchers anywhere; which ones, and
where it stood, stays in its state, for whoever takes it out. Its talk, files and work stay in its own stream, and are
shown with those of the other ticket.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain.errors import InvalidValue, LinkCycle, TicketIsMerged, TooManyLinks
from domain.links import INVERSE, LINKS_LIMIT, MADE, LinkEvent, TicketLinked, TicketUnlinked
from domain.participants import WATCHERS_LIMIT, TicketUnwatched, TicketWatched
from domain.ticket_state import Link, LinkKind, Merge, Surroundings, Ticket, must_be_there, must_not_be_merged
from domain.transitions import StatusChanged
from domain.workflows import StatusCategory, Workflow

# ---- events


class TicketMerged(msgspec.Struct, frozen=True, kw_only=True):
    """`number` of the ticket that it is part of now. `moved`: links that go there, `added`: those of them that are new
    there. `watchers`: people who begin to watch there. `shared`, `shared_watchers`: what is there already, and only
    because of others that were merged into it."""

    into: UUID
    number: int
    moved: tuple[Link, ...] = ()
    added: tuple[Link, ...] = ()
    watchers: tuple[UUID, ...] = ()
    shared: tuple[Link, ...] = ()
    shared_watchers: tuple[UUID, ...] = ()


class TicketUnmerged(msgspec.Struct, frozen=True, kw_only=True):
    """`removed`: links that `out_of` has no longer, `watchers`: people who watch it no longer."""

    out_of: UUID
    removed: tuple[Link, ...] = ()
    watchers: tuple[UUID, ...] = ()


MergeEvent = TicketMerged | TicketUnmerged


# ---- commands


class MergeTickets(msgspec.Struct, frozen=True, kw_only=True):
    """`ticket` becomes a part of `into`. That no ring of blocking tickets closes by it is held by the guard row
    `blocking`, as in LinkTickets."""

    ticket: UUID
    into: UUID


class UnmergeTicket(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID


MergingCommand = MergeTickets | UnmergeTicket
Changes = MergeEvent | LinkEvent | StatusChanged


def decide(ticket: Ticket, command: MergingCommand, around: Surroundings) -> list[Changes]:
    match command:
        case MergeTickets():
            return _merge(ticket, command, around)
        case UnmergeTicket():
            return [] if ticket.merged is None else _unmerge(ticket, ticket.merged, around)
        case _:
            assert_never(command)


def _merge(ticket: Ticket, command: MergeTickets, around: Surroundings) -> list[Changes]:
    if ticket.merged is not None and ticket.merged.into == command.into:
        return []
    must_not_be_merged(ticket)
    if command.into == command.ticket:
        raise InvalidValue(f"{ticket.key} is not merged into itself.", ("into",))
    target = must_be_there(command.into, "into", around)
    within = {command.into, *(link.other for link in ticket.links if link.kind is LinkKind.MERGED_FROM)}
    moved = tuple(link for link in ticket.links if link.kind in MADE and link.other not in within)
    added = tuple(link for link in moved if link not in target.links)
    if len(target.links) + len(added) > LINKS_LIMIT:
        raise TooManyLinks(target.key, LINKS_LIMIT, "into")
    if not around.blocked.isdisjoint({command.ticket, command.into}):
        raise LinkCycle(target.key, "into")
    room = max(0, WATCHERS_LIMIT - len(target.watchers))
    watchers = tuple(person for person in ticket.watchers if person not in target.watchers)[:room]
    brought, watched = _brought_by(_merged_into(target, around))
    fact = TicketMerged(
        into=command.into,
        number=target.number,
        moved=moved,
        added=added,
        watchers=watchers,
        shared=tuple(
            link
            for link in moved
            if link not in added and (link in brought or _mirror(link, command.into) in _brought_at(link.other, around))
        ),
        shared_watchers=tuple(one for one in ticket.watchers if one in target.watchers and one in watched),
    )
    return [
        fact,
        *(TicketUnlinked(kind=link.kind, other=link.other) for link in moved),
        TicketLinked(kind=LinkKind.MERGED_INTO, other=command.into),
        *([] if ticket.closed else [_closed(ticket, around.workflows.newest(ticket.workflow))]),
    ]


def _closed(ticket: Ticket, workflow: Workflow) -> StatusChanged:
    """Whatever the workflow's ways are: it is not worked on here any more."""
    for category in (StatusCategory.CANCELLED, StatusCategory.DONE):
        for status in workflow.statuses:
            if status.category is category:
                return StatusChanged(workflow_version=workflow.version, status=status.key, category=category)
    raise InvalidValue(f"The workflow {workflow.key!r} of {ticket.key} has no closed status.", ("ticket",))


def _unmerge(ticket: Ticket, merged: Merge, around: Surroundings) -> list[Changes]:
    target = around.tickets[merged.into]
    if target.merged is not None:
        raise TicketIsMerged(target.key, target.merged.key)
    back = tuple(link for link in merged.moved if link in target.links)  # the others were undone since
    others = [one for one in _merged_into(target, around) if one.number != ticket.number]
    kept = _moved_by(others) | {
        link
        for link in back
        if _mirror(link, merged.into) in _moved_by(_merged_into(around.tickets[link.other], around))
    }
    removed = tuple(link for link in back if link in (*merged.added, *merged.shared) and link not in kept)
    brought = [one for one in (*merged.watchers, *merged.shared_watchers) if one in target.watchers]
    watchers = tuple(one for one in brought if not any(one in other.watchers for other in others))
    stood = StatusChanged(workflow_version=merged.workflow_version, status=merged.status, category=merged.category)
    return [
        TicketUnmerged(out_of=merged.into, removed=removed, watchers=watchers),
        TicketUnlinked(kind=LinkKind.MERGED_INTO, other=merged.into),
        *(TicketLinked(kind=link.kind, other=link.other) for link in back),
        *([] if merged.category.closed else [stood]),
    ]


def _merged_into(target: Ticket, around: Surroundings) -> list[Ticket]:
    """All that are parts of it now, but for parts of those."""
    return [around.tickets[link.other] for link in target.links if link.kind is LinkKind.MERGED_FROM]


def _mirror(link: Link, ticket: UUID) -> Link:
    """As it looks from the other end, of a link that `ticket` has."""
    return Link(kind=INVERSE[link.kind], other=ticket)


def _moved_by(tickets: list[Ticket]) -> set[Link]:
    """Links that these had before they were merged."""
    return {link for one in tickets if one.merged is not None for link in one.merged.moved}


def _brought_at(ticket: UUID, around: Surroundings) -> set[Link]:
    """Links that a ticket has because of what was merged into it."""
    return _brought_by(_merged_into(around.tickets[ticket], around))[0]


def _brought_by(tickets: list[Ticket]) -> tuple[set[Link], set[UUID]]:
    """Links and watchers that the ticket which they were merged into has because of them."""
    merges = [ticket.merged for ticket in tickets if ticket.merged is not None]
    links = {link for one in merges for link in (*one.added, *one.shared)}
    return links, {person for one in merges for person in (*one.watchers, *one.shared_watchers)}


Told = LinkEvent | TicketWatched | TicketUnwatched


def told(event: MergeEvent) -> Mapping[UUID, list[Told]]:
    """What other tickets are told besides that the links of this one have changed: the ticket that it is part of, and
    those to which its links led."""
    linked: type[TicketLinked | TicketUnlinked]
    watched: list[TicketWatched | TicketUnwatched]
    match event:
        case TicketMerged(into=target, added=links):
            linked, watched = TicketLinked, [TicketWatched(person=person) for person in event.watchers]
        case TicketUnmerged(out_of=target, removed=links):
            linked, watched = TicketUnlinked, [TicketUnwatched(person=person) for person in event.watchers]
        case _:
            assert_never(event)
    found: dict[UUID, list[Told]] = {target: [*(linked(kind=one.kind, other=one.other) for one in links), *watched]}
    for one in links:
        found.setdefault(one.other, []).append(linked(kind=INVERSE[one.kind], other=target))
    return found


def evolve(ticket: Ticket, event: MergeEvent, at: datetime) -> Ticket:
    version = ticket.version + 1
    match event:
        case TicketMerged():
            merged = Merge(
                into=event.into,
                number=event.number,
                moved=event.moved,
                added=event.added,
                watchers=event.watchers,
                shared=event.shared,
                shared_watchers=event.shared_watchers,
                workflow_version=ticket.workflow_version,
                status=ticket.status,
                category=ticket.category,
            )
            return replace(ticket, version=version, last_at=at, merged=merged)
        case TicketUnmerged():
            return replace(ticket, version=version, last_at=at, merged=None)
        case _:
            assert_never(event)
