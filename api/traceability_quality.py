"""For the quality team: changes that lack something, and how delivery went."""

import re
from datetime import datetime
from uuid import UUID

import strawberry
from strawberry import ID, UNSET, Parent

from api.fields import Info, by, given, once_passed
from api.ids import Kind, decode
from api.paging import Connection, ConnectionRow, page_ask
from api.people import must_read_all
from api.ratings import Rating
from api.scalars import Position
from api.traceability import CodeChange
from api.traceability_trace import TracedTicket
from projections import traceability_quality, traceability_reviews
from projections.reading import NOW, BadInput
from projections.registry import TICKET_READ_MODELS
from projections.rows import (
    CodeChangeRow,
    DeliveryMonthRow,
    GapMonthRow,
    LineOriginsRow,
    QualityPairRow,
    TicketGapMonthRow,
    TicketGapRow,
    TicketRow,
)
from projections.traceability_quality import ChangeGap
from projections.traceability_reviews import TicketGap

strawberry.enum(ChangeGap)
strawberry.enum(TicketGap)


@strawberry.type(
    description=(
        "`month`: as 2026-03, in UTC. `traced`: commits, other than merges, that belong to a ticket. `leadSeconds`: the"
        " median from a commit of that month to its first deployment that went well; `restoreSeconds`: from one of that"
        " month that failed to the next that went well. Null where there is none."
    )
)
class DeliveryMonth:
    month: str
    commits: int
    traced: int
    deployments: int
    failed_deployments: int
    lead_seconds: int | None
    restore_seconds: int | None


def _repository(info: Info, repository: ID) -> UUID:
    """Raises Failure, WrongId."""
    must_read_all(info)
    return decode(repository, Kind.REPOSITORY)


async def _change_gaps(
    info: Info,
    repository: ID,
    gap: ChangeGap,
    month: str | None = UNSET,
    first: int | None = UNSET,
    after: str | None = UNSET,
    min_position: Position | None = UNSET,
) -> ConnectionRow[CodeChangeRow]:
    """Commits of its main branch, other than merges, that lack this; oldest first; of one month, as 2026-03 in UTC, or
    of all. Not for requesters."""
    id_, view, of = _repository(info, repository), info.context.view, _month(month)
    await once_passed(info, min_position, "traceability")
    page = await traceability_quality.gaps(view, id_, gap, of, page_ask(first, after))
    return ConnectionRow(page, lambda: traceability_quality.gap_count(view, id_, gap, of))


def _month(month: str | None) -> str | None:
    """Raises BadInput."""
    asked = given(month)
    if asked is not None and not re.fullmatch(r"\d{4}-(0[1-9]|1[0-2])", asked):
        raise BadInput("month is as 2026-03.")
    return asked


@strawberry.type(
    description="Commits of a month, as 2026-03 in UTC, other than merges, and how many lack what. Those without"
    " review are released."
)
class GapMonth:
    month: str
    commits: int
    no_ticket: int
    no_release: int
    no_review: int


async def _gap_months(info: Info, repository: ID, min_position: Position | None = UNSET) -> list[GapMonthRow]:
    """How many gaps there are, month by month. Not for requesters."""
    id_ = _repository(info, repository)
    await once_passed(info, min_position, "traceability")
    return await traceability_quality.gap_months(info.context.view, id_)


@strawberry.type(
    description="Lines at a repository's head, and how many are from commits that belong to a ticket: `share` of"
    " 1. `skipped`: files that were not looked into, as binary ones."
)
class LineOrigins:
    head: str
    counted_at: datetime
    files: int
    skipped: int
    lines: int
    traced: int
    share: float | None


async def _line_origins(info: Info, repository: ID, min_position: Position | None = UNSET) -> LineOriginsRow | None:
    """The share of lines that reach a request, as `proteus trace lines` counted them last; null if it has not yet. Not
    for requesters."""
    id_ = _repository(info, repository)
    await once_passed(info, min_position, "traceability")
    return await traceability_quality.line_origins(info.context.view, id_)


# ---- tickets


async def _gap_ticket(gap: Parent[TicketGapRow], info: Info) -> TicketRow | None:
    return await info.context.loaders.tickets.load((gap.ticket, NOW))


@strawberry.type(description="`at`: when it was closed, or worked on last; `seconds`: of that work.")
class TicketGapEntry:
    ticket: TracedTicket | None = by(_gap_ticket)
    at: datetime
    seconds: int


def _expecting(info: Info) -> list[str]:
    return [role.key for role in info.context.workflows.roles.values() if role.expects_change]


