"""Versions: a row of a stream's state for as long as it stood so, from the position of an event to that of the next."""

from typing import Any, LiteralString
from uuid import UUID

from projections.projection import Change
from projections.writing import Writes


class Versions:
    """What one batch does to a table that has `workspace`, `id`, `version`, `position` and `closed_position`; null: the
    row stands now."""

    def __init__(self, table: LiteralString) -> None:
        self._table: LiteralString = table
        self._rows: list[dict[str, Any]] = []
        self._open: dict[int, dict[str, Any]] = {}  # by their ids as numbers
        self._closed: dict[UUID, int] = {}

    def close(self, change: Change, *, stood: bool) -> None:
        """`stood`: whether the state before had a row."""
        id_, position = change.envelope.originator_id, change.envelope.position
        if (row := self._open.pop(id_.int, None)) is not None:
            row["closed_position"] = position
        elif stood:
            self._closed[id_] = position

    def open(self, change: Change, row: dict[str, Any]) -> None:
        """After what stood before was closed. `row`: of all other columns."""
        envelope = change.envelope
        row["workspace"] = envelope.workspace
        row["id"] = envelope.originator_id
        row["version"] = envelope.originator_version
        row["position"] = envelope.position
        row["closed_position"] = None
        self._open[envelope.originator_id.int] = row
        self._rows.append(row)

    def write(self, write: Writes) -> None:
        if self._closed:
            write.execute(
                f"update {self._table} v set closed_position = c.position"
                " from unnest(%s::uuid[], %s::bigint[]) as c(id, position)"
                " where v.id = c.id and v.closed_position is null",
                [list(self._closed), list(self._closed.values())],
            )
        write.insert(self._table, self._rows)
