"""Estimates of tickets: what was asked, offered, said and decided. Rows are added and never changed, so that the past
is the rows by then."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, LiteralString
from uuid import UUID
from zoneinfo import ZoneInfo

from psycopg import sql

from domain.estimates import (
    EstimateAccepted,
    EstimateDeclined,
    EstimateEvent,
    EstimateGiven,
    EstimateQuestionAnswered,
    EstimateQuestionAsked,
    EstimateRequested,
)
from domain.ticket_state import EstimateState
from projections import spans, work
from projections.projection import Change, Projection
from projections.reading import BadInput, Moment, View
from projections.rows import AccuracyRow, ComparedRow, DrawnStatement, EstimateQuestionRow, EstimateRow
from projections.writing import Writes

DDL = """
create table estimate (
  workspace     uuid not null,
  id            uuid primary key,
  ticket        uuid not null,
  position      bigint not null,
  requested_at  timestamptz not null,
  requested_by  uuid not null,
  about         text
);
create table estimate_offer (
  workspace      uuid not null,
  estimate       uuid not null,
  ticket         uuid not null,
  position       bigint not null,
  given_at       timestamptz not null,
  given_by       uuid not null,
  least_seconds  bigint not null,
  most_seconds   bigint not null,
  least_price    text,
  most_price     text,
  currency       text,
  valid_until    date,
  note           text,
  primary key (estimate, position)
);
create table estimate_message (
  workspace  uuid not null,
  estimate   uuid not null,
  question   uuid not null,
  position   bigint not null,
  said_at    timestamptz not null,
  said_by    uuid not null,
  answers    boolean not null,
  text       text not null,
  primary key (estimate, position)
);
create table estimate_settlement (
  workspace   uuid not null,
  estimate    uuid primary key,
  position    bigint not null,
  settled_at  timestamptz not null,
  settled_by  uuid not null,
  accepted    boolean not null
);
"""

INDEXES = """
create index estimate_ticket on estimate (workspace, ticket, position);
create index estimate_offer_ticket on estimate_offer (workspace, ticket, position);
"""


def fold(write: Writes, changes: Sequence[Change]) -> None:
    rows: dict[str, list[dict[str, Any]]] = {"estimate": [], "offer": [], "message": [], "settlement": []}
    for change in changes:
        if isinstance(change.envelope.event, EstimateEvent):
            _fold_one(rows, change, change.envelope.event)
    write.insert("estimate", rows["estimate"])
    write.insert("estimate_offer", rows["offer"])
    write.insert("estimate_message", rows["message"])
    write.insert("estimate_settlement", rows["settlement"])


def _fold_one(rows: dict[str, list[dict[str, Any]]], change: Change, event: EstimateEvent) -> None:
    envelope = change.envelope
    at, by, ticket = envelope.occurred_at, event.by, envelope.originator_id
    place = {"workspace": envelope.workspace, "position": envelope.position}
    match event:
        case EstimateRequested(estimate=estimate, about=about):
            asked = {"id": estimate, "ticket": ticket, "requested_at": at, "requested_by": by, "about": about}
            rows["estimate"].append({**place, **asked})
        case EstimateGiven(estimate=estimate, offer=offer, note=note):
            rows["offer"].append(
                {
                    **place,
                    "estimate": estimate,
                    "ticket": ticket,
                    "given_at": at,
                    "given_by": by,
                    "least_seconds": offer.least_seconds,
                    "most_seconds": offer.most_seconds,
                    "least_price": offer.least_price,
                    "most_price": offer.most_price,
                    "currency": offer.currency,
                    "valid_until": offer.valid_until,
                    "note": note,
                }
            )
        case EstimateQuestionAsked() | EstimateQuestionAnswered():
            rows["message"].append(
                {
                    **place,
                    "estimate": event.estimate,
                    "question": event.question,
                    "said_at": at,
                    "said_by": by,
                    "answers": isinstance(event, EstimateQuestionAnswered),
                    "text": event.text,
                }
            )
        case EstimateAccepted() | EstimateDeclined():
            settled = {"settled_at": at, "settled_by": by, "accepted": isinstance(event, EstimateAccepted)}
            rows["settlement"].append({**place, "estimate": event.estimate, **settled})


PROJECTION = Projection(
    name="estimates",
    tables=("estimate", "estimate_offer", "estimate_message", "estimate_settlement"),
    ddl=DDL,
    indexes=INDEXES,
    fold=fold,
    personal={"estimate": ("about",), "estimate_offer": ("note",), "estimate_message": ("text",)},
)


# ---- queries


def _by_then(table: str, at: str) -> sql.Composed:
    return sql.SQL(
        "(%(as_of_position)s::bigint is null or {position} <= %(as_of_position)s)"
        " and (%(as_of_time)s::timestamptz is null or {at} <= %(as_of_time)s)"
    ).format(position=sql.Identifier(table, "position"), at=sql.Identifier(table, at))


_OFFER = (
    *("given_at", "given_by", "least_seconds", "most_seconds", "least_price", "most_price", "currency"),
    *("valid_until", "note"),
)
_OF_TICKETS = sql.SQL(
    "select e.ticket, e.id, e.requested_at, e.requested_by, e.about, x.settled_at, x.settled_by, x.accepted, {offer}"
    " from estimate e"
    " left join lateral (select * from estimate_offer o where o.workspace = e.workspace and o.estimate = e.id"
    "   and {given} order by o.position desc limit 1) o on true"
    " left join estimate_settlement x on x.workspace = e.workspace and x.estimate = e.id and {settled}"
    " where e.workspace = %(workspace)s and e.ticket = any(%(tickets)s) and {asked} and {own} order by e.position"
)


async def of_tickets(view: View, tickets: Sequence[UUID], moment: Moment) -> dict[UUID, list[EstimateRow]]:
    """Of each of these tickets, in the order they were requested; a requester gets those of their own tickets."""
    rows = await view.fetch(
        _OF_TICKETS.format(
            offer=sql.SQL(", ").join(sql.Identifier("o", column) for column in _OFFER),
            given=_by_then("o", "given_at"),
            settled=_by_then("x", "settled_at"),
            asked=_by_then("e", "requested_at"),
            own=spans.of_own(view, "e.ticket"),
        ),
        {**_arguments(moment), "tickets": list(tickets)},
    )
    found: dict[UUID, list[EstimateRow]] = {}
    for ticket, *row in rows:
        found.setdefault(ticket, []).append(_estimate(ticket, row, moment))
    return found


def _estimate(ticket: UUID, row: Sequence[Any], moment: Moment) -> EstimateRow:
    id_, requested_at, requested_by, about, settled_at, settled_by, accepted, *offer = row
    values = dict(zip(_OFFER, offer, strict=True))
    for name in ("least_price", "most_price"):
        values[name] = None if values[name] is None else Decimal(values[name])
    if settled_at is not None:
        state = EstimateState.ACCEPTED if accepted else EstimateState.DECLINED
    else:
        state = EstimateState.REQUESTED if values["given_at"] is None else EstimateState.GIVEN
    return EstimateRow(
        id=id_,
        ticket=ticket,
        state=state,
        requested_at=requested_at,
        requested_by=requested_by,
        about=about,
        settled_at=settled_at,
        settled_by=settled_by,
        moment=moment,
        **values,
    )


async def questions(view: View, estimates: Sequence[UUID], moment: Moment) -> dict[UUID, list[EstimateQuestionRow]]:
    """Of each of these estimates, oldest first, with the last answer. Whether the viewer may see them is asked
    before."""
    rows = await view.fetch(
        sql.SQL(
            "select m.estimate, m.question, m.said_at, m.said_by, m.text, a.said_at, a.said_by, a.text"
            " from estimate_message m"
            " left join lateral (select * from estimate_message a where a.workspace = m.workspace"
            "   and a.estimate = m.estimate and a.question = m.question and a.answers and {}"
            "   order by a.position desc limit 1) a on true"
            " where m.workspace = %(workspace)s and m.estimate = any(%(estimates)s) and not m.answers and {}"
            " order by m.position"
        ).format(_by_then("a", "said_at"), _by_then("m", "said_at")),
        {**_arguments(moment), "estimates": list(estimates)},
    )
    found: dict[UUID, list[EstimateQuestionRow]] = {}
    for estimate, *row in rows:
        found.setdefault(estimate, []).append(EstimateQuestionRow(*row))
    return found


def _arguments(moment: Moment) -> dict[str, Any]:
    return {"as_of_position": moment.position, "as_of_time": moment.occurred_at}


# ---- what they came to


async def compared(view: View, drawn: DrawnStatement) -> list[ComparedRow]:
    """What the tickets of a statement that have an estimate were estimated at, what was worked on them until its last
    day was over, and what it charges for them. In the order of the tickets' requests."""
    found = drawn.statement
    amounts: defaultdict[UUID, Decimal] = defaultdict(Decimal)
    due = [
        *((one.ticket, one.amount) for one in found.charges),
        *((one.ticket, one.amount) for one in found.corrections),
    ]
    for ticket, amount in due:
        amounts[ticket] += amount
    zone = ZoneInfo(drawn.contract.versions[-1].terms.calendar.time_zone)
    ends = datetime.combine(found.until + timedelta(days=1), time.min, zone).astimezone(UTC)
    moment = Moment(position=drawn.position)
    offered = [
        row
        for rows in (await of_tickets(view, list(amounts), moment)).values()
        for row in rows[-1:]
        if row.least_seconds is not None and row.state is not EstimateState.DECLINED
    ]
    tickets = [row.ticket for row in offered]
    seconds = await work.worked_seconds(view, tickets, Moment(position=drawn.position, occurred_at=ends))
    return [
        ComparedRow(estimate=row, seconds=seconds.get(row.ticket, 0), amount=amounts[row.ticket]) for row in offered
    ]


