"""Hand-overs: a ticket passes to another process or team, with all that it has."""

from uuid import UUID

import msgspec
import pytest

from domain.errors import (
    FieldRequired,
    FieldsRequired,
    InvalidValue,
    PersonNotFound,
    RoleNotFound,
    ServiceNotFound,
    TeamNotFound,
    TicketIsClosed,
)
from domain.teams import Team
from domain.tickets import (
    CommentAdded,
    ContributorAdded,
    FieldSet,
    Link,
    LinkKind,
    RoleChanged,
    ServiceBound,
    StatusChanged,
    TeamAssigned,
    TicketAssigned,
    TicketLinked,
    TicketTransferred,
    TicketUnassigned,
    TicketWatched,
    TransferTicket,
    Visibility,
)
from domain.workflow_state import Role
from domain.workflows import DefineRole, StatusCategory
from tests.domain.given import (
    ANNA,
    AROUND,
    BORIS,
    COMMENT,
    FIRST_LINE,
    HOSTING,
    LEFT,
    OPENED,
    PARENT,
    RETIRED,
    SECOND_LINE,
    STRANGE_TEAM,
    STRANGER,
    TICKET,
    knowing,
    some_workflows,
    ticket,
)

TO_SECOND = TransferTicket(ticket=TICKET, team=SECOND_LINE, note=" Форма падает ")
TRANSFERRED = TicketTransferred(role="INQUIRY", team=SECOND_LINE, note="Форма падает")
HELD = TicketAssigned(assignee=ANNA)
IN_FIRST = TeamAssigned(team=FIRST_LINE)
TASK = RoleChanged(role="TASK", workflow="task", workflow_version=1, status="todo", category=StatusCategory.NEW)


def with_members(*people: UUID) -> dict[UUID, Team]:
    joined = msgspec.structs.replace(AROUND.teams[SECOND_LINE], members=frozenset(people))
    return {**AROUND.teams, SECOND_LINE: joined}


def test_a_ticket_passes_to_another_team_whose_head_finds_somebody() -> None:
    first = ticket.given(OPENED, IN_FIRST, HELD)
    passed = first.when(TO_SECOND)
    passed.then(TRANSFERRED, TeamAssigned(team=SECOND_LINE), TicketUnassigned())
    assert passed.after is not None
    assert (passed.after.team, passed.after.assignee, passed.after.status) == (SECOND_LINE, None, "new")
    ticket.given(OPENED, IN_FIRST, HELD, *passed.events).when(TO_SECOND).nothing()


def test_who_is_of_the_new_team_or_is_named_holds_it_further() -> None:
    both = knowing(teams=with_members(ANNA)).given(OPENED, IN_FIRST, HELD)
    both.when(TO_SECOND).then(TRANSFERRED, TeamAssigned(team=SECOND_LINE))
    ticket.given(OPENED, HELD).when(msgspec.structs.replace(TO_SECOND, assignee=ANNA)).then(
        TRANSFERRED, TeamAssigned(team=SECOND_LINE)
    )
    ticket.given(OPENED, HELD).when(msgspec.structs.replace(TO_SECOND, assignee=BORIS)).then(
        TRANSFERRED, TeamAssigned(team=SECOND_LINE), TicketAssigned(assignee=BORIS)
    )
    both.when(msgspec.structs.replace(TO_SECOND, assignee=None)).then(
        TRANSFERRED, TeamAssigned(team=SECOND_LINE), TicketUnassigned()
    )


def test_a_ticket_passes_to_another_process_and_keeps_whoever_holds_it() -> None:
    passed = ticket.given(OPENED, IN_FIRST, HELD).when(TransferTicket(ticket=TICKET, role="TASK"))
    passed.then(TicketTransferred(role="TASK", team=FIRST_LINE), TASK)
    assert passed.after is not None
    assert (passed.after.assignee, passed.after.team) == (ANNA, FIRST_LINE)
    to_status = TransferTicket(ticket=TICKET, role="TASK", status="in_progress", note="")
    ticket.given(OPENED, HELD).when(to_status).then(
        TicketTransferred(role="TASK", team=None),
        msgspec.structs.replace(TASK, status="in_progress", category=StatusCategory.ACTIVE),
    )


