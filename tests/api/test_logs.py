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
from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.application.recording import log as recorded

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


# ---- names of people


WHO = "Zarniza5b81"
"""Stands in every name and text that the test gives, and nowhere else in the world."""


def everything_done(admin: Client, claire: Client, person: str) -> None:
    """What a company does with a person, in words that name them."""
    said = f"{WHO} asks for it"
    admin.done("renamePerson", "person { id }", person=person, name=f"{WHO} Petrova", reason=said)
    team = admin.done("addTeam", "team { id }", key="web", name="Web")["id"]
    admin.done("joinTeam", "team { id }", team=team, person=person)
    firm = {"name": "Firm", "language": "en", "currency": "EUR", "timeZone": "UTC"}
    client = admin.done("addClient", "client { id }", **firm)["id"]
    admin.done("addContact", "client { id }", client=client, person=person)
    ticket = admin.open(f"For {WHO}", requester=person, description=said, fields={"door": WHO})["id"]
    admin.done("assignTicket", ticket=ticket, assignee=person, team=team)
    admin.done("transitionTicket", ticket=ticket, status="waiting", reason=said)
    admin.done("addComment", ticket=ticket, body=f"@{WHO}: {said}", mentions=[person])
    admin.done("watchTicket", ticket=ticket, person=person)
    work = {"startedAt": "2026-03-02T09:00:00Z", "seconds": 60, "comment": said, "onBehalfOf": person}
    admin.done("logWork", "workEntry { id }", ticket=ticket, **work)
    admin.done("setSensitive", ticket=ticket, sensitive=True)
    claire.open(f"{WHO} again", reason=said)
    admin.ask("query($q: String!) { search(query: $q) { nodes { ticket { title } } } }", q=WHO)
    admin.ask("{ people { nodes { name email } } tickets { nodes { title requester { name } } } }")
    admin.done("deactivatePerson", "person { id }", person=person)


def what_is_refused(admin: Client, person: str) -> None:
    admin.refused("assignTicket", ticket=admin.open(reason=WHO)["id"], assignee=person)  # who has left
    admin.send(f'{{ ticket(id: "{WHO}") {{ title }} }}')
    admin.send(f"{{ {WHO} }}")
    admin.send("query($q: String!) { search(query: $q) { nodes { nothing } } }", q=WHO)
    for path in (f"/attachments/{WHO}", f"/documents/{WHO}.pdf", f"/feed?after={WHO}", f"/{WHO}"):
        admin.http.get(path, headers={**admin.headers, "X-Forwarded-For": WHO})


def test_names_of_people_stand_in_no_event_metadata_or_line_of_the_log(
    told: Lines, server: Server, acme: Workspace, admin: Client, token: Callable[..., Client]
) -> None:
    claire = token(acme, Scope.REQUESTER, name=f"{WHO} Dubois")
    adding = {"name": WHO, "email": f"{WHO}@example.org"}
    person = admin.done("addPerson", "person { id }", **adding)["id"]
    everything_done(admin, claire, person)
    what_is_refused(admin, person)
    rows = recorded(server.database, f"workspace = '{acme.id}'")
    assert len({row["name"] for row in rows}) > 12
    found = [(row["name"], column) for row in rows for column, value in row.items() if stands_in(value)]
    assert found == [], "nor in what is recorded itself, where it is sealed"
    lines = [line for line in told() if line["logger"] != "httpx"]  # which is the test's own
    assert not [line for line in lines if stands_in(json.dumps(line))]


def stands_in(value: object) -> bool:
    text = value.decode(errors="replace") if isinstance(value, bytes) else str(value)
    return WHO.lower() in text.lower()
