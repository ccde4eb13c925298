"""PostgreSQL itself is ended while commands run: nobody is told a lie, and nobody has to restart anything."""

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from api.serving import following
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.attempts import StoreUnavailable
from application.event_store.streams import EventStore
from application.workspaces import create_workspace
from domain.errors import Conflict
from domain.tickets import AddComment, OpenTicket
from projections.registry import install
from tests.application.recording import Company, versions
from tests.faults.replay import assert_equal_to_a_replay, assert_recorded_once
from tests.faults.rounds import WAIT, Rounds, until


def postmaster(server: EmbeddedPostgres) -> int:
    [file] = (server.root / "pg").glob("[0-9]*/postmaster.pid")
    return int(file.read_text().split()[0])


def stop(server: EmbeddedPostgres, _: random.Random) -> None:
    """As an operator would, in order."""
    os.kill(postmaster(server), signal.SIGINT)


def kill(server: EmbeddedPostgres, _: random.Random) -> None:
    os.kill(postmaster(server), signal.SIGKILL)


def kill_one_of_its_processes(server: EmbeddedPostgres, chance: random.Random) -> None:
    """Whichever: PostgreSQL then ends all others and recovers."""
    children = Path(f"/proc/{postmaster(server)}/task/{postmaster(server)}/children").read_text().split()
    os.kill(int(chance.choice(children)), signal.SIGKILL)


@pytest.mark.parametrize("end", [stop, kill, kill_one_of_its_processes])
def test_commands_and_read_models_outlive_the_end_of_postgresql(
    durable: EmbeddedPostgres, rounds: Rounds, end: Callable[[EmbeddedPostgres, random.Random], None]
) -> None:
    """Six threads give commands all the while, each again until it is acknowledged."""
    database = durable.database()
    database.migrate(install)
    over = threading.Event()
    with durable.kept_running():
        with following(database), EventStore(database) as store:
            company = Company.of(store, create_workspace(database, store, "acme", "Acme"))
            shared = company.ticket()
            acknowledged: list[UUID] = []

            def work(n: int) -> None:
                while not over.is_set():
                    command = uuid4()
                    order = (
                        OpenTicket(title=f"{n}", role="INCIDENT") if n % 2 else AddComment(ticket=shared, body=f"{n}")
                    )
                    while True:
                        try:
                            company.give(order, command_id=command)
                            break
                        except (StoreUnavailable, Conflict):
                            continue
                    acknowledged.append(command)

            with ThreadPoolExecutor(6) as pool:
                working = [pool.submit(work, n) for n in range(6)]
                try:
                    for chance in rounds(test=1, soak=15):
                        before = len(acknowledged)
                        until(lambda: len(acknowledged) > before + 20, "work")  # noqa: B023
                        time.sleep(chance.random() * 0.2)
                        ended = time.monotonic()
                        end(durable, chance)
                        time.sleep(0.1)
                        now = len(acknowledged)
                        until(lambda: len(acknowledged) > now + 6, "work after the restart")  # noqa: B023
                        rounds.took("work went on after", ended)
                finally:
                    over.set()
                for one in working:
                    one.result(timeout=WAIT)
        assert_recorded_once(database, company.workspace.id, acknowledged)
        comments = versions(database, shared)
        assert comments == list(range(1, len(comments) + 1))
        assert_equal_to_a_replay(database)
