"""Work on tickets: entries, the viewer's timer, and the commands to both."""

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import (
    CommandInput,
    Done,
    ExpectingInput,
    Handle,
    Payload,
    perform,
    perform_prepared,
    wait_until_readable,
)
from api.fields import Info, Node, by, once_passed
from api.filters import AsOf, WorkFilter, asked
from api.ids import Kind, encode
from api.paging import Connection, ConnectionRow, page_ask
from api.people import Person, must_read_all, person
from api.prefetch import found
from api.scalars import Position, Seconds
from api.services import Service, service
from api.workflows import Role, role_row
from application.work import handle
from domain import workflows
from domain.work import (
    BillWork,
    CommentWork,
    CorrectWork,
    DiscardTimer,
    LogWork,
    MarkWorkBillable,
    MarkWorkNotBillable,
    MoveWork,
    ReverseWork,
    StartTimer,
    StopTimer,
    SwitchTimer,
    WorkFlag,
    WorkOrigin,
    entry_of,
)
from projections import billing, filters, work
from projections.reading import NOW
from projections.rows import TimerRow, WorkEntryRow

if TYPE_CHECKING:
    from api.ticket_fields import Ticket

LazyTicket = Annotated["Ticket", strawberry.lazy("api.ticket_fields")]

# ---- entries


def _id(entry: Parent[WorkEntryRow]) -> ID:
    return encode(Kind.WORK_ENTRY, entry.id)


def _ticket(entry: Parent[WorkEntryRow], info: Info) -> Any:
    return found(info.context.loaders.tickets, (entry.ticket, entry.moment))


def _person(entry: Parent[WorkEntryRow], info: Info) -> Any:
    return person(info, entry.person)


def _logged_by(entry: Parent[WorkEntryRow], info: Info) -> Any:
    return person(info, entry.logged_by)


def _role(entry: Parent[WorkEntryRow], info: Info) -> workflows.Role:
    """Of the ticket when the work began."""
    return role_row(info.context.workflows, entry.role)


def _service(entry: Parent[WorkEntryRow], info: Info) -> Any:
    """Of the ticket when the work began."""
    return service(info, entry.service)


async def _overlaps(entry: Parent[WorkEntryRow], info: Info) -> bool:
    """Whether the same person worked on something else at the same time, as things stand now."""
    return await info.context.loaders.overlapping.load(entry.id) is True


@strawberry.type(description="Who worked on what, from when to when. Times and seconds are as they were worked.")
class WorkEntry(Node):
    id: ID = by(_id)
    ticket: LazyTicket | None = by(_ticket)
    person: Person = by(_person)
    started_at: datetime
    ended_at: datetime
    interruption: int = strawberry.field(description="Seconds within the work that were none.")
    seconds: int = strawberry.field(description="Net: end less start and interruption.")
    comment: str | None
    billable: bool
    origin: WorkOrigin
    flags: list[WorkFlag]
    overlaps: bool = by(_overlaps)
    role: Role = by(_role)
    service: Service | None = by(_service)
    logged_at: datetime = strawberry.field(description="When it was last written so.")
    logged_by: Person = by(_logged_by)
    version: int = strawberry.field(description="Number of events of this entry.")

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, WorkEntryRow)


async def _entries(
    info: Info,
    filter: WorkFilter | None = UNSET,
    first: int | None = UNSET,
    after: str | None = UNSET,
    last: int | None = UNSET,
    before: str | None = UNSET,
    as_of: AsOf | None = UNSET,
    min_position: Position | None = UNSET,
) -> ConnectionRow[WorkEntryRow]:
    """By start. Requesters see the work on their own tickets. As of `occurredAt`: what had begun by then."""
    await once_passed(info, min_position, "work", "spans")
    view = info.context.view
    wanted = asked(filter, filters.WorkFilter) or filters.WorkFilter()
    moment = await view.moment(asked(as_of, filters.AsOf))
    page = await work.entries(view, wanted, page_ask(first, after, last, before), moment)
    return ConnectionRow(page, lambda: work.entry_count(view, wanted, moment))


