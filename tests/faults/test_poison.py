"""An event that nobody can read: its stream is parked and marked, all others go on, and when it can be read again one
command makes up for it. With the programs as they are started in production."""

import os
import subprocess
import time
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.ids import Kind, decode
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import DATABASE_VARIABLE, Database
from tests.application.recording import Company, insertion, writer
from tests.faults.replay import assert_equal_to_a_replay
from tests.faults.rounds import Rounds
from tests.faults.server import PROTEUS, SEEN, Client, serve, token

UNREADABLE, MENDED = b"no JSON", b'{"priority":"HIGH"}'
SHOWN = "query($ticket: ID!) { ticket(id: $ticket) { stale priority version } }"
PARKED = "{ status { projections { parkedStreams } } }"


def proteus(database: Database, *arguments: str) -> tuple[int, str]:
    """Exit code and what it says."""
    environment = os.environ | {DATABASE_VARIABLE: database.url, "COLUMNS": "200"}
    done = subprocess.run([PROTEUS, *arguments], env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def parked(client: Client) -> set[int]:
    return {one["parkedStreams"] for one in client.ask(PARKED)["projections"]}


def test_a_poisoned_stream_is_parked_and_made_up_by_one_command(
    database: Database, postgres: EmbeddedPostgres, company: Company, rounds: Rounds, tmp_path: Path
) -> None:
    mender = make_conninfo(postgres.dsn, dbname=conninfo_to_dict(database.url)["dbname"])
    with (
        serve(database, tmp_path / "said") as (_, address),
        Client(address, token(database, company)) as client,
        psycopg.connect(mender, autocommit=True) as superuser,
    ):
        for _ in rounds(test=1, soak=10):
            damaged, other = client.open("Damaged"), client.open("Fine")
            poison = insertion(
                workspace=company.workspace.id,
                stream=decode(damaged, Kind.TICKET),
                version=2,
                name="PriorityChanged",
                state=UNREADABLE,
            )
            with writer(database, company.workspace.id) as connection:
                connection.execute(*poison)
                connection.commit()
            written = time.monotonic()
            assert client.ask(SEEN, ticket=other, position=client.comment(other)) == {"commentCount": 1}
            rounds.took("others go on after", written)
            assert parked(client) == {1}, "in every read model, and nothing else"
            assert client.ask(SHOWN, ticket=damaged) == {"stale": True, "priority": "NORMAL", "version": 1}
            assert client.ask(SHOWN, ticket=other)["stale"] is False
            code, said = proteus(database, "status")
            assert (code, "proteus retry" in said) == (0, True)
            code, said = proteus(database, "retry")
            assert (code, "still parked" in said) == (1, True)

            superuser.execute("update proteus.event set state = %s where state = %s", (MENDED, UNREADABLE))
            code, said = proteus(database, "retry")
            assert (code, "made up" in said) == (0, True)
            assert parked(client) == {0}
            assert client.ask(SHOWN, ticket=damaged) == {"stale": False, "priority": "HIGH", "version": 2}
    assert_equal_to_a_replay(database)
