"""Work on tickets: timers, and entries that say who worked on what, from when to when.

A person's timer is a stream of its own, so that only one of theirs can run, whatever races. Each entry is a stream too:
what is corrected or moved stays in it, and nothing is overwritten. Seconds are kept as they were worked; rounding is a
matter of billing. What two entries of one person overlap is shown, and both stay.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import assert_never
from uuid import UUID, uuid5

import msgspec
from msgspec.structs import replace

from domain import text
from domain.errors import (
    FieldRequired,
    InvalidValue,
    ReasonRequired,
    TicketIsClosed,
    TicketNotFound,
    TimerNotRunning,
    TimerRuns,
    WorkNotFound,
)
from domain.text import FreeText
from domain.ticket_state import Ticket, instant, must_not_be_merged

TIMER_LIMIT = timedelta(hours=12)
"""A timer that ran longer was forgotten: this much of it is logged, and flagged."""

ENTRY_LIMIT = timedelta(days=7)
"""The longest that one entry may take, interruptions included."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
COMMENT_LIMIT = 10_000


class WorkOrigin(StrEnum):
    TIMER = "TIMER"
    LOGGED = "LOGGED"
    IMPORTED = "IMPORTED"


class WorkFlag(StrEnum):
    """What is odd about an entry, for whoever looks it through."""

    CAPPED = "CAPPED"
    """Its timer was forgotten: it ends where a timer is cut off."""
    UNDATED = "UNDATED"
    """The source named no start or no end."""
    TIMES_DISAGREE = "TIMES_DISAGREE"
    """The source's net time is not its end less its start and interruption; the net time is kept."""


# ---- events


class TimerStarted(msgspec.Struct, frozen=True, kw_only=True):
    """`role`, `service`: of the ticket at that moment."""

    person: UUID
    ticket: UUID
    role: str
    service: UUID | None = None
    comment: FreeText | None = None


class TimerStopped(msgspec.Struct, frozen=True, kw_only=True):
    entry: UUID


class TimerDiscarded(msgspec.Struct, frozen=True, kw_only=True):
    """It was started by mistake; nothing is logged."""


TimerEvent = TimerStarted | TimerStopped | TimerDiscarded


class WorkLogged(msgspec.Struct, frozen=True, kw_only=True):
    """`interruption` and `seconds`, the net time, in seconds. `role`, `service`: of the ticket when the work began."""

    ticket: UUID
    person: UUID
    started_at: datetime
    ended_at: datetime
    interruption: int
    seconds: int
    role: str
    service: UUID | None = None
    comment: FreeText | None = None
    billable: bool = True
    origin: WorkOrigin = WorkOrigin.LOGGED
    flags: tuple[WorkFlag, ...] = ()


class WorkCorrected(msgspec.Struct, frozen=True, kw_only=True):
    """What stood before is reversed, and this stands in its place; why is the command's reason."""

    started_at: datetime
    ended_at: datetime
    interruption: int
    seconds: int
    role: str
    service: UUID | None = None


