"""Outgoing webhooks: what can be an address, how endpoints are kept, how their secrets change."""

from datetime import timedelta

import pytest

from domain import webhooks
from domain.errors import InvalidValue, TooManyWebhooks, WebhookIsDisabled, WebhookNotFound
from domain.webhooks import (
    ENDPOINTS_LIMIT,
    NO_FILTER,
    NO_WEBHOOKS,
    ChangeWebhook,
    DefineWebhook,
    DisabledBecause,
    DisableWebhook,
    EnableWebhook,
    GiveWebhookUp,
    ReplayWebhook,
    RetireWebhook,
    RotateWebhookSecret,
    Secret,
    Surroundings,
    TestWebhook,
    WebhookAudience,
    WebhookCommand,
    WebhookDefined,
    WebhookDescribed,
    WebhookDisabled,
    WebhookEnabled,
    WebhookEvent,
    WebhookFilter,
    WebhookNarrowed,
    WebhookRedirected,
    WebhookReplayed,
    WebhookRetired,
    Webhooks,
    WebhookSecretRotated,
    WebhookTested,
    address,
)
from tests.domain.given import ANNA, FIRST_LINE, NOW, Subject, an_id, hour

HOOK, OTHER = an_id(61), an_id(62)
GIVEN = Surroundings(webhook=HOOK, sealed_secret="sealed", types=("StatusChanged", "CommentAdded"), now=NOW)
DEFINED = WebhookDefined(
    webhook=HOOK,
    url="https://example.org/hooks",
    description=None,
    types=(),
    audience=WebhookAudience.PUBLIC,
    filter=NO_FILTER,
    sealed_secret="first",
)
BY_HAND = WebhookDisabled(webhook=HOOK, because=DisabledBecause.BY_HAND)

hooks: Subject[Webhooks, WebhookCommand, WebhookEvent] = Subject(
    lambda state, command: webhooks.decide(state or NO_WEBHOOKS, command, GIVEN), webhooks.evolve
)


def test_an_endpoint_is_defined() -> None:
    filter_ = WebhookFilter(teams=(FIRST_LINE,), tags=("b", "a", "b"))
    hooks.when(
        DefineWebhook(
            url=" https://Example.org/hooks ",
            description=" Учёт  часов ",
            types=("StatusChanged", "CommentAdded", "StatusChanged"),
            audience=WebhookAudience.STAFF,
            filter=filter_,
        )
    ).then(
        WebhookDefined(
            webhook=HOOK,
            url="https://example.org/hooks",
            description="Учёт часов",
            types=("CommentAdded", "StatusChanged"),
            audience=WebhookAudience.STAFF,
            filter=WebhookFilter(teams=(FIRST_LINE,), tags=("a", "b")),
            sealed_secret="sealed",
        )
    )


def test_an_endpoint_names_events_that_there_are_and_not_too_much() -> None:
    url = "https://example.org"
    hooks.when(DefineWebhook(url=url, types=("Nothing",))).refused(InvalidValue, "types")
    hooks.when(DefineWebhook(url=url, description=" ")).refused(InvalidValue, "description")
    many = WebhookFilter(tags=tuple(map(str, range(51))))
    hooks.when(DefineWebhook(url=url, filter=many)).refused(InvalidValue, "filter", "tags")


def test_a_workspace_has_a_limited_number_of_endpoints() -> None:
    full = hooks.given(
        *(
            WebhookDefined(
                webhook=an_id(100 + n),
                url="https://example.org/",
                description=None,
                types=(),
                audience=WebhookAudience.PUBLIC,
                filter=NO_FILTER,
                sealed_secret="x",
            )
            for n in range(ENDPOINTS_LIMIT)
        )
    )
    full.when(DefineWebhook(url="https://example.org")).refused(TooManyWebhooks)
    full.when(RetireWebhook(webhook=an_id(100))).then(WebhookRetired(webhook=an_id(100)))


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://example.org", "https://example.org/"),
        ("HTTPS://EXAMPLE.org:8443/a%20b?c=d#e", "https://example.org:8443/a%20b?c=d"),
        ("https://пример.рф/путь", "https://xn--e1afmkfd.xn--p1ai/%D0%BF%D1%83%D1%82%D1%8C"),
        ("http://[::1]:80/", "http://[::1]:80/"),
    ],
)
def test_an_address_is_kept_as_it_is_asked_for(url: str, kept: str) -> None:
    assert address(url) == kept


@pytest.mark.parametrize(
    "url",
    [
        *("", "example.org", "ftp://example.org", "https://", "https:///path", "javascript:alert(1)"),
        *("https://user@example.org", "https://user:secret@example.org", "https://exa mple.org"),
        *("https://example.org\\@evil.org", "https://example.org/\r\nHost: evil", "https://example.org:0"),
        *("https://example.org:99999", "https://[::1", "https://" + "a" * 64 + ".org", "https://e.org/" + "x" * 2_000),
    ],
)
def test_what_is_no_address_of_the_web_is_refused(url: str) -> None:
    hooks.when(DefineWebhook(url=url)).refused(InvalidValue, "url")
    hooks.given(DEFINED).when(ChangeWebhook(webhook=HOOK, url=url)).refused(InvalidValue, "url")


