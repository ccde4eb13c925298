"""Hand-overs: a ticket passes to another process or team."""

from datetime import datetime
from typing import Any

import strawberry
from strawberry import ID, UNSET, Parent
from strawberry.scalars import JSON

from api.commands import Done, MovingInput, perform
from api.fields import Info
from api.fields import by as answered_by
from api.people import Person, person
from api.teams import Team, team
from api.ticket_payload import TicketPayload
from api.workflows import Role, role_row
from application.tickets import handle
from domain import workflows
from domain.tickets import TransferTicket
from projections.rows import HandOverRow


def _from_role(hand_over: Parent[HandOverRow], info: Info) -> workflows.Role:
    return role_row(info.context.workflows, hand_over.from_role)


def _to_role(hand_over: Parent[HandOverRow], info: Info) -> workflows.Role:
    return role_row(info.context.workflows, hand_over.to_role)


def _from_team(hand_over: Parent[HandOverRow], info: Info) -> Any:
    return team(info, hand_over.from_team)


def _to_team(hand_over: Parent[HandOverRow], info: Info) -> Any:
    return team(info, hand_over.to_team)


def _by(hand_over: Parent[HandOverRow], info: Info) -> Any:
    return person(info, hand_over.by)


@strawberry.type(description="A ticket passed to another role or team, by `transferTicket` or any other command.")
class HandOver:
    from_role: Role = answered_by(_from_role)
    to_role: Role = answered_by(_to_role)
    from_workflow: str
    to_workflow: str
    from_team: Team | None = answered_by(_from_team)
    to_team: Team | None = answered_by(_to_team)
    by: Person = answered_by(_by)
    occurred_at: datetime
    note: str | None = strawberry.field(description="For those who get the ticket. Requesters find none.")
    reason: str | None = strawberry.field(description="Of the command. Requesters find none.")


@strawberry.input(
    description="To a role, to a team, or both. An assignee who is not of the new team holds it no longer, unless you"
    " name one. `service` and `fields` are set on the way: what the new role requires is asked for by name."
)
class TransferTicketInput(MovingInput):
    ticket: ID
    role: str | None = UNSET
    status: str | None = UNSET
    team: ID | None = UNSET
    assignee: ID | None = UNSET
    service: ID | None = UNSET
    fields: JSON | None = UNSET
    note: str | None = UNSET


async def transfer_ticket(info: Info, input: TransferTicketInput) -> Done:
    """Hands an open ticket over to another process or team, with a note. It keeps all that it has."""
    return await perform(info, input, TransferTicket, handle)


@strawberry.type
class HandOverMutations:
    transfer_ticket: TicketPayload = answered_by(transfer_ticket)
