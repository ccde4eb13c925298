"""Between events in memory and rows: JSON by msgspec, free text sealed, older versions upcast."""

from collections.abc import Sequence
from typing import Any, cast
from uuid import UUID

import msgspec
from eventsourcing.persistence import Mapper, StoredEvent
from msgspec.structs import replace

from application.event_store.envelope import DomainEvent, Envelope, StoredEnvelope
from application.event_store.event_types import EVENT_TYPES, NAMES, EventType
from application.event_store.sealing import Sealer, place, subject_of

ERASED: Any = "[erased]"
"""What a required text reads as once its subject was erased."""

REASON = "cause.reason"
"""Name of a command's reason among an event's sealed texts; no field can have it."""

_encode = msgspec.json.Encoder().encode
_DECODERS = {kind.name: msgspec.json.Decoder(kind.cls) for kind in EVENT_TYPES.values()}


class EnvelopeMapper(Mapper[UUID]):
    """The library's mapper, for envelopes."""

    def __init__(self, sealer: Sealer) -> None:
        self.sealer = sealer

    def to_stored_event(self, domain_event: Any) -> StoredEnvelope:
        envelope = cast(Envelope, domain_event)
        kind = NAMES[type(envelope.event)]
        stream, version, workspace = envelope.originator_id, envelope.originator_version, envelope.workspace
        subject = envelope.subject or workspace
        state = envelope.event
        sealed = kind.sealed[kind.version]
        if sealed:
            texts = {
                field: self.sealer.seal(value, workspace, subject, place(stream, version, field))
                for field in sealed
                if (value := getattr(state, field)) is not None and value != {}
            }
            state = replace(state, **texts)
        cause = envelope.cause
        if cause.reason is not None:
            reason = self.sealer.seal(cause.reason, workspace, subject, place(stream, version, REASON))
            cause = replace(cause, reason=reason)
        return StoredEnvelope(
            originator_id=stream,
            originator_version=version,
            topic=kind.name,
            state=_encode(state),
            workspace=workspace,
            event_version=kind.version,
            occurred_at=envelope.occurred_at,
            cause=cause,
            command_hash=envelope.command_hash,
        )

    def to_domain_event(self, stored_event: StoredEvent) -> Any:
        return self.to_envelopes([cast(StoredEnvelope, stored_event)])[0]

    def to_envelopes(self, rows: Sequence[StoredEnvelope]) -> list[Envelope]:
        """Opens many events with one key query per workspace at most. Raises SealBroken, msgspec.DecodeError."""
        parsed = [self._parse(row) for row in rows]
        self.sealer.keyring.load(
            {
                (row.workspace, subject_of(text))
                for row, (_, _, texts) in zip(rows, parsed, strict=True)
                for text in texts.values()
            }
        )
        return [self._open(row, *parts) for row, parts in zip(rows, parsed, strict=True)]

    def _parse(self, row: StoredEnvelope) -> tuple[EventType, DomainEvent | dict[str, Any], dict[str, str]]:
        """The event with its texts still sealed, and those texts by field; an older version as a dict."""
        kind = EVENT_TYPES[row.topic]
        state: Any
        if row.event_version == kind.version:
            state = _DECODERS[row.topic].decode(row.state)
            texts = {field: getattr(state, field) for field in kind.sealed[kind.version]}
        else:
            state = msgspec.json.decode(row.state)
            texts = {field: state.get(field) for field in kind.sealed[row.event_version]}
        if row.cause.reason is not None:
            texts[REASON] = row.cause.reason
        return kind, state, {field: text for field, text in texts.items() if text and isinstance(text, str)}

    def _open(self, row: StoredEnvelope, kind: EventType, state: Any, texts: dict[str, str]) -> Envelope:
        cause, subject = row.cause, None
        opened: dict[str, Any] = {}
        for field, text in texts.items():
            at = place(cast(UUID, row.originator_id), row.originator_version, field)
            subject = subject_of(text)
            opened[field] = self.sealer.open(text, row.workspace, at)
            if opened[field] is None:
                opened[field] = {} if field == "fields" else ERASED
        if cause.reason is not None:
            cause = replace(cause, reason=opened.pop(REASON))
        return Envelope(
            workspace=row.workspace,
            originator_id=cast(UUID, row.originator_id),
            originator_version=row.originator_version,
            event=_with_texts(kind, row.event_version, state, opened),
            occurred_at=row.occurred_at,
            cause=cause,
            subject=subject,
            command_hash=row.command_hash,
            position=row.position,
            recorded_at=row.recorded_at,
        )


def _with_texts(kind: EventType, version: int, state: Any, opened: dict[str, Any]) -> DomainEvent:
    if version == kind.version:
        return cast(DomainEvent, replace(state, **opened) if opened else state)
    state |= opened
    for older in range(version, kind.version):
        state = kind.upcasters[older](state)
    return msgspec.convert(state, kind.cls, strict=True)
