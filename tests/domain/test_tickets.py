"""The ticket: what each command does, what it refuses, and what holds after any sequence of commands."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from types import NoneType
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import tickets, workflows
from domain.errors import (
    FieldRequired,
    InvalidValue,
    OccurredBeforeLast,
    OccurredInFuture,
    ParentCycle,
    PersonNotFound,
    ReasonRequired,
    Refused,
    RoleNotFound,
    ServiceNotFound,
    StatusNotFound,
    TeamNotFound,
    TicketIsClosed,
    TicketNotFound,
    TransitionNotAllowed,
)
from domain.files import Upload
from domain.text import FieldValue, prose
from domain.tickets import (
    AddComment,
    AnswerEstimateQuestion,
    AskEstimateQuestion,
    AssignTicket,
    AttachmentCommand,
    ChangeRole,
    CommandToTicket,
    CommentAdded,
    EditComment,
    FieldSet,
    GiveEstimate,
    LinkKind,
    OpenTicket,
    ParentRemoved,
    ParentSet,
    Place,
    Priority,
    PriorityChanged,
    RankTicket,
    RequesterChanged,
    RequestEstimate,
    RoleChanged,
    ServiceBound,
    ServiceUnbound,
    SetParent,
    SetPriority,
    StatusChanged,
    Surroundings,
    TeamAssigned,
    TeamUnassigned,
    Ticket,
    TicketAssigned,
    TicketCommand,
    TicketEvent,
    TicketOpened,
    TicketUnassigned,
    TransitionTicket,
    Visibility,
)
from domain.workflows import (
    ANY,
    DefineRole,
    DefineWorkflow,
    Role,
    Status,
    StatusCategory,
    Transition,
    Workflow,
)
from tests.domain.given import (
    ANNA,
    AROUND,
    BORIS,
    COMMENT,
    FIRST_LINE,
    GRANDPARENT,
    HOSTING,
    LEFT,
    NOW,
    OPENED,
    PARENT,
    RETIRED,
    SECOND_LINE,
    START,
    STRANGE_SERVICE,
    STRANGE_TEAM,
    STRANGE_TICKET,
    STRANGER,
    TICKET,
    WORKFLOWS,
    an_id,
    hour,
    knowing,
    some_workflows,
    ticket,
)

HELD = TicketAssigned(assignee=ANNA)
STARTED = StatusChanged(workflow_version=1, status="in_progress", category=StatusCategory.ACTIVE)
WAITS = StatusChanged(workflow_version=1, status="waiting", category=StatusCategory.WAITING)
DONE = StatusChanged(workflow_version=1, status="done", category=StatusCategory.DONE)
CANCELLED = StatusChanged(workflow_version=1, status="cancelled", category=StatusCategory.CANCELLED)
SAID = CommentAdded(comment=COMMENT, author=ANNA, body="Which site?", visibility=Visibility.PUBLIC)
WHISPERED = CommentAdded(comment=COMMENT, author=ANNA, body="Again!", visibility=Visibility.INTERNAL)
IS_CHILD = ParentSet(parent=PARENT)

MINUTE = timedelta(minutes=1)


def opened(**changes: Any) -> TicketOpened:
    return msgspec.structs.replace(OPENED, **changes)


def moved(status: str, category: StatusCategory, version: int = 1) -> StatusChanged:
    return StatusChanged(workflow_version=version, status=status, category=category)


def state(*events: TicketEvent) -> Ticket:
    ticket_now = ticket.given(*events).state
    assert ticket_now is not None
    return ticket_now


# ---- open


def test_a_ticket_is_opened_at_the_start_of_its_roles_workflow() -> None:
    ticket.when(OpenTicket(title=" The site\nis down ", role="INCIDENT")).then(
        TicketOpened(
            number=1043,
            title="The site is down",
            role="INCIDENT",
            workflow="support",
            workflow_version=1,
            status="new",
            category=StatusCategory.NEW,
            priority=Priority.NORMAL,
            channel="api",
        )
    )


def test_a_ticket_is_opened_with_all_that_is_known() -> None:
    command = OpenTicket(
        title="The site is down",
        role="DEAL",
        description="\n Since nine. \n",
        service=HOSTING,
        requester=BORIS,
        channel=" phone ",
        priority=Priority.CRITICAL,
        assignee=ANNA,
        team=FIRST_LINE,
        parent=PARENT,
        tags=("site", " urgent", "site"),
        fields={"hours": 1.5, "paid": False, "note": None, "url": "https://example.org"},
        due_at=datetime(2026, 4, 1, 12, tzinfo=timezone(timedelta(hours=3))),
    )
    ticket.when(command).then(
        TicketOpened(
            number=1043,
            title="The site is down",
            description="Since nine.",
            role="DEAL",
            workflow="sales",
            workflow_version=1,
            status="new",
            category=StatusCategory.NEW,
            priority=Priority.CRITICAL,
            channel="phone",
            requester=BORIS,
            assignee=ANNA,
            team=FIRST_LINE,
            service=HOSTING,
            parent=PARENT,
            tags=("site", "urgent"),
            fields={"hours": 1.5, "paid": False, "note": None, "url": "https://example.org"},
            due_at=datetime(2026, 4, 1, 9, tzinfo=UTC),
        )
    )


@pytest.mark.parametrize("description", [None, "", " \n", "\u200b"])
def test_a_blank_description_is_none(description: str | None) -> None:
    (event,) = ticket.when(OpenTicket(title="Help", role="TASK", description=description)).events
    assert isinstance(event, TicketOpened)
    assert event.description is None


@pytest.mark.parametrize(
    ("changes", "kind", "field"),
    [
        ({"title": ""}, InvalidValue, "title"),
        ({"title": "x" * 301}, InvalidValue, "title"),
        ({"title": "a\0"}, InvalidValue, "title"),
        ({"role": "WISH"}, RoleNotFound, "role"),
        ({"role": "DEAL"}, FieldRequired, "requester"),
        ({"description": "\ud800"}, InvalidValue, "description"),
        ({"description": "x" * 100_001}, InvalidValue, "description"),
        ({"service": STRANGE_SERVICE}, ServiceNotFound, "service"),
        ({"service": RETIRED}, ServiceNotFound, "service"),
        ({"requester": STRANGER}, PersonNotFound, "requester"),
        ({"requester": LEFT}, PersonNotFound, "requester"),
        ({"assignee": STRANGER}, PersonNotFound, "assignee"),
        ({"assignee": LEFT}, PersonNotFound, "assignee"),
        ({"team": STRANGE_TEAM}, TeamNotFound, "team"),
        ({"parent": STRANGE_TICKET}, TicketNotFound, "parent"),
        ({"channel": " "}, InvalidValue, "channel"),
        ({"channel": "x" * 65}, InvalidValue, "channel"),
        ({"tags": ("a", "")}, InvalidValue, "tags"),
        ({"tags": ("x" * 65,)}, InvalidValue, "tags"),
        ({"tags": tuple(str(number) for number in range(51))}, InvalidValue, "tags"),
        ({"fields": {"two words": 1}}, InvalidValue, "fields"),
        ({"fields": {"\ud800": 1}}, InvalidValue, "fields"),
        ({"fields": {"a": "\0"}}, InvalidValue, "fields"),
        ({"fields": {f"f{number}": 1 for number in range(101)}}, InvalidValue, "fields"),
        ({"due_at": datetime(2026, 4, 1)}, InvalidValue, "dueAt"),  # noqa: DTZ001
        ({"due_at": datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=3)))}, InvalidValue, "dueAt"),
        ({"due_at": datetime(9999, 12, 31, 23, tzinfo=timezone(-timedelta(hours=3)))}, InvalidValue, "dueAt"),
    ],
    ids=lambda value: str(value)[:50] if isinstance(value, dict) else "",
)
def test_a_ticket_is_not_opened_with(changes: dict[str, Any], kind: type[Refused], field: str) -> None:
    command = msgspec.structs.replace(OpenTicket(title="Help", role="TASK"), **changes)
    ticket.when(command).refused(kind, field)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, "x" * 100_001], ids=lambda v: str(v)[:9])
def test_a_field_that_would_be_stored_with_loss_is_refused_by_name(value: FieldValue) -> None:
    ticket.when(OpenTicket(title="Help", role="TASK", fields={"hours": value})).refused(InvalidValue, "fields", "hours")


def test_an_offset_that_rfc_3339_cannot_write_survives_as_utc() -> None:
    due = datetime(2026, 4, 1, 12, tzinfo=timezone(timedelta(hours=2, minutes=30, seconds=17)))
    (event,) = ticket.when(OpenTicket(title="Help", role="TASK", due_at=due)).events
    assert isinstance(event, TicketOpened)
    assert event.due_at == due
    assert msgspec.json.decode(msgspec.json.encode(event), type=TicketOpened) == event


def test_a_role_may_require_custom_fields() -> None:
    known = some_workflows(DefineRole(role=Role(key="CLAIM", name="Claim", workflow="task", requires=("sum",))))
    subject = knowing(workflows=known)
    for value in (None, "", " "):
        command = OpenTicket(title="Help", role="CLAIM", fields={"sum": value})
        subject.when(command).refused(FieldRequired, "fields", "sum")
    given_values: tuple[FieldValue, ...] = (0, False, "0")
    for given_value in given_values:
        command = OpenTicket(title="Help", role="CLAIM", fields={"sum": given_value})
        assert subject.when(command).events


def test_commands_to_a_ticket_that_is_not_there_are_refused() -> None:
    commands: list[TicketCommand] = [
        ChangeRole(ticket=TICKET, role="TASK"),
        TransitionTicket(ticket=TICKET, status="done"),
        AssignTicket(ticket=TICKET, assignee=ANNA),
        SetPriority(ticket=TICKET, priority=Priority.HIGH),
        SetParent(ticket=TICKET, parent=PARENT),
        AddComment(ticket=TICKET, body="Hello"),
    ]
    for command in commands:
        ticket.when(command).refused(TicketNotFound, "ticket")


# ---- change role


def test_a_role_change_lands_where_the_new_workflow_says() -> None:
    ticket.given(OPENED, HELD, STARTED).when(ChangeRole(ticket=TICKET, role="TASK")).then(
        RoleChanged(
            role="TASK",
            workflow="task",
            workflow_version=1,
            status="in_progress",
            category=StatusCategory.ACTIVE,
        )
    )


def test_a_role_change_lands_at_the_start_where_the_workflow_maps_nothing() -> None:
    (event,) = ticket.given(OPENED, WAITS).when(ChangeRole(ticket=TICKET, role="PROBLEM")).events
    assert isinstance(event, RoleChanged)
    assert event.status == "new"


def test_a_role_change_takes_the_status_that_the_command_names() -> None:
    (event,) = ticket.given(OPENED).when(ChangeRole(ticket=TICKET, role="TASK", status="review")).events
    assert isinstance(event, RoleChanged)
    assert (event.status, event.category) == ("review", StatusCategory.REVIEW)


def test_a_role_change_within_one_workflow_keeps_the_status_and_its_clock() -> None:
    outcome = ticket.given(OPENED, HELD, STARTED).when(ChangeRole(ticket=TICKET, role="INCIDENT"))
    outcome.then(
        RoleChanged(
            role="INCIDENT",
            workflow="support",
            workflow_version=1,
            status="in_progress",
            category=StatusCategory.ACTIVE,
        )
    )
    assert outcome.after is not None
    assert outcome.after.status_since == hour(2)


def test_a_status_of_the_same_name_in_another_workflow_is_another_status() -> None:
    outcome = ticket.given(OPENED, HELD, STARTED).when(ChangeRole(ticket=TICKET, role="TASK"))
    assert outcome.after is not None
    assert (outcome.after.status, outcome.after.status_since) == ("in_progress", hour(3))


def test_a_closed_ticket_opens_again_in_its_new_role() -> None:
    for role, status in (("INCIDENT", "new"), ("PROJECT", "draft")):
        outcome = ticket.given(OPENED, DONE).when(ChangeRole(ticket=TICKET, role=role))
        assert outcome.after is not None
        assert (outcome.after.status, outcome.after.closed_at) == (status, None)


def test_a_role_change_keeps_everything_else() -> None:
    before = ticket.given(
        opened(fields={"hours": 2}, external_key="X-1"), IS_CHILD, HELD, TeamAssigned(team=FIRST_LINE), SAID
    )
    outcome = before.when(ChangeRole(ticket=TICKET, role="PROJECT"))
    assert outcome.state is not None
    assert outcome.after is not None
    changes = {"role", "workflow", "status", "status_since", "last_at", "version"}
    for name in set(Ticket.__struct_fields__) - changes:
        assert getattr(outcome.after, name) == getattr(outcome.state, name), name
    assert (outcome.after.key, outcome.after.role) == ("T-1042", "PROJECT")
    assert [said.id for said in outcome.after.comments] == [COMMENT]


def test_a_whole_life_from_inquiry_to_incident_keeps_number_and_talk() -> None:
    subject = ticket.given(OPENED, SAID)
    for role in ("LEAD", "DEAL", "PROJECT", "TASK", "BUG", "DOCUMENT", "INCIDENT"):
        outcome = subject.when(ChangeRole(ticket=TICKET, role=role))
        assert len(outcome.events) == 1
        subject = subject.given(*outcome.events)
    assert subject.state is not None
    assert (subject.state.number, subject.state.version, len(subject.state.comments)) == (1042, 9, 1)


def test_taking_the_same_role_again_changes_nothing() -> None:
    ticket.given(OPENED).when(ChangeRole(ticket=TICKET, role="INQUIRY")).nothing()
    ticket.given(OPENED).when(ChangeRole(ticket=TICKET, role="INQUIRY", status="new")).nothing()
    ticket.given(OPENED, DONE).when(ChangeRole(ticket=TICKET, role="INQUIRY")).nothing()


def test_a_role_change_to_the_same_role_is_no_way_around_the_transitions() -> None:
    for status in ("approval", "cancelled", "nowhere"):
        ticket.given(OPENED).when(ChangeRole(ticket=TICKET, role="INQUIRY", status=status)).refused(
            InvalidValue, "status"
        )


def test_what_is_asked_of_every_way_to_a_status_is_asked_of_a_role_change_too() -> None:
    cancel = ChangeRole(ticket=TICKET, role="TASK", status="cancelled")
    ticket.given(OPENED).when(cancel).refused(ReasonRequired, "reason")
    assert knowing(reason="A duplicate").given(OPENED).when(cancel).events


def test_a_role_whose_workflow_was_exchanged_is_taken_anew() -> None:
    known = some_workflows(DefineRole(role=Role(key="INQUIRY", name="Inquiry", workflow="task")))
    subject = knowing(workflows=known).given(OPENED)
    outcome = subject.when(ChangeRole(ticket=TICKET, role="INQUIRY"))
    outcome.then(
        RoleChanged(role="INQUIRY", workflow="task", workflow_version=1, status="todo", category=StatusCategory.NEW)
    )
    subject.given(*outcome.events).when(ChangeRole(ticket=TICKET, role="INQUIRY")).nothing()


def test_a_role_change_to_what_does_not_exist_is_refused() -> None:
    ticket.given(OPENED).when(ChangeRole(ticket=TICKET, role="WISH")).refused(RoleNotFound, "role")
    ticket.given(OPENED).when(ChangeRole(ticket=TICKET, role="TASK", status="waiting")).refused(
        StatusNotFound, "status"
    )


def test_a_role_change_asks_for_what_the_new_role_requires() -> None:
    ticket.given(opened(requester=None)).when(ChangeRole(ticket=TICKET, role="DEAL")).refused(
        FieldRequired, "requester"
    )
    assert ticket.given(OPENED).when(ChangeRole(ticket=TICKET, role="DEAL")).events


# ---- transition


def test_a_ticket_moves_along_its_workflow() -> None:
    ticket.given(OPENED, HELD).when(TransitionTicket(ticket=TICKET, status="in_progress")).then(STARTED)


def test_moving_to_where_it_is_changes_nothing() -> None:
    ticket.given(OPENED).when(TransitionTicket(ticket=TICKET, status="new")).nothing()


def test_closing_sets_when_and_reopening_clears_it() -> None:
    assert state(OPENED, DONE).closed_at == hour(1)
    reopen = ticket.given(OPENED, HELD, DONE).when(TransitionTicket(ticket=TICKET, status="in_progress"))
    reopen.then(STARTED)
    assert reopen.after is not None
    assert reopen.after.closed_at is None


def test_cancelling_what_is_done_keeps_when_it_was_closed_first() -> None:
    cancel = knowing(reason="A mistake").given(OPENED, DONE)
    outcome = cancel.when(TransitionTicket(ticket=TICKET, status="cancelled"))
    outcome.then(CANCELLED)
    assert outcome.after is not None
    assert (outcome.after.closed_at, outcome.after.status_since) == (hour(1), hour(2))


def test_a_move_that_the_workflow_does_not_have_is_refused_and_names_the_ways() -> None:
    outcome = ticket.given(OPENED).when(TransitionTicket(ticket=TICKET, status="approval"))
    outcome.refused(TransitionNotAllowed, "status")
    assert "in_progress, waiting, done, cancelled" in str(outcome.refusal)


def test_a_move_to_a_status_of_another_workflow_is_refused() -> None:
    ticket.given(OPENED).when(TransitionTicket(ticket=TICKET, status="todo")).refused(StatusNotFound, "status")


def test_a_move_asks_for_the_fields_that_it_requires() -> None:
    ticket.given(OPENED).when(TransitionTicket(ticket=TICKET, status="in_progress")).refused(FieldRequired, "assignee")


@pytest.mark.parametrize("reason", [None, "", " \n", "\u200b"])
def test_a_move_asks_for_a_reason_in_words(reason: str | None) -> None:
    cancel = TransitionTicket(ticket=TICKET, status="cancelled")
    knowing(reason=reason).given(OPENED).when(cancel).refused(ReasonRequired, "reason")


def test_a_move_brings_the_custom_fields_that_it_requires() -> None:
    task = knowing(workflows=some_workflows(DefineWorkflow(workflow=WITH_CAUSE))).given(OPENED)
    close = TransitionTicket(ticket=TICKET, status="done", fields={"cause": "Full disk", "reason": "-"})
    task.when(TransitionTicket(ticket=TICKET, status="done")).refused(FieldRequired, "fields", "cause")
    task.when(TransitionTicket(ticket=TICKET, status="done", fields={"cause": " "})).refused(
        FieldRequired, "fields", "cause"
    )
    outcome = task.when(close)
    outcome.then(
        FieldSet(key="cause", value="Full disk"),
        FieldSet(key="reason", value="-"),
        moved("done", StatusCategory.DONE, version=2),
    )
    task.given(*outcome.events).when(close).nothing()


def test_a_custom_field_called_reason_is_not_the_reason() -> None:
    subject = ticket.given(opened(fields={"reason": "something"}))
    subject.when(TransitionTicket(ticket=TICKET, status="cancelled")).refused(ReasonRequired, "reason")
    assert subject.state is not None
    assert missing(subject.state)["cancelled"] == ("reason",)


def test_only_fields_that_differ_are_set_and_true_differs_from_one() -> None:
    subject = ticket.given(opened(fields={"paid": 1, "hours": 2, "url": "a"}))
    same: dict[str, FieldValue] = {"hours": 2.0, "url": "a", "absent": None}
    subject.when(TransitionTicket(ticket=TICKET, status="new", fields={"paid": True, **same})).then(
        FieldSet(key="paid", value=True)
    )


def test_bad_fields_of_a_move_are_refused() -> None:
    too_many: dict[str, FieldValue] = {f"f{number}": 1 for number in range(101)}
    unspeakable: dict[str, FieldValue] = {"a b": 1}
    for fields in (unspeakable, too_many):
        ticket.given(OPENED).when(TransitionTicket(ticket=TICKET, status="done", fields=fields)).refused(
            InvalidValue, "fields"
        )
    ticket.given(OPENED).when(TransitionTicket(ticket=TICKET, status="done", fields={"hours": float("nan")})).refused(
        InvalidValue, "fields", "hours"
    )


def test_the_fields_of_all_moves_together_have_a_limit() -> None:
    full = ticket.given(opened(fields={f"f{number}": 1 for number in range(100)}))
    full.when(TransitionTicket(ticket=TICKET, status="new", fields={"one": 1})).refused(InvalidValue, "fields")
    full.when(TransitionTicket(ticket=TICKET, status="new", fields={"f1": 2})).then(FieldSet(key="f1", value=2))


# ---- versions of workflows


def support(*without: str, **changes: Any) -> Workflow:
    """The support workflow, changed or without some of its statuses."""
    old = WORKFLOWS.newest("support")
    return msgspec.structs.replace(
        old,
        statuses=tuple(status for status in old.statuses if status.key not in without),
        transitions=tuple(way for way in old.transitions if not {way.source, way.target} & set(without)),
        landing={category: status for category, status in old.landing.items() if status not in without},
        **changes,
    )


WITH_CAUSE = msgspec.structs.replace(
    support(),
    transitions=tuple(
        msgspec.structs.replace(way, requires=("cause",)) if way.target == "done" else way
        for way in support().transitions
    ),
)
NO_WAITING = some_workflows(DefineWorkflow(workflow=support("waiting")))


def test_a_ticket_keeps_the_version_that_it_entered_until_it_moves() -> None:
    outcome = knowing(workflows=NO_WAITING).given(OPENED).when(SetPriority(ticket=TICKET, priority=Priority.HIGH))
    assert outcome.after is not None
    assert outcome.after.workflow_version == 1


def test_a_move_is_judged_by_the_newest_version_and_enters_it() -> None:
    subject = knowing(workflows=NO_WAITING).given(OPENED)
    subject.when(TransitionTicket(ticket=TICKET, status="waiting")).refused(StatusNotFound, "status")
    outcome = subject.when(TransitionTicket(ticket=TICKET, status="done"))
    outcome.then(moved("done", StatusCategory.DONE, version=2))
    assert outcome.after is not None
    assert outcome.after.workflow_version == 2


def test_nobody_is_stranded_in_a_status_that_the_newest_version_lost() -> None:
    stranded = knowing(workflows=NO_WAITING).given(OPENED, HELD, WAITS)
    assert stranded.state is not None
    assert tickets.judging(stranded.state, NO_WAITING)[0].version == 1
    outcome = stranded.when(TransitionTicket(ticket=TICKET, status="in_progress"))
    outcome.then(STARTED)
    stranded.given(*outcome.events).when(TransitionTicket(ticket=TICKET, status="approval")).then(
        moved("approval", StatusCategory.REVIEW, 2)
    )


def test_a_role_change_of_a_stranded_ticket_within_its_workflow_lands() -> None:
    (event,) = (
        knowing(workflows=NO_WAITING).given(OPENED, WAITS).when(ChangeRole(ticket=TICKET, role="INCIDENT")).events
    )
    assert isinstance(event, RoleChanged)
    assert (event.status, event.workflow_version) == ("new", 2)


def missing(ticket_now: Ticket, known: workflows.Workflows = WORKFLOWS) -> dict[str, tuple[str, ...]]:
    return {status.key: requires for status, requires in tickets.available_transitions(ticket_now, known)}


def test_available_transitions_say_what_is_still_missing() -> None:
    assert missing(state(OPENED)) == {
        "in_progress": ("assignee",),
        "waiting": (),
        "done": (),
        "cancelled": ("reason",),
    }
    assert missing(state(OPENED, HELD))["in_progress"] == ()
    assert set(missing(state(OPENED, WAITS), NO_WAITING)) == {"in_progress", "approval", "done", "cancelled"}


def test_a_transition_that_is_available_and_misses_nothing_is_never_refused() -> None:
    for status in WORKFLOWS.newest("support").statuses:
        subject = ticket.given(OPENED, HELD, moved(status.key, status.category))
        assert subject.state is not None
        for target, requires in missing(subject.state).items():
            outcome = subject.when(TransitionTicket(ticket=TICKET, status=target))
            assert bool(outcome.refusal) is bool(requires)


# ---- assign


def test_a_ticket_is_assigned_to_a_person_and_a_team_at_once() -> None:
    ticket.given(OPENED).when(AssignTicket(ticket=TICKET, assignee=ANNA, team=FIRST_LINE)).then(
        TeamAssigned(team=FIRST_LINE), HELD
    )


def test_what_is_not_named_stays_and_null_unassigns() -> None:
    both = ticket.given(OPENED, HELD, TeamAssigned(team=FIRST_LINE))
    both.when(AssignTicket(ticket=TICKET, assignee=None)).then(TicketUnassigned())
    both.when(AssignTicket(ticket=TICKET, team=None)).then(TeamUnassigned())
    both.when(AssignTicket(ticket=TICKET, team=SECOND_LINE)).then(TeamAssigned(team=SECOND_LINE))


def test_assigning_to_who_holds_it_changes_nothing_even_if_they_have_left() -> None:
    ticket.given(OPENED, HELD).when(AssignTicket(ticket=TICKET, assignee=ANNA, team=None)).nothing()
    ticket.given(OPENED, TicketAssigned(assignee=LEFT)).when(AssignTicket(ticket=TICKET, assignee=LEFT)).nothing()
    ticket.given(OPENED).when(AssignTicket(ticket=TICKET, assignee=None)).nothing()


def test_assigning_nobody_and_no_team_says_nothing_and_is_refused() -> None:
    ticket.given(OPENED).when(AssignTicket(ticket=TICKET)).refused(InvalidValue, "assignee")


def test_a_ticket_is_not_assigned_to_whom_there_is_not() -> None:
    subject = ticket.given(OPENED)
    subject.when(AssignTicket(ticket=TICKET, assignee=STRANGER)).refused(PersonNotFound, "assignee")
    subject.when(AssignTicket(ticket=TICKET, assignee=LEFT)).refused(PersonNotFound, "assignee")
    subject.when(AssignTicket(ticket=TICKET, team=STRANGE_TEAM)).refused(TeamNotFound, "team")
    subject.when(AssignTicket(ticket=TICKET, assignee=STRANGER, team=FIRST_LINE)).refused(PersonNotFound)


@pytest.mark.parametrize("end", [DONE, CANCELLED])
def test_a_closed_ticket_is_not_assigned(end: StatusChanged) -> None:
    ticket.given(OPENED, end).when(AssignTicket(ticket=TICKET, assignee=ANNA)).refused(TicketIsClosed, "ticket")


# ---- priority


def test_a_priority_is_set_once() -> None:
    raise_it = SetPriority(ticket=TICKET, priority=Priority.CRITICAL)
    raised = PriorityChanged(priority=Priority.CRITICAL)
    ticket.given(OPENED).when(raise_it).then(raised)
    ticket.given(OPENED, raised).when(raise_it).nothing()


def test_a_closed_tickets_priority_stays() -> None:
    ticket.given(OPENED, DONE).when(SetPriority(ticket=TICKET, priority=Priority.LOW)).refused(TicketIsClosed, "ticket")


def test_what_a_closed_ticket_refuses_is_not_offered() -> None:
    for events in ((OPENED,), (OPENED, DONE)):
        subject = ticket.given(*events)
        assert subject.state is not None
        offered = [
            tickets.possible(subject.state, kind) for kind in (AssignTicket, SetPriority, AddComment, ChangeRole)
        ]
        assert offered == [not subject.state.closed] * 2 + [True, True]


# ---- parent


def test_a_ticket_is_put_under_a_parent_and_taken_out_again() -> None:
    ticket.given(OPENED).when(SetParent(ticket=TICKET, parent=PARENT)).then(IS_CHILD)
    ticket.given(OPENED, IS_CHILD).when(SetParent(ticket=TICKET, parent=GRANDPARENT)).then(
        ParentSet(parent=GRANDPARENT)
    )
    ticket.given(OPENED, IS_CHILD).when(SetParent(ticket=TICKET, parent=None)).then(ParentRemoved())


def test_the_same_parent_again_changes_nothing() -> None:
    ticket.given(OPENED, IS_CHILD).when(SetParent(ticket=TICKET, parent=PARENT)).nothing()
    ticket.given(OPENED).when(SetParent(ticket=TICKET, parent=None)).nothing()


def test_a_ticket_is_not_its_own_parent() -> None:
    ticket.given(OPENED).when(SetParent(ticket=TICKET, parent=TICKET)).refused(ParentCycle, "parent")


def test_a_descendant_does_not_become_the_parent() -> None:
    below = knowing(ancestors=(PARENT, GRANDPARENT, TICKET)).given(OPENED)
    below.when(SetParent(ticket=TICKET, parent=PARENT)).refused(ParentCycle, "parent")
    above = knowing(ancestors=(PARENT, GRANDPARENT)).given(OPENED)
    above.when(SetParent(ticket=TICKET, parent=PARENT)).then(IS_CHILD)


def test_a_parent_that_is_not_there_is_refused() -> None:
    ticket.given(OPENED).when(SetParent(ticket=TICKET, parent=STRANGE_TICKET)).refused(TicketNotFound, "parent")


def test_closed_tickets_may_be_sorted_under_parents_and_closed_parents_take_children() -> None:
    closed = state(OPENED, DONE)
    ticket.given(OPENED, DONE).when(SetParent(ticket=TICKET, parent=PARENT)).then(IS_CHILD)
    knowing(tickets={PARENT: closed}).given(OPENED).when(SetParent(ticket=TICKET, parent=PARENT)).then(IS_CHILD)


# ---- time


def happened(events: list[TicketEvent], at: datetime | None, now: datetime = NOW) -> datetime:
    """When the events would have happened to a ticket opened at hour 0, started at hour 2, told at hour 3."""
    around = msgspec.structs.replace(AROUND, now=now, at=at)
    return tickets.occurred_at(state(OPENED, HELD, STARTED, SAID), events, around)


def test_a_command_that_names_no_time_happens_now() -> None:
    assert happened([DONE], at=None) == NOW
    assert tickets.occurred_at(None, [OPENED], AROUND) == NOW


def test_a_clock_behind_the_tickets_last_change_refuses_nobody() -> None:
    assert happened([DONE], at=None, now=hour(1)) == hour(2)
    assert happened([SAID], at=None, now=hour(1)) == hour(2)


def test_a_named_time_is_taken_down_to_the_last_change() -> None:
    assert happened([DONE], at=hour(2)) == hour(2)
    assert happened([DONE], at=NOW) == NOW
    assert tickets.occurred_at(None, [OPENED], msgspec.structs.replace(AROUND, at=START)) == START


def test_what_changes_a_ticket_is_not_dated_before_its_last_change() -> None:
    with pytest.raises(OccurredBeforeLast) as refused:
        happened([DONE], at=hour(2) - MINUTE)
    assert refused.value.field == ("occurredAt",)
    with pytest.raises(OccurredBeforeLast):
        happened([SAID, DONE], at=hour(2) - MINUTE)


def test_nothing_is_dated_in_the_future() -> None:
    for event in (DONE, SAID):
        with pytest.raises(OccurredInFuture):
            happened([event], at=NOW + MINUTE)
    with pytest.raises(OccurredInFuture):
        tickets.occurred_at(None, [OPENED], msgspec.structs.replace(AROUND, at=NOW + MINUTE))


def test_comments_are_dated_back_but_not_before_the_opening() -> None:
    assert happened([SAID], at=hour(0)) == hour(0)
    with pytest.raises(OccurredBeforeLast):
        happened([SAID], at=hour(0) - MINUTE)


def test_a_comment_moves_no_clock_of_the_ticket() -> None:
    told = state(OPENED, SAID)
    assert (told.last_at, told.status_since, told.version) == (hour(0), hour(0), 2)


def test_a_named_time_needs_an_offset_and_a_place_in_the_calendar() -> None:
    for at in (
        datetime(2026, 3, 3),  # noqa: DTZ001
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=3))),
    ):
        with pytest.raises(InvalidValue) as refused:
            happened([DONE], at=at)
        assert refused.value.field == ("occurredAt",)


def test_a_named_time_in_another_zone_is_the_same_instant_in_utc() -> None:
    tokyo = hour(5).astimezone(timezone(timedelta(hours=9)))
    taken = happened([DONE], at=tokyo)
    assert (taken, taken.tzinfo) == (tokyo, UTC)


# ---- keys and folding


def test_the_rank_of_tickets_sorts_as_their_numbers_do() -> None:
    ranks = [state(opened(number=number)).rank for number in (1, 9, 10, 99, 100, 10**11)]
    assert ranks == sorted(ranks)
    assert state(opened(number=10**11)).key == "T-100000000000"


def test_events_that_only_imports_and_later_commands_write_are_folded_too() -> None:
    folded = state(
        OPENED,
        ServiceBound(service=HOSTING),
        RequesterChanged(requester=ANNA),
        FieldSet(key="hours", value=2),
        FieldSet(key="hours", value=None),
    )
    assert (folded.service, folded.requester, folded.fields) == (HOSTING, ANNA, {"hours": None})
    assert state(OPENED, ServiceBound(service=HOSTING), ServiceUnbound()).service is None
    assert state(opened(status="done", category=StatusCategory.DONE)).closed_at == hour(0)


# ---- any sequence of commands

STATUSES = ["new", "in_progress", "waiting", "approval", "done", "cancelled", "todo", "won", "triage", "?"]
PEOPLE, TEAMS = [ANNA, BORIS, LEFT, STRANGER], [FIRST_LINE, SECOND_LINE, STRANGE_TEAM]
PARENTS = [PARENT, GRANDPARENT, STRANGE_TICKET, TICKET]
TEXTS = st.sampled_from(["Help", "  a\tb ", "cafe\u0301", "", "\u200b", "\0", "\ud800"]) | st.text(max_size=20)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.sampled_from([0, 1, 0.0, 1.0])
FIELDS = st.dictionaries(st.sampled_from(["cause", "paid", "reason", "a b"]), VALUES, max_size=3)
SOME_ROLES = st.sampled_from(["INQUIRY", "INCIDENT", "TASK", "DEAL", "PROJECT", "CLAIM", "?"])
COMMENTS = [an_id(1000 + number) for number in range(5)]

OPENINGS = st.builds(
    OpenTicket,
    title=TEXTS,
    role=SOME_ROLES,
    requester=st.none() | st.sampled_from(PEOPLE),
    assignee=st.none() | st.sampled_from(PEOPLE),
    parent=st.none() | st.sampled_from(PARENTS),
    fields=FIELDS,
    tags=st.lists(TEXTS, max_size=2).map(tuple),
    due_at=st.none() | st.datetimes(timezones=st.none() | st.timezones()),
)
UPLOADED = Upload(bytes=4, sha256="00" * 32, content="somewhere", head=b"text")
INSTANTS = st.datetimes(timezones=st.none() | st.timezones())
SECONDS = st.integers(-1, 10**9)
PRICES = st.sampled_from([Decimal(0), Decimal("0.5"), Decimal(-1), Decimal("NaN"), Decimal(10) ** 13])
WORDS: dict[str, st.SearchStrategy[Any]] = {
    "ticket": st.just(TICKET),
    "role": SOME_ROLES,
    "status": st.sampled_from(STATUSES),
    "fields": FIELDS,
    "field": st.sampled_from(["cause", "paid", "a b"]),
    "value": VALUES,
    "assignee": st.sampled_from(PEOPLE),
    "person": st.sampled_from(PEOPLE),
    "requester": st.sampled_from(PEOPLE),
    "team": st.sampled_from(TEAMS),
    "service": st.sampled_from([HOSTING, RETIRED, STRANGE_SERVICE]),
    "priority": st.sampled_from(Priority),
    "parent": st.sampled_from(PARENTS),
    "kind": st.sampled_from(LinkKind),
    "other": st.sampled_from(PARENTS),
    "into": st.sampled_from(PARENTS),
    "note": TEXTS,
    "title": TEXTS,
    "description": TEXTS,
    "body": TEXTS,
    "tags": st.lists(st.sampled_from(["a", "b", " a "]) | TEXTS, max_size=3).map(tuple),
    "start_at": INSTANTS,
    "due_at": INSTANTS,
    "visibility": st.sampled_from(Visibility),
    "in_reply_to": st.sampled_from(COMMENTS),
    "comment": st.sampled_from(COMMENTS),
    "mentions": st.lists(st.sampled_from(PEOPLE), max_size=3).map(tuple),
    "upload": st.just(an_id(51)),
    "name": TEXTS,
    "media_type": st.sampled_from(["text/plain", "?"]),
    "attachment": st.sampled_from(COMMENTS),
    "after": st.sampled_from(PARENTS),
    "before": st.sampled_from(PARENTS),
    "to": st.sampled_from(Place),
    "sensitive": st.booleans(),
    "score": st.integers(0, 6),
    "about": TEXTS,
    "text": TEXTS,
    "estimate": st.sampled_from(COMMENTS),
    "question": st.sampled_from(COMMENTS),
    "least_seconds": SECONDS,
    "most_seconds": SECONDS,
    "least_price": PRICES,
    "most_price": PRICES,
    "currency": st.sampled_from(["EUR", "JPY", "?"]),
    "valid_until": st.sampled_from([START.date(), NOW.date()]),
}
"""What may stand in a field of a command, by its name: a new command joins by naming no field that is unknown here."""


def any_of(kind: type[CommandToTicket]) -> st.SearchStrategy[CommandToTicket]:
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for field in msgspec.structs.fields(kind):
        # A comment is one of the ticket's, or what is said of a rating.
        said = TEXTS if field.name == "comment" and str in get_args(field.type) else WORDS[field.name]
        values = said | st.none() if NoneType in get_args(field.type) else said
        # Who gives the command stands there before it is decided.
        (required if field.required or field.name == "person" else optional)[field.name] = (
            WORDS["person"] if field.name == "person" else values
        )
    return st.fixed_dictionaries(required, optional=optional).map(lambda said: kind(**said))


COMMANDS: st.SearchStrategy[TicketCommand] = st.one_of([any_of(kind) for kind in get_args(CommandToTicket)])
TRIAGE = support("waiting", "new", initial="triage")
TRIAGE = msgspec.structs.replace(
    TRIAGE,
    statuses=(Status(key="triage", name="Triage", category=StatusCategory.NEW), *TRIAGE.statuses),
    transitions=(*TRIAGE.transitions, Transition(source=ANY, target="triage")),
)
REDEFINITIONS: list[workflows.WorkflowsCommand] = [
    DefineWorkflow(workflow=support()),
    DefineWorkflow(workflow=support("waiting")),
    DefineWorkflow(workflow=WITH_CAUSE),
    DefineWorkflow(workflow=TRIAGE),
    DefineRole(role=Role(key="CLAIM", name="Claim", workflow="support", requires=("cause",))),
    DefineRole(role=Role(key="INCIDENT", name="Incident", workflow="task")),
    DefineRole(role=Role(key="INCIDENT", name="Incident", workflow="support")),
]


class Step(msgspec.Struct, frozen=True):
    """A command, after the clock went by `minutes` (backwards too) and perhaps a definition was changed."""

    command: TicketCommand
    minutes: int
    named: int | None
    reason: str | None
    redefinition: workflows.WorkflowsCommand | None


STEPS = st.lists(
    st.builds(
        Step,
        COMMANDS,
        minutes=st.integers(-3, 10),
        named=st.none() | st.integers(-15, 2),
        reason=st.sampled_from([None, "", "Because"]),
        redefinition=st.none() | st.sampled_from(REDEFINITIONS),
    ),
    min_size=1,
    max_size=20,
)


class World:
    """One ticket, the definitions and the clock; `give` decides, checks what must hold, and folds."""

    def __init__(self) -> None:
        self.ticket: Ticket | None = None
        self.events: list[tuple[TicketEvent, datetime]] = []
        self.workflows = WORKFLOWS
        self.now = START

    def redefine(self, command: workflows.WorkflowsCommand) -> None:
        for event in workflows.decide(self.workflows, command):
            self.workflows = workflows.evolve(self.workflows, event, self.now)

    def give(self, command: TicketCommand, named: datetime | None, reason: str | None) -> None:
        around = msgspec.structs.replace(
            AROUND,
            now=self.now,
            at=named,
            reason=reason,
            workflows=self.workflows,
            new_id=COMMENTS[len(self.events) % len(COMMENTS)],
            upload=UPLOADED,
        )
        before = self.ticket
        as_it_was = msgspec.json.encode((before, around), enc_hook=list)
        try:
            events = tickets.decide(before, command, around)
            at = tickets.occurred_at(before, events, around)
        except Refused as refusal:
            "\n".join((refusal.message, *(refusal.field or ()))).encode()  # a refusal can be sent
            return
        finally:
            assert msgspec.json.encode((before, around), enc_hook=list) == as_it_was, "decide changed what it was given"
        for event in events:
            stored = msgspec.json.decode(msgspec.json.encode(event), type=type(event))
            assert stored == event, "an event is stored without loss"
            assert msgspec.json.encode(stored) == msgspec.json.encode(event)
            self.ticket = tickets.evolve(self.ticket, stored, at)
            self.events.append((stored, at))
        self.check(before, around, command, events)

    def check(
        self, before: Ticket | None, around: Surroundings, command: TicketCommand, events: list[TicketEvent]
    ) -> None:
        after = self.ticket
        assert after is not None
        assert after.version == len(self.events)
        assert (after.closed_at is None) is (not after.category.closed)
        status = self.workflows.version(after.workflow, after.workflow_version).status(after.status)
        assert status.category is after.category
        assert after.opened_at <= after.status_since <= after.last_at
        assert after.closed_at is None or after.opened_at <= after.closed_at <= after.last_at
        if before is not None:
            assert after.last_at >= before.last_at
            assert (after.number, after.opened_at) == (before.number, before.opened_at)
            kept = [said.id for said in before.comments]
            assert [said.id for said in after.comments[: len(kept)]] == kept, "each keeps its place"
            assert events or after == before
        # Where a card stands depends on its neighbours, who do not move here: tests of ranking repeat it among them.
        if isinstance(command, EditComment):
            around = msgspec.structs.replace(around, text=prose(command.body, "body"))
        says = (
            AddComment
            | AttachmentCommand
            | RequestEstimate
            | AskEstimateQuestion
            | AnswerEstimateQuestion
            | GiveEstimate
        )
        if not isinstance(command, says | RankTicket | OpenTicket):
            assert tickets.decide(after, command, around) == [], "a repeated command is harmless"
        for target, requires in tickets.available_transitions(after, self.workflows):
            if not requires:
                assert tickets.decide(after, TransitionTicket(ticket=TICKET, status=target.key), around)


@settings(max_examples=300, deadline=None)
@given(opening=OPENINGS, steps=STEPS)
def test_any_sequence_of_commands_keeps_what_must_hold(opening: OpenTicket, steps: list[Step]) -> None:
    world = World()
    world.give(opening, None, None)
    if world.ticket is None:
        world.give(OpenTicket(title="Help", role="INQUIRY", requester=BORIS), None, None)
    for step in steps:
        world.now += step.minutes * MINUTE
        if step.redefinition is not None:
            world.redefine(step.redefinition)
        named = None if step.named is None else world.now + step.named * MINUTE
        world.give(step.command, named, step.reason)

    replayed: Ticket | None = None
    for event, at in world.events:
        replayed = tickets.evolve(replayed, event, at)
    assert replayed == world.ticket


# ---- a status that is gone, and another that stands for it

MAPPED = some_workflows(DefineWorkflow(workflow=support("waiting"), mapping={"waiting": "in_progress"}))


def test_a_ticket_in_a_status_that_is_gone_moves_from_the_one_that_stands_for_it() -> None:
    waits = knowing(workflows=MAPPED).given(OPENED, HELD, WAITS)
    assert waits.state is not None
    assert "in_progress" in missing(waits.state, MAPPED)
    waits.when(TransitionTicket(ticket=TICKET, status="approval")).then(moved("approval", StatusCategory.REVIEW, 2))
    waits.when(TransitionTicket(ticket=TICKET, status="in_progress")).then(
        moved("in_progress", StatusCategory.ACTIVE, version=2)
    )
    (event,) = waits.when(ChangeRole(ticket=TICKET, role="INCIDENT")).events
    assert isinstance(event, RoleChanged)
    assert (event.status, event.workflow_version) == ("in_progress", 2)
