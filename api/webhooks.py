"""Outgoing webhooks: the endpoints of a workspace, what was delivered to them, and the commands that keep them."""

from datetime import datetime
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import CommandInput, Done, Handle, Payload, perform, wait_until_readable
from api.errors import FORBIDDEN, NOT_FOUND, Failure
from api.fields import Info, Node, by, given, once_passed
from api.ids import Kind, WrongId, decode, encode
from api.paging import Connection, ConnectionRow, page_ask
from api.scalars import Position
from application.event_store.streams import EventStore
from application.handling import Context, Outcome
from application.webhook_networks import literal
from application.webhook_sending import Trouble
from application.webhook_signing import new_secret
from application.webhooks import handle
from domain import webhooks as domain
from domain.errors import InvalidValue
from domain.webhooks import (
    FORMER_DEFAULT,
    ChangeWebhook,
    DefineWebhook,
    DisabledBecause,
    DisableWebhook,
    EnableWebhook,
    ReplayWebhook,
    RetireWebhook,
    RotateWebhookSecret,
    TestWebhook,
    WebhookAudience,
    WebhookCommand,
)
from projections import webhooks
from projections.rows import WebhookDeliveryRow, WebhookRow, WebhookState

strawberry.enum(WebhookAudience, description="PUBLIC: of tickets, what requesters may see. STAFF: what agents see.")
strawberry.enum(WebhookState, description="FAILING: the last attempt failed, and it is tried again.")
strawberry.enum(DisabledBecause, description="GONE: it answered 410. FAILING: no attempt succeeded in days.")
strawberry.enum(Trouble, description="Why an attempt failed.")


def _ids(kind: Kind, attribute: str) -> Any:
    def ids(wanted: Parent[domain.WebhookFilter]) -> list[ID]:
        return [encode(kind, id_) for id_ in getattr(wanted, attribute)]

    return by(ids)


@strawberry.type(description="Of each kind that is named, the ticket has one, before the event or after it.")
class WebhookFilter:
    workflows: list[str]
    roles: list[str]
    teams: list[ID] = _ids(Kind.TEAM, "teams")
    services: list[ID] = _ids(Kind.SERVICE, "services")
    requesters: list[ID] = _ids(Kind.PERSON, "requesters")
    tags: list[str]


def _id(webhook: Parent[WebhookRow]) -> ID:
    return encode(Kind.WEBHOOK, webhook.id)


@strawberry.type(description="An address that is told what happens. Only administrators and auditors see it.")
class Webhook(Node):
    id: ID = by(_id)
    url: str
    description: str | None
    types: list[str] = strawberry.field(description="Names of events; none: all.")
    audience: WebhookAudience
    filter: WebhookFilter
    state: WebhookState
    disabled_because: DisabledBecause | None
    failing_since: datetime | None
    next_attempt_at: datetime | None
    defined_at: datetime
    delivered_to: Position = strawberry.field(description="All up to here was delivered, or is not wanted.")
    former_secret_until: datetime | None = strawberry.field(description="Until then a former secret signs too.")

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, WebhookRow)


def _trouble(delivery: Parent[WebhookDeliveryRow]) -> Trouble | None:
    """Why the last attempt failed; REFUSED: see `statusCode`."""
    return None if delivery.trouble is None else Trouble(delivery.trouble)


@strawberry.type(description="A message to a webhook, and what became of it; kept for 30 days, 10,000 of each webhook.")
class WebhookDelivery:
    message: str = strawberry.field(description="Its webhook-id: the same however often it is sent.")
    type: str
    position: Position | None = strawberry.field(description="Of the event; null: a test.")
    delivered: bool
    attempts: int
    status_code: int | None = strawberry.field(description="Of the last answer; null: there was none.")
    trouble: Trouble | None = by(_trouble)
    seconds: float = strawberry.field(description="How long the last attempt took.")
    first_attempt_at: datetime
    last_attempt_at: datetime
    next_attempt_at: datetime | None


