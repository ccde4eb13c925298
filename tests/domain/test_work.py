"""Timers and work entries: one timer a person, net time to the second, nothing overwritten."""

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import tickets, work
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
from domain.tickets import StatusChanged
from domain.work import (
    CommentWork,
    CorrectWork,
    DiscardTimer,
    EntryCommand,
    LogWork,
    MarkWorkBillable,
    MarkWorkNotBillable,
    MoveWork,
    ReverseWork,
    StartTimer,
    StopTimer,
    SwitchTimer,
    Timer,
    TimerCommand,
    TimerDiscarded,
    TimerEvent,
    TimerStarted,
    TimerStopped,
    WorkAround,
    WorkCommented,
    WorkCorrected,
    WorkEntry,
    WorkEvent,
    WorkFlag,
    WorkLogged,
    WorkMarkedBillable,
    WorkMarkedNotBillable,
    WorkMoved,
    WorkOrigin,
    WorkReversed,
    entry_of,
)
from domain.workflows import StatusCategory
from tests.domain.given import ANNA, HOSTING, NOW, OPENED, PARENT, START, STRANGE_TICKET, TICKET, Subject, an_id, hour

ENTRY, STREAM = an_id(61), an_id(62)
HERE = msgspec.structs.replace(tickets.evolve(None, OPENED, START), service=HOSTING)
THERE = msgspec.structs.replace(HERE, role="TASK", service=None)
DONE = tickets.evolve(HERE, StatusChanged(status="closed", category=StatusCategory.DONE, workflow_version=1), START)
AROUND = WorkAround(now=NOW, at=NOW, person=ANNA, tickets={TICKET: HERE, PARENT: THERE})


def timing(**facts: Any) -> Subject[Timer, TimerCommand, TimerEvent]:
    around = msgspec.structs.replace(AROUND, **facts)
    return Subject(lambda state, command: work.decide_timer(state, command, STREAM, around), work.evolve_timer)


def working(**facts: Any) -> Subject[WorkEntry, LogWork | EntryCommand, WorkEvent]:
    around = msgspec.structs.replace(AROUND, **facts)
    return Subject(lambda state, command: work.decide(state, command, around), work.evolve)


timer, entry = timing(), working()
because = working(reason="I looked at the wrong clock")

STARTED = TimerStarted(person=ANNA, ticket=TICKET, role="INQUIRY", service=HOSTING, comment="Logs")
ELSEWHERE = TimerStarted(person=ANNA, ticket=PARENT, role="TASK")
RUNNING = work.evolve_timer(None, STARTED, START)
LOGGED = WorkLogged(
    ticket=TICKET,
    person=ANNA,
    started_at=hour(0),
    ended_at=hour(2),
    interruption=600,
    seconds=6600,
    role="INQUIRY",
    service=HOSTING,
    comment="Fixed",
)
LOG = LogWork(ticket=TICKET, started_at=hour(0), ended_at=hour(2), interruption=600, comment=" Fixed ")


# ---- timers


def test_a_timer_is_started_and_stopped() -> None:
    timer.when(StartTimer(ticket=TICKET, comment="Logs")).then(STARTED)
    timer.given(STARTED).when(StopTimer()).then(TimerStopped(entry=entry_of(STREAM, 2)))
    timer.given(STARTED, TimerStopped(entry=ENTRY)).when(StartTimer(ticket=PARENT)).then(ELSEWHERE)


def test_one_timer_runs_and_switching_is_one_command() -> None:
    timer.given(STARTED).when(StartTimer(ticket=TICKET)).nothing()
    timer.given(STARTED).when(StartTimer(ticket=PARENT)).refused(TimerRuns, "ticket")
    timer.given(STARTED).when(SwitchTimer(ticket=PARENT)).then(TimerStopped(entry=entry_of(STREAM, 2)), ELSEWHERE)
    timer.given(STARTED).when(SwitchTimer(ticket=TICKET)).nothing()
    timer.when(SwitchTimer(ticket=PARENT)).then(ELSEWHERE)


