"""Limits on work in progress: the ledgers of places that have a hard one."""

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid5

import msgspec
from msgspec.structs import replace

from application import workflows
from application.event_store.envelope import Stream
from application.event_store.event_types import NAMES
from application.event_store.recorder import VersionConflict
from application.event_store.streams import EventStore, WorkspaceStore
from application.handling import Context, Decision, Further, Outcome, execute, now, state_in
from domain import wip_limits
from domain.access import may_act_for_others
from domain.errors import Conflict, Forbidden, InUse, ReasonRequired
from domain.tickets import RoleChanged, StatusChanged, Ticket, TicketAssigned, TicketOpened
from domain.wip_limits import Ledger, SetWipLimit
from domain.workflow_state import WipLimit, Workflows

CARDS_LIMIT = 1_000
CARDS_OF_ALL_LIMIT = 5_000
"""Where it is each person's limit: with all of them together."""
ARRIVALS = tuple(NAMES[cls].name for cls in (TicketOpened, StatusChanged, RoleChanged, TicketAssigned))


class Cards(msgspec.Struct, frozen=True, kw_only=True):
    """Tickets that stood in a place when all up to `position` was recorded, each with who held it."""

    held: Mapping[UUID, UUID | None]
    position: int


def ledger_stream(workspace: UUID, limit: WipLimit) -> UUID:
    return uuid5(workspace, f"wip:{limit.place}")


def handle(store: EventStore, context: Context, command: SetWipLimit, cards: Cards) -> Outcome:
    """Sets the limit first, so that whoever comes from then on is in the ledger, then tells the ledger who stood there
    by then: those counted and, from the log itself, who came since. Safe to repeat after an interruption.
    Raises Refused, StoreUnavailable."""
    if command.limit is None or not command.hard:
        return workflows.handle(store, context, command)
    if len(cards.held) > (most := cards_limit(command)):
        raise InUse(f"More than {most:,} tickets stand there: set a soft limit until they are fewer.", ("limit",))
    workspace = store.workspace(context.actor.workspace)
    _came_since(workspace, cards.position)
    outcome = workflows.handle(store, context, command)
    moved = _came_since(workspace, cards.position)
    for limit, ids in _by_place(workspace, wip_limits.limit_of(command), cards.held, moved).items():
        _tell(store, context, command, ledger_stream(workspace.workspace, limit), ids)
    return outcome


def cards_limit(command: SetWipLimit) -> int:
    """Tickets that may stand in the place when a hard limit is set."""
    return CARDS_OF_ALL_LIMIT if command.each_person else CARDS_LIMIT


def _by_place(
    workspace: WorkspaceStore, limit: WipLimit, held: Mapping[UUID, UUID | None], moved: Sequence[UUID]
) -> dict[WipLimit, list[UUID]]:
    """Of each person's limit: by what it means for whoever holds them now, which only those that have moved since are
    asked. What changed hands after the limit was set has come to a ledger by that."""
    if not limit.each_person:
        return {limit: [*held, *moved]}
    found: dict[WipLimit, list[UUID]] = {}
    now_held = {id_: one.state.assignee for id_, one in workspace.load(moved).items() if isinstance(one.state, Ticket)}
    for id_, assignee in {**held, **now_held}.items():
        place = wip_limits.for_person(limit, assignee)
        if place is not None:
            found.setdefault(place, []).append(id_)
    return found


def _tell(store: EventStore, context: Context, command: SetWipLimit, stream: UUID, cards: Sequence[UUID]) -> None:
    def decide(loaded: dict[UUID, Stream]) -> Decision:
        ledger = state_in(loaded, stream, Ledger) or Ledger()
        return Decision(events=wip_limits.counted(ledger, cards), occurred_at=now())

    execute(store, replace(context, command_id=None, expected_version=None), command, stream, [], decide)


def _came_since(workspace: WorkspaceStore, position: int) -> list[UUID]:
    """Tickets that moved after a position, wherever they are now: the ledger asks them."""
    try:
        return workspace.moved_since(position, ARRIVALS)
    except VersionConflict:
        raise Conflict(None, None) from None


def arrivals(
    workspace: WorkspaceStore, context: Context, id_: UUID, before: Ticket | None, after: Ticket, known: Workflows
) -> list[Further]:
    """What the ledgers of the places that the ticket comes to are told.
    Raises WipLimitReached, Forbidden, ReasonRequired."""
    limits = wip_limits.entered(before, after, known)
    if not limits:
        return []
    over = _may_go_over(context)
    streams = [ledger_stream(workspace.workspace, limit) for limit in limits]
    found = workspace.load(streams)
    ledgers = [state_in(found, stream, Ledger) or Ledger() for stream in streams]
    loaded = workspace.load({card for ledger in ledgers for card in ledger.cards})
    tickets = {card: one.state for card, one in loaded.items() if isinstance(one.state, Ticket)}
    return [
        Further(
            stream=stream,
            before=found.get(stream),
            events=[wip_limits.enter(limit, ledger, id_, tickets, over=over or not wip_limits.holds(limit, known))],
            subject=(before or after).requester,
        )
        for limit, stream, ledger in zip(limits, streams, ledgers, strict=True)
    ]


def _may_go_over(context: Context) -> bool:
    if not context.override_wip_limit:
        return False
    if not may_act_for_others(context.actor):
        raise Forbidden("go over a limit on work in progress", "overrideWipLimit")
    if context.reason is None:
        raise ReasonRequired("to go over a limit on work in progress")
    return True
