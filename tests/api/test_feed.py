"""The feed: what a token may see, as CloudEvents, page by page, and waiting for what comes."""

import asyncio
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from api.ids import Kind, decode
from application import tokens
from application.event_store.database import Database
from application.workspaces import Workspace, create_workspace
from domain.access import Actor, Scope
from projections import timeline, webhook_deliveries
from projections.engine import Session
from projections.reading import ReadModels, View
from projections.registry import NAMES, PROJECTIONS
from projections.rows import EventRow
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.application.recording import Company


def fetch(client: Client, **asked: str | int) -> Any:
    return client.http.get("/feed", params=asked, headers=client.headers)


def told(client: Client, **asked: str | int) -> list[dict[str, Any]]:
    answer = fetch(client, **asked)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in answer.text.splitlines()]


def test_a_reader_has_the_whole_log_once_page_by_page(agent: Client) -> None:
    ticket = agent.open(title="Принтер")
    agent.wait_for(int(ticket["position"]))
    after, seen = 0, list[str]()
    while page := told(agent, after=after, limit=7):
        assert len(page) <= 7
        seen += [one["id"] for one in page]
        after = int(page[-1]["sequence"])
    assert len(seen) == len(set(seen))
    assert seen == [one["id"] for one in told(agent, limit=1000)]
    [opened] = [one for one in told(agent, limit=1000) if one["type"] == "proteus.TicketOpened"]
    assert opened["subject"] == ticket["key"]
    assert opened["data"]["data"]["title"] == "Принтер"
    assert told(agent, after=after) == []


def test_a_requester_has_what_is_public_in_their_own_tickets(agent: Client, claire: Client) -> None:
    agent.open(title="Not hers")
    own = claire.open(title="Hers")
    agent.command("addComment", ticket=own["id"], body="Between us", visibility="INTERNAL")
    said = agent.command("addComment", ticket=own["id"], body="Hello", visibility="PUBLIC")
    agent.wait_for(int(said["position"]))
    found = told(claire, limit=1000)
    assert {one["subject"] for one in found} == {own["key"]}
    assert "Between us" not in json.dumps(found)
    assert [one["type"] for one in found] == ["proteus.TicketOpened", "proteus.CommentAdded"]


def test_nothing_of_another_workspace_is_in_it(agent: Client, server: Server, token: Any) -> None:
    other = create_workspace(server.database, server.store, "elsewhere-feed", "Elsewhere")
    there = token(other, Scope.ADMIN)
    there.wait_for(int(there.open(title="Theirs")["position"]))
    assert {one["source"] for one in told(there, limit=1000)} == {f"urn:uuid:{other.id}"}
    assert "Theirs" not in fetch(agent, limit=1000).text


def test_who_waits_is_told_when_something_comes(agent: Client) -> None:
    last = int(told(agent, limit=1000)[-1]["sequence"])
    opening = threading.Timer(0.3, lambda: agent.open(title="At last"))
    opening.start()
    started = time.monotonic()
    [event] = told(agent, after=last, wait=30)
    opening.join()
    assert event["type"] == "proteus.TicketOpened"
    assert time.monotonic() - started < 20


def test_who_waits_in_vain_is_answered_with_nothing(agent: Client) -> None:
    last = int(told(agent, limit=1000)[-1]["sequence"])
    assert told(agent, after=last, wait=1) == []


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"after": "-1"}, "after is a whole number from 0 to"),
        ({"after": "x"}, "after is a whole number"),
        ({"after": str(2**64)}, "after is a whole number"),
        ({"limit": 0}, "limit is a whole number from 1 to 1000."),
        ({"limit": 1001}, "limit is a whole number"),
        ({"wait": 61}, "wait is a whole number from 0 to 60."),
        ({"since": 1}, "The feed takes after, limit and wait, not 'since'."),
    ],
)
def test_what_cannot_be_asked_for_is_said(agent: Client, asked: dict[str, str | int], says: str) -> None:
    answer = fetch(agent, **asked)
    assert answer.status_code == 400
    [error] = answer.json()["errors"]
    assert (error["extensions"]["code"], says in error["message"]) == ("BAD_USER_INPUT", True)


