"""Work as it stands and as it stood; timers that run; what overlaps."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from application.event_store.database import Role
from domain.people import PersonKind
from domain.tickets import ChangeRole
from domain.work import (
    CorrectWork,
    DiscardTimer,
    LogWork,
    MarkWorkNotBillable,
    MoveWork,
    ReverseWork,
    StartTimer,
    StopTimer,
    SwitchTimer,
    WorkFlag,
)
from projections import work
from projections.filters import IdFilter, PageAsk, TimeFilter, WorkFilter
from projections.reading import NOW, Moment
from projections.rows import WorkEntryRow
from tests.projections.conftest import World, hour

ALL = PageAsk(first=100)


def log(world: World, ticket: UUID, start: float, seconds: int, by: UUID | None = None, **more: Any) -> UUID:
    command = LogWork(ticket=ticket, started_at=hour(start), seconds=seconds, **more)
    return world.do(command, hour(start + 1), on_behalf_of=by).stream


def listed(world: World, moment: Moment = NOW, **wanted: Any) -> list[WorkEntryRow]:
    world.project()
    return world.ask(work.entries, WorkFilter(**wanted), ALL, moment).nodes


def seconds(world: World, moment: Moment = NOW, **wanted: Any) -> list[int]:
    return [row.seconds for row in listed(world, moment, **wanted)]


def test_work_is_listed_by_start_and_filtered(world: World) -> None:
    anna, boris = world.person("Anna"), world.person("Boris")
    one, other = world.open("One", at=hour(0)), world.open("Other", at=hour(0))
    log(world, one, 3, 300, by=anna)
    log(world, other, 1, 100, by=boris, billable=False)
    log(world, one, 2, 200, by=boris)
    assert seconds(world) == [100, 200, 300]
    assert seconds(world, ticket=IdFilter(eq=one)) == [200, 300]
    assert seconds(world, person=IdFilter(in_=[boris])) == [100, 200]
    assert seconds(world, started_at=TimeFilter(gte=hour(2), lt=hour(3))) == [200]
    assert seconds(world, billable=True) == [200, 300]
    assert seconds(world, flag=WorkFlag.CAPPED) == []
    assert world.ask(work.entry_count, WorkFilter(), NOW) == 3
    first = world.ask(work.entries, WorkFilter(), PageAsk(first=2), NOW)
    rest = world.ask(work.entries, WorkFilter(), PageAsk(first=2, after=first.cursors[-1]), NOW)
    assert ([row.seconds for row in rest.nodes], rest.has_next) == ([300], False)


def test_a_ticket_has_its_work_and_its_sum(world: World) -> None:
    ticket, idle = world.open(at=hour(0)), world.open(at=hour(0))
    log(world, ticket, 1, 100)
    log(world, ticket, 2, 200)
    world.project()
    assert world.ask(work.worked_seconds, [ticket, idle], NOW) == {ticket: 300}
    assert [row.seconds for row in world.of(ticket, work.of_tickets, ALL, NOW).nodes] == [100, 200]
    assert world.of(idle, work.of_tickets, ALL, NOW).nodes == []
    assert world.of(ticket, work.counts_of_tickets, NOW) == 2


def test_what_was_corrected_moved_or_reversed_stands_as_it_stood_then(world: World) -> None:
    ticket, other = world.open(at=hour(0)), world.open(at=hour(0))
    entry = log(world, ticket, 1, 3600)
    kept = log(world, ticket, 5, 60)
    before = world.do(MarkWorkNotBillable(work_entry=kept), hour(10)).position
    between = world.do(CorrectWork(work_entry=entry, ended_at=hour(1.5)), hour(11)).position
    moved = world.do(MoveWork(work_entry=entry, ticket=other), hour(12)).position
    world.do(ReverseWork(work_entry=entry), hour(13))
    assert seconds(world) == [60]
    assert seconds(world, Moment(position=before)) == [3600, 60]
    assert seconds(world, Moment(position=between), ticket=IdFilter(eq=ticket)) == [1800, 60]
    assert seconds(world, Moment(position=moved), ticket=IdFilter(eq=other)) == [1800]
    assert seconds(world, Moment(position=moved, occurred_at=hour(4))) == [1800]
    assert world.ask(work.worked_seconds, [ticket], Moment(position=between)) == {ticket: 1860}
    assert [(row.version, row.billable) for row in listed(world)] == [(2, False)]
    assert world.ask(work.by_ids, [entry]) == {}


def test_work_counts_by_the_role_that_the_ticket_had_when_it_began(world: World) -> None:
    hosting = world.service("hosting")
    ticket = world.open("A lead", "INQUIRY", hour(0), service=hosting)
    world.do(ChangeRole(ticket=ticket, role="TASK"), hour(10))
    log(world, ticket, 9, 60)
    log(world, ticket, 11, 60)
    log(world, ticket, -5, 60)  # before it was opened
    assert [row.role for row in listed(world)] == ["INQUIRY", "INQUIRY", "TASK"]
    assert {row.service for row in listed(world)} == {hosting}


def test_overlaps_of_one_person_are_flagged_on_both_sides(world: World) -> None:
    anna, boris = world.person("Anna"), world.person("Boris")
    ticket = world.open(at=hour(0))
    long = log(world, ticket, 0, 7200, by=anna)
    within = log(world, ticket, 1, 600, by=anna)
    after = log(world, ticket, 2, 600, by=anna)
    others = log(world, ticket, 1, 600, by=boris)
    world.project()
    asked = [long, within, after, others]
    assert world.ask(work.overlapping, asked) == {long: True, within: True}
    world.do(ReverseWork(work_entry=long))
    world.project()
    assert world.ask(work.overlapping, asked) == {}


def test_a_timer_runs_until_it_is_stopped_and_its_time_is_logged(world: World) -> None:
    ticket, other = world.open(at=hour(0)), world.open(at=hour(0))
    me = world.admin.person
    world.do(StartTimer(ticket=ticket, comment="Смотрю"), hour(1))
    world.project()
    running = world.ask(work.timer, me)
    assert running is not None
    assert (running.ticket, running.started_at, running.comment) == (ticket, hour(1), "Смотрю")
    assert (running.forgotten, running.seconds) == (True, 12 * 3600)
    world.do(SwitchTimer(ticket=other), hour(2))
    world.do(StopTimer(interruption=600), hour(3))
    assert [(row.ticket, row.seconds, row.comment) for row in listed(world)] == [
        (ticket, 3600, "Смотрю"),
        (other, 3000, None),
    ]
    assert world.ask(work.timer, me) is None
    world.do(StartTimer(ticket=ticket), hour(4))
    world.do(DiscardTimer(), hour(5))
    assert len(listed(world)) == 2


def test_a_requester_sees_the_work_on_their_own_tickets(world: World) -> None:
    claire = world.person("Claire", PersonKind.CLIENT)
    hers, strange = world.open("Hers", at=hour(0), requester=claire), world.open("Strange", at=hour(0))
    log(world, hers, 1, 100)
    theirs = log(world, strange, 1, 200)
    world.project()
    who = world.requester(claire)
    assert [row.seconds for row in world.ask_as(who, work.entries, WorkFilter(), ALL, NOW).nodes] == [100]
    assert world.ask_as(who, work.by_ids, [theirs]) == {}
    assert world.ask_as(who, work.worked_seconds, [hers, strange], NOW) == {hers: 100}


def test_another_workspace_sees_nothing_of_it(world: World) -> None:
    log(world, world.open(at=hour(0)), 1, 100)
    world.project()
    there = world.beside("there")
    assert there.ask(work.entries, WorkFilter(), ALL, NOW).nodes == []


def test_comments_on_work_are_sealed_in_the_log(world: World) -> None:
    claire = world.person("Claire", PersonKind.CLIENT)
    ticket = world.open("Hers", at=hour(0), requester=claire)
    log(world, ticket, 1, 100, comment="Клэр не заплатила")
    world.do(StartTimer(ticket=ticket, comment="Клэр ждёт"), hour(2))
    with world.database.connect(Role.PROJECTOR) as connection:
        states = connection.execute(
            "select convert_from(state, 'UTF8') from event where name in ('WorkLogged', 'TimerStarted')"
        ).fetchall()
    assert len(states) == 2
    assert not [state for (state,) in states if "Клэр" in state]
    assert all(claire.hex in state for (state,) in states), "under the requester's key"


@pytest.mark.parametrize("hours", [1, 24 * 6])
def test_a_long_entry_overlaps_one_that_began_days_later(world: World, hours: int) -> None:
    ticket = world.open(at=hour(0))
    long = log(world, ticket, -24 * 7, 3600 * 24 * 7)
    late = log(world, ticket, -hours, 60)
    world.project()
    assert world.ask(work.overlapping, [long, late]) == {long: True, late: True}
    assert timedelta(hours=hours) < timedelta(days=7)
