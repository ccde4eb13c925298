"""Text that people write: what is accepted, and how personal or free text is marked for sealing."""

import math
import re
from typing import Annotated
from unicodedata import category, normalize

import msgspec

from domain.errors import InvalidValue

SEALED = "sealed"
"""Key in a field's `msgspec.Meta.extra`: this field is stored encrypted under its data subject."""

FreeText = Annotated[str, msgspec.Meta(extra={SEALED: True})]
"""Text that may name a person. It is stored sealed; deleting the subject's key erases it."""

ERASED = "[erased]"
"""What a text reads as once its subject was erased."""

PASSING = "passing"
"""Key beside SEALED: no state keeps this text, so that whoever folds events need not open it."""

PassingText = Annotated[str, msgspec.Meta(extra={SEALED: True, PASSING: True})]
"""As FreeText, of what is said once and looked up in the history alone."""

FieldValue = str | int | float | bool | tuple[str, ...] | None
"""A custom field's value; several texts where it is a choice of several."""

SealedFields = Annotated[dict[str, FieldValue] | str, msgspec.Meta(extra={SEALED: True})]
"""Custom fields by key. The `str` is their sealed form and is never seen outside the event store."""

SealedValue = Annotated[FieldValue, msgspec.Meta(extra={SEALED: True})]

TITLE_LIMIT = 300
TEXT_LIMIT = 100_000
KEY_LIMIT = 64
TAGS_LIMIT = 50
FIELDS_LIMIT = 100
SEVERAL_LIMIT = 500
INTEGER_LIMIT = 2**53 - 1
"""Beyond it JavaScript, and with it most readers of JSON, would round."""

RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def line(value: str, field: str, limit: int = TITLE_LIMIT) -> str:
    """One line of 1..limit characters, trimmed, in Unicode's composed form (NFC); control characters and runs
    of white space become one space. Raises InvalidValue."""
    return _sized(" ".join(_CONTROL.sub(" ", _composed(value, field)).split()), field, limit)


def prose(value: str, field: str, limit: int = TEXT_LIMIT) -> str:
    """Several lines of 1..limit characters, trimmed, in NFC. Raises InvalidValue."""
    return _sized(_composed(value, field).strip(), field, limit)


def key(value: str, field: str = "key") -> str:
    """A key: letters, digits, `_`, `-`, `.`, at most 64; unique and unchanging. It is taken as it is or
    refused, never mended, since ids are derived from it; so two spellings of one letter (NFKC) cannot be two
    keys. Raises InvalidValue."""
    value = checked(value, field)
    plain = len(value) <= KEY_LIMIT and all(c.isalnum() or c in "_-." for c in value)
    if not value or not plain or normalize("NFKC", value) != value:
        raise InvalidValue(
            f"{field} must be 1 to {KEY_LIMIT} letters, digits, '_', '-' or '.'; got {value[:80]!r}.",
            (field,),
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


def field_value(key: str, value: FieldValue) -> FieldValue:
    """A custom field's value that JSON holds without loss: no NaN, no infinity, no integer that JavaScript
    would round. Raises InvalidValue."""
    path = ("fields", key)
    if isinstance(value, str):
        value = _composed(value, "fields")
        if len(value) > TEXT_LIMIT:
            raise InvalidValue(f"fields.{key} is longer than {TEXT_LIMIT} characters.", path)
    elif isinstance(value, tuple):
        if len(value) > SEVERAL_LIMIT:
            raise InvalidValue(f"fields.{key} has more than {SEVERAL_LIMIT} values.", path)
        value = tuple(line(one, "fields") for one in value)
    elif isinstance(value, float) and not math.isfinite(value):
        raise InvalidValue(f"fields.{key} is not a finite number.", path)
    elif isinstance(value, int) and abs(value) > INTEGER_LIMIT:
        raise InvalidValue(f"fields.{key} is beyond ±{INTEGER_LIMIT}; send it as a string.", path)
    return value


def same_value(one: FieldValue, other: FieldValue) -> bool:
    """As JSON sees it: 1 is 1.0, but true is not 1."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def is_blank(value: str) -> bool:
    """Nothing to see in it: empty, white space, or invisible characters alone (zero-width space, …)."""
    return all(c.isspace() or category(c) in ("Cc", "Cf") for c in value)


def _composed(value: str, field: str) -> str:
    return normalize("NFC", checked(value, field))


def _sized(value: str, field: str, limit: int) -> str:
    if is_blank(value):
        raise InvalidValue(f"{field} is empty.", (field,))
    if len(value) > limit:
        raise InvalidValue(f"{field} has {len(value)} characters; {limit} is the limit.", (field,))
    return value