def test_only_a_timer_that_runs_is_stopped_or_discarded() -> None:
    for command in (StopTimer(), DiscardTimer()):
        timer.when(command).refused(TimerNotRunning)
        timer.given(STARTED, TimerDiscarded()).when(command).refused(TimerNotRunning)
    timer.given(STARTED).when(DiscardTimer()).then(TimerDiscarded())


def test_a_timer_is_started_on_an_open_ticket_that_is_here() -> None:
    timer.when(StartTimer(ticket=STRANGE_TICKET)).refused(TicketNotFound, "ticket")
    timing(tickets={TICKET: DONE}).when(StartTimer(ticket=TICKET)).refused(TicketIsClosed, "ticket")
    timer.when(StartTimer(ticket=TICKET, comment="\0")).refused(InvalidValue, "comment")


def stopped_at(after: timedelta, command: StopTimer = StopTimer(), now: datetime = NOW) -> WorkLogged:  # noqa: B008
    return work.measured(RUNNING, command, msgspec.structs.replace(AROUND, at=START + after, now=now))


def test_a_timer_measures_to_the_second() -> None:
    measured = stopped_at(timedelta(hours=2, seconds=3, microseconds=999_999), StopTimer(interruption=603))
    assert measured == msgspec.structs.replace(
        LOGGED,
        ended_at=hour(2) + timedelta(seconds=3),
        interruption=603,
        comment="Logs",
        origin=WorkOrigin.TIMER,
    )
    assert stopped_at(timedelta(hours=1), StopTimer(comment="Found it")).comment == "Found it"
    assert stopped_at(timedelta(0)).seconds == 0
    assert stopped_at(timedelta(hours=-1)).seconds == 0, "a clock that went back makes no negative time"


def test_a_forgotten_timer_is_capped_and_flagged() -> None:
    whole = stopped_at(work.TIMER_LIMIT)
    assert (whole.seconds, whole.flags) == (12 * 3600, ())
    capped = stopped_at(timedelta(days=3))
    assert (capped.ended_at, capped.seconds, capped.flags) == (hour(12), 12 * 3600, (WorkFlag.CAPPED,))
    told = stopped_at(timedelta(days=3), StopTimer(ended_at=hour(14)))
    assert (told.seconds, told.flags) == (14 * 3600, ())


@pytest.mark.parametrize("command", [StopTimer(interruption=-1), StopTimer(interruption=3601)])
def test_an_interruption_lies_within_the_work(command: StopTimer) -> None:
    with pytest.raises(InvalidValue, match="interruption"):
        stopped_at(timedelta(hours=1), command)


@pytest.mark.parametrize("ended_at", [hour(-1), NOW + timedelta(seconds=1), datetime(2026, 3, 2, 10)])  # noqa: DTZ001
def test_a_timer_ends_between_its_start_and_now(ended_at: datetime) -> None:
    with pytest.raises(InvalidValue, match="endedAt"):
        stopped_at(timedelta(hours=1), StopTimer(ended_at=ended_at))


# ---- work logged afterwards


def test_work_is_logged_with_its_interruption() -> None:
    entry.when(LOG).then(LOGGED)
    entry.when(msgspec.structs.replace(LOG, ended_at=None, seconds=6600)).then(LOGGED)
    east = START.astimezone(timezone(timedelta(hours=9)))
    entry.when(msgspec.structs.replace(LOG, started_at=east)).then(LOGGED)
    free = msgspec.structs.replace(LOG, billable=False)
    entry.when(free).then(msgspec.structs.replace(LOGGED, billable=False))


