"""The board: tickets in the cells of one or two axes, counted exactly, the first of each cell as cards."""

from collections.abc import Collection, Iterable, Sequence
from datetime import timedelta
from typing import Any, Literal, LiteralString
from uuid import UUID

import msgspec
from psycopg import sql

from domain.custom_fields import FieldType
from domain.errors import StatusNotFound
from domain.workflows import Status, StatusCategory, Workflows
from projections import directory, spans, tickets
from projections.conditions import names
from projections.filters import BoardAxis, PageAsk, TicketFilter
from projections.reading import (
    BadInput,
    Moment,
    Page,
    ReadModelBehind,
    View,
    decode_cursor,
    page_of,
    page_size,
)
from projections.rows import BoardCellRow, BoardLineRow, BoardRow, TicketRow
from projections.spans import PRIORITIES
from projections.tickets import Matching

CARDS_LIMIT = 500
"""Cards of one board, over all its cells."""
CLOSED_STAY = timedelta(days=14)
"""How long a closed ticket stays on a board whose filter says nothing about closing."""
NOTHING = ""
"""Key of the line of tickets that have no value on the axis."""

_AXES: dict[BoardAxis, LiteralString] = {
    BoardAxis.STATUS: "s.status",
    BoardAxis.CATEGORY: "s.category",
    BoardAxis.ASSIGNEE: "coalesce(s.assignee::text, '')",
    BoardAxis.TEAM: "coalesce(s.team::text, '')",
    BoardAxis.PRIORITY: "(array['CRITICAL', 'HIGH', 'NORMAL', 'LOW'])[s.priority + 1]",
    BoardAxis.SERVICE: "coalesce(s.service::text, '')",
    BoardAxis.ROLE: "s.role",
    BoardAxis.WORKFLOW: "s.workflow",
    BoardAxis.PARENT: "coalesce(s.parent::text, '')",
}
_FIELDS: dict[str, LiteralString] = {
    "columns": "coalesce(s.fields ->> %(columns_field)s::text, '')",
    "rows": "coalesce(s.fields ->> %(rows_field)s::text, '')",
}


class BoardAsk(msgspec.Struct, frozen=True, kw_only=True):
    columns: BoardAxis = BoardAxis.STATUS
    rows: BoardAxis | None = None
    workflow: str | None = None
    filter: TicketFilter | None = None
    cards_per_cell: int = 50
    columns_field: str | None = None
    rows_field: str | None = None

    def field(self, axis: str) -> str | None:
        """Of the axis `columns` or `rows`: the custom field that it goes by."""
        return self.columns_field if axis == "columns" else self.rows_field


async def board(view: View, ask: BoardAsk, moment: Moment, wanted: Collection[str] | None = None) -> BoardRow:
    """Cells without a ticket are left out. `wanted`: attributes of the cards that will be looked at; None: all.
    Raises BadInput, ReadModelBehind."""
    if not 0 <= ask.cards_per_cell <= CARDS_LIMIT:
        raise BadInput(f"cardsPerCell is 0 to {CARDS_LIMIT}.")
    workflows = await directory.workflows(view)
    standing = await on_board(view, ask, moment, workflows)
    columns = tickets.columns(wanted)
    rows = await view.fetch(
        sql.SQL(_BOARD).format(
            column=_axis(ask, "columns"),
            row=_axis(ask, "rows"),
            source=standing.source(),
            columns=tickets.select(columns),
        ),
        {**standing.arguments, "per_cell": ask.cards_per_cell, "cards_limit": CARDS_LIMIT},
    )
    cells = _cells(rows, columns, moment, by_row=ask.rows is not None)

    async def lines(workflows: Workflows) -> tuple[list[BoardLineRow], list[BoardLineRow]]:
        drawn = _Lines(view, ask, workflows, moment)
        return (
            await drawn.along(
                "columns", _sums((cell.column, cell.count) for cell in cells), _versions_by_key(rows, _COLUMN)
            ),
            await drawn.along(
                "rows", _sums((cell.row or NOTHING, cell.count) for cell in cells), _versions_by_key(rows, _ROW)
            ),
        )

    try:
        column_lines, row_lines = await lines(workflows)
    except ReadModelBehind:  # what tickets stand on was defined after the workflows were read
        await view.wait_for_workflows(rows[0][_POSITION])
        column_lines, row_lines = await lines(await directory.workflows(view))
    return BoardRow(
        columns=column_lines,
        rows=row_lines,
        cells=cells,
        total_count=sum(cell.count for cell in cells),
        position=moment.position if moment.position is not None else rows[0][_POSITION],
    )


