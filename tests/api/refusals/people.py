"""Mutations of people, teams and services: how each is done, and what refuses it."""

from typing import Any

from api.ids import Kind, encode
from application import people
from application.handling import Context
from application.workspaces import operator
from domain.people import AddPerson, ErasePerson
from tests.api.refusals.cases import Mutation, of
from tests.api.refusals.scene import Scene, key, person, service, team


def erased(scene: Scene) -> str:
    """As far as the log goes; that their texts are gone is seen elsewhere."""
    context = Context(actor=operator(scene.workspace.id))
    someone = people.handle(scene.store, context, AddPerson(name="Somebody")).stream
    people.handle(scene.store, context, ErasePerson(person=someone, act="0a" * 32, journal="0b" * 32))
    return encode(Kind.PERSON, someone)


def gone(scene: Scene) -> dict[str, Any]:
    left = person(scene)
    scene.admin.done("deactivatePerson", "person { id }", person=left)
    return {"person": left}


def member(scene: Scene) -> dict[str, Any]:
    said = {"team": scene.team, "person": person(scene)}
    scene.admin.done("joinTeam", "team { id }", **said)
    return said


MUTATIONS: dict[str, Mutation] = {
    "addPerson": of({"name": "Somebody"}, INVALID_VALUE={"name": " "}),
    "renamePerson": of(
        {"person": person, "name": "Other"},
        INVALID_VALUE={"name": " "},
        PERSON_NOT_FOUND={"person": "x"},
        PERSON_ERASED={"person": erased},
    ),
    "deactivatePerson": of({"person": person}, PERSON_NOT_FOUND={"person": "x"}, PERSON_ERASED={"person": erased}),
    "reactivatePerson": of(gone, PERSON_NOT_FOUND={"person": "x"}, PERSON_ERASED={"person": erased}),
    "addTeam": of({"key": key, "name": "Team"}, INVALID_VALUE={"name": " "}, KEY_TAKEN={"key": "line"}),
    "renameTeam": of({"team": team, "name": key}, INVALID_VALUE={"name": " "}, TEAM_NOT_FOUND={"team": "x"}),
    "joinTeam": of(
        {"team": team, "person": person},
        TEAM_NOT_FOUND={"team": "x"},
        PERSON_NOT_FOUND={"person": "x"},
    ),
    "leaveTeam": of(member, TEAM_NOT_FOUND={"team": "x"}, PERSON_NOT_FOUND={"person": "x"}),
    "addService": of({"key": key, "name": "Service"}, INVALID_VALUE={"name": " "}, KEY_TAKEN={"key": "hosting"}),
    "renameService": of(
        {"service": service, "name": key},
        INVALID_VALUE={"name": " "},
        SERVICE_NOT_FOUND={"service": "x"},
    ),
}
