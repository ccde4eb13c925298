"""Moving a card: to its place in the order, and to another cell on the way."""

from functools import partial

import strawberry
from strawberry import ID, UNSET

from api.commands import Done, Handle, MovingInput, perform_prepared
from api.fields import Info, by
from api.ticket_payload import TicketPayload
from application.tickets import handle
from domain.ranking import Place, RankTicket
from projections.ranking import beside

strawberry.enum(Place, description="First or last of the whole workspace, and so of every cell of every board.")


@strawberry.input(
    description=(
        "Puts a ticket after one, before another, between both, or at an end. `status` and `assignee` move it to"
        " another cell on the way, by the rules of a transition and an assignment; a null assignee unassigns."
    )
)
class RankTicketInput(MovingInput):
    ticket: ID
    after: ID | None = UNSET
    before: ID | None = UNSET
    to: Place | None = UNSET
    status: str | None = UNSET
    assignee: ID | None = UNSET


async def rank_ticket(info: Info, input: RankTicketInput) -> Done:
    async def prepared(command: RankTicket) -> Handle[RankTicket]:
        return partial(handle, beside=await beside(info.context.view, command))

    return await perform_prepared(info, input, RankTicket, prepared)


@strawberry.type
class RankingMutations:
    rank_ticket: TicketPayload = by(rank_ticket)
