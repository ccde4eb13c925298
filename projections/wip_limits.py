"""Limits on work in progress beside what stands there: marked on boards, and counted for those who set them."""

from typing import Any
from uuid import UUID

from msgspec.structs import replace

from domain.wip_limits import SetWipLimit
from domain.workflow_state import WipLimit, Workflows
from domain.workflow_state import place as place_of
from projections.board import BoardAsk
from projections.filters import BoardAxis
from projections.reading import View
from projections.rows import BoardCellRow, BoardLineRow, BoardRow

_STANDS_THERE = """
s.workspace = %(workspace)s and s.standing = 'infinity' and s.workflow = l.workflow
and (l.status is null or s.status = l.status) and (l.person is null or s.assignee = l.person)
"""


async def counts(view: View, limits: list[WipLimit]) -> dict[str, int]:
    """How many open tickets stand in each of these places, by its key."""
    rows = await view.fetch(
        "select l.place, count(s.ticket)"
        "  from unnest(%(places)s::text[], %(workflows)s::text[], %(statuses)s::text[], %(people)s::uuid[])"
        "    as l(place, workflow, status, person)"
        f"  left join span s on {_STANDS_THERE} group by l.place",
        {
            "places": [limit.place for limit in limits],
            "workflows": [limit.workflow for limit in limits],
            "statuses": [limit.status for limit in limits],
            "people": [limit.person for limit in limits],
        },
    )
    return dict(rows)


async def cards(view: View, command: SetWipLimit, most: int) -> tuple[list[UUID], int]:
    """The tickets that stand in a place, `most` and one more at most, and the position up to which they are known."""
    rows = await view.fetch(
        "select t.position, s.ticket from tracking t"
        "  cross join (select %(workflow)s::text as workflow, %(status)s::text as status, %(person)s::uuid as person) l"
        f"  left join span s on {_STANDS_THERE}"
        " where t.name = 'spans' limit %(most)s",
        {"workflow": command.workflow, "status": command.status, "person": command.person, "most": most + 1},
    )
    return [ticket for _, ticket in rows if ticket is not None], rows[0][0]


async def marked(view: View, board: BoardRow, ask: BoardAsk, known: Workflows) -> BoardRow:
    """The board of one workflow, as it stands now, with its limits. What the board's filter leaves out counts too."""
    limits = [limit for limit in known.wip_limits.values() if limit.workflow == ask.workflow]
    if not limits:
        return board
    found = await counts(view, limits)
    exceeded = {limit.place: found.get(limit.place, 0) > limit.limit for limit in limits}

    def limit_at(*keys: tuple[BoardAxis | None, str | None]) -> WipLimit | None:
        at: dict[Any, str | None] = dict(keys)
        if at.keys() - {BoardAxis.STATUS, BoardAxis.ASSIGNEE} or "" in at.values():
            return None
        person = at.get(BoardAxis.ASSIGNEE)
        place = place_of(ask.workflow or "", at.get(BoardAxis.STATUS), UUID(person) if person else None)
        return known.wip_limits.get(place)

    def line(row: BoardLineRow, axis: BoardAxis | None) -> BoardLineRow:
        limit = limit_at((axis, row.key))
        if limit is None:
            return row
        return replace(row, wip_limit=limit.limit, wip_hard=limit.hard, wip_exceeded=exceeded[limit.place])

    def cell(row: BoardCellRow) -> BoardCellRow:
        limit = limit_at((ask.columns, row.column), *(() if ask.rows is None else ((ask.rows, row.row),)))
        if limit is None:
            return row
        return replace(row, wip_limit=limit.limit, wip_exceeded=exceeded[limit.place])

    return replace(
        board,
        columns=[line(row, ask.columns) for row in board.columns],
        rows=[line(row, ask.rows) for row in board.rows],
        cells=[cell(row) for row in board.cells],
    )
