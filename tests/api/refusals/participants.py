"""Mutations of contributors, watchers and ratings: how each is done, and what refuses it."""

from typing import Any

from api.ids import Kind, decode
from tests.api.refusals.cases import CLOSED, Case, Mutation, agent, to_ticket
from tests.api.refusals.scene import Scene, boris, ticket


def contributed(scene: Scene) -> dict[str, Any]:
    said = {"ticket": ticket(scene), "person": scene.boris}
    scene.admin.done("addContributor", **said)
    return said


def watched(scene: Scene) -> dict[str, Any]:
    said = {"ticket": ticket(scene), "person": scene.boris}
    scene.admin.done("watchTicket", **said)
    return said


def rated(scene: Scene) -> dict[str, Any]:
    """A closed ticket of whoever rates it."""
    asked = ticket(scene, requester=decode(scene.admin.person, Kind.PERSON))
    scene.admin.done("transitionTicket", ticket=asked, status="done")
    return {"ticket": asked, "score": 5}


MUTATIONS: dict[str, Mutation] = {
    "addContributor": to_ticket(
        {"ticket": ticket, "person": boris},
        PERSON_NOT_FOUND={"person": "x"},
        TICKET_CLOSED=CLOSED,
        INVALID_VALUE=Case({}, limit=("domain.participants.CONTRIBUTORS_LIMIT", 0)),
    ),
    "removeContributor": to_ticket(contributed, PERSON_NOT_FOUND={"person": "x"}),
    "watchTicket": to_ticket(
        {"ticket": ticket, "person": boris},
        PERSON_NOT_FOUND={"person": "x"},
        INVALID_VALUE=Case({}, limit=("domain.participants.WATCHERS_LIMIT", 0)),
    ),
    "unwatchTicket": to_ticket(watched, PERSON_NOT_FOUND={"person": "x"}),
    "rateTicket": to_ticket(
        rated, TICKET_OPEN={"ticket": ticket}, INVALID_VALUE={"score": 0}, FORBIDDEN=Case({}, by=agent)
    ),
}
