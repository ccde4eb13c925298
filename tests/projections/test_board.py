"""Boards: cells of any two axes, exact counts, cards, and the board as it was."""

import random
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import msgspec
import pytest
from psycopg import sql

from application.event_store.database import Role as DatabaseRole
from application.handling import state_in
from domain.errors import Refused
from domain.people import PersonKind
from domain.tickets import (
    AddComment,
    AssignTicket,
    ChangeRole,
    Priority,
    SetPriority,
    Ticket,
    TicketCommand,
    TransitionTicket,
)
from domain.workflows import DefineRole, DefineWorkflow, Role, Status, StatusCategory, Transition, Workflow
from projections import board as boards
from projections import directory
from projections.board import BoardAsk, board, board_cell, cell_count
from projections.filters import (
    BoardAxis,
    CategoryFilter,
    IdFilter,
    KeyFilter,
    PageAsk,
    TextFilter,
    TicketFilter,
    TimeFilter,
)
from projections.reading import NOW, BadInput, Moment, View
from projections.rows import BoardLineRow, BoardRow, TicketRow
from projections.tickets import count
from tests.projections.conftest import World, hour


def board_of(world: World, moment: Moment = NOW, **asked: Any) -> BoardRow:
    return world.ask(board, BoardAsk(**asked), moment)


def counts(found: BoardRow) -> dict[tuple[str, str | None], int]:
    return {(cell.column, cell.row): cell.count for cell in found.cells}


def lines(found: list[BoardLineRow]) -> list[tuple[str, int]]:
    return [(line.key, line.count) for line in found]


def workflow_of(key: str, *statuses: str, name: str = "A workflow", first: str | None = None) -> Workflow:
    """Every way is open. The first status is NEW, one called done is DONE, the others ACTIVE."""
    categories = {statuses[0]: StatusCategory.NEW, "done": StatusCategory.DONE}
    return Workflow(
        key=key,
        name=name,
        initial=first or statuses[0],
        statuses=tuple(
            Status(key=one, name=f"{one} of {key}", category=categories.get(one, StatusCategory.ACTIVE))
            for one in statuses
        ),
        transitions=tuple(Transition(source="*", target=one) for one in statuses),
    )


# ---- cells and lines


def test_a_board_by_status_counts_and_shows_cards_in_rank_order(world: World) -> None:
    for n in range(3):
        world.open(f"Task {n}")
    moved = world.open("Moved")
    world.do(TransitionTicket(ticket=moved, status="cancelled"))
    world.open("Another workflow", "LEAD")
    world.project()

    found = board_of(world, workflow="task")
    assert counts(found) == {("todo", None): 3, ("cancelled", None): 1}
    assert found.total_count == 4
    assert found.rows == []
    todo = next(cell for cell in found.cells if cell.column == "todo")
    assert [card.title for card in todo.cards] == ["Task 0", "Task 1", "Task 2"]
    assert len(todo.page.cursors) == 3
    assert lines(found.columns) == [
        ("todo", 3),
        ("in_progress", 0),
        ("blocked", 0),
        ("review", 0),
        ("done", 0),
        ("cancelled", 1),
    ]
    assert [line.status.name for line in found.columns if line.status][:2] == ["To do", "In progress"]


def test_any_two_axes_give_a_table_whose_cells_are_exact(world: World) -> None:
    anna, line, site = world.person("Anna"), world.team("line1"), world.service("site")
    random_ = random.Random(7)
    for n in range(30):
        opened = world.open(
            f"Ticket {n}",
            random_.choice(["TASK", "LEAD", "INCIDENT"]),
            assignee=random_.choice([anna, None]),
            team=random_.choice([line, None]),
            service=random_.choice([site, None]),
            priority=random_.choice(list(Priority)),
        )
        if n % 5 == 0:
            world.do(
                TransitionTicket(ticket=opened, status=("lost" if _role(world, opened) == "LEAD" else "cancelled"))
            )
    world.project()
    rows = world.listed().nodes

    def value(row: TicketRow, axis: BoardAxis | None) -> str | None:
        return None if axis is None else str(getattr(row, axis.value.lower()) or "")

    axes = [axis for axis in BoardAxis if axis is not BoardAxis.FIELD]  # which names a field besides
    for columns, by_row in product(axes, [None, *axes]):
        found = board_of(world, columns=columns, rows=by_row, cards_per_cell=100)
        expected = Counter((value(row, columns), value(row, by_row)) for row in rows)
        assert counts(found) == expected, (columns, by_row)
        assert found.total_count == 30
        assert sum(line.count for line in found.columns) == 30
        assert sum(line.count for line in found.rows) == (30 if by_row else 0)
        assert {cell.column for cell in found.cells} <= {line.key for line in found.columns}
        assert {cell.row for cell in found.cells} - {None} <= {line.key for line in found.rows}
        for cell in found.cells:
            assert len(cell.cards) == cell.count
            assert [card.rank for card in cell.cards] == sorted(card.rank for card in cell.cards)


