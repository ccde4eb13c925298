"""Every mutation is done once, and refused once with each code that it has: by a table, which a new mutation joins.

What any other test of the API is refused must stand there too: `every_refusal_has_its_test`.
"""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from graphql import GraphQLInputObjectType, get_named_type

from application.workspaces import create_workspace
from domain.errors import ErrorCode
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.refusals.cases import ABSENT, COMMON, Case
from tests.api.refusals.scene import FAR_AHEAD, Scene
from tests.api.refusals.table import MUTATIONS
from tests.api.walking import fields_of

BY_HTTP = {ErrorCode.FILE_TOO_LARGE}
"""Of an upload, which is no mutation: tested with attachments."""
REFUSALS = [
    pytest.param(mutation, code, id=f"{mutation}-{code}") for mutation, one in MUTATIONS.items() for code in one.refused
]


@pytest.fixture(scope="module")
def scene(server: Server, token: Callable[..., Client]) -> Scene:
    return Scene(server.store, create_workspace(server.database, server.store, "refusals", "Refusals"), token)


def input_of(mutation: str) -> GraphQLInputObjectType:
    kind = get_named_type(fields_of("Mutation")[mutation].args["input"].type)
    assert isinstance(kind, GraphQLInputObjectType)
    return kind


def sender(scene: Scene, *cases: Case) -> Client:
    by = next((case.by for case in cases if case.by is not None), None)
    return scene.admin if by is None else by(scene)


def said(scene: Scene, case: Case) -> dict[str, Any]:
    """The input, with all that it names made."""
    values = case.said(scene) if callable(case.said) else case.said
    return {name: value(scene) if callable(value) else value for name, value in values.items() if value is not ABSENT}


def overlaid(scene: Scene, done: Case, refused: Case) -> dict[str, Any]:
    """What the refusal says instead of the happy path."""
    more = refused.said(scene) if callable(refused.said) else refused.said
    first = done.said(scene) if callable(done.said) else done.said
    return said(scene, Case({**first, **more}))


def send(client: Client, mutation: str, said: dict[str, Any]) -> dict[str, Any]:
    """The payload, with what all payloads have."""
    kind = input_of(mutation).name
    show = "position replayed userErrors { code field message }"
    query = f"mutation($input: {kind}!) {{ {mutation}(input: $input) {{ {show} }} }}"
    payload: dict[str, Any] = client.ask(query, input=said)
    return payload


def codes(client: Client, mutation: str, said: dict[str, Any]) -> set[str]:
    """All with which it is refused, after which nothing was written."""
    payload = send(client, mutation, said)
    assert payload["position"] is None
    for error in payload["userErrors"]:
        assert error["message"]
    return {error["code"] for error in payload["userErrors"]}


def test_the_table_has_every_mutation_and_every_code() -> None:
    assert MUTATIONS.keys() == fields_of("Mutation").keys()
    known = {ErrorCode(code) for one in MUTATIONS.values() for code in one.refused}
    assert known | COMMON.keys() | BY_HTTP == set(ErrorCode)


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_it_is_done_once_and_refused_for_what_every_command_has(scene: Scene, mutation: str) -> None:
    done = MUTATIONS[mutation].done
    client, input = sender(scene, done), said(scene, done)
    common: dict[ErrorCode, dict[str, Any]] = {
        ErrorCode.INVALID_VALUE: {"commandId": ""},
        ErrorCode.OCCURRED_IN_FUTURE: {"occurredAt": FAR_AHEAD},
        ErrorCode.PERSON_NOT_FOUND: {"onBehalfOf": "x"},
        ErrorCode.CONFLICT: {"expectedVersion": 999},
    }
    for code, more in common.items():
        if more.keys() <= input_of(mutation).fields.keys():
            assert codes(client, mutation, {**input, **more}) == {code}
    if mutation != "bulkTickets":  # which answers for each ticket: tested with it
        assert codes(scene.auditor, mutation, input) == {ErrorCode.FORBIDDEN}
    input["commandId"] = str(uuid4())
    first = send(client, mutation, input)
    assert first["userErrors"] == []
    assert first["position"] is not None
    again = send(client, mutation, input)
    assert (again["userErrors"], again["replayed"], again["position"]) == ([], True, first["position"])
    other = {**input, "reason": "Another command"}
    assert codes(client, mutation, other) == {ErrorCode.COMMAND_ID_REUSED}


@pytest.mark.parametrize(("mutation", "code"), REFUSALS)
def test_it_is_refused(scene: Scene, mutation: str, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = MUTATIONS[mutation]
    case = one.refused[code]
    client, input = sender(scene, case, one.done), overlaid(scene, one.done, case)
    if case.limit is not None:
        monkeypatch.setattr(*case.limit)
    assert codes(client, mutation, input) == {code}
