"""Opaque ids: which kind of thing, and which one. Compact, and no id of one kind passes for another's."""

import base64
import binascii
from binascii import b2a_base64
from collections.abc import Mapping
from enum import Enum
from uuid import UUID

from strawberry import ID


class Kind(Enum):
    """The first byte of an id; ids live in clients' bookmarks, so none is ever changed."""

    TICKET = b"t"
    PERSON = b"p"
    TEAM = b"g"
    SERVICE = b"s"
    COMMENT = b"c"
    ATTACHMENT = b"a"
    UPLOAD = b"u"
    EVENT = b"e"
    WORKSPACE = b"w"
    VIEW = b"v"
    WORK_ENTRY = b"h"
    REPOSITORY = b"r"
    CLIENT = b"k"
    CONTRACT = b"o"
    HOUR_PACKAGE = b"y"
    WEBHOOK = b"j"
    DOCUMENT = b"d"
    PAYMENT = b"m"
    ESTIMATE = b"i"
    QUESTION = b"q"


NAMED_BY: Mapping[str, Kind] = {
    "ticket": Kind.TICKET,
    "parent": Kind.TICKET,
    "other": Kind.TICKET,
    "into": Kind.TICKET,
    "mergedInto": Kind.TICKET,
    "after": Kind.TICKET,
    "before": Kind.TICKET,
    "person": Kind.PERSON,
    "assignee": Kind.PERSON,
    "contributor": Kind.PERSON,
    "contributors": Kind.PERSON,
    "watchers": Kind.PERSON,
    "requester": Kind.PERSON,
    "on_behalf_of": Kind.PERSON,
    "members": Kind.PERSON,
    "contacts": Kind.PERSON,
    "team": Kind.TEAM,
    "service": Kind.SERVICE,
    "view": Kind.VIEW,
    "repository": Kind.REPOSITORY,
    "webhook": Kind.WEBHOOK,
    "mentions": Kind.PERSON,
    "tickets": Kind.TICKET,
    "comment": Kind.COMMENT,
    "in_reply_to": Kind.COMMENT,
    "upload": Kind.UPLOAD,
    "attachment": Kind.ATTACHMENT,
    "work_entry": Kind.WORK_ENTRY,
    "client": Kind.CLIENT,
    "contract": Kind.CONTRACT,
    "document": Kind.DOCUMENT,
    "payment": Kind.PAYMENT,
    "hour_package": Kind.HOUR_PACKAGE,
    "estimate": Kind.ESTIMATE,
    "question": Kind.QUESTION,
}
"""Fields of inputs and filters whose values are ids, where they are declared as such."""

PATHS: Mapping[str, Kind] = {name: kind for name, kind in NAMED_BY.items() if name != "comment"}
"""Paths of changes whose values are ids. A work entry's comment is a text."""


class WrongId(Exception):
    """Not an id of ours, or of another kind of thing."""

    def __init__(self, given: str, kind: Kind | None = None) -> None:
        what = f"the id of a {kind.name.lower()}" if kind else "an id"
        super().__init__(f"{given[:80]!r} is not {what} that this server has given out.")


def encode(kind: Kind, id_: UUID) -> ID:
    return _text(kind._value_ + id_.bytes)  # `value` is a function of Python, which costs more than the rest


def encode_event(position: int) -> ID:
    return _text(Kind.EVENT.value + position.to_bytes(8, "big"))


def decode(given: str, kind: Kind) -> UUID:
    """Raises WrongId."""
    found, id_ = parse(given)
    if found is not kind or not isinstance(id_, UUID):
        raise WrongId(given, kind)
    return id_


def decode_given(given: str | None, kind: Kind) -> UUID | None:
    """None for what was not given. Raises WrongId."""
    return None if given is None else decode(given, kind)


def parse(given: str) -> tuple[Kind, UUID | int]:
    """An event's number is its position. Raises WrongId."""
    try:
        raw = base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True)
        kind = Kind(raw[:1])
    except (binascii.Error, ValueError):
        raise WrongId(given) from None
    size = 9 if kind is Kind.EVENT else 17
    if len(raw) != size or _text(raw) != given:  # one spelling per id
        raise WrongId(given)
    return kind, int.from_bytes(raw[1:], "big") if kind is Kind.EVENT else UUID(bytes=raw[1:])


def _text(raw: bytes) -> ID:
    return ID(b2a_base64(raw, newline=False).translate(_URL_SAFE, b"=").decode("ascii"))


_URL_SAFE = bytes.maketrans(b"+/", b"-_")
