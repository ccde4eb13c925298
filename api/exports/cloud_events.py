"""CloudEvents 1.0, as JSON: one event a line, with the documented extensions recordedtime, sequence and correlation."""

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import msgspec

from api.event_objects import as_object
from api.exports.reading import Source
from api.exports.sinks import Chunk, Stage, TextSink
from api.ids import encode_event
from api.scalars import write_time
from domain.tickets import ticket_key
from domain.workflows import Workflows
from projections.rows import EventRow


def cloud_event(event: EventRow, number: int | None, workspace: UUID, known: Workflows) -> dict[str, Any]:
    """`sequence` has 19 digits, so that texts sort as positions do. `subject`: the ticket's key, else the stream."""
    told: dict[str, Any] = {
        "specversion": "1.0",
        "id": encode_event(event.position),
        "source": f"urn:uuid:{workspace}",
        "type": f"proteus.{event.type}",
        "subject": str(event.stream) if number is None else ticket_key(number),
        "time": write_time(event.occurred_at),
        "recordedtime": write_time(event.recorded_at),
        "sequence": f"{event.position:019}",
        "correlationid": str(event.correlation_id),
    }
    if event.causation_id is not None:
        told["causationid"] = str(event.causation_id)
    return told | {"datacontenttype": "application/json", "data": as_object(event, number, known)}


def line(event: EventRow, number: int | None, workspace: UUID, known: Workflows) -> bytes:
    return msgspec.json.encode(cloud_event(event, number, workspace, known)) + b"\n"


class CloudEvents:
    def __init__(self, source: Source, sink: TextSink) -> None:
        self._source, self._sink = source, sink

    def stages(self) -> list[Stage]:
        return [self._events]

    async def _events(self, after: Any) -> AsyncIterator[Chunk]:
        source = self._source
        workspace = source.view.actor.workspace
        async for told, last in source.by_position(after or 0):
            for one in told:
                recorded = one.recorded
                self._sink.write(line(recorded.event, recorded.number, workspace, source.known))
            yield Chunk(key=last, events=len(told))
