"""Estimates of a ticket: requested by sales, cleared up by questions, given in hours and money, accepted or declined.

A ticket has one open estimate at a time; each that was accepted or declined stays, and another may be requested. The
texts are for the requester too: what only colleagues should read is an internal comment.
"""

from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain import money, text
from domain.errors import (
    EstimateExpired,
    EstimateIsOpen,
    EstimateIsSettled,
    EstimateNotFound,
    FieldRequired,
    InvalidValue,
    LimitReached,
    QuestionNotFound,
)
from domain.terms import GRANT_LIMIT
from domain.text import PassingText
from domain.ticket_state import Estimate, EstimateState, Offer, Surroundings, Ticket, must_be_open

ESTIMATES_LIMIT = 100
QUESTIONS_LIMIT = 100
TEXT_LIMIT = 10_000


# ---- events


class EstimateRequested(msgspec.Struct, frozen=True, kw_only=True):
    """`about`: what is to be estimated, where the ticket does not say it all."""

    estimate: UUID
    by: UUID
    about: PassingText | None = None


class EstimateQuestionAsked(msgspec.Struct, frozen=True, kw_only=True):
    estimate: UUID
    question: UUID
    by: UUID
    text: PassingText


class EstimateQuestionAnswered(msgspec.Struct, frozen=True, kw_only=True):
    """Again, where an answer is mended: the last one counts."""

    estimate: UUID
    question: UUID
    by: UUID
    text: PassingText


class EstimateGiven(msgspec.Struct, frozen=True, kw_only=True):
    """Again, where it is revised before the client decides."""

    estimate: UUID
    by: UUID
    offer: Offer
    note: PassingText | None = None


class EstimateAccepted(msgspec.Struct, frozen=True, kw_only=True):
    estimate: UUID
    by: UUID


class EstimateDeclined(msgspec.Struct, frozen=True, kw_only=True):
    estimate: UUID
    by: UUID


EstimateEvent = (
    EstimateRequested
    | EstimateQuestionAsked
    | EstimateQuestionAnswered
    | EstimateGiven
    | EstimateAccepted
    | EstimateDeclined
)


# ---- commands


