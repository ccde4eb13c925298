"""Cumulative flow is what the board showed, at every instant."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import pytest

from application.embedded_postgres import EmbeddedPostgres
from domain.errors import Refused
from domain.tickets import ChangeRole, TicketCommand, TransitionTicket
from projections import flow
from projections.reading import BadInput
from tests.projections.conftest import START, World, a_world, hour

HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def world(postgres: EmbeddedPostgres) -> Iterator[World]:
    """Forty tasks that wander between statuses, some out of the process and back."""
    with a_world(postgres) as world:
        chance = random.Random(7)
        for n in range(40):
            at = chance.randrange(0, 40) / 4
            ticket = world.open(f"Task {n}", "TASK", hour(at))
            elsewhere, back = (ChangeRole(ticket=ticket, role=role) for role in ("INQUIRY", "TASK"))
            for _ in range(chance.randrange(8)):
                at += chance.randrange(0, 20) / 4
                status = chance.choice(["in_progress", "blocked", "review", "done"])
                moves: list[TicketCommand] = [TransitionTicket(ticket=ticket, status=status), elsewhere, back]
                with suppress(Refused):
                    world.do(chance.choices(moves, weights=(4, 1, 1))[0], hour(at))
        world.project()
        yield world


def test_each_point_is_what_stood_there_then(world: World) -> None:
    points = world.ask(flow.cumulative_flow, "task", hour(-1), hour(60), HOUR / 2)
    assert [point.at for point in points] == [hour(-1 + n / 2) for n in range(123)]
    for point in points:
        stood = Counter(
            status
            for (status,) in world.rows(
                "select status from span where workflow = 'task' and"
                f" occurred_from <= '{point.at}' and (occurred_to is null or occurred_to > '{point.at}')"
            )
        )
        assert {count.status: count.count for count in point.counts} == stood
    assert points[0].counts == []
    assert sum(count.count for count in points[-1].counts) > 0


def test_one_point_is_enough(world: World) -> None:
    [point] = world.ask(flow.cumulative_flow, "task", hour(60), hour(60), HOUR)
    assert point.counts == world.ask(flow.cumulative_flow, "task", hour(0), hour(60), HOUR)[-1].counts


def test_points_are_bounded(world: World) -> None:
    with pytest.raises(BadInput, match="at most 400"):
        world.ask(flow.cumulative_flow, "task", START, START + 400 * HOUR, HOUR)
    assert len(world.ask(flow.cumulative_flow, "task", START, START + 399 * HOUR, HOUR)) == 400
    with pytest.raises(BadInput, match="before"):
        world.ask(flow.cumulative_flow, "task", hour(1), hour(0), HOUR)


def test_a_requester_s_flow_is_of_their_own_tickets(world: World) -> None:
    guest = world.person("Guest")
    world.open("Own", "TASK", hour(0), requester=guest)
    world.project()
    [point] = world.ask_as(world.requester(guest), flow.cumulative_flow, "task", hour(1), hour(1), HOUR)
    assert [(count.status, count.count) for count in point.counts] == [("todo", 1)]
    beside = world.beside("beside")
    assert beside.ask(flow.cumulative_flow, "task", hour(1), hour(1), HOUR)[0].counts == []
