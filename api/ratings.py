"""Ratings: the requester says how they like what came of a ticket."""

from datetime import datetime
from typing import Any

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import Done, ExpectingInput, perform
from api.fields import Info, by
from api.people import Person, person
from api.ticket_payload import TicketPayload
from application.tickets import handle
from domain.tickets import RateTicket
from projections.rows import RatingRow


def _rated_by(rating: Parent[RatingRow], info: Info) -> Any:
    return person(info, rating.rated_by)


@strawberry.type(description="From 1, bad, to 5, good. `closedAt`: of the closing whose result is rated.")
class Rating:
    score: int
    comment: str | None
    rated_by: Person = by(_rated_by)
    rated_at: datetime
    closed_at: datetime


@strawberry.input(
    description="From 1, bad, to 5, good; for each time that the ticket was closed once, and changed by rating again."
)
class RateTicketInput(ExpectingInput):
    ticket: ID
    score: int
    comment: str | None = UNSET


async def rate_ticket(info: Info, input: RateTicketInput) -> Done:
    """Of a closed ticket, by its requester; managers may, on behalf of them."""
    return await perform(info, input, RateTicket, handle)


@strawberry.type
class RatingMutations:
    rate_ticket: TicketPayload = by(rate_ticket)
