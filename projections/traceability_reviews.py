"""Tickets that lack a change, and first requests with the changes that were made for them and how these were liked."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg import sql

from domain.workflows import StatusCategory
from projections import moments
from projections.filters import PageAsk
from projections.ratings import HOLDS
from projections.reading import (
    NOW,
    BadInput,
    Listing,
    Page,
    View,
    count,
    decode_cursor,
    page,
    page_of,
    page_size,
)
from projections.rows import QualityPairRow, RatingRow, TicketGapMonthRow, TicketGapRow
from projections.traceability_changes import CHANGE_COLUMNS, CHANGE_WIDTH, DETAILS, EFFECTIVE, NOT_REJECTED, code_change


class TicketGap(StrEnum):
    """What a ticket lacks, whose role expects a change."""

    NO_CHANGE = "NO_CHANGE"
    """It is done, and neither it nor a part of it has a change."""
    HOURS_WITHOUT_CHANGE = "HOURS_WITHOUT_CHANGE"
    """It was worked on, and has no change."""


_LINKED: LiteralString = f"""
exists (select from change_link l
         where l.workspace = t.workspace and l.ticket = t.ticket and l.closed_position is null
         group by l.repository, l.kind, l.change having {NOT_REJECTED})
"""
_PART_LINKED: LiteralString = f"""
exists (
  with recursive parts (ticket) as (
    select t.ticket
     union
    select s.ticket from parts p join span s on s.workspace = t.workspace and s.parent = p.ticket
       and s.closed_position is null
  )
  select from parts p join change_link l on l.workspace = t.workspace and l.ticket = p.ticket
     and l.closed_position is null
   group by l.repository, l.kind, l.change, l.ticket having {NOT_REJECTED})
"""
_DONE: LiteralString = f"""
select t.ticket, t.number, t.closed_at as at, 0::bigint as seconds, {_PART_LINKED} as linked
  from span t
 where t.workspace = %(workspace)s and t.standing is not null and t.standing < 'infinity'
   and t.category = 'DONE' and t.role = any(%(roles)s)
"""
_WORKED: LiteralString = f"""
select t.ticket, t.number, w.at, w.seconds, {_LINKED} as linked
  from (select ticket, max(started_at) as at, sum(seconds)::bigint as seconds from work
         where workspace = %(workspace)s and closed_position is null group by ticket) w
  join span t on t.workspace = %(workspace)s and t.ticket = w.ticket and t.closed_position is null
   and t.role = any(%(roles)s)
"""
_OF: dict[TicketGap, LiteralString] = {TicketGap.NO_CHANGE: _DONE, TicketGap.HOURS_WITHOUT_CHANGE: _WORKED}
_MONTH: LiteralString = "to_char(g.at at time zone 'UTC', 'YYYY-MM')"


async def ticket_gaps(
    view: View, gap: TicketGap, roles: Sequence[str], month: str | None, ask: PageAsk
) -> Page[TicketGapRow]:
    """Oldest first: by when they were closed, or worked on last. `roles`: that expect a change. Raises BadInput."""
    return await page(view, _gaps(gap, roles, month), ask)


async def ticket_gap_count(view: View, gap: TicketGap, roles: Sequence[str], month: str | None) -> int:
    return await count(view, _gaps(gap, roles, month))


def _gaps(gap: TicketGap, roles: Sequence[str], month: str | None) -> Listing[TicketGapRow]:
    return Listing(
        columns=sql.SQL("g.ticket, g.at, g.seconds"),
        source=sql.SQL(f"from ({_OF[gap]}) g where not g.linked and (%(month)s::text is null or {_MONTH} = %(month)s)"),
        keys=(("g.at", "timestamptz"), ("g.number", "bigint")),
        row=lambda row: TicketGapRow(ticket=row[0], at=row[1], seconds=row[2]),
        arguments={"roles": list(roles), "month": month},
    )


async def ticket_gap_months(view: View, roles: Sequence[str]) -> list[TicketGapMonthRow]:
    """Each month (UTC) in which such a ticket was done, or worked on last."""
    rows = await view.fetch(_GAP_MONTHS, {"roles": list(roles)})
    return [TicketGapMonthRow(**dict(zip(TicketGapMonthRow.__struct_fields__, row, strict=True))) for row in rows]


_GAP_MONTHS: LiteralString = f"""
select month, sum(done)::bigint, sum(unchanged)::bigint, sum(seconds)::bigint, sum(lost)::bigint from (
  select {_MONTH} as month, 1 as done, (not g.linked)::integer as unchanged, 0::bigint as seconds, 0::bigint as lost
    from ({_DONE}) g
  union all
  select {_MONTH}, 0, 0, g.seconds, case when g.linked then 0 else g.seconds end from ({_WORKED}) g
) m group by month order by month
"""


# ---- request -> change -> rating


class QualityFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Of first requests that are closed; all that is named must hold. `rated`, `changed`: whether they are."""

    closed_since: datetime | None = None
    closed_until: datetime | None = None
    role: str | None = None
    service: UUID | None = None
    least_score: int | None = None
    most_score: int | None = None
    rated: bool | None = None
    changed: bool | None = None


