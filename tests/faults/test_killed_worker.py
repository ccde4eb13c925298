"""`proteus worker`, as it is started in production: one leads, one stands by; whichever is killed, or the leader
paused, the read models go on and are what a replay gives."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from psycopg.conninfo import conninfo_to_dict

from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database, Role
from application.event_store.wakeup import CHANNEL
from domain.tickets import AddComment
from projections.registry import TOGETHER
from tests.application.recording import Company
from tests.faults import process
from tests.faults.replay import assert_equal_to_a_replay, assert_recorded_once, head, places
from tests.faults.rounds import WAIT, Rounds, until
from tests.faults.server import worker

TAKES_OVER_IN = 10
COMMENTS = 500
"""On one ticket, then they open another. Who takes over loads the tickets that are written to: with one that grows for
a quarter of an hour this would measure its length."""
SUCCEEDED_IN = 20
"""Seconds, as promised: a busy machine included. The lease of a paused leader is ten of them."""


@contextmanager
def commands(company: Company) -> Iterator[list[UUID]]:
    """Three threads give them, until the context ends. Yields those that were acknowledged."""
    over = threading.Event()
    acknowledged: list[UUID] = []

    def work() -> None:
        while not over.is_set():
            ticket = company.ticket()
            for _ in range(COMMENTS):
                if over.wait(0.005):
                    return
                command = uuid4()
                company.give(AddComment(ticket=ticket, body="Still"), command_id=command)
                acknowledged.append(command)

    with ThreadPoolExecutor(3) as pool:
        working = [pool.submit(work) for _ in range(3)]
        try:
            yield acknowledged
        finally:
            over.set()
        for one in working:
            one.result(timeout=WAIT)


def passed(database: Database, position: int) -> bool:
    return min(places(database).values()) >= position


def hear(postgres: EmbeddedPostgres, database: Database, workers: int) -> None:
    """Waits until so many workers are there: each of their engines has a connection that hears of appends, and their
    sequencer one."""
    name = conninfo_to_dict(database.url)["dbname"]
    query = "select count(*) from pg_stat_activity where datname = %s and query = %s"
    with psycopg.connect(postgres.dsn, autocommit=True) as superuser:
        listeners = workers * (len(TOGETHER) + 1)
        until(
            lambda: superuser.execute(query, (name, f"listen {CHANNEL}")).fetchone() == (listeners,),
            f"{workers} workers",
        )


def epochs(database: Database) -> dict[str, int]:
    with database.connect(Role.PROJECTOR) as connection:
        return dict(connection.execute("select name, epoch from tracking").fetchall())


def test_when_a_worker_is_killed_the_other_takes_over(
    database: Database, postgres: EmbeddedPostgres, company: Company, rounds: Rounds, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    with ExitStack() as stack:
        workers = [stack.enter_context(worker(database, said)) for _ in range(2)]
        with commands(company) as acknowledged:
            until(lambda: len(acknowledged) > 100 and passed(database, 100), "a beginning")
            for chance in rounds(test=1, soak=30):
                hear(postgres, database, 2)
                workers.pop(chance.randrange(2)).kill()
                killed, position = time.monotonic(), head(database)
                until(lambda: passed(database, position), "the other's turn", TAKES_OVER_IN)  # noqa: B023
                rounds.took("what was recorded then is shown after", killed)
                workers.append(stack.enter_context(worker(database, said)))
    assert_recorded_once(database, company.workspace.id, acknowledged)
    assert_equal_to_a_replay(database)


def test_a_leader_that_is_paused_past_its_lease_is_succeeded_and_writes_no_more(
    database: Database, postgres: EmbeddedPostgres, company: Company, rounds: Rounds, tmp_path: Path
) -> None:
    """SIGSTOP: its connection lives, and with it its lock, until whoever stands by ends it."""
    said = tmp_path / "said"
    with worker(database, said) as leader, ExitStack() as stack, commands(company) as acknowledged:
        until(lambda: len(acknowledged) > 100 and passed(database, 100), "a beginning")
        standby = stack.enter_context(worker(database, said))
        for chance in rounds(test=1, soak=12):
            hear(postgres, database, 2)
            time.sleep(chance.random())
            with process.paused(leader.process.pid):
                paused, position = time.monotonic(), head(database)
                until(lambda: passed(database, position), "the next leader", SUCCEEDED_IN)  # noqa: B023
                rounds.took("succeeded after", paused)
            reign = epochs(database)
            position = head(database)
            until(lambda: passed(database, position), "the read models")  # noqa: B023
            time.sleep(1)
            assert epochs(database) == reign, "the old one, continued, stands by"
            leader, standby = standby, leader
    assert_recorded_once(database, company.workspace.id, acknowledged)
    assert_equal_to_a_replay(database)
