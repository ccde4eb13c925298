"""Webhooks over HTTP: let in or not, once or again, whole or torn."""

import hashlib
import hmac
import json
from pathlib import Path
from typing import Any
from urllib.parse import urlparse
from uuid import UUID

import httpx
import pytest

from api.ids import Kind, decode, encode
from api.traceability_cli import scan_clone
from api.traceability_webhooks import DELIVERY_LIMIT
from application.event_store.attempts import StoreUnavailable
from application.traceability.commands import receive
from application.workspaces import Workspace, operator
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.test_traceability import CHANGES
from tests.gitting import Work

SECRET = "It's a Secret to Everybody"
A, B, C = "a" * 40, "b" * 40, "c" * 40
SHOW = "repository { id webhookUrl webhookSecured }"


class Hook:
    """A repository at GitHub that sends webhooks."""

    def __init__(self, server: Server, admin: Client) -> None:
        self.server = server
        self.admin = admin
        made = admin.done("defineRepository", SHOW, key="shop", name="Shop", provider="GITHUB")
        self.id = made["id"]
        assert made["webhookSecured"] is False
        self.path = urlparse(made["webhookUrl"]).path

    def secure(self, secret: str | None) -> Any:
        return self.admin.command("setWebhookSecret", SHOW, repository=self.id, secret=secret)

    def send(
        self, event: str, payload: dict[str, Any] | bytes, delivery: str = "1", *, secret: str = SECRET, **headers: str
    ) -> httpx.Response:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        signature = "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
        signed = {"X-GitHub-Event": event, "X-GitHub-Delivery": delivery, "X-Hub-Signature-256": signature}
        return self.server.http.post(self.path, content=body, headers={**signed, **headers})


@pytest.fixture
def hook(server: Server, admin: Client) -> Hook:
    hook = Hook(server, admin)
    secured = hook.secure(SECRET)
    assert secured["userErrors"] == []
    assert secured["repository"]["webhookSecured"] is True
    return hook


def pull(name: str, **more: Any) -> dict[str, Any]:
    request = {
        "number": 19,
        "title": f"Form, {name}",
        "state": "open",
        "head": {"ref": "form", "sha": A},
        "base": {"ref": "main", "sha": B},
        **more,
    }
    return {"action": "opened", "pull_request": request}


def recorded(admin: Client) -> int:
    count: int = admin.ask("{ events { totalCount } }")["totalCount"]
    return count


def test_a_signed_delivery_is_recorded_and_linked_at_once(admin: Client, agent: Client, hook: Hook) -> None:
    ticket = agent.open()
    assert hook.send("pull_request", pull(ticket["key"])).json() == {"recorded": 1, "repeated": 0}
    push = {
        "ref": "refs/heads/main",
        "after": A,
        "commits": [{"id": A, "message": f"Form\n\nTicket: {ticket['key']}", "timestamp": "2026-03-02T09:00:00Z"}],
    }
    assert hook.send("push", push, "2").json() == {"recorded": 1, "repeated": 0}
    changes = agent.ask(CHANGES, t=ticket["id"])["changes"]["nodes"]
    assert {(one["change"]["name"], one["source"]) for one in changes} == {("19", "TEXT"), (A, "TRAILER")}
    [event] = admin.ask('{ events(types: ["MergeRequestOpened"]) { nodes { channel source } } }')["nodes"]
    assert event == {"channel": "webhook", "source": "x-github-delivery:1"}


def test_a_push_that_tells_of_some_commits_alone_is_completed_by_the_scan(
    server: Server, acme: Workspace, agent: Client, hook: Hook, tmp_path: Path
) -> None:
    """Providers tell of so many commits of a push at most."""
    ticket = agent.open()
    message = f"Part\n\nTicket: {ticket['key']}"
    work = Work(tmp_path / "shop")
    commits = [work.commit(message) for _ in range(4)]
    told = {"id": commits[-1], "message": message, "timestamp": "2026-01-01T09:04:00Z"}
    push = {"ref": "refs/heads/main", "after": commits[-1], "commits": [told]}

    def linked() -> list[str]:
        return sorted(one["change"]["name"] for one in agent.ask(CHANGES, t=ticket["id"])["changes"]["nodes"])

    assert hook.send("push", push).json() == {"recorded": 1, "repeated": 0}
    assert linked() == [commits[-1]]
    repository = decode(hook.id, Kind.REPOSITORY)
    _, found = scan_clone(server.database, server.store, operator(acme.id), repository, work.path)
    agent.wait_for(found.position)
    assert linked() == sorted(commits)
    months = "query($r: ID!) { gapMonths(repository: $r) { commits noTicket } }"
    assert agent.ask(months, r=hook.id) == [{"commits": 4, "noTicket": 0}]


def test_a_repeated_delivery_changes_nothing(admin: Client, hook: Hook) -> None:
    assert hook.send("pull_request", pull("first")).json() == {"recorded": 1, "repeated": 0}
    before = recorded(admin)
    assert hook.send("pull_request", pull("first")).json() == {"recorded": 0, "repeated": 1}
    assert hook.send("pull_request", pull("something else")).json() == {"recorded": 0, "repeated": 1}
    assert recorded(admin) == before
    assert hook.send("ping", {"zen": "x"}, "3").json() == {"recorded": 0, "repeated": 0}