async def quality_trace(view: View, wanted: QualityFilter, ask: PageAsk) -> Page[QualityPairRow]:
    """One row for each change of a request or of its parts, and one for a request without any; by when they were
    closed. Raises BadInput."""
    if ask.last is not None or ask.before is not None:
        raise BadInput("This list goes forwards: ask for first and after.")
    cursor = decode_cursor(ask.after, list[str]) if ask.after else None
    if cursor is not None and len(cursor) != KEYS:
        raise BadInput("This cursor does not belong to this list in this order.")
    rows = await view.fetch(_PAIRS, _arguments(wanted, cursor or [None] * KEYS, page_size(ask) + 1))
    return page_of([(_pair(row), [str(key) for key in row[-KEYS:]]) for row in rows], ask)


async def request_count(view: View, wanted: QualityFilter) -> int:
    """How many requests these are."""
    rows = await view.fetch(f"select count(*) from ({_REQUESTS}) r", _arguments(wanted, [None] * KEYS, None))
    return int(rows[0][0])


def _arguments(wanted: QualityFilter, start: Sequence[str | None], most: int | None) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(wanted),
        **{f"start{n}": key for n, key in enumerate(start)},
        **moments.arguments(NOW),
        "done": [one.value for one in StatusCategory if one.closed],
        "most": most,
    }


KEYS = 6

_REQUESTS: LiteralString = f"""
select t.workspace, t.ticket, t.number, t.closed_at from span t
 where t.workspace = %(workspace)s and t.standing is not null and t.standing < 'infinity' and t.parent is null
   and t.category = any(%(done)s)
   and (%(closed_since)s::timestamptz is null or t.standing >= %(closed_since)s)
   and (%(closed_until)s::timestamptz is null or t.standing < %(closed_until)s)
   and (%(role)s::text is null or t.role = %(role)s)
   and (%(service)s::uuid is null or t.service = %(service)s)
   and (%(rated)s::boolean is null or %(rated)s = exists (
         select from rating r where r.ticket = t.ticket and r.closed_at = t.closed_at and {HOLDS}))
   and (%(least_score)s::integer is null or exists (
         select from rating r where r.ticket = t.ticket and r.closed_at = t.closed_at and {HOLDS}
            and r.score >= %(least_score)s))
   and (%(most_score)s::integer is null or exists (
         select from rating r where r.ticket = t.ticket and r.closed_at = t.closed_at and {HOLDS}
            and r.score <= %(most_score)s))
   and (%(changed)s::boolean is null or %(changed)s = {_PART_LINKED})
   and (%(start0)s::timestamptz is null
        or (t.standing, t.number) >= (%(start0)s::timestamptz, %(start1)s::bigint))
 order by t.standing, t.number limit %(most)s + 1
"""
"""Each has a row at least, but the one that a page before may have ended with: so many are enough for a page."""

_PAIRS: LiteralString = f"""
with recursive wanted as ({_REQUESTS}),
parts (root, ticket) as (
  select w.ticket, w.ticket from wanted w
   union
  select p.root, s.ticket from parts p
    join span s on s.workspace = %(workspace)s and s.parent = p.ticket and s.closed_position is null
),
links as (
  {EFFECTIVE.format(which="l.ticket in (select ticket from parts)")}
)
select {CHANGE_COLUMNS.format(at="coalesce(c.committed_at, q.opened_at, e.linked_at)")}, e.confidence, e.evidence,
       w.ticket, e.ticket, w.closed_at, r.ticket, r.score, r.comment, r.rated_by, r.rated_at, r.closed_at,
       w.closed_at as key0, w.number as key1, coalesce(e.repository::text, '') as key2, coalesce(e.kind, '') as key3,
       coalesce(e.change, '') as key4, coalesce(e.ticket::text, '') as key5
  from wanted w
  left join (select p.root, l.* from parts p join links l on l.ticket = p.ticket) e on e.root = w.ticket
  {DETAILS}
  left join rating r on r.ticket = w.ticket and r.closed_at = w.closed_at and {HOLDS}
 where %(start0)s::timestamptz is null
    or (w.closed_at, w.number, coalesce(e.repository::text, ''), coalesce(e.kind, ''), coalesce(e.change, ''),
        coalesce(e.ticket::text, ''))
     > (%(start0)s::timestamptz, %(start1)s::bigint, %(start2)s, %(start3)s, %(start4)s, %(start5)s)
 order by key0, key1, key2, key3, key4, key5 limit %(most)s
"""


def _pair(row: Sequence[Any]) -> QualityPairRow:
    confidence, evidence, request, ticket, closed_at, *rating = row[CHANGE_WIDTH:-KEYS]
    return QualityPairRow(
        request=request,
        closed_at=closed_at,
        ticket=ticket,
        change=None if row[0] is None else code_change(row[:CHANGE_WIDTH]),
        confidence=confidence,
        evidence=evidence,
        rating=None if rating[0] is None else RatingRow(**dict(zip(RatingRow.__struct_fields__, rating, strict=True))),
    )
