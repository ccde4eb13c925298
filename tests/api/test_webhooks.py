"""Outgoing webhooks: kept by administrators, signed, delivered in order to a real server, again where it fails."""

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from litestar.testing import TestClient
from prometheus_client import REGISTRY
from standardwebhooks.webhooks import Webhook as Verifier

from api.app import application
from api.ids import Kind, decode
from api.serving import following
from api.webhook_delivery import Settings, delivering
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database, Role
from application.event_store.follower import Deposed
from application.event_store.streams import EventStore
from application.tokens import issue_token
from application.transfers import arrived, export_workspace, import_workspace
from application.webhook_networks import Networks, networks
from application.workspaces import Workspace, create_workspace, operator
from domain.access import Scope
from projections import webhook_deliveries
from projections.rebuild import rebuild_all
from projections.registry import PROJECTIONS
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.receiving import PATIENCE, Received, Receiver, receiving
from tests.application.recording import insertion, writer
from tests.conftest import fresh_database

WEBHOOK = """webhook { id url description types audience state disabledBecause failingSince nextAttemptAt deliveredTo
  formerSecretUntil filter { workflows roles teams services requesters tags } }"""
DELIVERIES = """query($w: ID!) { webhookDeliveries(webhook: $w, last: 100) { totalCount nodes {
  message type position delivered attempts statusCode trouble seconds nextAttemptAt } } }"""
LOCAL = Networks(allowed=networks("127.0.0.0/8"))
AT_ONCE = Settings(networks=LOCAL, schedule=(0.0,) * 8, seconds=10)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