# ---- timers


def _timer_ticket(timer: Parent[TimerRow], info: Info) -> Any:
    return found(info.context.loaders.tickets, (timer.ticket, NOW))


def _timer_person(timer: Parent[TimerRow], info: Info) -> Any:
    return person(info, timer.person)


@strawberry.type(description="One that runs. Each person has one at most.")
class Timer:
    person: Person = by(_timer_person)
    ticket: LazyTicket | None = by(_timer_ticket)
    started_at: datetime
    comment: str | None
    seconds: int = strawberry.field(description="Since it was started, up to what is logged of a forgotten one.")
    forgotten: bool = strawberry.field(description="It ran for more than 12 hours: the rest is not logged.")


async def _my_timer(info: Info, min_position: Position | None = UNSET) -> TimerRow | None:
    """Null while none runs."""
    must_read_all(info)
    await once_passed(info, min_position, "work")
    return await work.timer(info.context.view, info.context.actor.person)


@strawberry.type
class WorkQueries:
    work_entries: Connection[WorkEntry] = by(_entries)
    my_timer: Timer | None = by(_my_timer)


# ---- commands

_OVER = "Start although the ticket's contract takes no more work: for managers, with a reason."


@strawberry.input(description="Refused with TIMER_RUNS while it runs on another ticket.")
class StartTimerInput(ExpectingInput):
    ticket: ID
    comment: str | None = UNSET
    override_exhausted: bool = strawberry.field(default=False, description=_OVER)


@strawberry.input(description="Stops the timer that runs, if one does, and starts it on this ticket.")
class SwitchTimerInput(ExpectingInput):
    ticket: ID
    comment: str | None = UNSET
    interruption: Seconds = strawberry.field(default=Seconds(0), description="Seconds, of the work that is stopped.")
    override_exhausted: bool = strawberry.field(default=False, description=_OVER)


@strawberry.input(description="`endedAt`: now, unless the work ended before; for a timer that was forgotten.")
class StopTimerInput(ExpectingInput):
    interruption: Seconds = Seconds(0)
    ended_at: datetime | None = UNSET
    comment: str | None = strawberry.field(default=UNSET, description="In place of the one it was started with.")


@strawberry.input(description="It was started by mistake: nothing is logged.")
class DiscardTimerInput(ExpectingInput):
    pass


@strawberry.input(description="Either `endedAt`, or the net `seconds`. For another person: `onBehalfOf`.")
class LogWorkInput(CommandInput):
    ticket: ID
    started_at: datetime
    ended_at: datetime | None = UNSET
    seconds: Seconds | None = UNSET
    interruption: Seconds = Seconds(0)
    comment: str | None = UNSET
    billable: bool = True


@strawberry.input(description="What is absent stays. What stood is reversed, not overwritten; it takes a reason.")
class CorrectWorkInput(ExpectingInput):
    work_entry: ID
    started_at: datetime | None = UNSET
    ended_at: datetime | None = UNSET
    interruption: Seconds | None = UNSET


@strawberry.input
class MoveWorkInput(ExpectingInput):
    work_entry: ID
    ticket: ID


@strawberry.input
class MarkWorkBillableInput(ExpectingInput):
    work_entry: ID


@strawberry.input
class MarkWorkNotBillableInput(ExpectingInput):
    work_entry: ID


@strawberry.input
class CommentWorkInput(ExpectingInput):
    work_entry: ID
    comment: str | None = UNSET


@strawberry.input(description="Under another contract than its ticket was bound to when it began; null: under none.")
class BillWorkInput(ExpectingInput):
    work_entry: ID
    contract: ID | None = UNSET


@strawberry.input(description="It was not worked after all. It takes a reason.")
class ReverseWorkInput(ExpectingInput):
    work_entry: ID


async def _after(done: Parent[Done], info: Info) -> WorkEntryRow | None:
    """As it is after the command; null once it is reversed, or if the read model has not come that far within 2 s."""
    return None if done.outcome is None else await _entry_after(done, info, done.outcome.stream)


