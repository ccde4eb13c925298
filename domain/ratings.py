"""Ratings: how the requester likes what came of a closed ticket, from 1 (bad) to 5 (good).

A ticket is rated once for each time that it is closed; whoever rates it again has changed their mind.
"""

from datetime import datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain import text
from domain.errors import InvalidValue, RatesOnlyAsRequester, TicketIsOpen
from domain.text import FreeText
from domain.ticket_state import Rating, Surroundings, Ticket

LEAST, MOST = 1, 5


class TicketRated(msgspec.Struct, frozen=True, kw_only=True):
    """`closed_at`: of the closing whose result is rated."""

    score: int
    comment: FreeText | None
    closed_at: datetime


class RateTicket(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    score: int
    comment: str | None = None


def decide(ticket: Ticket, command: RateTicket, around: Surroundings) -> list[TicketRated]:
    """Raises TicketIsOpen, RatesOnlyAsRequester, InvalidValue."""
    if ticket.closed_at is None:
        raise TicketIsOpen(ticket.key)
    if ticket.requester is None or around.by != ticket.requester:
        raise RatesOnlyAsRequester(ticket.key)
    if not LEAST <= command.score <= MOST:
        raise InvalidValue(f"score is {LEAST} to {MOST}.", ("score",))
    blank = command.comment is None or text.is_blank(command.comment)
    rating = Rating(
        score=command.score,
        comment=None if blank else text.prose(command.comment or "", "comment"),
        closed_at=ticket.closed_at,
    )
    if ticket.rating == rating:
        return []
    return [TicketRated(score=rating.score, comment=rating.comment, closed_at=rating.closed_at)]


def evolve(ticket: Ticket, event: TicketRated, at: datetime) -> Ticket:
    rating = Rating(score=event.score, comment=event.comment, closed_at=event.closed_at)
    return replace(ticket, version=ticket.version + 1, rating=rating)