@pytest.fixture(autouse=True)
def _local(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The API lets its administrators name addresses of this machine, as the delivery does."""
    monkeypatch.setattr(server.http.app.state.runtime, "networks", AT_ONCE.networks)


def define(admin: Client, receiver: Receiver | str, **more: Any) -> tuple[str, str]:
    """Its id and its secret."""
    url = receiver if isinstance(receiver, str) else receiver.url
    payload = admin.command("defineWebhook", f"{WEBHOOK} secret", url=url, **more)
    assert payload["userErrors"] == []
    return payload["webhook"]["id"], payload["secret"]


def deliveries(admin: Client, webhook: str) -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = admin.ask(DELIVERIES, w=webhook)["nodes"]
    return nodes


def state(admin: Client, webhook: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        one for one in admin.ask(f"{{ webhooks {{ id {WEBHOOK[10:]} }}") if one["id"] == webhook
    ]
    return found[0]


def eventually(look: Callable[[], Any], wanted: Callable[[Any], bool]) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not wanted(found := look()):
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    return found


# ---- keeping them


def test_an_endpoint_is_defined_and_its_secret_shown_once(admin: Client) -> None:
    command = "11111111-2222-4333-8444-555555555555"
    input: dict[str, Any] = {
        "url": "https://пример.рф/хук",
        "description": "Учёт часов",
        "types": ["StatusChanged"],
        "audience": "STAFF",
        "filter": {"workflows": ["support"], "tags": ["b", "a"]},
        "commandId": command,
    }
    payload = admin.command("defineWebhook", f"{WEBHOOK} secret", **input)
    assert payload["userErrors"] == []
    webhook = payload["webhook"]
    assert payload["secret"].startswith("whsec_")
    assert webhook["url"] == "https://xn--e1afmkfd.xn--p1ai/%D1%85%D1%83%D0%BA"
    assert (webhook["description"], webhook["types"], webhook["audience"]) == ("Учёт часов", ["StatusChanged"], "STAFF")
    assert webhook["state"] == "ENABLED"
    assert webhook["filter"] == {
        "workflows": ["support"],
        "roles": [],
        "teams": [],
        "services": [],
        "requesters": [],
        "tags": ["a", "b"],
    }
    again = admin.command("defineWebhook", f"{WEBHOOK} secret", **input)
    assert (again["replayed"], again["secret"], again["webhook"]["id"]) == (True, None, webhook["id"])
    assert [one["id"] for one in admin.ask("{ webhooks { id } }")] == [webhook["id"]]
    assert admin.ask("query($w: ID!) { node(id: $w) { ... on Webhook { url } } }", w=webhook["id"]) == {
        "url": webhook["url"]
    }


def test_secrets_stand_nowhere_in_plain(server: Server, admin: Client) -> None:
    _, secret = define(admin, "https://example.org")
    events = json.dumps(admin.ask('{ events(types: ["WebhookDefined"]) { nodes { data changes { to } } } }'))
    assert "sealed_secret" in events
    assert secret not in events
    assert secret.removeprefix("whsec_") not in events


def test_an_endpoint_is_changed_disabled_enabled_and_retired(admin: Client) -> None:
    webhook, _ = define(admin, "https://example.org")
    changed = admin.done("changeWebhook", WEBHOOK, webhook=webhook, url="https://example.org/2", description="Two")
    assert (changed["url"], changed["description"], changed["audience"]) == ("https://example.org/2", "Two", "PUBLIC")
    assert admin.done("changeWebhook", WEBHOOK, webhook=webhook, description=None)["description"] is None
    disabled = admin.done("disableWebhook", WEBHOOK, webhook=webhook)
    assert (disabled["state"], disabled["disabledBecause"]) == ("DISABLED", "BY_HAND")
    assert admin.refused("replayWebhook", webhook=webhook, fromPosition="1") == ("WEBHOOK_DISABLED", ["webhook"])
    assert admin.done("enableWebhook", WEBHOOK, webhook=webhook)["state"] == "ENABLED"
    assert admin.command("retireWebhook", WEBHOOK, webhook=webhook)["webhook"] is None
    assert admin.ask("{ webhooks { id } }") == []
    for mutation, more in MUTATIONS.items():
        assert admin.refused(mutation, webhook=webhook, **more) == ("WEBHOOK_NOT_FOUND", ["webhook"])
        assert admin.refused(mutation, webhook="nothing", **more) == ("WEBHOOK_NOT_FOUND", ["webhook"])


MUTATIONS: dict[str, dict[str, Any]] = {
    "changeWebhook": {},
    "rotateWebhookSecret": {},
    "enableWebhook": {},
    "disableWebhook": {},
    "replayWebhook": {"fromPosition": "1"},
    "testWebhook": {},
    "retireWebhook": {},
}


def test_what_an_endpoint_cannot_be_is_refused(admin: Client, monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    for url in ("example.org", "ftp://example.org", "https://a:b@example.org", "http://10.0.0.1/", "https://[::1]/"):
        assert admin.refused("defineWebhook", url=url) == ("INVALID_VALUE", ["url"]), url
    good = "https://example.org"
    assert admin.refused("defineWebhook", url=good, types=["No"]) == ("INVALID_VALUE", ["types"])
    assert admin.refused("defineWebhook", url=good, filter={"teams": ["x"]}) == ("INVALID_VALUE", ["filter", "teams"])
    webhook, _ = define(admin, good)
    assert admin.refused("changeWebhook", webhook=webhook, url="https://10.0.0.1") == ("INVALID_VALUE", ["url"])
    refused = admin.refused("rotateWebhookSecret", webhook=webhook, formerHours=169)
    assert refused == ("INVALID_VALUE", ["formerHours"])
    assert admin.refused("replayWebhook", webhook=webhook, fromPosition="0") == ("INVALID_VALUE", ["fromPosition"])
    monkeypatch.setattr(server.http.app.state.runtime, "networks", Settings().networks)
    assert admin.refused("defineWebhook", url="http://example.org") == ("INVALID_VALUE", ["url"])
    for _ in range(19):
        define(admin, good)
    assert admin.refused("defineWebhook", url=good) == ("LIMIT_REACHED", None)


def test_webhooks_are_for_administrators_and_seen_by_auditors(
    acme: Workspace, admin: Client, token: Callable[..., Client]
) -> None:
    webhook, _ = define(admin, "https://example.org/?key=half")
    auditor = token(acme, Scope.AUDITOR)
    assert [one["id"] for one in auditor.ask("{ webhooks { id } }")] == [webhook]
    told = 'query($p: Position) { events(types: ["WebhookDefined"], minPosition: $p) { nodes { type } } }'
    assert len(auditor.ask(told)["nodes"]) == 1
    for scope in (Scope.AGENT, Scope.MANAGER, Scope.REQUESTER):
        other = token(acme, scope)
        assert other.codes("{ webhooks { id } }") == ["FORBIDDEN"]
        assert other.codes(DELIVERIES, w=webhook) == ["FORBIDDEN"]
        assert other.ask("query($w: ID!) { node(id: $w) { id } }", w=webhook) is None
        assert other.ask(told)["nodes"] == []
        for mutation, more in MUTATIONS.items():
            assert other.refused(mutation, webhook=webhook, **more) == ("FORBIDDEN", None)
        assert other.refused("defineWebhook", url="https://example.org") == ("FORBIDDEN", None)


def test_webhooks_of_another_workspace_are_not_there(
    admin: Client, server: Server, token: Callable[..., Client]
) -> None:
    webhook, _ = define(admin, "https://example.org")
    other = token(create_workspace(server.database, server.store, f"other{time.time_ns()}", "Other"), Scope.ADMIN)
    assert other.ask("{ webhooks { id } }") == []
    assert other.codes(DELIVERIES, w=webhook) == ["NOT_FOUND"]
    assert other.refused("testWebhook", webhook=webhook) == ("WEBHOOK_NOT_FOUND", ["webhook"])


# ---- delivering


def test_events_are_told_in_order_and_signed(server: Server, admin: Client, receiver: Receiver) -> None:
    admin.open("Before")
    webhook, secret = define(admin, receiver, types=["TicketOpened", "CommentAdded"], audience="STAFF")
    with delivering(server.database, AT_ONCE):
        ticket = admin.open("Принтер горит")
        for n in range(5):
            admin.done("addComment", ticket=ticket["id"], body=f"№ {n}", visibility="INTERNAL")
        admin.done("setPriority", ticket=ticket["id"], priority="HIGH")
        got = receiver.wait_for(6)
        verifier = Verifier(secret)
        for message in got:
            assert message.signed_with(secret)
            assert verifier.verify(message.raw.decode(), message.headers) == message.body
            assert message.headers["content-type"] == "application/json"
            assert abs(message.timestamp - datetime.now(UTC).timestamp()) < 300
        assert [one.type for one in got] == ["TicketOpened"] + ["CommentAdded"] * 5
        first = got[0].body
        assert first["data"]["ticket"] == {"id": ticket["id"], "key": ticket["key"]}
        log = eventually(lambda: deliveries(admin, webhook), lambda found: len(found) == 6)
    assert [one["message"] for one in log] == [one.id for one in got]
    assert {(one["delivered"], one["attempts"], one["statusCode"], one["trouble"]) for one in log} == {
        (True, 1, 200, None)
    }
    assert int(state(admin, webhook)["deliveredTo"]) == got[-1].position


def test_an_event_is_told_as_graphql_shows_it(server: Server, admin: Client, receiver: Receiver) -> None:
    define(admin, receiver, audience="STAFF", types=["TicketAssigned"])
    query = """{ events(types: ["TicketAssigned"]) { nodes { id position version type ticket { id key } occurredAt
      recordedAt actor { id } onBehalfOf { id } channel source reason commandId correlationId causationId
      changes { path from to } data } } }"""
    with delivering(server.database, AT_ONCE):
        ticket = admin.open()
        admin.done("assignTicket", ticket=ticket["id"], assignee=admin.person, reason="Он знает")
        [message] = receiver.wait_for(1)
    [shown] = admin.ask(query)["nodes"]
    shown["source"] = None  # token and address of a colleague leave the house with nobody
    assert message.body == {"type": "TicketAssigned", "timestamp": shown["occurredAt"], "data": shown}


def test_the_public_view_shows_what_requesters_may_see(server: Server, admin: Client, receiver: Receiver) -> None:
    define(admin, receiver)
    with delivering(server.database, AT_ONCE):
        admin.person_named("Nobody's business")
        parent = admin.open("Parent")
        child = admin.open("Child", parent=parent["id"], reason="secret reason")
        body = {"ticket": child["id"], "visibility": "INTERNAL"}
        admin.done("addComment", body="secret comment", **body)
        admin.done("addComment", ticket=child["id"], body="public", visibility="PUBLIC")
        got = receiver.wait_for(3)
    assert [one.type for one in got] == ["TicketOpened", "TicketOpened", "CommentAdded"]
    text = b"".join(one.raw for one in got)
    for hidden in (b"secret reason", b"secret comment", b"Nobody", parent["id"].encode() + b'","to'):
        assert hidden not in text
    assert "parent" not in got[1].body["data"]["data"]
    assert [change["path"] for change in got[1].body["data"]["changes"] if change["path"] == "parent"] == []


def test_a_filter_names_tickets_that_come_stand_and_leave(server: Server, admin: Client, receiver: Receiver) -> None:
    team = admin.done("addTeam", "team { id }", key="first", name="First")["id"]
    define(admin, receiver, filter={"teams": [team], "roles": ["INCIDENT", "TASK"]})
    with delivering(server.database, AT_ONCE):
        ticket = admin.open("Elsewhere")
        admin.open("Of another team")
        admin.done("assignTicket", ticket=ticket["id"], team=team)
        admin.done("setPriority", ticket=ticket["id"], priority="HIGH")
        admin.done("assignTicket", ticket=ticket["id"], team=None)
        admin.done("setPriority", ticket=ticket["id"], priority="LOW")
        admin.open("Theirs", team=team)
        got = receiver.wait_for(4)
    assert [one.type for one in got][:3] == ["TeamAssigned", "PriorityChanged", "TeamUnassigned"]
    assert [one.body["data"]["ticket"]["id"] == ticket["id"] for one in got] == [True, True, True, False]


# ---- failing


def test_what_fails_is_sent_again_and_nothing_passes_it(server: Server, admin: Client, receiver: Receiver) -> None:
    refusals = iter([500, 302, 404, 200, 503, 200])
    receiver.answer = lambda n, message: next(refusals, 200)
    receiver.headers = {"location": "http://127.0.0.1:9/"}
    webhook, _ = define(admin, receiver, types=["TicketOpened"])
    with delivering(server.database, AT_ONCE):
        for n in range(3):
            admin.open(f"№ {n}")
        got = receiver.wait_for(7)
        log = eventually(lambda: deliveries(admin, webhook), lambda found: len(found) == 3 and found[-1]["delivered"])
    positions = [one.position for one in got]
    assert positions == sorted(positions)
    assert [positions.count(one) for one in dict.fromkeys(positions)] == [4, 2, 1]
    assert len({one.id for one in got}) == 3, "the same message however often it is sent"
    assert [(one["attempts"], one["delivered"]) for one in log] == [(4, True), (2, True), (1, True)]


def test_an_endpoint_that_fails_says_so_and_when_it_is_tried_again(
    server: Server, admin: Client, receiver: Receiver
) -> None:
    receiver.answer = lambda n, message: 500
    webhook, _ = define(admin, receiver, types=["TicketOpened"])
    with delivering(server.database, Settings(networks=LOCAL, schedule=(3_600.0,))):
        opened = admin.open()
        failing = eventually(lambda: state(admin, webhook), lambda one: one["state"] == "FAILING")
        assert failing["failingSince"] is not None
        assert failing["nextAttemptAt"] > datetime.now(UTC).isoformat()
        assert int(failing["deliveredTo"]) < int(opened["position"])
        [tried] = deliveries(admin, webhook)
        assert (tried["delivered"], tried["statusCode"], tried["trouble"]) == (False, 500, "REFUSED")
        receiver.answer = lambda n, message: 200
        admin.done("testWebhook", WEBHOOK, webhook=webhook)  # a test that is taken brings the rest at once
        got = receiver.wait_for(3)
        assert [one.type for one in got] == ["TicketOpened", "WebhookTested", "TicketOpened"]
        eventually(lambda: state(admin, webhook), lambda one: one["state"] == "ENABLED")


def test_an_endpoint_is_disabled_when_nothing_helps_and_goes_on_where_it_stopped(
    server: Server, admin: Client, receiver: Receiver
) -> None:
    receiver.answer = lambda n, message: 500
    webhook, _ = define(admin, receiver, types=["TicketOpened"])
    with delivering(server.database, Settings(networks=LOCAL, schedule=(0.0, 0.0))):
        first = admin.open("First")
        disabled = eventually(lambda: state(admin, webhook), lambda one: one["state"] == "DISABLED")
        assert disabled["disabledBecause"] == "FAILING"
        admin.open("Second")
        assert len(receiver.got) == 3
        receiver.answer = lambda n, message: 200
        admin.done("enableWebhook", WEBHOOK, webhook=webhook)
        got = receiver.wait_for(5)
    assert [one.position for one in got][:4] == [int(first["position"])] * 4
    log = eventually(lambda: deliveries(admin, webhook), lambda found: len(found) == 2)
    assert [(one["attempts"], one["delivered"]) for one in log] == [(1, True), (1, True)]


def test_gone_disables_at_once(server: Server, admin: Client, receiver: Receiver) -> None:
    receiver.answer = lambda n, message: 410
    webhook, _ = define(admin, receiver)
    with delivering(server.database, AT_ONCE):
        admin.open()
        disabled = eventually(lambda: state(admin, webhook), lambda one: one["state"] == "DISABLED")
    assert disabled["disabledBecause"] == "GONE"
    assert len(receiver.got) == 1
    event = admin.ask('{ events(types: ["WebhookDisabled"]) { nodes { data channel } } }')["nodes"][0]
    assert (event["data"]["because"], event["channel"]) == ("GONE", "webhooks")


def test_a_slow_endpoint_holds_up_no_other(server: Server, admin: Client, receiver: Receiver) -> None:
    with receiving() as fast:
        held = threading.Event()
        receiver.answer = lambda n, message: 200 if held.wait(PATIENCE) else 500
        define(admin, receiver, types=["TicketOpened"])
        define(admin, fast, types=["TicketOpened"])
        with delivering(server.database, Settings(networks=LOCAL, seconds=PATIENCE)):
            for n in range(5):
                admin.open(f"№ {n}")
            fast.wait_for(5)
            assert len(receiver.got) == 1
            held.set()
            assert len(receiver.wait_for(5)) == 5


def test_what_was_not_taken_is_tried_again_after_a_restart(server: Server, admin: Client, receiver: Receiver) -> None:
    receiver.answer = lambda n, message: 500
    webhook, _ = define(admin, receiver, types=["TicketOpened"])
    with delivering(server.database, Settings(networks=LOCAL, schedule=(1.0, 3_600.0))):
        admin.open("First")
        admin.open("Second")
        [tried] = eventually(lambda: deliveries(admin, webhook), lambda found: len(found) == 1)
        assert tried["nextAttemptAt"] is not None
    receiver.answer = lambda n, message: 200
    with delivering(server.database, AT_ONCE):
        got = receiver.wait_for(3)
        log = eventually(lambda: deliveries(admin, webhook), lambda found: len(found) == 2)
    assert got[0].id == got[1].id != got[2].id
    assert [(one["attempts"], one["delivered"]) for one in log] == [(2, True), (1, True)]


def a_day_later(server: Server, webhook: str) -> None:
    """The next attempt is due."""
    with server.database.connect(Role.PROJECTOR) as connection:
        connection.execute(
            "update webhook_cursor set next_attempt_at = clock_timestamp() where webhook = %s",
            (decode(webhook, Kind.WEBHOOK),),
        )


def test_attempts_go_on_for_days_over_restarts_and_are_counted_once(
    server: Server, admin: Client, receiver: Receiver
) -> None:
    receiver.answer = lambda n, message: 500
    webhook, _ = define(admin, receiver, types=["TicketOpened"])
    daily = Settings(networks=LOCAL, schedule=(86_400.0,) * 3, seconds=10)
    for attempt in (1, 2, 3):
        with delivering(server.database, daily):
            if attempt == 1:
                admin.open()
            [tried] = eventually(
                lambda: deliveries(admin, webhook),
                lambda found: [one["attempts"] for one in found] == [attempt],  # noqa: B023
            )
            assert tried["nextAttemptAt"] > (datetime.now(UTC) + timedelta(hours=20)).isoformat()
        with delivering(server.database, daily):  # too early: it waits for what is left of the day
            assert state(admin, webhook)["state"] == "FAILING"
        assert len(receiver.got) == attempt
        a_day_later(server, webhook)
    with delivering(server.database, daily):
        disabled = eventually(lambda: state(admin, webhook), lambda one: one["state"] == "DISABLED")
    assert disabled["disabledBecause"] == "FAILING"
    assert [one["attempts"] for one in deliveries(admin, webhook)] == [4]
    assert len({one.id for one in receiver.got}) == 1


def test_who_is_ended_between_the_answer_and_writing_it_down_sends_the_same_again(
    server: Server, admin: Client, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook, _ = define(admin, receiver, types=["TicketOpened"])
    ended = threading.Event()

    async def never(*_: Any) -> Any:
        ended.set()
        raise Deposed("ended")

    with monkeypatch.context() as patched:
        patched.setattr(webhook_deliveries, "record", never)
        with delivering(server.database, AT_ONCE):
            opened = admin.open()
            assert ended.wait(PATIENCE)
    assert deliveries(admin, webhook) == []
    before = len(receiver.got)
    with delivering(server.database, AT_ONCE):
        receiver.wait_for(before + 1)
        [log] = eventually(lambda: deliveries(admin, webhook), lambda found: len(found) == 1)
    assert {one.id for one in receiver.got} == {log["message"]}
    assert log["position"] == opened["position"]


def test_who_was_deposed_writes_nothing_down(server: Server, admin: Client, receiver: Receiver) -> None:
    webhook, _ = define(admin, receiver, types=["TicketOpened"])
    held, sent = threading.Event(), threading.Event()

    def answer(n: int, message: Received) -> int:
        sent.set()
        return 200 if n > 1 or held.wait(PATIENCE) else 500

    receiver.answer = answer
    with delivering(server.database, AT_ONCE):
        admin.open()
        assert sent.wait(PATIENCE)
        with server.database.connect(Role.OWNER) as connection:
            connection.execute("update tracking set epoch = epoch + 1 where name = %s", (webhook_deliveries.FOLLOWER,))
        held.set()
        got = receiver.wait_for(2)  # it leads anew, and knows of nothing
        [log] = eventually(lambda: deliveries(admin, webhook), lambda found: len(found) == 1)
    assert got[0].id == got[1].id == log["message"]
    assert log["attempts"] == 1


# ---- again, and under another secret


def test_everything_is_told_again_from_a_position(server: Server, admin: Client, receiver: Receiver) -> None:
    before = admin.open("Before it was defined")
    webhook, _ = define(admin, receiver, types=["TicketOpened"])
    with delivering(server.database, AT_ONCE):
        opened = [admin.open(f"№ {n}") for n in range(3)]
        first = receiver.wait_for(3)
        admin.done("replayWebhook", WEBHOOK, webhook=webhook, fromPosition=opened[1]["position"])
        again = receiver.wait_for(5)[3:]
        assert [one.id for one in again] == [one.id for one in first[1:]]
        admin.done("replayWebhook", WEBHOOK, webhook=webhook, fromPosition="1")
        positions = [str(one.position) for one in receiver.wait_for(9)[5:]]
        assert positions == [before["position"], *(one["position"] for one in opened)]
        admin.done("replayWebhook", WEBHOOK, webhook=webhook, fromPosition=str(2**62))  # nothing is passed over
        admin.open("Last")
        receiver.wait_for(10)
    assert admin.ask(DELIVERIES, w=webhook)["totalCount"] >= 9


def test_a_former_secret_signs_beside_the_new_one(server: Server, admin: Client, receiver: Receiver) -> None:
    webhook, first = define(admin, receiver)
    with delivering(server.database, AT_ONCE):
        rotated = admin.command("rotateWebhookSecret", f"{WEBHOOK} secret", webhook=webhook, formerHours=1)
        second = rotated["secret"]
        assert rotated["webhook"]["formerSecretUntil"] > datetime.now(UTC).isoformat()
        admin.done("testWebhook", WEBHOOK, webhook=webhook)
        [message] = receiver.wait_for(1)
        assert len(message.signatures) == 2
        assert message.signed_with(first)
        assert message.signed_with(second)
        third = admin.command("rotateWebhookSecret", "secret", webhook=webhook, formerHours=0)["secret"]
        admin.done("testWebhook", WEBHOOK, webhook=webhook)
        message = receiver.wait_for(2)[1]
    assert message.signed_with(third)
    assert not message.signed_with(second)
    assert message.signed_with(first), "whose hour is not over"


def test_a_test_is_sent_once_whatever_waits(server: Server, admin: Client, receiver: Receiver) -> None:
    webhook, secret = define(admin, receiver)
    admin.done("disableWebhook", WEBHOOK, webhook=webhook)
    receiver.answer = lambda n, message: 418
    with delivering(server.database, AT_ONCE):
        admin.done("testWebhook", WEBHOOK, webhook=webhook)
        [message] = receiver.wait_for(1)
        assert (message.type, message.body["data"]) == ("WebhookTested", {"webhook": webhook})
        assert message.signed_with(secret)
        [log] = eventually(lambda: deliveries(admin, webhook), lambda found: len(found) == 1)
    assert (log["position"], log["delivered"], log["statusCode"], log["nextAttemptAt"]) == (None, False, 418, None)
    assert len(receiver.got) == 1


# ---- bounds


def test_an_event_that_is_too_large_comes_without_what_it_holds(
    server: Server, admin: Client, receiver: Receiver
) -> None:
    define(admin, receiver, types=["TicketOpened"])
    with delivering(server.database, AT_ONCE):
        admin.open("Long", description="Ы" * 90_000)
        [message] = receiver.wait_for(1)
    assert len(message.raw) < 10_000
    assert (message.body["data"]["changes"], message.body["data"]["data"]) == (None, None)
    assert message.body["data"]["type"] == "TicketOpened"


@contextmanager
def serving(database: Database) -> Iterator[Callable[[Workspace], Client]]:
    """A server of its own, and who administers a workspace there."""
    with following(database), TestClient(application(database, "https://there.example")) as http:
        http.app.state.runtime.networks = LOCAL

        def admin(workspace: Workspace) -> Client:
            person = operator(workspace.id).person
            token = issue_token(database, workspace.id, person, [Scope.ADMIN], "test", timedelta(days=1))
            return Client(http, token)

        yield admin


def test_a_workspace_that_moved_goes_on_where_it_was_told_before(
    server: Server, acme: Workspace, admin: Client, receiver: Receiver, postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    webhook, secret = define(admin, receiver, types=["TicketOpened"])
    disabled, _ = define(admin, receiver)
    admin.done("disableWebhook", WEBHOOK, webhook=disabled)
    admin.open("Here")
    file = tmp_path / "acme.jsonl.gz"
    export_workspace(server.database, acme, file, lambda done, total: None)
    with fresh_database(postgres) as there:
        import_workspace(there, file, lambda done, total: None)
        rebuild_all(there, PROJECTIONS)
        arrived(there, acme)
        with serving(there) as administrator, delivering(there, AT_ONCE):
            moved = administrator(acme)
            eventually(lambda: state(moved, webhook), lambda one: one["deliveredTo"] is not None)
            opened = moved.open("There")
            [message] = receiver.wait_for(1)
            assert (message.position, message.signed_with(secret)) == (int(opened["position"]), True)
            assert state(moved, disabled)["state"] == "DISABLED"
            eventually(lambda: deliveries(moved, webhook), lambda found: len(found) == 1)
    assert len(receiver.got) == 1, "nothing of what was recorded before it came"


def test_a_parked_stream_holds_up_no_other(postgres: EmbeddedPostgres, receiver: Receiver) -> None:
    with fresh_database(postgres) as database, EventStore(database) as store:
        workspace = create_workspace(database, store, "poisoned", "Poisoned")
        with serving(database) as administrator, delivering(database, AT_ONCE):
            admin = administrator(workspace)
            webhook, _ = define(admin, receiver, types=["TicketOpened", "PriorityChanged"])
            poisoned, well = admin.open("Poisoned"), admin.open("Well")
            with writer(database, workspace.id) as connection:
                stream = decode(poisoned["id"], Kind.TICKET)
                connection.execute(*insertion(workspace=workspace.id, stream=stream, version=2))
                connection.commit()
            admin.done("setPriority", ticket=well["id"], priority="HIGH")
            got = receiver.wait_for(3)
            assert [one.body["data"]["ticket"]["key"] for one in got] == [poisoned["key"], well["key"], well["key"]]
            eventually(lambda: deliveries(admin, webhook), lambda found: len(found) == 3)
            assert state(admin, webhook)["state"] == "ENABLED"


def test_old_deliveries_are_forgotten(server: Server, admin: Client, receiver: Receiver) -> None:
    webhook, _ = define(admin, receiver, types=["TicketOpened"])
    with delivering(server.database, AT_ONCE):
        for n in range(5):
            admin.open(f"№ {n}")
        receiver.wait_for(5)
        kept = eventually(lambda: deliveries(admin, webhook), lambda found: len(found) == 5)

    async def prune(**how: Any) -> None:
        async with await psycopg.AsyncConnection.connect(
            server.database.conninfo(Role.PROJECTOR), autocommit=True
        ) as connection:
            await webhook_deliveries.prune(connection, **how)

    asyncio.run(prune())
    assert deliveries(admin, webhook) == kept
    asyncio.run(prune(most=2))
    assert deliveries(admin, webhook) == kept[3:]
    asyncio.run(prune(kept=timedelta(0)))
    assert deliveries(admin, webhook) == []


def test_what_is_delivered_is_counted(server: Server, admin: Client, receiver: Receiver) -> None:
    def counted(outcome: str) -> float:
        return REGISTRY.get_sample_value("proteus_webhook_attempts_total", {"outcome": outcome}) or 0.0

    receiver.answer = lambda n, message: 200 if n > 1 else 500
    before = counted("DELIVERED"), counted("REFUSED")
    define(admin, receiver, types=["TicketOpened"])
    with delivering(server.database, AT_ONCE):
        admin.open()
        receiver.wait_for(2)
    assert (counted("DELIVERED") - before[0], counted("REFUSED") - before[1]) >= (1, 1)
    assert REGISTRY.get_sample_value("proteus_webhooks", {"state": "ENABLED"}) is not None
