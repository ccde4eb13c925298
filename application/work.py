"""Commands to timers and work entries. A timer that stops appends its entry together with its own event."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from application.contracts import contract_of
from application.event_store.envelope import Stream
from application.event_store.streams import EventStore, WorkspaceStore
from application.handling import Context, Decision, Further, Outcome, execute, new_id, now, state_in
from domain import tickets, work
from domain.access import may, may_act_for_others, may_work_as
from domain.contracts import Contract
from domain.errors import ContractExhausted, ContractNotFound, Forbidden, ReasonRequired, WorkNotFound
from domain.statements import Exhausted
from domain.tickets import Ticket
from domain.work import (
    BillWork,
    LogWork,
    MoveWork,
    StartTimer,
    SwitchTimer,
    Timer,
    TimerCommand,
    TimerEvent,
    TimerStopped,
    WorkAround,
    WorkCommand,
    WorkEntry,
    timer_stream,
)


def handle(store: EventStore, context: Context, command: WorkCommand, exhausted: Exhausted | None = None) -> Outcome:
    """The worker is who gives the command, or on whose behalf it is given. `exhausted`: the contract of the ticket that
    a timer is started on, where it takes no more work. Raises Refused, StoreUnavailable."""
    if not may(context.actor, command):
        raise Forbidden("record work")
    if exhausted is not None and isinstance(command, StartTimer | SwitchTimer):
        _check_override(context, command, exhausted)
    workspace = store.workspace(context.actor.workspace)
    if isinstance(command, TimerCommand):
        return _to_timer(store, workspace, context, command)
    return _to_entry(store, workspace, context, command)


def _check_override(context: Context, command: StartTimer | SwitchTimer, exhausted: Exhausted) -> None:
    """Raises ContractExhausted, Forbidden, ReasonRequired."""
    if not command.override_exhausted:
        raise ContractExhausted(exhausted.name, exhausted.left)
    if not may_act_for_others(context.actor):
        raise Forbidden("start work under a contract that takes no more", "overrideExhausted")
    if context.reason is None:
        raise ReasonRequired("to start work under a contract that takes no more")


def _to_timer(store: EventStore, workspace: WorkspaceStore, context: Context, command: TimerCommand) -> Outcome:
    person = worker(context)
    id_ = timer_stream(workspace.workspace, person)
    target = command.ticket if isinstance(command, StartTimer | SwitchTimer) else None

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        timer = state_in(loaded, id_, Timer)
        before = None if timer is None else timer.ticket
        began = None if timer is None else timer.started_at
        around = _around(workspace, context, loaded, person, [target, before], began)
        events = work.decide_timer(timer, command, id_, around)
        return Decision(
            events=events,
            occurred_at=_not_before_start(timer, around.at),
            subject=_requester(around, target or before),
            further=_measured(timer, command, events, around),
        )

    return execute(store, context, command, id_, [target], decide)


def _measured(
    timer: Timer | None, command: TimerCommand, events: list[TimerEvent], around: WorkAround
) -> list[Further]:
    """The entry of a timer that stops."""
    return [
        Further(
            stream=event.entry,
            before=None,
            events=work.stopped(timer, command, around),
            subject=_requester(around, timer.ticket),
        )
        for event in events
        if isinstance(event, TimerStopped)
        and timer is not None
        and not isinstance(command, StartTimer | work.DiscardTimer)
    ]


def _not_before_start(timer: Timer | None, at: datetime) -> datetime:
    """A skewed clock ends no timer before it started."""
    return at if timer is None or timer.started_at is None else max(at, timer.started_at)


def _to_entry(
    store: EventStore, workspace: WorkspaceStore, context: Context, command: LogWork | work.EntryCommand
) -> Outcome:
    id_ = new_id() if isinstance(command, LogWork) else command.work_entry
    target = command.ticket if isinstance(command, LogWork | MoveWork) else None
    billed = command.contract if isinstance(command, BillWork) else None

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        entry = state_in(loaded, id_, WorkEntry)
        person = worker(context) if entry is None else entry.person
        if not may_work_as(context.actor, person):
            raise Forbidden("change what others worked")
        if entry is None and not isinstance(command, LogWork):
            raise WorkNotFound(command.work_entry)
        if billed is not None and state_in(loaded, billed, Contract) is None:
            raise ContractNotFound(billed)
        ticket = target or (None if entry is None else entry.ticket)
        began = _began(entry, command)
        around = _around(workspace, context, loaded, person, [ticket], began)
        events = work.decide(entry, command, around)
        return Decision(events=events, occurred_at=around.at, subject=_requester(around, ticket))

    return execute(store, context, command, id_, [target, billed], decide, new=isinstance(command, LogWork))


def _began(entry: WorkEntry | None, command: LogWork | work.EntryCommand) -> datetime | None:
    """When the work began, which says by what terms it counts."""
    asked = command.started_at if isinstance(command, LogWork | work.CorrectWork) else None
    return asked or (None if entry is None else entry.started_at)


def worker(context: Context) -> UUID:
    return context.on_behalf_of or context.actor.person


def _around(
    workspace: WorkspaceStore,
    context: Context,
    loaded: dict[UUID, Stream],
    person: UUID,
    ids: Iterable[UUID | None],
    began: datetime | None = None,
) -> WorkAround:
    """What the decision must know; tickets that the command does not name are loaded now."""
    wanted = {id_ for id_ in ids if id_ is not None}
    missing = [id_ for id_ in wanted if id_ not in loaded]
    found = {**loaded, **(workspace.load(missing) if missing else {})}
    there = {id_: ticket for id_ in wanted if (ticket := state_in(found, id_, Ticket)) is not None}
    merged: dict[UUID, UUID] = {}
    for id_, ticket in list(there.items()):
        if ticket.merged is not None:
            merged[id_], there[merged[id_]] = _root(workspace, ticket.merged.into)
    return WorkAround(
        now=now(),
        at=context.occurred_at or now(),
        person=person,
        reason=context.reason,
        tickets=there,
        places={id_: place(workspace, id_, ticket, began) for id_, ticket in there.items()},
        contracts={
            id_: contract
            for id_, ticket in there.items()
            if (contract := contract_of(workspace, id_, ticket, began or now())) is not None
        },
        merged=merged,
    )


def _root(workspace: WorkspaceStore, id_: UUID) -> tuple[UUID, Ticket]:
    """The ticket that this one was merged into in the end."""
    ticket = state_in(workspace.load([id_]), id_, Ticket)
    assert ticket is not None, "tickets are merged into tickets"
    return (id_, ticket) if ticket.merged is None else _root(workspace, ticket.merged.into)


def place(workspace: WorkspaceStore, id_: UUID, ticket: Ticket, at: datetime | None) -> Ticket:
    """The ticket as it stood then; as it was opened, if it was opened later."""
    if at is None or at.utcoffset() is None or at >= ticket.last_at:
        return ticket
    before: Ticket | None = None
    for envelope in workspace.history(id_):
        event = envelope.event
        if before is None or envelope.occurred_at <= at:
            assert isinstance(event, tickets.TicketEvent)
            before = tickets.evolve(before, event, envelope.occurred_at)
    return before or ticket


def _requester(around: WorkAround, ticket: UUID | None) -> UUID | None:
    """A comment on work belongs to the ticket's requester, as all talk there."""
    found = None if ticket is None else around.tickets.get(ticket)
    return None if found is None else found.requester
