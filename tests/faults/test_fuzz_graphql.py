"""Whatever is sent to the live schema: no internal error, no dropped connection, no server that died, and read models
that can be made of all that was recorded. PROTEUS_SOAK=1 makes it 20,000 requests."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from random import Random

import httpx

from api.ids import Kind, encode
from api.schema import schema
from application import people, tickets
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.tokens import issue_token
from application.workspaces import create_workspace, operator
from domain.access import Scope
from domain.people import AddPerson
from domain.tickets import OpenTicket
from tests.faults.fuzzing import Fuzzer
from tests.faults.replay import assert_equal_to_a_replay, head, places
from tests.faults.rounds import SOAKING, WAIT, Rounds, until
from tests.faults.server import Proteus, serve

REQUESTS = 100
"""Of one round."""
AT_ONCE = 4


def test_random_requests_meet_no_internal_error(
    database: Database, store: EventStore, rounds: Rounds, tmp_path: Path
) -> None:
    secrets, known = _furnished(database, store)
    codes: set[str] = set()
    with serve(database, tmp_path / "said", PROTEUS_TOKEN_RATE="0") as (served, address):
        fuzzers = [Fuzzer(schema._schema, Random()) for _ in range(AT_ONCE)]
        for fuzzer in fuzzers:
            fuzzer.learn([{"id": id_} for id_ in known])
        for chance in rounds(test=4, soak=200):
            fuzzers = [Fuzzer(schema._schema, Random(chance.random()), fuzzer.known) for fuzzer in fuzzers]
            with ThreadPoolExecutor(AT_ONCE) as pool:
                for found in pool.map(lambda fuzzer: _send(served, address, fuzzer, secrets), fuzzers):
                    codes |= found
            until(
                lambda: min(places(database).values()) == head(database),
                f"read models of what was recorded; the log:\n{said(served)}",
            )
    reached = {"OK", "BAD_USER_INPUT", "COMPLEXITY_LIMIT"} | ({"FORBIDDEN"} if SOAKING else set())  # that one is rare
    assert reached <= codes, "it reaches what it is about"
    assert_equal_to_a_replay(database)


def said(served: Proteus) -> str:
    return "\n".join(served.lines()[-100:])


def _furnished(database: Database, store: EventStore) -> tuple[list[str], list[str]]:
    """Tokens of a workspace, and ids of it and of another."""
    ids: list[str] = []
    for key in ("other", "acme"):
        actor = operator(create_workspace(database, store, key, key).id)
        context = Context(actor=actor)
        for n in range(5):
            person = people.handle(store, context, AddPerson(name=f"Person {n}")).stream
            ticket = tickets.handle(store, context, OpenTicket(title=f"Ticket {n}", role="TASK")).stream
            ids += [encode(Kind.PERSON, person), encode(Kind.TICKET, ticket)]

    def secret(*scopes: Scope) -> str:
        # The operator is nobody's record: no command takes their tokens away.
        return issue_token(database, actor.workspace, actor.person, scopes, "fuzz", timedelta(days=1))

    return [*[secret(Scope.ADMIN)] * 9, secret(Scope.AGENT), secret(Scope.REQUESTER), secret(Scope.AUDITOR)], ids


def _send(served: Proteus, address: str, fuzzer: Fuzzer, secrets: list[str]) -> set[str]:
    """Codes of the errors that came back."""
    codes: set[str] = set()
    with httpx.Client(base_url=address, timeout=WAIT) as http:
        for _ in range(REQUESTS // AT_ONCE):
            body = fuzzer.request()
            headers = {"Authorization": f"Bearer {fuzzer.choose(secrets)}", "Content-Type": "application/json"}
            sent = f"to {body[:5000]!r}; the log:\n"
            try:
                response = http.post("/graphql", content=body, headers=headers)
            except httpx.HTTPError as error:
                raise AssertionError(f"{error!r} {sent}{said(served)}") from None
            assert response.status_code < 500, f"{response.text[:2000]} {sent}{said(served)}"
            answer = response.json()
            found = {error["extensions"]["code"] for error in answer.get("errors", ())} or {"OK"}
            # Who asks for a position that is still to come is told that it did not come.
            wrong = {"INTERNAL"} if b"minPosition" in body else {"INTERNAL", "UNAVAILABLE"}
            assert not found & wrong, f"{response.text[:2000]} {sent}{said(served)}"
            fuzzer.learn(answer.get("data"))
            codes |= found
    return codes
