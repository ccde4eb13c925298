"""OCEL 2.0 as JSON, by its schema: attribute values are strings, whatever their declared types."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from api.exports.ocel import Event, Object, Types
from api.exports.sinks import TextSink

_encode = msgspec.json.Encoder().encode


class OcelJson:
    def __init__(self, sink: TextSink) -> None:
        self._sink = sink

    def types(self, events: Mapping[str, Types], objects: Mapping[str, Types]) -> None:
        self._sink.write(b'{"objectTypes":%s,\n"eventTypes":%s,\n"events":[' % (_types(objects), _types(events)))

    def events(self, events: Sequence[Event]) -> None:
        self._write([_event(event) for event in events])

    def between(self) -> None:
        self._sink.write(b'\n],\n"objects":[')

    def objects(self, objects: Sequence[Object]) -> None:
        self._write([_object(one) for one in objects])

    def end(self) -> None:
        self._sink.write(b"\n]}\n")

    def _write(self, items: list[dict[str, Any]]) -> None:
        """One a line, each but the first after a comma."""
        if items:
            lines = b",\n".join(map(_encode, items))
            self._sink.write((b"\n" if self._sink.last == b"[" else b",\n") + lines)


def _types(found: Mapping[str, Types]) -> bytes:
    return _encode(
        [
            {"name": name, "attributes": [{"name": attribute, "type": type_} for attribute, type_ in types.items()]}
            for name, types in found.items()
        ]
    )


def _event(event: Event) -> dict[str, Any]:
    return {
        "id": event.id,
        "type": event.type,
        "time": event.time,
        "attributes": [{"name": name, "value": value} for name, value in event.values.items()],
        "relationships": [{"objectId": object_, "qualifier": qualifier} for object_, qualifier in event.relations],
    }


def _object(one: Object) -> dict[str, Any]:
    return {
        "id": one.id,
        "type": one.type,
        "attributes": [{"name": value.name, "time": value.time, "value": value.value} for value in one.values],
        "relationships": [{"objectId": object_, "qualifier": qualifier} for object_, qualifier in one.relations],
    }
