"""Hand-overs: a ticket passes to another process (by its role) or to another team, with a note for those who get it.

What the hand-over changes is recorded by the events that say so anywhere else, so that nothing has to know of
hand-overs to know who holds the ticket; `TicketTransferred` comes before them and says that they are one act.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from domain import assignment, attributes, field_values, text, transitions
from domain.assignment import AssignmentEvent, AssignTicket
from domain.attributes import AttributeEvent, BindService
from domain.errors import InvalidValue
from domain.field_values import FieldSet
from domain.text import FieldValue, FreeText
from domain.ticket_state import Surroundings, Ticket, must_be_open, must_exist
from domain.transitions import ChangeRole, TransitionEvent


class TicketTransferred(msgspec.Struct, frozen=True, kw_only=True):
    """To which role and team it goes: the other events of the same command say what that changes."""

    role: str
    team: UUID | None
    note: FreeText | None = None


class TransferTicket(msgspec.Struct, frozen=True, kw_only=True):
    """To another role, another team, or both. An assignee who is not of the new team holds it no longer, unless named.
    Without `status` the new role's workflow says where it lands. `service` and `fields`: what the role requires."""

    ticket: UUID
    role: str | None = None
    status: str | None = None
    team: UUID | None = None
    assignee: UUID | UnsetType | None = UNSET
    service: UUID | None = None
    fields: dict[str, FieldValue] = {}
    note: str | None = None


Changes = FieldSet | AttributeEvent | AssignmentEvent | TransitionEvent


def decide(ticket: Ticket, command: TransferTicket, around: Surroundings) -> Sequence[TicketTransferred | Changes]:
    if command.role is None and command.team is None:
        raise InvalidValue("Say where it goes: to a role, to a team, or both.", ("team",))
    must_be_open(ticket)
    note = None if command.note is None or text.is_blank(command.note) else text.prose(command.note, "note")
    role = ticket.role if command.role is None else around.workflows.role(command.role).key
    prepared = _prepared(ticket, command, role, around)
    after = ticket
    for event in prepared:
        after = _evolve(after, event, around.now)
    changes: list[Changes] = [*prepared, *_moved(after, command, around)]
    if role == ticket.role and after.team == ticket.team:
        return changes
    return [TicketTransferred(role=role, team=after.team, note=note), *changes]


def _prepared(
    ticket: Ticket, command: TransferTicket, role: str, around: Surroundings
) -> list[FieldSet | AttributeEvent | AssignmentEvent]:
    """All but the change of the role, which looks at what is there by then."""
    set_ = field_values.changed(replace(ticket, role=role), command.fields, around)
    bound: list[AttributeEvent] = []
    if command.service is not None:
        bound = attributes.decide(ticket, BindService(ticket=command.ticket, service=command.service), around)
    return [*set_, *bound, *_assigned(ticket, command, around)]


def _assigned(ticket: Ticket, command: TransferTicket, around: Surroundings) -> list[AssignmentEvent]:
    team: UUID | UnsetType = UNSET if command.team is None else command.team
    assignee = command.assignee
    if assignee is UNSET and command.team not in (None, ticket.team):
        must_exist(command.team, None, around)
        stays = ticket.assignee in around.teams[command.team].members
        assignee = UNSET if stays else None
    if team is UNSET and assignee is UNSET:
        return []
    decide = assignment.decide if command.role is None else assignment.changed
    return decide(ticket, AssignTicket(ticket=command.ticket, team=team, assignee=assignee), around)


def _moved(ticket: Ticket, command: TransferTicket, around: Surroundings) -> list[TransitionEvent]:
    if command.role is None:
        if command.status is not None:
            raise InvalidValue("A status is named with the role whose workflow has it.", ("status",))
        return []
    change = ChangeRole(ticket=command.ticket, role=command.role, status=command.status)
    events = transitions.change_role(ticket, change, around)
    if any(event.category.closed for event in events):
        raise InvalidValue("What is handed over is not closed by that.", ("status",))
    return [*events]


def _evolve(ticket: Ticket, event: FieldSet | AttributeEvent | AssignmentEvent, at: datetime) -> Ticket:
    if isinstance(event, FieldSet):
        return field_values.evolve(ticket, event, at)
    if isinstance(event, AttributeEvent):
        return attributes.evolve(ticket, event, at)
    return assignment.evolve(ticket, event, at)


def evolve(ticket: Ticket, event: TicketTransferred, at: datetime) -> Ticket:
    return replace(ticket, version=ticket.version + 1, last_at=at)
