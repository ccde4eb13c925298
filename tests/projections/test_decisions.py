"""Decisions are found by what they changed, who made them, when and from which channel."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from application import tickets
from application.embedded_postgres import EmbeddedPostgres
from application.handling import Context
from domain.access import Scope
from domain.tickets import AddComment, AssignTicket, ChangeRole, ScheduleTicket, SetPriority, TransitionTicket
from domain.tickets import Priority as Urgency
from projections import decisions
from projections.filters import DecisionFilter, DecisionKind, PageAsk
from tests.projections.conftest import World, a_world, hour


@pytest.fixture(scope="module")
def world(postgres: EmbeddedPostgres) -> Iterator[World]:
    with a_world(postgres) as world:
        yield world


@pytest.fixture(scope="module")
def ann(world: World) -> UUID:
    """Ann decides by phone, the operator the rest."""
    ann = world.person("Ann")
    ticket = world.open("Decided on", "TASK", hour(0), priority=Urgency.LOW, due_at=hour(50))
    by_phone = Context(
        actor=world.actor(ann, Scope.MANAGER), channel="phone", occurred_at=hour(1), reason="The client is losing money"
    )
    tickets.handle(world.store, by_phone, SetPriority(ticket=ticket, priority=Urgency.CRITICAL))
    world.do(AssignTicket(ticket=ticket, assignee=ann), hour(2))
    world.do(ScheduleTicket(ticket=ticket, due_at=hour(60)), hour(3))
    world.do(TransitionTicket(ticket=ticket, status="in_progress"), hour(4))
    world.do(TransitionTicket(ticket=ticket, status="done"), hour(5))
    world.do(TransitionTicket(ticket=ticket, status="in_progress"), hour(6))
    world.do(ChangeRole(ticket=ticket, role="BUG"), hour(7), on_behalf_of=ann)
    world.do(AddComment(ticket=ticket, body="Talk decides nothing"), hour(8))
    world.project()
    return ann


def found(world: World, **filter: Any) -> list[str]:
    page = world.ask(decisions.decisions, DecisionFilter(**filter), PageAsk(first=50))
    assert world.ask(decisions.decision_count, DecisionFilter(**filter)) == len(page.nodes)
    return [row.type for row in page.nodes]


def test_decisions_are_listed_in_their_order(world: World, ann: UUID) -> None:
    assert found(world) == ["PriorityChanged", "TicketScheduled", "StatusChanged", "StatusChanged", "RoleChanged"]


@pytest.mark.parametrize(
    ("kind", "types"),
    [
        (DecisionKind.PRIORITY_CHANGE, ["PriorityChanged"]),
        (DecisionKind.DUE_CHANGE, ["TicketScheduled"]),
        (DecisionKind.CLOSING, ["StatusChanged"]),
        (DecisionKind.REOPENING, ["StatusChanged"]),
        (DecisionKind.ROLE_CHANGE, ["RoleChanged"]),
    ],
)
def test_each_kind_is_found_alone(world: World, ann: UUID, kind: DecisionKind, types: list[str]) -> None:
    assert found(world, kinds=(kind,)) == types


def test_a_filter_names_who_when_and_from_where(world: World, ann: UUID) -> None:
    assert found(world, actor=ann) == ["PriorityChanged", "RoleChanged"], "the second in her name"
    assert found(world, channel="phone") == ["PriorityChanged"]
    assert found(world, since=hour(3), until=hour(5)) == ["TicketScheduled"], "half-open"
    assert found(world, actor=ann, channel="api", kinds=(DecisionKind.CLOSING,)) == []
    assert found(world, kinds=()) == []


def test_a_decision_carries_its_reason_and_channel(world: World, ann: UUID) -> None:
    filter = DecisionFilter(kinds=(DecisionKind.PRIORITY_CHANGE,))
    [row] = world.ask(decisions.decisions, filter, PageAsk(first=5)).nodes
    assert (row.reason, row.channel, row.actor) == ("The client is losing money", "phone", ann)


def test_a_requester_sees_decisions_on_their_own_tickets_without_reasons(world: World, ann: UUID) -> None:
    guest = world.person("Guest")
    own = world.open("Own", "TASK", hour(0), requester=guest)
    world.do(SetPriority(ticket=own, priority=Urgency.HIGH), hour(1), reason="between us")
    world.project()
    page = world.ask_as(world.requester(guest), decisions.decisions, DecisionFilter(), PageAsk(first=50))
    assert [(row.ticket, row.reason) for row in page.nodes] == [(own, None)]
