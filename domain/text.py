"""Text that people write: what is accepted, and how personal or free text is marked for sealing."""

from typing import Annotated

import msgspec

from domain.errors import InvalidValue

SEALED = "sealed"
"""Key in a field's `msgspec.Meta.extra`: the stored form of this field is encrypted under its data subject."""

FreeText = Annotated[str, msgspec.Meta(extra={SEALED: True})]
"""Text that may name a person. It is stored sealed; deleting the subject's key erases it."""

FieldValue = str | int | float | bool | None
"""A custom field's value."""

SealedFields = Annotated[dict[str, FieldValue] | str, msgspec.Meta(extra={SEALED: True})]
"""Custom fields by key. The `str` is their sealed form and is never seen outside the event store."""

SealedValue = Annotated[FieldValue, msgspec.Meta(extra={SEALED: True})]

TITLE_LIMIT = 300
TEXT_LIMIT = 100_000
KEY_LIMIT = 64
TAGS_LIMIT = 50
FIELDS_LIMIT = 100


def line(value: str, field: str, limit: int = TITLE_LIMIT) -> str:
    """One line of 1..limit characters, trimmed. Raises InvalidValue."""
    value = " ".join(checked(value, field).split())
    if not value:
        raise InvalidValue(f"{field} is empty.", (field,))
    if len(value) > limit:
        raise InvalidValue(f"{field} has {len(value)} characters; {limit} is the limit.", (field,))
    return value


def prose(value: str, field: str, limit: int = TEXT_LIMIT) -> str:
    """Several lines of 1..limit characters. Raises InvalidValue."""
    value = checked(value, field).strip()
    if not value:
        raise InvalidValue(f"{field} is empty.", (field,))
    if len(value) > limit:
        raise InvalidValue(f"{field} has {len(value)} characters; {limit} is the limit.", (field,))
    return value


def key(value: str, field: str = "key") -> str:
    """A key: letters, digits, `_`, `-`, `.`, at most 64; unique and unchanging. Raises InvalidValue."""
    value = checked(value, field)
    if not value or len(value) > KEY_LIMIT or not all(c.isalnum() or c in "_-." for c in value):
        raise InvalidValue(
            f"{field} must be 1 to {KEY_LIMIT} letters, digits, '_', '-' or '.'; got {value[:80]!r}.", (field,)
        )
    return value


def checked(value: str, field: str) -> str:
    """Refuses what PostgreSQL text or UTF-8 cannot hold: NUL and lone surrogates. Raises InvalidValue."""
    if "\0" in value:
        raise InvalidValue(f"{field} contains a NUL character.", (field,))
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidValue(f"{field} contains half of a surrogate pair: not valid Unicode.", (field,)) from None
    return value
