"""How every command becomes recorded events: load, decide, append; once, whatever races or repeats."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TypeVar
from uuid import UUID, uuid4

import msgspec

from application.event_store import metrics, tracing
from application.event_store.envelope import Cause, DomainEvent, Envelope, Stream
from application.event_store.recorder import AlreadyRecorded, Guard, Recorded, VersionConflict
from application.event_store.streams import Append, EventStore, WorkspaceStore
from domain.access import Actor, may_act_for_others
from domain.errors import CommandIdReused, Conflict, Forbidden, InvalidValue, OccurredInFuture, PersonNotFound, Refused
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
    override_wip_limit: bool = False
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


class Further(msgspec.Struct, frozen=True, kw_only=True):
    """What a command appends to another stream, which stood as `before` when it was decided. `subject`: whose key seals
    the reason and the free text there; None is the workspace itself."""

    stream: UUID
    before: Stream | None
    events: Sequence[DomainEvent]
    subject: UUID | None = None


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """`subject`: whose key seals the free text; None is the workspace itself. `further`: appended together with the
    events, all or nothing; only where there are events."""

    events: Sequence[DomainEvent]
    occurred_at: datetime
    subject: UUID | None = None
    further: Sequence[Further] = ()


Decide = Callable[[dict[UUID, Stream]], Decision]


def execute(
    store: EventStore,
    context: Context,
    command: msgspec.Struct,
    stream: UUID,
    others: Iterable[UUID | None],
    decide: Decide,
    *,
    guard: str | None = None,
    new: bool = False,
) -> Outcome:
    """Decides on the stream (and others that the decision must know) and appends what was decided to it.

    A repeated command id returns the first result. A lost race reloads and decides again; the caller who named the
    version that it expected then learns of the newer one. `new`: the stream's id was made for this command.
    Raises Refused, StoreUnavailable.
    """
    context = checked(context)
    workspace = store.workspace(context.actor.workspace)
    attempt = Attempt(workspace, context, command, stream, others, decide)
    # Where commands of this process meet, at a guard or on one stream, they go one by one: in a race all but one lose.
    with workspace.turn(guard or stream):
        try:
            if guard is None and (outcome := attempt.at_once(new=new)) is not None:
                return outcome
            for _ in range(ATTEMPTS):
                try:
                    return attempt.after_loading(guard)
                except VersionConflict:
                    metrics.LOST_RACES.inc()
                if attempt.meets_others_at is not None:
                    break
        except AlreadyRecorded as error:
            return replayed(error.first, attempt.digest, resent=error.resent)
    if attempt.meets_others_at is not None:
        return _at_a_further_stream(attempt, attempt.meets_others_at, workspace)
    raise Conflict(None, None)


def _at_a_further_stream(attempt: "Attempt", stream: UUID, workspace: WorkspaceStore) -> Outcome:
    """Once a race was lost there: in the turn of that stream instead, since no two turns are ever held at once."""
    with workspace.turn(stream):
        for _ in range(ATTEMPTS):
            try:
                return attempt.after_loading(None)
            except VersionConflict:
                metrics.LOST_RACES.inc()
            except AlreadyRecorded as error:
                return replayed(error.first, attempt.digest, resent=error.resent)
    raise Conflict(None, None)


class Attempt:
    """One command, tried once or several times. `needed`: all streams that the decision must know."""

    def __init__(
        self,
        workspace: WorkspaceStore,
        context: Context,
        command: msgspec.Struct,
        stream: UUID,
        others: Iterable[UUID | None],
        decide: Decide,
    ) -> None:
        self._workspace, self._context, self._decide = workspace, context, decide
        self._stream = stream
        self.needed = {id_ for id_ in (stream, *others, context.on_behalf_of) if id_ is not None}
        self.command_id = context.command_id or uuid4()
        self.digest = fingerprint(workspace, context, command)
        self.meets_others_at: UUID | None = None
        """The further stream that the last decision appends to: where it meets commands on other streams."""

    def at_once(self, *, new: bool) -> Outcome | None:
        """On what this process knows, without asking: the append checks that nobody else has moved any of it since.
        None where that does not do: something is not known, has moved, or nothing is to be recorded, be it that the
        command is refused or that it changes nothing, which what moved meanwhile may have caused.

        Raises AlreadyRecorded, StoreUnavailable."""
        known = self._workspace.known(self.needed - {self._stream} if new else self.needed)
        if known is None:
            return None
        try:
            decision = self.decided(known)
            if decision.further:  # their append checks no more than the streams that it appends to
                return None
            return self._record(known, decision, []) if decision.events else None
        except VersionConflict:
            metrics.LOST_RACES.inc()
        except Refused:
            pass
        return None

    def after_loading(self, guard: str | None) -> Outcome:
        """Raises Refused, VersionConflict, AlreadyRecorded, StoreUnavailable."""
        held = [] if guard is None else [self._workspace.guard(guard)]  # before what it guards is read
        with tracing.span("load"):
            loaded, earlier = self._workspace.load_for(self.needed, self._context.command_id)
        if earlier is not None:
            raise AlreadyRecorded(earlier)
        decision = self.decided(loaded)
        self.meets_others_at = decision.further[0].stream if decision.further and guard is None else None
        return self._record(loaded, decision, held) if decision.events else self._unchanged(loaded)

    def decided(self, loaded: dict[UUID, Stream]) -> Decision:
        """Raises Refused."""
        version, _ = self._place(loaded)
        if self._context.expected_version not in (None, version):
            raise Conflict(self._context.expected_version, version)
        _check_on_behalf_of(self._context, loaded)
        with tracing.span("decide"):
            return self._decide(loaded)

    def _place(self, loaded: dict[UUID, Stream]) -> tuple[int, int]:
        """Version and position."""
        before = loaded.get(self._stream)
        return (before.version, before.position) if before else (0, 0)

    def _unchanged(self, loaded: dict[UUID, Stream]) -> Outcome:
        left = self.left(loaded)
        # A command without an id of the client's own cannot be repeated, so nothing needs to know it.
        if self._context.command_id is not None:
            self._workspace.record_unchanged([left])
        return Outcome(stream=left.stream, version=left.version, position=left.position)

    def left(self, loaded: dict[UUID, Stream]) -> Recorded:
        """What it leaves behind where it changes nothing."""
        version, position = self._place(loaded)
        return Recorded(
            command_id=self.command_id,
            command_hash=self.digest,
            stream=self._stream,
            version=version,
            position=position,
        )

    def _record(self, loaded: dict[UUID, Stream], decision: Decision, guards: Sequence[Guard]) -> Outcome:
        append = self.append(loaded, decision)
        with tracing.span("append"):
            position = self._workspace.append(append.envelopes, before=append.before, guards=guards, seen=append.seen)
        return self.outcome(loaded, decision, position)

    def outcome(self, loaded: dict[UUID, Stream], decision: Decision, position: int) -> Outcome:
        """Once it was appended."""
        version, _ = self._place(loaded)
        return Outcome(stream=self._stream, version=version + len(decision.events), position=position)

    def append(self, loaded: dict[UUID, Stream], decision: Decision) -> Append:
        """What is to be appended."""
        cause = self._cause()
        own = Further(
            stream=self._stream, before=loaded.get(self._stream), events=decision.events, subject=decision.subject
        )
        # Sorted, so that two who append to the same streams meet them in the same order, and do not deadlock.
        parts = sorted((own, *decision.further), key=lambda one: one.stream)
        envelopes = [
            Envelope(
                workspace=self._workspace.workspace,
                originator_id=one.stream,
                originator_version=(one.before.version if one.before else 0) + n,
                event=event,
                occurred_at=decision.occurred_at,
                cause=cause,
                subject=one.subject,
                command_hash=self.digest if one is own and n == 1 else None,
            )
            for one in parts
            for n, event in enumerate(one.events, start=1)
        ]
        seen = {id_: known.version if (known := loaded.get(id_)) else 0 for id_ in self.needed if id_ != self._stream}
        return Append(envelopes=envelopes, before=loaded.get(self._stream), seen=seen)

    def _cause(self) -> Cause:
        context = self._context
        return Cause(
            actor=context.actor.person,
            command_id=self.command_id,
            correlation_id=context.correlation_id or self.command_id,
            causation_id=context.causation_id,
            channel=context.channel,
            on_behalf_of=context.on_behalf_of,
            source=context.source,
            reason=context.reason,
            trace=tracing.current(),
        )


def replayed(first: Recorded, digest: bytes, *, resent: bool = False) -> Outcome:
    """The first result, of a command that was recorded before. Raises CommandIdReused."""
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


def fingerprint(
    workspace: WorkspaceStore, context: Context, command: msgspec.Struct | Sequence[msgspec.Struct]
) -> bytes:
    """Tells a repeat from a reuse. Keyed, because a bare hash of a phone number would outlive an erasure."""
    said = (
        context.actor.person,
        type(command).__name__,
        command,
        context.expected_version,
        context.reason,
        context.occurred_at,
        context.on_behalf_of,
        *(("override",) if context.override_wip_limit else ()),
    )
    return hashlib.blake2b(_ENCODER.encode(said), key=workspace.subject_key(), digest_size=16).digest()


def now() -> datetime:
    return datetime.now(UTC)


def new_id() -> UUID:
    """A version 7 UUID: ids made together stand together in an index."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    return UUID(int=value & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62)
