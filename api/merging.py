"""Merging tickets, and taking one out again."""

import strawberry
from strawberry import ID

from api.commands import Done, ExpectingInput, MovingInput, perform
from api.fields import Info, by
from api.ticket_payload import TicketPayload
from application.tickets import handle
from domain.tickets import MergeTickets, UnmergeTicket


@strawberry.input(description="`ticket` becomes a part of `into`, and goes on there.")
class MergeTicketsInput(ExpectingInput):
    ticket: ID
    into: ID


@strawberry.input
class UnmergeTicketInput(MovingInput):
    ticket: ID


async def merge_tickets(info: Info, input: MergeTicketsInput) -> Done:
    """Links and watchers move; talk, files and work are shown with those of `into`. The merged ticket is closed, and
    answers every command with TICKET_MERGED; its key still finds it, and `mergedInto` says where it went."""
    return await perform(info, input, MergeTickets, handle)


async def unmerge_ticket(info: Info, input: UnmergeTicketInput) -> Done:
    """Takes it out again: to where it stood, with its talk, files, work, and the links and watchers that it brought."""
    return await perform(info, input, UnmergeTicket, handle)


@strawberry.type
class MergingMutations:
    merge_tickets: TicketPayload = by(merge_tickets)
    unmerge_ticket: TicketPayload = by(unmerge_ticket)
