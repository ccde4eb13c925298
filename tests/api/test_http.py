"""The door: tokens, malformed requests, limits, pages for browsers, health. Never a 500 for bad input."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from api.ids import Kind, decode
from application import tokens
from application.event_store.database import Role
from application.workspaces import Workspace, operator
from domain.access import Scope
from projections.registry import NAMES
from tests.api.asking import Client
from tests.api.conftest import Server

ME = "{ me { person { id name } workspace { key name } scopes } }"


def post(server: Server, client: Client, body: bytes, kind: str = "application/json") -> tuple[int, dict[str, Any]]:
    response = server.http.post("/graphql", content=body, headers={**client.headers, "Content-Type": kind})
    answer: dict[str, Any] = response.json()
    return response.status_code, answer


def test_a_token_says_who_one_is(acme: Workspace, agent: Client) -> None:
    assert agent.ask(ME) == {
        "person": {"id": agent.person, "name": "Agent"},
        "workspace": {"key": acme.key, "name": "Acme"},
        "scopes": ["agent"],
    }


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer ", "Basic eDp5", "Bearer proteus_stolen", "x"])
def test_without_a_good_token_nothing_is_answered(server: Server, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = server.http.post("/graphql", json={"query": ME}, headers=headers)
    assert response.status_code == 401
    assert response.json()["errors"][0]["extensions"]["code"] == "UNAUTHENTICATED"
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_revoked_or_expired_token_is_refused_at_once(server: Server, acme: Workspace, agent: Client) -> None:
    assert agent.send(ME)["data"]
    [known] = tokens.list_tokens(server.database, acme.id)
    assert tokens.revoke_token(server.database, acme.id, known.id)
    assert agent.codes(ME) == ["UNAUTHENTICATED"]
    short = tokens.issue_token(
        server.database, acme.id, operator(acme.id).person, [Scope.ADMIN], "short", timedelta(microseconds=1)
    )
    assert Client(server.http, short).codes(ME) == ["UNAUTHENTICATED"]


def test_who_is_deactivated_is_let_in_no_more_and_needs_a_new_token_after_coming_back(
    server: Server, acme: Workspace, agent: Client, admin: Client
) -> None:
    assert agent.send(ME)["data"]
    admin.done("deactivatePerson", "person { active }", person=agent.person)
    assert agent.codes(ME) == ["UNAUTHENTICATED"]
    assert admin.send(ME)["data"]
    admin.done("reactivatePerson", "person { active }", person=agent.person)
    assert agent.codes(ME) == ["UNAUTHENTICATED"]
    person = decode(agent.person, Kind.PERSON)
    again = tokens.issue_token(server.database, acme.id, person, [Scope.AGENT], "again", timedelta(days=1))
    assert Client(server.http, again).send(ME)["data"]
    assert {one.name for one in tokens.list_tokens(server.database, acme.id) if one.revoked_at is None} == {
        *("test", "again")
    }


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[]", b"5", b"null", b'"x"', b"\xff\xfe", b'{"query": "\xc3\x28"}', b"[" * 100_000),
        *(b'{"query": 5}', b'{"query": null}', b"{}", b'{"query": "{me{scopes}}", "variables": []}'),
        b'{"query": "{me{scopes}}", "operationName": {}}',
        b'[{"query": "{me{scopes}}"}]',
        b'{"query": "{me{scopes}}", "variables": {"a": "\\ud800"}}',
    ],
)
def test_what_is_no_request_is_answered_400(server: Server, agent: Client, body: bytes) -> None:
    status, answer = post(server, agent, body)
    assert (status, answer["errors"][0]["extensions"]["code"]) == (400, "BAD_USER_INPUT")
    assert "data" not in answer


@pytest.mark.parametrize(
    "query",
    [
        *(
            "{",
            "{ nope }",
            "{ me }",
            "{ me { scopes } } { me { scopes } }",
            "subscription { x }",
            "fragment a on Query",
        ),
        "{ me { scopes(a: 1) } }",
        "query($a: Int!) { tickets(first: $a) { totalCount } }",
        "query($a: Nope) { me { scopes } }",
        'query($a: Int = "x") { tickets(first: $a) { totalCount } }',
        "{ ticket { key } }",
        '{ ticket(id: "x") { key } }',
        '{ node(id: "x") { id } }',
        '{ tickets(search: "\\u0000") { nodes { key } } }',
        '{ tickets(filter: {title: {eq: "\\ud800"}}) { nodes { key } } }',
        '{ tickets(filter: {openedAt: {gt: "yesterday"}}) { nodes { key } } }',
        "{ tickets(filter: {priority: {eq: URGENT}}) { nodes { key } } }",
        '{ tickets(filter: {nope: {eq: "x"}}) { nodes { key } } }',
        "{ tickets(filter: {field: [{key: 5}]}) { nodes { key } } }",
        '{ board(workflow: "nope") { totalCount } }',
        "{ board(cardsPerCell: -1) { totalCount } }",
        "{ board(cardsPerCell: 99999999999) { totalCount } }",
        "{ board(columns: null) { totalCount } }",
        '{ boardCell(column: "new", row: "x") { nodes { key } } }',
        '{ events(after: "AAAA") { nodes { id } } }',
        '{ ticket(key: "T-1") { ...a } } fragment a on Ticket { ...b } fragment b on Ticket { ...a }',
        "query a { me { scopes } } query b { me { scopes } }",
        "{ a " + "{ a " * 1000,
    ],
)
def test_a_wrong_query_is_bad_input(agent: Client, query: str) -> None:
    assert set(agent.codes(query)) == {"BAD_USER_INPUT"}


def test_a_filter_nested_without_end_is_bad_input(agent: Client) -> None:
    filter: dict[str, Any] = {"key": {"eq": "T-1"}}
    for _ in range(400):
        filter = {"and": [filter]}
    query = "query($f: TicketFilter) { tickets(filter: $f) { totalCount } }"
    assert agent.codes(query, f=filter) == ["BAD_USER_INPUT"]


def test_a_huge_body_is_refused_without_reading_it(server: Server, agent: Client) -> None:
    status, answer = post(server, agent, b'{"query": "{me{scopes}}", "x": "' + b"x" * 10_000_000 + b'"}')
    assert (status, answer["errors"][0]["extensions"]["code"]) == (413, "BAD_USER_INPUT")


def test_other_media_types_and_methods_are_refused(server: Server, agent: Client) -> None:
    assert post(server, agent, b'{"query": "{me{scopes}}"}', "text/plain")[0] == 400
    assert server.http.put("/graphql", headers=agent.headers).status_code == 405
    mutation = 'mutation { openTicket(input: {title: "x", role: "TASK"}) { version } }'
    assert server.http.get("/graphql", params={"query": mutation}, headers=agent.headers).status_code == 400
    assert server.http.get("/graphql", params={"query": "{me{scopes}}"}, headers=agent.headers).status_code == 200
    assert agent.ask("{ tickets { totalCount } }") == {"totalCount": 0}


# ---- limits


def nested(levels: int) -> str:
    return '{ ticket(key: "T-1") ' + "{ parent " * levels + "{ key }" + " }" * levels + " }"


@pytest.mark.parametrize(
    "query",
    [
        nested(30),
        "{ " + " ".join(f"a{n}: me {{ scopes }}" for n in range(31)) + " }",
        "{ tickets(first: 100) { nodes { children(first: 100) { nodes { key parent { key } } } } } }",
        "query($n: Int = 100) { tickets(first: $n) { nodes { children(first: $n) { nodes { id parent { id } } } } } }",
        "{ tickets(last: 100) { edges { node { history { nodes { changes { path } } } } } } }",
        (
            "{ tickets { nodes { ...a } } } fragment a on Ticket { children { nodes { ...b } } }"
            " fragment b on Ticket { children(first: 100) { nodes { id parent { id } } } }"
        ),
        "{ me { scopes } " + "scopes " * 2000 + "}",
    ],
)
def test_what_asks_for_too_much_is_refused_before_it_is_executed(agent: Client, query: str) -> None:
    assert agent.codes(query) == ["COMPLEXITY_LIMIT"]


def test_a_board_of_500_full_cards_is_within_the_limits(agent: Client) -> None:
    agent.ask(
        """{ board(columns: ASSIGNEE, rows: STATUS) {
          columns { key name count person { name } } rows { key name count status { category color } }
          cells { column row count cards { totalCount pageInfo { endCursor hasNextPage } nodes {
            id key title url priority channel tags dueAt statusSince openedAt childCount childDoneCount commentCount
            role { key name } status { key name color } assignee { id name avatarUrl } team { key name }
            requester { name } service { key name } parent { key title } workflow { key } viewerCan
            transitions { status { key name } requires }
          } } } totalCount position } }"""
    )


def test_the_schema_can_be_read_as_graphiql_does(agent: Client) -> None:
    from graphql import get_introspection_query

    assert agent.ask(get_introspection_query(input_value_deprecation=True))["types"]


# ---- faults


def test_an_internal_error_is_masked_and_traced(
    agent: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError("secret of the house")

    monkeypatch.setattr("projections.directory.workspace", broken)
    answer = agent.send(ME)
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "INTERNAL"
    assert "secret" not in json.dumps(answer)
    assert error["extensions"]["traceId"] in caplog.text
    assert "secret of the house" in caplog.text


def test_a_query_that_takes_too_long_is_given_up(agent: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def slow(*_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr("projections.directory.workspace", slow)
    monkeypatch.setattr("api.http.QUERY_SECONDS", 0.05)
    assert agent.codes(ME) == ["UNAVAILABLE"]


# ---- what is open to everybody


def test_health_needs_no_token(server: Server) -> None:
    assert server.http.get("/health/live").json() == {"status": "live"}
    ready = server.http.get("/health/ready")
    assert ready.status_code == 200
    assert set(ready.json()["projections"]) == set(NAMES)


def test_a_server_that_lags_is_not_ready(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("projections.status.BEHIND_SECONDS", -1.0)
    response = server.http.get("/health/ready")
    assert (response.status_code, response.json()["status"][:6]) == (503, "behind")


def test_graphiql_is_served_with_all_it_needs(server: Server) -> None:
    page = server.http.get("/")
    assert page.url.path == "/graphiql/"
    for asset in ("/graphiql/start.js", "/graphiql/vendor/graphiql.min.js", "/graphiql/vendor/graphiql.min.css"):
        assert server.http.get(asset).status_code == 200
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert server.http.get("/graphiql/../app.py").status_code == 404
    assert server.http.get("/graphiql/%2e%2e/app.py").status_code == 404


def test_what_is_not_there_is_not_found(server: Server) -> None:
    response = server.http.get("/nope")
    assert (response.status_code, response.json()["errors"][0]["extensions"]["code"]) == (404, "NOT_FOUND")


def test_status_names_every_read_model(agent: Client) -> None:
    status = agent.ask(
        "{ status { head projections { name position lagEvents lagSeconds parkedStreams rebuilding } } }"
    )
    assert int(status["head"]) > 0
    assert {one["name"] for one in status["projections"]} == set(NAMES)


# ---- apart from each other


@pytest.fixture
def stranger(server: Server, token: Callable[..., Client]) -> Client:
    from application.workspaces import create_workspace

    with server.database.connect(Role.OWNER) as connection:
        count = connection.execute("select count(*) from workspace").fetchone()
    assert count is not None
    return token(create_workspace(server.database, server.store, f"other{count[0]}", "Other"), Scope.ADMIN)


def test_another_workspaces_ids_name_nothing(agent: Client, stranger: Client) -> None:
    theirs = stranger.open("Theirs")
    team = stranger.done("addTeam", "team { id }", key="t", name="T")["id"]
    service = stranger.done("addService", "service { id }", key="s", name="S")["id"]
    event = stranger.ask("{ events(first: 1) { nodes { id } } }")["nodes"][0]["id"]
    mine = agent.open("Mine")
    assert agent.ask("query($id: ID) { ticket(id: $id) { key } }", id=theirs["id"]) is None
    for id_ in (theirs["id"], team, service, event, stranger.person):
        assert agent.ask("query($id: ID!) { node(id: $id) { id } }", id=id_) is None
    assert agent.refused("setPriority", ticket=theirs["id"], priority="LOW") == ("TICKET_NOT_FOUND", ["ticket"])
    assert agent.refused("setParent", ticket=mine["id"], parent=theirs["id"]) == ("TICKET_NOT_FOUND", ["parent"])
    assert agent.refused("assignTicket", ticket=mine["id"], assignee=stranger.person) == (
        "PERSON_NOT_FOUND",
        ["assignee"],
    )
    assert agent.refused("assignTicket", ticket=mine["id"], team=team) == ("TEAM_NOT_FOUND", ["team"])
    assert agent.refused("openTicket", title="x", role="TASK", service=service) == ("SERVICE_NOT_FOUND", ["service"])
    everything = agent.ask("{ tickets { nodes { key title } } events { nodes { actor { id } } } }")
    assert everything["tickets"]["nodes"] == [{"key": mine["key"], "title": "Mine"}]
    assert {"actor": {"id": stranger.person}} not in everything["events"]["nodes"]


def test_a_requester_sees_their_own_tickets_and_what_is_public_in_them(
    acme: Workspace, agent: Client, token: Callable[..., Client]
) -> None:
    client = token(acme, Scope.REQUESTER, name="Client")
    foreign = agent.open("Somebody else's")
    own = client.done("openTicket", "ticket { id key requester { id email } viewerCan transitions { requires } }",
                      title="Mine", role="INCIDENT")  # fmt: skip
    assert own["requester"] == {"id": client.person, "email": None}
    talk = ["addComment", "editComment", "withdrawComment"]
    assert (own["viewerCan"], own["transitions"]) == (["watchTicket", "unwatchTicket", *talk, "attachFile"], [])
    agent.done("addComment", ticket=own["id"], body="Between us.", visibility="INTERNAL")
    seen = client.done(
        "addComment",
        "ticket { commentCount comments { nodes { body } totalCount } history { nodes { type } totalCount } }",
        ticket=own["id"],
        body="Hello?",
    )
    assert (seen["commentCount"], seen["comments"]) == (1, {"nodes": [{"body": "Hello?"}], "totalCount": 1})
    assert [event["type"] for event in seen["history"]["nodes"]] == ["TicketOpened", "CommentAdded"]
    assert client.ask("{ tickets { nodes { key } totalCount } }") == {"nodes": [{"key": own["key"]}], "totalCount": 1}
    assert client.ask("{ board { totalCount } }") == {"totalCount": 1}
    assert client.ask("query($k: String) { ticket(key: $k) { key } }", k=foreign["key"]) is None
    assert client.ask("query($id: ID!) { node(id: $id) { id } }", id=foreign["id"]) is None
    assert client.refused("addComment", ticket=foreign["id"], body="x") == ("TICKET_NOT_FOUND", ["ticket"])
    assert client.refused("setPriority", ticket=own["id"], priority="LOW")[0] == "FORBIDDEN"
    assert client.refused("addTeam", key="x", name="X") == ("FORBIDDEN", None)
    assert client.codes("{ people { totalCount } }") == ["FORBIDDEN"]
    assert client.codes("{ teams { totalCount } }") == ["FORBIDDEN"]


def test_a_database_that_is_away_is_said_so(server: Server, agent: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise psycopg.OperationalError("host db.internal is down")

    monkeypatch.setattr("projections.directory.workspace", away)
    answer = agent.send(ME)
    [error] = answer["errors"]
    assert (error["extensions"]["code"], error["extensions"]["retryAfter"]) == ("UNAVAILABLE", 1)
    assert "db.internal" not in json.dumps(answer)
