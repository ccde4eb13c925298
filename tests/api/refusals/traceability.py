"""Mutations of repositories, changes, releases: how each is done, and what refuses it."""

import json
from typing import Any

from tests.api.refusals.cases import ABSENT, Mutation, of
from tests.api.refusals.scene import Scene, key, numbers, ticket

COMMIT = "a" * 40


def repository(scene: Scene) -> str:
    return scene.repository


def promised(scene: Scene) -> dict[str, Any]:
    said = {"repository": scene.repository, "tag": key(scene), "tickets": [ticket(scene)]}
    scene.admin.command("promiseTickets", "", **said)
    return said


def provenance(_: Scene) -> str:
    """Of an artifact that is no other's."""
    source = {"uri": "git+https://example.org/shop", "digest": {"gitCommit": COMMIT}}
    said = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "shop.tar", "digest": {"sha256": f"{next(numbers):064x}"}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"buildDefinition": {"resolvedDependencies": [source]}},
    }
    return json.dumps(said)


def change(scene: Scene) -> dict[str, Any]:
    return {"ticket": ticket(scene), "repository": scene.repository, "change": COMMIT}


def request(scene: Scene) -> dict[str, Any]:
    said = {"repository": scene.repository, "number": next(numbers)}
    scene.admin.command("recordMergeRequest", "", **said, title="A change")
    return said


NO_REPOSITORY: dict[str, Any] = {"REPOSITORY_NOT_FOUND": {"repository": "x"}}
LINKED: dict[str, Any] = {
    **NO_REPOSITORY,
    "TICKET_NOT_FOUND": {"ticket": "x"},
    "INVALID_VALUE": {"change": "short"},
}


MUTATIONS: dict[str, Mutation] = {
    "defineRepository": of({"key": key, "name": "Shop"}, INVALID_VALUE={"url": "ssh://x"}),
    "setWebhookSecret": of(
        {"repository": repository, "secret": "s" * 32}, **NO_REPOSITORY, INVALID_VALUE={"secret": "short"}
    ),
    "recordRelease": of(
        {"repository": repository, "tag": key, "commit": COMMIT}, **NO_REPOSITORY, INVALID_VALUE={"commit": "short"}
    ),
    "recordDeployment": of(
        {
            "repository": repository,
            "number": key,
            "environment": "production",
            "commit": COMMIT,
            "outcome": "SUCCEEDED",
        },
        **NO_REPOSITORY,
        INVALID_VALUE={"commit": "short"},
        FIELD_REQUIRED={"number": ""},
    ),
    "promiseTickets": of(
        {"repository": repository, "tag": key, "tickets": lambda scene: [ticket(scene)]},
        **NO_REPOSITORY,
        TICKET_NOT_FOUND={"tickets": ["nothing"]},
        INVALID_VALUE={"tag": " "},
    ),
    "withdrawPromise": of(promised, **NO_REPOSITORY, TICKET_NOT_FOUND={"tickets": ["nothing"]}),
    "attachProvenance": of(
        {"repository": repository, "provenance": provenance}, **NO_REPOSITORY, INVALID_VALUE={"provenance": "{}"}
    ),
    "addChangeLink": of(change, **LINKED),
    "confirmChangeLink": of(change, **LINKED),
    "rejectChangeLink": of(change, **LINKED),
    "recordMergeRequest": of(
        {"repository": repository, "number": lambda _: next(numbers), "title": "A change"},
        **NO_REPOSITORY,
        FIELD_REQUIRED={"title": ABSENT},
        INVALID_VALUE={"number": 0},
    ),
    "recordReview": of(
        lambda scene: {**request(scene), "verdict": "APPROVED"}, **NO_REPOSITORY, INVALID_VALUE={"number": 10**6}
    ),
}
