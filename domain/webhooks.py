"""Outgoing webhooks: addresses of other systems that are told what happens, one after the other and signed.

All endpoints of a workspace are defined in one stream, which is what holds their number within its limit. What was
delivered is no history of the business: it is in tables beside, and only that an endpoint was given up is an event.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import ClassVar, assert_never
from urllib.parse import SplitResult, quote, urlsplit, urlunsplit
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from domain import text
from domain.errors import InvalidValue, TooManyWebhooks, WebhookIsDisabled, WebhookNotFound
from domain.text import FreeText

ENDPOINTS_LIMIT = 20
"""Per workspace."""
URL_LIMIT = 2_000
DESCRIPTION_LIMIT = 500
WANTED_LIMIT = 50
"""Values of one kind that an endpoint can name."""
FORMER_DEFAULT, FORMER_LIMIT = 24, 168
"""Hours for which a former secret still signs."""
FORMER_SECRETS = 3
POSITION_LIMIT = 2**63 - 1


class WebhookAudience(StrEnum):
    """With whose eyes an endpoint sees. PUBLIC: of tickets, what requesters may see of theirs. STAFF: as an agent."""

    PUBLIC = "PUBLIC"
    STAFF = "STAFF"


class DisabledBecause(StrEnum):
    """BY_HAND: somebody did it. GONE: it answered 410. FAILING: no attempt succeeded in days."""

    BY_HAND = "BY_HAND"
    GONE = "GONE"
    FAILING = "FAILING"


class WebhookFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Whose events are of interest: of each kind that is named, the ticket has one, before the event or after it."""

    workflows: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    teams: tuple[UUID, ...] = ()
    services: tuple[UUID, ...] = ()
    requesters: tuple[UUID, ...] = ()
    tags: tuple[str, ...] = ()

    @property
    def all(self) -> bool:
        return self == NO_FILTER


NO_FILTER = WebhookFilter()


# ---- events


class WebhookDefined(msgspec.Struct, frozen=True, kw_only=True):
    """`types`: names of events; none: all. `sealed_secret` is sealed by itself, so that whoever reads events cannot
    sign."""

    webhook: UUID
    url: FreeText
    description: FreeText | None
    types: tuple[str, ...]
    audience: WebhookAudience
    filter: WebhookFilter
    sealed_secret: str


class WebhookRedirected(msgspec.Struct, frozen=True, kw_only=True):
    webhook: UUID
    url: FreeText


class WebhookDescribed(msgspec.Struct, frozen=True, kw_only=True):
    webhook: UUID
    description: FreeText | None


class WebhookNarrowed(msgspec.Struct, frozen=True, kw_only=True):
    """What it is told from now on."""

    webhook: UUID
    types: tuple[str, ...]
    audience: WebhookAudience
    filter: WebhookFilter


class WebhookSecretRotated(msgspec.Struct, frozen=True, kw_only=True):
    """The former secret signs too until `former_until`."""

    webhook: UUID
    sealed_secret: str
    former_until: datetime


class WebhookEnabled(msgspec.Struct, frozen=True, kw_only=True):
    webhook: UUID


class WebhookDisabled(msgspec.Struct, frozen=True, kw_only=True):
    webhook: UUID
    because: DisabledBecause


class WebhookReplayed(msgspec.Struct, frozen=True, kw_only=True):
    """It is told again all from this position on."""

    webhook: UUID
    from_position: int


class WebhookTested(msgspec.Struct, frozen=True, kw_only=True):
    """It is sent one message that says nothing."""

    webhook: UUID


class WebhookRetired(msgspec.Struct, frozen=True, kw_only=True):
    webhook: UUID


WebhookEvent = (
    WebhookDefined
    | WebhookRedirected
    | WebhookDescribed
    | WebhookNarrowed
    | WebhookSecretRotated
    | WebhookEnabled
    | WebhookDisabled
    | WebhookReplayed
    | WebhookTested
    | WebhookRetired
)


# ---- commands


