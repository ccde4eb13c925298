"""What tickets cost and how their results were liked: ticket -> hours -> statements, ticket -> rating."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import LiteralString
from uuid import UUID

from domain.billing import Charge
from domain.statements import Correction
from projections import billing, moments
from projections.moments import HAPPENED, HELD
from projections.ratings import HOLDS
from projections.reading import Moment, View
from projections.rows import DrawnStatement, RatingRow, TracedStatementRow, TracedWorkRow, TraceNodeRow, TraceVia
from projections.traceability_trace import Trace

WORK_LIMIT = 200
"""Tickets of one answer, by contract, whose work is shown."""
STATEMENTS_LIMIT = 100
"""Of one answer: each is worked out anew."""
RATINGS_LIMIT = 1_000


async def walk(trace: Trace) -> None:
    """From the trace's tickets to their hours, the statements that these stand in, and their ratings."""
    tickets = trace.tickets()
    if not tickets:
        return
    worked = await work_of(trace.view, tickets, trace.moment)
    trace.cut |= len(worked) > WORK_LIMIT
    under: defaultdict[UUID, dict[UUID, tuple[TracedWorkRow, TraceNodeRow]]] = defaultdict(dict)
    for row in worked[:WORK_LIMIT]:
        until = row.until.date().isoformat()
        evidence = f"{row.entries} entries by {row.people} people, {row.since.date().isoformat()} to {until}"
        node = trace.other(TraceNodeRow(work=row))
        trace.step(trace.ticket(row.ticket), node, TraceVia.WORK, 100, evidence)
        if row.contract is not None:
            trace.step(node, trace.contract(row.contract), TraceVia.CONTRACT, 100, "its hours count under it")
            under[row.contract][row.ticket] = row, node
    left = STATEMENTS_LIMIT
    for contract, work in under.items():
        left -= await _stated(trace, contract, work, left)
    rated = await ratings_of(trace.view, tickets, trace.moment)
    trace.cut |= len(rated) > RATINGS_LIMIT
    for rating in rated[:RATINGS_LIMIT]:
        target = trace.other(TraceNodeRow(rating=rating))
        trace.step(trace.ticket(rating.ticket), target, TraceVia.RATING, 100, f"rated {rating.score} of 5")


async def _stated(trace: Trace, contract: UUID, work: dict[UUID, tuple[TracedWorkRow, TraceNodeRow]], most: int) -> int:
    """From the work of tickets under one contract to its statements. Returns how many these are."""
    drawn = await statements_of(trace.view, contract, [row for row, _ in work.values()], most + 1, trace.moment)
    trace.cut |= len(drawn) > most
    for statement in drawn[:most]:
        name = "not closed yet" if statement.number is None else f"statement {statement.number}"
        for ticket, lines in _lines(statement).items():
            if ticket in work:
                target = trace.other(TraceNodeRow(statement=_stated_row(statement, ticket, lines)))
                trace.step(work[ticket][1], target, TraceVia.STATEMENT, 100, f"{len(lines)} lines of it, {name}")
    return len(drawn[:most])


async def work_of(view: View, tickets: Sequence[UUID], moment: Moment) -> list[TracedWorkRow]:
    """By ticket and contract, those that were worked on first: 200 and one more at most."""
    rows = await view.fetch(
        _WORK,
        {"tickets": list(tickets), "most": WORK_LIMIT + 1, **moments.arguments(moment)},
    )
    return [TracedWorkRow(**dict(zip(TracedWorkRow.__struct_fields__, row, strict=True))) for row in rows]


_WORK: LiteralString = f"""
with worked as (
  select w.ticket, w.id, w.person, w.seconds, w.started_at, w.ended_at, b.contract
    from work w
    left join billed_work b on b.id = w.id and {HELD.format("b")}
   where w.workspace = %(workspace)s and w.ticket = any(%(tickets)s)
     and {HELD.format("w")} and {HAPPENED.format("w.started_at")}
)
select ticket, contract, count(*), sum(seconds)::bigint, count(distinct person), min(started_at), max(ended_at)
  from worked group by ticket, contract order by min(started_at), ticket, contract limit %(most)s
"""


async def statements_of(
    view: View, contract: UUID, work: Sequence[TracedWorkRow], most: int, moment: Moment
) -> list[DrawnStatement]:
    """Of a contract, oldest first: those that may tell of this work, `most` at most. These are closed ones of its days
    and all after them, which may correct it, and what is not closed yet."""
    first = min(one.since for one in work).date() - timedelta(days=1)
    last = max(one.until for one in work).date() + timedelta(days=1)
    closed = await billing.closed_periods(view, contract, moment)
    periods = [(one.since, one.until) for one in closed if one.until >= first]
    ends = max(last, closed[-1].next_day) if closed else last
    drawn = [
        await billing.drawn(view, contract, since, until, moment) for since, until in [*periods, (None, ends)][:most]
    ]
    return [one for one in drawn if one is not None]


Line = Charge | Correction


def _lines(drawn: DrawnStatement) -> dict[UUID, list[Line]]:
    """By the ticket. Corrections of earlier days included."""
    lines: tuple[Line, ...] = (*drawn.statement.charges, *drawn.statement.corrections)
    found: defaultdict[UUID, list[Line]] = defaultdict(list)
    for one in lines:
        found[one.ticket].append(one)
    return found


def _stated_row(drawn: DrawnStatement, ticket: UUID, lines: Sequence[Line]) -> TracedStatementRow:
    return TracedStatementRow(
        ticket=ticket,
        contract=drawn.contract.id,
        number=drawn.number,
        since=drawn.statement.since,
        until=drawn.statement.until,
        lines=len(lines),
        seconds=sum(one.seconds for one in lines),
        billed=sum(one.billed for one in lines),
        amount=sum((one.amount for one in lines), Decimal(0)),
        currency=drawn.statement.currency,
    )


async def ratings_of(view: View, tickets: Sequence[UUID], moment: Moment) -> list[RatingRow]:
    """Oldest first: 1,000 and one more at most."""
    rows = await view.fetch(
        "select r.ticket, r.score, r.comment, r.rated_by, r.rated_at, r.closed_at from rating r"
        f" where r.workspace = %(workspace)s and r.ticket = any(%(tickets)s) and {HOLDS}"
        " order by r.closed_at, r.ticket limit %(most)s",
        {"tickets": list(tickets), "most": RATINGS_LIMIT + 1, **moments.arguments(moment)},
    )
    return [RatingRow(**dict(zip(RatingRow.__struct_fields__, row, strict=True))) for row in rows]
