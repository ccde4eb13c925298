"""Commands to a workspace's roles, workflows and custom fields."""

from functools import lru_cache
from uuid import UUID, uuid5

import msgspec

from application.event_store.envelope import Stream
from application.event_store.event_types import NAMES
from application.event_store.recorder import VersionConflict
from application.event_store.streams import CACHED_WORKSPACES, EventStore, WorkspaceStore
from application.handling import Context, Decision, Outcome, execute, must_be_active, now, state_in
from domain import workflows
from domain.access import may
from domain.errors import Conflict, Forbidden
from domain.tickets import RoleChanged, StatusChanged, Ticket, TicketOpened
from domain.workflows import (
    NO_WORKFLOWS,
    NOBODY,
    Census,
    RoleRetired,
    SetWipLimit,
    Standing,
    WorkflowDefined,
    WorkflowRetired,
    Workflows,
    WorkflowsCommand,
)


@lru_cache(CACHED_WORKSPACES)
def workflows_stream(workspace: UUID) -> UUID:
    return uuid5(workspace, "workflows")


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Where the workspace's tickets stood when all up to `position` was recorded."""

    census: Census
    position: int


def handle(store: EventStore, context: Context, command: WorkflowsCommand, counted: Counted | None = None) -> Outcome:
    """`counted`: for a command that takes something away; the log says what has moved since.
    Raises Refused, StoreUnavailable."""
    if not may(context.actor, command):
        raise Forbidden("define roles, workflows and fields")
    stream = workflows_stream(context.actor.workspace)
    person = command.person if isinstance(command, SetWipLimit) and command.limit is not None else None

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        state = workflows_in(loaded, context.actor.workspace)
        if person is not None:
            must_be_active(loaded, person, "person")
        census = NOBODY if counted is None else counted.census
        events = workflows.decide(state, command, census)
        if counted is not None and any(isinstance(event, _TAKING_AWAY) for event in events):
            census = [*census, *_arrived_since(store.workspace(context.actor.workspace), counted.position)]
            events = workflows.decide(state, command, census)
        return Decision(events=events, occurred_at=context.occurred_at or now())

    return execute(store, context, command, stream, [person], decide)


_TAKING_AWAY = (WorkflowDefined, WorkflowRetired, RoleRetired)


def _arrived_since(workspace: WorkspaceStore, position: int) -> list[Standing]:
    """Tickets that came to where they stand after the census: few, and read from the log itself."""
    try:
        moved = workspace.moved_since(position, MOVES)
    except VersionConflict:
        raise Conflict(None, None) from None
    tickets = (stream.state for stream in workspace.load(moved).values())
    return [
        Standing(role=ticket.role, workflow=ticket.workflow, status=ticket.status, closed=ticket.closed, tickets=1)
        for ticket in tickets
        if isinstance(ticket, Ticket)
    ]


MOVES = tuple(NAMES[cls].name for cls in (TicketOpened, StatusChanged, RoleChanged))


def workflows_in(loaded: dict[UUID, Stream], workspace: UUID) -> Workflows:
    return state_in(loaded, workflows_stream(workspace), Workflows) or NO_WORKFLOWS
