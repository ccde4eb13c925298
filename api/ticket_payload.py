"""What every command to a ticket answers with."""

from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry import Parent

from api.commands import Done, Payload, wait_until_readable
from api.fields import Info, by
from projections import tickets
from projections.reading import NOW
from projections.registry import TICKET_READ_MODELS
from projections.rows import TicketRow

if TYPE_CHECKING:
    from api.ticket_fields import Ticket


async def _after(done: Parent[Done], info: Info) -> TicketRow | None:
    """As it is after the command; null if its read model has not come that far within 2 s."""
    if done.outcome is None or not await wait_until_readable(info, done.outcome, *TICKET_READ_MODELS):
        return None
    return await tickets.ticket(info.context.view, id=done.outcome.stream, key=None, moment=NOW)


@strawberry.type
class TicketPayload(Payload):
    ticket: Annotated["Ticket", strawberry.lazy("api.ticket_fields")] | None = by(_after)
