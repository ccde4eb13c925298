"""Ratings of what came of a ticket."""

from msgspec.structs import replace

from domain.errors import InvalidValue, RatesOnlyAsRequester, TicketIsOpen
from domain.tickets import RateTicket, StatusChanged, TicketRated
from domain.workflows import StatusCategory
from tests.domain.given import AROUND, BORIS, OPENED, TICKET, hour, knowing, ticket

DONE = StatusChanged(workflow_version=1, status="closed", category=StatusCategory.DONE)
AGAIN = StatusChanged(workflow_version=1, status="new", category=StatusCategory.NEW)
RATE = RateTicket(ticket=TICKET, score=4, comment=" Быстро ")
RATED = TicketRated(score=4, comment="Быстро", closed_at=hour(1))
boris = knowing(by=BORIS)
"""Who asked for it."""


def test_the_requester_rates_a_closed_ticket_and_may_change_their_mind() -> None:
    boris.given(OPENED, DONE).when(RATE).then(RATED)
    rated = boris.given(OPENED, DONE, RATED)
    rated.when(RATE).nothing()
    rated.when(RateTicket(ticket=TICKET, score=5)).then(TicketRated(score=5, comment=None, closed_at=hour(1)))


def test_each_closing_is_rated_by_itself() -> None:
    again = boris.given(OPENED, DONE, RATED, AGAIN)
    again.when(RATE).refused(TicketIsOpen, "ticket")
    again.given(DONE).when(RATE).then(replace(RATED, closed_at=hour(4)))


def test_nobody_else_rates_it() -> None:
    ticket.given(OPENED, DONE).when(RATE).refused(RatesOnlyAsRequester, "ticket")
    boris.given(replace(OPENED, requester=None), DONE).when(RATE).refused(RatesOnlyAsRequester, "ticket")
    assert AROUND.by != BORIS


def test_a_score_is_one_to_five() -> None:
    for score in (0, 6, -1):
        boris.given(OPENED, DONE).when(replace(RATE, score=score)).refused(InvalidValue, "score")
    for score in (1, 5):
        [event] = boris.given(OPENED, DONE).when(RateTicket(ticket=TICKET, score=score, comment=" \n")).events
        assert event == TicketRated(score=score, comment=None, closed_at=hour(1))
