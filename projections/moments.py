"""How a row that is closed when another takes its place was at a moment: conditions on it, for any read model."""

from typing import Any, LiteralString

from projections.reading import Moment

HELD: LiteralString = (
    "(%(as_of_position)s::bigint is null and {0}.closed_position is null or {0}.position <= %(as_of_position)s"
    " and ({0}.closed_position is null or {0}.closed_position > %(as_of_position)s))"
)
"""Of a table's alias: the row was recorded by the position, and held then."""
HAPPENED: LiteralString = "(%(as_of_time)s::timestamptz is null or {0} <= %(as_of_time)s)"
"""Of a column: what it tells the time of had happened by then."""


def arguments(moment: Moment) -> dict[str, Any]:
    """Of these conditions."""
    return {"as_of_position": moment.position, "as_of_time": moment.occurred_at}