def _role(world: World, id_: UUID) -> str:

    state = state_in(world.store.workspace(world.workspace.id).load([id_]), id_, Ticket)
    assert state is not None
    return state.role


def test_lines_are_named_ordered_and_point_to_what_they_stand_for(world: World) -> None:
    boris, anna = world.person("boris"), world.person("Anna")
    line, site = world.team("line1", "First line"), world.service("site", "The site")
    world.open(assignee=boris, team=line, service=site, priority=Priority.LOW)
    world.open(assignee=anna)
    world.open()
    world.project()

    by_person = board_of(world, columns=BoardAxis.ASSIGNEE).columns
    assert [(line.key, line.name, line.person) for line in by_person] == [
        ("", "Unassigned", None),
        (str(anna), "Anna", anna),
        (str(boris), "boris", boris),
    ]
    by_team = board_of(world, columns=BoardAxis.TEAM).columns
    assert [(one.name, one.team, one.count) for one in by_team] == [("No team", None, 2), ("First line", line, 1)]
    by_service = board_of(world, columns=BoardAxis.SERVICE).columns
    assert [(one.name, one.service, one.count) for one in by_service] == [
        ("No service", None, 2),
        ("The site", site, 1),
    ]
    by_priority = board_of(world, columns=BoardAxis.PRIORITY).columns
    assert lines(by_priority) == [("CRITICAL", 0), ("HIGH", 0), ("NORMAL", 2), ("LOW", 1)]
    by_category = board_of(world, columns=BoardAxis.CATEGORY).columns
    assert lines(by_category)[0] == ("NEW", 3)
    assert len(by_category) == 6
    assert [(one.key, one.name) for one in board_of(world, columns=BoardAxis.ROLE).columns] == [("TASK", "Task")]
    assert [(one.key, one.name) for one in board_of(world, columns=BoardAxis.WORKFLOW).columns] == [("task", "Task")]


def test_an_empty_board_still_has_the_statuses_of_its_workflow(world: World) -> None:
    world.project()
    found = board_of(world, workflow="task")
    assert (found.cells, found.total_count, len(found.columns)) == ([], 0, 6)
    assert found.position > 0
    assert board_of(world).columns == []


def test_an_unknown_workflow_is_bad_input_that_names_the_known_ones(world: World) -> None:
    world.project()
    with pytest.raises(BadInput, match="task"):
        board_of(world, workflow="nowhere")
    with pytest.raises(BadInput):
        world.ask(board_cell, BoardAsk(workflow="nowhere"), "todo", None, PageAsk(), NOW)


def test_workflows_that_share_a_status_key_share_its_column(world: World) -> None:
    for key in ("first", "second"):
        world.do(DefineWorkflow(workflow=workflow_of(key, "shared", "done", name=key)))
        world.do(DefineRole(role=Role(key=key.upper(), name=key, workflow=key)))
    for role in ("SECOND", "FIRST", "SECOND"):
        world.open(role=role)
    world.project()

    def shared(**filter_: Any) -> BoardLineRow:
        (line,) = board_of(world, filter=TicketFilter(**filter_)).columns
        return line

    assert (shared().count, shared().name) == (3, "shared of first")
    # Where only one of them is on the board, the line says what that one calls it, with or without cards.
    assert shared(role=KeyFilter(eq="SECOND")).name == "shared of second"
    (line,) = board_of(world, filter=TicketFilter(role=KeyFilter(eq="SECOND")), cards_per_cell=0).columns
    assert (line.name, line.count) == ("shared of second", 2)