class WorkMoved(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    role: str
    service: UUID | None = None


class WorkMarkedBillable(msgspec.Struct, frozen=True, kw_only=True):
    pass


class WorkMarkedNotBillable(msgspec.Struct, frozen=True, kw_only=True):
    pass


class WorkCommented(msgspec.Struct, frozen=True, kw_only=True):
    comment: FreeText | None = None


class WorkBilled(msgspec.Struct, frozen=True, kw_only=True):
    """Under which contract it counts; None: under none."""

    contract: UUID | None


class WorkReversed(msgspec.Struct, frozen=True, kw_only=True):
    """It was not worked after all; nothing stands in its place."""


WorkEvent = (
    WorkLogged
    | WorkCorrected
    | WorkMoved
    | WorkMarkedBillable
    | WorkMarkedNotBillable
    | WorkCommented
    | WorkBilled
    | WorkReversed
)


# ---- commands


class StartTimer(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    comment: str | None = None
    override_exhausted: bool = False


class SwitchTimer(msgspec.Struct, frozen=True, kw_only=True):
    """Stops the timer that runs, if one does, and starts it on this ticket. `interruption`: of what is stopped."""

    ticket: UUID
    comment: str | None = None
    interruption: int = 0
    override_exhausted: bool = False


class StopTimer(msgspec.Struct, frozen=True, kw_only=True):
    """`ended_at`: now, unless the work ended before. `comment`: in place of the one it was started with."""

    interruption: int = 0
    ended_at: datetime | None = None
    comment: str | None = None


class DiscardTimer(msgspec.Struct, frozen=True, kw_only=True):
    pass


TimerCommand = StartTimer | SwitchTimer | StopTimer | DiscardTimer


class LogWork(msgspec.Struct, frozen=True, kw_only=True):
    """Either `ended_at`, or the net `seconds`."""

    ticket: UUID
    started_at: datetime
    ended_at: datetime | None = None
    seconds: int | None = None
    interruption: int = 0
    comment: str | None = None
    billable: bool = True


class CorrectWork(msgspec.Struct, frozen=True, kw_only=True):
    """What is absent stays as it was."""

    work_entry: UUID
    started_at: datetime | None = None
    ended_at: datetime | None = None
    interruption: int | None = None


class MoveWork(msgspec.Struct, frozen=True, kw_only=True):
    work_entry: UUID
    ticket: UUID


class MarkWorkBillable(msgspec.Struct, frozen=True, kw_only=True):
    work_entry: UUID


class MarkWorkNotBillable(msgspec.Struct, frozen=True, kw_only=True):
    work_entry: UUID


class CommentWork(msgspec.Struct, frozen=True, kw_only=True):
    work_entry: UUID
    comment: str | None


class BillWork(msgspec.Struct, frozen=True, kw_only=True):
    """Under another contract than its ticket was bound to when the work began; None: under none."""

    work_entry: UUID
    contract: UUID | None


class ReverseWork(msgspec.Struct, frozen=True, kw_only=True):
    work_entry: UUID


EntryCommand = CorrectWork | MoveWork | MarkWorkBillable | MarkWorkNotBillable | CommentWork | BillWork | ReverseWork
WorkCommand = TimerCommand | LogWork | EntryCommand


# ---- state


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """`version`: number of its events. `started_at` is None while it does not run."""

    version: int
    person: UUID
    ticket: UUID | None = None
    role: str = ""
    service: UUID | None = None
    comment: str | None = None
    started_at: datetime | None = None


class WorkEntry(msgspec.Struct, frozen=True, kw_only=True):
    ticket: UUID
    person: UUID
    started_at: datetime
    ended_at: datetime
    interruption: int
    seconds: int
    role: str
    service: UUID | None
    comment: str | None
    billable: bool
    origin: WorkOrigin
    flags: tuple[WorkFlag, ...]
    contract: UUID | None = None
    reversed: bool = False


class WorkAround(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision on work must know besides. `at`: when the command is given. `tickets`: those that it is about, as
    they stand; `places`: the same as they stood when the work began; `contracts`: which each was bound to then.
    `merged`: where work on those goes on that are part of another one now."""

    now: datetime
    at: datetime
    person: UUID
    reason: str | None = None
    tickets: Mapping[UUID, Ticket] = {}
    places: Mapping[UUID, Ticket] = {}
    contracts: Mapping[UUID, UUID] = {}
    merged: Mapping[UUID, UUID] = {}


def timer_stream(workspace: UUID, person: UUID) -> UUID:
    return uuid5(workspace, f"timer:{person}")


def entry_of(timer: UUID, version: int) -> UUID:
    """The entry that the timer's event of this version, a TimerStopped, made."""
    return uuid5(timer, str(version))


# ---- timers


def decide_timer(timer: Timer | None, command: TimerCommand, stream: UUID, around: WorkAround) -> list[TimerEvent]:
    """Raises FieldRequired, InvalidValue, TicketIsClosed, TicketNotFound, TimerNotRunning, TimerRuns."""
    running = timer is not None and timer.started_at is not None
    match command:
        case StartTimer():
            if running and timer is not None:
                if timer.ticket == command.ticket:
                    return []
                raise TimerRuns(timer.ticket)
            return [_started(command, around)]
        case SwitchTimer():
            if timer is None or not running:
                return [_started(command, around)]
            if timer.ticket == command.ticket:
                return []
            return [TimerStopped(entry=entry_of(stream, timer.version + 1)), _started(command, around)]
        case StopTimer():
            if timer is None or not running:
                raise TimerNotRunning
            return [TimerStopped(entry=entry_of(stream, timer.version + 1))]
        case DiscardTimer():
            if not running:
                raise TimerNotRunning
            return [TimerDiscarded()]
        case _:
            assert_never(command)


def _started(command: StartTimer | SwitchTimer, around: WorkAround) -> TimerStarted:
    ticket = _ticket(command.ticket, around)
    must_not_be_merged(ticket)
    if ticket.closed:
        raise TicketIsClosed(ticket.key)
    return TimerStarted(
        person=around.person,
        ticket=command.ticket,
        role=ticket.role,
        service=ticket.service,
        comment=_comment(command.comment),
    )


def stopped(timer: Timer, command: SwitchTimer | StopTimer, around: WorkAround) -> list[WorkEvent]:
    """The entry of a timer that stops, and under which contract it counts. Raises InvalidValue."""
    entry = measured(timer, command, around)
    return [entry, *_billed(entry.ticket, None, around)]


def measured(timer: Timer, command: SwitchTimer | StopTimer, around: WorkAround) -> WorkLogged:
    """What a timer that stops has measured, to the second; on the ticket that the timer's was merged into meanwhile.
    Raises InvalidValue."""
    assert timer.ticket is not None, "only what runs is stopped"
    assert timer.started_at is not None, "only what runs is stopped"
    start = _whole(timer.started_at)
    asked = command.ended_at if isinstance(command, StopTimer) else None
    end = max(start, _whole(around.at)) if asked is None else _whole(instant(asked, "endedAt"))
    if end < start or end > around.now:
        raise InvalidValue("endedAt is between the timer's start and now.", ("endedAt",))
    forgotten = asked is None and end - start > TIMER_LIMIT
    end = start + TIMER_LIMIT if forgotten else end
    told = _comment(command.comment) if isinstance(command, StopTimer) else None
    return WorkLogged(
        ticket=around.merged.get(timer.ticket, timer.ticket),
        person=around.person,
        started_at=start,
        ended_at=end,
        interruption=command.interruption,
        seconds=_net(start, end, command.interruption),
        role=timer.role,
        service=timer.service,
        comment=told or timer.comment,
        origin=WorkOrigin.TIMER,
        flags=(WorkFlag.CAPPED,) if forgotten else (),
    )


def evolve_timer(timer: Timer | None, event: TimerEvent, at: datetime) -> Timer:
    version = 1 if timer is None else timer.version + 1
    match event:
        case TimerStarted():
            return Timer(
                version=version,
                person=event.person,
                ticket=event.ticket,
                role=event.role,
                service=event.service,
                comment=event.comment,
                started_at=at,
            )
        case TimerStopped() | TimerDiscarded():
            assert timer is not None, "only what runs is stopped"
            return Timer(version=version, person=timer.person)
        case _:
            assert_never(event)


# ---- entries


def decide(entry: WorkEntry | None, command: LogWork | EntryCommand, around: WorkAround) -> list[WorkEvent]:
    """Raises FieldRequired, InvalidValue, ReasonRequired, TicketNotFound, WorkNotFound."""
    if isinstance(command, LogWork):
        assert entry is None, "a new entry has a new stream"
        return [_logged(command, around), *_billed(command.ticket, None, around)]
    if entry is None or entry.reversed:
        raise WorkNotFound(command.work_entry)
    match command:
        case CorrectWork():
            return _corrected(entry, command, around)
        case MoveWork(ticket=ticket):
            _must_not_be_merged(ticket, around)
            place = _place(ticket, around)
            moved = WorkMoved(ticket=ticket, role=place.role, service=place.service)
            return [] if ticket == entry.ticket else [moved, *_billed(ticket, entry.contract, around)]
        case MarkWorkBillable():
            return [] if entry.billable else [WorkMarkedBillable()]
        case MarkWorkNotBillable():
            return [WorkMarkedNotBillable()] if entry.billable else []
        case CommentWork(comment=comment):
            comment = _comment(comment)
            return [] if comment == entry.comment else [WorkCommented(comment=comment)]
        case BillWork(contract=contract):
            return [] if contract == entry.contract else [WorkBilled(contract=contract)]
        case ReverseWork():
            if around.reason is None:
                raise ReasonRequired("to reverse work")
            return [WorkReversed()]
        case _:
            assert_never(command)


def _logged(command: LogWork, around: WorkAround) -> WorkLogged:
    _must_not_be_merged(command.ticket, around)
    place = _place(command.ticket, around)
    start = _whole(instant(command.started_at, "startedAt"))
    if (command.ended_at is None) == (command.seconds is None):
        raise FieldRequired("endedAt" if command.ended_at is None else "seconds", "alone: the other follows from it")
    end = _end(start, command)
    seconds = _checked(start, end, command.interruption, around)
    return WorkLogged(
        ticket=command.ticket,
        person=around.person,
        started_at=start,
        ended_at=end,
        interruption=command.interruption,
        seconds=seconds,
        role=place.role,
        service=place.service,
        comment=_comment(command.comment),
        billable=command.billable,
    )


def _end(start: datetime, command: LogWork) -> datetime:
    if command.ended_at is not None:
        return _whole(instant(command.ended_at, "endedAt"))
    seconds = command.seconds
    longest = int(ENTRY_LIMIT.total_seconds())
    if seconds is None or not 0 < seconds <= longest:
        raise InvalidValue(f"seconds is 1 to {longest:,}: seven days.", ("seconds",))
    if not 0 <= command.interruption <= longest:
        raise InvalidValue(f"interruption is 0 to {longest:,} seconds.", ("interruption",))
    try:
        return start + timedelta(seconds=seconds + command.interruption)
    except OverflowError:
        raise InvalidValue("startedAt is too late for this.", ("startedAt",)) from None


def _corrected(entry: WorkEntry, command: CorrectWork, around: WorkAround) -> list[WorkEvent]:
    start = entry.started_at if command.started_at is None else _whole(instant(command.started_at, "startedAt"))
    end = entry.ended_at if command.ended_at is None else _whole(instant(command.ended_at, "endedAt"))
    interruption = entry.interruption if command.interruption is None else command.interruption
    if (start, end, interruption) == (entry.started_at, entry.ended_at, entry.interruption):
        return []
    seconds = _checked(start, end, interruption, around)
    if around.reason is None:
        raise ReasonRequired("to correct work")
    place = _place(entry.ticket, around)
    return [
        WorkCorrected(
            started_at=start,
            ended_at=end,
            interruption=interruption,
            seconds=seconds,
            role=place.role,
            service=place.service,
        )
    ]


def _checked(start: datetime, end: datetime, interruption: int, around: WorkAround) -> int:
    """The net time in seconds. Raises InvalidValue."""
    if start < EARLIEST:
        raise InvalidValue("startedAt is before 1970.", ("startedAt",))
    if end <= start:
        raise InvalidValue("endedAt is not after startedAt.", ("endedAt",))
    if end > around.now:
        raise InvalidValue("endedAt is in the future; start a timer for work that goes on.", ("endedAt",))
    if end - start > ENTRY_LIMIT:
        raise InvalidValue("One entry takes seven days at most; log each stretch by itself.", ("endedAt",))
    seconds = _net(start, end, interruption)
    if seconds == 0:
        raise InvalidValue("The interruption leaves nothing of the work.", ("interruption",))
    return seconds


def _net(start: datetime, end: datetime, interruption: int) -> int:
    gross = int((end - start).total_seconds())
    if not 0 <= interruption <= gross:
        raise InvalidValue(f"interruption is 0 to {gross:,} seconds: within the work.", ("interruption",))
    return gross - interruption


def evolve(entry: WorkEntry | None, event: WorkEvent, at: datetime) -> WorkEntry:
    if isinstance(event, WorkLogged):
        return WorkEntry(
            ticket=event.ticket,
            person=event.person,
            started_at=event.started_at,
            ended_at=event.ended_at,
            interruption=event.interruption,
            seconds=event.seconds,
            role=event.role,
            service=event.service,
            comment=event.comment,
            billable=event.billable,
            origin=event.origin,
            flags=event.flags,
        )
    assert entry is not None, "an entry's first event is WorkLogged"
    match event:
        case WorkCorrected():
            return replace(
                entry,
                started_at=event.started_at,
                ended_at=event.ended_at,
                interruption=event.interruption,
                seconds=event.seconds,
                role=event.role,
                service=event.service,
                flags=(),
            )
        case WorkMoved():
            return replace(entry, ticket=event.ticket, role=event.role, service=event.service)
        case WorkMarkedBillable():
            return replace(entry, billable=True)
        case WorkMarkedNotBillable():
            return replace(entry, billable=False)
        case WorkCommented(comment=comment):
            return replace(entry, comment=comment)
        case WorkBilled(contract=contract):
            return replace(entry, contract=contract)
        case WorkReversed():
            return replace(entry, reversed=True)
        case _:
            assert_never(event)


def _ticket(id_: UUID, around: WorkAround) -> Ticket:
    if id_ not in around.tickets:
        raise TicketNotFound(id_)
    return around.tickets[id_]


def _must_not_be_merged(id_: UUID, around: WorkAround) -> None:
    """What was worked on it before counts with the other ticket; what comes now is logged there."""
    must_not_be_merged(_ticket(id_, around))


def _place(id_: UUID, around: WorkAround) -> Ticket:
    return around.places.get(id_) or _ticket(id_, around)


def _billed(ticket: UUID, before: UUID | None, around: WorkAround) -> list[WorkEvent]:
    contract = around.contracts.get(ticket)
    return [] if contract == before else [WorkBilled(contract=contract)]


def _comment(comment: str | None) -> str | None:
    return None if comment is None else text.prose(comment, "comment", COMMENT_LIMIT)


def _whole(at: datetime) -> datetime:
    """Work is measured in seconds."""
    return at.replace(microsecond=0)


# ---- work that was logged elsewhere


class ImportedWork(msgspec.Struct, frozen=True, kw_only=True):
    """What another system says of an entry; None where it says nothing. `placed_at`: where work without a start and an
    end is put. `seconds`: net."""

    ticket: UUID
    person: UUID
    role: str
    placed_at: datetime
    service: UUID | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    interruption: int = 0
    seconds: int | None = None
    comment: str | None = None


def imported(row: ImportedWork) -> WorkLogged:
    """What is odd is kept, and flagged: work without times, times that say another net time than the source does, an
    interruption of less than nothing where the net time is known.
    Raises InvalidValue for what cannot be work at all."""
    if (row.seconds is None and row.interruption < 0) or (row.seconds is not None and row.seconds < 0):
        raise InvalidValue("It has a negative time.", ("seconds",))
    if max(row.seconds or 0, abs(row.interruption)) > ENTRY_LIMIT.total_seconds():
        raise InvalidValue("It took, or was interrupted for, more than seven days.", ("seconds",))
    start, end, seconds = row.started_at, row.ended_at, row.seconds
    flags: list[WorkFlag] = []
    if start is None or end is None:
        if seconds is None:
            raise InvalidValue("It has neither start and end nor a net time.", ("seconds",))
        flags.append(WorkFlag.UNDATED)
        length = timedelta(seconds=seconds + row.interruption)
        if start is None and end is None:
            start = end = row.placed_at
        start = start or (end or row.placed_at) - length
        end = end or start + length
    if not 1900 < start.year <= end.year < 2200:
        raise InvalidValue("It is not of these centuries.", ("startedAt",))
    if not timedelta(0) <= end - start <= ENTRY_LIMIT:
        raise InvalidValue("It ends before it starts, or more than seven days after.", ("endedAt",))
    net = int((end - start).total_seconds()) - row.interruption
    if WorkFlag.UNDATED not in flags and seconds is not None and (seconds != net or row.interruption < 0):
        flags.append(WorkFlag.TIMES_DISAGREE)
    if seconds is None and net < 0:
        raise InvalidValue("It was interrupted for longer than it took.", ("interruption",))
    return WorkLogged(
        ticket=row.ticket,
        person=row.person,
        started_at=start,
        ended_at=end,
        interruption=row.interruption,
        seconds=net if seconds is None else seconds,
        role=row.role,
        service=row.service,
        comment=None if row.comment is None else _comment(row.comment),
        origin=WorkOrigin.IMPORTED,
        flags=tuple(flags),
    )
