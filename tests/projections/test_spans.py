"""Spans: how a ticket stood from when to when, and since when that was known."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest

from domain.access import Actor, Scope
from domain.errors import OccurredBeforeLast
from domain.people import PersonKind
from domain.tickets import AddComment, AssignTicket, ChangeRole, Priority, SetPriority, TransitionTicket
from projections.filters import AsOf, PageAsk
from projections.reading import NOW, BadInput, Moment
from projections.rows import SpanRow, TicketRow
from projections.spans import span_counts, spans
from projections.tickets import ticket
from tests.projections.conftest import START, World, hour


def spans_of(world: World, id_: UUID, moment: Moment = NOW, actor: Actor | None = None) -> list[SpanRow]:
    page = world.of_as(actor or world.admin, id_, spans, PageAsk(first=100), moment)
    assert world.of_as(actor or world.admin, id_, span_counts, moment) == len(page.nodes)
    return page.nodes


def shown(world: World, id_: UUID, moment: Moment = NOW, actor: Actor | None = None) -> TicketRow | None:
    return world.ask_as(actor or world.admin, ticket, id=id_, key=None, moment=moment)


def status_at(world: World, id_: UUID, moment: Moment = NOW) -> str | None:
    row = shown(world, id_, moment)
    return row.status if row else None


def test_a_change_closes_one_span_and_opens_the_next_at_the_same_instant(world: World) -> None:
    anna = world.person("Anna")
    opened = world.open(at=hour(0))
    assigned = world.do(AssignTicket(ticket=opened, assignee=anna), hour(1))
    moved = world.do(TransitionTicket(ticket=opened, status="in_progress"), hour(3))
    world.project()

    first, second, third = spans_of(world, opened)
    assert [(span.from_, span.to) for span in (first, second, third)] == [
        (hour(0), hour(1)),
        (hour(1), hour(3)),
        (hour(3), None),
    ]
    assert [first.seconds, second.seconds] == [3600, 7200]
    assert (first.closed_position, second.closed_position) == (assigned.position, moved.position)
    assert (second.opened_position, third.opened_position) == (assigned.position, moved.position)
    assert (first.assignee, second.assignee, second.status, third.status) == (None, anna, "todo", "in_progress")


def test_a_comment_opens_no_span_even_when_it_is_dated_back(world: World) -> None:
    opened = world.open(at=hour(0))
    world.do(SetPriority(ticket=opened, priority=Priority.HIGH), hour(5))
    world.do(AddComment(ticket=opened, body="I called at two"), hour(2))
    world.project()
    assert len(spans_of(world, opened)) == 2


def test_what_holds_for_no_time_is_kept_but_no_instant_shows_it(world: World) -> None:
    anna = world.person("Anna")
    opened = world.open(at=hour(0))
    world.do(AssignTicket(ticket=opened, assignee=anna), hour(1))
    world.do(TransitionTicket(ticket=opened, status="in_progress"), hour(1))
    world.project()

    brief = spans_of(world, opened)[1]
    assert brief.from_ == brief.to == hour(1)
    assert brief.seconds == 0
    assert (brief.assignee, brief.status) == (anna, "todo")
    assert status_at(world, opened, world.moment(occurred_at=hour(1))) == "in_progress"
    # By position it was there to be seen.
    assert status_at(world, opened, Moment(position=brief.opened_position)) == "todo"


def test_spans_are_half_open(world: World) -> None:
    opened = world.open(at=hour(0))
    world.do(TransitionTicket(ticket=opened, status="done"), hour(1))
    world.project()
    just_before = hour(1).replace(hour=9, minute=59, second=59, microsecond=999999)
    assert status_at(world, opened, Moment(occurred_at=just_before)) == "todo"
    assert status_at(world, opened, Moment(occurred_at=hour(1))) == "done"
    assert status_at(world, opened, Moment(occurred_at=hour(0))) == "todo"
    assert status_at(world, opened, Moment(occurred_at=hour(-1))) is None


def test_status_since_is_the_last_move_and_stays_through_other_changes(world: World) -> None:
    opened = world.open(at=hour(0))
    world.do(TransitionTicket(ticket=opened, status="done"), hour(1))
    world.do(TransitionTicket(ticket=opened, status="cancelled"), hour(2))
    world.do(TransitionTicket(ticket=opened, status="todo"), hour(3))
    world.do(SetPriority(ticket=opened, priority=Priority.LOW), hour(4))
    world.project()

    def row_at(number: float) -> TicketRow:
        row = shown(world, opened, Moment(occurred_at=hour(number)))
        assert row is not None
        return row

    assert [row_at(n).status_since for n in range(5)] == [hour(0), hour(1), hour(2), hour(3), hour(3)]
    # The first closing of the closed stretch; reopened, it is gone.
    assert [row_at(n).closed_at for n in range(5)] == [None, hour(1), hour(1), None, None]


def test_what_did_we_know_on_friday_about_monday(world: World) -> None:
    opened = world.open(at=hour(0))
    before = world.moment_now()
    told = world.do(TransitionTicket(ticket=opened, status="done"), hour(2))  # told late, of long ago
    world.project()

    monday = hour(3)
    friday = told.position - 1
    assert status_at(world, opened, world.moment(occurred_at=monday)) == "done"
    assert status_at(world, opened, world.moment(position=friday, occurred_at=monday)) == "todo"
    assert status_at(world, opened, world.moment(position=told.position, occurred_at=monday)) == "done"
    assert status_at(world, opened, world.moment(position=told.position, occurred_at=hour(1))) == "todo"
    assert status_at(world, opened, world.moment(recorded_at=before, occurred_at=monday)) == "todo"
    assert status_at(world, opened, world.moment(recorded_at=before)) == "todo"
    assert status_at(world, opened, world.moment(recorded_at=datetime.now(UTC))) == "done"
    assert status_at(world, opened, world.moment(position=friday)) == "todo"


def test_nothing_was_known_before_the_first_event(world: World) -> None:
    opened = world.open(at=hour(0))
    world.project()
    assert shown(world, opened, world.moment(position=0)) is None
    assert shown(world, opened, world.moment(recorded_at=START)) is None
    assert shown(world, opened, world.moment(occurred_at=datetime(1, 1, 1, tzinfo=UTC))) is None


def test_the_spans_of_a_past_moment_end_where_it_ends(world: World) -> None:
    opened = world.open(at=hour(0))
    second = world.do(SetPriority(ticket=opened, priority=Priority.HIGH), hour(1))
    third = world.do(SetPriority(ticket=opened, priority=Priority.LOW), hour(2))
    world.project()

    def ends(moment: Moment) -> list[tuple[Any, Any, int | None]]:
        return [(span.from_, span.to, span.closed_position) for span in spans_of(world, opened, moment)]

    known = [(hour(0), hour(1), second.position), (hour(1), hour(2), third.position), (hour(2), None, None)]
    assert ends(NOW) == known
    assert ends(Moment(position=second.position)) == [known[0], (hour(1), None, None)]
    assert ends(Moment(occurred_at=hour(1))) == [known[0], (hour(1), None, None)]
    assert ends(Moment(occurred_at=hour(1.5))) == [known[0], (hour(1), None, None)]
    assert ends(Moment(occurred_at=hour(2))) == known
    assert ends(Moment(position=second.position, occurred_at=hour(9))) == [known[0], (hour(1), None, None)]
    assert ends(Moment(position=third.position, occurred_at=hour(0.5))) == [(hour(0), None, None)]


def test_the_seconds_of_an_open_span_run_to_the_moment_looked_at(world: World) -> None:
    opened = world.open(at=hour(0))
    world.project()

    def seconds(moment: Moment) -> int:
        return spans_of(world, opened, moment)[-1].seconds

    now = datetime.now(UTC)
    since = int((now - hour(0)).total_seconds())
    assert abs(seconds(NOW) - since) < 60
    assert seconds(Moment(occurred_at=hour(2))) == 7200
    assert seconds(world.moment(recorded_at=now, occurred_at=hour(2))) == 7200
    position = spans_of(world, opened)[0].opened_position
    assert abs(seconds(Moment(position=position)) - since) < 60  # when it was recorded: a moment ago
    tomorrow = now.replace(year=now.year + 1)
    assert abs(seconds(world.moment(recorded_at=tomorrow)) - int((tomorrow - hour(0)).total_seconds())) < 2


def test_the_seconds_of_a_span_are_never_more_than_an_answer_can_hold(world: World) -> None:
    opened = world.open(at=datetime(1, 1, 1, tzinfo=UTC))
    world.project()
    far = Moment(occurred_at=datetime(2999, 1, 1, tzinfo=UTC))
    assert [row.seconds for moment in (NOW, far) for row in spans_of(world, opened, moment)] == [2**31 - 1] * 2


def test_a_command_is_dated_back_only_as_far_as_the_last_change(world: World) -> None:
    opened = world.open(at=hour(0))
    world.do(SetPriority(ticket=opened, priority=Priority.HIGH), hour(5))
    with pytest.raises(OccurredBeforeLast):
        world.do(SetPriority(ticket=opened, priority=Priority.LOW), hour(4))
    world.do(SetPriority(ticket=opened, priority=Priority.LOW))
    world.project()
    times = [(span.from_, span.to) for span in spans_of(world, opened)]
    assert all(before[1] == after[0] and before[0] <= after[0] for before, after in pairwise(times))


def test_true_after_one_is_a_change_though_python_calls_them_equal(world: World) -> None:
    opened = world.open(at=hour(0), fields={"paid": 1})
    world.do(TransitionTicket(ticket=opened, status="todo", fields={"paid": True}), hour(1))
    world.project()
    row = shown(world, opened)
    assert row is not None
    assert row.fields["paid"] is True


def test_a_role_change_shows_the_new_workflow_and_keeps_what_was(world: World) -> None:
    opened = world.open(role="INQUIRY", at=hour(0), tags=("site",))
    world.do(ChangeRole(ticket=opened, role="TASK"), hour(1))
    world.project()
    was, now = spans_of(world, opened)
    assert (was.role, was.workflow, was.status) == ("INQUIRY", "support", "new")
    assert (now.role, now.workflow, now.status) == ("TASK", "task", "todo")
    row = shown(world, opened)
    assert row is not None
    assert row.tags == ["site"]


def test_spans_come_in_pages_both_ways(world: World) -> None:
    opened = world.open(at=hour(0))
    for n, priority in enumerate((Priority.HIGH, Priority.LOW, Priority.HIGH, Priority.LOW), start=1):
        world.do(SetPriority(ticket=opened, priority=priority), hour(n))
    world.project()
    whole = spans_of(world, opened, Moment(position=10**6))

    forwards: list[SpanRow] = []
    page = world.of(opened, spans, PageAsk(first=2), Moment(position=10**6))
    forwards += page.nodes
    while page.has_next:
        page = world.of(opened, spans, PageAsk(first=2, after=page.cursors[-1]), Moment(position=10**6))
        forwards += page.nodes
    assert [span.from_ for span in forwards] == [span.from_ for span in whole]

    page = world.of(opened, spans, PageAsk(last=2), NOW)
    assert [span.from_ for span in page.nodes] == [span.from_ for span in whole[-2:]]
    page = world.of(opened, spans, PageAsk(last=2, before=page.cursors[0]), NOW)
    assert [span.from_ for span in page.nodes] == [span.from_ for span in whole[1:3]]


@pytest.mark.parametrize(
    "as_of",
    [
        AsOf(position=1, recorded_at=START),
        AsOf(recorded_at=START.replace(tzinfo=None)),
        AsOf(occurred_at=START.replace(tzinfo=None)),
    ],
    ids=["position and recordedAt", "recordedAt without offset", "occurredAt without offset"],
)
def test_a_moment_that_means_nothing_is_bad_input(world: World, as_of: AsOf) -> None:
    with pytest.raises(BadInput):
        world.run(world.view().moment(as_of))


def test_a_requester_sees_the_whole_past_of_what_is_theirs_and_nothing_else(world: World) -> None:
    clara, dora = world.person("Clara", PersonKind.CLIENT), world.person("Dora", PersonKind.CLIENT)
    opened = world.open(at=hour(0), requester=clara)
    world.do(SetPriority(ticket=opened, priority=Priority.HIGH), hour(1))
    world.project()
    past = Moment(occurred_at=hour(0))
    for actor, visible in ((world.requester(clara), 2), (world.requester(dora), 0)):
        assert len(spans_of(world, opened, NOW, actor)) == visible
        assert (shown(world, opened, past, actor) is not None) == bool(visible)
        assert (shown(world, opened, NOW, actor) is not None) == bool(visible)
    assert len(spans_of(world, opened, NOW, world.actor(dora, Scope.AUDITOR))) == 2
