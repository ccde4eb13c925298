"""Mutations of estimates: how each is done, and what refuses it."""

from typing import Any

from tests.api.refusals.cases import CLOSED, Case, Mutation, to_ticket
from tests.api.refusals.scene import LONG_AGO, Scene, asked, ticket


def question(scene: Scene) -> dict[str, Any]:
    of_ticket = asked(scene)
    show = "ticket { estimates { questions { id } } }"
    shown = scene.admin.done("askEstimateQuestion", show, **of_ticket, text="How many?")
    return {**of_ticket, "question": shown["estimates"][0]["questions"][0]["id"]}


def estimate(scene: Scene) -> dict[str, Any]:
    return _given(scene, asked(scene))


def _given(scene: Scene, of_ticket: dict[str, Any], **more: Any) -> dict[str, Any]:
    said = {**of_ticket, "leastSeconds": 60, **more}
    shown = scene.admin.done("giveEstimate", "ticket { estimates { id } }", **said)
    return {**of_ticket, "estimate": shown["estimates"][0]["id"]}


def accepted(scene: Scene) -> dict[str, Any]:
    given = estimate(scene)
    scene.admin.done("acceptEstimate", **given)
    return given


def declined(scene: Scene) -> dict[str, Any]:
    given = estimate(scene)
    scene.admin.done("declineEstimate", **given)
    return given


def expired(scene: Scene) -> dict[str, Any]:
    has = {"ticket": str(scene.admin.open(occurredAt=LONG_AGO)["id"])}
    scene.admin.done("requestEstimate", **has, occurredAt=LONG_AGO)
    return _given(scene, has, occurredAt=LONG_AGO, validUntil="2020-01-02")


MUTATIONS: dict[str, Mutation] = {
    "requestEstimate": to_ticket(
        {"ticket": ticket},
        INVALID_VALUE={"about": " "},
        TICKET_CLOSED=CLOSED,
        ESTIMATE_OPEN=asked,
        LIMIT_REACHED=Case({}, limit=("domain.estimates.ESTIMATES_LIMIT", 0)),
    ),
    "askEstimateQuestion": to_ticket(
        lambda scene: {**asked(scene), "text": "How many?"},
        INVALID_VALUE={"text": " "},
        ESTIMATE_NOT_FOUND={"ticket": ticket},
        LIMIT_REACHED=Case({}, limit=("domain.estimates.QUESTIONS_LIMIT", 0)),
    ),
    "answerEstimateQuestion": to_ticket(
        lambda scene: {**question(scene), "text": "Forty"},
        INVALID_VALUE={"text": " "},
        ESTIMATE_NOT_FOUND={"ticket": ticket},
        QUESTION_NOT_FOUND={"question": "x"},
    ),
    "giveEstimate": to_ticket(
        lambda scene: {**asked(scene), "leastSeconds": 60},
        INVALID_VALUE={"leastSeconds": -1},
        FIELD_REQUIRED={"leastPrice": "1"},
        ESTIMATE_NOT_FOUND={"ticket": ticket},
    ),
    "acceptEstimate": to_ticket(
        estimate,
        ESTIMATE_NOT_FOUND={"estimate": "x"},
        ESTIMATE_SETTLED=declined,
        ESTIMATE_EXPIRED=expired,
    ),
    "declineEstimate": to_ticket(estimate, ESTIMATE_NOT_FOUND={"estimate": "x"}, ESTIMATE_SETTLED=accepted),
}