class DefineWebhook(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    description: str | None = None
    types: tuple[str, ...] = ()
    audience: WebhookAudience = WebhookAudience.PUBLIC
    filter: WebhookFilter = NO_FILTER


class ChangeWebhook(msgspec.Struct, frozen=True, kw_only=True):
    webhook: UUID
    url: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    types: tuple[str, ...] | UnsetType = UNSET
    audience: WebhookAudience | UnsetType = UNSET
    filter: WebhookFilter | UnsetType = UNSET


class RotateWebhookSecret(msgspec.Struct, frozen=True, kw_only=True):
    webhook: UUID
    former_hours: int = FORMER_DEFAULT


class EnableWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """It goes on where it stopped."""

    webhook: UUID


class DisableWebhook(msgspec.Struct, frozen=True, kw_only=True):
    webhook: UUID


class GiveWebhookUp(msgspec.Struct, frozen=True, kw_only=True):
    """By Proteus itself. `url`: which was tried; one that was changed since has another chance."""

    webhook: UUID
    url: str
    because: DisabledBecause


class ReplayWebhook(msgspec.Struct, frozen=True, kw_only=True):
    webhook: UUID
    from_position: int


class TestWebhook(msgspec.Struct, frozen=True, kw_only=True):
    __test__: ClassVar[bool] = False  # to pytest, whatever its name

    webhook: UUID


class RetireWebhook(msgspec.Struct, frozen=True, kw_only=True):
    webhook: UUID


CommandToWebhook = (
    ChangeWebhook
    | RotateWebhookSecret
    | EnableWebhook
    | DisableWebhook
    | GiveWebhookUp
    | ReplayWebhook
    | TestWebhook
    | RetireWebhook
)
WebhookCommand = DefineWebhook | CommandToWebhook


# ---- state


class Secret(msgspec.Struct, frozen=True):
    """`until`: a former one signs no longer."""

    sealed: str
    until: datetime | None = None


class Webhook(msgspec.Struct, frozen=True, kw_only=True):
    """`secrets`: the present one first. `replays`, `tests`: how many there were; `replay_from`: of the last."""

    url: str
    description: str | None
    types: tuple[str, ...]
    audience: WebhookAudience
    filter: WebhookFilter
    secrets: tuple[Secret, ...]
    disabled: DisabledBecause | None = None
    replays: int = 0
    replay_from: int = 0
    tests: int = 0


class Webhooks(msgspec.Struct, frozen=True, kw_only=True):
    """Of one workspace; those that were retired are gone."""

    endpoints: Mapping[UUID, Webhook] = {}


NO_WEBHOOKS = Webhooks()


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision must know. `webhook`: the id of a new one; `sealed_secret`: a new one; `types`: names of events
    that there are."""

    webhook: UUID
    sealed_secret: str
    types: Collection[str]
    now: datetime


def decide(state: Webhooks, command: WebhookCommand, given: Surroundings) -> list[WebhookEvent]:
    """Raises InvalidValue, TooManyWebhooks, WebhookIsDisabled, WebhookNotFound."""
    if isinstance(command, DefineWebhook):
        return [_define(state, command, given)]
    id_ = command.webhook
    webhook = state.endpoints.get(id_)
    if webhook is None:
        raise WebhookNotFound(id_)
    match command:
        case ChangeWebhook():
            return _change(webhook, command, given)
        case RotateWebhookSecret(former_hours=hours):
            if not 0 <= hours <= FORMER_LIMIT:
                raise InvalidValue(f"A former secret signs for 0 to {FORMER_LIMIT} hours.", ("formerHours",))
            until = given.now + timedelta(hours=hours)
            return [WebhookSecretRotated(webhook=id_, sealed_secret=given.sealed_secret, former_until=until)]
        case EnableWebhook():
            return [] if webhook.disabled is None else [WebhookEnabled(webhook=id_)]
        case DisableWebhook():
            disabled = WebhookDisabled(webhook=id_, because=DisabledBecause.BY_HAND)
            return [] if webhook.disabled is not None else [disabled]
        case GiveWebhookUp(url=url, because=because):
            given_up = WebhookDisabled(webhook=id_, because=because)
            return [] if webhook.disabled is not None or webhook.url != url else [given_up]
        case ReplayWebhook(from_position=position):
            if not 1 <= position <= POSITION_LIMIT:
                raise InvalidValue("Positions begin with 1.", ("fromPosition",))
            if webhook.disabled is not None:
                raise WebhookIsDisabled
            return [WebhookReplayed(webhook=id_, from_position=position)]
        case TestWebhook():
            return [WebhookTested(webhook=id_)]
        case RetireWebhook():
            return [WebhookRetired(webhook=id_)]
        case _:
            assert_never(command)


def _define(state: Webhooks, command: DefineWebhook, given: Surroundings) -> WebhookDefined:
    if len(state.endpoints) >= ENDPOINTS_LIMIT:
        raise TooManyWebhooks(ENDPOINTS_LIMIT)
    return WebhookDefined(
        webhook=given.webhook,
        url=address(command.url),
        description=_description(command.description),
        types=_types(command.types, given),
        audience=command.audience,
        filter=_filter(command.filter),
        sealed_secret=given.sealed_secret,
    )


def _change(webhook: Webhook, command: ChangeWebhook, given: Surroundings) -> list[WebhookEvent]:
    events: list[WebhookEvent] = []
    id_ = command.webhook
    if command.url is not UNSET and (url := address(command.url)) != webhook.url:
        events.append(WebhookRedirected(webhook=id_, url=url))
    if command.description is not UNSET:
        description = _description(command.description)
        if description != webhook.description:
            events.append(WebhookDescribed(webhook=id_, description=description))
    types = webhook.types if command.types is UNSET else _types(command.types, given)
    audience = webhook.audience if command.audience is UNSET else command.audience
    filter_ = webhook.filter if command.filter is UNSET else _filter(command.filter)
    if (types, audience, filter_) != (webhook.types, webhook.audience, webhook.filter):
        events.append(WebhookNarrowed(webhook=id_, types=types, audience=audience, filter=filter_))
    return events


def address(url: str) -> str:
    """As it is asked for: in ASCII, without a name, a password or a fragment. Raises InvalidValue."""
    url = text.checked(url.strip(), "url")
    if len(url) > URL_LIMIT:
        raise InvalidValue(f"The address has more than {URL_LIMIT} characters.", ("url",))
    if any(c.isspace() or ord(c) < 32 or c == "\\" for c in url):
        raise InvalidValue("An address has no white space and no backslash.", ("url",))
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise InvalidValue("This is no address of the web.", ("url",)) from None
    if parts.scheme not in ("https", "http") or not host:
        raise InvalidValue("An address begins with https:// and a host.", ("url",))
    if parts.username is not None or parts.password is not None:
        raise InvalidValue("An address holds no name or password: verify the signature instead.", ("url",))
    if port == 0:
        raise InvalidValue("There is no port 0.", ("url",))
    return _ascii(parts, host, port)


def _ascii(parts: SplitResult, host: str, port: int | None) -> str:
    try:
        name = f"[{host}]" if ":" in host else host.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise InvalidValue("This host's name is none.", ("url",)) from None
    place = name if port is None else f"{name}:{port}"
    path, query = (quote(part, safe="/%:=&?~+!$,;'@()*[]-._") for part in (parts.path or "/", parts.query))
    return urlunsplit((parts.scheme, place, path, query, ""))


def _description(description: str | None) -> str | None:
    return None if description is None else text.line(description, "description", DESCRIPTION_LIMIT)


def _types(types: tuple[str, ...], given: Surroundings) -> tuple[str, ...]:
    unknown = sorted(set(types) - set(given.types))
    if unknown:
        raise InvalidValue(f"There are no events named {', '.join(unknown)[:200]}.", ("types",))
    return tuple(sorted(set(types)))


def _filter(filter_: WebhookFilter) -> WebhookFilter:
    """Keys and ids that are not there (yet) match nothing, which does no harm."""
    values = msgspec.structs.asdict(filter_)
    for name, several in values.items():
        if len(several) > WANTED_LIMIT:
            raise InvalidValue(f"At most {WANTED_LIMIT} of a kind can be named.", ("filter", name))
        for one in several:
            if isinstance(one, str):
                text.line(one, name)
    return WebhookFilter(**{name: tuple(sorted(set(several))) for name, several in values.items()})


def evolve(state: Webhooks | None, event: WebhookEvent, at: datetime) -> Webhooks:
    endpoints = (state or NO_WEBHOOKS).endpoints
    if isinstance(event, WebhookRetired):
        return Webhooks(endpoints={id_: one for id_, one in endpoints.items() if id_ != event.webhook})
    after = _defined(event) if isinstance(event, WebhookDefined) else _evolved(endpoints[event.webhook], event, at)
    return Webhooks(endpoints={**endpoints, event.webhook: after})


def _defined(event: WebhookDefined) -> Webhook:
    return Webhook(
        url=event.url,
        description=event.description,
        types=event.types,
        audience=event.audience,
        filter=event.filter,
        secrets=(Secret(event.sealed_secret),),
    )


_ToOne = (
    WebhookRedirected
    | WebhookDescribed
    | WebhookNarrowed
    | WebhookSecretRotated
    | WebhookEnabled
    | WebhookDisabled
    | WebhookReplayed
    | WebhookTested
)


def _evolved(webhook: Webhook, event: _ToOne, at: datetime) -> Webhook:
    match event:
        case WebhookRedirected(url=url):
            return replace(webhook, url=url)
        case WebhookDescribed(description=description):
            return replace(webhook, description=description)
        case WebhookNarrowed(types=types, audience=audience, filter=filter_):
            return replace(webhook, types=types, audience=audience, filter=filter_)
        case WebhookSecretRotated(sealed_secret=sealed, former_until=until):
            present, *former = webhook.secrets
            kept = [one for one in former if one.until is not None and one.until > at]
            former = [Secret(present.sealed, until), *kept][:FORMER_SECRETS]
            return replace(webhook, secrets=(Secret(sealed), *former))
        case WebhookEnabled():
            return replace(webhook, disabled=None)
        case WebhookDisabled(because=because):
            return replace(webhook, disabled=because)
        case WebhookReplayed(from_position=position):
            return replace(webhook, replays=webhook.replays + 1, replay_from=position)
        case WebhookTested():
            return replace(webhook, tests=webhook.tests + 1)
        case _:
            assert_never(event)
