"""Watchers of tickets. (Contributors stand on boards, so spans hold them.)"""

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from projections import directory, spans
from projections.filters import PageAsk
from projections.reading import Listing, Moment, Page, View, counts_of, pages_of
from projections.rows import PersonRow
from projections.stretches import COLUMNS, Stretches

_CLOSE = """
update watcher set closed_position = c.position, occurred_to = c.at
  from unnest(%s::uuid[], %s::bigint[], %s::timestamptz[], %s::uuid[]) as c(ticket, position, at, person)
 where watcher.ticket = c.ticket and watcher.person = c.person and watcher.closed_position is null
"""

WATCHERS = Stretches(
    table="watcher",
    columns=("person",),
    closing=_CLOSE,
    values=lambda ticket: ticket.watchers,
    split=lambda person: (person,),
)

DDL: LiteralString = (
    "create table watcher (" + COLUMNS + "person uuid not null, primary key (ticket, person, opened_position));"
)
INDEXES: LiteralString = """
create index watcher_person on watcher (workspace, person) where closed_position is null;
"""


async def watchers(view: View, tickets: Sequence[UUID], ask: PageAsk, moment: Moment) -> dict[UUID, Page[PersonRow]]:
    """Of each of these tickets, by name; a requester finds themselves alone. Raises BadInput."""
    return await pages_of(view, tickets, _watchers(view, moment), ask)


async def watcher_counts(view: View, tickets: Sequence[UUID], moment: Moment) -> dict[UUID, int]:
    return await counts_of(view, tickets, _watchers(view, moment))


def _watchers(view: View, moment: Moment) -> Listing[PersonRow]:
    at, arguments = spans.at(moment, "w")
    source = sql.SQL(
        "from person p where p.workspace = %(workspace)s and {readable} and p.id in ("
        "select w.person from watcher w where w.workspace = %(workspace)s and w.ticket = parent.id and {at} and {own})"
    ).format(
        at=at,
        own=spans.of_own(view, "w.ticket"),
        readable=sql.SQL("true" if view.actor.reads_all else "p.id = %(viewer)s"),
    )
    return directory.by_name(source, arguments)
