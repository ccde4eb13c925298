"""The server's connections to PostgreSQL are ended one by one: everything recovers by itself, and says
little about it."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database
from tests.application.recording import Company
from tests.faults.replay import assert_equal_to_a_replay, assert_recorded_once
from tests.faults.rounds import Rounds, until
from tests.faults.server import COMMENT, SEEN, Client, clients, serve, token

RECOVERS_IN = 30
"""Seconds, as promised: a busy machine included."""
LINES = 20
"""At most so many, of the server's log, for each connection that is ended."""

Backends = dict[int, str]


@pytest.fixture
def killer(postgres: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    with psycopg.connect(postgres.dsn, autocommit=True) as killer:
        yield killer


def backends(killer: psycopg.Connection, database: Database) -> Backends:
    """The role of each of the server's connections; `listen` for those that hear of appends."""
    rows = killer.execute(
        "select pid, case when query ilike 'listen %%' then 'listen' else application_name end"
        " from pg_stat_activity where datname = %s and application_name like 'proteus %%'",
        (conninfo_to_dict(database.url)["dbname"],),
    ).fetchall()
    return dict(rows)


def test_a_server_that_loses_any_of_its_connections_goes_on(
    database: Database, company: Company, killer: psycopg.Connection, rounds: Rounds, tmp_path: Path
) -> None:
    """Three clients give commands all the while; a fourth asks, after each end, for what it has just written."""
    secret = token(database, company)
    own = set(backends(killer, database))  # those of the test itself
    with (
        serve(database, tmp_path / "said") as (server, address),
        clients(address, secret, 3) as crowd,
        Client(address, secret) as client,
    ):
        ticket = client.open()
        ended: Counter[str] = Counter()
        before = len(server.lines())
        for chance in rounds(test=1, soak=25):
            found = sorted(backends(killer, database).items())
            chance.shuffle(found)
            for pid, role in found:
                if pid in own:
                    continue
                killer.execute("select pg_terminate_backend(%s)", (pid,))
                ended[role] += 1
                at = time.monotonic()
                seen = client.ask(SEEN, ticket=ticket, position=client.comment(ticket))
                assert seen["commentCount"] > 0
                rounds.took(f"{role} back after", at)
                assert time.monotonic() - at < RECOVERS_IN
        assert set(ended) == {"proteus app", "proteus projector", "proteus reader", "listen"}
        lines = (len(server.lines()) - before) / ended.total()
        rounds.measure("lines logged for each", lines)
        assert lines < LINES, "a flood"
        known = [len(one.acknowledged) for one in crowd]
        until(lambda: all(len(one.acknowledged) > n for one, n in zip(crowd, known, strict=True)), "work of everybody")
    told = sum((one.told for one in [client, *crowd]), Counter[str]())
    assert set(told) <= {"UNAVAILABLE"}, "nothing was an internal error"
    acknowledged = [command for one in [client, *crowd] for command in one.acknowledged]
    assert_recorded_once(database, company.workspace.id, acknowledged)
    assert_equal_to_a_replay(database)


def test_a_client_that_is_refused_before_it_was_read_can_ask_again(database: Database, tmp_path: Path) -> None:
    """Its next request does not run into the connection that the answer has ended."""
    with serve(database, tmp_path / "said", "--no-worker") as (_, address), Client(address, "none") as stranger:
        told = Counter(stranger.once(COMMENT, input={"ticket": "x", "body": "b" * 100_000})["code"] for _ in range(50))
    assert told == {"UNAUTHENTICATED": 50}