def test_it_asks_for_a_good_token(server: Server, acme: Workspace) -> None:
    for headers in ({}, {"Authorization": "Bearer proteus_nonsense"}):
        assert server.http.get("/feed", headers=headers).status_code == 401


def test_the_guide_shows_what_is_answered(agent: Client) -> None:
    ticket = agent.open()
    agent.done("assignTicket", ticket=ticket["id"], assignee=agent.person)
    moved = agent.command("transitionTicket", ticket=ticket["id"], status="in_progress")
    agent.wait_for(int(moved["position"]))
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "webhooks.md").read_text(encoding="utf-8")
    [line] = [line for line in guide.splitlines() if line.startswith('{"specversion"')]
    shown = json.loads(line)
    [actual] = [one for one in told(agent, limit=1000) if one["type"] == shown["type"]]
    assert list(shown) == list(actual)
    assert list(shown["data"]) == list(actual["data"])
    assert shown["data"]["changes"] == actual["data"]["changes"]
    assert (shown["sequence"], len(actual["sequence"])) == (f"{int(shown['data']['position']):019}", 19)


# ---- waiting


def test_who_waits_in_vain_waits_no_longer_though_others_are_told_much(
    agent: Client, claire: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = 0
    after = timeline.after

    async def counted(view: View, position: int, limit: int) -> Any:
        nonlocal read
        read += 1
        return await after(view, position, limit)

    monkeypatch.setattr(timeline, "after", counted)
    with going_on(agent):
        started = time.monotonic()
        assert told(claire, wait=2) == []
    assert time.monotonic() - started < 10
    assert read == 1, "nothing of hers came"


def test_a_token_that_is_revoked_while_it_waits_is_told_nothing(
    agent: Client, admin: Client, acme: Workspace, server: Server
) -> None:
    last = int(told(agent, limit=1000)[-1]["sequence"])
    [token] = [
        one for one in tokens.list_tokens(server.database, acme.id) if one.person == decode(agent.person, Kind.PERSON)
    ]

    def revoke() -> None:
        assert tokens.revoke_token(server.database, acme.id, token.id)
        admin.open(title="For colleagues")

    revoking = threading.Timer(0.5, revoke)
    revoking.start()
    assert told(agent, after=last, wait=20) == []
    revoking.join()


@contextmanager
def going_on(client: Client) -> Iterator[None]:
    """Somebody works, all the time."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            client.open()

    working = threading.Thread(target=work)
    working.start()
    try:
        yield
    finally:
        over.set()
        working.join()


# ---- what is not known yet


def test_an_event_is_told_when_its_ticket_is_known(database: Database, company: Company) -> None:
    """Not before: who goes on after it would not be told that it was theirs."""
    claire = company.person("Claire")
    ticket = company.ticket("Hers", requester=claire)
    _follow(database, {"timeline", "directory", "privacy"})
    assert _after(database, company.actor(claire, Scope.REQUESTER)) == []
    assert _after(database, company.manager) == []
    _follow(database, set(NAMES))
    [(event, number)] = _after(database, company.actor(claire, Scope.REQUESTER))
    assert (event.ticket, number) == (ticket, 1)
    assert [number for event, number in _after(database, company.manager) if event.ticket == ticket] == [1]


def _follow(database: Database, names: set[str]) -> None:
    with Session(database, {one.name: one for one in PROJECTIONS if one.name in names}) as session:
        session.catch_up()


def _after(database: Database, actor: Actor) -> list[tuple[EventRow, int | None]]:
    async def read() -> list[tuple[EventRow, int | None]]:
        async with ReadModels(database, size=1) as models:
            return await timeline.after(models.view(actor), 0, 100)

    return asyncio.run(read())


def test_what_a_webhook_tells_waits_for_the_same() -> None:
    assert set(timeline.READ_MODELS) <= set(webhook_deliveries.READ_MODELS)
