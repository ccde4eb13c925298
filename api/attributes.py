"""Commands about what a ticket says of itself."""

from datetime import datetime

import strawberry
from strawberry import ID, UNSET

from api.commands import Done, ExpectingInput, perform
from api.fields import Info, by
from api.ticket_payload import TicketPayload
from application.tickets import handle
from domain.tickets import (
    BindService,
    DescribeTicket,
    Priority,
    RetitleTicket,
    ScheduleTicket,
    SetPriority,
    SetRequester,
    TagTicket,
    UntagTicket,
)


@strawberry.input
class RetitleTicketInput(ExpectingInput):
    ticket: ID
    title: str


@strawberry.input(description="A null description, or a blank one, takes it away.")
class DescribeTicketInput(ExpectingInput):
    ticket: ID
    description: str | None = UNSET


@strawberry.input
class TagTicketInput(ExpectingInput):
    ticket: ID
    tags: list[str]


@strawberry.input
class UntagTicketInput(ExpectingInput):
    ticket: ID
    tags: list[str]


@strawberry.input
class SetPriorityInput(ExpectingInput):
    ticket: ID
    priority: Priority


@strawberry.input(description="What is absent stays; null takes a date away.")
class ScheduleTicketInput(ExpectingInput):
    ticket: ID
    start_at: datetime | None = UNSET
    due_at: datetime | None = UNSET


@strawberry.input(description="A null service leaves the ticket without one.")
class BindServiceInput(ExpectingInput):
    ticket: ID
    service: ID | None = UNSET


@strawberry.input(description="A null requester leaves the ticket without one.")
class SetRequesterInput(ExpectingInput):
    ticket: ID
    requester: ID | None = UNSET


async def retitle_ticket(info: Info, input: RetitleTicketInput) -> Done:
    return await perform(info, input, RetitleTicket, handle)


async def describe_ticket(info: Info, input: DescribeTicketInput) -> Done:
    return await perform(info, input, DescribeTicket, handle)


async def tag_ticket(info: Info, input: TagTicketInput) -> Done:
    """Adds those that it does not have."""
    return await perform(info, input, TagTicket, handle)


async def untag_ticket(info: Info, input: UntagTicketInput) -> Done:
    """Removes those that it has."""
    return await perform(info, input, UntagTicket, handle)


async def set_priority(info: Info, input: SetPriorityInput) -> Done:
    return await perform(info, input, SetPriority, handle)


async def schedule_ticket(info: Info, input: ScheduleTicketInput) -> Done:
    """When work starts, and when it is due."""
    return await perform(info, input, ScheduleTicket, handle)


async def bind_service(info: Info, input: BindServiceInput) -> Done:
    """To a service of the catalogue."""
    return await perform(info, input, BindService, handle)


async def set_requester(info: Info, input: SetRequesterInput) -> Done:
    """Whose ticket it is: they see it with a requester's token, and what is written from now on is sealed as theirs."""
    return await perform(info, input, SetRequester, handle)


@strawberry.type
class AttributeMutations:
    retitle_ticket: TicketPayload = by(retitle_ticket)
    describe_ticket: TicketPayload = by(describe_ticket)
    tag_ticket: TicketPayload = by(tag_ticket)
    untag_ticket: TicketPayload = by(untag_ticket)
    set_priority: TicketPayload = by(set_priority)
    schedule_ticket: TicketPayload = by(schedule_ticket)
    bind_service: TicketPayload = by(bind_service)
    set_requester: TicketPayload = by(set_requester)
