"""Moving a ticket: to another status by its workflow, to another role with all that it has."""

from collections.abc import Sequence
from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec.structs import replace

from domain import field_values, text
from domain.errors import FieldRequired, InvalidValue, ReasonRequired, TransitionNotAllowed
from domain.field_values import FieldSet
from domain.text import FieldValue
from domain.ticket_state import TICKET_FIELDS, Surroundings, Ticket, crossing, has, must_fulfil, must_say_why
from domain.workflows import ANY, REASON, Occasion, Status, StatusCategory, Transition, Workflow, Workflows


class RoleChanged(msgspec.Struct, frozen=True, kw_only=True):
    role: str
    workflow: str
    workflow_version: int
    status: str
    category: StatusCategory


class StatusChanged(msgspec.Struct, frozen=True, kw_only=True):
    """`workflow_version`: the version that allowed the move; the ticket is on it from now on."""

    workflow_version: int
    status: str
    category: StatusCategory


TransitionEvent = RoleChanged | StatusChanged


class ChangeRole(msgspec.Struct, frozen=True, kw_only=True):
    """Without `status` the new role's workflow says where the ticket lands."""

    ticket: UUID
    role: str
    status: str | None = None


class TransitionTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Closing, cancelling and reopening are transitions. `fields` sets custom fields that it requires."""

    ticket: UUID
    status: str
    fields: dict[str, FieldValue] = {}


TransitionCommand = ChangeRole | TransitionTicket


def decide(ticket: Ticket, command: TransitionCommand, around: Surroundings) -> Sequence[TransitionEvent | FieldSet]:
    match command:
        case ChangeRole():
            return change_role(ticket, command, around)
        case TransitionTicket():
            return _transition(ticket, command, around)
        case _:
            assert_never(command)


def available_transitions(ticket: Ticket, workflows: Workflows) -> list[tuple[Status, tuple[str, ...]]]:
    """Statuses that the ticket may move to now, each with what it requires and the ticket still lacks."""
    if ticket.merged is not None:
        return []
    workflow, stands = judging(ticket, workflows)
    ways = {way.target: way for way in workflow.transitions_from(stands)}
    return [
        (
            workflow.status(target),
            tuple(
                name
                for name in _required(workflow, ticket, target, ways.get(target))
                if name == REASON or not has(ticket, name)
            ),
        )
        for target in _reachable(workflow, ticket, stands)
    ]


def judging(ticket: Ticket, workflows: Workflows) -> tuple[Workflow, str]:
    """The version by which the ticket's next move is judged, and the status from which."""
    return workflows.judging(ticket.workflow, ticket.workflow_version, ticket.status)


def _reachable(workflow: Workflow, ticket: Ticket, stands: str) -> list[str]:
    """Where it may go from where it stands; to there as well, if the status that it is in is gone."""
    here = [] if stands == ticket.status else [stands]
    return [*here, *(way.target for way in workflow.transitions_from(stands))]


def _required(workflow: Workflow, ticket: Ticket, target: str, way: Transition | None) -> tuple[str, ...]:
    if way is None:
        return ()
    asked = crossing(ticket, workflow.status(target).category) in workflow.reasons and REASON not in way.requires
    return (*way.requires, REASON) if asked else way.requires


def change_role(ticket: Ticket, command: ChangeRole, around: Surroundings) -> list[TransitionEvent]:
    role = around.workflows.role(command.role)
    workflow = around.workflows.newest(role.workflow)
    if role.key == ticket.role and workflow.key == ticket.workflow:
        if command.status in (None, ticket.status):
            return []
        raise InvalidValue(f"{ticket.key} has this role already; a transition changes its status.", ("status",))
    left, stands = judging(ticket, around.workflows)
    if command.status is not None:
        status = workflow.status(command.status)
        if way := workflow.transition(ANY, status.key):  # asked of every arrival, from another workflow too
            _must_meet(way, ticket, around, f"to arrive in {status.key!r}")
    elif workflow.key == ticket.workflow and workflow.has(stands) and not ticket.closed:
        status = workflow.status(stands)
    else:
        status = workflow.landing_status(ticket.category)
    must_fulfil(role, ticket, around.workflows)
    for one in (left, workflow):
        must_say_why(one, Occasion.ROLE_CHANGE, around)
    _must_say_why(ticket, status, workflow, around)
    return [
        RoleChanged(
            role=role.key,
            workflow=workflow.key,
            workflow_version=workflow.version,
            status=status.key,
            category=status.category,
        )
    ]


def _transition(ticket: Ticket, command: TransitionTicket, around: Surroundings) -> list[TransitionEvent | FieldSet]:
    workflow, stands = judging(ticket, around.workflows)
    status = workflow.status(command.status)
    set_ = field_values.changed(ticket, command.fields, around)
    with_fields = replace(ticket, fields={**ticket.fields, **{event.key: event.value for event in set_}})
    if status.key == ticket.status:
        return [*set_]
    if status.key != stands:  # else it moves to what stands for its own status: the definition has decided that
        way = workflow.transition(stands, status.key)
        if way is None:
            raise TransitionNotAllowed(ticket.status, status.key, _reachable(workflow, ticket, stands))
        _must_meet(way, with_fields, around, f"to move from {ticket.status!r} to {status.key!r}")
        _must_say_why(ticket, status, workflow, around)
    moved = StatusChanged(workflow_version=workflow.version, status=status.key, category=status.category)
    return [*set_, moved]


def _must_say_why(ticket: Ticket, status: Status, workflow: Workflow, around: Surroundings) -> None:
    """Where it closes the ticket, or opens it again."""
    occasion = crossing(ticket, status.category)
    if occasion is not None:
        must_say_why(workflow, occasion, around)


def _must_meet(way: Transition, ticket: Ticket, around: Surroundings, why: str) -> None:
    for name in way.requires:
        if name == REASON:
            if text.is_blank(around.reason or ""):
                raise ReasonRequired(why)
        elif not has(ticket, name):
            raise FieldRequired(name, why, custom=name not in TICKET_FIELDS)


def evolve(ticket: Ticket, event: TransitionEvent, at: datetime) -> Ticket:
    match event:
        case RoleChanged():
            return replace(
                _moved(ticket, event.status, event.category, at, event.workflow),
                role=event.role,
                workflow=event.workflow,
                workflow_version=event.workflow_version,
            )
        case StatusChanged():
            return replace(
                _moved(ticket, event.status, event.category, at, ticket.workflow),
                workflow_version=event.workflow_version,
            )
        case _:
            assert_never(event)


def _moved(ticket: Ticket, status: str, category: StatusCategory, at: datetime, workflow: str) -> Ticket:
    """`closed_at`: the first closing of the current closed stretch; done -> cancelled does not move it."""
    stays = status == ticket.status and workflow == ticket.workflow
    closed_at = (ticket.closed_at or at) if category.closed else None
    return replace(
        ticket,
        version=ticket.version + 1,
        last_at=at,
        status=status,
        category=category,
        status_since=ticket.status_since if stays else at,
        closed_at=closed_at,
    )
