"""An import records what really changed, as the events that commands produce, and asks no transition rule."""

from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given as for_any
from hypothesis import strategies as st

from domain import imports, tickets
from domain.errors import InvalidValue
from domain.imports import ImportComment, ImportRow, Origin
from domain.tickets import (
    CommentAdded,
    Priority,
    PriorityChanged,
    RequesterChanged,
    RoleChanged,
    ServiceBound,
    ServiceUnbound,
    StatusChanged,
    TeamAssigned,
    TeamUnassigned,
    Ticket,
    TicketAssigned,
    TicketEvent,
    TicketOpened,
    TicketRetitled,
    TicketTagged,
    TicketUnassigned,
    TicketUntagged,
    TicketWatched,
    Visibility,
)
from domain.workflows import Status, StatusCategory, Workflow
from tests.domain.given import ANNA, BORIS, FIRST_LINE, HOSTING, SECOND_LINE, START, Subject, an_id, hour

NEW = Status(key="new", name="New", category=StatusCategory.NEW)
ACTIVE = Status(key="active", name="Active", category=StatusCategory.ACTIVE)
CLOSED = Status(key="closed", name="Closed", category=StatusCategory.DONE)
WORKFLOW = Workflow(
    key="legacy", name="Legacy", initial="new", statuses=(NEW, ACTIVE, CLOSED), transitions=(), version=3
)
ORIGIN = Origin(workflow=WORKFLOW, role="INCIDENT")

OPENED = TicketOpened(
    number=7,
    title="INC7",
    role="INCIDENT",
    workflow="legacy",
    workflow_version=3,
    status="new",
    category=StatusCategory.NEW,
    priority=Priority.NORMAL,
    channel="import",
    external_key="INC7",
)

imported = Subject[Ticket, ImportRow, TicketEvent](
    lambda ticket, row: imports.decide(ticket, row, ORIGIN), tickets.evolve
)


def first_row(**said: Any) -> ImportRow:
    return ImportRow(number=7, external_key="INC7", **said)


def test_the_first_row_opens_the_ticket_as_it_says() -> None:
    row = first_row(
        status=ACTIVE,
        role="PROBLEM",
        assignee=ANNA,
        team=FIRST_LINE,
        priority=Priority.HIGH,
        service=HOSTING,
        requester=BORIS,
        title="  The site\nis down ",
        description="Since nine.",
        channel="Phone",
    )
    imported.when(row).then(
        TicketOpened(
            number=7,
            title="The site is down",
            description="Since nine.",
            role="PROBLEM",
            workflow="legacy",
            workflow_version=3,
            status="active",
            category=StatusCategory.ACTIVE,
            priority=Priority.HIGH,
            channel="Phone",
            requester=BORIS,
            assignee=ANNA,
            team=FIRST_LINE,
            service=HOSTING,
            external_key="INC7",
        )
    )


def test_what_the_first_row_does_not_say_has_a_default() -> None:
    imported.when(first_row()).then(OPENED)


def test_a_ticket_may_begin_closed() -> None:
    outcome = imported.when(first_row(status=CLOSED))
    assert outcome.after is not None
    assert outcome.after.closed_at == START


def test_a_title_that_is_too_long_is_cut() -> None:
    outcome = imported.when(first_row(title="x" * 400))
    assert outcome.after is not None
    assert outcome.after.title == "x" * 299 + "…"


@pytest.mark.parametrize(
    ("act", "event"),
    [
        ({"tagged": "urgent"}, TicketTagged(tags=("urgent",))),
        ({"tags": ("a", "b"), "untagged": "a"}, TicketUntagged(tags=("a",))),
        ({"retitled": "Printer"}, TicketRetitled(title="Printer")),
        ({"assignee": ANNA, "unassigned": ANNA}, TicketUnassigned()),
        ({"watched": ANNA}, TicketWatched(person=ANNA)),
        (
            {"comment": ImportComment(id=an_id(9), author=ANNA, body="Since nine.")},
            CommentAdded(
                comment=an_id(9),
                author=ANNA,
                body="Since nine.",
                visibility=Visibility.PUBLIC,
                in_reply_to=None,
                mentions=(),
            ),
        ),
    ],
)
def test_what_was_done_in_the_first_row_is_done_to_the_opened_ticket(act: dict[str, Any], event: TicketEvent) -> None:
    stands = {key: said for key, said in act.items() if key in ("tags", "assignee")}
    imported.when(first_row(**act)).then(msgspec.structs.replace(OPENED, **stands), event)


