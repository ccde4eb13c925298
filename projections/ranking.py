"""Which tickets stand beside a place in the workspace's order: what a move must know that names one neighbour alone."""

from contextlib import suppress
from typing import LiteralString
from uuid import UUID

from psycopg import sql

from domain.ranking import Place, RankTicket
from domain.ticket_state import Beside
from projections.reading import ReadModelBehind, View


async def beside(view: View, command: RankTicket) -> Beside:
    """The neighbours that the command does not name, of those that stand on live boards. The read model is waited for
    up to the head of the log: who puts one card after another sees each time what the last move came to."""
    if command.after is not None and command.before is not None:
        return Beside()
    head = await view.fetch("select log_head()")
    with suppress(ReadModelBehind):  # then as far as it is known: that matters to the eye, and to nothing else
        await view.models.wait_for(head[0][0], "spans")
    if command.after is not None:
        return Beside(before=await _nearest(view, command.ticket, command.after, _ABOVE))
    if command.before is not None:
        return Beside(after=await _nearest(view, command.ticket, command.before, _BELOW))
    if command.to is Place.TOP:
        return Beside(before=await _nearest(view, command.ticket, None, _FIRST))
    return Beside(after=await _nearest(view, command.ticket, None, _LAST))


_THERE: LiteralString = (
    "(select o.rank from span o"
    " where o.workspace = %(workspace)s and o.ticket = %(there)s and o.closed_position is null)"
)
_ABOVE: LiteralString = f"s.rank > {_THERE} order by s.rank, s.number"
_BELOW: LiteralString = f"s.rank < {_THERE} order by s.rank desc, s.number desc"
_FIRST: LiteralString = "true order by s.rank, s.number"
_LAST: LiteralString = "true order by s.rank desc, s.number desc"


async def _nearest(view: View, moved: UUID, there: UUID | None, which: LiteralString) -> UUID | None:
    rows = await view.fetch(
        sql.SQL(
            "select s.ticket from span s where s.workspace = %(workspace)s"
            f" and s.standing > clock_timestamp() - interval '14 days' and s.ticket <> %(moved)s and {which} limit 1"
        ),
        {"moved": moved, "there": there},
    )
    return rows[0][0] if rows else None
