"""Where the log and every read model stand: true lag, over all workspaces, against the real head."""

from projections.reading import ReadModels
from projections.registry import NAMES
from projections.rows import ProjectionStatusRow, ServerStatusRow

BEHIND_SECONDS = 10.0
"""A read model further behind the log than this is told of: by `proteus status --check`, and as not ready."""


def behind(stand: ServerStatusRow) -> list[str]:
    """Names of the read models that are too far behind."""
    return [one.name for one in stand.projections if one.lag_seconds > BEHIND_SECONDS]


async def status(models: ReadModels) -> ServerStatusRow:
    """Raises ReadModelsUnavailable."""
    rows = await models.fetch(None, _STATUS, (list(NAMES),))
    return ServerStatusRow(
        head=rows[0][2] if rows else 0,
        projections=[
            ProjectionStatusRow(
                name=name,
                position=position,
                lag_events=lag_events,
                lag_seconds=lag_seconds,
                parked_streams=parked,
                rebuilding=rebuilding,
            )
            for name, position, _, lag_events, lag_seconds, rebuilding, parked in rows
        ],
    )


_STATUS = """
select s.name, s.position, s.head, s.lag_events, s.lag_seconds, s.rebuilding, coalesce(p.streams, 0)
  from follower_status() s left join parked_streams() p on p.projection = s.name
 where s.name = any(%s) -- what else follows is no read model: proofs, webhooks
 order by s.name
"""
