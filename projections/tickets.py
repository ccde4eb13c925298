"""Tickets: what spans do not hold (description, comments, counters), and lists over spans with it."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import repeat
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from psycopg import sql

from domain.tickets import Ticket
from domain.workflows import StatusCategory
from projections import comments, merging, participants, spans
from projections.conditions import Conditions, names
from projections.filters import Direction, PageAsk, TicketField, TicketFilter, TicketOrder
from projections.projection import Change, Projection
from projections.reading import (
    BadInput,
    Listing,
    Moment,
    Page,
    View,
    backwards,
    decode_cursor,
    page_of,
    page_size,
    pages_of,
)
from projections.rows import ChildCounts, TicketDetails, TicketRow
from projections.spans import PRIORITIES
from projections.writing import Writes

DDL = """
create table ticket (
  workspace      uuid not null,
  id             uuid primary key,
  number         bigint not null,
  description    text,
  opened_by      uuid not null,
  updated_at     timestamptz not null,
  version        integer not null,
  position       bigint not null,
  comment_count  integer not null
);
"""

INDEXES = """
create unique index ticket_number_unique on ticket (workspace, number);
create index ticket_updated on ticket (workspace, updated_at);
"""

_UPSERT = """
insert into ticket (workspace, id, number, description, opened_by, updated_at, version, position, comment_count)
select * from unnest(%s::uuid[], %s::uuid[], %s::bigint[], %s::text[], %s::uuid[], %s::timestamptz[], %s::int[],
                     %s::bigint[], %s::int[])
on conflict (id) do update set
  description = excluded.description,
  updated_at = greatest(ticket.updated_at, excluded.updated_at), version = excluded.version,
  position = excluded.position, comment_count = excluded.comment_count
