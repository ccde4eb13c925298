"""Links between tickets: what must be known of others before one is made."""

from collections.abc import Iterable
from uuid import UUID

from application.event_store.streams import WorkspaceStore
from domain.errors import TooManyBlocked
from domain.ticket_state import LinkKind, Ticket

BLOCKING = "blocking"
"""Guard row of a workspace: moved by every command that lets a ticket block another."""

BLOCKED_LIMIT = 5_000


def blocked(workspace: WorkspaceStore, first: Iterable[UUID]) -> set[UUID]:
    """These tickets and all that they block, directly and through others. That no link is added meanwhile is what the
    guard is for. Raises TooManyBlocked."""
    found: set[UUID] = set(first)
    edge = found
    while edge:
        tickets = [stream.state for stream in workspace.load(edge).values()]
        edge = {other for ticket in tickets if isinstance(ticket, Ticket) for other in directly(ticket)} - found
        found = found | edge
        if len(found) > BLOCKED_LIMIT:
            raise TooManyBlocked(BLOCKED_LIMIT)
    return found


def directly(ticket: Ticket) -> set[UUID]:
    """What it blocks itself."""
    return {link.other for link in ticket.links if link.kind is LinkKind.BLOCKS}
