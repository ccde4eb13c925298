"""Head of the log, and where each read model stands."""

import strawberry

from api.fields import Info, by
from api.scalars import Position
from projections import status
from projections.rows import ServerStatusRow


@strawberry.type
class ProjectionStatus:
    name: str
    position: Position
    lag_events: int
    lag_seconds: float
    parked_streams: int
    rebuilding: bool


@strawberry.type
class ServerStatus:
    head: Position
    projections: list[ProjectionStatus]


async def _status(info: Info) -> ServerStatusRow:
    """Head of the log, and where each read model stands."""
    return await status.status(info.context.runtime.models)


@strawberry.type
class StatusQueries:
    status: ServerStatus = by(_status)