def test_a_status_that_only_an_older_version_has_stands_after_the_newest_ones(world: World) -> None:
    world.do(DefineWorkflow(workflow=workflow_of("own", "idea", "trial", "done")))
    world.do(DefineRole(role=Role(key="OWN", name="Own", workflow="own")))
    opened = world.open(role="OWN")
    world.do(TransitionTicket(ticket=opened, status="trial"))
    world.do(DefineWorkflow(workflow=workflow_of("own", "idea", "done")))
    world.open(role="OWN")
    world.project()
    for cards in (0, 50):
        found = board_of(world, workflow="own", cards_per_cell=cards)
        assert lines(found.columns) == [("idea", 1), ("done", 0), ("trial", 1)]
        last = found.columns[-1].status
        assert last is not None
        assert last.name == "trial of own"
        # A row that bears the same key as a status says nothing about columns.
        assert lines(board_of(world, rows=BoardAxis.WORKFLOW, cards_per_cell=cards).columns) == [
            ("idea", 1),
            ("trial", 1),
        ]


def test_a_board_names_what_was_defined_after_its_request_had_come(world: World) -> None:
    world.project()
    view = world.models.view(world.admin)
    world.run(view.wait_for_workflows(0))  # as the check of a token does
    assert world.run(board(view, BoardAsk(), NOW)).columns == []
    world.do(DefineWorkflow(workflow=workflow_of("own", "idea", "done")))
    world.do(DefineRole(role=Role(key="OWN", name="Own", workflow="own")))
    world.open(role="OWN")
    world.project()
    assert [line.name for line in world.run(board(view, BoardAsk(), NOW)).columns] == ["idea of own"]


def test_statuses_of_several_workflows_stand_by_category(world: World) -> None:
    for role in ("TASK", "LEAD", "INCIDENT"):
        world.open(role=role)
    cancelled = world.open("x")
    world.do(TransitionTicket(ticket=cancelled, status="cancelled"))
    world.project()
    found = board_of(world)
    categories = [line.status.category for line in found.columns if line.status]
    assert categories == sorted(categories, key=list(StatusCategory).index)
    assert len(categories) == len(found.columns)


# ---- cards


def test_a_board_shows_500_cards_in_all_shared_among_its_cells(world: World) -> None:
    with pytest.raises(BadInput):
        board_of(world, cards_per_cell=501)
    with pytest.raises(BadInput):
        board_of(world, cards_per_cell=-1)
    world.project()
    _fill(world, 1_203)

    (cell,) = board_of(world, cards_per_cell=500).cells
    assert (cell.count, len(cell.cards)) == (1_203, 500)
    (cell,) = board_of(world).cells
    assert len(cell.cards) == 50
    found = board_of(world, columns=BoardAxis.PRIORITY, cards_per_cell=500)
    assert [cell.count for cell in found.cells] == [301, 302, 300, 300]
    assert [len(cell.cards) for cell in found.cells] == [125] * 4
    found = board_of(world, columns=BoardAxis.PRIORITY, cards_per_cell=3)
    assert [len(cell.cards) for cell in found.cells] == [3] * 4
    found = board_of(world, columns=BoardAxis.PRIORITY, cards_per_cell=0)
    assert [len(cell.cards) for cell in found.cells] == [0] * 4
    assert found.total_count == 1_203
    found = board_of(world, columns=BoardAxis.ASSIGNEE, cards_per_cell=500)  # more cells than cards
    assert len(found.cells) == 1_203
    assert sum(len(cell.cards) for cell in found.cells) == 0


def _fill(world: World, wanted: int) -> None:
    """Copies one real span; each copy in a cell of its own by person, in one of four by priority."""
    world.open()
    world.project()
    with world.database.connect(DatabaseRole.PROJECTOR) as connection:
        connection.execute(
            "insert into span select s.workspace, gen_random_uuid(), s.version, s.opened_position, s.closed_position,"
            " s.occurred_from, s.occurred_to, n, s.external_key, s.title, s.role, s.workflow, s.workflow_version,"
            " s.status, s.category, s.status_since, 'a' || lpad(n::text, 12, '0'), n %% 4, s.channel,"
            " gen_random_uuid(), s.contributors, s.team, s.requester, s.service, s.parent, s.tags, s.fields,"
            " s.start_at, s.due_at, s.opened_at, s.closed_at"
            " from span s, generate_series(1000, 998 + %s) n",
            (wanted,),
        )
        connection.execute("update span set priority = 1 where number = 1")


