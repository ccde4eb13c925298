"""Spans: one row per stretch during which all that a board or a list can show or filter by stayed the same.

The open span of a ticket is the live board; the same query with an instant is the board as of then. A span carries
both times: when it was so (`occurred_from`, `occurred_to`: half-open) and when that became known (the positions of
the events that opened and closed it). A ticket's own time never runs backwards, so spans only grow at the end.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from operator import attrgetter
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg import sql

from domain.tickets import UNDATED, Priority, Ticket
from projections.filters import PageAsk
from projections.projection import Change, Projection
from projections.reading import Listing, Moment, Page, View, counts_of, pages_of
from projections.rows import SpanRow
from projections.writing import Writes

PRIORITY_ORDER = {priority: n for n, priority in enumerate(Priority)}
PRIORITIES: tuple[Priority, ...] = tuple(Priority)

SHOWN = (
    "external_key",
    "title",
    "role",
    "workflow",
    "workflow_version",
    "status",
    "category",
    "status_since",
    "rank",
    "priority",
    "channel",
    "assignee",
    "contributors",
    "team",
    "requester",
    "service",
    "parent",
    "tags",
    "fields",
    "start_at",
    "due_at",
    "opened_at",
    "closed_at",
)
"""What a span holds, besides its ends: attributes of a ticket, by the names of the columns."""

SECONDS_LIMIT = 2**31 - 1
"""What GraphQL's Int holds: 68 years."""

DDL = """
create table span (
  workspace         uuid not null,
  ticket            uuid not null,
  version           integer not null, -- of the event that opened the span
  opened_position   bigint not null,
  closed_position   bigint,           -- null: this is how the ticket stands
  occurred_from     timestamptz not null,
  occurred_to       timestamptz,
  number            bigint not null,
  external_key      text,
  title             text not null,
  role              text not null,
  workflow          text not null,
  workflow_version  integer not null,
  status            text not null,
  category          text not null,
  status_since      timestamptz not null,
  rank              text collate "C" not null,
  priority          smallint not null, -- 0 is the most urgent
  channel           text not null,
  assignee          uuid,
  contributors      uuid[] not null,
  team              uuid,
  requester         uuid,
  service           uuid,
  parent            uuid,
  tags              text[] not null,
  fields            jsonb not null,
  start_at          timestamptz,
  due_at            timestamptz,
  opened_at         timestamptz not null,
  closed_at         timestamptz,
  -- Until when it stands on a live board, give or take; null in the past. A column, so that the planner knows how few
  -- these are: statistics of a partial index it does not look at.
  standing          timestamptz generated always as
                      (case when closed_position is null then coalesce(closed_at, 'infinity') end) stored,
  -- How long a span of the past lasted, as the power of two that is no less: in seconds, and in positions. What lasted
  -- at most 2^n had begun within the 2^n before any moment of it: for each n, a short range of an index.
  seconds_log2      smallint generated always as (case when closed_position is not null then
                      ceil(ln(greatest(extract(epoch from occurred_to - occurred_from), 1)::double precision)
                           / ln(2::double precision))::smallint end) stored,
  positions_log2    smallint generated always as (case when closed_position is not null then
                      ceil(ln((closed_position - opened_position)::double precision)
                           / ln(2::double precision))::smallint end) stored,
  primary key (ticket, version)
);
create unique index span_open on span (ticket) where closed_position is null;
"""

INDEXES = """
create index span_standing on span (workspace, standing) where standing is not null;
create index span_number on span (workspace, number);
create index span_assignee on span (workspace, assignee) where closed_position is null;
create index span_held on span (workspace, assignee, occurred_from) where assignee is not null;
create index span_requester on span (workspace, requester) where closed_position is null;
create index span_parent on span (workspace, parent) where parent is not null;
create index span_external_key on span (workspace, external_key)
  where closed_position is null and external_key is not null;
create index span_past_times on span (workspace, seconds_log2, occurred_from) where seconds_log2 is not null;
create index span_past_positions on span (workspace, positions_log2, opened_position) where positions_log2 is not null;
"""

_CLOSE = """
update span set closed_position = c.position, occurred_to = c.at
  from unnest(%s::uuid[], %s::bigint[], %s::timestamptz[]) as c(ticket, position, at)
 where span.ticket = c.ticket and span.closed_position is null
"""


_ENDS = ("opened_position", "closed_position", "occurred_from", "occurred_to")
_Span = msgspec.defstruct(
    "_Span", [(name, Any) for name in ("workspace", "ticket", "version", "number", *_ENDS, *SHOWN)], frozen=False
)
"""A span that this batch opened: a row of the table."""

_shown = attrgetter(*SHOWN)
_PRIORITY = SHOWN.index("priority")


def shown(ticket: Ticket) -> tuple[Any, ...]:
    """In the order of `SHOWN`, as the columns hold it."""
    return _columns(_shown(ticket))


