"""What is sent to a webhook: `type`, `timestamp` and `data`, where an event is shown as `events` shows it."""

from typing import Any
from uuid import UUID

import msgspec

from api.event_objects import as_object
from api.ids import Kind, encode, encode_event
from api.scalars import write_time
from application.handling import now
from domain.workflows import Workflows
from projections.rows import EventRow
from projections.webhook_deliveries import Told

BODY_LIMIT = 256 * 1024
"""Bytes. Of an event that is larger, what it changed and held is left out: it is there to be asked for by its id."""

TEST = "WebhookTested"


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """`id`: the same however often it is sent. `position`: of its event; None for a test."""

    id: str
    type: str
    position: int | None
    body: bytes


def of_event(told: Told, known: Workflows) -> Message:
    event = told.event
    shown = as_object(event, told.ticket_number, known)
    body = _body(event, shown)
    if len(body) > BODY_LIMIT:
        body = _body(event, {**shown, "changes": None, "data": None})
    return Message(id=f"evt_{encode_event(event.position)}", type=event.type, position=event.position, body=body)


def of_test(webhook: UUID, number: int) -> Message:
    data = {"webhook": encode(Kind.WEBHOOK, webhook)}
    body = msgspec.json.encode({"type": TEST, "timestamp": write_time(now()), "data": data})
    return Message(id=f"test_{encode(Kind.WEBHOOK, webhook)}_{number}", type=TEST, position=None, body=body)


def _body(event: EventRow, shown: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"type": event.type, "timestamp": write_time(event.occurred_at), "data": shown})