def test_the_pages_of_a_cell_go_on_exactly_after_the_cards_of_the_board(world: World) -> None:
    anna = world.person("Anna")
    for n in range(11):
        world.open(f"Ticket {n}", assignee=anna if n % 2 else None)
    world.project()
    boards_asked: list[dict[str, Any]] = [
        {"workflow": "task"},
        {"columns": BoardAxis.ASSIGNEE, "rows": BoardAxis.STATUS},
        {"columns": BoardAxis.CATEGORY, "rows": BoardAxis.ASSIGNEE},
        {"rows": BoardAxis.PRIORITY, "filter": TicketFilter(title=TextFilter(contains="1"))},
    ]
    for asked in boards_asked:
        whole = {(c.column, c.row): [card.key for card in c.cards] for c in board_of(world, **asked).cells}
        for cell in board_of(world, cards_per_cell=2, **asked).cells:
            keys = [card.key for card in cell.cards]
            cursor: str | None = cell.page.cursors[-1]
            while cursor:
                page = world.ask(
                    board_cell, BoardAsk(**asked), cell.column, cell.row, PageAsk(first=2, after=cursor), NOW
                )
                keys += [row.key for row in page.nodes]
                cursor = page.cursors[-1] if page.has_next else None
            assert keys == whole[cell.column, cell.row]
            assert world.ask(cell_count, BoardAsk(**asked), cell.column, cell.row, NOW) == cell.count == len(keys)


def test_a_cell_is_named_by_its_column_and_row_and_read_forwards(world: World) -> None:
    world.open()
    world.project()
    two = BoardAsk(rows=BoardAxis.ASSIGNEE)
    assert len(world.ask(board_cell, two, "todo", "", PageAsk(), NOW).nodes) == 1
    assert world.ask(board_cell, two, "todo", "nobody", PageAsk(), NOW).nodes == []
    for ask, row, page in (
        (two, None, PageAsk()),
        (BoardAsk(), "", PageAsk()),
        (two, "", PageAsk(last=1)),
        (two, "", PageAsk(before="WzFd")),
        (two, "", PageAsk(first=101)),
        (two, "", PageAsk(after="garbage")),
        (two, "", PageAsk(after="WzFd")),
        (two, "\0", PageAsk()),
    ):
        with pytest.raises(BadInput):
            world.ask(board_cell, ask, "todo", row, page, NOW)


# ---- what stays on a board


def test_tickets_that_were_closed_long_ago_cost_a_live_board_nothing(world: World) -> None:
    _fill(world, 2_000)
    with world.database.connect(DatabaseRole.PROJECTOR) as connection:
        connection.execute(
            "update span set category = 'DONE', status = 'done', closed_at = opened_at - interval '1 year'"
            " where number > 1020"
        )
    with world.database.connect(DatabaseRole.OWNER) as connection:
        connection.execute("analyze span")
    assert board_of(world).total_count == 22

    async def plan(view: View) -> str:
        on_board = await boards.on_board(view, BoardAsk(), NOW, await directory.workflows(view))
        query = sql.SQL("explain analyze select s.ticket {}").format(on_board.source())
        return "\n".join(row[0] for row in await view.fetch(query, on_board.arguments))

    found = world.ask(plan)
    assert "span_standing" in found
    assert "Removed by Filter" not in found


def test_tickets_closed_more_than_14_days_ago_stay_out(world: World) -> None:
    now = datetime.now(UTC)
    for days in (20, 13):
        opened = world.open(f"Closed {days} days ago", at=now - timedelta(days=30))
        world.do(TransitionTicket(ticket=opened, status="done"), now - timedelta(days=days))
    world.open("Open", at=now - timedelta(days=30))
    world.project()

    assert counts(board_of(world, workflow="task")) == {("todo", None): 1, ("done", None): 1}
    assert world.ask(cell_count, BoardAsk(), "done", None, NOW) == 1
    # Looked at from then, it had been closed for a day.
    then = Moment(occurred_at=now - timedelta(days=19))
    assert counts(board_of(world, then)) == {("todo", None): 2, ("done", None): 1}
    edge = Moment(occurred_at=now - timedelta(days=6))
    assert counts(board_of(world, edge)) == {("todo", None): 1, ("done", None): 1}
    # In the days to come, nothing more is known, but time goes by: of a time of recording as well.
    later = now + timedelta(days=3)
    for moment in (Moment(occurred_at=later), world.moment(recorded_at=later)):
        assert counts(board_of(world, moment)) == {("todo", None): 1}
    position = board_of(world).position
    assert counts(board_of(world, Moment(position=position))) == counts(board_of(world))


