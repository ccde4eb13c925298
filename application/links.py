"""Links between tickets: what the other ticket is told, and what must be known of others."""

from collections.abc import Iterable, Mapping
from uuid import UUID

from application.event_store.envelope import Stream
from application.event_store.streams import WorkspaceStore
from application.handling import Further, state_in
from domain import links
from domain.errors import TooManyBlocked
from domain.links import LinkEvent, LinkTickets
from domain.ticket_state import LinkKind, Ticket
from domain.tickets import TicketEvent

BLOCKING = "blocking"
"""Guard row of a workspace: moved by every command that lets a ticket block another."""

BLOCKED_LIMIT = 5_000


def blocked(workspace: WorkspaceStore, command: LinkTickets) -> set[UUID]:
    """What the ticket that would be blocked blocks itself, directly and through others, itself included. That no link
    is added meanwhile is what the guard is for. Raises TooManyBlocked."""
    ends = links.blocking(command)
    found: set[UUID] = set() if ends is None else {ends[1]}
    edge = found
    while edge:
        tickets = [stream.state for stream in workspace.load(edge).values()]
        there = [link for ticket in tickets if isinstance(ticket, Ticket) for link in ticket.links]
        edge = {link.other for link in there if link.kind is LinkKind.BLOCKS} - found
        found = found | edge
        if len(found) > BLOCKED_LIMIT:
            raise TooManyBlocked(BLOCKED_LIMIT)
    return found


def told(events: Iterable[TicketEvent], ticket: UUID, loaded: Mapping[UUID, Stream]) -> list[Further]:
    """The other side of every link that the events make or undo."""
    return [
        Further(
            stream=event.other,
            before=loaded.get(event.other),
            events=[links.mirrored(event, ticket)],
            subject=_requester(loaded, event.other),
        )
        for event in events
        if isinstance(event, LinkEvent)
    ]


def _requester(loaded: Mapping[UUID, Stream], id_: UUID) -> UUID | None:
    ticket = state_in(loaded, id_, Ticket)
    return None if ticket is None else ticket.requester