async def board_cell(
    view: View,
    ask: BoardAsk,
    column: str,
    row: str | None,
    page: PageAsk,
    moment: Moment,
    wanted: Collection[str] | None = None,
) -> Page[TicketRow]:
    """More cards of one cell, in rank order; `wanted` as of the board. Raises BadInput."""
    if page.last is not None or page.before is not None:
        raise BadInput("A cell is read forwards: first and after.")
    start = decode_cursor(page.after, tuple[str, int]) if page.after else None
    condition, arguments = await _cell(view, ask, column, row, moment)
    columns = tickets.columns(wanted)
    rows = await view.fetch(
        sql.SQL(
            "select {columns} {cell} and (%(rank)s::text is null or (s.rank, s.number) > (%(rank)s, %(number)s))"
            " order by s.rank, s.number limit %(limit)s"
        ).format(columns=tickets.select(columns), cell=condition),
        {
            **arguments,
            "rank": start[0] if start else None,
            "number": start[1] if start else None,
            "limit": page_size(page) + 1,
        },
    )
    cards = tickets.ticket_rows(tickets.in_columns(rows, columns), moment)
    return page_of([(card, (card.rank, card.number)) for card in cards], page)


async def cell_count(view: View, ask: BoardAsk, column: str, row: str | None, moment: Moment) -> int:
    condition, arguments = await _cell(view, ask, column, row, moment)
    rows = await view.fetch(sql.SQL("select count(*) {}").format(condition), arguments)
    return int(rows[0][0])


# Cells are counted and ranked on narrow rows; only the cards that are shown are read in full: by their place in the
# table, which stays as long as the snapshot, and which no plan can miss. The position comes of the same snapshot, so
# that what follows it is exactly what the board does not show; its row is there without cells. What is the same for
# all cards of a cell comes with the first of them.
_BOARD = """
with matching as (
  select s.ctid as place_in_table, s.rank, s.number, s.workflow, s.workflow_version,
         {column} as board_column, {row} as board_row {source}
), counted as (
  select board_column, board_row, workflow, workflow_version, count(*) as total from matching group by 1, 2, 3, 4
), cell as (
  select board_column, board_row, sum(total)::bigint as total,
         array_agg(array[workflow, workflow_version::text]) as versions
    from counted group by 1, 2
), share as (
  select least(%(per_cell)s::bigint, %(cards_limit)s / greatest(count(*), 1)) as cards from cell
), shown as materialized (
  select *
    from (select board_column, board_row, place_in_table,
                 row_number() over (partition by board_column, board_row order by rank, number) as place
            from matching) ranked
   where place <= (select cards from share)
)
select {columns}, case when r.place > 1 then null else c.board_column end,
       case when r.place > 1 then null else c.board_row end, case when r.place > 1 then null else c.total end,
       case when r.place > 1 then null else c.versions end, r.place, t.position
  from tracking t
  left join cell c on true
  left join shown r on r.board_column = c.board_column and r.board_row is not distinct from c.board_row
  left join span s on s.workspace = %(workspace)s and s.ctid = r.place_in_table
 where t.name = 'spans'
 order by c.board_column, c.board_row, r.place
"""


_COLUMN, _ROW, _TOTAL, _VERSIONS, _PLACE, _POSITION = range(-6, 0)


async def on_board(
    view: View, ask: BoardAsk, moment: Moment, workflows: Workflows, own: sql.Composable | None = None
) -> Matching:
    """The tickets that stand on a board. `own`: what says whose they are, if not as usual. Raises BadInput."""
    if ask.workflow is not None and ask.workflow not in workflows.versions:
        raise BadInput(f"There is no workflow {ask.workflow[:80]!r}. There are: {', '.join(workflows.versions)}.")
    _check_fields(ask, workflows)
    filter_ = ask.filter or TicketFilter()
    instead: sql.Composable | None = None
    table: sql.Composable = sql.SQL("span")
    also: list[sql.Composable] = []
    arguments: dict[str, Any] = {"columns_field": ask.columns_field, "rows_field": ask.rows_field}
    if not names(filter_, "status", "category", "closed_at"):
        arguments |= {"instant": await view.instant(moment), "closed_stay": CLOSED_STAY}
        if moment.live:
            instead = _STANDING
        else:
            also.append(_STOOD)
            table, more = spans.near(moment, arguments["instant"], CLOSED_STAY)
            arguments |= more
    if ask.workflow is not None:
        arguments["workflow"] = ask.workflow
        also.append(sql.SQL("s.workflow = %(workflow)s"))
    matching = Matching(view, filter_, None, moment, instead, own, table)
    matching.condition = sql.SQL(" and ").join([matching.condition, *also])
    matching.arguments |= arguments
    return matching


