"""Privacy: which tickets are sensitive, since when reads are logged, and who read what."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from domain.tickets import Ticket
from domain.workflows import Workflows
from projections import spans
from projections.filters import PageAsk
from projections.projection import Change, Projection
from projections.reading import Listing, Moment, Page, View, count, page
from projections.rows import KnownRow, LoggedRow, ReadRow
from projections.stretches import COLUMNS, Stretches
from projections.writing import Writes

DDL: LiteralString = (
    "create table sensitivity (" + COLUMNS + "primary key (ticket, opened_position));"
    """
create table read_logging (
  workspace        uuid not null,
  opened_position  bigint not null,
  closed_position  bigint,
  recorded_from    timestamptz not null,
  recorded_to      timestamptz,
  primary key (workspace, opened_position)
);
"""
)
INDEXES = "create index sensitivity_open on sensitivity (workspace, ticket) where closed_position is null;"

_CLOSE = """
update sensitivity set closed_position = c.position, occurred_to = c.at
  from unnest(%s::uuid[], %s::bigint[], %s::timestamptz[]) as c(ticket, position, at)
 where sensitivity.ticket = c.ticket and sensitivity.closed_position is null
"""
_MARKED = (True,)
SENSITIVITY = Stretches(
    table="sensitivity",
    columns=(),
    closing=_CLOSE,
    values=lambda ticket: _MARKED if ticket.sensitive else (),
    split=lambda _: (),
)


def fold(write: Writes, changes: Sequence[Change]) -> None:
    SENSITIVITY.fold(write, [change for change in changes if isinstance(change.after, Ticket)])
    for change in changes:
        if isinstance(change.after, Workflows):
            _logging(write, change)


def _logging(write: Writes, change: Change) -> None:
    assert isinstance(change.after, Workflows)
    before = isinstance(change.before, Workflows) and change.before.logs_all_reads
    if before == change.after.logs_all_reads:
        return
    envelope = change.envelope
    if change.after.logs_all_reads:
        write.execute(
            "insert into read_logging (workspace, opened_position, recorded_from) values (%s, %s, %s)",
            (envelope.workspace, envelope.position, envelope.recorded_at),
        )
    else:
        write.execute(
            "update read_logging set closed_position = %s, recorded_to = %s"
            " where workspace = %s and closed_position is null",
            (envelope.position, envelope.recorded_at, envelope.workspace),
        )


PROJECTION = Projection(name="privacy", tables=("sensitivity", "read_logging"), ddl=DDL, indexes=INDEXES, fold=fold)


# ---- queries


async def sensitive(view: View, tickets: Collection[UUID], moment: Moment) -> dict[UUID, bool]:
    """True of those that are, or were, sensitive; the others are left out."""
    at, arguments = spans.at(moment, "x")
    rows = await view.fetch(
        sql.SQL(
            "select x.ticket from sensitivity x"
            " where x.workspace = %(workspace)s and x.ticket = any(%(tickets)s) and {}"
        ).format(at),
        {**arguments, "tickets": list(tickets)},
    )
    return {ticket: True for (ticket,) in rows}


async def known_to(view: View, ticket: UUID, person: UUID, at: datetime, since: datetime) -> KnownRow | None:
    """What is known of a person's reading of a ticket until `at`; None where there is no such ticket. `since`: from
    which on reads are kept."""
    rows = await view.fetch(_LOGGED, {"ticket": ticket, "at": at, "since": since})
    if not rows:
        return None
    opened, until = rows[0][0], rows[0][1]
    logged = _joined([(begin, end) for _, _, begin, end in rows if begin is not None])
    covered = sum((row.to - row.from_ for row in logged), start=until - until)
    return KnownRow(
        ticket=ticket,
        person=person,
        at=at,
        logged=logged,
        all=bool(logged) and covered >= until - opened,
    )


def _joined(stretches: Sequence[tuple[datetime, datetime]]) -> list[LoggedRow]:
    """Those that overlap, or meet, as one."""
    joined: list[LoggedRow] = []
    for begin, end in sorted(stretches):
        if joined and begin <= joined[-1].to:
            joined[-1] = LoggedRow(from_=joined[-1].from_, to=max(end, joined[-1].to))
        else:
            joined.append(LoggedRow(from_=begin, to=end))
    return joined


# From when the ticket was recorded to the instant asked, and what of that was logged. Times are those of recording.
_LOGGED = """
with ticket as (
  select t.recorded_at as opened, %(at)s::timestamptz as until from timeline t
   where t.workspace = %(workspace)s and t.ticket = %(ticket)s and t.version = 1 and t.recorded_at <= %(at)s
), stretch as (
  select o.recorded_at as begin, c.recorded_at as end
    from sensitivity x
    join timeline o on o.workspace = x.workspace and o.position = x.opened_position
    left join timeline c on c.workspace = x.workspace and c.position = x.closed_position
   where x.workspace = %(workspace)s and x.ticket = %(ticket)s
  union all
  select l.recorded_from, l.recorded_to from read_logging l where l.workspace = %(workspace)s
)
select t.opened, t.until, case when s.begin is not null then greatest(s.begin, t.opened, %(since)s) end,
       least(coalesce(s.end, t.until), t.until)
  from ticket t
  left join stretch s
    on greatest(s.begin, t.opened, %(since)s) < least(coalesce(s.end, t.until), t.until)
"""


async def reads(view: View, ticket: UUID, person: UUID, at: datetime, ask: PageAsk) -> Page[ReadRow]:
    """The oldest first."""
    return await page(view, _reads(ticket, person, at), ask)


async def read_count(view: View, ticket: UUID, person: UUID, at: datetime) -> int:
    return await count(view, _reads(ticket, person, at))


def _reads(ticket: UUID, person: UUID, at: datetime) -> Listing[ReadRow]:
    return Listing(
        columns=sql.SQL("r.at, r.way"),
        source=sql.SQL(
            "from read_access r where r.workspace = %(workspace)s and r.ticket = %(ticket)s and r.person = %(person)s"
            " and r.at <= %(at)s"
        ),
        keys=(("r.number", "bigint"),),
        row=lambda row: ReadRow(at=row[0], way=row[1]),
        arguments={"ticket": ticket, "person": person, "at": at},
    )
