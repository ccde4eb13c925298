"""What a ticket says of itself: each command, what it refuses, and what changes nothing."""

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest

from domain import text, workflows
from domain.errors import FieldRequired, InvalidValue, PersonNotFound, ServiceNotFound, TicketIsClosed
from domain.privacy import SensitivityChanged, SetSensitive
from domain.tickets import (
    BindService,
    CommandToTicket,
    DescribeTicket,
    Priority,
    RequesterChanged,
    RetitleTicket,
    ScheduleTicket,
    ServiceBound,
    ServiceUnbound,
    SetPriority,
    SetRequester,
    StatusChanged,
    TagTicket,
    TicketDescribed,
    TicketOpened,
    TicketRetitled,
    TicketScheduled,
    TicketTagged,
    TicketUntagged,
    UntagTicket,
)
from domain.workflows import DefineRole, Role, StatusCategory
from tests.domain.given import (
    ANNA,
    BORIS,
    HOSTING,
    LEFT,
    OPENED,
    RETIRED,
    STRANGE_SERVICE,
    STRANGER,
    TICKET,
    knowing,
    some_workflows,
    ticket,
)

DONE = StatusChanged(workflow_version=1, status="done", category=StatusCategory.DONE)
MONDAY, FRIDAY = datetime(2026, 4, 6, 6, tzinfo=UTC), datetime(2026, 4, 10, 15, tzinfo=UTC)
DEMANDING = knowing(
    workflows=some_workflows(
        DefineRole(
            role=Role(
                key="INQUIRY",
                name="Inquiry",
                workflow="support",
                requires=("requester", "service", "description", "dueAt"),
            )
        )
    )
)
COMPLETE: TicketOpened = msgspec.structs.replace(OPENED, service=HOSTING, description="Since nine.", due_at=FRIDAY)


def test_a_title_is_one_line_and_the_same_one_changes_nothing() -> None:
    ticket.given(OPENED).when(RetitleTicket(ticket=TICKET, title=" The shop\nis down ")).then(
        TicketRetitled(title="The shop is down")
    )
    ticket.given(OPENED).when(RetitleTicket(ticket=TICKET, title=" The  site is down")).nothing()
    ticket.given(OPENED).when(RetitleTicket(ticket=TICKET, title=" ")).refused(InvalidValue, "title")


@pytest.mark.parametrize("blank", [None, "", " \n", "\u200b"])
def test_a_description_is_given_changed_and_taken_away(blank: str | None) -> None:
    described = TicketDescribed(description="Since nine.")
    ticket.given(OPENED).when(DescribeTicket(ticket=TICKET, description="\n Since nine.")).then(described)
    ticket.given(OPENED, described).when(DescribeTicket(ticket=TICKET, description="Since nine.\n")).nothing()
    ticket.given(OPENED).when(DescribeTicket(ticket=TICKET, description=blank)).nothing()
    ticket.given(OPENED, described).when(DescribeTicket(ticket=TICKET, description=blank)).then(
        TicketDescribed(description=None)
    )


def test_tags_are_added_once_and_removed_where_they_are() -> None:
    outcome = ticket.given(OPENED).when(TagTicket(ticket=TICKET, tags=("vip", " urgent", "vip")))
    outcome.then(TicketTagged(tags=("vip",)))
    assert outcome.after is not None
    assert outcome.after.tags == ("site", "urgent", "vip")
    ticket.given(OPENED).when(TagTicket(ticket=TICKET, tags=("site",))).nothing()
    removed = ticket.given(OPENED).when(UntagTicket(ticket=TICKET, tags=("site", "vip")))
    removed.then(TicketUntagged(tags=("site",)))
    assert removed.after is not None
    assert removed.after.tags == ("urgent",)
    ticket.given(OPENED).when(UntagTicket(ticket=TICKET, tags=("vip",))).nothing()


def test_a_ticket_has_no_more_tags_than_it_may_be_opened_with() -> None:
    many = tuple(f"tag{n}" for n in range(text.TAGS_LIMIT - 1))
    ticket.given(OPENED).when(TagTicket(ticket=TICKET, tags=many)).refused(InvalidValue, "tags")
    ticket.given(OPENED).when(TagTicket(ticket=TICKET, tags=("",))).refused(InvalidValue, "tags")


def test_a_schedule_moves_one_end_or_both() -> None:
    planned = TicketScheduled(start_at=MONDAY, due_at=FRIDAY)
    tokyo = timezone(timedelta(hours=9))
    ticket.given(OPENED).when(ScheduleTicket(ticket=TICKET, start_at=MONDAY.astimezone(tokyo), due_at=FRIDAY)).then(
        planned
    )
    ticket.given(OPENED, planned).when(ScheduleTicket(ticket=TICKET, due_at=FRIDAY)).nothing()
    ticket.given(OPENED, planned).when(ScheduleTicket(ticket=TICKET, start_at=None)).then(
        TicketScheduled(start_at=None, due_at=FRIDAY)
    )
    ticket.given(OPENED, planned).when(ScheduleTicket(ticket=TICKET, due_at=None)).then(
        TicketScheduled(start_at=MONDAY, due_at=None)
    )


