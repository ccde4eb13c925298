"""Mutations of timers and work: how each is done, and what refuses it."""

from typing import Any

from domain.access import Scope
from tests.api.asking import Client
from tests.api.refusals.cases import ABSENT, CLOSED, NO_CONTRACT, Case, Mutation, agent, of
from tests.api.refusals.scene import LONG_AGO, Scene, contract, merged, ticket


def exhausted(scene: Scene) -> str:
    return scene.exhausted


def new(scene: Scene) -> Client:
    """Somebody of whom nothing is known."""
    return scene.token(scene.workspace, Scope.MANAGER)


def at_work(scene: Scene) -> Client:
    """Somebody whose timer runs."""
    client = new(scene)
    client.done("startTimer", "timer { ticket { key } }", ticket=ticket(scene))
    return client


def entry(scene: Scene) -> str:
    said = {"ticket": ticket(scene), "startedAt": LONG_AGO, "seconds": 60}
    return str(scene.admin.done("logWork", "workEntry { id }", **said)["id"])


TIMED: dict[str, Any] = {
    "TICKET_NOT_FOUND": {"ticket": "nothing"},
    "TICKET_MERGED": {"ticket": merged},
    "TICKET_CLOSED": CLOSED,
    "CONTRACT_EXHAUSTED": {"ticket": exhausted},
    "REASON_REQUIRED": {"ticket": exhausted, "overrideExhausted": True},
    "FORBIDDEN": Case({"ticket": exhausted, "overrideExhausted": True}, by=agent),
}
TOO_LONG = {"interruption": 10**9}
NO_WORK: dict[str, Any] = {"WORK_NOT_FOUND": {"workEntry": "x"}}


MUTATIONS: dict[str, Mutation] = {
    "startTimer": of(Case({"ticket": ticket}, by=new), **TIMED, TIMER_RUNS=Case({}, by=at_work)),
    "switchTimer": of(Case({"ticket": ticket}, by=new), **TIMED, INVALID_VALUE=Case(TOO_LONG, by=at_work)),
    "stopTimer": of(
        Case({}, by=at_work),
        TIMER_NOT_RUNNING=Case({}, by=new),
        INVALID_VALUE=Case(TOO_LONG, by=at_work),
    ),
    "discardTimer": of(Case({}, by=at_work), TIMER_NOT_RUNNING=Case({}, by=new)),
    "logWork": of(
        {"ticket": ticket, "startedAt": LONG_AGO, "seconds": 60},
        INVALID_VALUE={"seconds": 10**9},
        FIELD_REQUIRED={"seconds": ABSENT},
        TICKET_NOT_FOUND={"ticket": "x"},
        TICKET_MERGED={"ticket": merged},
    ),
    "correctWork": of(
        {"workEntry": entry, "interruption": 10, "reason": "So it is"},
        **NO_WORK,
        REASON_REQUIRED={"reason": ABSENT},
        INVALID_VALUE={"interruption": 10**9},
    ),
    "moveWork": of(
        {"workEntry": entry, "ticket": ticket},
        **NO_WORK,
        TICKET_NOT_FOUND={"ticket": "x"},
        TICKET_MERGED={"ticket": merged},
    ),
    "markWorkBillable": of({"workEntry": entry}, **NO_WORK),
    "markWorkNotBillable": of({"workEntry": entry}, **NO_WORK),
    "commentWork": of({"workEntry": entry, "comment": "Logs"}, **NO_WORK, INVALID_VALUE={"comment": "\0"}),
    "billWork": of({"workEntry": entry, "contract": contract}, **NO_WORK, **NO_CONTRACT),
    "reverseWork": of({"workEntry": entry, "reason": "So it is"}, **NO_WORK, REASON_REQUIRED={"reason": ABSENT}),
}
