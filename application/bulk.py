"""One command to many tickets: decided on one load, appended in one go, each answered for itself."""

from collections.abc import Sequence
from uuid import UUID, uuid4, uuid5

from msgspec.structs import replace

from application.event_store import metrics
from application.event_store.envelope import Stream
from application.event_store.recorder import AlreadyRecorded, Recorded, VersionConflict
from application.event_store.streams import EventStore, WorkspaceStore
from application.handling import ATTEMPTS, Attempt, Context, Decision, Outcome, checked, fingerprint, replayed
from application.tickets import handle, prepared
from domain.errors import CommandIdReused, Conflict, InvalidValue, Refused
from domain.tickets import CommandToTicket

TICKETS_LIMIT = 200


def must_be_some(tickets: Sequence[object]) -> None:
    """1 to TICKETS_LIMIT of them, each once. Raises InvalidValue."""
    if not tickets:
        raise InvalidValue("Name at least one ticket.", ("tickets",))
    if len(tickets) > TICKETS_LIMIT:
        raise InvalidValue(f"{len(tickets)} tickets; {TICKETS_LIMIT} is the limit of one command.", ("tickets",))
    if twice := len(tickets) - len(set(tickets)):
        raise InvalidValue(f"Name each ticket once: {twice} of them are there again.", ("tickets",))


def give_each(store: EventStore, context: Context, commands: Sequence[CommandToTicket]) -> list[Outcome | Refused]:
    """Gives these commands, each to another ticket, and answers them in their order. What is refused to one ticket
    undoes nothing of the others.

    All share one command id. Repeated with it, a command that was recorded returns its first result; one that was
    refused is decided again. Raises Refused where none can be given; StoreUnavailable, after which some may be
    recorded, and a repeat does the rest.
    """
    must_be_some([command.ticket for command in commands])
    context = checked(context)
    workspace = store.workspace(context.actor.workspace)
    parts = [_Part(store, workspace, context, command, context.command_id or uuid4()) for command in commands]
    _Bulk(workspace, _left(workspace, context, commands)).give(parts)
    return [part.answer for part in parts]


def _left(workspace: WorkspaceStore, context: Context, commands: Sequence[CommandToTicket]) -> Recorded | None:
    """What the whole leaves behind, which tells a repeat of it from another one with the same id. None where the
    client gave no id, so that it cannot be repeated."""
    if context.command_id is None:
        return None
    return Recorded(
        command_id=context.command_id,
        command_hash=fingerprint(workspace, context, commands),
        stream=workspace.workspace,
        version=0,
        position=0,
    )


class _Part:
    """The command to one ticket. Its id is made of the whole's, which correlates them."""

    def __init__(
        self, store: EventStore, workspace: WorkspaceStore, context: Context, command: CommandToTicket, whole: UUID
    ) -> None:
        self._store, self._command = store, command
        self._context = replace(
            context, command_id=uuid5(whole, str(command.ticket)), correlation_id=context.correlation_id or whole
        )
        ready = prepared(store, self._context, command)
        self.guarded = ready.guard is not None
        self.attempt = Attempt(workspace, self._context, ready.command, ready.stream, ready.others, ready.decide)
        self.answer: Outcome | Refused = Conflict(None, None)
        """Until there is another one: others were faster each time."""

    def alone(self) -> None:
        try:
            self.answer = handle(self._store, self._context, self._command)
        except Refused as refused:
            self.answer = refused

    def replay(self, first: Recorded, *, resent: bool = False) -> None:
        try:
            self.answer = replayed(first, self.attempt.digest, resent=resent)
        except Refused as refused:
            self.answer = refused


class _Bulk:
    """`whole`: what it leaves behind, if it can be repeated."""

    def __init__(self, workspace: WorkspaceStore, whole: Recorded | None) -> None:
        self._workspace, self._whole = workspace, whole
        self._claimed = whole is None

    def give(self, parts: Sequence[_Part]) -> None:
        pending = [part for part in parts if not part.guarded]
        for _ in range(ATTEMPTS):
            if pending:
                pending = self._at_once(pending)
        guarded = [part for part in parts if part.guarded]
        if guarded:
            self._claim()
        for part in guarded:
            part.alone()

    def _at_once(self, parts: Sequence[_Part]) -> list[_Part]:
        """Those that lost a race, and are to be decided again. Raises CommandIdReused."""
        loaded, earlier = self._load(parts)
        decided: list[tuple[_Part, Decision]] = []
        unchanged: list[_Part] = []
        elsewhere: list[_Part] = []
        for part in parts:
            if (first := earlier.get(part.attempt.command_id)) is not None:
                part.replay(first)
                continue
            known = {id_: loaded[id_] for id_ in part.attempt.needed if id_ in loaded}
            try:
                decision = part.attempt.decided(known)
            except Refused as refused:
                part.answer = refused
                continue
            if decision.further:  # they meet others at further streams: in their turn
                elsewhere.append(part)
            elif decision.events:
                decided.append((part, decision))
            else:
                unchanged.append(part)
        if decided or unchanged or elsewhere:
            self._claim()
        again = self._leave_unchanged(unchanged, loaded) + self._append(decided, loaded)
        for part in elsewhere:
            part.alone()
        return again

    def _load(self, parts: Sequence[_Part]) -> tuple[dict[UUID, Stream], dict[UUID, Recorded]]:
        """Raises CommandIdReused."""
        needed = {id_ for part in parts for id_ in part.attempt.needed}
        if self._whole is None:
            return self._workspace.load(needed), {}
        commands = [self._whole.command_id, *(part.attempt.command_id for part in parts)]
        loaded, earlier = self._workspace.load_for_each(needed, commands)
        if (first := earlier.get(self._whole.command_id)) is not None:
            self._must_be_this(first)
        return loaded, earlier

    def _claim(self) -> None:
        """The id is this command's from then on. Before the first event, so that a repeat with another input never
        meets a half of this one. Raises CommandIdReused."""
        if self._whole is not None and not self._claimed:
            try:
                self._workspace.record_unchanged([self._whole])
            except AlreadyRecorded as error:
                self._must_be_this(error.first)
            self._claimed = True

    def _must_be_this(self, first: Recorded) -> None:
        assert self._whole is not None
        if first.command_hash != self._whole.command_hash:
            raise CommandIdReused(first.command_id)
        self._claimed = True

    def _leave_unchanged(self, parts: Sequence[_Part], loaded: dict[UUID, Stream]) -> list[_Part]:
        left = [part.attempt.left(loaded) for part in parts]
        if left and self._whole is not None:
            try:
                self._workspace.record_unchanged(left)
            except AlreadyRecorded:  # by the same command, sent twice at once
                return list(parts)
        for part, one in zip(parts, left, strict=True):
            part.answer = Outcome(stream=one.stream, version=one.version, position=one.position)
        return []

    def _append(self, decided: Sequence[tuple[_Part, Decision]], loaded: dict[UUID, Stream]) -> list[_Part]:
        appends = [part.attempt.append(loaded, decision) for part, decision in decided]
        again: list[_Part] = []
        for (part, decision), came in zip(decided, self._workspace.append_each(appends), strict=True):
            match came:
                case VersionConflict():
                    metrics.LOST_RACES.inc()
                    again.append(part)
                case AlreadyRecorded():
                    part.replay(came.first, resent=came.resent)
                case position:
                    part.answer = part.attempt.outcome(loaded, decision, position)
        return again