"""


class _Touched(msgspec.Struct):
    """A ticket that this batch changes; `opened_by` matters where it is new."""

    workspace: UUID
    ticket: Ticket
    updated_at: datetime
    position: int
    opened_by: UUID


def fold(write: Writes, changes: Sequence[Change]) -> None:
    touched: dict[UUID, _Touched] = {}
    for change in changes:
        if not isinstance(change.after, Ticket):
            continue
        envelope = change.envelope
        id_ = envelope.originator_id
        known = touched.get(id_)
        touched[id_] = _Touched(
            workspace=envelope.workspace,
            ticket=change.after,
            updated_at=max(known.updated_at, envelope.occurred_at) if known else envelope.occurred_at,
            position=envelope.position,
            opened_by=known.opened_by if known else envelope.cause.on_behalf_of or envelope.cause.actor,
        )
    if touched:
        rows = [_details_row(id_, one) for id_, one in touched.items()]
        write.execute(_UPSERT, [list(column) for column in zip(*rows, strict=True)])
    comments.fold(write, changes)
    participants.WATCHERS.fold(write, changes)


def _details_row(id_: UUID, one: _Touched) -> tuple[Any, ...]:
    return (
        one.workspace,
        id_,
        one.ticket.number,
        one.ticket.description,
        one.opened_by,
        one.updated_at,
        one.ticket.version,
        one.position,
        len(one.ticket.comments),
    )


PROJECTION = Projection(
    name="tickets",
    tables=("ticket", "comment", "watcher"),
    ddl=DDL + comments.DDL + participants.DDL,
    indexes=INDEXES + comments.INDEXES + participants.INDEXES,
    fold=fold,
    personal={"ticket": ("description",), "comment": ("body",)},
)


# ---- queries

COLUMNS = ("ticket", "number", *spans.SHOWN)
assert TicketRow.__struct_fields__ == ("id", *COLUMNS[1:], "moment")

_ALWAYS = frozenset({"ticket", "number", "rank"})
"""What cursors and caches are made of."""


def columns(wanted: Collection[str] | None) -> tuple[str, ...]:
    """Of spans, for these attributes of `TicketRow`; None: for all."""
    if wanted is None:
        return COLUMNS
    return tuple(name for name in COLUMNS if name in _ALWAYS or name in wanted)


def select(columns: Iterable[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier("s", name) for name in columns)


SELECTED = select(COLUMNS)
_CATEGORY_ORDER = sql.SQL("array_position(array[{}], s.category)").format(
    sql.SQL(", ").join(sql.Literal(category.value) for category in StatusCategory)
)

_SORTS: dict[TicketField, tuple[sql.Composable, str]] = {
    TicketField.KEY: (sql.SQL("s.number"), "bigint"),
    TicketField.TITLE: (sql.SQL("lower(s.title)"), "text"),
    TicketField.STATUS: (sql.SQL("({} || s.status)").format(_CATEGORY_ORDER), "text"),
    TicketField.PRIORITY: (sql.SQL("s.priority"), "smallint"),
    TicketField.RANK: (sql.SQL("s.rank"), "text"),
    TicketField.OPENED_AT: (sql.SQL("s.opened_at"), "timestamptz"),
    TicketField.UPDATED_AT: (sql.SQL("t.updated_at"), "timestamptz"),
    TicketField.CLOSED_AT: (sql.SQL("s.closed_at"), "timestamptz"),
    TicketField.START_AT: (sql.SQL("s.start_at"), "timestamptz"),
    TicketField.DUE_AT: (sql.SQL("s.due_at"), "timestamptz"),
    TicketField.STATUS_SINCE: (sql.SQL("s.status_since"), "timestamptz"),
}
_NULLABLE = {TicketField.CLOSED_AT, TicketField.START_AT, TicketField.DUE_AT}
NEWEST_FIRST = (TicketOrder(field=TicketField.KEY, direction=Direction.DESC),)


def ticket_row(values: Sequence[Any], moment: Moment) -> TicketRow:
    """Of the columns `COLUMNS`."""
    return ticket_rows(dict(zip(COLUMNS, ([value] for value in values), strict=True)), moment)[0]


def in_columns(rows: Sequence[Sequence[Any]], names: Sequence[str]) -> dict[str, Sequence[Any]]:
    """The first values of each row, by these names."""
    return dict(zip(names, zip(*rows, strict=True), strict=False)) if rows else dict.fromkeys(names, ())


def ticket_rows(values: Mapping[str, Sequence[Any]], moment: Moment) -> list[TicketRow]:
    """Of the values of each column, in the order of the rows. Columns that were not read are None."""
    read: dict[str, Iterable[Any]] = dict(values)
    if "category" in values:
        read["category"] = map(_CATEGORIES.__getitem__, values["category"])
    if "priority" in values:
        read["priority"] = map(PRIORITIES.__getitem__, values["priority"])
    return list(map(TicketRow, *(read.get(name, repeat(None)) for name in COLUMNS), repeat(moment)))


_CATEGORIES = {category.value: category for category in StatusCategory}


Search = Callable[[Conditions], sql.Composable]
"""What a search says of spans `s`, as `projections.search.condition` makes it."""


class Matching:
    """The tickets that a viewer may see, as they stood at a moment, that match a filter and a search.
    `instead`: a condition that picks the spans of the moment, and among them; `own`: one that picks those that the
    viewer may see. `table`: what holds them all."""

    def __init__(
        self,
        view: View,
        filter_: TicketFilter | None,
        search: Search | None,
        moment: Moment,
        instead: sql.Composable | None = None,
        own: sql.Composable | None = None,
        table: sql.Composable | None = None,
    ) -> None:
        conditions = Conditions()
        at, self.arguments = spans.at(moment)
        own = own or spans.own(view, moment)
        parts: list[sql.Composable] = [sql.SQL("s.workspace = %(workspace)s"), instead or at, own]
        if filter_ is not None:
            if not moment.live and names(filter_, "updated_at"):
                raise BadInput("filter.updatedAt cannot be combined with asOf: spans do not hold it.")
            parts.append(conditions.ticket(filter_))
        if search is not None:
            parts.append(search(conditions))
        self.condition = sql.SQL(" and ").join(parts)
        self.arguments |= conditions.arguments
        self._table = table or sql.SQL("span")
        self.needs_details = filter_ is not None and names(filter_, "updated_at")

    def source(self, *, details: bool = False, among: sql.Composable | None = None) -> sql.Composed:
        """`among`: what joins only the tickets that it has."""
        spans_only: sql.Composable = sql.SQL("{} s").format(self._table)
        if among is not None:
            spans_only = sql.SQL("{0} join {1} s on s.ticket = {0}.ticket").format(among, self._table)
        joined = sql.SQL("{} join ticket t on t.id = s.ticket and t.workspace = s.workspace").format(spans_only)
        return sql.SQL("from {} where {}").format(
            joined if details or self.needs_details else spans_only, self.condition
        )


async def ticket(view: View, *, id: UUID | None, key: str | None, moment: Moment) -> TicketRow | None:
    """Raises BadInput."""
    if (id is None) == (key is None):
        raise BadInput("Name the ticket by id or by key.")
    if id is not None:
        return (await by_ids(view, [id], moment)).get(id)
    assert key is not None
    number = key.upper().removeprefix("T-")
    if not (number.isascii() and number.isdigit() and len(number) < 19 and number[0] != "0"):
        return None
    at, arguments = spans.at(moment)
    # A number never changes, so the open span says which ticket it is, at every moment.
    numbered = (
        sql.SQL("s.number = %(number)s")
        if moment.live
        else sql.SQL(
            "s.ticket = (select o.ticket from span o"
            " where o.workspace = %(workspace)s and o.number = %(number)s and o.closed_position is null)"
        )
    )
    rows = await view.fetch(
        sql.SQL("select {} from span s where s.workspace = %(workspace)s and {} and {} and {}").format(
            SELECTED, numbered, at, spans.own(view, moment)
        ),
        {**arguments, "number": int(number)},
    )
    return ticket_row(rows[0], moment) if rows else None


async def by_ids(view: View, ids: Sequence[UUID], moment: Moment) -> dict[UUID, TicketRow]:
    at, arguments = spans.at(moment)
    rows = await view.fetch(
        sql.SQL(
            "select {} from span s where s.workspace = %(workspace)s and s.ticket = any(%(ids)s) and {} and {}"
        ).format(SELECTED, at, spans.own(view, moment)),
        {**arguments, "ids": list(ids)},
    )
    found = [ticket_row(row, moment) for row in rows]
    return {row.id: row for row in found}


async def tickets(
    view: View,
    filter: TicketFilter | None,
    search: Search | None,
    order_by: Sequence[TicketOrder],
    ask: PageAsk,
    moment: Moment,
    wanted: Collection[str] | None = None,
) -> Page[TicketRow]:
    """`wanted`: attributes that will be looked at; None: all. Raises BadInput."""
    matching = Matching(view, filter, search, moment)
    order = _Order(order_by or NEWEST_FIRST, ask, moment)
    shown = columns(wanted)
    rows = await view.fetch(
        sql.SQL("select {columns}, {keys} {source} and {after} order by {order} limit {limit}").format(
            columns=select(shown),
            keys=order.keys,
            source=matching.source(details=order.needs_details),
            after=order.after,
            order=order.by,
            limit=sql.Literal(page_size(ask) + 1),
        ),
        {**matching.arguments, **order.arguments},
    )
    found = in_columns(rows, shown)
    return page_of(
        [(ticket, row[len(shown) :]) for ticket, row in zip(ticket_rows(found, moment), rows, strict=True)], ask
    )


async def count(view: View, filter: TicketFilter | None, search: Search | None, moment: Moment) -> int:
    matching = Matching(view, filter, search, moment)
    rows = await view.fetch(sql.SQL("select count(*) {}").format(matching.source()), matching.arguments)
    return int(rows[0][0])


class _Order:
    """Keyset order: what to sort by, the sort keys as cursor values, and where the page starts.

    Null comes last in both directions. The ticket's number settles ties, so no page skips or repeats."""

    def __init__(self, order_by: Sequence[TicketOrder], ask: PageAsk, moment: Moment) -> None:
        if len(order_by) > 4:
            raise BadInput("orderBy takes at most 4 fields.")
        if not moment.live and any(order.field is TicketField.UPDATED_AT for order in order_by):
            raise BadInput("orderBy UPDATED_AT cannot be combined with asOf: spans do not hold it.")
        self.needs_details = any(order.field is TicketField.UPDATED_AT for order in order_by)
        flip = backwards(ask)
        parts: list[tuple[sql.Composable, str, bool]] = []
        for order in order_by:
            expression, kind = _SORTS[order.field]
            descending = order.direction is Direction.DESC
            if order.field in _NULLABLE:
                last = sql.SQL("'-infinity'" if descending else "'infinity'")
                expression = sql.SQL("coalesce({}, {})").format(expression, last)
            parts.append((expression, kind, descending is not flip))
            if order.field is TicketField.KEY:
                break  # unique: what follows never decides
        else:
            parts.append((sql.SQL("s.number"), "bigint", (order_by[-1].direction is Direction.DESC) is not flip))
        self.keys = sql.SQL(", ").join(sql.SQL("({})::text").format(expression) for expression, _, _ in parts)
        self.by = sql.SQL(", ").join(
            sql.SQL("{} desc" if descending else "{} asc").format(expression) for expression, _, descending in parts
        )
        self.after, self.arguments = _after(parts, ask.before if flip else ask.after)


