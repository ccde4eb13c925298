"""Mutations of outgoing webhooks: how each is done, and what refuses it."""

from typing import Any

from tests.api.refusals.cases import Case, Mutation, of
from tests.api.refusals.scene import Scene


def webhook(scene: Scene) -> str:
    return str(scene.admin.done("defineWebhook", "webhook { id }", url="https://example.org")["id"])


def disabled(scene: Scene) -> str:
    made = webhook(scene)
    scene.admin.done("disableWebhook", "webhook { id }", webhook=made)
    return made


NO_WEBHOOK: dict[str, Any] = {"WEBHOOK_NOT_FOUND": {"webhook": "x"}}


MUTATIONS: dict[str, Mutation] = {
    "defineWebhook": of(
        {"url": "https://example.org"},
        INVALID_VALUE={"url": "https://10.0.0.1"},
        LIMIT_REACHED=Case({}, limit=("domain.webhooks.ENDPOINTS_LIMIT", 0)),
    ),
    "changeWebhook": of(
        {"webhook": webhook, "description": "Other"}, **NO_WEBHOOK, INVALID_VALUE={"url": "https://10.0.0.1"}
    ),
    "rotateWebhookSecret": of({"webhook": webhook}, **NO_WEBHOOK, INVALID_VALUE={"formerHours": 10**6}),
    "enableWebhook": of({"webhook": disabled}, **NO_WEBHOOK),
    "disableWebhook": of({"webhook": webhook}, **NO_WEBHOOK),
    "replayWebhook": of(
        {"webhook": webhook, "fromPosition": "1"},
        **NO_WEBHOOK,
        INVALID_VALUE={"fromPosition": "0"},
        WEBHOOK_DISABLED={"webhook": disabled},
    ),
    "testWebhook": of({"webhook": webhook}, **NO_WEBHOOK),
    "retireWebhook": of({"webhook": webhook}, **NO_WEBHOOK),
}
