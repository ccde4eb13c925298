"""Commands to the catalogue of services."""

from uuid import UUID, uuid5

from application.event_store.envelope import Stream
from application.event_store.streams import EventStore
from application.handling import Context, Decision, Outcome, execute, now, state_in
from domain import services
from domain.access import may
from domain.errors import Forbidden
from domain.services import AddService, Service, ServiceCommand


def service_stream(workspace: UUID, key: str) -> UUID:
    return uuid5(workspace, f"service:{key.casefold()}")


def handle(store: EventStore, context: Context, command: ServiceCommand) -> Outcome:
    """Raises Refused, StoreUnavailable."""
    if not may(context.actor, command):
        raise Forbidden("manage services")
    id_ = service_stream(context.actor.workspace, command.key) if isinstance(command, AddService) else command.service

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        service = state_in(loaded, id_, Service)
        return Decision(events=services.decide(service, command), occurred_at=context.occurred_at or now())

    return execute(store, context, command, id_, [], decide)