def _after(
    parts: Sequence[tuple[sql.Composable, str, bool]], cursor: str | None
) -> tuple[sql.Composable, dict[str, Any]]:
    if cursor is None:
        return sql.SQL("true"), {}
    values = decode_cursor(cursor, list[str])
    if len(values) != len(parts):
        raise BadInput("This cursor does not belong to this list in this order.")
    arguments = {f"after{n}": value for n, value in enumerate(values)}
    ways: list[sql.Composable] = []
    for n, (expression, kind, descending) in enumerate(parts):
        equal = [
            sql.SQL("{} = {}::{}").format(parts[m][0], sql.Placeholder(f"after{m}"), sql.SQL(_TYPE[parts[m][1]]))
            for m in range(n)
        ]
        beyond = sql.SQL("{} < {}::{}" if descending else "{} > {}::{}").format(
            expression, sql.Placeholder(f"after{n}"), sql.SQL(_TYPE[kind])
        )
        ways.append(sql.SQL("({})").format(sql.SQL(" and ").join([*equal, beyond])))
    after: sql.Composable = sql.SQL("({})").format(sql.SQL(" or ").join(ways))
    if len(parts) > 1:
        # Says nothing new, but an index on the first key can begin there.
        expression, kind, descending = parts[0]
        edge = sql.SQL("{} <= {}::{}" if descending else "{} >= {}::{}").format(
            expression, sql.Placeholder("after0"), sql.SQL(_TYPE[kind])
        )
        after = sql.SQL("({} and {})").format(edge, after)
    return after, arguments


