"""Holdings: who held which ticket, from when to when. Made of spans: those in a row that have the same assignee."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from psycopg import sql

from projections import spans
from projections.filters import PageAsk
from projections.reading import BadInput, Listing, Page, View, count, page
from projections.rows import HoldingRow
from projections.spans import SECONDS_LIMIT

# Numbers of holdings grow by one where the assignee changes, unassigned included.
_HOLDINGS = sql.SQL("""
from (
  select n.ticket, n.assignee, min(n.occurred_from) as since,
         case when count(n.occurred_to) = count(*) then max(n.occurred_to) end as until,
         min(n.opened_position) as opened,
         case when count(n.closed_position) = count(*) then max(n.closed_position) end as closed
    from (
      select m.*, count(*) filter (where m.begins) over (partition by m.ticket order by m.version) as holding
        from (
          select s.ticket, s.version, s.assignee, s.occurred_from, s.occurred_to, s.opened_position, s.closed_position,
                 s.assignee is distinct from lag(s.assignee) over (partition by s.ticket order by s.version)
                   as begins
            from span s where s.workspace = %(workspace)s and {tickets} and {own}) m) n
   group by n.ticket, n.holding, n.assignee) h
where h.assignee is not null and {wanted}
""")
_COLUMNS = sql.SQL("h.ticket, h.assignee, h.since, h.until, h.opened, h.closed")


async def holder(view: View, ticket: UUID, at: datetime) -> HoldingRow | None:
    """Who held it at an instant; None where nobody did, or it is not there. Raises BadInput."""
    must_be_past(at, "at")
    rows = await view.fetch(
        sql.SQL("select {} {}").format(
            _COLUMNS,
            _HOLDINGS.format(tickets=sql.SQL("s.ticket = %(ticket)s"), own=spans.of_own(view, "s.ticket"), wanted=_AT),
        ),
        {"ticket": ticket, "at": at},
    )
    return _row(rows[0]) if rows else None


_AT = sql.SQL("h.since <= %(at)s and (h.until is null or h.until > %(at)s)")


async def holdings(view: View, person: UUID, since: datetime, until: datetime, ask: PageAsk) -> Page[HoldingRow]:
    """What somebody held at any time from `since` to before `until`, in the order in which they got it.
    Raises BadInput."""
    return await page(view, _of_person(view, person, since, until), ask)


async def holding_count(view: View, person: UUID, since: datetime, until: datetime) -> int:
    return await count(view, _of_person(view, person, since, until))


def _of_person(view: View, person: UUID, since: datetime, until: datetime) -> Listing[HoldingRow]:
    if until <= since:
        raise BadInput("from is to be before to.")
    held = sql.SQL(
        "s.ticket in (select p.ticket from span p where p.workspace = %(workspace)s and p.assignee = %(person)s"
        " and p.occurred_from < %(until)s and (p.occurred_to is null or p.occurred_to > %(since)s))"
    )
    wanted = sql.SQL("h.assignee = %(person)s and h.since < %(until)s and (h.until is null or h.until > %(since)s)")
    return Listing(
        columns=_COLUMNS,
        source=_HOLDINGS.format(tickets=held, own=spans.of_own(view, "s.ticket"), wanted=wanted),
        keys=(("h.since", "timestamptz"), ("h.opened", "bigint")),
        row=_row,
        arguments={"person": person, "since": since, "until": until},
    )


def must_be_past(at: datetime, name: str) -> None:
    """Raises BadInput."""
    if at > datetime.now(UTC):
        raise BadInput(f"{name} is in the future: nobody knows yet.")


def _row(row: Sequence[Any]) -> HoldingRow:
    ticket, person, since, until, opened, closed = row
    lasted = ((until or datetime.now(UTC)) - since).total_seconds()
    return HoldingRow(
        ticket=ticket,
        person=person,
        from_=since,
        to=until,
        seconds=min(max(0, int(lasted)), SECONDS_LIMIT),
        opened_position=opened,
        closed_position=closed,
    )
