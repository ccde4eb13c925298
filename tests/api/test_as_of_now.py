"""As of this moment everything is as it is: whatever was commanded, every field of the schema that has a past answers
the same with and without it."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest

from application.handling import Context
from application.workspaces import Workspace, create_workspace, operator
from domain.access import Actor, Scope
from domain.errors import Refused
from domain.people import AddPerson
from domain.services import AddService
from domain.teams import AddTeam
from domain.tickets import OpenTicket
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.test_requesters_view import TERMS
from tests.api.walking import fields_of, needed, selections
from tests.faults.commands import Commander

COMMANDS = 300
ONLY_NOW = ("viewerCan", "transitions")
"""What may be done is told of the present alone."""


@pytest.fixture(scope="module")
def company(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Whose people have given every kind of command, as chance would have it."""
    workspace = create_workspace(server.database, server.store, "asofnow", "As of now")
    someone = Actor(workspace=workspace.id, person=operator(workspace.id).person, scopes=frozenset({Scope.ADMIN}))
    commander = Commander(server.store, someone, tmp_path_factory.mktemp("files"), "as of now")
    for n in range(4):
        commander.give(AddPerson(name=f"Person {n}"), Context(actor=someone))
        commander.give(AddTeam(key=f"team{n}", name=f"Team {n}"), Context(actor=someone))
        commander.give(AddService(key=f"service{n}", name=f"Service {n}"), Context(actor=someone))
        commander.give(OpenTicket(title=f"Ticket {n}", role="INCIDENT"), Context(actor=someone))
    done = 0
    for _ in range(COMMANDS):
        with suppress(Refused):
            commander.give(commander.draw(), commander.context())
            done += 1
    assert done > COMMANDS // 4
    return workspace


def moments(client: Client) -> list[str]:
    head, now = client.ask("{ status { head } }")["head"], datetime.now(UTC).isoformat()
    return [f'{{position: "{head}"}}', f'{{recordedAt: "{now}"}}', f'{{occurredAt: "{now}"}}']


def plain(answer: Any) -> Any:
    """Without what is told of now alone, and without what goes on counting while a span is open."""
    if isinstance(answer, dict):
        counting = answer.get("__typename") == "Span" and answer["to"] is None
        return {
            name: plain(one)
            for name, one in answer.items()
            if name not in ONLY_NOW and not (counting and name == "seconds")
        }
    return [plain(one) for one in answer] if isinstance(answer, list) else answer


def differing(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Where two answers differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for name in one:
            yield from differing(one[name], other[name], f"{path}.{name}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for n, (here, there) in enumerate(zip(one, other, strict=True)):
            yield from differing(here, there, f"{path}.{n}")
    elif one != other:
        yield f"{path}: {one!r} live, {other!r} as of now"


def some_arguments(client: Client, name: str) -> list[str]:
    match name:
        case "ticket":
            return [f'key: "{one["key"]}"' for one in client.ask("{ tickets(first: 1) { nodes { key } } }")["nodes"]]
        case "tickets":
            return ["first: 20"]
        case "boardCell":
            return ['column: "new", first: 10']
        case "balance" | "statement":
            return [f'contract: "{agreed(client)}"' + (', until: "2026-01-31"' if name == "statement" else "")]
        case _:
            return [", ".join(f"{one}: {value}" for one, value in needed(fields_of("Query")[name], "x").items())]


def agreed(client: Client) -> str:
    """A contract: commands of chance hardly ever agree on one."""
    said = {"name": "A client", "language": "en", "currency": "EUR", "timeZone": "UTC"}
    counterparty = client.done("addClient", "client { id }", **said)["id"]
    terms = {"client": counterparty, "name": "Support", "appliesFrom": "2026-01-01", "terms": TERMS}
    return str(client.done("agreeContract", "contract { id }", **terms)["id"])


def test_every_answer_as_of_now_is_the_live_one(company: Workspace, token: Callable[..., Client]) -> None:
    client = token(company, Scope.ADMIN)
    answered = set()
    # What hangs on a repository, which no command of chance fills, has its past in test_traceability_chain.
    past = {
        name: field
        for name, field in fields_of("Query").items()
        if "asOf" in field.args and "repository" not in field.args and name != "trace"
    }
    for name, field in past.items():
        for arguments in some_arguments(client, name):
            instants = moments(client)
            for selected in selections(field, deep=name not in ("ticket", "boardCell")):  # what `tickets` shows
                asked = f"{name}({arguments}) {selected}".replace("()", "")
                live = client.send(f"{{ {asked} }}")
                assert "errors" not in live, (asked, live["errors"])
                for moment in instants:
                    then = client.send(f"{{ {name}({arguments} asOf: {moment}) {selected} }}")
                    assert list(differing(plain(live), plain(then))) == [], (asked, moment)
                answered.add(name)
    assert answered == past.keys()
