"""The log: one shape, no flood, nothing that people wrote."""

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import logs
from api.settings import BadSetting
from application.event_store.database import Database, Role
from tests.api.asking import Client
from tests.api.conftest import Server

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def told() -> Iterator[Lines]:
    """What our log says meanwhile, as JSON."""
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(logs.Json())
    handler.addFilter(logs.OfRequest())
    handler.addFilter(logs.Repeats())
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    root.removeHandler(handler)
    root.setLevel(level)


log = logging.getLogger("proteus.test")


def fail(kind: type[Exception] = ZeroDivisionError, message: str = "x") -> None:
    try:
        raise kind(message)
    except kind:
        log.exception("it failed")


def test_a_line_says_when_how_bad_where_and_what(told: Lines) -> None:
    log.info("Принтер %s", "горит")
    [line] = told()
    assert list(line) == ["time", "level", "logger", "message"]
    assert line["time"].endswith("Z")
    assert (line["level"], line["logger"], line["message"]) == ("INFO", "proteus.test", "Принтер горит")


@given(st.text(), st.text())
def test_a_line_is_one_line_of_json_whatever_is_told(message: str, operation: str) -> None:
    record = log.makeRecord("x", logging.INFO, "x", 1, message, (), None, extra={"operation": operation})
    try:
        line = logs.Json().format(record)
    except UnicodeEncodeError:
        pytest.fail("a text that is no UTF-8")
    assert "\n" not in line
    assert msgspec.json.decode(line)["level"] == "INFO"


def test_what_fails_again_and_again_is_told_once(told: Lines) -> None:
    for _ in range(1000):
        fail()
    [line] = told()
    assert "ZeroDivisionError" in line["exception"]
    fail(KeyError)
    assert len(told()) == 2, "another failure is told"


def test_what_still_fails_after_a_minute_is_told_with_a_count() -> None:
    repeats, failure = logs.Repeats(), ("engine", "connection lost")
    assert [repeats._repeated(failure, n * logs.QUIET_SECONDS / 1000) for n in range(1000)] == [0, *[None] * 999]
    assert repeats._repeated(failure, logs.QUIET_SECONDS) == 999
    assert repeats._repeated(failure, 3 * logs.QUIET_SECONDS) == 0


def test_the_failures_that_are_remembered_are_bounded() -> None:
    repeats = logs.Repeats()
    assert [repeats._repeated((n,), 0.0) for n in range(2 * logs.KNOWN_FAILURES)] == [0] * 2 * logs.KNOWN_FAILURES
    assert len(repeats._known) == logs.KNOWN_FAILURES


def test_every_internal_error_that_a_client_was_told_of_is_in_the_log(
    told: Lines, agent: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("projections.directory.workspace", broken)
    ids = [agent.send("{ me { workspace { key } } }")["errors"][0]["extensions"]["traceId"] for _ in range(3)]
    lines = [line for line in told() if line["level"] == "ERROR"]
    assert [line["trace_id"] for line in lines] == ids
    assert ["exception" in line for line in lines] == [True, False, False]


def test_a_request_is_logged_by_its_name_and_outcome_and_nothing_else(
    told: Lines, server: Server, agent: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: -1.0)
    query = 'query Finds($t: String!) { tickets(search: $t, filter: {title: {eq: "Мария"}}) { totalCount } }'
    body = {"query": query, "variables": {"t": "the secret plan"}}
    headers = {**agent.headers, "X-Request-ID": "from-a-proxy.1"}
    answer = server.http.post("/graphql", json=body, headers=headers)
    assert answer.headers["X-Request-ID"] == "from-a-proxy.1"
    [line] = [line for line in told() if line["message"] == "request"]
    assert (line["operation"], line["kind"], line["code"], line["status"]) == ("Finds", "query", "OK", 200)
    assert line["request_id"] == "from-a-proxy.1"
    assert line["duration_ms"] > 0
    assert len(line["trace_id"]) == 32
    text = json.dumps(told(), ensure_ascii=False)
    for secret in ("the secret plan", "Мария", agent.secret):
        assert secret not in text


def test_requests_are_not_logged_unless_asked_for(told: Lines, agent: Client) -> None:
    agent.ask("{ me { scopes } }")
    assert not [line for line in told() if line["message"] == "request"]


def test_what_postgresql_quotes_of_our_rows_is_not_told(told: Lines, database: Database) -> None:
    written = " ".join(("the", "secret", "plan"))  # a traceback shows lines of code
    with database.connect(Role.READER) as connection:
        try:
            connection.execute("select %s::text::uuid", (written,))
        except psycopg.Error:
            log.exception("it failed")
    [line] = told()
    assert "SQLSTATE 22P02" in line["exception"]
    assert "secret plan" not in json.dumps(line)


def test_on_a_terminal_it_is_words() -> None:
    record = log.makeRecord("x", logging.INFO, "x", 1, "request", (), None, extra={"operation": "Board", "status": 200})
    assert logs.Text().format(record).endswith(" INFO x: request operation=Board status=200")


@pytest.mark.parametrize("variable", [logs.LEVEL_VARIABLE, logs.FORMAT_VARIABLE])
def test_a_setting_that_is_none_is_told(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "loud")
    with pytest.raises(BadSetting, match=f"{variable} is one of"):
        logs.configuration()
