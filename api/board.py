"""Boards: tickets as a table over any two axes."""

from typing import Any

import strawberry
from strawberry import UNSET, Parent

from api.fields import Info, by, given
from api.filters import AsOf, TicketFilter, asked_tickets
from api.paging import Connection, ConnectionRow, page_ask
from api.people import Person, person
from api.prefetch import prefetch
from api.scalars import Position
from api.services import Service, service
from api.teams import Team, team
from api.ticket_fields import Ticket, attributes
from api.tickets import moment_of
from api.workflows import Status, StatusRow
from projections import board
from projections.board import BoardAsk
from projections.filters import BoardAxis
from projections.reading import NOW
from projections.rows import BoardCellRow, BoardLineRow, BoardRow, TicketRow
from projections.wip_limits import limits_at, marked


def _line_status(line: Parent[BoardLineRow], info: Info) -> StatusRow | None:
    status = line.status
    if status is None:
        return None
    order = next(
        (
            place
            for versions in info.context.workflows.versions.values()
            for place, one in enumerate(versions[-1].statuses)
            if one == status
        ),
        0,
    )
    return StatusRow(key=status.key, name=status.name, category=status.category, order=order, color=status.color)


def _line_person(line: Parent[BoardLineRow], info: Info) -> Any:
    return person(info, line.person)


def _line_team(line: Parent[BoardLineRow], info: Info) -> Any:
    return team(info, line.team)


async def _line_ticket(line: Parent[BoardLineRow], info: Info) -> TicketRow | None:
    """Of a line by PARENT."""
    return None if line.ticket is None else await info.context.loaders.tickets.load((line.ticket, NOW))


def _line_service(line: Parent[BoardLineRow], info: Info) -> Any:
    return service(info, line.service)


@strawberry.type(description='The line of tickets that have no value on the axis (unassigned, …) has the key "".')
class BoardLine:
    key: str
    name: str
    count: int
    wip_limit: int | None = strawberry.field(
        description="Of a board of one workflow; of a board of the past, the limit of then."
    )
    wip_hard: bool = strawberry.field(description="The limit refuses whoever would come on top.")
    wip_exceeded: bool = strawberry.field(
        description="More stand there than the limit allows, whatever the board's filter leaves out."
    )
    status: Status | None = by(_line_status)
    person: Person | None = by(_line_person)
    team: Team | None = by(_line_team)
    service: Service | None = by(_line_service)
    ticket: Ticket | None = by(_line_ticket)


def _cards(cell: Parent[BoardCellRow]) -> ConnectionRow[TicketRow]:
    """The first cards in rank order; `boardCell` has the rest, after `endCursor`."""

    async def count() -> int:
        return cell.count

    return ConnectionRow(cell.page, count)


@strawberry.type
class BoardCell:
    column: str
    row: str | None
    count: int
    wip_limit: int | None
    wip_exceeded: bool
    cards: Connection[Ticket] = by(_cards)


@strawberry.type
class Board:
    columns: list[BoardLine]
    rows: list[BoardLine]
    cells: list[BoardCell]
    total_count: int
    position: Position


async def _board(
    info: Info,
    workflow: str | None = UNSET,
    columns: BoardAxis = BoardAxis.STATUS,
    rows: BoardAxis | None = UNSET,
    filter: TicketFilter | None = UNSET,
    cards_per_cell: int | None = 50,
    as_of: AsOf | None = UNSET,
    min_position: Position | None = UNSET,
    columns_field: str | None = UNSET,
    rows_field: str | None = UNSET,
) -> BoardRow:
    """A board is a table: columns, and rows if asked for. By process: columns STATUS. By person: columns ASSIGNEE,
    rows STATUS. Each cell has its exact count and its first min(cardsPerCell, 500 / cells) cards in rank order.
    Tickets closed more than 14 days ago (by the moment looked at) stay out unless the filter says otherwise."""
    moment = await moment_of(info, as_of, min_position)
    ask = BoardAsk(
        workflow=given(workflow),
        columns=columns,
        rows=given(rows),
        columns_field=given(columns_field),
        rows_field=given(rows_field),
        filter=asked_tickets(info, filter),
        cards_per_cell=50 if cards_per_cell is None else cards_per_cell,
    )
    shown = await board.board(info.context.view, ask, moment, attributes(info))
    if ask.workflow is not None:
        view = info.context.view
        limits = info.context.workflows.wip_limits if moment.live else await limits_at(view, moment)
        shown = await marked(view, shown, ask, limits, moment)
    await prefetch(info, [card for cell in shown.cells for card in cell.cards])
    return shown


async def _board_cell(
    info: Info,
    column: str,
    workflow: str | None = UNSET,
    columns: BoardAxis = BoardAxis.STATUS,
    rows: BoardAxis | None = UNSET,
    row: str | None = UNSET,
    filter: TicketFilter | None = UNSET,
    first: int | None = UNSET,
    after: str | None = UNSET,
    as_of: AsOf | None = UNSET,
    min_position: Position | None = UNSET,
    columns_field: str | None = UNSET,
    rows_field: str | None = UNSET,
) -> ConnectionRow[TicketRow]:
    """More cards of one cell; the same arguments as the board, and the cell's keys."""
    moment = await moment_of(info, as_of, min_position)
    ask = BoardAsk(
        workflow=given(workflow),
        columns=columns,
        rows=given(rows),
        columns_field=given(columns_field),
        rows_field=given(rows_field),
        filter=asked_tickets(info, filter),
        cards_per_cell=0,
    )
    view = info.context.view
    page = await board.board_cell(view, ask, column, given(row), page_ask(first, after), moment, attributes(info))
    await prefetch(info, page.nodes)
    return ConnectionRow(page, lambda: board.cell_count(view, ask, column, given(row), moment))


@strawberry.type
class BoardQueries:
    board: Board = by(_board)
    board_cell: Connection[Ticket] = by(_board_cell)