def test_a_board_of_the_past_finds_every_span_however_long_it_lasted(world: World) -> None:
    chance = random.Random(7)
    for n in range(12):
        at = hour(chance.choice([0, 1 / 3600, 1, 1.5, 4]))
        ticket = world.open(f"Number {n}", at=at)
        for status in chance.choices(["in_progress", "blocked", "in_progress", "review", "todo", "done"], k=4):
            at += timedelta(seconds=chance.choice([0, 1, 2, 3, 64, 3600, 4096, 100_000, 2**25]))
            with suppress(Refused):
                world.do(TransitionTicket(ticket=ticket, status=status), min(at, datetime.now(UTC)))
    world.project()
    ends = world.rows("select occurred_from, opened_position from span order by random() limit 12")
    times = [at + timedelta(seconds=more) for at, _ in ends for more in (0, -0.000001, 1)]
    positions = [position - less for _, position in ends for less in (0, 1)]
    moments = [
        *(Moment(occurred_at=at) for at in times),
        *(Moment(position=position) for position in positions),
        *(Moment(occurred_at=at, position=position) for at in times[::5] for position in positions[::3]),
    ]
    for moment in moments:
        assert counts(board_of(world, moment)) == _counted(world, moment), moment


def _counted(world: World, moment: Moment) -> dict[tuple[str, str | None], int]:
    """By a look at every span."""
    instant = world.run(world.view().instant(moment))
    found = world.rows(
        f"select status, count(*) from span s where {_at(moment)}"
        f" and coalesce(closed_at, 'infinity') > '{instant - timedelta(days=14)}' group by 1"
    )
    return {(status, None): number for status, number in found}


def _at(moment: Moment) -> str:
    known = f"<= {moment.position}" if moment.position is not None else "is not null"
    ended = [
        *([f"occurred_to <= '{moment.occurred_at}'"] if moment.occurred_at else []),
        *([f"closed_position <= {moment.position}"] if moment.position is not None else []),
    ]
    begun = f"and occurred_from <= '{moment.occurred_at}'" if moment.occurred_at else ""
    return f"opened_position {known} {begun} and (closed_position is null or not ({' and '.join(ended)}))"


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ({"status": KeyFilter(eq="done")}, 1),
        ({"category": CategoryFilter(in_=[StatusCategory.DONE])}, 1),
        ({"closed_at": TimeFilter(is_null=False)}, 1),
        ({"not_": TicketFilter(or_=[TicketFilter(status=KeyFilter(eq="todo"))])}, 1),
        ({"role": KeyFilter(eq="TASK")}, 1),
        ({"title": TextFilter(eq="Old")}, 0),
        ({"updated_at": TimeFilter(gte=datetime(2020, 1, 1, tzinfo=UTC))}, 1),
    ],
)
def test_a_filter_that_speaks_of_closing_decides_itself(world: World, named: dict[str, Any], expected: int) -> None:
    opened = world.open("Old", at=hour(0))
    world.do(TransitionTicket(ticket=opened, status="done"), hour(1))
    world.open("Open", "TASK", at=hour(0))
    world.project()
    assert board_of(world, filter=TicketFilter(**named)).total_count == expected


def test_a_board_filters_by_updated_at_but_not_as_of_a_moment(world: World) -> None:
    opened, _ = world.open("Talked about", at=hour(0)), world.open("Quiet", at=hour(0))
    world.do(AddComment(ticket=opened, body="hm"), hour(5))
    world.project()
    recent = TicketFilter(updated_at=TimeFilter(gt=hour(1)))
    found = board_of(world, filter=recent, rows=BoardAxis.ASSIGNEE)
    assert [[card.title for card in cell.cards] for cell in found.cells] == [["Talked about"]]
    page = world.ask(board_cell, BoardAsk(filter=recent), "todo", None, PageAsk(), NOW)
    assert [row.title for row in page.nodes] == ["Talked about"]
    with pytest.raises(BadInput, match="updatedAt"):
        board_of(world, Moment(occurred_at=hour(9)), filter=recent)