def test_a_delivery_that_failed_is_made_up_for(admin: Client, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    review = {**pull("x"), "action": "submitted", "review": {"state": "approved", "user": {"login": "boris"}}}
    left = [True, False]

    def failing(*arguments: Any) -> Any:
        if not left.pop(0):
            raise StoreUnavailable("away")
        return receive(*arguments)

    monkeypatch.setattr("api.traceability_webhooks.receive", failing)
    assert hook.send("pull_request_review", review).status_code == 503
    monkeypatch.setattr("api.traceability_webhooks.receive", receive)
    assert hook.send("pull_request_review", review).json() == {"recorded": 1, "repeated": 1}
    assert hook.send("pull_request_review", review).json() == {"recorded": 0, "repeated": 2}


def test_strangers_are_told_nothing_and_nothing_is_stored(
    server: Server, acme: Workspace, admin: Client, hook: Hook
) -> None:
    before = recorded(admin)
    refused = [
        hook.send("pull_request", pull("x"), secret="another secret of theirs"),
        hook.send("pull_request", pull("x"), **{"X-Hub-Signature-256": ""}),
        server.http.post(hook.path, content=b"{}"),
        server.http.post(hook.path, content=b"{}", headers={"X-Gitlab-Token": SECRET}),
    ]
    workspace, nobody = encode(Kind.WORKSPACE, acme.id), encode(Kind.REPOSITORY, acme.id)
    elsewhere = encode(Kind.WORKSPACE, UUID(int=5))
    refused += [
        server.http.post(path, content=b"{}", headers={"X-Hub-Signature-256": "sha256=x"})
        for path in (f"/changes/{workspace}/{nobody}", f"/changes/{elsewhere}/{hook.id}", "/changes/x/y")
    ]
    assert {answer.status_code for answer in refused} == {401}
    assert len({answer.text for answer in refused}) == 1
    assert recorded(admin) == before
    hook.secure(None)
    assert hook.send("pull_request", pull("x")).status_code == 401


def test_a_body_that_was_tampered_with_is_refused(hook: Hook) -> None:
    body = json.dumps(pull("x")).encode()
    signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
    assert hook.send("pull_request", body + b" ", **{"X-Hub-Signature-256": signature}).status_code == 401


def test_bodies_have_a_limit(hook: Hook) -> None:
    largest = json.dumps({"zen": ""}).encode()
    largest = largest[:-2] + b"x" * (DELIVERY_LIMIT - len(largest)) + largest[-2:]
    assert len(largest) == DELIVERY_LIMIT
    assert hook.send("ping", largest).status_code == 200
    assert hook.send("ping", largest + b" ").status_code == 413


def test_what_is_signed_and_cannot_be_read_is_a_bad_request(hook: Hook) -> None:
    answer = hook.send("pull_request", b"{")
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["extensions"]["code"] == "INVALID_VALUE"
    wrong = {"ref": "refs/heads/main", "after": A, "commits": [{"id": "short"}]}
    assert hook.send("push", wrong).status_code == 400


def test_secrets_are_set_by_admins_and_shown_to_nobody(admin: Client, agent: Client, hook: Hook) -> None:
    of = {"repository": hook.id}
    assert admin.refused("setWebhookSecret", **of, secret="short") == ("INVALID_VALUE", ["secret"])
    assert admin.refused("setWebhookSecret", **of, secret="пароль" * 5) == ("INVALID_VALUE", ["secret"])
    assert agent.refused("setWebhookSecret", **of, secret=SECRET) == ("FORBIDDEN", None)
    assert admin.refused("setWebhookSecret", repository="x", secret=SECRET) == (
        "REPOSITORY_NOT_FOUND",
        ["repository"],
    )
    told = admin.ask('{ events(types: ["WebhookSecretSet"]) { nodes { data changes { path to } } } }')["nodes"]
    assert told == [{"data": {}, "changes": []}]


def test_releases_and_deployments_are_recorded(admin: Client, agent: Client, hook: Hook) -> None:
    of = {"repository": hook.id}
    assert admin.command("recordRelease", "", **of, tag="v1", commit=A)["userErrors"] == []
    assert admin.command("recordRelease", "", **of, tag="v1", commit=B)["version"] == 2
    assert admin.refused("recordRelease", **of, tag="v2", commit="short") == ("INVALID_VALUE", ["commit"])
    deployed = {**of, "number": "17", "environment": "production", "commit": A}
    assert admin.command("recordDeployment", "", **deployed, outcome="FAILED")["version"] == 1
    assert admin.command("recordDeployment", "", **deployed)["version"] == 2
    assert admin.refused("recordDeployment", **{**deployed, "number": ""}) == ("FIELD_REQUIRED", ["number"])
    assert agent.refused("recordRelease", **of, tag="v1") == ("FORBIDDEN", None)
    assert agent.refused("recordDeployment", **deployed) == ("FORBIDDEN", None)
