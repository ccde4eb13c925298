"""Cumulative flow of a process."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import strawberry
from strawberry import UNSET, Parent

from api.fields import Info, by, given, once_passed
from api.scalars import Position
from api.workflows import Status, StatusRow, status_row, workflow_row
from projections import flow
from projections.rows import FlowCountRow, FlowPointRow


@strawberry.enum
class FlowStep(StrEnum):
    HOUR = "HOUR"
    DAY = "DAY"
    WEEK = "WEEK"


_STEPS = {FlowStep.HOUR: timedelta(hours=1), FlowStep.DAY: timedelta(days=1), FlowStep.WEEK: timedelta(weeks=1)}


def _status(row: Parent[FlowCountRow], info: Info) -> StatusRow:
    return status_row(workflow_row(info.context.workflows, row.workflow, row.workflow_version), row.status)


@strawberry.type
class FlowCount:
    status: Status = by(_status)
    count: int


@strawberry.type(description="How many tickets stood in which status at an instant; statuses without any are left out.")
class FlowPoint:
    at: datetime
    counts: list[FlowCount]


async def _cumulative_flow(
    info: Info,
    process: str,
    from_: Annotated[datetime, strawberry.argument(name="from")],
    to: datetime | None = UNSET,
    step: FlowStep = FlowStep.DAY,
    min_position: Position | None = UNSET,
) -> list[FlowPointRow]:
    """At `from`, and every step of 1, 24 or 168 hours after it up to `to` (now, where it is absent): at most 400
    points. `process`: the key of a workflow; nobody stands in one that there is not."""
    await once_passed(info, min_position, "spans")
    until = min(given(to) or datetime.now(UTC), datetime.now(UTC))
    return await flow.cumulative_flow(info.context.view, process, from_, until, _STEPS[step])


@strawberry.type
class FlowQueries:
    cumulative_flow: list[FlowPoint] = by(_cumulative_flow)
