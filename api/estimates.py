"""Estimates: requested on a ticket, cleared up by questions, given, accepted or declined."""

from datetime import date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import Done, ExpectingInput, perform
from api.fields import Info, by
from api.ids import Kind, encode
from api.people import Person, person
from api.prefetch import found, then
from api.scalars import Seconds
from api.services import Service, service
from api.ticket_payload import TicketPayload
from application.tickets import handle
from domain import access
from domain import ticket_state as domain
from domain.estimates import (
    AcceptEstimate,
    AnswerEstimateQuestion,
    AskEstimateQuestion,
    DeclineEstimate,
    EstimateCommand,
    GiveEstimate,
    RequestEstimate,
    possible,
)
from domain.ticket_state import EstimateState
from projections import estimates
from projections.estimates import AccuracyBy
from projections.reading import NOW, Moment
from projections.rows import AccuracyRow, ComparedRow, EstimateQuestionRow, EstimateRow, TicketRow

if TYPE_CHECKING:
    from api.ticket_fields import Ticket

LazyTicket = Annotated["Ticket", strawberry.lazy("api.ticket_fields")]

strawberry.enum(EstimateState)

_COMMANDS: dict[type[EstimateCommand], str] = {
    AskEstimateQuestion: "askEstimateQuestion",
    AnswerEstimateQuestion: "answerEstimateQuestion",
    GiveEstimate: "giveEstimate",
    AcceptEstimate: "acceptEstimate",
    DeclineEstimate: "declineEstimate",
}


def _question_id(question: Parent[EstimateQuestionRow]) -> ID:
    return encode(Kind.QUESTION, question.id)


def _asked_by(question: Parent[EstimateQuestionRow], info: Info) -> Any:
    return person(info, question.asked_by)


def _answered_by(question: Parent[EstimateQuestionRow], info: Info) -> Any:
    return person(info, question.answered_by)


@strawberry.type
class EstimateQuestion:
    id: ID = by(_question_id)
    asked_at: datetime
    asked_by: Person = by(_asked_by)
    text: str
    answered_at: datetime | None
    answered_by: Person | None = by(_answered_by)
    answer: str | None = strawberry.field(description="The last one.")


def _id(estimate: Parent[EstimateRow]) -> ID:
    return encode(Kind.ESTIMATE, estimate.id)


def _requested_by(estimate: Parent[EstimateRow], info: Info) -> Any:
    return person(info, estimate.requested_by)


def _given_by(estimate: Parent[EstimateRow], info: Info) -> Any:
    return person(info, estimate.given_by)


def _settled_by(estimate: Parent[EstimateRow], info: Info) -> Any:
    return person(info, estimate.settled_by)


async def _questions(estimate: Parent[EstimateRow], info: Info) -> list[EstimateQuestionRow]:
    """Oldest first."""
    return await info.context.loaders.estimate_questions.load((estimate.id, estimate.moment)) or []


def _viewer_can(estimate: Parent[EstimateRow], info: Info) -> Any:
    """Which commands the viewer may give to it now, by mutation name. None to an estimate of the past."""
    if not estimate.moment.live:
        return []
    asked = domain.Estimate(id=estimate.id, state=estimate.state, questions=(estimate.id,))

    def to_estimates_of(ticket: TicketRow | None) -> list[str]:
        return [
            name
            for command, name in _COMMANDS.items()
            if ticket is not None and possible(asked, command) and access.may(info.context.actor, command, ticket)
        ]

    return then(found(info.context.loaders.tickets, (estimate.ticket, estimate.moment)), to_estimates_of)


@strawberry.type(description="Hours in seconds; prices without tax.")
class Estimate:
    id: ID = by(_id)
    state: EstimateState
    requested_at: datetime
    requested_by: Person = by(_requested_by)
    about: str | None
    questions: list[EstimateQuestion] = by(_questions)
    given_at: datetime | None
    given_by: Person | None = by(_given_by)
    least_seconds: Seconds | None
    most_seconds: Seconds | None
    least_price: Decimal | None
    most_price: Decimal | None
    currency: str | None
    valid_until: date | None = strawberry.field(description="The last day to accept it.")
    note: str | None
    settled_at: datetime | None = strawberry.field(description="When it was accepted or declined.")
    settled_by: Person | None = by(_settled_by)
    viewer_can: list[str] = by(_viewer_can)


# ---- what they came to


def _compared_ticket(row: Parent[ComparedRow], info: Info) -> Any:
    return found(info.context.loaders.tickets, (row.estimate.ticket, NOW))