def test_work_counts_by_the_role_and_service_that_the_ticket_had_then() -> None:
    working(places={TICKET: THERE}).when(LOG).then(msgspec.structs.replace(LOGGED, role="TASK", service=None))


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"ended_at": hour(0)}, "endedAt"),
        ({"ended_at": hour(-1)}, "endedAt"),
        ({"ended_at": NOW + timedelta(seconds=1)}, "endedAt"),
        ({"started_at": NOW - timedelta(days=8), "ended_at": NOW}, "endedAt"),
        ({"started_at": datetime(1969, 12, 31, tzinfo=UTC)}, "startedAt"),
        ({"started_at": datetime(2026, 3, 2, 9)}, "startedAt"),  # noqa: DTZ001
        ({"interruption": -1}, "interruption"),
        ({"interruption": 7200}, "interruption"),
        ({"interruption": 10**18}, "interruption"),
        ({"ended_at": None, "seconds": 0}, "seconds"),
        ({"ended_at": None, "seconds": -3600}, "seconds"),
        ({"ended_at": None, "seconds": 3_600 * 10**12}, "seconds"),
        ({"ended_at": None, "seconds": 60, "interruption": 10**18}, "interruption"),
        ({"ended_at": None, "seconds": 60, "started_at": datetime.max.replace(tzinfo=UTC)}, "startedAt"),
        ({"comment": ""}, "comment"),
        ({"comment": "x" * 10_001}, "comment"),
    ],
)
def test_what_cannot_have_been_worked_is_refused(changes: dict[str, Any], field: str) -> None:
    entry.when(msgspec.structs.replace(LOG, **changes)).refused(InvalidValue, field)


def test_either_the_end_or_the_seconds_are_named() -> None:
    entry.when(msgspec.structs.replace(LOG, seconds=60)).refused(FieldRequired, "seconds")
    entry.when(msgspec.structs.replace(LOG, ended_at=None)).refused(FieldRequired, "endedAt")


def test_work_is_logged_on_a_closed_ticket_but_on_none_that_is_not_here() -> None:
    working(tickets={TICKET: msgspec.structs.replace(HERE, category=StatusCategory.DONE)}).when(LOG).then(LOGGED)
    entry.when(msgspec.structs.replace(LOG, ticket=STRANGE_TICKET)).refused(TicketNotFound, "ticket")


# ---- what becomes of an entry


def test_work_is_corrected_with_a_reason() -> None:
    corrected = WorkCorrected(
        started_at=hour(0), ended_at=hour(1), interruption=600, seconds=3000, role="INQUIRY", service=HOSTING
    )
    shorter = CorrectWork(work_entry=ENTRY, ended_at=hour(1))
    because.given(LOGGED).when(shorter).then(corrected)
    entry.given(LOGGED).when(shorter).refused(ReasonRequired, "reason")
    because.given(LOGGED).when(CorrectWork(work_entry=ENTRY, interruption=600)).nothing()
    because.given(LOGGED).when(CorrectWork(work_entry=ENTRY, ended_at=hour(-1))).refused(InvalidValue, "endedAt")
    because.given(LOGGED).when(CorrectWork(work_entry=ENTRY, interruption=7200)).refused(InvalidValue, "interruption")


def test_a_correction_takes_the_flags_away() -> None:
    capped = msgspec.structs.replace(LOGGED, flags=(WorkFlag.CAPPED,))
    after = because.given(capped).when(CorrectWork(work_entry=ENTRY, ended_at=hour(1))).after
    assert after is not None
    assert (after.flags, after.seconds) == ((), 3000)


def test_work_is_moved_to_another_ticket_and_counts_there() -> None:
    entry.given(LOGGED).when(MoveWork(work_entry=ENTRY, ticket=PARENT)).then(WorkMoved(ticket=PARENT, role="TASK"))
    entry.given(LOGGED).when(MoveWork(work_entry=ENTRY, ticket=TICKET)).nothing()
    entry.given(LOGGED).when(MoveWork(work_entry=ENTRY, ticket=STRANGE_TICKET)).refused(TicketNotFound, "ticket")


