"""Schemas that others have published, and that what leaves Proteus keeps to."""

from typing import Any

_TEXT = {"type": "string"}
_TIME = {"type": "string", "format": "date-time"}


def _object(required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


def _array(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


_TYPES = _array(
    _object(["name", "attributes"], name=_TEXT, attributes=_array(_object(["name", "type"], name=_TEXT, type=_TEXT)))
)
_RELATIONSHIPS = _array(_object(["objectId", "qualifier"], objectId=_TEXT, qualifier=_TEXT))

OCEL_JSON: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    **_object(
        ["eventTypes", "objectTypes", "events", "objects"],
        eventTypes=_TYPES,
        objectTypes=_TYPES,
        events=_array(
            _object(
                ["id", "type", "time"],
                id=_TEXT,
                type=_TEXT,
                time=_TIME,
                attributes=_array(_object(["name", "value"], name=_TEXT, value=_TEXT)),
                relationships=_RELATIONSHIPS,
            )
        ),
        objects=_array(
            _object(
                ["id", "type"],
                id=_TEXT,
                type=_TEXT,
                relationships=_RELATIONSHIPS,
                attributes=_array(_object(["name", "value", "time"], name=_TEXT, value=_TEXT, time=_TIME)),
            )
        ),
    ),
}
"""Of OCEL 2.0 as JSON: https://www.ocel-standard.org/2.0/ocel20-schema-json.json says the same."""
