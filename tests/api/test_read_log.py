"""Who read what: logged of sensitive tickets, of all where the workspace wants it, and not known otherwise."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from graphql import get_named_type, is_interface_type, is_object_type

from api.rows import _READ  # pyright: ignore[reportPrivateUsage]
from api.schema import schema
from application.event_store.attempts import StoreUnavailable
from application.event_store.database import Database, Role
from application.privacy import reads
from application.privacy.reads import ReadLog, Way
from application.workspaces import Workspace
from domain.access import Scope
from projections import privacy
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.subscribing import opened
from tests.api.test_live import head
from tests.served import Served

KNOWN = """query($ticket: ID!, $person: ID!, $at: DateTime) {
  knownTo(ticket: $ticket, person: $person, at: $at) { all logged { from to } reads { nodes { at way } totalCount } }
}"""
TITLE = "query($id: ID) { ticket(id: $id) { title } }"


@pytest.fixture
def auditor(acme: Workspace, token: Callable[..., Client]) -> Client:
    return token(acme, Scope.AUDITOR, name="Auditor")


def known(auditor: Client, ticket: Any, reader: Client, **at: Any) -> Any:
    return auditor.ask(KNOWN, ticket=ticket["id"], person=reader.person, **at)


def ways(auditor: Client, ticket: Any, reader: Client) -> list[str]:
    return [one["way"] for one in known(auditor, ticket, reader)["reads"]["nodes"]]


def marked(client: Client, ticket: Any, sensitive: bool = True) -> None:
    assert client.done("setSensitive", "ticket { sensitive }", ticket=ticket["id"], sensitive=sensitive) == {
        "sensitive": sensitive
    }


def test_reads_of_an_ordinary_ticket_are_not_logged_and_nobody_says_they_were(agent: Client, auditor: Client) -> None:
    ticket = agent.open()
    agent.ask(TITLE, id=ticket["id"])
    assert known(auditor, ticket, agent) == {"all": False, "logged": [], "reads": {"nodes": [], "totalCount": 0}}


def test_who_reads_a_sensitive_ticket_is_logged_with_the_way(agent: Client, admin: Client, auditor: Client) -> None:
    ticket = admin.open()
    marked(admin, ticket)
    agent.ask(TITLE, id=ticket["id"])
    agent.ask(TITLE, id=ticket["id"])
    agent.done("addComment", "ticket { title }", ticket=ticket["id"], body="I see")
    assert ways(auditor, ticket, agent) == ["QUERY", "MUTATION"], "twice in a minute is one"
    told = known(auditor, ticket, agent)
    assert len(told["logged"]) == 1
    assert not told["all"], "before it was marked nobody knows"


READS = [
    "query($id: ID) { ticket(id: $id) { key description } }",
    "query($id: ID) { ticket(id: $id) { comments { nodes { body } } } }",
    "query($id: ID!) { node(id: $id) { ... on Ticket { title } } }",
    "{ tickets { nodes { title } } }",
    "{ board(columns: ROLE) { cells { cards { nodes { key title } } } } }",
    "{ events { nodes { data } } }",
    '{ search(query: "Printer") { nodes { ticket { title } } } }',
    'query($id: ID!) { diff(ticket: $id, from: {occurredAt: "2026-01-01T00:00:00Z"}) { patch } }',
]
NO_READS = [
    "query($id: ID) { ticket(id: $id) { id key url } }",
    "{ tickets { totalCount nodes { key } } }",
    "{ board(columns: ROLE) { cells { count } } }",
]


def asked(client: Client, query: str, ticket: Any) -> None:
    client.ask(query, **({"id": ticket["id"]} if "$id" in query else {}))


@pytest.mark.parametrize("query", READS)
def test_whatever_shows_more_than_its_key_is_a_read(query: str, agent: Client, admin: Client, auditor: Client) -> None:
    ticket = admin.open()
    admin.done("addComment", "ticket { id }", ticket=ticket["id"], body="Said")
    marked(admin, ticket)
    agent.wait_for(int(admin.ask("query($id: ID) { ticket(id: $id) { position } }", id=ticket["id"])["position"]))
    asked(agent, query, ticket)
    assert ways(auditor, ticket, agent) == ["QUERY"]


@pytest.mark.parametrize("query", NO_READS)
def test_what_shows_that_it_is_there_is_none(query: str, agent: Client, admin: Client, auditor: Client) -> None:
    ticket = admin.open()
    marked(admin, ticket)
    asked(agent, query, ticket)
    assert ways(auditor, ticket, agent) == []


def test_a_download_is_a_read(server: Server, agent: Client, admin: Client, auditor: Client) -> None:
    ticket = admin.open()
    upload = server.http.post("/attachments", content=b"File", headers=admin.headers).json()["upload"]
    show = "ticket { attachments { nodes { id } } }"
    attached = admin.done("attachFile", show, ticket=ticket["id"], upload=upload, name="a.txt")["attachments"]["nodes"][
        0
    ]
    marked(admin, ticket)
    assert server.http.get(f"/attachments/{attached['id']}", headers=agent.headers).content == b"File"
    assert ways(auditor, ticket, agent) == ["DOWNLOAD"]


def test_events_about_a_ticket_are_reads_of_it(agent: Client, admin: Client, auditor: Client) -> None:
    ticket = admin.open()
    admin.done("logWork", "workEntry { id }", ticket=ticket["id"], startedAt="2026-03-02T09:00:00Z", seconds=60)
    marked(admin, ticket)
    query = '{ events(types: ["WorkLogged"]) { nodes { data } } }'
    agent.ask(query)
    assert ways(auditor, ticket, agent) == ["QUERY"]


def test_what_the_feed_tells_is_read(server: Server, agent: Client, admin: Client, auditor: Client) -> None:
    ticket, other = admin.open(), admin.open()
    admin.done("logWork", "workEntry { id }", ticket=other["id"], startedAt="2026-03-02T09:00:00Z", seconds=60)
    for one in (ticket, other):
        marked(admin, one)
    page = server.http.get("/feed?limit=1000", headers=admin.headers).text.splitlines()
    [worked] = [n for n, line in enumerate(page) if '"proteus.WorkLogged"' in line]
    before = int(json.loads(page[worked - 1])["sequence"])
    server.http.get(f"/feed?after={before}&limit=1", headers=agent.headers)
    assert (ways(auditor, ticket, agent), ways(auditor, other, agent)) == ([], ["DOWNLOAD"])
    server.http.get("/feed?limit=1000", headers=agent.headers)
    assert ways(auditor, ticket, agent) == ["DOWNLOAD"]


def test_a_statement_s_file_is_a_read_of_its_tickets(
    server: Server, agent: Client, admin: Client, auditor: Client
) -> None:
    ticket, elsewhere = (admin.open(occurredAt="2026-03-01T00:00:00Z") for _ in range(2))
    client = admin.done("addClient", "client { id }", name="Firm", language="en", currency="EUR", timeZone="UTC")
    terms = {"kind": "TIME_AND_MATERIALS", "currency": "EUR", "rates": [{"perHour": "100"}]}
    agreed = {"client": client["id"], "name": "Hours", "appliesFrom": "2026-01-01", "terms": terms}
    contract = admin.done("agreeContract", "contract { id }", **agreed)["id"]
    since = {"occurredAt": "2026-03-01T00:00:00Z"}
    admin.done("bindContract", "ticket { key }", ticket=ticket["id"], contract=contract, **since)
    for one in (ticket, elsewhere):
        admin.done("logWork", "workEntry { id }", ticket=one["id"], startedAt="2026-03-02T09:00:00Z", seconds=3600)
        marked(admin, one)
    files = server.http.get(f"/documents/statements/{contract}/..2026-03-31.csv", headers=agent.headers)
    assert (files.status_code, "100.00" in files.text) == (200, True)
    assert (ways(auditor, ticket, agent), ways(auditor, elsewhere, agent)) == (["DOWNLOAD"], [])
    agent.ask(
        'query($c: ID!) { statement(contract: $c, until: "2026-03-31") { lines { nodes { seconds } } } }', c=contract
    )
    assert (ways(auditor, ticket, agent), ways(auditor, elsewhere, agent)) == (["DOWNLOAD", "QUERY"], [])


SAID = 'subscription($after: Position) { events(afterPosition: $after, types: ["CommentAdded"]) { data } }'
CHANGED = "subscription($after: Position) { boardChanged(afterPosition: $after) { changed { title } } }"


@pytest.mark.parametrize("query", [SAID, CHANGED])
def test_what_a_subscription_tells_is_read_by_each_who_hears_it(
    live: Served, agent: Client, admin: Client, auditor: Client, claire: Client, query: str
) -> None:
    """Also of a ticket that was marked after they had begun to listen, and of none before."""
    ordinary, ticket = admin.open(), admin.open()
    with opened(live.socket, agent.secret) as first, opened(live.socket, auditor.secret) as second:
        told = [socket.subscribe(query, after=head(agent)) for socket in (first, second)]
        admin.done("addComment", ticket=ordinary["id"], body="Said")
        for one in told:
            one.next()
        marked(admin, ticket)
        admin.done("addComment", ticket=ticket["id"], body="Said again")
        for one in told:
            while "Said again" not in str(one.next()) and query is SAID:
                pass
    for reader in (agent, auditor):  # a board tells of the mark and of the comment together, or of one after the other
        found = ways(auditor, ticket, reader)
        assert set(found) == {"SUBSCRIPTION"}
        assert len(found) == 1 or query is CHANGED
    assert ways(auditor, ordinary, agent) == []


def test_where_nothing_is_sensitive_no_event_of_a_subscription_asks_for_it(
    server: Server, agent: Client, admin: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    async def counted(*arguments: object) -> dict[UUID, bool]:
        asked.append(arguments)
        return {}

    monkeypatch.setattr(privacy, "sensitive", counted)
    with server.http.websocket_connect("/graphql", ["graphql-transport-ws"], headers=agent.headers) as socket:
        socket.send_json({"type": "connection_init"})
        assert socket.receive_json()["type"] == "connection_ack"
        payload = {"query": SAID, "variables": {"after": head(agent)}}
        socket.send_json({"type": "subscribe", "id": "1", "payload": payload})
        ticket = admin.open()
        for body in ("First", "Second"):
            asked.clear()  # of the first, which may have been there before it listens
            admin.done("addComment", ticket=ticket["id"], body=body)
            assert socket.receive_json()["payload"]["data"]["events"]["data"]["body"] == body
    assert asked == []


# ---- known at an instant


def test_a_ticket_is_found_by_its_index(database: Database, workspace: Workspace) -> None:
    given = {"workspace": workspace.id, "ticket": uuid4(), "at": datetime.now(UTC), "since": datetime.now(UTC)}
    with database.connect(Role.READER) as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace.id),))
        connection.execute("set enable_seqscan = off")  # a table of no rows is read as a whole else
        plan = connection.execute(f"explain {privacy._LOGGED}".encode(), given).fetchall()
    assert any("timeline_ticket" in line for (line,) in plan), plan


# ---- no type is forgotten

OF_NO_TICKET = {
    *("Query", "Mutation", "Subscription", "Node", "PageInfo", "UserError"),
    *("Artifact", "CodeChange", "LineOrigins", "Release", "ReleaseNotes", "ReleaseSection", "Repository", "Tracker"),
    *("Trace", "TraceEnvironment", "TraceNode", "TraceStep", "TracedContract", "MessageCheck"),
    *("Balance", "BalanceChange", "HourMovement", "HourPackage", "PackageBalance", "PackageReport", "EndingHours"),
    *("BillingDocument", "Payment", "SheetFile", "Statement", "TaxShare", "Fee", "Profitability", "Unbilled"),
    *("Client", "Contract", "Grade", "Rate", "Rounding", "Terms", "TermsVersion", "WorkingCalendar"),
    *("Board", "BoardCell", "BoardChange", "BoardLine", "BulkAnswer", "View", "ViewDefinition", "ViewOrder"),
    *("DeliveryMonth", "EstimateAccuracy", "FlowCount", "FlowPoint", "GapMonth", "HoursOfWeek", "Reports"),
    *("TicketGapMonth", "UncontractedWork"),
    *("Checkpoint", "KnownTo", "LoggedStretch", "ReadAccess", "ReadLogging", "Verification"),
    *("Choice", "Field", "FieldPolicy", "Role", "Status", "StatusPreview", "Way", "WipLimit"),
    *("Workflow", "WorkflowPreview", "ProjectionStatus", "ServerStatus", "Viewer", "Workspace"),
    *("Person", "Service", "Team", "Webhook", "WebhookDelivery", "WebhookFilter"),
}
"""What they say is of no ticket, or of many together, or stands in a type of its own within them."""


def test_every_type_that_says_something_of_a_ticket_is_known_to_the_read_log() -> None:
    """One that is new has its line in `api.rows._READ`, unless it is shown within a read type alone, or is of none."""
    core: Any = schema._schema  # pyright: ignore[reportPrivateUsage]
    seen: set[str] = set()
    left = [core.query_type, core.mutation_type, core.subscription_type]
    while left:
        one = left.pop()
        if one.name in seen or one.name in _READ:
            continue
        seen.add(one.name)
        of = [get_named_type(field.type) for field in one.fields.values()]
        left += [inner for inner in of if is_object_type(inner) or is_interface_type(inner)]
        left += core.get_possible_types(one) if is_interface_type(one) else []
    pages = ("Connection", "Edge", "Payload")
    assert {name for name in seen if not name.endswith(pages)} == OF_NO_TICKET
    assert not {*_READ} - core.type_map.keys()


def test_a_workspace_may_want_every_read_logged(agent: Client, admin: Client, auditor: Client) -> None:
    assert admin.done("setReadLogging", "readLogging { all }", all=True) == {"all": True}
    ticket = agent.open()
    agent.ask(TITLE, id=ticket["id"])
    assert known(auditor, ticket, agent)["all"]
    assert ways(auditor, ticket, agent)[-1] == "QUERY"
    assert known(auditor, ticket, admin) | {"logged": []} == {
        "all": True,
        "logged": [],
        "reads": {"nodes": [], "totalCount": 0},
    }, "all was logged, and nothing is there: not read"
    admin.done("setReadLogging", "readLogging { all }", all=False)
    other = agent.open()
    agent.ask(TITLE, id=other["id"])
    assert known(auditor, other, agent)["logged"] == []


def test_what_was_known_at_an_instant_is_what_was_read_by_then(agent: Client, admin: Client, auditor: Client) -> None:
    ticket = admin.open()
    marked(admin, ticket)
    agent.ask(TITLE, id=ticket["id"])
    [read] = known(auditor, ticket, agent)["reads"]["nodes"]
    just_before = datetime.fromisoformat(read["at"]) - timedelta(microseconds=1)
    assert known(auditor, ticket, agent, at=just_before.isoformat())["reads"]["nodes"] == []
    assert known(auditor, ticket, agent, at="2020-01-01T00:00:00Z") is None, "there was no such ticket"
    marked(admin, ticket, sensitive=False)
    [stretch] = known(auditor, ticket, agent)["logged"]
    assert stretch["from"] <= read["at"] < stretch["to"]


def test_who_read_what_is_for_auditors_and_administrators(agent: Client, admin: Client, claire: Client) -> None:
    ticket = admin.open()
    for one in (agent, claire):
        assert one.codes(KNOWN, ticket=ticket["id"], person=admin.person) == ["FORBIDDEN"]
    assert known(admin, ticket, agent)["logged"] == []


def test_nobody_knows_yet_what_will_be_read(admin: Client, auditor: Client) -> None:
    ticket = admin.open()
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    assert auditor.codes(KNOWN, ticket=ticket["id"], person=admin.person, at=tomorrow) == ["BAD_USER_INPUT"]


def test_only_administrators_say_that_all_is_logged(agent: Client, claire: Client, admin: Client) -> None:
    assert agent.refused("setReadLogging", all=True)[0] == "FORBIDDEN"
    ticket = admin.open(requester=claire.person)
    assert claire.refused("setSensitive", ticket=ticket["id"], sensitive=True)[0] == "FORBIDDEN"


def test_sensitivity_is_as_it_was(admin: Client) -> None:
    ticket = admin.open()
    before = admin.ask("query($id: ID) { ticket(id: $id) { position } }", id=ticket["id"])["position"]
    marked(admin, ticket)
    past = "query($id: ID, $p: Position) { ticket(id: $id, asOf: {position: $p}) { sensitive } }"
    assert admin.ask(past, id=ticket["id"], p=before) == {"sensitive": False}


# ---- the log itself


def logged(database: Database, workspace: UUID) -> list[Any]:
    with database.connect(Role.READER) as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace),))
        return connection.execute("select person, ticket, way from read_access order by number").fetchall()


def test_reads_that_come_together_are_written_together_and_each_once(database: Database, workspace: Workspace) -> None:
    people, tickets = [uuid4() for _ in range(20)], [uuid4() for _ in range(5)]

    async def read() -> None:
        log = ReadLog(database)
        await log.open()
        noted = [log.note(workspace.id, person, tickets, Way.QUERY) for person in people for _ in range(3)]
        await asyncio.gather(*noted)
        await log.close()

    asyncio.run(read())
    rows = logged(database, workspace.id)
    assert sorted(rows) == sorted((person, ticket, "QUERY") for person in people for ticket in tickets)


def test_what_cannot_be_logged_is_not_shown(database: Database, workspace: Workspace) -> None:
    async def read() -> None:
        log = ReadLog(database)
        await log.open()
        with database.connect(Role.OWNER) as connection:
            connection.execute("alter table read_access rename to elsewhere")
        with pytest.raises(StoreUnavailable):
            await log.note(workspace.id, uuid4(), [uuid4()], Way.QUERY)
        await log.close()

    asyncio.run(read())


def test_after_whatever_failure_the_next_reads_are_written(
    database: Database, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def read() -> None:
        log = ReadLog(database)
        await log.open()
        with monkeypatch.context() as patched:
            patched.setattr(ReadLog, "_insert", surprised)
            async with asyncio.timeout(5):
                with pytest.raises(StoreUnavailable, match="nobody thought of"):
                    await log.note(workspace.id, uuid4(), [uuid4()], Way.QUERY)
        await log.note(workspace.id, uuid4(), [uuid4()], Way.QUERY)
        await log.close()

    async def surprised(*_: object) -> None:
        raise RuntimeError("nobody thought of")

    asyncio.run(read())
    assert len(logged(database, workspace.id)) == 1
    assert "reads were not logged" in caplog.text


def test_whoever_waits_when_it_is_closed_is_told(
    database: Database, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def stuck(*_: object) -> None:
        await asyncio.Event().wait()

    async def read() -> Sequence[object]:
        log = ReadLog(database)
        await log.open()
        first, second = (asyncio.create_task(log.note(workspace.id, uuid4(), [uuid4()], Way.QUERY)) for _ in range(2))
        await asyncio.sleep(0.05)
        third = asyncio.create_task(log.note(workspace.id, uuid4(), [uuid4()], Way.QUERY))
        await asyncio.sleep(0)
        await log.close()
        async with asyncio.timeout(5):
            return await asyncio.gather(first, second, third, return_exceptions=True)

    monkeypatch.setattr(ReadLog, "_insert", stuck)
    assert [type(answer) for answer in asyncio.run(read())] == [StoreUnavailable] * 3


def test_records_of_reads_are_kept_for_a_time(database: Database, workspace: Workspace) -> None:
    async def read() -> None:
        log = ReadLog(database)
        await log.open()
        await log.note(workspace.id, uuid4(), [uuid4(), uuid4()], Way.QUERY)
        await log.close()

    asyncio.run(read())
    assert reads.forget(database, timedelta(days=1)) == 0
    assert len(logged(database, workspace.id)) == 2
    assert reads.forget(database, timedelta(0)) == 2
    assert logged(database, workspace.id) == []


def test_nobody_writes_or_removes_reads_of_others(database: Database, workspace: Workspace) -> None:
    """Whoever serves may add, and nobody but the owner may take away."""

    for role in (Role.APP, Role.READER, Role.PROJECTOR):
        with database.connect(role) as connection:
            for statement in ("delete from read_access", "update read_access set person = ticket"):
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(statement.encode())
    with database.connect(Role.APP) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(
            "insert into read_access (workspace, person, ticket, way) values (%s, %s, %s, 'QUERY')",
            (uuid4(), uuid4(), uuid4()),
        )
