"""Tickets that come of another one: sub-tickets for other services, comments split off."""

from typing import Any

import msgspec
import pytest

from domain import tickets
from domain.errors import (
    CommentIsWithdrawn,
    CommentNotFound,
    FieldRequired,
    InvalidValue,
    Refused,
    RoleNotFound,
    ServiceNotFound,
    TicketIsClosed,
    TicketIsMerged,
    TicketNotFound,
)
from domain.tickets import (
    CommentAdded,
    CommentWithdrawn,
    LinkKind,
    SpawnTicket,
    SplitTicket,
    StatusChanged,
    Ticket,
    TicketEvent,
    TicketLinked,
    TicketMerged,
    TicketOpened,
    Visibility,
)
from domain.workflows import StatusCategory
from tests.domain.given import (
    ANNA,
    AROUND,
    BORIS,
    COMMENT,
    FIRST_LINE,
    HOSTING,
    NEW_COMMENT,
    OPENED,
    PARENT,
    RETIRED,
    STRANGE_COMMENT,
    TICKET,
    an_id,
    ticket,
)

SAID = CommentAdded(comment=COMMENT, author=ANNA, body="And the printer?", visibility=Visibility.INTERNAL)
SPAWN = SpawnTicket(ticket=TICKET, title="A new certificate", role="TASK", service=HOSTING)
SPLIT = SplitTicket(ticket=TICKET, comment=COMMENT, title="The printer")


def decided(
    command: SpawnTicket | SplitTicket, *history: TicketEvent, text: str | None = SAID.body
) -> list[TicketEvent]:
    origin = ticket.given(OPENED, *history).state
    around = msgspec.structs.replace(AROUND, tickets={**AROUND.tickets, TICKET: origin}, text=text)
    return tickets.decide(None, command, around)


def refusal(command: SpawnTicket | SplitTicket, *history: TicketEvent) -> Refused:
    with pytest.raises(Refused) as refused:
        decided(command, *history)
    return refused.value


def folded(events: list[TicketEvent]) -> Ticket:
    state: Ticket | None = None
    for event in events:
        state = tickets.evolve(state, event, AROUND.now)
    assert state is not None
    return state


def test_a_sub_ticket_is_below_its_origin_for_the_same_requester_and_both_say_so() -> None:
    opened, link = decided(msgspec.structs.replace(SPAWN, assignee=ANNA, team=FIRST_LINE, tags=("tls",)))
    assert isinstance(opened, TicketOpened)
    assert (opened.parent, opened.requester, opened.service) == (TICKET, BORIS, HOSTING)
    assert (opened.role, opened.workflow, opened.assignee, opened.team) == ("TASK", "task", ANNA, FIRST_LINE)
    assert link == TicketLinked(kind=LinkKind.SPAWNED_FROM, other=TICKET)
    assert tickets.told(an_id(7), [opened, link]) == {TICKET: [TicketLinked(kind=LinkKind.SPAWNED, other=an_id(7))]}
    nobodys, _ = decided(msgspec.structs.replace(SPAWN, requester=None))
    assert isinstance(nobodys, TicketOpened)
    assert nobodys.requester is None


def test_a_comment_that_is_split_off_keeps_its_text_its_author_and_who_may_read_it() -> None:
    opened, talk, link = events = decided(SPLIT, SAID)
    assert isinstance(opened, TicketOpened)
    assert (opened.title, opened.role, opened.requester, opened.channel) == ("The printer", "INQUIRY", BORIS, "site")
    assert talk == CommentAdded(
        comment=NEW_COMMENT, author=ANNA, body="And the printer?", visibility=Visibility.INTERNAL
    )
    assert link == TicketLinked(kind=LinkKind.SPLIT_FROM, other=TICKET)
    assert [one.author for one in folded(events).comments] == [ANNA]
    assert tickets.told(an_id(7), events) == {TICKET: [TicketLinked(kind=LinkKind.SPLIT_INTO, other=an_id(7))]}
    task, *_ = decided(msgspec.structs.replace(SPLIT, role="TASK", requester=ANNA, service=HOSTING), SAID)
    assert isinstance(task, TicketOpened)
    assert (task.role, task.requester, task.service) == ("TASK", ANNA, HOSTING)


@pytest.mark.parametrize(
    ("changes", "kind", "field"),
    [
        ({"title": " "}, InvalidValue, "title"),
        ({"role": "NONE"}, RoleNotFound, "role"),
        ({"service": RETIRED}, ServiceNotFound, "service"),
        ({"role": "DEAL", "requester": None}, FieldRequired, "requester"),
        ({"ticket": an_id(9)}, TicketNotFound, "ticket"),
    ],
)
def test_what_cannot_be_opened_cannot_be_spawned_or_split_off_either(
    changes: dict[str, Any], kind: type[Refused], field: str
) -> None:
    for command in (SPAWN, SPLIT):
        found = refusal(msgspec.structs.replace(command, **changes), SAID)
        assert (type(found), found.field) == (kind, (field,))


def test_nothing_is_spawned_from_what_is_closed_and_only_what_is_said_is_split_off() -> None:
    done = StatusChanged(workflow_version=1, status="done", category=StatusCategory.DONE)
    assert type(refusal(SPAWN, done)) is TicketIsClosed
    assert len(decided(SPLIT, SAID, done)) == 3
    found = refusal(msgspec.structs.replace(SPLIT, comment=STRANGE_COMMENT), SAID)
    assert (type(found), found.field) == (CommentNotFound, ("comment",))
    assert type(refusal(SPLIT, SAID, CommentWithdrawn(comment=COMMENT))) is CommentIsWithdrawn
    merged = TicketMerged(into=PARENT, number=1041)
    for command in (SPAWN, SPLIT):
        found = refusal(command, SAID, merged)
        assert (type(found), found.field) == (TicketIsMerged, ("ticket",))
        assert "T-1041" in found.message