def test_work_is_marked_not_billable_and_billable_again() -> None:
    marked = entry.given(LOGGED, WorkMarkedNotBillable())
    entry.given(LOGGED).when(MarkWorkNotBillable(work_entry=ENTRY)).then(WorkMarkedNotBillable())
    entry.given(LOGGED).when(MarkWorkBillable(work_entry=ENTRY)).nothing()
    marked.when(MarkWorkNotBillable(work_entry=ENTRY)).nothing()
    marked.when(MarkWorkBillable(work_entry=ENTRY)).then(WorkMarkedBillable())


def test_work_is_commented() -> None:
    entry.given(LOGGED).when(CommentWork(work_entry=ENTRY, comment="Исправил")).then(WorkCommented(comment="Исправил"))
    entry.given(LOGGED).when(CommentWork(work_entry=ENTRY, comment=None)).then(WorkCommented())
    entry.given(LOGGED).when(CommentWork(work_entry=ENTRY, comment="Fixed")).nothing()
    entry.given(LOGGED).when(CommentWork(work_entry=ENTRY, comment=" ")).refused(InvalidValue, "comment")


def test_work_that_was_none_is_reversed_with_a_reason_and_then_is_gone() -> None:
    because.given(LOGGED).when(ReverseWork(work_entry=ENTRY)).then(WorkReversed())
    entry.given(LOGGED).when(ReverseWork(work_entry=ENTRY)).refused(ReasonRequired, "reason")
    because.given(LOGGED, WorkReversed()).when(ReverseWork(work_entry=ENTRY)).refused(WorkNotFound, "workEntry")


@pytest.mark.parametrize(
    "command",
    [
        CorrectWork(work_entry=ENTRY, ended_at=hour(1)),
        MoveWork(work_entry=ENTRY, ticket=PARENT),
        MarkWorkBillable(work_entry=ENTRY),
        MarkWorkNotBillable(work_entry=ENTRY),
        CommentWork(work_entry=ENTRY, comment="x"),
        ReverseWork(work_entry=ENTRY),
    ],
)
def test_what_was_never_logged_is_not_changed(command: EntryCommand) -> None:
    because.when(command).refused(WorkNotFound, "workEntry")
    because.given(LOGGED, WorkReversed()).when(command).refused(WorkNotFound, "workEntry")


@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["start", "switch", "stop", "discard"]), st.booleans(), st.integers(0, 100_000)),
        max_size=30,
    )
)
def test_whatever_is_commanded_time_is_measured_once(steps: list[tuple[str, bool, int]]) -> None:
    """Entries of one person's timer never overlap, and together are what the timer ran, less what was cut off."""
    state: Timer | None = None
    at, ran, logged = START, timedelta(0), list[WorkLogged]()
    for kind, here, later in steps:
        at += timedelta(seconds=later)
        ticket = TICKET if here else PARENT
        commands: dict[str, TimerCommand] = {
            "start": StartTimer(ticket=ticket),
            "switch": SwitchTimer(ticket=ticket),
            "stop": StopTimer(),
            "discard": DiscardTimer(),
        }
        command = commands[kind]
        around = msgspec.structs.replace(AROUND, at=at, now=at)
        try:
            events = work.decide_timer(state, command, STREAM, around)
        except (TimerRuns, TimerNotRunning):
            continue
        for event in events:
            if isinstance(event, TimerStopped):
                assert state is not None
                assert state.started_at is not None
                assert isinstance(command, StopTimer | SwitchTimer)
                ran += min(at - state.started_at, work.TIMER_LIMIT)
                logged.append(work.measured(state, command, around))
                assert event.entry == entry_of(STREAM, state.version + 1)
            state = work.evolve_timer(state, event, at)
    assert sum(one.seconds for one in logged) == ran.total_seconds()
    assert all(before.ended_at <= after.started_at for before, after in pairwise(logged))