# One range of an index, which holds open spans alone: what was closed long ago costs a live board nothing.
_STANDING = sql.SQL("s.standing > %(instant)s::timestamptz - %(closed_stay)s::interval")
_STOOD = sql.SQL("coalesce(s.closed_at, 'infinity') > %(instant)s::timestamptz - %(closed_stay)s::interval")


async def _cell(
    view: View, ask: BoardAsk, column: str, row: str | None, moment: Moment
) -> tuple[sql.Composed, dict[str, Any]]:
    if (row is None) != (ask.rows is None):
        raise BadInput("A cell of a board with rows is named by column and row, of one without by column alone.")
    matching = await on_board(view, ask, moment, await directory.workflows(view))
    arguments = {**matching.arguments, "column": column}
    condition = sql.SQL("{} and {} = %(column)s").format(matching.source(), _axis(ask, "columns"))
    if ask.rows is not None and row is not None:
        condition = sql.SQL("{} and {} = %(row)s").format(condition, _axis(ask, "rows"))
        arguments["row"] = row
    return condition, arguments


def _axis(ask: BoardAsk, name: Literal["columns", "rows"]) -> sql.Composable:
    axis = ask.columns if name == "columns" else ask.rows
    if axis is None:
        return sql.SQL("null::text")
    return sql.SQL(_FIELDS[name] if axis is BoardAxis.FIELD else _AXES[axis])


def _check_fields(ask: BoardAsk, workflows: Workflows) -> None:
    """An axis by a field names one that has choices; no other axis names any. Raises BadInput."""
    for name, axis, key in (("columns", ask.columns, ask.columns_field), ("rows", ask.rows, ask.rows_field)):
        if (axis is BoardAxis.FIELD) is (key is None):
            raise BadInput(f"{name}Field goes with {name}: FIELD.")
        field = workflows.fields.get(key) if key is not None else None
        if key is not None and (field is None or field.type is not FieldType.CHOICE):
            raise BadInput(f"{name}Field names a custom field of type CHOICE; {key[:80]!r} is none.")


def _cells(
    rows: Sequence[Sequence[Any]], columns: Sequence[str], moment: Moment, *, by_row: bool
) -> list[BoardCellRow]:
    starts = [n for n, row in enumerate(rows) if row[_PLACE] in (None, 1) and row[_COLUMN] is not None]
    if not starts:
        return []
    # Every cell shows a card at least, or none does.
    shows = rows[0][_PLACE] is not None
    cards = tickets.ticket_rows(tickets.in_columns(rows, columns), moment) if shows else []
    return [
        BoardCellRow(
            column=rows[start][_COLUMN],
            row=rows[start][_ROW] if by_row else None,
            count=rows[start][_TOTAL],
            cards=cards[start:end],
        )
        for start, end in zip(starts, [*starts[1:], len(rows)], strict=True)
    ]


