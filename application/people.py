"""Commands to people."""

from uuid import UUID

from application.event_store.envelope import Stream
from application.event_store.streams import EventStore
from application.handling import Context, Decision, Outcome, execute, new_id, now, state_in
from domain import people
from domain.access import may
from domain.errors import Forbidden
from domain.people import AddPerson, Person, PersonCommand


def handle(store: EventStore, context: Context, command: PersonCommand) -> Outcome:
    """Raises Refused, StoreUnavailable."""
    if not may(context.actor, command):
        raise Forbidden("manage people")
    id_ = new_id() if isinstance(command, AddPerson) else command.person

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        person = state_in(loaded, id_, Person)
        # All that is personal stands in the person's own stream, under their own key.
        return Decision(events=people.decide(person, command), occurred_at=context.occurred_at or now(), subject=id_)

    return execute(store, context, command, id_, [], decide)
