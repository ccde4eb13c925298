"""Ratings of what came of tickets, at every moment."""

from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

from psycopg import sql

from domain.tickets import TicketRated
from projections import spans
from projections.filters import PageAsk
from projections.projection import Change, Projection
from projections.reading import Listing, Moment, Page, View, counts_of, pages_of
from projections.rows import RatingRow
from projections.writing import Writes

DDL: LiteralString = """
create table rating (
  workspace        uuid not null,
  ticket           uuid not null,
  position         bigint not null,
  closed_position  bigint,               -- when it was changed; null: it holds
  changed_at       timestamptz,
  closed_at        timestamptz not null, -- of the closing that is rated
  score            integer not null,
  comment          text,
  rated_by         uuid not null,
  rated_at         timestamptz not null,
  primary key (ticket, position)
);
"""
INDEXES: LiteralString = """
create index rating_rated on rating (workspace, rated_at);
"""


def fold(write: Writes, changes: Sequence[Change]) -> None:
    for change in changes:
        envelope, event = change.envelope, change.envelope.event
        if not isinstance(event, TicketRated):
            continue
        write.execute(
            "update rating set closed_position = %s, changed_at = %s"
            " where ticket = %s and closed_at = %s and closed_position is null",
            (envelope.position, envelope.occurred_at, envelope.originator_id, event.closed_at),
        )
        write.insert(
            "rating",
            [
                {
                    "workspace": envelope.workspace,
                    "ticket": envelope.originator_id,
                    "position": envelope.position,
                    "closed_at": event.closed_at,
                    "score": event.score,
                    "comment": event.comment,
                    "rated_by": envelope.cause.on_behalf_of or envelope.cause.actor,
                    "rated_at": envelope.occurred_at,
                }
            ],
        )


PROJECTION = Projection(
    name="ratings",
    tables=("rating",),
    ddl=DDL,
    indexes=INDEXES,
    fold=fold,
    personal={"rating": ("comment",)},
)


# ---- queries

HOLDS: LiteralString = """
(%(as_of_position)s::bigint is null or r.position <= %(as_of_position)s)
 and (r.closed_position is null or r.closed_position > %(as_of_position)s::bigint
      or r.changed_at > %(as_of_time)s::timestamptz)
 and (%(as_of_time)s::timestamptz is null or r.rated_at <= %(as_of_time)s)
"""
"""Of a rating `r`: it was given by the moment, and not changed before it."""


async def ratings(view: View, tickets: Sequence[UUID], ask: PageAsk, moment: Moment) -> dict[UUID, Page[RatingRow]]:
    """Of each of these tickets, one for each time that it was closed, oldest first. Raises BadInput."""
    return await pages_of(view, tickets, _ratings(view, moment), ask)


async def rating_counts(view: View, tickets: Sequence[UUID], moment: Moment) -> dict[UUID, int]:
    return await counts_of(view, tickets, _ratings(view, moment))


def _ratings(view: View, moment: Moment) -> Listing[RatingRow]:
    return Listing(
        columns=sql.SQL("r.ticket, r.score, r.comment, r.rated_by, r.rated_at, r.closed_at"),
        source=sql.SQL("from rating r where r.workspace = %(workspace)s and r.ticket = parent.id and {} and {}").format(
            sql.SQL(HOLDS), spans.of_own(view, "r.ticket")
        ),
        keys=(("r.closed_at", "timestamptz"),),
        row=_row,
        arguments={"as_of_position": moment.position, "as_of_time": moment.occurred_at},
    )


def _row(values: Sequence[Any]) -> RatingRow:
    return RatingRow(**dict(zip(RatingRow.__struct_fields__, values, strict=True)))