def _sums(counts: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for key, count in counts:
        sums[key] = sums.get(key, 0) + count
    return sums


_Versions = dict[str, set[tuple[str, int]]]
"""By key of a line: the workflows, and versions of them, that its tickets are on."""


def _versions_by_key(rows: Sequence[Sequence[Any]], key: int) -> _Versions:
    found: _Versions = {}
    for row in rows:
        for workflow, version in row[_VERSIONS] or ():
            found.setdefault(row[key], set()).add((workflow, int(version)))
    return found


class _Lines:
    """Names and orders the lines along an axis. Statuses of the board's workflow, categories and priorities are
    shown even where they are empty."""

    def __init__(self, view: View, ask: BoardAsk, workflows: Workflows, moment: Moment) -> None:
        self._view, self._ask, self._workflows, self._moment = view, ask, workflows, moment

    async def along(
        self, name: Literal["columns", "rows"], counts: dict[str, int], versions: _Versions
    ) -> list[BoardLineRow]:
        match self._ask.columns if name == "columns" else self._ask.rows:
            case None:
                return []
            case BoardAxis.STATUS:
                return self._statuses(counts, versions)
            case BoardAxis.CATEGORY:
                return [_line(key.value, key.value.capitalize(), counts) for key in StatusCategory]
            case BoardAxis.PRIORITY:
                return [_line(key.value, key.value.capitalize(), counts) for key in PRIORITIES]
            case BoardAxis.ROLE:
                roles = self._workflows.roles
                return [_line(key, roles[key].name if key in roles else key, counts) for key in sorted(counts)]
            case BoardAxis.WORKFLOW:
                return [_line(key, self._workflow_name(key), counts) for key in sorted(counts)]
            case BoardAxis.ASSIGNEE:
                people = await directory.people_by_ids(self._view, _ids(counts))
                return _by_name(counts, {str(id_): row.name for id_, row in people.items()}, "Unassigned", "person")
            case BoardAxis.TEAM:
                teams = await directory.teams_by_ids(self._view, _ids(counts))
                return _by_name(counts, {str(id_): row.name for id_, row in teams.items()}, "No team", "team")
            case BoardAxis.SERVICE:
                services = await directory.services_by_ids(self._view, _ids(counts))
                return _by_name(counts, {str(id_): row.name for id_, row in services.items()}, "No service", "service")
            case BoardAxis.PARENT:
                parents = await tickets.by_ids(self._view, _ids(counts), self._moment)
                return _by_name(counts, {str(id_): row.title for id_, row in parents.items()}, "No parent", "ticket")
            case BoardAxis.FIELD:
                return self._choices(self._ask.field(name), counts)

    def _choices(self, key: str | None, counts: dict[str, int]) -> list[BoardLineRow]:
        """All of the field, in their order, then those that tickets have from earlier definitions."""
        field = self._workflows.fields[key or ""]
        choices = {choice.key: choice.name for choice in field.choices}
        lines = [
            _line(key, choices.get(key, key), counts) for key in {**choices, **dict.fromkeys(sorted(counts))} if key
        ]
        return [_line(NOTHING, f"No {field.name}", counts), *lines] if NOTHING in counts else lines

    def _statuses(self, counts: dict[str, int], versions: _Versions) -> list[BoardLineRow]:
        """Of the named workflow all, in its own order, then those that only older versions have. Else those that
        tickets stand in, by category; workflows that share a status's key share the line."""
        newest = self._ask.workflow and self._workflows.newest(self._ask.workflow)
        statuses = list(enumerate(newest.statuses)) if newest else []
        known = {status.key for _, status in statuses}
        others = sorted(
            (self._status(key, versions[key]) for key in counts if key not in known),
            key=lambda placed: (_CATEGORY_ORDER[placed[1].category], placed[0], placed[1].key),
        )
        return [_line(status.key, status.name, counts, status=status) for _, status in (*statuses, *others)]

    def _status(self, key: str, on: set[tuple[str, int]]) -> tuple[int, Status]:
        """Its place and definition in the first of the workflows that its tickets are on: in the newest version, or in
        theirs where the newest has lost it. Raises ReadModelBehind."""
        order = list(self._workflows.versions)
        try:
            workflow = min((workflow for workflow, _ in on), key=order.index)
            definition = self._workflows.newest(workflow)
            if not definition.has(key):
                definition = self._workflows.version(workflow, max(v for one, v in on if one == workflow))
            status = definition.status(key)
        except (ValueError, IndexError, StatusNotFound):  # defined a moment ago: tickets came first
            raise ReadModelBehind("The directory of workflows is behind the tickets.") from None
        return definition.statuses.index(status), status

    def _workflow_name(self, key: str) -> str:
        return self._workflows.newest(key).name if key in self._workflows.versions else key


_CATEGORY_ORDER = {category: n for n, category in enumerate(StatusCategory)}


def _line(key: str, name: str, counts: dict[str, int], **more: Any) -> BoardLineRow:
    return BoardLineRow(key=key, name=name, count=counts.get(key, 0), **more)


def _ids(counts: dict[str, int]) -> list[UUID]:
    return [UUID(key) for key in counts if key != NOTHING]


def _by_name(counts: dict[str, int], names: dict[str, str], nobody: str, kind: str) -> list[BoardLineRow]:
    """By name; those that have nothing on the axis come first."""
    lines = [_line(key, names.get(key, key), counts, **{kind: UUID(key)}) for key in counts if key != NOTHING]
    lines.sort(key=lambda line: (line.name.casefold(), line.key))
    return [_line(NOTHING, nobody, counts), *lines] if NOTHING in counts else lines