def _columns(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return (*values[:_PRIORITY], PRIORITY_ORDER[values[_PRIORITY]], *values[_PRIORITY + 1 :])


def fold(write: Writes, changes: Sequence[Change]) -> None:
    opened: list[Any] = []
    newest: dict[UUID, Any] = {}
    closed: dict[UUID, tuple[int, datetime]] = {}
    for change in changes:
        if not isinstance(change.after, Ticket):
            continue
        envelope, ticket = change.envelope, change.after
        if isinstance(change.before, Ticket):
            # Comments are the most frequent events by far, and known to change nothing here.
            if isinstance(envelope.event, UNDATED):
                continue
            values = _shown(ticket)
            # Fields by identity: 1 and true are equal in Python, not in JSON.
            if change.before.fields is ticket.fields and values == _shown(change.before):
                continue
            _close(change, newest, closed)
        else:
            values = _shown(ticket)
        id_, version = envelope.originator_id, envelope.originator_version
        ends = (envelope.position, None, envelope.occurred_at, None)
        span = _Span(envelope.workspace, id_, version, ticket.number, *ends, *_columns(values))
        newest[id_] = span
        opened.append(span)
    if closed:
        positions, times = zip(*closed.values(), strict=True)
        write.execute(_CLOSE, (list(closed), list(positions), list(times)))
    write.insert("span", opened)


def _close(change: Change, newest: dict[UUID, Any], closed: dict[UUID, tuple[int, datetime]]) -> None:
    envelope = change.envelope
    span = newest.get(envelope.originator_id)
    if span is None:
        closed[envelope.originator_id] = (envelope.position, envelope.occurred_at)
    else:
        span.closed_position, span.occurred_to = envelope.position, envelope.occurred_at


PROJECTION = Projection(
    name="spans",
    tables=("span",),
    ddl=DDL,
    indexes=INDEXES,
    fold=fold,
    personal={"span": ("title", "fields", "tags")},
)


# ---- queries


def at(moment: Moment, alias: str = "s") -> tuple[sql.Composed, dict[str, Any]]:
    """The condition that picks each ticket's span at a moment, and its arguments."""
    names = {name: sql.Identifier(alias, name) for name in _ENDS}
    if moment.live:
        return sql.SQL("{closed_position} is null").format(**names), {}
    arguments = {"as_of_position": moment.position, "as_of_time": moment.occurred_at}
    if moment.position is None:
        condition = _AT_TIME
    elif moment.occurred_at is None:
        condition = _AT_POSITION
    else:
        condition = _AT_BOTH
    return condition.format(**names), arguments


_AT_POSITION = sql.SQL(
    "{opened_position} <= %(as_of_position)s and ({closed_position} is null or {closed_position} > %(as_of_position)s)"
)
_AT_TIME = sql.SQL("{occurred_from} <= %(as_of_time)s and ({occurred_to} is null or {occurred_to} > %(as_of_time)s)")
# What was known at the position: a span closed later was still open then.
_AT_BOTH = sql.SQL(
    "{opened_position} <= %(as_of_position)s and {occurred_from} <= %(as_of_time)s and ({closed_position} is null"
    " or {closed_position} > %(as_of_position)s or {occurred_to} > %(as_of_time)s)"
)


def near(moment: Moment, instant: datetime, stay: timedelta) -> tuple[sql.Composed, dict[str, Any]]:
    """Instead of the table: all spans that may show at a past moment, and few more, found by narrow ranges of indexes,
    however long the history. Left out are tickets that had been closed for longer than `stay` by `instant`, the moment
    as a time."""
    parts = [_STANDING_THEN]
    arguments: dict[str, Any] = {"instant": instant, "stay": stay}
    if moment.position is not None:
        parts.append(_PAST_BY_POSITION)
        arguments["as_of_positions"] = [max(0, moment.position - _reach(n)) for n in range(_POSITIONS_LOG2)]
    if moment.occurred_at is not None:
        at = moment.occurred_at.astimezone(UTC)
        parts.append(_PAST_BY_TIME)
        arguments["as_of_times"] = [_before(at, _reach(n)) for n in range(_SECONDS_LOG2)]
    return sql.SQL("({})").format(sql.SQL(" union all ").join(parts)), arguments


_SECONDS_LOG2, _POSITIONS_LOG2 = 40, 64


def _reach(n: int) -> int:
    """Somewhat more than 2^n, since the logarithm in the table is rounded."""
    return (1 << n) + (1 << max(0, n - 20)) + 1


def _before(at: datetime, seconds: int) -> datetime:
    earliest = datetime.min.replace(tzinfo=UTC)
    return at - timedelta(seconds=seconds) if (at - earliest).total_seconds() > seconds else earliest


# A ticket is never closed after its span began, so by the instant. `offset 0` keeps the planner from turning loops over
# short ranges into one over the whole history.
_STANDING_THEN = sql.SQL("""
select o.ctid, o.* from span o
 where o.workspace = %(workspace)s and o.standing = 'infinity'
   and (%(as_of_time)s::timestamptz is null or o.occurred_from <= %(as_of_time)s)
union all
select o.ctid, o.* from span o
 where o.workspace = %(workspace)s
   and o.standing > %(instant)s::timestamptz - %(stay)s::interval and o.standing <= %(instant)s::timestamptz
""")
_PAST_BY_POSITION = sql.SQL("""
select p.* from unnest(%(as_of_positions)s::bigint[]) with ordinality as reach (since, n)
 cross join lateral (
   select q.ctid, q.* from span q
    where q.workspace = %(workspace)s and q.positions_log2 = (reach.n - 1)::smallint
      and q.opened_position >= reach.since and q.opened_position <= %(as_of_position)s::bigint
      and q.closed_position > %(as_of_position)s::bigint
   offset 0) p
""")
# Those that the position has found are not found twice.
_PAST_BY_TIME = sql.SQL("""
select p.* from unnest(%(as_of_times)s::timestamptz[]) with ordinality as reach (since, n)
 cross join lateral (
   select q.ctid, q.* from span q
    where q.workspace = %(workspace)s and q.seconds_log2 = (reach.n - 1)::smallint
      and q.occurred_from >= reach.since and q.occurred_from <= %(as_of_time)s::timestamptz
      and q.occurred_to > %(as_of_time)s::timestamptz
      and (%(as_of_position)s::bigint is null or q.closed_position <= %(as_of_position)s)
   offset 0) p
""")


async def spans(view: View, tickets: Sequence[UUID], ask: PageAsk, moment: Moment) -> dict[UUID, Page[SpanRow]]:
    """Stretches of unchanged state of each of these tickets, oldest first. Raises BadInput."""
    return await pages_of(view, tickets, _spans(view, moment, await view.instant(moment)), ask)


async def span_counts(view: View, tickets: Sequence[UUID], moment: Moment) -> dict[UUID, int]:
    return await counts_of(view, tickets, _spans(view, moment, None))


def _spans(view: View, moment: Moment, until: datetime | None) -> Listing[SpanRow]:
    """`until`: when a span ends that is open."""
    return Listing(
        columns=sql.SQL(
            "ticket, occurred_from, {closed_at}, role, workflow, workflow_version, status, assignee, team, priority,"
            " service, opened_position, {closed_position},"
            " floor(extract(epoch from coalesce({closed_at}, %(until)s) - occurred_from))::bigint"
        ).format(closed_at=_KNOWN_END, closed_position=_KNOWN_CLOSING),
        source=sql.SQL(
            "from span s where workspace = %(workspace)s and ticket = parent.id and {known} and {own}"
        ).format(known=_KNOWN, own=of_own(view, "s.ticket")),
        keys=(("version", "int"),),
        row=partial(_span_row, moment=moment),
        arguments={"until": until, "as_of_position": moment.position, "as_of_time": moment.occurred_at},
    )


def own(view: View, moment: Moment) -> sql.Composable:
    """A requester sees the tickets that are theirs now, at every moment of the past too."""
    if view.actor.reads_all or not moment.live:
        return of_own(view, "s.ticket")
    return sql.SQL("s.requester = %(viewer)s")


def of_own(view: View, ticket: LiteralString) -> sql.Composable:
    """The same for any table; `ticket` is its column."""
    if view.actor.reads_all:
        return sql.SQL("true")
    return sql.SQL(
        ticket + " in (select o.ticket from span o"
        " where o.workspace = %(workspace)s and o.closed_position is null and o.requester = %(viewer)s)"
    )


_KNOWN = sql.SQL(
    "(%(as_of_position)s::bigint is null or opened_position <= %(as_of_position)s)"
    " and (%(as_of_time)s::timestamptz is null or occurred_from <= %(as_of_time)s)"
)
_KNOWN_END = sql.SQL(
    "case when closed_position <= coalesce(%(as_of_position)s::bigint, closed_position)"
    " and occurred_to <= coalesce(%(as_of_time)s::timestamptz, occurred_to) then occurred_to end"
)
_KNOWN_CLOSING = sql.SQL(
    "case when closed_position <= coalesce(%(as_of_position)s::bigint, closed_position)"
    " and occurred_to <= coalesce(%(as_of_time)s::timestamptz, occurred_to) then closed_position end"
)


def _span_row(row: Sequence[Any], moment: Moment) -> SpanRow:
    return SpanRow(
        ticket=row[0],
        from_=row[1],
        to=row[2],
        role=row[3],
        workflow=row[4],
        workflow_version=row[5],
        status=row[6],
        assignee=row[7],
        team=row[8],
        priority=PRIORITIES[int(row[9])],
        service=row[10],
        opened_position=row[11],
        closed_position=row[12],
        seconds=min(max(0, row[13]), SECONDS_LIMIT),
        moment=moment,
    )
