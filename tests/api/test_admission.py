"""Who is let in when too many come."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar import Litestar
from litestar.testing import TestClient

from api import admission
from api.admission import Rates
from api.app import application
from api.settings import BadSetting
from application.tokens import issue_token
from application.workspaces import Workspace, operator
from domain.access import Scope
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.application.recording import at_once

ME = "{ me { scopes } }"


@pytest.fixture
def served(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., TestClient[Litestar]]]:
    """Makes a server with other limits, on the same database."""
    opened: list[TestClient[Litestar]] = []

    def make(**variables: str) -> TestClient[Litestar]:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        http = TestClient(application(server.database, "https://tickets.example"))
        http.__enter__()
        opened.append(http)
        return http

    yield make
    for http in opened:
        http.__exit__()


@pytest.fixture
def secrets_of_two(server: Server, acme: Workspace) -> list[str]:
    actor = operator(acme.id)
    return [
        issue_token(server.database, acme.id, actor.person, [Scope.ADMIN], "test", timedelta(days=1)) for _ in range(2)
    ]


def test_a_token_that_sends_too_fast_is_told_when_to_come_again(
    served: Callable[..., TestClient[Litestar]], secrets_of_two: list[str]
) -> None:
    http = served(PROTEUS_TOKEN_RATE="0.01")
    one, other = (Client(http, secret) for secret in secrets_of_two)
    assert one.send(ME)["data"]
    refused = http.post("/graphql", json={"query": ME}, headers=one.headers)
    assert refused.status_code == 429
    [error] = refused.json()["errors"]
    assert error["extensions"] == {"code": "RATE_LIMITED", "retryAfter": 100}
    assert refused.headers["Retry-After"] == "100"
    assert other.send(ME)["data"], "another token has a rate of its own"
    assert http.get("/health/live").status_code == 200


def test_more_requests_than_there_are_places_are_turned_away_at_once(
    served: Callable[..., TestClient[Litestar]], secrets_of_two: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    http = served(PROTEUS_MAX_REQUESTS="2", PROTEUS_TOKEN_RATE="0")
    waiting, goes_on = threading.Event(), threading.Event()

    async def slow(*_: object) -> None:
        waiting.set()
        await asyncio.to_thread(goes_on.wait, 30)

    monkeypatch.setattr("projections.directory.workspace", slow)
    one, other = (Client(http, secret) for secret in secrets_of_two)
    asked = "{ me { workspace { key } } }"

    def turned_away(client: Client) -> None:
        assert waiting.wait(30)
        [error] = client.send(ME)["errors"]
        assert error["extensions"]["code"] == "RATE_LIMITED"
        assert 1 <= error["extensions"]["retryAfter"] <= admission.RETRY_SECONDS
        assert other.send(ME)["data"], "one token has half of the places"
        goes_on.set()

    _, error = at_once([lambda: one.send(asked), lambda: turned_away(one)])
    assert error is None
    assert one.send(ME)["data"], "the place is free again"


@pytest.mark.parametrize("variable", ["PROTEUS_MAX_REQUESTS", "PROTEUS_TOKEN_RATE", "PROTEUS_LOG_REQUESTS"])
def test_a_limit_that_is_no_number_is_told(variable: str, served: Callable[..., TestClient[Litestar]]) -> None:
    for text in ("many", "-1", "nan"):
        with pytest.raises(BadSetting, match=f"{variable} is a number from"):
            served(**{variable: text})


# ---- the token bucket


@given(st.lists(st.floats(0, 10), min_size=1, max_size=200), st.integers(1, 20), st.integers(1, 20))
def test_a_token_never_gets_more_than_its_burst_and_its_rate(pauses: list[float], rate: int, burst: int) -> None:
    rates, now, admitted = Rates(rate, burst), 0.0, 0
    for pause in pauses:
        now += pause
        wait = rates.take(b"token", now)
        assert wait >= 0
        admitted += not wait
        assert admitted <= burst + rate * now + 1e-6


@given(st.integers(1, 50), st.integers(1, 50))
def test_who_waits_as_long_as_was_said_is_let_in(rate: int, burst: int) -> None:
    rates = Rates(rate, burst)
    waits = [rates.take(b"token", 0.0) for _ in range(burst + 1)]
    assert not any(waits[:burst])
    assert rates.take(b"token", waits[burst] + 1e-9) == 0


def test_tokens_are_forgotten_rather_than_kept_without_end() -> None:
    rates = Rates(1, 1, known=3)
    assert [rates.take(bytes([n]), 0.0) for n in range(10)] == [0.0] * 10
    assert rates.take(bytes([9]), 0.0) > 0
    assert len(rates._buckets) == 3