async def _ticket_gaps(
    info: Info,
    gap: TicketGap,
    month: str | None = UNSET,
    first: int | None = UNSET,
    after: str | None = UNSET,
    min_position: Position | None = UNSET,
) -> ConnectionRow[TicketGapRow]:
    """Tickets whose role expects a change, and that lack it; oldest first. Not for requesters."""
    must_read_all(info)
    await once_passed(info, min_position, *TICKET_READ_MODELS)
    view, roles, of = info.context.view, _expecting(info), _month(month)
    page = await traceability_reviews.ticket_gaps(view, gap, roles, of, page_ask(first, after))
    return ConnectionRow(page, lambda: traceability_reviews.ticket_gap_count(view, gap, roles, of))


@strawberry.type(
    description="Tickets whose role expects a change: `done` in the month, as 2026-03 in UTC, and how many of them have"
    " none; seconds of those that were worked on last in it, and of those among them without a change."
)
class TicketGapMonth:
    month: str
    done: int
    no_change: int
    worked_seconds: int
    seconds_without_change: int


async def _ticket_gap_months(info: Info, min_position: Position | None = UNSET) -> list[TicketGapMonthRow]:
    """How many there are, month by month. Not for requesters."""
    must_read_all(info)
    await once_passed(info, min_position, *TICKET_READ_MODELS)
    return await traceability_reviews.ticket_gap_months(info.context.view, _expecting(info))


# ---- request, change, rating


async def _pair_request(pair: Parent[QualityPairRow], info: Info) -> TicketRow | None:
    return await info.context.loaders.tickets.load((pair.request, NOW))


async def _pair_ticket(pair: Parent[QualityPairRow], info: Info) -> TicketRow | None:
    return None if pair.ticket is None else await info.context.loaders.tickets.load((pair.ticket, NOW))


@strawberry.type(
    description="A closed first request, one change that was made for it or for its part `ticket`, with the confidence"
    " in percent, and how the requester liked what came of it."
)
class QualityPair:
    request: TracedTicket | None = by(_pair_request)
    closed_at: datetime
    ticket: TracedTicket | None = by(_pair_ticket)
    change: CodeChange | None
    confidence: int | None
    evidence: str | None
    rating: Rating | None


@strawberry.input(
    description="All that is named must hold. Closed from `closedSince` until before `closedUntil`; `rated`, `changed`:"
    " whether they are."
)
class QualityFilter:
    closed_since: datetime | None = UNSET
    closed_until: datetime | None = UNSET
    role: str | None = UNSET
    service: ID | None = UNSET
    least_score: int | None = UNSET
    most_score: int | None = UNSET
    rated: bool | None = UNSET
    changed: bool | None = UNSET


async def _quality_trace(
    info: Info,
    filter: QualityFilter | None = UNSET,
    first: int | None = UNSET,
    after: str | None = UNSET,
    min_position: Position | None = UNSET,
) -> ConnectionRow[QualityPairRow]:
    """Closed first requests with their changes and ratings, for reviews: a row for each change, and one for a request
    without any; by when they were closed. `totalCount` is of requests. Not for requesters."""
    must_read_all(info)
    await once_passed(info, min_position, *TICKET_READ_MODELS)
    view, asked = info.context.view, given(filter) or QualityFilter()
    service = given(asked.service)
    wanted = traceability_reviews.QualityFilter(
        closed_since=given(asked.closed_since),
        closed_until=given(asked.closed_until),
        role=given(asked.role),
        service=None if service is None else decode(service, Kind.SERVICE),
        least_score=given(asked.least_score),
        most_score=given(asked.most_score),
        rated=given(asked.rated),
        changed=given(asked.changed),
    )
    page = await traceability_reviews.quality_trace(view, wanted, page_ask(first, after))
    return ConnectionRow(page, lambda: traceability_reviews.request_count(view, wanted))


async def _delivery(
    info: Info, repository: ID, environment: str = "production", min_position: Position | None = UNSET
) -> list[DeliveryMonthRow]:
    """How delivery went, month by month. Not for requesters."""
    id_ = _repository(info, repository)
    await once_passed(info, min_position, "traceability")
    return await traceability_quality.months(info.context.view, id_, environment)


@strawberry.type
class QualityQueries:
    change_gaps: Connection[CodeChange] = by(_change_gaps)
    gap_months: list[GapMonth] = by(_gap_months)
    line_origins: LineOrigins | None = by(_line_origins)
    ticket_gaps: Connection[TicketGapEntry] = by(_ticket_gaps)
    ticket_gap_months: list[TicketGapMonth] = by(_ticket_gap_months)
    quality_trace: Connection[QualityPair] = by(_quality_trace)
    delivery: list[DeliveryMonth] = by(_delivery)