def test_a_schedule_has_a_date_and_ends_after_it_starts() -> None:
    planned = TicketScheduled(start_at=MONDAY, due_at=FRIDAY)
    subject = ticket.given(OPENED, planned)
    subject.when(ScheduleTicket(ticket=TICKET)).refused(InvalidValue, "dueAt")
    early, late = MONDAY - timedelta(hours=1), FRIDAY + timedelta(hours=1)
    subject.when(ScheduleTicket(ticket=TICKET, due_at=early)).refused(InvalidValue, "dueAt")
    subject.when(ScheduleTicket(ticket=TICKET, start_at=late)).refused(InvalidValue, "startAt")
    naive = datetime(2026, 4, 6)  # noqa: DTZ001
    subject.when(ScheduleTicket(ticket=TICKET, start_at=naive)).refused(InvalidValue, "startAt")


def test_a_service_is_bound_and_unbound() -> None:
    bound = ServiceBound(service=HOSTING)
    ticket.given(OPENED).when(BindService(ticket=TICKET, service=HOSTING)).then(bound)
    ticket.given(OPENED, bound).when(BindService(ticket=TICKET, service=HOSTING)).nothing()
    ticket.given(OPENED, bound).when(BindService(ticket=TICKET, service=None)).then(ServiceUnbound())
    for unknown in (STRANGE_SERVICE, RETIRED):
        ticket.given(OPENED).when(BindService(ticket=TICKET, service=unknown)).refused(ServiceNotFound, "service")


def test_a_ticket_gets_another_requester_or_none() -> None:
    ticket.given(OPENED).when(SetRequester(ticket=TICKET, requester=ANNA)).then(RequesterChanged(requester=ANNA))
    ticket.given(OPENED).when(SetRequester(ticket=TICKET, requester=BORIS)).nothing()
    ticket.given(OPENED).when(SetRequester(ticket=TICKET, requester=None)).then(RequesterChanged(requester=None))
    for unknown in (STRANGER, LEFT):
        ticket.given(OPENED).when(SetRequester(ticket=TICKET, requester=unknown)).refused(PersonNotFound, "requester")


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (SetRequester(ticket=TICKET, requester=None), "requester"),
        (BindService(ticket=TICKET, service=None), "service"),
        (DescribeTicket(ticket=TICKET, description=None), "description"),
        (ScheduleTicket(ticket=TICKET, due_at=None), "dueAt"),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else "",
)
def test_what_the_role_requires_is_not_taken_away(command: CommandToTicket, field: str) -> None:
    DEMANDING.given(COMPLETE).when(command).refused(FieldRequired, field)


def test_a_closed_ticket_is_mended_but_not_planned() -> None:
    closed = ticket.given(OPENED, DONE)
    mending: list[CommandToTicket] = [
        RetitleTicket(ticket=TICKET, title="Cause: the disk"),
        DescribeTicket(ticket=TICKET, description="The disk was full."),
        TagTicket(ticket=TICKET, tags=("disk",)),
        UntagTicket(ticket=TICKET, tags=("urgent",)),
        BindService(ticket=TICKET, service=HOSTING),
        SetRequester(ticket=TICKET, requester=ANNA),
    ]
    for command in mending:
        assert closed.when(command).events
    closed.when(SetPriority(ticket=TICKET, priority=Priority.LOW)).refused(TicketIsClosed, "ticket")
    closed.when(ScheduleTicket(ticket=TICKET, due_at=FRIDAY)).refused(TicketIsClosed, "ticket")


def test_a_role_that_only_an_import_knows_requires_nothing() -> None:
    imported = msgspec.structs.replace(OPENED, role="WISH")
    assert "WISH" not in {role.key for role in workflows.defaults().roles}
    ticket.given(imported).when(SetRequester(ticket=TICKET, requester=None)).then(RequesterChanged(requester=None))


def test_a_ticket_is_marked_sensitive_and_no_more_also_when_it_is_closed() -> None:
    marked = SensitivityChanged(sensitive=True)
    ticket.given(OPENED).when(SetSensitive(ticket=TICKET, sensitive=True)).then(marked)
    ticket.given(OPENED, marked).when(SetSensitive(ticket=TICKET, sensitive=True)).nothing()
    ticket.given(OPENED, marked).when(SetSensitive(ticket=TICKET, sensitive=False)).then(
        SensitivityChanged(sensitive=False)
    )