def test_an_endpoint_is_changed_where_something_differs() -> None:
    known = hooks.given(DEFINED)
    known.when(ChangeWebhook(webhook=HOOK)).nothing()
    known.when(ChangeWebhook(webhook=HOOK, url="https://example.org/hooks", description=None, types=())).nothing()
    filter_ = WebhookFilter(requesters=(ANNA,))
    known.when(
        ChangeWebhook(
            webhook=HOOK,
            url="https://example.org/2",
            description="New",
            types=("StatusChanged",),
            audience=WebhookAudience.STAFF,
            filter=filter_,
        )
    ).then(
        WebhookRedirected(webhook=HOOK, url="https://example.org/2"),
        WebhookDescribed(webhook=HOOK, description="New"),
        WebhookNarrowed(webhook=HOOK, types=("StatusChanged",), audience=WebhookAudience.STAFF, filter=filter_),
    )


def test_an_endpoint_is_disabled_and_enabled() -> None:
    known = hooks.given(DEFINED)
    known.when(EnableWebhook(webhook=HOOK)).nothing()
    known.when(DisableWebhook(webhook=HOOK)).then(BY_HAND)
    disabled = hooks.given(DEFINED, BY_HAND)
    disabled.when(DisableWebhook(webhook=HOOK)).nothing()
    disabled.when(EnableWebhook(webhook=HOOK)).then(WebhookEnabled(webhook=HOOK))
    disabled.when(TestWebhook(webhook=HOOK)).then(WebhookTested(webhook=HOOK))
    disabled.when(ReplayWebhook(webhook=HOOK, from_position=1)).refused(WebhookIsDisabled, "webhook")


def test_an_endpoint_is_given_up_unless_it_was_moved_meanwhile() -> None:
    gone = DisabledBecause.GONE
    give_up = GiveWebhookUp(webhook=HOOK, url=DEFINED.url, because=gone)
    hooks.given(DEFINED).when(give_up).then(WebhookDisabled(webhook=HOOK, because=gone))
    hooks.given(DEFINED, BY_HAND).when(give_up).nothing()
    hooks.given(DEFINED, WebhookRedirected(webhook=HOOK, url="https://example.org/2")).when(give_up).nothing()


def test_an_endpoint_is_told_again_and_tested() -> None:
    known = hooks.given(DEFINED)
    known.when(ReplayWebhook(webhook=HOOK, from_position=7)).then(WebhookReplayed(webhook=HOOK, from_position=7))
    known.when(ReplayWebhook(webhook=HOOK, from_position=0)).refused(InvalidValue, "fromPosition")
    known.when(TestWebhook(webhook=HOOK)).then(WebhookTested(webhook=HOOK))


@pytest.mark.parametrize(
    "command",
    [
        ChangeWebhook(webhook=OTHER),
        RotateWebhookSecret(webhook=OTHER),
        EnableWebhook(webhook=OTHER),
        DisableWebhook(webhook=OTHER),
        GiveWebhookUp(webhook=OTHER, url="", because=DisabledBecause.GONE),
        ReplayWebhook(webhook=OTHER, from_position=1),
        TestWebhook(webhook=OTHER),
        RetireWebhook(webhook=OTHER),
    ],
    ids=lambda command: type(command).__name__,
)
def test_an_endpoint_that_is_not_there_or_was_retired_takes_no_command(command: WebhookCommand) -> None:
    hooks.given(DEFINED).when(command).refused(WebhookNotFound, "webhook")
    defined = WebhookDefined(
        webhook=OTHER,
        url=DEFINED.url,
        description=None,
        types=(),
        audience=WebhookAudience.PUBLIC,
        filter=NO_FILTER,
        sealed_secret="x",
    )
    hooks.given(defined, WebhookRetired(webhook=OTHER)).when(command).refused(WebhookNotFound, "webhook")


def test_a_former_secret_signs_for_the_time_that_was_said() -> None:
    known = hooks.given(DEFINED)
    rotated = WebhookSecretRotated(webhook=HOOK, sealed_secret="sealed", former_until=NOW + timedelta(hours=24))
    known.when(RotateWebhookSecret(webhook=HOOK)).then(rotated)
    for hours in (-1, 169):
        known.when(RotateWebhookSecret(webhook=HOOK, former_hours=hours)).refused(InvalidValue, "formerHours")


def test_former_secrets_are_forgotten_when_their_time_is_over() -> None:
    def rotated(sealed: str, until: int) -> WebhookSecretRotated:
        return WebhookSecretRotated(webhook=HOOK, sealed_secret=sealed, former_until=hour(until))

    state = webhooks.evolve(None, DEFINED, hour(0))
    state = webhooks.evolve(state, rotated("second", 5), hour(1))
    state = webhooks.evolve(state, rotated("third", 9), hour(2))
    assert state.endpoints[HOOK].secrets == (Secret("third"), Secret("second", hour(9)), Secret("first", hour(5)))
    state = webhooks.evolve(state, rotated("fourth", 9), hour(6))
    assert state.endpoints[HOOK].secrets == (Secret("fourth"), Secret("third", hour(9)), Secret("second", hour(9)))
    for n in range(5):
        state = webhooks.evolve(state, rotated(f"more {n}", 20), hour(7))
    assert len(state.endpoints[HOOK].secrets) == 4
