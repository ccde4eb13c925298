"""Estimates of a ticket: requested, cleared up, given, accepted or declined."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from domain.errors import (
    EstimateExpired,
    EstimateIsOpen,
    EstimateIsSettled,
    EstimateNotFound,
    FieldRequired,
    InvalidValue,
    LimitReached,
    QuestionNotFound,
    TicketIsClosed,
)
from domain.estimates import ESTIMATES_LIMIT, QUESTIONS_LIMIT
from domain.ticket_state import EstimateState, Offer
from domain.tickets import (
    AcceptEstimate,
    AnswerEstimateQuestion,
    AskEstimateQuestion,
    DeclineEstimate,
    EstimateAccepted,
    EstimateDeclined,
    EstimateGiven,
    EstimateQuestionAnswered,
    EstimateQuestionAsked,
    EstimateRequested,
    GiveEstimate,
    RequestEstimate,
    StatusChanged,
)
from domain.workflows import StatusCategory
from tests.domain.given import ANNA, BORIS, NEW_COMMENT, NOW, OPENED, TICKET, an_id, ticket

ESTIMATE, QUESTION = an_id(61), an_id(62)
ASKED = EstimateRequested(estimate=ESTIMATE, by=BORIS)
QUESTIONED = EstimateQuestionAsked(estimate=ESTIMATE, question=QUESTION, by=ANNA, text="How many mailboxes?")
OFFER = Offer(least_seconds=7_200, most_seconds=14_400)
GIVEN = EstimateGiven(estimate=ESTIMATE, by=ANNA, offer=OFFER)
ACCEPTED = EstimateAccepted(estimate=ESTIMATE, by=ANNA)
DECLINED = EstimateDeclined(estimate=ESTIMATE, by=ANNA)
ACCEPT, DECLINE = AcceptEstimate(ticket=TICKET, estimate=ESTIMATE), DeclineEstimate(ticket=TICKET, estimate=ESTIMATE)
GIVE = GiveEstimate(ticket=TICKET, least_seconds=7_200, most_seconds=14_400)
CLOSED = StatusChanged(workflow_version=1, status="done", category=StatusCategory.DONE)


def giving(**more: Any) -> GiveEstimate:
    return msgspec.structs.replace(GIVE, **more)


def test_an_estimate_is_requested() -> None:
    command = RequestEstimate(ticket=TICKET, about=" Moving the mail ")
    ticket.given(OPENED).when(command).then(EstimateRequested(estimate=NEW_COMMENT, by=ANNA, about="Moving the mail"))


def test_a_ticket_has_one_open_estimate() -> None:
    ticket.given(OPENED, ASKED).when(RequestEstimate(ticket=TICKET)).refused(EstimateIsOpen, "ticket")
    ticket.given(OPENED, ASKED, GIVEN).when(RequestEstimate(ticket=TICKET)).refused(EstimateIsOpen, "ticket")


@pytest.mark.parametrize("settled", [ACCEPTED, DECLINED])
def test_after_one_was_decided_another_may_be_requested(settled: Any) -> None:
    requested = EstimateRequested(estimate=NEW_COMMENT, by=ANNA)
    ticket.given(OPENED, ASKED, GIVEN, settled).when(RequestEstimate(ticket=TICKET)).then(requested)


def test_nothing_is_estimated_of_a_closed_ticket() -> None:
    ticket.given(OPENED, CLOSED).when(RequestEstimate(ticket=TICKET)).refused(TicketIsClosed, "ticket")


def test_a_question_is_asked_and_answered_and_the_answer_mended() -> None:
    ask = AskEstimateQuestion(ticket=TICKET, text="How many mailboxes?")
    answer = AnswerEstimateQuestion(ticket=TICKET, question=QUESTION, text="Forty")
    answered = EstimateQuestionAnswered(estimate=ESTIMATE, question=QUESTION, by=ANNA, text="Forty")
    ticket.given(OPENED, ASKED).when(ask).then(msgspec.structs.replace(QUESTIONED, question=NEW_COMMENT))
    ticket.given(OPENED, ASKED, QUESTIONED).when(answer).then(answered)
    ticket.given(OPENED, ASKED, QUESTIONED, answered).when(answer).then(answered)


def test_questions_belong_to_an_open_estimate() -> None:
    ask = AskEstimateQuestion(ticket=TICKET, text="?")
    answer = AnswerEstimateQuestion(ticket=TICKET, question=an_id(99), text="!")
    ticket.given(OPENED).when(ask).refused(EstimateNotFound, "ticket")
    ticket.given(OPENED, ASKED, GIVEN, ACCEPTED).when(ask).refused(EstimateNotFound, "ticket")
    ticket.given(OPENED, ASKED, QUESTIONED).when(answer).refused(QuestionNotFound, "question")
    ticket.given(OPENED).when(answer).refused(EstimateNotFound, "ticket")
    ticket.given(OPENED, ASKED).when(AskEstimateQuestion(ticket=TICKET, text=" ")).refused(InvalidValue, "text")


def test_it_is_given_in_hours_and_revised_before_the_client_decides() -> None:
    ticket.given(OPENED, ASKED).when(GIVE).then(GIVEN)
    revised = ticket.given(OPENED, ASKED, GIVEN).when(giving(least_seconds=3_600, most_seconds=None))
    revised.then(EstimateGiven(estimate=ESTIMATE, by=ANNA, offer=Offer(least_seconds=3_600, most_seconds=3_600)))
    ticket.given(OPENED).when(GIVE).refused(EstimateNotFound, "ticket")
    ticket.given(OPENED, ASKED, GIVEN, DECLINED).when(GIVE).refused(EstimateNotFound, "ticket")


def test_it_is_given_with_a_range_of_prices() -> None:
    priced = giving(least_price=Decimal("100"), most_price=Decimal("200.5"), currency="EUR")
    ticket.given(OPENED, ASKED).when(priced).then(
        msgspec.structs.replace(
            GIVEN,
            offer=msgspec.structs.replace(
                OFFER, least_price=Decimal("100.00"), most_price=Decimal("200.50"), currency="EUR"
            ),
        )
    )
    one = ticket.given(OPENED, ASKED).when(giving(least_price=Decimal(100), currency="EUR"))
    assert one.after is not None
    assert one.after.estimates[-1].offer is not None
    assert one.after.estimates[-1].offer.most_price == Decimal("100.00")


@pytest.mark.parametrize(
    ("more", "refusal", "field"),
    [
        ({"least_seconds": 0}, InvalidValue, "leastSeconds"),
        ({"least_seconds": -1}, InvalidValue, "leastSeconds"),
        ({"most_seconds": 7_199}, InvalidValue, "leastSeconds"),
        ({"most_seconds": 10**12}, InvalidValue, "leastSeconds"),
        ({"least_price": Decimal(1)}, FieldRequired, "currency"),
        ({"most_price": Decimal(1), "currency": "EUR"}, FieldRequired, "leastPrice"),
        ({"least_price": Decimal(2), "most_price": Decimal(1), "currency": "EUR"}, InvalidValue, "mostPrice"),
        ({"least_price": Decimal("NaN"), "currency": "EUR"}, InvalidValue, "leastPrice"),
        ({"least_price": Decimal("0.001"), "currency": "EUR"}, InvalidValue, "leastPrice"),
        ({"least_price": Decimal(1), "currency": "XXX"}, InvalidValue, "currency"),
        ({"valid_until": date(2026, 3, 1)}, InvalidValue, "validUntil"),
        ({"note": "x" * 10_001}, InvalidValue, "note"),
    ],
)
def test_what_is_no_estimate_is_refused(more: dict[str, Any], refusal: Any, field: str) -> None:
    ticket.given(OPENED, ASKED).when(giving(**more)).refused(refusal, field)


def test_the_client_accepts_or_declines_once() -> None:
    ticket.given(OPENED, ASKED, GIVEN).when(ACCEPT).then(ACCEPTED)
    ticket.given(OPENED, ASKED, GIVEN).when(DECLINE).then(DECLINED)
    ticket.given(OPENED, ASKED, GIVEN, ACCEPTED).when(ACCEPT).nothing()
    ticket.given(OPENED, ASKED, GIVEN, ACCEPTED).when(DECLINE).refused(EstimateIsSettled, "estimate")
    ticket.given(OPENED, ASKED, GIVEN, DECLINED).when(ACCEPT).refused(EstimateIsSettled, "estimate")
    ticket.given(OPENED, ASKED).when(ACCEPT).refused(EstimateNotFound, "estimate")
    ticket.given(OPENED, ASKED, GIVEN).when(AcceptEstimate(ticket=TICKET, estimate=an_id(99))).refused(
        EstimateNotFound, "estimate"
    )


def test_an_offer_that_is_over_can_be_declined_and_not_accepted() -> None:
    over = msgspec.structs.replace(GIVEN, offer=msgspec.structs.replace(OFFER, valid_until=NOW.date() - timedelta(3)))
    ticket.given(OPENED, ASKED, over).when(ACCEPT).refused(EstimateExpired, "estimate")
    ticket.given(OPENED, ASKED, over).when(DECLINE).then(DECLINED)


def test_a_closed_ticket_s_estimate_can_still_be_decided() -> None:
    ticket.given(OPENED, ASKED, GIVEN, CLOSED).when(ACCEPT).then(ACCEPTED)


def test_there_are_so_many_and_no_more() -> None:
    many = [
        event
        for n in range(ESTIMATES_LIMIT)
        for event in (
            EstimateRequested(estimate=an_id(1_000 + n), by=ANNA),
            EstimateGiven(estimate=an_id(1_000 + n), by=ANNA, offer=OFFER),
            EstimateDeclined(estimate=an_id(1_000 + n), by=ANNA),
        )
    ]
    ticket.given(OPENED, *many).when(RequestEstimate(ticket=TICKET)).refused(LimitReached, "ticket")
    asked = [msgspec.structs.replace(QUESTIONED, question=an_id(2_000 + n)) for n in range(QUESTIONS_LIMIT)]
    ask = AskEstimateQuestion(ticket=TICKET, text="?")
    ticket.given(OPENED, ASKED, *asked).when(ask).refused(LimitReached, "ticket")


def test_the_state_says_where_it_stands() -> None:
    for events, state in (
        ((ASKED,), EstimateState.REQUESTED),
        ((ASKED, GIVEN), EstimateState.GIVEN),
        ((ASKED, GIVEN, ACCEPTED), EstimateState.ACCEPTED),
        ((ASKED, GIVEN, DECLINED), EstimateState.DECLINED),
    ):
        found = ticket.given(OPENED, *events).state
        assert found is not None
        assert found.estimates[-1].state is state
        assert found.version == 1 + len(events)
