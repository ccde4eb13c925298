"""A workflow says what needs a reason: closing, reopening, a change of role or of priority."""

import msgspec
import pytest

from domain.errors import ReasonRequired
from domain.tickets import ChangeRole, Priority, SetPriority, TicketCommand, TransitionTicket, available_transitions
from domain.workflows import (
    DefineWorkflow,
    Occasion,
    Status,
    StatusCategory,
    Transition,
    Workflow,
    WorkflowDefined,
    Workflows,
    defaults,
)
from tests.domain.given import OPENED, TICKET, Subject, catalogue, knowing, some_workflows


def asking(*reasons: Occasion, of: str = "support") -> Workflows:
    """The defaults, but that this workflow asks for reasons, and has ways that ask for nothing."""
    workflow = next(one for one in defaults().workflows if one.key == of)
    ways = tuple(msgspec.structs.replace(way, requires=()) for way in workflow.transitions)
    return some_workflows(DefineWorkflow(workflow=msgspec.structs.replace(workflow, transitions=ways, reasons=reasons)))


CLOSE, REOPEN = (TransitionTicket(ticket=TICKET, status=status) for status in ("done", "in_progress"))
CASES: list[tuple[Occasion, tuple[TicketCommand, ...], TicketCommand]] = [
    (Occasion.CLOSING, (), CLOSE),
    (Occasion.CLOSING, (), TransitionTicket(ticket=TICKET, status="cancelled")),
    (Occasion.REOPENING, (CLOSE,), REOPEN),
    (Occasion.PRIORITY_CHANGE, (), SetPriority(ticket=TICKET, priority=Priority.CRITICAL)),
    (Occasion.ROLE_CHANGE, (), ChangeRole(ticket=TICKET, role="TASK")),
]


def after(before: tuple[TicketCommand, ...], workflows: Workflows, reason: str | None = None) -> Subject:  # type: ignore[type-arg]
    """A ticket to which these commands were given, with a reason each."""
    subject = knowing(workflows=workflows, reason="because").given(OPENED)
    for command in before:
        subject = subject.given(*subject.when(command).events)
    return knowing(workflows=workflows, reason=reason).given(*subject.history)


@pytest.mark.parametrize(("occasion", "before", "command"), CASES)
def test_what_the_workflow_asks_a_reason_for_needs_one(
    occasion: Occasion, before: tuple[TicketCommand, ...], command: TicketCommand
) -> None:
    for missing in (None, "", " \n"):
        after(before, asking(occasion), missing).when(command).refused(ReasonRequired, "reason")
    assert after(before, asking(occasion), "The client asked for it").when(command).events
    others = [one for one in Occasion if one is not occasion]
    assert after(before, asking(*others)).when(command).events, "it asks for others, not for this"


def test_a_role_change_asks_the_workflow_that_is_left_and_the_one_that_is_entered() -> None:
    command = ChangeRole(ticket=TICKET, role="TASK")
    for of in ("support", "task"):
        after((), asking(Occasion.ROLE_CHANGE, of=of)).when(command).refused(ReasonRequired, "reason")


def test_a_role_change_that_opens_a_closed_ticket_is_asked_why_by_where_it_lands() -> None:
    command = ChangeRole(ticket=TICKET, role="TASK")
    after((CLOSE,), asking(Occasion.REOPENING, of="task")).when(command).refused(ReasonRequired, "reason")
    assert after((CLOSE,), asking(Occasion.REOPENING, of="support")).when(command).events


def test_what_changes_nothing_needs_no_reason() -> None:
    same = SetPriority(ticket=TICKET, priority=OPENED.priority)
    after((), asking(Occasion.PRIORITY_CHANGE)).when(same).nothing()


def test_moves_between_open_statuses_need_none() -> None:
    assert after((), asking(*Occasion)).when(REOPEN).events


def test_a_front_end_is_told_which_moves_need_one() -> None:
    subject = after((), asking(Occasion.CLOSING))
    assert subject.state is not None
    needed = {status.key: needs for status, needs in available_transitions(subject.state, asking(Occasion.CLOSING))}
    assert needed["done"] == needed["cancelled"] == ("reason",)
    assert needed["in_progress"] == ()


def test_a_definition_names_each_occasion_once_and_in_one_order() -> None:
    workflow = Workflow(
        key="small",
        name="Small",
        initial="new",
        statuses=(Status(key="new", name="New", category=StatusCategory.NEW),),
        transitions=(Transition(source="*", target="new"),),
        reasons=(Occasion.REOPENING, Occasion.CLOSING, Occasion.REOPENING),
    )
    [event] = catalogue.when(DefineWorkflow(workflow=workflow)).events
    assert isinstance(event, WorkflowDefined)
    assert event.workflow.reasons == (Occasion.CLOSING, Occasion.REOPENING)