@strawberry.type(description="A ticket of a statement: what it was estimated at, and what it came to by its end.")
class EstimateComparison:
    ticket: LazyTicket | None = by(_compared_ticket)
    estimate: Estimate
    seconds: int = strawberry.field(description="Worked on it, until the statement's last day was over.")
    amount: Decimal = strawberry.field(description="That the statement charges for it, without tax.")


strawberry.enum(AccuracyBy)


def _accuracy_service(row: Parent[AccuracyRow], info: Info) -> Any:
    return service(info, row.service)


def _accuracy_person(row: Parent[AccuracyRow], info: Info) -> Any:
    return person(info, row.person)


@strawberry.type(description="Of tickets that are done: the last estimate that was not declined, against the work.")
class EstimateAccuracy:
    month: str | None = strawberry.field(description="Of closing, as 2026-03, in UTC.")
    service: Service | None = by(_accuracy_service)
    person: Person | None = by(_accuracy_person, description="Who gave the estimates.")
    tickets: int
    least_seconds: Seconds = strawberry.field(description="Estimated in all, at least.")
    most_seconds: Seconds = strawberry.field(description="Estimated in all, at most.")
    worked_seconds: Seconds
    within: int = strawberry.field(description="Tickets that took as long as estimated.")
    below: int = strawberry.field(description="Tickets that took less.")
    above: int = strawberry.field(description="Tickets that took more.")
    median_ratio: float = strawberry.field(description="Of the work to the middle of the estimate; 1 is exact.")


async def estimate_accuracy(
    of: Parent[Moment], info: Info, since: date, until: date, by: AccuracyBy = AccuracyBy.MONTH
) -> list[AccuracyRow]:
    """Of tickets that were done on these days (UTC): the last estimate that was not declined, against all work."""
    return await estimates.accuracy(info.context.view, since, until, by, of)


# ---- commands


@strawberry.input(description="A ticket has one open estimate. `about`: what the ticket does not say.")
class RequestEstimateInput(ExpectingInput):
    ticket: ID
    about: str | None = UNSET


@strawberry.input
class AskEstimateQuestionInput(ExpectingInput):
    ticket: ID
    text: str


@strawberry.input(description="Again, to mend an answer: the last one counts.")
class AnswerEstimateQuestionInput(ExpectingInput):
    ticket: ID
    question: ID
    text: str


@strawberry.input(description="What was requested. Again, to revise it before the client decides. Prices without tax.")
class GiveEstimateInput(ExpectingInput):
    ticket: ID
    least_seconds: Seconds
    most_seconds: Seconds | None = UNSET
    least_price: Decimal | None = UNSET
    most_price: Decimal | None = UNSET
    currency: str | None = UNSET
    valid_until: date | None = UNSET
    note: str | None = UNSET


@strawberry.input
class AcceptEstimateInput(ExpectingInput):
    ticket: ID
    estimate: ID


@strawberry.input
class DeclineEstimateInput(ExpectingInput):
    ticket: ID
    estimate: ID


async def request_estimate(info: Info, input: RequestEstimateInput) -> Done:
    return await perform(info, input, RequestEstimate, handle)


async def ask_estimate_question(info: Info, input: AskEstimateQuestionInput) -> Done:
    return await perform(info, input, AskEstimateQuestion, handle)


async def answer_estimate_question(info: Info, input: AnswerEstimateQuestionInput) -> Done:
    return await perform(info, input, AnswerEstimateQuestion, handle)


async def give_estimate(info: Info, input: GiveEstimateInput) -> Done:
    return await perform(info, input, GiveEstimate, handle)


async def accept_estimate(info: Info, input: AcceptEstimateInput) -> Done:
    """By the ticket's requester, or by staff in their name."""
    return await perform(info, input, AcceptEstimate, handle)


async def decline_estimate(info: Info, input: DeclineEstimateInput) -> Done:
    """By the ticket's requester, or by staff in their name. Another may be requested then."""
    return await perform(info, input, DeclineEstimate, handle)


@strawberry.type
class EstimateMutations:
    request_estimate: TicketPayload = by(request_estimate)
    ask_estimate_question: TicketPayload = by(ask_estimate_question)
    answer_estimate_question: TicketPayload = by(answer_estimate_question)
    give_estimate: TicketPayload = by(give_estimate)
    accept_estimate: TicketPayload = by(accept_estimate)
    decline_estimate: TicketPayload = by(decline_estimate)
