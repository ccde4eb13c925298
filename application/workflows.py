"""Commands to a workspace's roles and workflows."""

from uuid import UUID, uuid5

from application.event_store.envelope import Stream
from application.event_store.streams import EventStore
from application.handling import Context, Decision, Outcome, execute, now, state_in
from domain import workflows
from domain.access import may
from domain.errors import Forbidden
from domain.workflows import NO_WORKFLOWS, Workflows, WorkflowsCommand


def workflows_stream(workspace: UUID) -> UUID:
    return uuid5(workspace, "workflows")


def handle(store: EventStore, context: Context, command: WorkflowsCommand) -> Outcome:
    """Raises Refused, StoreUnavailable."""
    if not may(context.actor, command):
        raise Forbidden("define roles and workflows")
    stream = workflows_stream(context.actor.workspace)

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        state = workflows_in(loaded, context.actor.workspace)
        return Decision(events=workflows.decide(state, command), occurred_at=context.occurred_at or now())

    return execute(store, context, command, stream, [], decide)


def workflows_in(loaded: dict[UUID, Stream], workspace: UUID) -> Workflows:
    return state_in(loaded, workflows_stream(workspace), Workflows) or NO_WORKFLOWS
