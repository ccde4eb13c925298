"""DateTime, Position and JSON as the contract writes them."""

import re
from datetime import UTC, datetime
from typing import Any, NewType

import msgspec
import strawberry
from graphql import GraphQLError
from strawberry.scalars import JSON
from strawberry.types.scalar import ScalarDefinition

from domain.text import RFC3339

Position = NewType("Position", int)
Seconds = NewType("Seconds", int)
"""Of inputs: a number of any size, so that one that is out of range is refused as all else that is wrong with them."""

_LARGEST = 2**63 - 1


def parse_time(value: Any) -> datetime:
    """Raises GraphQLError."""
    if not isinstance(value, str) or not RFC3339.fullmatch(value):
        raise GraphQLError(f"{_shown(value)} is not an RFC 3339 time with an offset, as 2026-03-01T09:00:00+03:00.")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise GraphQLError(f"{_shown(value)} is no instant of the years 1 to 9999.") from None


def write_time(value: datetime) -> str:
    """In UTC, always with microseconds, so that texts sort as the instants do."""
    if value.tzinfo is not UTC:
        value = value.astimezone(UTC)
    return value.isoformat("T", "microseconds")[:-6] + "Z"


def write_times(values: list[Any]) -> list[str]:
    """The same of many: in C, except that it leaves out what is zero. Raises what encoding raises."""
    texts = msgspec.json.decode(msgspec.json.encode(values), type=list[str])
    return [
        text
        if len(text) == _WHOLE and text[-1] == "Z"
        else text[:-1] + ".000000Z"
        if len(text) == _WITHOUT_FRACTION and text[-1] == "Z"
        else write_time(value)
        for text, value in zip(texts, values, strict=True)
    ]


_WHOLE, _WITHOUT_FRACTION = len("2026-03-01T09:00:00.000000Z"), len("2026-03-01T09:00:00Z")


def parse_position(value: Any) -> Position:
    """Raises GraphQLError."""
    if not isinstance(value, str) or not re.fullmatch("[0-9]{1,19}", value) or int(value) > _LARGEST:
        raise GraphQLError(f"{_shown(value)} is not a position: decimal digits as a string.")
    return Position(int(value))


def parse_seconds(value: Any) -> Seconds:
    """Raises GraphQLError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value or value % 1:
        raise GraphQLError(f"{_shown(value)} is not a whole number of seconds.")
    return Seconds(int(value))


def _shown(value: Any) -> str:
    return repr(value)[:80]


SCALARS: dict[object, ScalarDefinition] = {
    datetime: strawberry.scalar(
        name="DateTime",
        description="RFC 3339 with an offset, in UTC and to the microsecond when it comes from the server.",
        serialize=write_time,
        parse_value=parse_time,
    ),
    Position: strawberry.scalar(
        name="Position",
        description="A place in the log of events: decimal digits as a string.",
        serialize=str,
        parse_value=parse_position,
    ),
    Seconds: strawberry.scalar(
        name="Seconds",
        description="A whole number of seconds.",
        serialize=int,
        parse_value=parse_seconds,
    ),
    JSON: strawberry.scalar(name="JSON", description="Any JSON value.", serialize=lambda value: value),
}