async def _webhooks(info: Info, min_position: Position | None = UNSET) -> list[WebhookRow]:
    """In the order in which they were defined."""
    _must_administer(info)
    await once_passed(info, min_position, "webhooks")
    return await webhooks.webhooks(info.context.view)


async def _deliveries(
    info: Info,
    webhook: ID,
    first: int | None = UNSET,
    after: str | None = UNSET,
    last: int | None = UNSET,
    before: str | None = UNSET,
) -> ConnectionRow[WebhookDeliveryRow]:
    """What was sent to a webhook, oldest first."""
    _must_administer(info)
    view, id_ = info.context.view, decode(webhook, Kind.WEBHOOK)
    if not await webhooks.webhooks_by_ids(view, [id_]):
        raise Failure(NOT_FOUND, "There is no such webhook.")
    page = await webhooks.deliveries(view, id_, page_ask(first, after, last, before))
    return ConnectionRow(page, lambda: webhooks.delivery_count(view, id_))


def _must_administer(info: Info) -> None:
    if not info.context.actor.administers:
        raise Failure(FORBIDDEN, "Webhooks are seen by administrators and auditors alone.")


@strawberry.type
class WebhookQueries:
    webhooks: list[Webhook] = by(_webhooks)
    webhook_deliveries: Connection[WebhookDelivery] = by(_deliveries)


# ---- commands


@strawberry.input(
    description="Of each kind that is named, the ticket has one, before the event or after it. At most 50 of a kind."
)
class WebhookFilterInput:
    workflows: list[str] | None = UNSET
    roles: list[str] | None = UNSET
    teams: list[ID] | None = UNSET
    services: list[ID] | None = UNSET
    requesters: list[ID] | None = UNSET
    tags: list[str] | None = UNSET

    def written(self, info: Info) -> domain.WebhookFilter:
        """Raises InvalidValue."""
        return domain.WebhookFilter(
            workflows=tuple(given(self.workflows) or ()),
            roles=tuple(given(self.roles) or ()),
            teams=_decoded(self.teams, Kind.TEAM, "teams"),
            services=_decoded(self.services, Kind.SERVICE, "services"),
            requesters=_decoded(self.requesters, Kind.PERSON, "requesters"),
            tags=tuple(given(self.tags) or ()),
        )


def _decoded(ids: list[ID] | None, kind: Kind, name: str) -> tuple[UUID, ...]:
    try:
        return tuple(decode(one, kind) for one in given(ids) or ())
    except WrongId as error:
        raise InvalidValue(str(error), ("filter", name)) from None


@strawberry.input(description="It is told what happens from now on. `types`: names of events; absent: all.")
class DefineWebhookInput(CommandInput):
    url: str
    description: str | None = UNSET
    types: list[str] | None = UNSET
    audience: WebhookAudience = WebhookAudience.PUBLIC
    filter: WebhookFilterInput | None = UNSET


@strawberry.input(description="What is absent stays. What it was told before is not told again: see replayWebhook.")
class ChangeWebhookInput(CommandInput):
    webhook: ID
    url: str | None = UNSET
    description: str | None = UNSET
    types: list[str] | None = UNSET
    audience: WebhookAudience | None = UNSET
    filter: WebhookFilterInput | None = UNSET


@strawberry.input(description="The former secret signs beside the new one for so many hours, 0 to 168.")
class RotateWebhookSecretInput(CommandInput):
    webhook: ID
    former_hours: int = FORMER_DEFAULT


@strawberry.input(description="It goes on where it stopped, at once.")
class EnableWebhookInput(CommandInput):
    webhook: ID


@strawberry.input(description="It is told nothing until it is enabled, and then what it missed.")
class DisableWebhookInput(CommandInput):
    webhook: ID


@strawberry.input(description="It is told again everything from this position on, under the same webhook-ids.")
class ReplayWebhookInput(CommandInput):
    webhook: ID
    from_position: Position


@strawberry.input(description="Sends it one message of the type WebhookTested, once; see webhookDeliveries.")
class TestWebhookInput(CommandInput):
    webhook: ID


