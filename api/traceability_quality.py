"""For the quality team: changes that lack something, and how delivery went."""

from uuid import UUID

import strawberry
from strawberry import ID, UNSET

from api.fields import Info, by, once_passed
from api.ids import Kind, decode
from api.paging import Connection, ConnectionRow, page_ask
from api.people import must_read_all
from api.scalars import Position
from api.traceability import CodeChange
from projections import traceability_quality
from projections.rows import CodeChangeRow, DeliveryMonthRow
from projections.traceability_quality import ChangeGap

strawberry.enum(ChangeGap)


@strawberry.type(
    description=(
        "`month`: as 2026-03, in UTC. `traced`: commits, other than merges, that belong to a ticket. `leadSeconds`: the"
        " median from a commit of that month to its first deployment that went well; `restoreSeconds`: from one of that"
        " month that failed to the next that went well. Null where there is none."
    )
)
class DeliveryMonth:
    month: str
    commits: int
    traced: int
    deployments: int
    failed_deployments: int
    lead_seconds: int | None
    restore_seconds: int | None


def _repository(info: Info, repository: ID) -> UUID:
    """Raises Failure, WrongId."""
    must_read_all(info)
    return decode(repository, Kind.REPOSITORY)


async def _change_gaps(
    info: Info,
    repository: ID,
    gap: ChangeGap,
    first: int | None = UNSET,
    after: str | None = UNSET,
    min_position: Position | None = UNSET,
) -> ConnectionRow[CodeChangeRow]:
    """Commits of its main branch, other than merges, that lack this; oldest first. Not for requesters."""
    id_, view = _repository(info, repository), info.context.view
    await once_passed(info, min_position, "traceability")
    page = await traceability_quality.gaps(view, id_, gap, page_ask(first, after))
    return ConnectionRow(page, lambda: traceability_quality.gap_count(view, id_, gap))


async def _delivery(
    info: Info, repository: ID, environment: str = "production", min_position: Position | None = UNSET
) -> list[DeliveryMonthRow]:
    """How delivery went, month by month. Not for requesters."""
    id_ = _repository(info, repository)
    await once_passed(info, min_position, "traceability")
    return await traceability_quality.months(info.context.view, id_, environment)


@strawberry.type
class QualityQueries:
    change_gaps: Connection[CodeChange] = by(_change_gaps)
    delivery: list[DeliveryMonth] = by(_delivery)
