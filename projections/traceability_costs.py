"""What tickets cost and how their results were liked: ticket -> hours -> statements, ticket -> rating."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, LiteralString
from uuid import UUID

from domain.billing import Charge
from domain.statements import Correction
from projections import billing
from projections.ratings import HOLDS
from projections.reading import Moment, View
from projections.rows import DrawnStatement, RatingRow, TracedStatementRow, TracedWorkRow, TraceNodeRow, TraceVia

if TYPE_CHECKING:
    from projections.traceability_trace import Trace

TICKETS_LIMIT = 200
"""Of one answer, whose statements are drawn."""


async def walk(trace: "Trace") -> None:
    """From the trace's tickets to their hours, the statements that these stand in, and their ratings."""
    tickets = trace.tickets()
    if not tickets:
        return
    worked = await work_of(trace.view, tickets, trace.moment)
    for row in worked:
        until = row.until.date().isoformat()
        evidence = f"{row.entries} entries by {row.people} people, {row.since.date().isoformat()} to {until}"
        node = trace.other(TraceNodeRow(work=row))
        trace.step(trace.ticket(row.ticket), node, TraceVia.WORK, 100, evidence)
        if row.contract is None:
            continue
        trace.step(node, trace.contract(row.contract), TraceVia.CONTRACT, 100, "its hours count under it")
        for stated in await statements_of(trace.view, row, trace.moment):
            name = "not closed yet" if stated.number is None else f"statement {stated.number}"
            target = trace.other(TraceNodeRow(statement=stated))
            trace.step(node, target, TraceVia.STATEMENT, 100, f"{stated.lines} lines of it, {name}")
    for ticket, rating in await ratings_of(trace.view, tickets, trace.moment):
        target = trace.other(TraceNodeRow(rating=rating))
        trace.step(trace.ticket(ticket), target, TraceVia.RATING, 100, f"rated {rating.score} of 5")
    trace.cut |= len({row.ticket for row in worked}) == TICKETS_LIMIT


async def work_of(view: View, tickets: Sequence[UUID], moment: Moment) -> list[TracedWorkRow]:
    """By ticket and contract; of the first 200 tickets that have any."""
    rows = await view.fetch(
        _WORK,
        {
            "tickets": list(tickets),
            "most": TICKETS_LIMIT,
            "as_of_position": moment.position,
            "as_of_time": moment.occurred_at,
        },
    )
    return [TracedWorkRow(**dict(zip(TracedWorkRow.__struct_fields__, row, strict=True))) for row in rows]


_WORK: LiteralString = """
with worked as (
  select w.ticket, w.id, w.person, w.seconds, w.started_at, w.ended_at, b.contract
    from work w
    left join billed_work b on b.id = w.id
     and (%(as_of_position)s::bigint is null and b.closed_position is null or b.position <= %(as_of_position)s
          and (b.closed_position is null or b.closed_position > %(as_of_position)s))
   where w.workspace = %(workspace)s and w.ticket = any(%(tickets)s)
     and (%(as_of_position)s::bigint is null and w.closed_position is null or w.position <= %(as_of_position)s
          and (w.closed_position is null or w.closed_position > %(as_of_position)s))
     and (%(as_of_time)s::timestamptz is null or w.started_at <= %(as_of_time)s)
)
select ticket, contract, count(*), sum(seconds)::bigint, count(distinct person), min(started_at), max(ended_at)
  from worked group by ticket, contract order by min(started_at), ticket, contract limit %(most)s
"""


async def statements_of(view: View, work: TracedWorkRow, moment: Moment) -> list[TracedStatementRow]:
    """Closed ones of the days of this work, and what is not closed yet."""
    assert work.contract is not None, "who counts under none is in no statement"
    first, last = work.since.date() - timedelta(days=1), work.until.date() + timedelta(days=1)
    closed = await billing.closed_periods(view, work.contract, moment)
    drawn = [
        await billing.drawn(view, work.contract, period.since, period.until, moment)
        for period in closed
        if period.since <= last and period.until >= first
    ]
    if not closed or closed[-1].until < last:
        drawn.append(await billing.drawn(view, work.contract, None, last, moment))
    found = [_stated(one, work) for one in drawn if one is not None]
    return [one for one in found if one is not None]


def _stated(drawn: DrawnStatement, work: TracedWorkRow) -> TracedStatementRow | None:
    """Corrections of earlier days included."""
    statement = drawn.statement
    all_lines: tuple[Charge | Correction, ...] = (*statement.charges, *statement.corrections)
    lines = [one for one in all_lines if one.ticket == work.ticket]
    if not lines:
        return None
    return TracedStatementRow(
        contract=drawn.contract.id,
        number=drawn.number,
        since=statement.since,
        until=statement.until,
        lines=len(lines),
        seconds=sum(one.seconds for one in lines),
        billed=sum(one.billed for one in lines),
        amount=sum((one.amount for one in lines), Decimal(0)),
        currency=statement.currency,
    )


async def ratings_of(view: View, tickets: Sequence[UUID], moment: Moment) -> list[tuple[UUID, RatingRow]]:
    rows = await view.fetch(
        "select r.ticket, r.score, r.comment, r.rated_by, r.rated_at, r.closed_at from rating r"
        f" where r.workspace = %(workspace)s and r.ticket = any(%(tickets)s) and {HOLDS}"
        " order by r.closed_at, r.ticket limit 1000",
        {"tickets": list(tickets), "as_of_position": moment.position, "as_of_time": moment.occurred_at},
    )
    return [(ticket, RatingRow(**dict(zip(RatingRow.__struct_fields__, row, strict=True)))) for ticket, *row in rows]
