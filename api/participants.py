"""Commands about who is on a ticket beside its assignee."""

import strawberry
from strawberry import ID, UNSET

from api.commands import Done, ExpectingInput, perform
from api.fields import Info, by
from api.ticket_payload import TicketPayload
from application.tickets import handle
from domain.tickets import AddContributor, RemoveContributor, UnwatchTicket, WatchTicket


@strawberry.input
class AddContributorInput(ExpectingInput):
    ticket: ID
    person: ID


@strawberry.input
class RemoveContributorInput(ExpectingInput):
    ticket: ID
    person: ID


@strawberry.input(description="Without a person: yourself.")
class WatchTicketInput(ExpectingInput):
    ticket: ID
    person: ID | None = UNSET


@strawberry.input(description="Without a person: yourself.")
class UnwatchTicketInput(ExpectingInput):
    ticket: ID
    person: ID | None = UNSET


async def add_contributor(info: Info, input: AddContributorInput) -> Done:
    """Somebody who works on it beside the assignee."""
    return await perform(info, input, AddContributor, handle)


async def remove_contributor(info: Info, input: RemoveContributorInput) -> Done:
    return await perform(info, input, RemoveContributor, handle)


async def watch_ticket(info: Info, input: WatchTicketInput) -> Done:
    return await perform(info, input, WatchTicket, handle)


async def unwatch_ticket(info: Info, input: UnwatchTicketInput) -> Done:
    return await perform(info, input, UnwatchTicket, handle)


@strawberry.type
class ParticipantMutations:
    add_contributor: TicketPayload = by(add_contributor)
    remove_contributor: TicketPayload = by(remove_contributor)
    watch_ticket: TicketPayload = by(watch_ticket)
    unwatch_ticket: TicketPayload = by(unwatch_ticket)