@strawberry.input
class RetireWebhookInput(CommandInput):
    webhook: ID


class Told(Done, frozen=True):
    """`secret`: a new one."""

    secret: str | None = None


async def _after(done: Parent[Done], info: Info) -> WebhookRow | None:
    """As it is after the command; null once it is retired, or if the read model has not come that far within 2 s."""
    if done.outcome is None or not await wait_until_readable(info, done.outcome, "webhooks"):
        return None
    return (await webhooks.webhooks_by_ids(info.context.view, [done.outcome.stream])).get(done.outcome.stream)


def _secret(done: Parent[Done]) -> str | None:
    """A new one; it is shown this once, and not when the command is repeated."""
    return done.secret if isinstance(done, Told) else None


@strawberry.type
class WebhookPayload(Payload):
    webhook: Webhook | None = by(_after)


@strawberry.type
class WebhookSecretPayload(Payload):
    webhook: Webhook | None = by(_after)
    secret: str | None = by(_secret)


def _checked(info: Info, handler: Handle[Any] = handle) -> Handle[Any]:
    """Refuses at once an address that would be refused when it is sent to. What names stand for shows only then."""

    def checked(store: EventStore, context: Context, command: WebhookCommand) -> Outcome:
        if isinstance(command, DefineWebhook | ChangeWebhook) and isinstance(command.url, str):
            _must_be_outside(info, domain.address(command.url))
        return handler(store, context, command)

    return checked


def _must_be_outside(info: Info, url: str) -> None:
    """Raises InvalidValue."""
    networks, parts = info.context.runtime.networks, urlsplit(url)
    address = literal(parts.hostname or "")
    if address is not None and networks.refuse(address):
        raise InvalidValue("This address stands inside the server's own network.", ("url",))
    if parts.scheme != "https" and not networks.allowed:
        raise InvalidValue("An address begins with https://.", ("url",))


async def _with_secret(info: Info, input: CommandInput, command: Any) -> Told:
    secret = new_secret()
    done = await perform(info, input, command, _checked(info, partial(handle, secret=secret)))
    shown = done.outcome is not None and not done.replayed
    return Told(done.command, done.outcome, done.user_errors, secret if shown else None)


async def define_webhook(info: Info, input: DefineWebhookInput) -> Told:
    return await _with_secret(info, input, DefineWebhook)


async def change_webhook(info: Info, input: ChangeWebhookInput) -> Done:
    return await perform(info, input, ChangeWebhook, _checked(info))


async def rotate_webhook_secret(info: Info, input: RotateWebhookSecretInput) -> Told:
    return await _with_secret(info, input, RotateWebhookSecret)


async def enable_webhook(info: Info, input: EnableWebhookInput) -> Done:
    return await perform(info, input, EnableWebhook, handle)


async def disable_webhook(info: Info, input: DisableWebhookInput) -> Done:
    return await perform(info, input, DisableWebhook, handle)


async def replay_webhook(info: Info, input: ReplayWebhookInput) -> Done:
    return await perform(info, input, ReplayWebhook, handle)


async def test_webhook(info: Info, input: TestWebhookInput) -> Done:
    return await perform(info, input, TestWebhook, handle)


async def retire_webhook(info: Info, input: RetireWebhookInput) -> Done:
    return await perform(info, input, RetireWebhook, handle)


@strawberry.type
class WebhookMutations:
    define_webhook: WebhookSecretPayload = by(define_webhook)
    change_webhook: WebhookPayload = by(change_webhook)
    rotate_webhook_secret: WebhookSecretPayload = by(rotate_webhook_secret)
    enable_webhook: WebhookPayload = by(enable_webhook)
    disable_webhook: WebhookPayload = by(disable_webhook)
    replay_webhook: WebhookPayload = by(replay_webhook)
    test_webhook: WebhookPayload = by(test_webhook)
    retire_webhook: WebhookPayload = by(retire_webhook)