class AccuracyBy(StrEnum):
    MONTH = "MONTH"
    """In which the ticket was closed, in UTC."""
    SERVICE = "SERVICE"
    PERSON = "PERSON"
    """Who gave the estimate."""


DAYS_LIMIT = 10_000

_KEYS: dict[AccuracyBy, LiteralString] = {
    AccuracyBy.MONTH: "to_char(date_trunc('month', e.closed_at at time zone 'UTC'), 'YYYY-MM')",
    AccuracyBy.SERVICE: "e.service::text",
    AccuracyBy.PERSON: "e.given_by::text",
}
_ACCURACY = sql.SQL(
    """
with recursive offered as materialized (
  select distinct on (o.ticket) o.ticket, o.given_by, o.least_seconds, o.most_seconds, s.service, s.closed_at
    from estimate_offer o
    join span s on s.workspace = o.workspace and s.ticket = o.ticket and {at}
   where o.workspace = %(workspace)s and {given} and s.category = 'DONE'
     and s.closed_at >= %(since)s and s.closed_at < %(before)s
     and not exists (select from estimate_settlement x
                      where x.workspace = o.workspace and x.estimate = o.estimate and not x.accepted and {settled})
   order by o.ticket, o.position desc
), family (ticket, id) as (
  select ticket, ticket from offered
   union
  select f.ticket, l.other from family f
    join link l on l.workspace = %(workspace)s and l.ticket = f.id and l.kind = 'MERGED_FROM' and {merged}
), hours as (
  select f.ticket, sum(w.seconds)::bigint as worked from family f
    join work w on w.workspace = %(workspace)s and w.ticket = f.id and {worked}
   group by f.ticket
), e as (
  select offered.*, coalesce(hours.worked, 0) as worked from offered left join hours using (ticket)
)
select {key} as key, count(*), sum(e.least_seconds)::bigint, sum(e.most_seconds)::bigint, sum(e.worked)::bigint,
       count(*) filter (where e.worked between e.least_seconds and e.most_seconds),
       count(*) filter (where e.worked < e.least_seconds), count(*) filter (where e.worked > e.most_seconds),
       percentile_cont(0.5) within group (order by e.worked * 2.0 / (e.least_seconds + e.most_seconds))
  from e group by key order by key nulls last
"""
)


