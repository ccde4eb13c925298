"""Custom fields: what a workspace's tickets carry beside what every ticket has, and which values a field takes.

A value is checked, and brought into one spelling, wherever it is set; so values of one field compare as they read. What
was recorded before a definition changed stays as it is.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from urllib.parse import urlsplit
from uuid import UUID

import msgspec

from domain import text
from domain.errors import InvalidValue
from domain.text import FieldValue

CHOICES_LIMIT = 500
DIGITS_LIMIT = 15
"""Significant decimal digits of a number: as many as a double keeps, so what was written is what is read."""
URL_LIMIT = 2_000
_SCHEMES = ("http", "https", "mailto", "tel")


class FieldType(StrEnum):
    """TIME is an instant, kept in UTC. PERSON and TEAM hold ids of the workspace."""

    TEXT = "TEXT"
    LONG_TEXT = "LONG_TEXT"
    INTEGER = "INTEGER"
    NUMBER = "NUMBER"
    BOOLEAN = "BOOLEAN"
    DATE = "DATE"
    TIME = "TIME"
    CHOICE = "CHOICE"
    CHOICES = "CHOICES"
    PERSON = "PERSON"
    TEAM = "TEAM"
    URL = "URL"


class Choice(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    key: str
    name: str


class Field(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`roles`: which have it; none named, every role has it. `required`: roles that need it. `choices`: of CHOICE and
    CHOICES, in their order."""

    key: str
    name: str
    type: FieldType
    choices: tuple[Choice, ...] = ()
    roles: tuple[str, ...] = ()
    required: tuple[str, ...] = ()

    def belongs_to(self, role: str) -> bool:
        return not self.roles or role in self.roles


# ---- events


class FieldDefined(msgspec.Struct, frozen=True, kw_only=True):
    field: Field


class FieldRetired(msgspec.Struct, frozen=True, kw_only=True):
    key: str


class FieldPolicySet(msgspec.Struct, frozen=True, kw_only=True):
    strict: bool


# ---- commands


class DefineField(msgspec.Struct, frozen=True, kw_only=True):
    """Defines a field, or defines it anew; its type never changes."""

    field: Field


class RetireField(msgspec.Struct, frozen=True, kw_only=True):
    """Values stay, and can be cleared; no new one is set."""

    field: str


class SetFieldPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """`strict`: only fields that are defined can be set, except by imports."""

    strict: bool


# ---- definitions


def checked(field: Field, before: Field | None, roles: Iterable[str], reserved: Iterable[str]) -> Field:
    """A definition in which every named role exists. Raises InvalidValue."""
    key = text.key(field.key)
    if key in reserved:
        raise InvalidValue(f"{key!r} is what every ticket has: name the field otherwise.", ("key",))
    if before is not None and before.type is not field.type:
        raise InvalidValue(
            f"The field {key!r} is {before.type}, and values were recorded as such. Define another field.",
            ("type",),
        )
    known = set(roles)
    for path, named in (("roles", field.roles), ("requiredFor", field.required)):
        if strange := sorted(set(named) - known):
            raise InvalidValue(f"{path} names roles that are not here: {', '.join(map(_short, strange))}.", (path,))
    if field.roles and not set(field.required) <= set(field.roles):
        raise InvalidValue("requiredFor names roles that do not have the field.", ("requiredFor",))
    return Field(
        key=key,
        name=text.line(field.name, "name"),
        type=field.type,
        choices=_choices(field),
        roles=tuple(dict.fromkeys(field.roles)),
        required=tuple(dict.fromkeys(field.required)),
    )


def _choices(field: Field) -> tuple[Choice, ...]:
    chosen = field.type in (FieldType.CHOICE, FieldType.CHOICES)
    if not chosen and field.choices:
        raise InvalidValue(f"A field of type {field.type} has no choices.", ("choices",))
    choices = tuple(
        Choice(key=text.key(one.key, "choices"), name=text.line(one.name, "choices")) for one in field.choices
    )
    if chosen and not 1 <= len(choices) <= CHOICES_LIMIT:
        raise InvalidValue(f"A field of type {field.type} has 1 to {CHOICES_LIMIT} choices.", ("choices",))
    if len({choice.key for choice in choices}) < len(choices):
        raise InvalidValue("Two choices have the same key.", ("choices",))
    return choices


def _short(name: str) -> str:
    return repr(name[:80])


# ---- values


def value_of(field: Field, value: FieldValue) -> FieldValue:
    """The value in the one spelling that the type has; None clears. That a person or team exists is checked where
    they are known. Raises InvalidValue."""
    if value is None:
        return None
    try:
        taken = _TAKE[field.type](field, value)
    except InvalidValue as error:
        raise InvalidValue(error.message, ("fields", field.key)) from None
    except (ValueError, OverflowError, InvalidOperation):
        taken = None
    if taken is None:
        raise InvalidValue(
            f"{field.key} is {_WANTED[field.type]}; got {_shown(value)}.{_known_choices(field)}", ("fields", field.key)
        )
    return text.field_value(field.key, taken)


