"""Between events in memory and rows: JSON by msgspec, free text sealed, older versions upcast."""

from collections.abc import Callable, Sequence
from typing import Any, cast
from uuid import UUID

import msgspec
from eventsourcing.persistence import Mapper, StoredEvent
from msgspec.structs import replace

from application.event_store.envelope import (
    NAME,
    SENT_WITH,
    WORKSPACE,
    Cause,
    DomainEvent,
    Envelope,
    Row,
    StoredEnvelope,
    as_row,
)
from application.event_store.event_types import EVENT_TYPES, NAMES, EventType
from application.event_store.sealing import SEALED_PREFIX, Opener, Sealer, place, subject_of
from domain.text import ERASED

REASON = "cause.reason"
"""Name of a command's reason among an event's sealed texts; no field can have it."""

SOURCE = "cause.source"
"""As REASON."""

_encode = msgspec.json.Encoder().encode
_NO_TEXTS: dict[str, str] = {}
_EVENT_VERSION, _STATE, _SOURCE, _REASON = 5, 6, 12, 13  # of a row
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
        if cause.source is not None and cause.source.startswith((SENT_WITH, SEALED_PREFIX)):
            # What only looks sealed is, too: a delivery's id is whatever its sender says.
            whose = cause.actor if cause.source.startswith(SENT_WITH) else workspace
            cause = replace(
                cause, source=self.sealer.seal(cause.source, workspace, whose, place(stream, version, SOURCE))
            )
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
        return self.to_envelopes([as_row(cast(StoredEnvelope, stored_event))])[0]

    def to_envelopes(self, rows: Sequence[Row], *, to_fold: bool = False) -> list[Envelope]:
        """Opens many events with one key query per workspace at most. `to_fold`: texts that no state keeps, which are
        most, stay sealed. Raises SealBroken, msgspec.DecodeError, KeyError (an event that this version does not know),
        StoreUnavailable."""
        parsed = [
            _parse(row[NAME], row[_EVENT_VERSION], row[_STATE], _NO_TEXTS if to_fold else _of_cause(row), to_fold)
            for row in rows
        ]
        texts = [
            (row[WORKSPACE], text) for row, (_, found) in zip(rows, parsed, strict=True) for text in found.values()
        ]
        opener = self.sealer.opener(texts)
        return [_opened(row, *parts, opener) for row, parts in zip(rows, parsed, strict=True)]


def _opened(row: Row, event: DomainEvent | dict[str, Any], texts: dict[str, str], opener: Opener) -> Envelope:
    (
        position,
        workspace,
        stream,
        version,
        name,
        event_version,
        _,
        occurred_at,
        recorded_at,
        actor,
        on_behalf_of,
        channel,
        source,
        reason,
        command_id,
        command_hash,
        correlation_id,
        causation_id,
        trace,
    ) = row
    subject = None
    opened: dict[str, Any] = {}
    if texts:
        for field, text in texts.items():
            subject = subject if field == SOURCE else subject_of(text)
            value = opener(text, workspace, place(stream, version, field))
            opened[field] = ({} if field == "fields" else ERASED) if value is None else value
        reason, source = opened.pop(REASON, reason), opened.pop(SOURCE, source)
    cause = Cause(
        actor=actor,
        on_behalf_of=on_behalf_of,
        channel=channel,
        source=source,
        reason=reason,
        command_id=command_id,
        correlation_id=correlation_id,
        causation_id=causation_id,
        trace=trace,
    )
    return Envelope(
        workspace=workspace,
        originator_id=stream,
        originator_version=version,
        event=_with_texts(EVENT_TYPES[name], event_version, event, opened, cause),
        occurred_at=occurred_at,
        cause=cause,
        subject=subject,
        command_hash=command_hash,
        position=position,
        recorded_at=recorded_at,
    )


def _of_cause(row: Row) -> dict[str, str]:
    """The sealed texts of an event's cause."""
    reason, source = row[_REASON], row[_SOURCE]
    if reason is None and source is None:
        return _NO_TEXTS
    found = {} if reason is None else {REASON: reason}
    return found | {SOURCE: source} if source is not None and source.startswith(SEALED_PREFIX) else found


def _parse(
    name: str, version: int, state: bytes, of_cause: dict[str, str], to_fold: bool
) -> tuple[Any, dict[str, str]]:
    """The event with its texts still sealed, and those to open by field; an older version as a dict."""
    kind = EVENT_TYPES[name]
    event: Any
    read: Callable[[Any, str], Any]
    if version == kind.version:
        event, read = _DECODERS[name].decode(state), getattr
        sealed = kind.kept if to_fold else kind.sealed[version]
    else:
        event, read = msgspec.json.decode(state), _get
        sealed = kind.sealed[version]
    if not sealed:
        return event, of_cause
    found = {field: text for field in sealed if (text := read(event, field)) and isinstance(text, str)}
    return event, found | of_cause if of_cause else found


def _get(event: dict[str, Any], field: str) -> Any:
    return event.get(field)


def _with_texts(kind: EventType, version: int, state: Any, opened: dict[str, Any], cause: Cause) -> DomainEvent:
    if version == kind.version:
        return cast(DomainEvent, replace(state, **opened) if opened else state)
    state |= opened
    for older in range(version, kind.version):
        state = kind.upcasters[older](state, cause)
    return msgspec.convert(state, kind.cls, strict=True)
