"""Hand-overs at every moment, and a rebuild that equals the live one."""

from typing import Any
from uuid import UUID

import pytest

from domain.tickets import (
    AddComment,
    AssignTicket,
    ChangeRole,
    LinkKind,
    LinkTickets,
    SetPriority,
    SetRequester,
    TransferTicket,
)
from domain.tickets import Priority as P
from projections import comments, engine, hand_overs, links, spans, tickets
from projections.filters import PageAsk
from projections.reading import NOW, Moment
from projections.rebuild import rebuild
from projections.rows import HandOverRow
from tests.projections.conftest import World, hour

PAGE = PageAsk(first=100)


def passed(world: World, ticket: UUID, moment: Moment = NOW) -> list[HandOverRow]:
    found = world.of(ticket, hand_overs.hand_overs, PAGE, moment).nodes
    assert world.of(ticket, hand_overs.hand_over_counts, moment) == len(found)
    return found


def test_every_passing_is_told_once_whichever_command_it_was(world: World) -> None:
    anna = world.person("Anna")
    first, second = world.team("first"), world.team("second")
    ticket = world.open(role="INQUIRY", at=hour(0), team=first, assignee=anna)
    transferred = world.do(
        TransferTicket(ticket=ticket, role="TASK", team=second, note="Форма падает"), hour(1), reason="A defect"
    )
    world.project()
    world.do(ChangeRole(ticket=ticket, role="BUG"), hour(2), reason=None)
    world.do(SetPriority(ticket=ticket, priority=P.HIGH), hour(3))
    world.do(AssignTicket(ticket=ticket, team=None, assignee=anna), hour(4), on_behalf_of=anna)
    world.project()

    def told(row: HandOverRow) -> tuple[Any, ...]:
        return row.from_role, row.to_role, row.from_team, row.to_team, row.note, row.reason

    rows = passed(world, ticket)
    assert [told(row) for row in rows] == [
        ("INQUIRY", "TASK", first, second, "Форма падает", "A defect"),
        ("TASK", "BUG", second, second, None, None),
        ("BUG", "BUG", second, None, None, "so it is"),
    ]
    assert [(row.from_workflow, row.to_workflow) for row in rows[:2]] == [("support", "task"), ("task", "task")]
    assert [row.occurred_at for row in rows] == [hour(1), hour(2), hour(4)]
    assert [row.by for row in rows] == [world.admin.person, world.admin.person, anna]
    assert len(passed(world, ticket, world.moment(position=transferred.position))) == 1
    assert passed(world, ticket, world.moment(position=transferred.position - 1)) == []
    assert passed(world, ticket, world.moment(occurred_at=hour(0.5))) == []
    assert len(passed(world, ticket, world.moment(occurred_at=hour(3)))) == 2
    assert rebuild(world.database, hand_overs.PROJECTION).same


def test_one_command_is_one_hand_over_however_the_log_is_cut_into_batches(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BATCH", 1)
    first, second = world.team("first"), world.team("second")
    ticket = world.open(role="INQUIRY", at=hour(0), team=first)
    world.do(TransferTicket(ticket=ticket, role="TASK", team=second, note="Here"), hour(1))
    world.project()
    [row] = passed(world, ticket)
    assert (row.from_role, row.to_role, row.from_team, row.to_team, row.note) == (
        *("INQUIRY", "TASK"),
        *(first, second, "Here"),
    )


def test_a_hand_over_loses_nothing(world: World) -> None:
    anna, boris = world.person("Anna"), world.person("Boris")
    first, second = world.team("first"), world.team("second")
    ticket = world.open(role="INQUIRY", at=hour(0), team=first, assignee=anna)
    child, other = world.open("Child", at=hour(0), parent=ticket), world.open("Other", at=hour(0))
    world.do(AddComment(ticket=ticket, body="Hello"), hour(1))
    world.do(LinkTickets(ticket=ticket, kind=LinkKind.CAUSES, other=other), hour(1))
    world.do(TransferTicket(ticket=ticket, role="TASK", team=second), hour(2))
    world.do(AssignTicket(ticket=ticket, assignee=boris), hour(3))
    world.project()
    held = [(span.assignee, span.team) for span in world.of(ticket, spans.spans, PAGE, NOW).nodes]
    assert held[0] == (anna, first)
    assert (None, second) in held
    assert held[-1] == (boris, second)
    assert [row.body for row in world.of(ticket, comments.comments, PAGE, NOW).nodes] == ["Hello"]
    assert [row.id for row in world.of(ticket, tickets.children, PAGE, NOW).nodes] == [child]
    assert [row.other for row in world.of(ticket, links.links, PAGE, NOW).nodes] == [other]


def test_a_requester_sees_where_their_ticket_went_and_no_words_of_colleagues(world: World) -> None:
    claire = world.person("Claire")
    second = world.team("second")
    own, other = world.open(role="INQUIRY", requester=claire), world.open(role="INQUIRY")
    for ticket in (own, other):
        world.do(TransferTicket(ticket=ticket, team=second, note="Psst"), reason="Because")
    world.project()
    as_claire = world.requester(claire)
    [row] = world.of_as(as_claire, own, hand_overs.hand_overs, PAGE, NOW).nodes
    assert (row.to_team, row.note, row.reason) == (second, None, None)
    assert world.of_as(as_claire, other, hand_overs.hand_overs, PAGE, NOW).nodes == []
    world.do(SetRequester(ticket=own, requester=None))
    world.project()
    assert world.of_as(as_claire, own, hand_overs.hand_overs, PAGE, NOW).nodes == []
