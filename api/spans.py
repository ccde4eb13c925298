"""Spans: stretches of unchanged board state."""

from datetime import datetime
from typing import Any

import strawberry
from strawberry import Parent

from api.events import Event
from api.fields import Info, by
from api.people import Person, person
from api.services import Service, service
from api.teams import Team, team
from api.workflows import Role, Status, StatusRow, role_row, status_row, workflow_row
from domain import workflows
from domain.tickets import Priority
from projections.reading import ReadModelBehind
from projections.rows import EventRow, SpanRow


def _role(span: Parent[SpanRow], info: Info) -> workflows.Role:
    return role_row(info.context.workflows, span.role)


def _status(span: Parent[SpanRow], info: Info) -> StatusRow:
    return status_row(workflow_row(info.context.workflows, span.workflow, span.workflow_version), span.status)


def _assignee(span: Parent[SpanRow], info: Info) -> Any:
    return person(info, span.assignee)


def _team(span: Parent[SpanRow], info: Info) -> Any:
    return team(info, span.team)


def _service(span: Parent[SpanRow], info: Info) -> Any:
    return service(info, span.service)


async def _opened_by(span: Parent[SpanRow], info: Info) -> EventRow:
    event = await info.context.loaders.events.load((span.opened_position, span.moment))
    if event is None:
        raise ReadModelBehind("The timeline is behind.")
    return event


async def _closed_by(span: Parent[SpanRow], info: Info) -> EventRow | None:
    if span.closed_position is None:
        return None
    return await info.context.loaders.events.load((span.closed_position, span.moment))


@strawberry.type(
    description=(
        "`to` is null and `seconds` runs to now (or to asOf) while the span is open; at most 2,147,483,647 (68 years)."
        " Half-open: from <= t < to."
    )
)
class Span:
    from_: datetime = strawberry.field(name="from")
    to: datetime | None
    seconds: int
    role: Role = by(_role)
    workflow: str
    status: Status = by(_status)
    assignee: Person | None = by(_assignee)
    team: Team | None = by(_team)
    priority: Priority
    service: Service | None = by(_service)
    opened_by: Event = by(_opened_by)
    closed_by: Event | None = by(_closed_by)
