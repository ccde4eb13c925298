"""Tickets that come of another one: sub-tickets for other services, comments split off."""

import strawberry
from strawberry import ID, UNSET
from strawberry.scalars import JSON

from api.commands import ArrivingInput, Done, perform
from api.fields import Info, by
from api.ticket_payload import TicketPayload
from application.tickets import handle
from domain.tickets import Priority, SpawnTicket, SplitTicket


@strawberry.input(description="Without `requester`: whoever asked for `ticket`; null: nobody.")
class SpawnTicketInput(ArrivingInput):
    ticket: ID
    title: str
    role: str
    service: ID
    description: str | None = UNSET
    requester: ID | None = UNSET
    priority: Priority | None = UNSET
    assignee: ID | None = UNSET
    team: ID | None = UNSET
    tags: list[str] | None = UNSET
    fields: JSON | None = UNSET


@strawberry.input(
    description="Without `role`, `priority` or `requester`: as `ticket` has them; null: nobody asked for it."
)
class SplitTicketInput(ArrivingInput):
    ticket: ID
    comment: ID
    title: str
    role: str | None = UNSET
    requester: ID | None = UNSET
    priority: Priority | None = UNSET
    assignee: ID | None = UNSET
    team: ID | None = UNSET
    service: ID | None = UNSET


async def spawn_ticket(info: Info, input: SpawnTicketInput) -> Done:
    """A new ticket below an open one, for another service. Each shows the other, as parent and child and by a link."""
    return await perform(info, input, SpawnTicket, handle)


async def split_ticket(info: Info, input: SplitTicketInput) -> Done:
    """A comment gets a ticket of its own, which begins with its text, its author, and as public as it is. It stays
    where it is too; a link leads from each to the other."""
    return await perform(info, input, SplitTicket, handle)


@strawberry.type
class OffshootMutations:
    spawn_ticket: TicketPayload = by(spawn_ticket)
    split_ticket: TicketPayload = by(split_ticket)
