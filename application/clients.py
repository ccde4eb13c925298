"""Commands to clients."""

from uuid import UUID

from application.event_store.envelope import Stream
from application.event_store.streams import EventStore
from application.handling import Context, Decision, Outcome, execute, must_be_active, new_id, now, state_in
from domain import clients
from domain.access import may
from domain.clients import AddClient, AddContact, Client, ClientCommand
from domain.errors import Forbidden


def handle(store: EventStore, context: Context, command: ClientCommand) -> Outcome:
    """Raises Refused, StoreUnavailable."""
    if not may(context.actor, command):
        raise Forbidden("manage clients")
    id_ = new_id() if isinstance(command, AddClient) else command.client
    contact = command.person if isinstance(command, AddContact) else None

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        if contact is not None:
            must_be_active(loaded, contact, "person")
        client = state_in(loaded, id_, Client)
        events = clients.decide(client, command)
        return Decision(events=events, occurred_at=context.occurred_at or now(), subject=id_)

    return execute(store, context, command, id_, [contact], decide, new=isinstance(command, AddClient))