def test_the_first_and_the_last_instant_of_time_are_moments_too(world: World) -> None:
    world.open()
    world.project()
    assert board_of(world, Moment(occurred_at=datetime.min.replace(tzinfo=UTC))).total_count == 0
    assert board_of(world, Moment(occurred_at=datetime.max.replace(tzinfo=UTC))).total_count == 1
    assert board_of(world, Moment(position=0)).total_count == 0


def test_a_requester_has_a_board_of_their_own_tickets(world: World) -> None:
    clara = world.person("Clara", PersonKind.CLIENT)
    world.open("Hers", "INQUIRY", at=hour(0), requester=clara)
    world.open("Not hers", "INQUIRY", at=hour(0))
    world.project()
    for moment in (NOW, Moment(occurred_at=hour(1)), Moment(position=10**6)):
        found = world.ask_as(world.requester(clara), board, BoardAsk(), moment)
        assert [[card.title for card in cell.cards] for cell in found.cells] == [["Hers"]]
        cell = (BoardAsk(), "new", None)
        assert len(world.ask_as(world.requester(clara), board_cell, *cell, PageAsk(), moment).nodes) == 1
        assert world.ask_as(world.requester(clara), cell_count, *cell, moment) == 1
        assert world.ask_as(world.admin, cell_count, *cell, moment) == 2


# ---- the board as it was


def _comparable(found: BoardRow) -> tuple[Any, ...]:
    """All that a board shows, but for the moment that its cards were asked of and the position."""
    cells = [
        (cell.column, cell.row, cell.count, [msgspec.structs.replace(card, moment=NOW) for card in cell.cards])
        for cell in found.cells
    ]
    return found.columns, found.rows, cells, found.total_count


def test_the_board_as_of_a_moment_is_the_board_that_was_seen_then(world: World) -> None:
    """A random history in real time; after each command the live board is kept, and asked for again at the end by
    position, by time of recording and by time of occurrence."""
    random_ = random.Random(42)
    people = [world.person(name) for name in ("Anna", "Boris")]
    asks = [
        BoardAsk(),
        BoardAsk(columns=BoardAxis.ASSIGNEE, rows=BoardAxis.STATUS),
        BoardAsk(workflow="task", rows=BoardAxis.PRIORITY),
    ]
    opened: list[UUID] = []
    kept: list[tuple[int, datetime, list[tuple[Any, ...]]]] = []
    for _ in range(60):
        try:
            _something(world, random_, opened, people)
        except Refused:
            continue
        world.project()
        boards = [world.ask(board, ask, NOW) for ask in asks]
        kept.append((boards[0].position, world.moment_now(), [_comparable(one) for one in boards]))
    assert len(kept) > 40
    for position, at, then in kept:
        by_position, by_recording = world.moment(position=position), world.moment(recorded_at=at)
        by_occurrence = world.moment(occurred_at=at)
        both = world.moment(position=position, occurred_at=at)
        for moment in (by_position, by_recording, by_occurrence, both):
            assert [_comparable(world.ask(board, ask, moment)) for ask in asks] == then


def _something(world: World, random_: random.Random, opened: list[UUID], people: list[UUID]) -> None:
    if not opened or random_.random() < 0.2:
        opened.append(world.open(f"Ticket {len(opened)}", random_.choice(["TASK", "INQUIRY"])))
        return
    ticket = random_.choice(opened)
    commands: list[TicketCommand] = [
        AssignTicket(ticket=ticket, assignee=random_.choice([*people, None])),
        TransitionTicket(ticket=ticket, status=random_.choice(["in_progress", "done", "cancelled", "todo"])),
        SetPriority(ticket=ticket, priority=random_.choice(list(Priority))),
        ChangeRole(ticket=ticket, role=random_.choice(["TASK", "BUG", "INQUIRY"])),
        AddComment(ticket=ticket, body="hm"),
    ]
    world.do(random_.choice(commands))


def test_the_position_of_a_board_is_where_its_cards_stand(world: World) -> None:
    opened = world.do(SetPriority(ticket=world.open(), priority=Priority.HIGH))
    world.project()
    assert board_of(world).position == opened.position
    assert board_of(world, Moment(position=7)).position == 7
    assert world.ask(count, TicketFilter(assignee=IdFilter(is_null=True)), None, NOW) == 1
