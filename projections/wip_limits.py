"""Limits on work in progress beside what stands there: marked on boards, and counted for those who set them."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace
from psycopg import sql

from domain.wip_limits import SetWipLimit, WipLimitRemoved, WipLimitSet
from domain.workflow_state import CLOSED, WipLimit
from domain.workflow_state import place as place_of
from projections import spans
from projections.board import BoardAsk
from projections.filters import BoardAxis
from projections.reading import NOW, Moment, View
from projections.rows import BoardCellRow, BoardLineRow, BoardRow

_THERE = """
s.workspace = %(workspace)s and {stands} and s.workflow = l.workflow
and (l.status is null or s.status = l.status) and (l.person is null or s.assignee = l.person)
"""
_STANDS = sql.SQL("s.standing = 'infinity'")
_STOOD = sql.SQL("{at} and s.category <> all({closed})")


async def counts(view: View, limits: Iterable[WipLimit], moment: Moment = NOW) -> dict[str, int]:
    """How many open tickets stand in each of these places, or stood there, by its key."""
    limits = list(limits)
    at, arguments = spans.at(moment, "s")
    stood = _STOOD.format(at=at, closed=sql.Literal(sorted(CLOSED)))
    rows = await view.fetch(
        sql.SQL(
            "select l.place, count(s.ticket)"
            "  from unnest(%(places)s::text[], %(workflows)s::text[], %(statuses)s::text[], %(people)s::uuid[])"
            "    as l(place, workflow, status, person)"
            f"  left join span s on {_THERE} group by l.place"
        ).format(stands=_STANDS if moment.live else stood),
        {
            **arguments,
            "places": [limit.place for limit in limits],
            "workflows": [limit.workflow for limit in limits],
            "statuses": [limit.status for limit in limits],
            "people": [limit.person for limit in limits],
        },
    )
    return dict(rows)


async def cards(view: View, command: SetWipLimit, most: int) -> tuple[dict[UUID, UUID | None], int]:
    """The tickets that stand in a place, each with who holds it, `most` and one more at most, and the position up to
    which they are known."""
    rows = await view.fetch(
        sql.SQL(
            "select t.position, s.ticket, s.assignee from tracking t"
            "  cross join"
            "    (select %(workflow)s::text as workflow, %(status)s::text as status, %(person)s::uuid as person) l"
            f"  left join span s on {_THERE} and (s.assignee is not null or not %(each_person)s)"
            " where t.name = 'spans' limit %(most)s"
        ).format(stands=_STANDS),
        {
            "workflow": command.workflow,
            "status": command.status,
            "person": command.person,
            "each_person": command.each_person,
            "most": most + 1,
        },
    )
    return {ticket: assignee for _, ticket, assignee in rows if ticket is not None}, rows[0][0]


async def limits_at(view: View, moment: Moment) -> dict[str, WipLimit]:
    """Those that were set by then, by their places."""
    rows = await view.fetch(
        "select x.type, x.data from timeline x where x.workspace = %(workspace)s"
        " and x.type in ('WipLimitSet', 'WipLimitRemoved')"
        " and (%(as_of_position)s::bigint is null or x.position <= %(as_of_position)s)"
        " and (%(as_of_time)s::timestamptz is null or x.occurred_at <= %(as_of_time)s) order by x.version",
        {"as_of_position": moment.position, "as_of_time": moment.occurred_at},
    )
    found: dict[str, WipLimit] = {}
    for type_, data in rows:
        if type_ == "WipLimitSet":
            limit = msgspec.convert(data, WipLimitSet).limit
            found[limit.place] = limit
        else:
            gone = msgspec.convert(data, WipLimitRemoved)
            found.pop(place_of(gone.workflow, gone.status, gone.person, each_person=gone.each_person), None)
    return found


async def marked(
    view: View, board: BoardRow, ask: BoardAsk, limits: Mapping[str, WipLimit], moment: Moment
) -> BoardRow:
    """The board of one workflow with its limits, which are those of the same moment. What the board's filter leaves out
    counts too."""
    workflow = ask.workflow or ""
    if all(limit.workflow != workflow for limit in limits.values()):
        return board

    def limit_at(*keys: tuple[BoardAxis | None, str | None]) -> WipLimit | None:
        at: dict[Any, str | None] = dict(keys)
        if at.keys() - {BoardAxis.STATUS, BoardAxis.ASSIGNEE} or "" in at.values():
            return None
        status, named = at.get(BoardAxis.STATUS), at.get(BoardAxis.ASSIGNEE)
        person = UUID(named) if named else None
        own = limits.get(place_of(workflow, status, person))
        if own is not None or person is None:
            return own
        each = limits.get(place_of(workflow, status, None, each_person=True))
        return each and replace(each, person=person)

    rows_axis = () if ask.rows is None else (ask.rows,)
    of_columns = [limit_at((ask.columns, row.key)) for row in board.columns]
    of_rows = [limit_at((ask.rows, row.key)) for row in board.rows]
    of_cells = [limit_at((ask.columns, row.column), *((axis, row.row) for axis in rows_axis)) for row in board.cells]
    shown = {limit for limit in (*of_columns, *of_rows, *of_cells) if limit is not None}
    found = await counts(view, shown, moment)
    return replace(
        board,
        columns=[_line(row, limit, found) for row, limit in zip(board.columns, of_columns, strict=True)],
        rows=[_line(row, limit, found) for row, limit in zip(board.rows, of_rows, strict=True)],
        cells=[_cell(row, limit, found) for row, limit in zip(board.cells, of_cells, strict=True)],
    )


def _line(row: BoardLineRow, limit: WipLimit | None, found: Mapping[str, int]) -> BoardLineRow:
    if limit is None:
        return row
    return replace(row, wip_limit=limit.limit, wip_hard=limit.hard, wip_exceeded=found[limit.place] > limit.limit)


def _cell(row: BoardCellRow, limit: WipLimit | None, found: Mapping[str, int]) -> BoardCellRow:
    if limit is None:
        return row
    return replace(row, wip_limit=limit.limit, wip_exceeded=found[limit.place] > limit.limit)
