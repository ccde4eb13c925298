"""How every command becomes recorded events: load, decide, append; once, whatever races or repeats."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID, uuid4

import msgspec

from application.event_store import metrics, tracing
from application.event_store.envelope import Cause, DomainEvent, Envelope, Stream
from application.event_store.recorder import AlreadyRecorded, Guard, Recorded, VersionConflict
from application.event_store.streams import EventStore, WorkspaceStore
from domain.access import Actor, Command, may_act_for_others
from domain.errors import CommandIdReused, Conflict, Forbidden, InvalidValue, OccurredInFuture, PersonNotFound
from domain.people import Person
from domain.text import TEXT_LIMIT, prose

ATTEMPTS = 5


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What comes with every command. `channel`: by which way it came; `source`: what exactly it came from."""

    actor: Actor
    command_id: UUID | None = None
    expected_version: int | None = None
    reason: str | None = None
    occurred_at: datetime | None = None
    on_behalf_of: UUID | None = None
    channel: str = "api"
    source: str | None = None
    correlation_id: UUID | None = None
    causation_id: UUID | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """`version` and `position` of the stream after the command. `replayed`: it was recorded by an earlier sending."""

    stream: UUID
    version: int
    position: int
    replayed: bool = False


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`subject`: whose key seals the free text; None is the workspace itself."""

    events: Sequence[DomainEvent]
    occurred_at: datetime
    subject: UUID | None = None


Decide = Callable[[dict[UUID, Stream]], Decision]


def execute(
    store: EventStore,
    context: Context,
    command: Command,
    stream: UUID,
    others: Iterable[UUID | None],
    decide: Decide,
    *,
    guard: str | None = None,
) -> Outcome:
    """Decides on the stream (and others that the decision must know) and appends what was decided to it.

    A repeated command id returns the first result. A lost race reloads and decides again; the caller who named the
    version that it expected then learns of the newer one. Raises Refused, StoreUnavailable.
    """
    context = checked(context)
    workspace = store.workspace(context.actor.workspace)
    needed = {stream, *(other for other in others if other is not None)}
    if context.on_behalf_of is not None:
        needed.add(context.on_behalf_of)
    digest = fingerprint(workspace, context, command)
    command_id = context.command_id or uuid4()
    turn = workspace.turn(guard or stream)
    for attempt in range(ATTEMPTS):
        # Nobody waits for nothing; but where commands meet, at a guard or on one stream that somebody lost a race for,
        # they go one by one: else in each round all but one would lose again.
        crowded = attempt > 0 or guard is not None or turn.locked()
        with turn if crowded else nullcontext():
            held = [] if guard is None else [workspace.guard(guard)]  # before what it guards is read
            with tracing.span("load"):
                loaded, earlier = workspace.load_for(needed, context.command_id)
            if earlier is not None:
                return _replayed(earlier, digest)
            before = loaded.get(stream)
            version = before.version if before else 0
            if context.expected_version not in (None, version):
                raise Conflict(context.expected_version, version)
            _check_on_behalf_of(context, loaded)
            with tracing.span("decide"):
                decision = decide(loaded)
            try:
                return _record(workspace, context, command_id, digest, stream, before, decision, held)
            except AlreadyRecorded as error:
                return _replayed(error.first, digest, resent=error.resent)
            except VersionConflict:
                metrics.LOST_RACES.inc()
    raise Conflict(None, None)


def _record(
    workspace: WorkspaceStore,
    context: Context,
    command_id: UUID,
    digest: bytes,
    stream: UUID,
    before: Stream | None,
    decision: Decision,
    guards: Sequence[Guard],
) -> Outcome:
    version, position = (before.version, before.position) if before else (0, 0)
    if not decision.events:
        # A command without an id of the client's own cannot be repeated, so nothing needs to know it.
        if context.command_id is not None:
            left = Recorded(
                command_id=command_id, command_hash=digest, stream=stream, version=version, position=position
            )
            workspace.record_unchanged([left])
        return Outcome(stream=stream, version=version, position=position)
    cause = Cause(
        actor=context.actor.person,
        command_id=command_id,
        correlation_id=context.correlation_id or command_id,
        causation_id=context.causation_id,
        channel=context.channel,
        on_behalf_of=context.on_behalf_of,
        source=context.source,
        reason=context.reason,
        trace=tracing.current(),
    )
    envelopes = [
        Envelope(
            workspace=workspace.workspace,
            originator_id=stream,
            originator_version=version + n,
            event=event,
            occurred_at=decision.occurred_at,
            cause=cause,
            subject=decision.subject,
            command_hash=digest if n == 1 else None,
        )
        for n, event in enumerate(decision.events, start=1)
    ]
    with tracing.span("append"):
        position = workspace.append(envelopes, guards=guards)
    return Outcome(stream=stream, version=version + len(envelopes), position=position)


def _replayed(first: Recorded, digest: bytes, *, resent: bool = False) -> Outcome:
    if first.command_hash != digest:
        raise CommandIdReused(first.command_id)
    return Outcome(stream=first.stream, version=first.version, position=first.position, replayed=not resent)


def _check_on_behalf_of(context: Context, loaded: dict[UUID, Stream]) -> None:
    person = context.on_behalf_of
    if person is not None and person != context.actor.person:
        must_be_active(loaded, person, "onBehalfOf")


def must_be_active(loaded: Mapping[UUID, Stream], person: UUID, field: str) -> None:
    """`field`: of the input, that names the person. Raises PersonNotFound."""
    found = state_in(loaded, person, Person)
    if found is None or not found.active:
        raise PersonNotFound(person, field)


T = TypeVar("T")


def state_in(loaded: Mapping[UUID, Stream], id_: UUID, kind: type[T]) -> T | None:
    """None where there is no such stream here, or one of another kind of thing."""
    stream = loaded.get(id_)
    return stream.state if stream is not None and isinstance(stream.state, kind) else None


def checked(context: Context) -> Context:
    """Raises Forbidden, InvalidValue, OccurredInFuture."""
    if context.occurred_at is not None:
        if not may_act_for_others(context.actor):
            raise Forbidden("date commands back", "occurredAt")
        context = msgspec.structs.replace(context, occurred_at=_past(context.occurred_at))
    if context.on_behalf_of not in (None, context.actor.person) and not may_act_for_others(context.actor):
        raise Forbidden("act on behalf of others", "onBehalfOf")
    if context.reason is not None:
        reason = context.reason.strip()
        context = msgspec.structs.replace(context, reason=prose(reason, "reason", TEXT_LIMIT) if reason else None)
    return context


def _past(at: datetime) -> datetime:
    """In UTC: PostgreSQL would take year 1 with an offset that makes it year 0, and nobody could read it again."""
    if at.utcoffset() is None:
        raise InvalidValue("occurredAt needs an offset, as in 2026-03-01T09:00:00+03:00.", ("occurredAt",))
    try:
        at = at.astimezone(UTC)
    except OverflowError:
        raise InvalidValue("occurredAt is outside the years 1 to 9999.", ("occurredAt",)) from None
    if at > now():
        raise OccurredInFuture(at)
    return at


_ENCODER = msgspec.json.Encoder(order="deterministic")
"""A client that sends a command again may write its fields in another order."""


def fingerprint(workspace: WorkspaceStore, context: Context, command: Command) -> bytes:
    """Tells a repeat from a reuse. Keyed, because a bare hash of a phone number would outlive an erasure."""
    said = (
        context.actor.person,
        type(command).__name__,
        command,
        context.expected_version,
        context.reason,
        context.occurred_at,
        context.on_behalf_of,
    )
    return hashlib.blake2b(_ENCODER.encode(said), key=workspace.subject_key(), digest_size=16).digest()


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> UUID:
    """A version 7 UUID: ids made together stand together in an index."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return UUID(int=value & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62)
