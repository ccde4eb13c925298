"""Values of custom fields at the border: people and teams by opaque ids outside, by plain ones inside."""

from typing import Any
from uuid import UUID

import msgspec

from api.ids import Kind, WrongId, decode, encode
from domain.custom_fields import Field, FieldType
from domain.errors import InvalidValue
from domain.text import FieldValue
from domain.workflows import Workflows

_KINDS = {FieldType.PERSON: Kind.PERSON, FieldType.TEAM: Kind.TEAM}


def inward(known: Workflows, fields: Any, path: str = "fields") -> dict[str, FieldValue]:
    """Raises InvalidValue."""
    try:
        values = msgspec.convert(fields, dict[str, FieldValue])
    except msgspec.ValidationError:
        raise InvalidValue(f"{path} holds texts, numbers, truth values, lists of texts or null.", (path,)) from None
    return {key: value_inward(known, key, value) for key, value in values.items()}


def value_inward(known: Workflows, key: str, value: FieldValue) -> FieldValue:
    """What is no id of ours stays as it is: the decision refuses it by the field's name."""
    kind = _kind(known.fields.get(key))
    if kind is None or not isinstance(value, str):
        return value
    try:
        return str(decode(value, kind))
    except WrongId:
        return value


def outward(known: Workflows, fields: dict[str, FieldValue]) -> dict[str, Any]:
    if not any(_kind(known.fields.get(key)) for key in fields):
        return fields
    return {key: value_outward(known, key, value) for key, value in fields.items()}


def value_outward(known: Workflows, key: str, value: Any) -> Any:
    kind = _kind(known.fields.get(key))
    return encode(kind, UUID(value)) if kind is not None and isinstance(value, str) and _is_uuid(value) else value


def _is_uuid(value: str) -> bool:
    """What was recorded before the field was defined may be anything."""
    try:
        UUID(value)
    except ValueError:
        return False
    return True


def _kind(field: Field | None) -> Kind | None:
    return None if field is None else _KINDS.get(field.type)
