"""Mutations of hand-overs, links, merging, parts: how each is done, and what refuses it."""

from typing import Any

from tests.api.refusals.cases import ABSENT, CLOSED, OVER, PLACED, Case, Mutation, to_ticket
from tests.api.refusals.scene import (
    Scene,
    ada_s,
    comment,
    merging,
    narrow,
    service,
    team,
    ticket,
    withdrawn,
)


def blocking(scene: Scene) -> dict[str, Any]:
    said = {"ticket": ticket(scene), "kind": "BLOCKS", "other": ticket(scene)}
    scene.admin.done("linkTickets", **said)
    return said


def ring(scene: Scene) -> dict[str, Any]:
    said = blocking(scene)
    return {**said, "ticket": said["other"], "other": said["ticket"]}


def ring_by_merging(scene: Scene) -> dict[str, Any]:
    said, last = blocking(scene), ticket(scene)
    scene.admin.done("linkTickets", ticket=said["other"], kind="BLOCKS", other=last)
    return {"ticket": said["ticket"], "into": last}


def unmerged(scene: Scene) -> dict[str, Any]:
    return {"ticket": merging(scene)["ticket"]}


def merged_further(scene: Scene) -> dict[str, Any]:
    said = merging(scene)
    scene.admin.done("mergeTickets", ticket=said["into"], into=ticket(scene))
    return {"ticket": said["ticket"]}


def merged_from_full(scene: Scene) -> dict[str, Any]:
    said = {"ticket": narrow(scene), "into": ticket(scene)}
    over: dict[str, Any] = {"overrideWipLimit": True, "reason": "So it is"}
    scene.admin.done("transitionTicket", ticket=said["ticket"], status="full", **over)
    scene.admin.done("mergeTickets", **said)
    return {"ticket": said["ticket"]}


def merged_into_itself(scene: Scene) -> dict[str, Any]:
    one = ticket(scene)
    return {"ticket": one, "into": one}


MUTATIONS: dict[str, Mutation] = {
    "transferTicket": to_ticket(
        {"ticket": ticket, "team": team},
        **{**PLACED, "WIP_LIMIT_REACHED": {"ticket": ada_s, "role": "NARROW", "team": ABSENT, "reason": "So it is"}},
        INVALID_VALUE={"team": ABSENT},
        STATUS_NOT_FOUND={"role": "TASK", "status": "x"},
        PERSON_NOT_FOUND={"assignee": "x"},
        FIELD_NOT_FOUND={"fields": {"none": 1}},
        TICKET_CLOSED=CLOSED,
    ),
    "linkTickets": to_ticket(
        {"ticket": ticket, "kind": "BLOCKS", "other": ticket},
        INVALID_VALUE={"kind": "MERGED_INTO"},
        LINK_CYCLE=ring,
        LIMIT_REACHED=Case({}, limit=("domain.links.LINKS_LIMIT", 0)),
    ),
    "unlinkTickets": to_ticket(blocking, INVALID_VALUE={"kind": "MERGED_INTO"}),
    "mergeTickets": to_ticket(
        {"ticket": ticket, "into": ticket},
        INVALID_VALUE=merged_into_itself,
        LINK_CYCLE=ring_by_merging,
        LIMIT_REACHED=Case(
            lambda scene: {"ticket": blocking(scene)["ticket"]}, limit=("domain.merging.LINKS_LIMIT", 0)
        ),
    ),
    "unmergeTicket": to_ticket(
        unmerged,
        TICKET_MERGED=merged_further,
        WIP_LIMIT_REACHED=merged_from_full,
        REASON_REQUIRED=lambda scene: {**merged_from_full(scene), **OVER},
    ),
    "spawnTicket": to_ticket(
        {"ticket": ticket, "title": "Part", "role": "TASK", "service": service},
        **PLACED,
        INVALID_VALUE={"title": " "},
        PERSON_NOT_FOUND={"assignee": "x"},
        FIELD_NOT_FOUND={"fields": {"none": 1}},
        TICKET_CLOSED=CLOSED,
    ),
    "splitTicket": to_ticket(
        lambda scene: {**comment(scene), "title": "Apart"},
        **PLACED,
        INVALID_VALUE={"title": " "},
        COMMENT_NOT_FOUND={"comment": "x"},
        COMMENT_WITHDRAWN=withdrawn,
        PERSON_NOT_FOUND={"assignee": "x"},
    ),
}
