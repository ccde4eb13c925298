"""Commands to the endpoints of outgoing webhooks."""

from uuid import UUID, uuid5

import msgspec

from application import webhook_signing
from application.event_store.envelope import Stream
from application.event_store.event_types import EVENT_TYPES
from application.event_store.streams import EventStore
from application.handling import Context, Decision, Outcome, execute, new_id, now, state_in
from domain import webhooks
from domain.access import may
from domain.errors import Forbidden
from domain.webhooks import NO_WEBHOOKS, DefineWebhook, Surroundings, WebhookCommand, Webhooks


def webhooks_stream(workspace: UUID) -> UUID:
    return uuid5(workspace, "webhooks")


def handle(store: EventStore, context: Context, command: WebhookCommand, secret: str = "") -> Outcome:
    """`secret`: the new one, of a command that brings one; it is sealed here. The outcome's `stream` is the endpoint's
    id. Raises Refused, StoreUnavailable."""
    if not may(context.actor, command):
        raise Forbidden("keep webhooks")
    workspace = context.actor.workspace
    stream, id_ = webhooks_stream(workspace), _id(context, command)
    sealed = webhook_signing.seal(store.mapper.sealer, workspace, id_, secret) if secret else ""

    def decide(loaded: dict[UUID, Stream]) -> Decision:
        at = context.occurred_at or now()
        given = Surroundings(webhook=id_, sealed_secret=sealed, types=EVENT_TYPES, now=now())
        state = state_in(loaded, stream, Webhooks) or NO_WEBHOOKS
        return Decision(events=webhooks.decide(state, command, given), occurred_at=at)

    outcome = execute(store, context, command, stream, [], decide)
    return msgspec.structs.replace(outcome, stream=id_)


def _id(context: Context, command: WebhookCommand) -> UUID:
    """A command that is repeated defines the same one."""
    if not isinstance(command, DefineWebhook):
        return command.webhook
    if context.command_id is None:
        return new_id()
    return uuid5(webhooks_stream(context.actor.workspace), str(context.command_id))
