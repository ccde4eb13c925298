"""Mutations of tickets: how each is done, and what refuses it."""

from typing import Any

from tests.api.refusals.cases import (
    ABSENT,
    CLOSED,
    NO_PERSON,
    NO_TEAM,
    OVER,
    PLACED,
    Case,
    Mutation,
    agent,
    of,
    to_ticket,
)
from tests.api.refusals.scene import (
    FAR_AHEAD,
    Scene,
    ada,
    ada_s,
    boris,
    merged,
    narrow,
    service,
    ticket,
)


def care(scene: Scene) -> str:
    said: dict[str, Any] = {
        "assignee": scene.boris,
        "team": scene.team,
        "service": scene.service,
        "requester": scene.boris,
    }
    more: dict[str, Any] = {
        "description": "With care",
        "dueAt": FAR_AHEAD,
        "fields": {"must": "be"},
        "parent": ticket(scene),
    }
    return str(scene.admin.open(role="CARE", **said, **more)["id"])


def parent_of_itself(scene: Scene) -> dict[str, Any]:
    one = ticket(scene)
    return {"ticket": one, "parent": one}


def tagged(scene: Scene) -> dict[str, Any]:
    said: dict[str, Any] = {"ticket": ticket(scene), "tags": ["a"]}
    scene.admin.done("tagTicket", **said)
    return said


INTO_FULL: dict[str, Any] = {"ticket": narrow, "status": "full"}
MOVED: dict[str, Any] = {
    "STATUS_NOT_FOUND": {"status": "x"},
    "TRANSITION_NOT_ALLOWED": {"status": "approval"},
    "FIELD_REQUIRED": {"status": "in_progress"},
    "REASON_REQUIRED": {"status": "cancelled"},
    "WIP_LIMIT_REACHED": INTO_FULL,
    "FORBIDDEN": Case({**INTO_FULL, "overrideWipLimit": True}, by=agent),
}


MUTATIONS: dict[str, Mutation] = {
    "openTicket": of(
        {"title": "Help", "role": "INCIDENT"},
        **PLACED,
        INVALID_VALUE={"title": " "},
        PERSON_NOT_FOUND={"assignee": "x"},
        TICKET_NOT_FOUND={"parent": "x"},
        TICKET_MERGED={"parent": merged},
        FIELD_NOT_FOUND={"fields": {"none": 1}},
    ),
    "changeRole": to_ticket(
        {"ticket": ticket, "role": "TASK"},
        ROLE_NOT_FOUND={"role": "NONE"},
        STATUS_NOT_FOUND={"status": "x"},
        INVALID_VALUE={"role": "INCIDENT", "status": "done"},
        FIELD_REQUIRED={"role": "CARE"},
        REASON_REQUIRED={"ticket": narrow},
        WIP_LIMIT_REACHED={"ticket": ada_s, "role": "NARROW", "reason": "So it is"},
        FORBIDDEN=Case({"ticket": ada_s, "role": "NARROW", "reason": "So it is", "overrideWipLimit": True}, by=agent),
    ),
    "transitionTicket": to_ticket(
        {"ticket": ticket, "status": "done"},
        **MOVED,
        INVALID_VALUE={"fields": {"floor": "high"}},
        FIELD_NOT_FOUND={"fields": {"none": 1}},
        PERSON_NOT_FOUND={"fields": {"who": NO_PERSON}},
        TEAM_NOT_FOUND={"fields": {"crew": NO_TEAM}},
    ),
    "assignTicket": to_ticket(
        {"ticket": ticket, "assignee": boris},
        INVALID_VALUE={"assignee": ABSENT},
        PERSON_NOT_FOUND={"assignee": "x"},
        TEAM_NOT_FOUND={"team": "x"},
        TICKET_CLOSED=CLOSED,
        WIP_LIMIT_REACHED={"ticket": narrow, "assignee": ada},
        REASON_REQUIRED={"ticket": narrow, "assignee": ada, **OVER},
        FORBIDDEN=Case({"ticket": narrow, "assignee": ada, **OVER}, by=agent),
        FIELD_REQUIRED={"ticket": care, "assignee": None},
    ),
    "setField": to_ticket(
        {"ticket": ticket, "field": "floor", "value": 3},
        FIELD_NOT_FOUND={"field": "none"},
        INVALID_VALUE={"value": "high"},
        PERSON_NOT_FOUND={"field": "who", "value": NO_PERSON},
        TEAM_NOT_FOUND={"field": "crew", "value": NO_TEAM},
        FIELD_REQUIRED={"ticket": care, "field": "must", "value": None},
    ),
    "setParent": to_ticket(
        {"ticket": ticket, "parent": ticket},
        PARENT_CYCLE=parent_of_itself,
        FIELD_REQUIRED={"ticket": care, "parent": None},
    ),
    "rankTicket": to_ticket(
        {"ticket": ticket, "to": "TOP"},
        **MOVED,
        INVALID_VALUE={"to": ABSENT},
        PERSON_NOT_FOUND={"assignee": "x"},
        TICKET_CLOSED={**CLOSED, "assignee": boris},
    ),
    "retitleTicket": to_ticket({"ticket": ticket, "title": "New"}, INVALID_VALUE={"title": " "}),
    "describeTicket": to_ticket(
        {"ticket": ticket, "description": "New"},
        INVALID_VALUE={"description": "x\0"},
        FIELD_REQUIRED={"ticket": care, "description": None},
    ),
    "tagTicket": to_ticket({"ticket": ticket, "tags": ["a"]}, INVALID_VALUE={"tags": [""]}),
    "untagTicket": to_ticket(tagged, INVALID_VALUE={"tags": [""]}),
    "setPriority": to_ticket(
        {"ticket": ticket, "priority": "HIGH"}, TICKET_CLOSED=CLOSED, REASON_REQUIRED={"ticket": narrow}
    ),
    "scheduleTicket": to_ticket(
        {"ticket": ticket, "dueAt": FAR_AHEAD},
        INVALID_VALUE={"dueAt": ABSENT},
        TICKET_CLOSED=CLOSED,
        FIELD_REQUIRED={"ticket": care, "dueAt": None},
    ),
    "bindService": to_ticket(
        {"ticket": ticket, "service": service},
        SERVICE_NOT_FOUND={"service": "x"},
        FIELD_REQUIRED={"ticket": care, "service": None},
    ),
    "setRequester": to_ticket(
        {"ticket": ticket, "requester": boris},
        PERSON_NOT_FOUND={"requester": "x"},
        FIELD_REQUIRED={"ticket": care, "requester": None},
    ),
    "setSensitive": to_ticket({"ticket": ticket, "sensitive": True}),
    "bulkTickets": of(
        {"tickets": lambda scene: [ticket(scene)], "change": {"setPriority": {"priority": "HIGH"}}},
        INVALID_VALUE={"tickets": []},
        PERSON_NOT_FOUND={"change": {"assignTicket": {"assignee": "x"}}},
    ),
}