async def _entry_after(done: Done, info: Info, entry: UUID) -> WorkEntryRow | None:
    if done.outcome is None or not await wait_until_readable(info, done.outcome, "work", "spans"):
        return None
    return await info.context.loaders.work_entries.load(entry)


async def _stopped(done: Parent[Done], info: Info) -> WorkEntryRow | None:
    """What the timer that was stopped has measured."""
    if done.outcome is None or not isinstance(done.command, StopTimer | SwitchTimer):
        return None
    version = done.outcome.version - isinstance(done.command, SwitchTimer)
    return await _entry_after(done, info, entry_of(done.outcome.stream, version))


async def _running(done: Parent[Done], info: Info) -> TimerRow | None:
    """The one that runs now."""
    if done.outcome is None or not await wait_until_readable(info, done.outcome, "work"):
        return None
    return await work.timer_by_id(info.context.view, done.outcome.stream)


@strawberry.type
class WorkPayload(Payload):
    work_entry: WorkEntry | None = by(_after)


@strawberry.type
class TimerPayload(Payload):
    timer: Timer | None = by(_running)
    work_entry: WorkEntry | None = by(_stopped)


async def _knowing_exhausted(info: Info, command: StartTimer | SwitchTimer) -> Handle[Any]:
    return partial(handle, exhausted=await billing.exhausted_for(info.context.view, command.ticket))


async def start_timer(info: Info, input: StartTimerInput) -> Done:
    """Refused with CONTRACT_EXHAUSTED where the ticket's contract takes no more work."""
    return await perform_prepared(info, input, StartTimer, partial(_knowing_exhausted, info))


async def switch_timer(info: Info, input: SwitchTimerInput) -> Done:
    return await perform_prepared(info, input, SwitchTimer, partial(_knowing_exhausted, info))


async def stop_timer(info: Info, input: StopTimerInput) -> Done:
    """Logs what it has measured."""
    return await perform(info, input, StopTimer, handle)


async def discard_timer(info: Info, input: DiscardTimerInput) -> Done:
    return await perform(info, input, DiscardTimer(), handle)


async def log_work(info: Info, input: LogWorkInput) -> Done:
    return await perform(info, input, LogWork, handle)


async def correct_work(info: Info, input: CorrectWorkInput) -> Done:
    return await perform(info, input, CorrectWork, handle)


async def move_work(info: Info, input: MoveWorkInput) -> Done:
    return await perform(info, input, MoveWork, handle)


async def mark_work_billable(info: Info, input: MarkWorkBillableInput) -> Done:
    return await perform(info, input, MarkWorkBillable, handle)


async def mark_work_not_billable(info: Info, input: MarkWorkNotBillableInput) -> Done:
    return await perform(info, input, MarkWorkNotBillable, handle)


async def comment_work(info: Info, input: CommentWorkInput) -> Done:
    return await perform(info, input, CommentWork, handle)


async def bill_work(info: Info, input: BillWorkInput) -> Done:
    return await perform(info, input, BillWork, handle)


async def reverse_work(info: Info, input: ReverseWorkInput) -> Done:
    return await perform(info, input, ReverseWork, handle)


@strawberry.type
class WorkMutations:
    start_timer: TimerPayload = by(start_timer)
    switch_timer: TimerPayload = by(switch_timer)
    stop_timer: TimerPayload = by(stop_timer)
    discard_timer: TimerPayload = by(discard_timer)
    log_work: WorkPayload = by(log_work)
    correct_work: WorkPayload = by(correct_work)
    move_work: WorkPayload = by(move_work)
    mark_work_billable: WorkPayload = by(mark_work_billable)
    mark_work_not_billable: WorkPayload = by(mark_work_not_billable)
    comment_work: WorkPayload = by(comment_work)
    bill_work: WorkPayload = by(bill_work)
    reverse_work: WorkPayload = by(reverse_work)
