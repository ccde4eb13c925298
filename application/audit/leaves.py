"""What the log says of an event: every column of its row, by value or by hash, in RFC 8785 JSON.

msgspec writes no spaces, the fields in their order below, which is RFC 8785's, and strings with its escapes.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from application.event_store.database import Connection
from application.event_store.envelope import WORKSPACE, Row
from application.event_store.sealing import Subject

_STATE, _SOURCE, _REASON = 6, 12, 13
_SEALED = re.compile(rb'"1:([0-9a-f]{32}):')
_SEALED_TEXT = re.compile(r"1:([0-9a-f]{32}):")


class Leaf(msgspec.Struct, frozen=True, gc=False):
    """`state`, `cause`: SHA-256 of the stored bytes, and of the columns that say how it came about (`_Cause`), in
    hexadecimal. `keys`: commitments to the keys that sealed its texts."""

    cause: str
    index: int
    keys: list[str]
    name: str
    position: int
    recorded_at: str
    state: str
    stream: UUID
    version: int


class _Cause(msgspec.Struct, frozen=True, gc=False):
    actor: UUID
    causation_id: UUID | None
    channel: str
    command_hash: str | None
    command_id: UUID
    correlation_id: UUID
    event_version: int
    occurred_at: str
    on_behalf_of: UUID | None
    reason: str | None
    source: str | None
    trace: str | None


_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Leaf)

Commitments = Mapping[Subject, str]


def write(index: int, row: Row, keys: Sequence[str]) -> bytes:
    position, _, stream, version, name, _, state, _, recorded_at, *_ = row
    return _encode(
        Leaf(
            hashlib.sha256(cause(row)).hexdigest(),
            index,
            list(keys),
            name,
            position,
            _time(recorded_at),
            hashlib.sha256(state).hexdigest(),
            stream,
            version,
        )
    )


def cause(row: Row) -> bytes:
    """What `Leaf.cause` is the hash of."""
    (event_version, _, occurred_at, _, actor, on_behalf_of, channel, source, reason, *ids) = row[5:]
    command_id, command_hash, correlation_id, causation_id, trace = ids
    return _encode(
        _Cause(
            actor,
            causation_id,
            channel,
            None if command_hash is None else command_hash.hex(),
            command_id,
            correlation_id,
            event_version,
            _time(occurred_at),
            on_behalf_of,
            reason,
            source,
            trace,
        )
    )


def read(leaf: bytes) -> Leaf | None:
    """None where it is none."""
    try:
        return _decoder.decode(leaf)
    except msgspec.DecodeError:
        return None


def _time(at: datetime) -> str:
    """In UTC, which all connections are set to; always with microseconds."""
    return f"{at.isoformat('T', 'microseconds')[:26]}Z"


def subjects(row: Row, *, of_source: bool = True) -> set[Subject]:
    """Whose keys sealed its texts (and where its command came from), as they say themselves: by no type of event, so
    that the answer never changes."""
    found = set(_SEALED.findall(row[_STATE])) if b'"1:' in row[_STATE] else set[bytes]()
    named = {UUID(one.decode()) for one in found}
    texts = (row[_REASON], row[_SOURCE] if of_source else None)
    named |= {UUID(sealed[1]) for text in texts if text is not None and (sealed := _SEALED_TEXT.match(text))}
    return {(row[WORKSPACE], subject) for subject in named}


def commitments(keys: Connection, wanted: Iterable[Subject]) -> dict[Subject, str]:
    """Of the keys that are, or were, there; asked as the projector where they lie."""
    asked = list(wanted)
    if not asked:
        return {}
    rows = keys.execute(
        "select k.workspace, k.subject, encode(k.commitment, 'hex')"
        "  from unnest(%s::uuid[], %s::uuid[]) w (workspace, subject)"
        "  join subject_key k on k.workspace = w.workspace and k.subject = w.subject"
        " where k.commitment is not null",
        ([workspace for workspace, _ in asked], [subject for _, subject in asked]),
        binary=True,
    ).fetchall()
    return {(workspace, subject): commitment for workspace, subject, commitment in rows}


def keys_of(row: Row, known: Commitments) -> list[str]:
    return sorted({known[subject] for subject in subjects(row) if subject in known})