def _shown(value: FieldValue) -> str:
    return repr(list(value) if isinstance(value, tuple) else value)[:80]


def _known_choices(field: Field) -> str:
    return f" Choices: {', '.join(choice.key for choice in field.choices)}."[:1_000] if field.choices else ""


def _text(field: Field, value: FieldValue) -> FieldValue:
    return text.line(value, field.key) if isinstance(value, str) else None


def _long_text(field: Field, value: FieldValue) -> FieldValue:
    return text.prose(value, field.key) if isinstance(value, str) else None


def _integer(field: Field, value: FieldValue) -> FieldValue:
    match value:
        case bool():
            return None
        case int():
            return value if abs(value) <= text.INTEGER_LIMIT else None
        case float():
            return _integer(field, int(value)) if value.is_integer() else None
        case str():
            return _integer(field, int(value)) if re.fullmatch(r"\s*[+-]?[0-9]{1,16}\s*", value) else None
        case _:
            return None


def _number(field: Field, value: FieldValue) -> FieldValue:
    """As a number of JSON, if a double keeps every digit that was written."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    number = Decimal(value.strip() if isinstance(value, str) else repr(value))
    if not number.is_finite():
        return None
    digits = len(number.normalize().as_tuple().digits)
    if digits > DIGITS_LIMIT or (number and not -DIGITS_LIMIT <= number.adjusted() <= DIGITS_LIMIT):
        return None
    return int(number) if number == number.to_integral_value() else float(number)


def _boolean(field: Field, value: FieldValue) -> FieldValue:
    return value if isinstance(value, bool) else None


def _date(field: Field, value: FieldValue) -> FieldValue:
    if not isinstance(value, str) or not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        return None
    return date.fromisoformat(value).isoformat()


def _time(field: Field, value: FieldValue) -> FieldValue:
    """In UTC to the microsecond, so that texts sort as the instants do."""
    if not isinstance(value, str) or not text.RFC3339.fullmatch(value):
        return None
    at = datetime.fromisoformat(value.upper()).astimezone(UTC)
    return at.isoformat(timespec="microseconds")[:-6] + "Z"


def _choice(field: Field, value: FieldValue) -> FieldValue:
    return value if isinstance(value, str) and any(choice.key == value for choice in field.choices) else None


def _several(field: Field, value: FieldValue) -> FieldValue:
    """In the order of the definition, each once."""
    wanted = set(value) if isinstance(value, tuple) else {value}
    found = tuple(choice.key for choice in field.choices if choice.key in wanted)
    return found if len(found) == len(wanted) else None


def _id(field: Field, value: FieldValue) -> FieldValue:
    return str(UUID(value)) if isinstance(value, str) else None


def _url(field: Field, value: FieldValue) -> FieldValue:
    if not isinstance(value, str):
        return None
    value = text.line(value, field.key, URL_LIMIT)
    parts = urlsplit(value)
    return value if " " not in value and parts.scheme in _SCHEMES and (parts.netloc or parts.path) else None


_TAKE: Mapping[FieldType, Callable[[Field, FieldValue], FieldValue]] = {
    FieldType.TEXT: _text,
    FieldType.LONG_TEXT: _long_text,
    FieldType.INTEGER: _integer,
    FieldType.NUMBER: _number,
    FieldType.BOOLEAN: _boolean,
    FieldType.DATE: _date,
    FieldType.TIME: _time,
    FieldType.CHOICE: _choice,
    FieldType.CHOICES: _several,
    FieldType.PERSON: _id,
    FieldType.TEAM: _id,
    FieldType.URL: _url,
}
_WANTED: Mapping[FieldType, str] = {
    FieldType.TEXT: f"a line of up to {text.TITLE_LIMIT} characters",
    FieldType.LONG_TEXT: "a text",
    FieldType.INTEGER: f"a whole number within ±{text.INTEGER_LIMIT}",
    FieldType.NUMBER: f"a number of at most {DIGITS_LIMIT} significant digits",
    FieldType.BOOLEAN: "true or false",
    FieldType.DATE: "a date, as 2026-03-01",
    FieldType.TIME: "a time with an offset, as 2026-03-01T09:00:00+03:00",
    FieldType.CHOICE: "one of its choices",
    FieldType.CHOICES: "a list of its choices",
    FieldType.PERSON: "the id of a person",
    FieldType.TEAM: "the id of a team",
    FieldType.URL: "an address that begins with https://, http://, mailto: or tel:",
}
assert set(_TAKE) == set(_WANTED) == set(FieldType)
