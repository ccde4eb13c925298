"""Tickets: asked for alone or as a list, and the commands to them."""

from datetime import datetime

import strawberry
from strawberry import ID, UNSET
from strawberry.scalars import JSON

from api.attachments import attach_file, detach_file
from api.commands import ArrivingInput, Done, ExpectingInput, MovingInput, perform
from api.fields import Info, by, given, once_passed
from api.filters import AsOf, TicketFilter, TicketOrder, asked, asked_tickets
from api.ids import Kind, decode_given
from api.paging import Connection, ConnectionRow, page_ask
from api.scalars import Position
from api.ticket_fields import Ticket, list_tickets
from api.ticket_payload import TicketPayload
from application.tickets import handle
from domain.tickets import (
    AssignTicket,
    ChangeRole,
    OpenTicket,
    Priority,
    SetField,
    SetParent,
    TransitionTicket,
)
from projections import filters, tickets
from projections.reading import Moment
from projections.registry import TICKET_READ_MODELS
from projections.rows import TicketRow


async def moment_of(info: Info, as_of: AsOf | None, min_position: Position | None) -> Moment:
    """The moment that is asked about, once the read models have passed `minPosition`."""
    await once_passed(info, min_position, *TICKET_READ_MODELS)
    return await info.context.view.moment(asked(as_of, filters.AsOf))


async def _ticket(
    info: Info,
    id: ID | None = UNSET,
    key: str | None = UNSET,
    as_of: AsOf | None = UNSET,
    min_position: Position | None = UNSET,
) -> TicketRow | None:
    """By id or by key; null where there is none, or none that you may see."""
    moment = await moment_of(info, as_of, min_position)
    wanted = decode_given(given(id), Kind.TICKET)
    return await tickets.ticket(info.context.view, id=wanted, key=given(key), moment=moment)


async def _tickets(
    info: Info,
    filter: TicketFilter | None = UNSET,
    search: str | None = UNSET,
    order_by: list[TicketOrder] | None = UNSET,
    first: int | None = UNSET,
    after: str | None = UNSET,
    last: int | None = UNSET,
    before: str | None = UNSET,
    as_of: AsOf | None = UNSET,
    min_position: Position | None = UNSET,
) -> ConnectionRow[TicketRow]:
    """Newest first, unless `orderBy` says otherwise. Null comes last. `search` finds what the query `search` does."""
    if given(search):
        await once_passed(info, min_position, "search")
    moment = await moment_of(info, as_of, min_position)
    wanted = asked_tickets(info, filter)
    order = [filters.TicketOrder(field=one.field, direction=one.direction) for one in given(order_by) or ()]
    return await list_tickets(info, wanted, given(search), order, page_ask(first, after, last, before), moment)


@strawberry.type
class TicketQueries:
    ticket: Ticket | None = by(_ticket)
    tickets: Connection[Ticket] = by(_tickets)


# ---- commands


@strawberry.input
class OpenTicketInput(ArrivingInput):
    title: str
    description: str | None = UNSET
    role: str
    service: ID | None = UNSET
    requester: ID | None = UNSET
    channel: str | None = UNSET
    priority: Priority | None = UNSET
    assignee: ID | None = UNSET
    team: ID | None = UNSET
    parent: ID | None = UNSET
    tags: list[str] | None = UNSET
    fields: JSON | None = UNSET
    due_at: datetime | None = UNSET


@strawberry.input(description="Without `status` the new role's workflow says where the ticket lands.")
class ChangeRoleInput(MovingInput):
    ticket: ID
    role: str
    status: str | None = UNSET


@strawberry.input(description="`fields` sets custom fields on the way, such as those that the transition requires.")
class TransitionTicketInput(MovingInput):
    ticket: ID
    status: str
    fields: JSON | None = UNSET


@strawberry.input(description="What is absent stays; null unassigns.")
class AssignTicketInput(MovingInput):
    ticket: ID
    assignee: ID | None = UNSET
    team: ID | None = UNSET


@strawberry.input(description="A null value clears it. The field's definition says which values it takes.")
class SetFieldInput(ExpectingInput):
    ticket: ID
    field: str
    value: JSON | None = UNSET


@strawberry.input(description="A null parent makes it a ticket of the top level.")
class SetParentInput(ExpectingInput):
    ticket: ID
    parent: ID | None = UNSET


async def open_ticket(info: Info, input: OpenTicketInput) -> Done:
    return await perform(info, input, OpenTicket, handle)


async def change_role(info: Info, input: ChangeRoleInput) -> Done:
    """The same ticket takes another role; number, history, children and comments stay."""
    return await perform(info, input, ChangeRole, handle)


async def transition_ticket(info: Info, input: TransitionTicketInput) -> Done:
    """Closing, cancelling and reopening are transitions too."""
    return await perform(info, input, TransitionTicket, handle)


async def assign_ticket(info: Info, input: AssignTicketInput) -> Done:
    return await perform(info, input, AssignTicket, handle)


async def set_field(info: Info, input: SetFieldInput) -> Done:
    return await perform(info, input, SetField, handle)


async def set_parent(info: Info, input: SetParentInput) -> Done:
    return await perform(info, input, SetParent, handle)


@strawberry.type
class TicketMutations:
    open_ticket: TicketPayload = by(open_ticket)
    change_role: TicketPayload = by(change_role)
    transition_ticket: TicketPayload = by(transition_ticket)
    assign_ticket: TicketPayload = by(assign_ticket)
    set_field: TicketPayload = by(set_field)
    set_parent: TicketPayload = by(set_parent)
    attach_file: TicketPayload = by(attach_file)
    detach_file: TicketPayload = by(detach_file)
