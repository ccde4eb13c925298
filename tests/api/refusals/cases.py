"""How an entry of the table is written: how a mutation is done, and an input for each code that refuses it.

What is said of a refusal is laid over what the happy path says; a value that is a function of the scene is made
first."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from uuid import UUID

from api.ids import Kind, encode
from domain.errors import ErrorCode
from tests.api.asking import Client
from tests.api.refusals.scene import LONG_AGO, Scene, ada, closed, merged

ABSENT = object()
"""Takes away what the happy path says."""


class Case(NamedTuple):
    """An input. `by`: who says it, if not the administrator, or who says the happy path. `limit`: a limit that is
    lowered for it, and to what."""

    said: Mapping[str, Any] | Callable[[Scene], dict[str, Any]]
    by: Callable[[Scene], Client] | None = None
    limit: tuple[str, int] | None = None


Said = Mapping[str, Any] | Callable[[Scene], dict[str, Any]] | Case


class Mutation(NamedTuple):
    done: Case
    refused: Mapping[str, Case]


COMMON: Mapping[ErrorCode, frozenset[str | None]] = {
    ErrorCode.FORBIDDEN: frozenset({None, "occurredAt", "onBehalfOf"}),
    ErrorCode.INVALID_VALUE: frozenset({"commandId", "reason"}),
    ErrorCode.CONFLICT: frozenset({None, "expectedVersion"}),
    ErrorCode.COMMAND_ID_REUSED: frozenset({"commandId"}),
    ErrorCode.OCCURRED_IN_FUTURE: frozenset({"occurredAt"}),
    ErrorCode.PERSON_NOT_FOUND: frozenset({"onBehalfOf"}),
}
"""Codes of what every command has (who gives it, when, in whose name, with which id, to which version), and the fields
that they are about."""


def of(done: Said, **refused: Said) -> Mutation:
    return Mutation(_case(done), {code: _case(said) for code, said in refused.items()})


def _case(said: Said) -> Case:
    return said if isinstance(said, Case) else Case(said)


def to_ticket(done: Said, **refused: Said) -> Mutation:
    """Of a command to a ticket that is merged no longer."""
    return of(
        done,
        **{
            "TICKET_NOT_FOUND": {"ticket": "nothing"},
            "TICKET_MERGED": {"ticket": merged},
            "OCCURRED_BEFORE_LAST": {"occurredAt": LONG_AGO},
            **refused,
        },
    )


def to_part(done: Said, **refused: Said) -> Mutation:
    """Of one that a merged ticket takes too."""
    every = to_ticket(done, **refused)
    return Mutation(every.done, {code: case for code, case in every.refused.items() if code != "TICKET_MERGED"})


def agent(scene: Scene) -> Client:
    """Who may do what is everybody's, and nothing for others."""
    return scene.agent


CLOSED: dict[str, Any] = {"ticket": closed}
ADA_S_NARROW: dict[str, Any] = {"role": "NARROW", "assignee": ada}
OVER: dict[str, Any] = {"overrideWipLimit": True, "reason": ABSENT}
PLACED: dict[str, Any] = {
    "ROLE_NOT_FOUND": {"role": "NONE"},
    "TEAM_NOT_FOUND": {"team": "x"},
    "SERVICE_NOT_FOUND": {"service": "x"},
    "FIELD_REQUIRED": {"role": "CARE"},
    "WIP_LIMIT_REACHED": ADA_S_NARROW,
    "REASON_REQUIRED": {**ADA_S_NARROW, **OVER},
    "FORBIDDEN": Case({**ADA_S_NARROW, "reason": "So it is", "overrideWipLimit": True}, by=agent),
}
"""Of a new ticket, and of one that goes elsewhere."""
NO_PERSON, NO_TEAM, NO_SERVICE = (encode(kind, UUID(int=7)) for kind in (Kind.PERSON, Kind.TEAM, Kind.SERVICE))
NO_CONTRACT: dict[str, Any] = {"CONTRACT_NOT_FOUND": {"contract": "x"}}