@pytest.mark.parametrize(
    ("before", "row", "event"),
    [
        ({}, {"status": CLOSED}, StatusChanged(workflow_version=3, status="closed", category=StatusCategory.DONE)),
        ({}, {"assignee": ANNA}, TicketAssigned(assignee=ANNA)),
        ({"assignee": ANNA}, {"assignee": BORIS}, TicketAssigned(assignee=BORIS)),
        ({"assignee": ANNA}, {"assignee": None}, TicketUnassigned()),
        ({}, {"tags": ("b", "a")}, TicketTagged(tags=("b", "a"))),
        ({"tags": ("a", "b")}, {"tags": ("b",)}, TicketUntagged(tags=("a",))),
        ({}, {"team": FIRST_LINE}, TeamAssigned(team=FIRST_LINE)),
        ({"team": FIRST_LINE}, {"team": SECOND_LINE}, TeamAssigned(team=SECOND_LINE)),
        ({"team": FIRST_LINE}, {"team": None}, TeamUnassigned()),
        ({}, {"priority": Priority.LOW}, PriorityChanged(priority=Priority.LOW)),
        ({}, {"service": HOSTING}, ServiceBound(service=HOSTING)),
        ({"service": HOSTING}, {"service": None}, ServiceUnbound()),
        ({}, {"requester": BORIS}, RequesterChanged(requester=BORIS)),
        ({"requester": BORIS}, {"requester": None}, RequesterChanged(requester=None)),
        (
            {},
            {"role": "PROBLEM"},
            RoleChanged(
                role="PROBLEM", workflow="legacy", workflow_version=3, status="new", category=StatusCategory.NEW
            ),
        ),
        (
            {},
            {"role": "PROBLEM", "status": ACTIVE},
            RoleChanged(
                role="PROBLEM", workflow="legacy", workflow_version=3, status="active", category=StatusCategory.ACTIVE
            ),
        ),
    ],
)
def test_each_change_is_one_event(before: dict[str, Any], row: dict[str, Any], event: TicketEvent) -> None:
    opened = imported.when(first_row(**before)).events
    imported.given(*opened).when(ImportRow(**row)).then(event)


def test_a_closed_ticket_changes_too() -> None:
    """Real histories break the rules that hold here."""
    closed = imported.when(first_row(status=CLOSED)).events
    row = ImportRow(assignee=ANNA, priority=Priority.HIGH)
    imported.given(*closed).when(row).then(TicketAssigned(assignee=ANNA), PriorityChanged(priority=Priority.HIGH))


def test_a_row_that_says_what_is_so_already_changes_nothing() -> None:
    said: dict[str, Any] = {
        "status": ACTIVE,
        "assignee": ANNA,
        "team": FIRST_LINE,
        "requester": BORIS,
        "service": HOSTING,
    }
    imported.given(*imported.when(first_row(**said)).events).when(ImportRow(**said)).nothing()


def test_a_row_that_says_nothing_changes_nothing() -> None:
    imported.given(*imported.when(first_row(assignee=ANNA)).events).when(ImportRow()).nothing()


def test_tags_are_those_that_the_row_says_in_any_order() -> None:
    tagged = imported.given(*imported.when(first_row(tags=("a", "b"))).events)
    tagged.when(ImportRow(tags=("b", "a"))).nothing()
    tagged.when(ImportRow(tags=("c", "b"))).then(TicketUntagged(tags=("a",)), TicketTagged(tags=("c",)))
    tagged.when(ImportRow(tags=())).then(TicketUntagged(tags=("a", "b")))
    tagged.when(ImportRow()).nothing()


MOVED = RoleChanged(role="DEAL", workflow="sales", workflow_version=1, status="new", category=StatusCategory.NEW)


def test_a_ticket_that_a_person_moved_to_another_workflow_takes_no_status_of_the_source() -> None:
    imported.given(OPENED, MOVED).when(ImportRow(status=CLOSED)).refused(InvalidValue, "status")
    imported.given(OPENED, MOVED).when(ImportRow(role="INCIDENT")).refused(InvalidValue, "status")


def test_a_ticket_that_a_person_moved_still_takes_what_has_no_status() -> None:
    imported.given(OPENED, MOVED).when(ImportRow(team=FIRST_LINE)).then(TeamAssigned(team=FIRST_LINE))


maybe_id = st.none() | st.sampled_from([UUID(int=n) for n in (1, 2, 3)])
snapshots = st.lists(
    st.builds(
        ImportRow,
        status=st.sampled_from([NEW, ACTIVE, CLOSED]),
        role=st.sampled_from(["INCIDENT", "PROBLEM"]),
        assignee=maybe_id,
        team=maybe_id,
        priority=st.sampled_from(Priority),
        service=maybe_id,
        requester=maybe_id,
        tags=st.lists(st.sampled_from(["a", "b", "c"]), unique=True).map(tuple),
        external_key=st.just("INC7"),
    ),
    min_size=1,
    max_size=12,
)


@for_any(snapshots)
def test_after_every_snapshot_the_ticket_stands_as_it_says(rows: list[ImportRow]) -> None:
    ticket: Ticket | None = None
    for n, row in enumerate(rows):
        for event in imports.decide(ticket, row, ORIGIN):
            ticket = tickets.evolve(ticket, event, hour(n))
        assert ticket is not None
        assert isinstance(row.status, Status)
        assert (ticket.status, ticket.category) == (row.status.key, row.status.category)
        stands = (ticket.role, ticket.assignee, ticket.team, ticket.priority, ticket.service, ticket.requester)
        assert stands == (row.role, row.assignee, row.team, row.priority, row.service, row.requester)
        assert isinstance(row.tags, tuple)
        assert sorted(ticket.tags) == sorted(row.tags)
        assert imports.decide(ticket, row, ORIGIN) == []
