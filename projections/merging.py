"""Merged tickets: into which one each went, and what is shown with it."""

from collections.abc import Sequence
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from projections import spans
from projections.reading import Moment, View


async def merged_into(view: View, tickets: Sequence[UUID], moment: Moment) -> dict[UUID, UUID]:
    """Of those of these tickets that were merged, into which."""
    at, arguments = spans.at(moment, "l")
    rows = await view.fetch(
        sql.SQL(
            "select l.ticket, l.other from link l where l.workspace = %(workspace)s and l.ticket = any(%(tickets)s)"
            " and l.kind = 'MERGED_INTO' and {} and {}"
        ).format(at, spans.of_own(view, "l.ticket")),
        {**arguments, "tickets": list(tickets)},
    )
    return dict(rows)


def family(ticket: LiteralString, moment: Moment) -> sql.Composed:
    """The ids of a ticket, which this column names, and of all that were merged into it, or into one of these. Needs
    the arguments of `spans.at`."""
    at, _ = spans.at(moment, "l")
    return sql.SQL(
        "(with recursive family (id) as (select {} union select l.other from family f join link l on l.ticket = f.id"
        " where l.workspace = %(workspace)s and l.kind = 'MERGED_FROM' and {}) select id from family)"
    ).format(sql.SQL(ticket), at)


def is_one(ticket: LiteralString, moment: Moment) -> sql.Composed:
    """Whether anything was merged into the ticket; asked first where most have nothing."""
    at, _ = spans.at(moment, "l")
    return sql.SQL("exists (select from link l where l.ticket = {} and l.kind = 'MERGED_FROM' and {})").format(
        sql.SQL(ticket), at
    )
