"""Who held a ticket when, and who handed it over."""

from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

import pytest

from application.embedded_postgres import EmbeddedPostgres
from domain.tickets import AddComment, AssignTicket, SetPriority
from domain.tickets import Priority as Urgency
from projections import holdings, tickets
from projections.filters import PageAsk
from projections.reading import BadInput, Moment
from projections.rows import HoldingRow
from tests.projections.conftest import World, a_world, hour


@pytest.fixture(scope="module")
def world(postgres: EmbeddedPostgres) -> Iterator[World]:
    with a_world(postgres) as world:
        yield world


class Scene:
    """One ticket that goes from Ann to Bob, back to Ann, to nobody and to Ann again."""

    def __init__(self, world: World) -> None:
        self.ann, self.bob = world.person("Ann"), world.person("Bob")
        self.ticket = world.open("Passed on", at=hour(0), assignee=self.ann)
        world.do(SetPriority(ticket=self.ticket, priority=Urgency.HIGH), hour(1))
        world.do(AssignTicket(ticket=self.ticket, assignee=self.bob), hour(2))
        world.do(AddComment(ticket=self.ticket, body="Mine now"), hour(3))
        world.do(AssignTicket(ticket=self.ticket, assignee=self.ann), hour(4))
        world.do(AssignTicket(ticket=self.ticket, assignee=None), hour(5))
        world.do(AssignTicket(ticket=self.ticket, assignee=self.ann), hour(6))
        world.project()


@pytest.fixture(scope="module")
def scene(world: World) -> Scene:
    return Scene(world)


def holder(world: World, ticket: UUID, at: float) -> HoldingRow | None:
    return world.ask(holdings.holder, ticket, hour(at))


def test_the_holder_at_an_instant_is_told_with_the_whole_holding(world: World, scene: Scene) -> None:
    found = holder(world, scene.ticket, 1.5)
    assert found is not None
    assert (found.person, found.from_, found.to) == (scene.ann, hour(0), hour(2)), "a change of priority ends none"
    assert found.seconds == 2 * 3600
    found = holder(world, scene.ticket, 2)
    assert found is not None
    assert (found.person, found.from_, found.to) == (scene.bob, hour(2), hour(4)), "from its first instant on"
    found = holder(world, scene.ticket, 100)
    assert found is not None
    assert (found.person, found.to, found.closed_position) == (scene.ann, None, None)
    assert holder(world, scene.ticket, 5.5) is None, "nobody held it"
    assert holder(world, scene.ticket, -1) is None, "it was not opened yet"


def test_nobody_knows_the_holder_in_the_future(world: World, scene: Scene) -> None:
    with pytest.raises(BadInput, match="future"):
        world.ask(holdings.holder, scene.ticket, world.moment_now() + timedelta(hours=1))


def test_what_a_person_held_is_listed_in_the_order_in_which_they_got_it(world: World, scene: Scene) -> None:
    page = world.ask(holdings.holdings, scene.ann, hour(0), hour(9), PageAsk(first=10))
    assert [(row.from_, row.to) for row in page.nodes] == [(hour(0), hour(2)), (hour(4), hour(5)), (hour(6), None)]
    assert world.ask(holdings.holding_count, scene.ann, hour(0), hour(9)) == 3
    inside = world.ask(holdings.holdings, scene.ann, hour(1), hour(4.5), PageAsk(first=10))
    assert [row.from_ for row in inside.nodes] == [hour(0), hour(4)], "whole holdings, though they began before"
    between = world.ask(holdings.holdings, scene.ann, hour(2), hour(4), PageAsk(first=10))
    assert between.nodes == [], "half-open"
    with pytest.raises(BadInput, match="before"):
        world.ask(holdings.holdings, scene.ann, hour(4), hour(4), PageAsk(first=10))


def test_holdings_come_in_pages(world: World, scene: Scene) -> None:
    seen, after = list[HoldingRow](), None
    while True:
        page = world.ask(holdings.holdings, scene.ann, hour(0), hour(9), PageAsk(first=1, after=after))
        seen += page.nodes
        if not page.has_next:
            break
        after = page.cursors[-1]
    assert [row.from_ for row in seen] == [hour(0), hour(4), hour(6)]
    last = world.ask(holdings.holdings, scene.ann, hour(0), hour(9), PageAsk(last=2))
    assert [row.from_ for row in last.nodes] == [hour(4), hour(6)]


def test_holdings_agree_with_the_ticket_as_it_was(world: World, scene: Scene) -> None:
    for half in range(-1, 14):
        moment = Moment(occurred_at=hour(half / 2))
        row = world.ask(tickets.by_ids, [scene.ticket], moment).get(scene.ticket)
        found = holder(world, scene.ticket, half / 2)
        assert (found and found.person) == (row and row.assignee)


def test_a_requester_sees_who_held_their_own_tickets(world: World, scene: Scene) -> None:
    guest = world.person("Guest")
    own = world.open("Own", at=hour(0), assignee=scene.bob, requester=guest)
    world.project()
    viewer = world.requester(guest)
    found = world.ask_as(viewer, holdings.holder, own, hour(1))
    assert found is not None
    assert found.person == scene.bob
    assert world.ask_as(viewer, holdings.holder, scene.ticket, hour(1)) is None
    page = world.ask_as(viewer, holdings.holdings, scene.bob, hour(0), hour(9), PageAsk(first=10))
    assert [row.ticket for row in page.nodes] == [own]


def test_another_workspace_s_tickets_are_held_by_nobody_here(world: World, scene: Scene) -> None:
    beside = world.beside("beside")
    assert beside.ask(holdings.holder, scene.ticket, hour(1)) is None
    assert beside.ask(holdings.holdings, scene.ann, hour(0), hour(9), PageAsk(first=10)).nodes == []
