"""What GraphQL answers, compared with a fold of the stored events by the domain's own evolve: nothing of the engine and
of the read models is believed."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from litestar.testing import TestClient

from api.app import application
from api.ids import Kind, encode
from api.scalars import write_time
from application.event_store.database import Database, Role
from application.event_store.envelope import Stream
from application.event_store.event_types import fold
from application.event_store.streams import EventStore
from application.tokens import issue_token
from domain.access import Scope
from domain.people import Person
from domain.services import Service
from domain.teams import Team
from domain.tickets import LinkKind, Ticket
from tests.api.asking import Client
from tests.application.recording import Company

TICKETS = """query($after: String) { tickets(first: 100, after: $after) { totalCount pageInfo { hasNextPage endCursor }
  nodes { id key title description role { key } workflow { key version } status { key } statusSince priority channel
          requester { id } assignee { id } team { id } service { id } parent { id } tags fields dueAt openedAt closedAt
          commentCount version position } } }"""
PEOPLE = """query($after: String) { people(first: 100, after: $after) { pageInfo { hasNextPage endCursor }
  nodes { id name kind email active } } }"""
TEAMS = """query($after: String) { teams(first: 100, after: $after) { pageInfo { hasNextPage endCursor }
  nodes { id key name members(first: 100) { nodes { id } } } } }"""
SERVICES = """query($after: String) { services(first: 100, after: $after) { pageInfo { hasNextPage endCursor }
  nodes { id key name } } }"""
COLUMNS = """query($workflow: String!) { board(workflow: $workflow, cardsPerCell: 0) { columns { key count } } }"""


def assert_answers_equal_a_replay(database: Database, company: Company) -> None:
    replayed = _replayed(database, company)
    states = {id_: stream.state for id_, stream in replayed.items()}
    with TestClient(application(database, "http://testserver")) as http:
        client = Client(http, _auditor(database, company))
        assert _all(client, TICKETS) == {
            encode(Kind.TICKET, id_): {**_ticket(id_, replayed[id_], ticket), "commentCount": _talk(id_, states)}
            for id_, ticket in states.items()
            if isinstance(ticket, Ticket)
        }
        assert _all(client, PEOPLE) == {
            encode(Kind.PERSON, id_): {
                "id": encode(Kind.PERSON, id_),
                "name": person.name,
                "kind": person.kind,
                "email": person.email,
                "active": person.active,
            }
            for id_, person in states.items()
            if isinstance(person, Person)
        }
        found = _all(client, TEAMS)
        for id_, team in states.items():
            if isinstance(team, Team):
                answer = found.pop(encode(Kind.TEAM, id_))
                assert (answer["key"], answer["name"]) == (team.key, team.name)
                members = sorted(encode(Kind.PERSON, person) for person in team.members)
                shown = sorted(one["id"] for one in answer["members"]["nodes"])
                assert shown == members if len(members) <= 100 else set(shown) < set(members)
        assert found == {}
        assert _all(client, SERVICES) == {
            encode(Kind.SERVICE, id_): {"id": encode(Kind.SERVICE, id_), "key": service.key, "name": service.name}
            for id_, service in states.items()
            if isinstance(service, Service)
        }
        _compare_boards(client, [ticket for ticket in states.values() if isinstance(ticket, Ticket)])


def _compare_boards(client: Client, tickets: list[Ticket]) -> None:
    """None of them was closed long enough ago to have left the board."""
    for workflow in {ticket.workflow for ticket in tickets}:
        counts = {column["key"]: column["count"] for column in client.ask(COLUMNS, workflow=workflow)["columns"]}
        expected = Counter(ticket.status for ticket in tickets if ticket.workflow == workflow)
        assert {key: count for key, count in counts.items() if count} == dict(expected), workflow


def _replayed(database: Database, company: Company) -> dict[UUID, Stream]:
    streams: dict[UUID, Stream] = {}
    with EventStore(database) as store, database.connect(Role.PROJECTOR) as connection:
        rows = connection.execute(
            "select * from event where workspace = %s order by position", (company.workspace.id,), binary=True
        ).fetchall()
        for envelope in store.mapper.to_envelopes(rows):
            streams[envelope.originator_id] = fold(streams.get(envelope.originator_id), envelope)
    return streams


def _auditor(database: Database, company: Company) -> str:
    """The manager may have been made to leave."""
    return issue_token(
        database, company.workspace.id, company.manager.person, [Scope.AUDITOR], "audit", timedelta(days=1)
    )


def _all(client: Client, query: str) -> dict[str, Any]:
    """All pages' nodes by id."""
    found: dict[str, Any] = {}
    total, after = None, None
    while True:
        page = client.ask(query, after=after)
        found.update({node["id"]: node for node in page["nodes"]})
        total = page.get("totalCount")
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert total in (None, len(found))
    return found


def _ticket(id_: UUID, stream: Stream, ticket: Ticket) -> dict[str, Any]:
    return {
        "id": encode(Kind.TICKET, id_),
        "key": ticket.key,
        "title": ticket.title,
        "description": ticket.description,
        "role": {"key": ticket.role},
        "workflow": {"key": ticket.workflow, "version": ticket.workflow_version},
        "status": {"key": ticket.status},
        "statusSince": _time(ticket.status_since),
        "priority": ticket.priority,
        "channel": ticket.channel,
        "requester": _ref(Kind.PERSON, ticket.requester),
        "assignee": _ref(Kind.PERSON, ticket.assignee),
        "team": _ref(Kind.TEAM, ticket.team),
        "service": _ref(Kind.SERVICE, ticket.service),
        "parent": _ref(Kind.TICKET, ticket.parent),
        "tags": list(ticket.tags),
        "fields": ticket.fields,
        "dueAt": _time(ticket.due_at),
        "openedAt": _time(ticket.opened_at),
        "closedAt": _time(ticket.closed_at),
        "version": stream.version,
        "position": str(stream.position),
    }


def _talk(id_: UUID, states: dict[UUID, Any]) -> int:
    """Comments of the ticket, and of those that were merged into it."""
    ticket = states[id_]
    merged = [link.other for link in ticket.links if link.kind is LinkKind.MERGED_FROM]
    return len(ticket.comments) + sum(_talk(other, states) for other in merged)


def _ref(kind: Kind, id_: UUID | None) -> dict[str, str] | None:
    return {"id": encode(kind, id_)} if id_ else None


def _time(at: datetime | None) -> str | None:
    return write_time(at) if at else None
