"""Links between tickets, and the commands that make and undo them."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry import ID, Parent

from api.commands import Done, ExpectingInput, perform
from api.fields import Info, by
from api.people import Person, person
from api.prefetch import found
from api.ticket_payload import TicketPayload
from application.tickets import handle
from domain.tickets import LinkKind, LinkTickets, UnlinkTickets
from projections.rows import LinkRow

if TYPE_CHECKING:
    from api.ticket_fields import Ticket

strawberry.enum(LinkKind, description="How a ticket is linked to another one, as it looks from the ticket.")


def _ticket(link: Parent[LinkRow], info: Info) -> Any:
    return found(info.context.loaders.tickets, (link.other, link.moment))


def _created_by(link: Parent[LinkRow], info: Info) -> Any:
    return person(info, link.created_by)


@strawberry.type
class Link:
    kind: LinkKind
    ticket: Annotated["Ticket", strawberry.lazy("api.ticket_fields")] = by(_ticket)
    created_at: datetime
    created_by: Person = by(_created_by)


@strawberry.input(description="`ticket` BLOCKS `other`, and so on; `other` shows the link the other way round.")
class LinkTicketsInput(ExpectingInput):
    ticket: ID
    kind: LinkKind
    other: ID


@strawberry.input
class UnlinkTicketsInput(ExpectingInput):
    ticket: ID
    kind: LinkKind
    other: ID


async def link_tickets(info: Info, input: LinkTicketsInput) -> Done:
    """Says how two tickets belong together. No ticket comes to block itself, through others either (LINK_CYCLE)."""
    return await perform(info, input, LinkTickets, handle)


async def unlink_tickets(info: Info, input: UnlinkTicketsInput) -> Done:
    return await perform(info, input, UnlinkTickets, handle)


@strawberry.type
class LinkMutations:
    link_tickets: TicketPayload = by(link_tickets)
    unlink_tickets: TicketPayload = by(unlink_tickets)