class RequestEstimate(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    about: str | None = None


class AskEstimateQuestion(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    text: str


class AnswerEstimateQuestion(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    question: UUID
    text: str


class GiveEstimate(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. Prices are without tax; `most_price` None: as least. `valid_until`: the last day to accept it."""

    ticket: UUID
    least_seconds: int
    most_seconds: int | None = None
    least_price: Decimal | None = None
    most_price: Decimal | None = None
    currency: str | None = None
    valid_until: date | None = None
    note: str | None = None


class AcceptEstimate(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    estimate: UUID


class DeclineEstimate(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    estimate: UUID


EstimateCommand = (
    RequestEstimate | AskEstimateQuestion | AnswerEstimateQuestion | GiveEstimate | AcceptEstimate | DeclineEstimate
)


def decide(ticket: Ticket, command: EstimateCommand, around: Surroundings) -> list[EstimateEvent]:
    """Raises EstimateExpired, EstimateIsOpen, EstimateIsSettled, EstimateNotFound, FieldRequired, InvalidValue,
    LimitReached, QuestionNotFound, TicketIsClosed."""
    match command:
        case RequestEstimate(about=about):
            return [_request(ticket, about, around)]
        case AskEstimateQuestion():
            return [_ask(ticket, command, around)]
        case AnswerEstimateQuestion():
            return [_answer(ticket, command, around)]
        case GiveEstimate():
            return [_give(ticket, command, around)]
        case AcceptEstimate(estimate=id_):
            return _settle(ticket, id_, EstimateState.ACCEPTED, around)
        case DeclineEstimate(estimate=id_):
            return _settle(ticket, id_, EstimateState.DECLINED, around)
        case _:
            assert_never(command)


def _request(ticket: Ticket, about: str | None, around: Surroundings) -> EstimateRequested:
    must_be_open(ticket)
    if open_estimate(ticket) is not None:
        raise EstimateIsOpen(ticket.key)
    if len(ticket.estimates) >= ESTIMATES_LIMIT:
        raise LimitReached(f"{ticket.key} has {ESTIMATES_LIMIT} estimates; that is the limit.", ("ticket",))
    said = None if about is None else text.prose(about, "about", TEXT_LIMIT)
    return EstimateRequested(estimate=around.new_id, by=around.by, about=said)


def open_estimate(ticket: Ticket) -> Estimate | None:
    """The last one, unless it is settled."""
    last = ticket.estimates[-1] if ticket.estimates else None
    return None if last is None or last.state.settled else last


def _must_be_asked(ticket: Ticket) -> Estimate:
    estimate = open_estimate(ticket)
    if estimate is None:
        raise EstimateNotFound
    return estimate


def _ask(ticket: Ticket, command: AskEstimateQuestion, around: Surroundings) -> EstimateQuestionAsked:
    estimate = _must_be_asked(ticket)
    if len(estimate.questions) >= QUESTIONS_LIMIT:
        raise LimitReached(f"{QUESTIONS_LIMIT} questions were asked; that is the limit.", ("ticket",))
    said = text.prose(command.text, "text", TEXT_LIMIT)
    return EstimateQuestionAsked(estimate=estimate.id, question=around.new_id, by=around.by, text=said)


def _answer(ticket: Ticket, command: AnswerEstimateQuestion, around: Surroundings) -> EstimateQuestionAnswered:
    estimate = _must_be_asked(ticket)
    if command.question not in estimate.questions:
        raise QuestionNotFound(command.question)
    said = text.prose(command.text, "text", TEXT_LIMIT)
    return EstimateQuestionAnswered(estimate=estimate.id, question=command.question, by=around.by, text=said)


def _give(ticket: Ticket, command: GiveEstimate, around: Surroundings) -> EstimateGiven:
    estimate = _must_be_asked(ticket)
    note = None if command.note is None else text.prose(command.note, "note", TEXT_LIMIT)
    return EstimateGiven(estimate=estimate.id, by=around.by, offer=offer(command, around.at or around.now), note=note)


def offer(command: GiveEstimate, at: datetime) -> Offer:
    """Raises FieldRequired, InvalidValue."""
    least, most = command.least_seconds, command.most_seconds
    most = least if most is None else most
    if not 0 < least <= most <= GRANT_LIMIT:
        raise InvalidValue(
            f"leastSeconds is 1 or more, mostSeconds not less, and {GRANT_LIMIT:,} at most.", ("leastSeconds",)
        )
    least_price, most_price = _prices(command)
    if command.valid_until is not None and command.valid_until < at.date() - timedelta(days=1):
        raise InvalidValue("validUntil is over.", ("validUntil",))
    return Offer(
        least_seconds=least,
        most_seconds=most,
        least_price=least_price,
        most_price=most_price,
        currency=None if least_price is None else command.currency,
        valid_until=command.valid_until,
    )


def _prices(command: GiveEstimate) -> tuple[Decimal | None, Decimal | None]:
    if command.least_price is None:
        if command.most_price is not None:
            raise FieldRequired("leastPrice", "where there is mostPrice")
        return None, None
    if command.currency is None:
        raise FieldRequired("currency", "of the prices")
    code = money.currency(command.currency)
    least = money.amount(command.least_price, code, ("leastPrice",))
    most = least if command.most_price is None else money.amount(command.most_price, code, ("mostPrice",))
    if most < least:
        raise InvalidValue("mostPrice is less than leastPrice.", ("mostPrice",))
    return least, most


def _settle(ticket: Ticket, id_: UUID, state: EstimateState, around: Surroundings) -> list[EstimateEvent]:
    estimate = next((one for one in ticket.estimates if one.id == id_), None)
    if estimate is None or estimate.offer is None:
        raise EstimateNotFound("estimate")
    if estimate.state is state:
        return []
    if estimate.state.settled:
        raise EstimateIsSettled(estimate.state.value)
    if state is EstimateState.DECLINED:
        return [EstimateDeclined(estimate=id_, by=around.by)]
    last = estimate.offer.valid_until
    if last is not None and (around.at or around.now).date() - timedelta(days=1) > last:
        raise EstimateExpired(last)
    return [EstimateAccepted(estimate=id_, by=around.by)]


def possible(estimate: Estimate, command: type[EstimateCommand]) -> bool:
    """Whether the newest estimate of a ticket takes such a command."""
    if command in (AcceptEstimate, DeclineEstimate):
        return estimate.state is EstimateState.GIVEN
    if command is AnswerEstimateQuestion:
        return bool(estimate.questions) and not estimate.state.settled
    return not estimate.state.settled


def evolve(ticket: Ticket, event: EstimateEvent, at: datetime) -> Ticket:
    version = ticket.version + 1
    if isinstance(event, EstimateRequested):
        asked = Estimate(id=event.estimate)
        return replace(ticket, version=version, estimates=(*ticket.estimates, asked))
    estimates = tuple(_after(one, event) if one.id == event.estimate else one for one in ticket.estimates)
    return replace(ticket, version=version, estimates=estimates)


def _after(
    estimate: Estimate,
    event: EstimateQuestionAsked | EstimateQuestionAnswered | EstimateGiven | EstimateAccepted | EstimateDeclined,
) -> Estimate:
    match event:
        case EstimateQuestionAsked(question=question):
            return replace(estimate, questions=(*estimate.questions, question))
        case EstimateQuestionAnswered():
            return estimate
        case EstimateGiven(offer=given):
            return replace(estimate, state=EstimateState.GIVEN, offer=given)
        case EstimateAccepted():
            return replace(estimate, state=EstimateState.ACCEPTED)
        case EstimateDeclined():
            return replace(estimate, state=EstimateState.DECLINED)
        case _:
            assert_never(event)