_TYPE: dict[str, Any] = {kind: kind for kind in ("bigint", "smallint", "text", "timestamptz")}


async def details(view: View, ids: Sequence[UUID], moment: Moment) -> dict[UUID, TicketDetails]:
    """What spans do not hold. At a past moment it is replayed from the timeline, for all these tickets at once."""
    if moment.live:
        query = sql.SQL(_DETAILS_NOW).format(
            comments=sql.SQL("t.comment_count") if view.actor.reads_all else sql.SQL(_PUBLIC_COMMENTS),
            of_merged=_comments_of_merged(view, "t.id", moment),
            own=spans.of_own(view, "t.id"),
        )
    else:
        query = sql.SQL(_DETAILS_PAST).format(
            public=sql.SQL("true" if view.actor.reads_all else "not x.internal"),
            of_merged=_comments_of_merged(view, "x.ticket", moment),
            own=spans.of_own(view, "x.ticket"),
        )
    rows = await view.fetch(
        query, {"ids": list(ids), "as_of_position": moment.position, "as_of_time": moment.occurred_at}
    )
    return {
        row[0]: TicketDetails(
            description=row[1],
            opened_by=row[2],
            updated_at=row[3],
            version=row[4],
            position=row[5],
            comment_count=row[6],
        )
        for row in rows
    }