def test_what_the_new_role_requires_is_named_and_can_be_given_on_the_way() -> None:
    role = Role(key="CLAIM", name="Claim", workflow="task", requires=("service", "assignee", "damage"))
    subject = knowing(workflows=some_workflows(DefineRole(role=role))).given(OPENED)
    to_claim = TransferTicket(ticket=TICKET, role="CLAIM", team=SECOND_LINE)
    missing = subject.when(to_claim)
    missing.refused(FieldsRequired, "service")
    assert missing.refusal is not None
    assert [one.field for one in missing.refusal.each] == [("service",), ("assignee",), ("fields", "damage")]
    given = msgspec.structs.replace(to_claim, service=HOSTING, assignee=ANNA)
    subject.when(given).refused(FieldRequired, "fields", "damage")
    whole = subject.when(msgspec.structs.replace(given, fields={"damage": "2 disks"}))
    assert [type(event) for event in whole.events] == [
        TicketTransferred,
        FieldSet,
        ServiceBound,
        TeamAssigned,
        TicketAssigned,
        RoleChanged,
    ]


def test_a_role_that_requires_an_assignee_keeps_one() -> None:
    role = Role(key="CLAIM", name="Claim", workflow="support", requires=("assignee",))
    subject = knowing(workflows=some_workflows(DefineRole(role=role))).given(
        msgspec.structs.replace(OPENED, role="CLAIM", assignee=ANNA)
    )
    subject.when(TO_SECOND).refused(FieldRequired, "assignee")
    subject.when(msgspec.structs.replace(TO_SECOND, assignee=BORIS)).then(
        msgspec.structs.replace(TRANSFERRED, role="CLAIM"),
        TeamAssigned(team=SECOND_LINE),
        TicketAssigned(assignee=BORIS),
    )


def test_nothing_else_is_touched() -> None:
    had = (
        HELD,
        CommentAdded(comment=COMMENT, author=ANNA, body="Hello", visibility=Visibility.PUBLIC),
        TicketLinked(kind=LinkKind.BLOCKS, other=PARENT),
        ContributorAdded(person=BORIS),
        TicketWatched(person=ANNA),
    )
    given = ticket.given(OPENED, *had)
    after = given.when(TransferTicket(ticket=TICKET, role="TASK", team=SECOND_LINE, note="Please")).after
    before = given.state
    assert after is not None
    assert before is not None
    changed = {name for name in before.__struct_fields__ if getattr(before, name) != getattr(after, name)}
    assert changed == {"role", "workflow", "team", "assignee", "status", "status_since", "version", "last_at"}
    assert after.links == (Link(kind=LinkKind.BLOCKS, other=PARENT),)


@pytest.mark.parametrize(
    ("said", "refusal", "field"),
    [
        ({}, InvalidValue, "team"),
        ({"note": "To nobody"}, InvalidValue, "team"),
        ({"team": STRANGE_TEAM}, TeamNotFound, "team"),
        ({"team": SECOND_LINE, "assignee": STRANGER}, PersonNotFound, "assignee"),
        ({"team": SECOND_LINE, "assignee": LEFT}, PersonNotFound, "assignee"),
        ({"team": SECOND_LINE, "service": RETIRED}, ServiceNotFound, "service"),
        ({"team": SECOND_LINE, "status": "done"}, InvalidValue, "status"),
        ({"role": "NONE"}, RoleNotFound, "role"),
        ({"role": "TASK", "status": "done"}, InvalidValue, "status"),
        ({"team": SECOND_LINE, "note": "a\0b"}, InvalidValue, "note"),
    ],
)
def test_a_hand_over_to_nowhere_is_refused(said: dict[str, object], refusal: type, field: str) -> None:
    ticket.given(OPENED).when(TransferTicket(ticket=TICKET, **said)).refused(refusal, field)  # type: ignore[arg-type]


def test_a_closed_ticket_is_not_handed_over() -> None:
    done = StatusChanged(workflow_version=1, status="done", category=StatusCategory.DONE)
    ticket.given(OPENED, done).when(TO_SECOND).refused(TicketIsClosed, "ticket")


def test_to_where_it_is_already_is_no_hand_over() -> None:
    there = ticket.given(OPENED, IN_FIRST, HELD)
    there.when(TransferTicket(ticket=TICKET, team=FIRST_LINE, note="Again")).nothing()
    there.when(TransferTicket(ticket=TICKET, role="INQUIRY", team=FIRST_LINE)).nothing()
    there.when(TransferTicket(ticket=TICKET, team=FIRST_LINE, assignee=BORIS)).then(TicketAssigned(assignee=BORIS))
