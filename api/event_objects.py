"""An event as a JSON object, by the names of the GraphQL type `Event`: for webhooks, the feed and exports."""

from typing import Any

from api.events import with_opaque_ids
from api.ids import Kind, encode, encode_event
from api.scalars import write_time
from domain.tickets import ticket_key
from domain.workflows import Workflows
from projections.rows import EventRow


def as_object(event: EventRow, ticket_number: int | None, known: Workflows) -> dict[str, Any]:
    ticket = None
    if event.ticket is not None:
        key = None if ticket_number is None else ticket_key(ticket_number)
        ticket = {"id": encode(Kind.TICKET, event.ticket), "key": key}
    return {
        "id": encode_event(event.position),
        "position": str(event.position),
        "version": event.version,
        "type": event.type,
        "ticket": ticket,
        "occurredAt": write_time(event.occurred_at),
        "recordedAt": write_time(event.recorded_at),
        "actor": {"id": encode(Kind.PERSON, event.actor)},
        "onBehalfOf": None if event.on_behalf_of is None else {"id": encode(Kind.PERSON, event.on_behalf_of)},
        "channel": event.channel,
        "source": event.source,
        "reason": event.reason,
        "commandId": event.command_id,
        "correlationId": event.correlation_id,
        "causationId": event.causation_id,
        "changes": [
            {
                "path": change.path,
                "from": with_opaque_ids(known, change.path, change.from_),
                "to": with_opaque_ids(known, change.path, change.to),
            }
            for change in event.changes
        ],
        "data": event.data,
    }
