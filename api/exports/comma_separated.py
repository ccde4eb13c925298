"""CSV (RFC 4180, UTF-8): one event a line, for spreadsheets and whoever reads tables."""

import csv
import io
from collections.abc import AsyncIterator
from typing import Any

import msgspec

from api.events import with_opaque_ids
from api.exports.reading import Source, Told, shown, single
from api.exports.relations import activity_of
from api.exports.sinks import Chunk, Stage, TextSink
from api.ids import encode_event
from api.scalars import write_time
from domain.tickets import ticket_key
from domain.workflows import Workflows

COLUMNS = (
    *("position", "event", "occurredAt", "recordedAt", "type", "activity", "ticket", "role", "workflow"),
    *("actor", "onBehalfOf", "channel", "source", "reason"),
    *("status", "priority", "assignee", "team", "service", "requester"),
    *("startedAt", "endedAt", "seconds", "price", "currency", "correlationId", "changes"),
)
_CHANGED = ("status", "priority", "assignee", "team", "service", "requester", "startedAt", "endedAt", "seconds")
_NUMBERS = ("position", "seconds", "price")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CommaSeparated:
    def __init__(self, source: Source, sink: TextSink) -> None:
        self._source, self._sink = source, sink

    def stages(self) -> list[Stage]:
        return [self._events]

    async def _events(self, after: Any) -> AsyncIterator[Chunk]:
        if after is None:
            self._write([list(COLUMNS)])
        async for told, last in self._source.by_position(after or 0):
            self._write([_row(one, self._source.known) for one in told])
            yield Chunk(key=last, events=len(told))

    def _write(self, rows: list[list[str]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        self._sink.write(text.getvalue().encode())


def _row(told: Told, known: Workflows) -> list[str]:
    recorded = told.recorded
    event = recorded.event
    to = {one.path: with_opaque_ids(known, one.path, one.to) for one in event.changes}
    price, currency = told.price or (None, None)
    values = {
        "position": str(event.position),
        "event": encode_event(event.position),
        "occurredAt": write_time(event.occurred_at),
        "recordedAt": write_time(event.recorded_at),
        "type": event.type,
        "activity": activity_of(recorded),
        "ticket": None if recorded.number is None else ticket_key(recorded.number),
        "role": recorded.role,
        "workflow": recorded.workflow,
        "actor": shown(told, event.actor),
        "onBehalfOf": shown(told, event.on_behalf_of),
        "channel": event.channel,
        "source": event.source,
        "reason": event.reason,
        "price": None if price is None else str(price),
        "currency": currency,
        "correlationId": str(event.correlation_id),
        "changes": msgspec.json.encode(
            {one.path: [with_opaque_ids(known, one.path, one.from_), to[one.path]] for one in event.changes}
        ).decode(),
        **{path: single(to.get(path)) for path in _CHANGED},
    }
    return [values[column] or "" if column in _NUMBERS else _harmless(values[column]) for column in COLUMNS]


def _harmless(value: str | None) -> str:
    """A spreadsheet would run a text that begins like a formula, which anybody may write: an apostrophe stops it."""
    if not value:
        return ""
    return f"'{value}" if value.startswith(_FORMULA) else value