async def accuracy(view: View, since: date, until: date, by: AccuracyBy, moment: Moment) -> list[AccuracyRow]:
    """Of the tickets that were done on these days (UTC) and have an estimate that was not declined: the last one given,
    against all that was worked. Raises BadInput."""
    if since > until:
        raise BadInput("since is after until.")
    if (until - since).days > DAYS_LIMIT:
        raise BadInput(f"since and until are {DAYS_LIMIT:,} days apart at most.")
    at, arguments = spans.at(moment)
    rows = await view.fetch(
        _ACCURACY.format(
            at=at,
            given=_by_then("o", "given_at"),
            settled=_by_then("x", "settled_at"),
            merged=spans.at(moment, "l")[0],
            worked=work.there(moment),
            key=sql.SQL(_KEYS[by]),
        ),
        {
            **_arguments(moment),
            **arguments,
            "since": datetime.combine(since, time.min, UTC),
            "before": datetime.combine(until + timedelta(days=1), time.min, UTC),
        },
    )
    return [
        AccuracyRow(
            month=key if by is AccuracyBy.MONTH else None,
            service=UUID(key) if by is AccuracyBy.SERVICE and key else None,
            person=UUID(key) if by is AccuracyBy.PERSON else None,
            tickets=tickets,
            least_seconds=least,
            most_seconds=most,
            worked_seconds=worked,
            within=within,
            below=below,
            above=above,
            median_ratio=float(median),
        )
        for key, tickets, least, most, worked, within, below, above, median in rows
    ]