def _comments_of_merged(view: View, ticket: LiteralString, moment: Moment) -> sql.Composed:
    """The number of those that are shown with the ticket because theirs was merged into it."""
    return sql.SQL(_OF_MERGED).format(
        merged=merging.is_one(ticket, moment),
        family=merging.family(ticket, moment),
        ticket=sql.SQL(ticket),
        readable=sql.SQL("true" if view.actor.reads_all else "c.visibility = 'PUBLIC'"),
        own=spans.of_own(view, "c.ticket"),
    )


_OF_MERGED = """
case when {merged} then (select count(*) from comment c
 where c.workspace = %(workspace)s and c.ticket in {family} and c.ticket <> {ticket} and {readable} and {own}
   and (%(as_of_position)s::bigint is null or c.position <= %(as_of_position)s)
   and (%(as_of_time)s::timestamptz is null or c.created_at <= %(as_of_time)s)) else 0 end
"""
_DETAILS_NOW = """
select t.id, t.description, t.opened_by, t.updated_at, t.version, t.position,
       {comments} + {of_merged}
  from ticket t where t.workspace = %(workspace)s and t.id = any(%(ids)s) and {own}
"""
_PUBLIC_COMMENTS = "(select count(*) from comment c where c.ticket = t.id and c.visibility = 'PUBLIC')"
_DETAILS_PAST = """
select x.ticket, (array_agg(x.data ->> 'description' order by x.version desc)
         filter (where x.type in ('TicketOpened', 'TicketDescribed')))[1],
       (array_agg(coalesce(x.on_behalf_of, x.actor) order by x.version))[1], max(x.occurred_at),
       count(*)::int, max(x.position),
       count(*) filter (where x.type = 'CommentAdded' and {public}) + {of_merged}
  from timeline x
 where x.workspace = %(workspace)s and x.ticket = any(%(ids)s) and {own}
   and (%(as_of_position)s::bigint is null or x.position <= %(as_of_position)s)
   and (%(as_of_time)s::timestamptz is null or x.occurred_at <= %(as_of_time)s)
 group by x.ticket
"""


async def child_counts(view: View, ids: Sequence[UUID], moment: Moment) -> dict[UUID, ChildCounts]:
    """Of these tickets; one without children is left out."""
    at, arguments = spans.at(moment)
    rows = await view.fetch(
        sql.SQL(
            "select s.parent, count(*), count(*) filter (where s.category in ('DONE', 'CANCELLED')) from span s"
            " where s.workspace = %(workspace)s and s.parent = any(%(ids)s) and {} and {} group by s.parent"
        ).format(at, spans.own(view, moment)),
        {**arguments, "ids": list(ids)},
    )
    return {parent: ChildCounts(children, done) for parent, children, done in rows}


async def children(view: View, tickets: Sequence[UUID], ask: PageAsk, moment: Moment) -> dict[UUID, Page[TicketRow]]:
    """Of each of these tickets, oldest first; `child_counts` counts them. Raises BadInput."""
    at, arguments = spans.at(moment)
    listing = Listing(
        columns=SELECTED,
        source=sql.SQL("from span s where s.workspace = %(workspace)s and s.parent = parent.id and {} and {}").format(
            at, spans.own(view, moment)
        ),
        keys=(("s.number", "bigint"),),
        row=lambda row: ticket_row(row, moment),
        arguments=arguments,
    )
    return await pages_of(view, tickets, listing, ask)
