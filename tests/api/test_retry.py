"""Parked streams, as clients and operators see them."""

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.ids import Kind, decode
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.workspaces import Workspace
from domain.tickets import Priority, SetPriority
from projections.engine import Session
from projections.registry import PROJECTIONS
from projections.retry import list_parked
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.test_command_line import Run, run, sentence
from tests.application.recording import Company, insertion, writer

__all__ = ["run"]

UNREADABLE = {"version": 2, "name": "PriorityChanged", "state": b"no JSON"}


def test_a_ticket_that_a_read_model_left_behind_says_that_it_is_stale(
    server: Server, acme: Workspace, agent: Client
) -> None:
    opened = agent.command("openTicket", title="Fine", role="TASK")["ticket"]
    damaged = agent.command("openTicket", title="Damaged", role="TASK")["ticket"]
    with writer(server.database, acme.id) as connection:
        connection.execute(*insertion(workspace=acme.id, stream=decode(damaged["id"], Kind.TICKET), **UNREADABLE))
        connection.commit()
    later = agent.command("addComment", ticket=opened["id"], body="Goes on")
    agent.wait_for(int(later["position"]))
    shown = agent.ask("{ tickets(orderBy: [{field: KEY, direction: ASC}]) { nodes { title stale } } }")["nodes"]
    assert shown == [{"title": "Fine", "stale": False}, {"title": "Damaged", "stale": True}]
    assert agent.ask("query($key: String) { ticket(key: $key) { stale } }", key=damaged["key"]) == {"stale": True}
    stand = agent.ask("{ status { projections { name parkedStreams } } }")["projections"]
    assert all(one["parkedStreams"] >= 1 for one in stand)


def test_retry_lists_what_is_parked_and_makes_it_up(
    run: Run, postgres: EmbeddedPostgres, database: Database, store: EventStore, workspace: Workspace
) -> None:
    company = Company.of(store, workspace)
    assert run("retry").output == "Nothing is parked.\n"
    ticket, other = company.ticket("One"), company.ticket("Other")
    with writer(database, workspace.id) as connection:
        for stream in (ticket, other):
            connection.execute(*insertion(workspace=workspace.id, stream=stream, **UNREADABLE))
        connection.commit()
    company.give(SetPriority(ticket=company.ticket("Fine"), priority=Priority.LOW))
    with Session(database, {projection.name: projection for projection in PROJECTIONS}) as session:
        session.catch_up()

    listed = run("retry", "--list", "--projection", "board").output
    assert f"acme T-1 ({ticket}) in spans: from version 2 on" in listed
    assert "DecodeError" in listed
    assert "`proteus retry` makes them up" in run("status").output
    assert "1 of 1 are still parked" in sentence(run("retry", "--projection", "spans", "--stream", "T-1"))
    assert run("retry", "--stream", "T-77").output == "Nothing of that is parked.\n"
    assert run("retry", "--workspace", "other").output == "Nothing of that is parked.\n"
    assert "There is no read model 'nope'" in sentence(run("retry", "--projection", "nope"))

    _mend(postgres, database)
    assert f"acme T-1 ({ticket}) in spans: made up, 1 events" in run("retry", "--stream", "t-1").output
    assert {row.number for row in list_parked(database)} == {2}
    assert run("retry").exit_code == 0
    assert list_parked(database) == []


def _mend(postgres: EmbeddedPostgres, database: Database) -> None:
    """As an operator would restore a damaged row from a backup; no role of Proteus may."""
    name = conninfo_to_dict(database.url)["dbname"]
    with psycopg.connect(make_conninfo(postgres.dsn, dbname=name), autocommit=True) as connection:
        state = b'{"priority":"HIGH"}'
        connection.execute("update proteus.event set state = %s where state = %s", (state, UNREADABLE["state"]))
