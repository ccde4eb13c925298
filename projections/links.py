"""Links between tickets: which they have, and had. Each of two linked tickets has a row of its own."""

from collections.abc import Sequence
from functools import partial
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from domain.tickets import LinkKind
from projections import spans
from projections.filters import PageAsk
from projections.projection import Change, Projection
from projections.reading import Listing, Moment, Page, View, counts_of, pages_of
from projections.rows import LinkRow
from projections.stretches import COLUMNS, Stretches
from projections.writing import Writes

DDL: LiteralString = (
    "create table link (" + COLUMNS + "kind text not null, other uuid not null,"
    " primary key (ticket, kind, other, opened_position));"
)

_CLOSE = """
update link set closed_position = c.position, occurred_to = c.at
  from unnest(%s::uuid[], %s::bigint[], %s::timestamptz[], %s::text[], %s::uuid[])
    as c(ticket, position, at, kind, other)
 where link.ticket = c.ticket and link.kind = c.kind and link.other = c.other and link.closed_position is null
"""

LINKS = Stretches(
    table="link",
    columns=("kind", "other"),
    closing=_CLOSE,
    values=lambda ticket: ticket.links,
    split=lambda link: (link.kind.value, link.other),
)


def fold(write: Writes, changes: Sequence[Change]) -> None:
    LINKS.fold(write, changes)


PROJECTION = Projection(name="links", tables=("link",), ddl=DDL, indexes="", fold=fold)


# ---- queries


async def links(view: View, tickets: Sequence[UUID], ask: PageAsk, moment: Moment) -> dict[UUID, Page[LinkRow]]:
    """Of each of these tickets, oldest first; a requester gets those to other tickets of theirs. Raises BadInput."""
    return await pages_of(view, tickets, _links(view, moment), ask)


async def link_counts(view: View, tickets: Sequence[UUID], moment: Moment) -> dict[UUID, int]:
    return await counts_of(view, tickets, _links(view, moment))


def _links(view: View, moment: Moment) -> Listing[LinkRow]:
    """Joined with the other ticket's span, so that none is told of which the other ticket cannot be shown."""
    then, arguments = spans.at(moment, "l")
    shown, _ = spans.at(moment)
    return Listing(
        columns=sql.SQL("l.kind, l.other, l.occurred_from, l.by"),
        source=sql.SQL(
            "from link l join span s on s.workspace = l.workspace and s.ticket = l.other and {shown}"
            " where l.workspace = %(workspace)s and l.ticket = parent.id and {then} and {own} and {other_own}"
        ).format(shown=shown, then=then, own=spans.of_own(view, "l.ticket"), other_own=spans.of_own(view, "l.other")),
        keys=(("l.occurred_from", "timestamptz"), ("l.opened_position", "bigint")),
        row=partial(_row, moment=moment),
        arguments=arguments,
    )


def _row(values: Sequence[Any], moment: Moment) -> LinkRow:
    return LinkRow(kind=LinkKind(values[0]), other=values[1], created_at=values[2], created_by=values[3], moment=moment)
