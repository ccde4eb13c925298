"""PostgreSQL itself is restarted while commands run: nobody is told a lie, and nobody has to restart Proteus."""

import shutil
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from application.embedded_postgres import EmbeddedPostgres
from application.event_store.attempts import StoreUnavailable
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.workspaces import create_workspace
from domain.errors import Conflict
from domain.tickets import AddComment, OpenTicket
from projections.engine import Engine
from projections.registry import PROJECTIONS, install
from tests.application.recording import Company, log, versions
from tests.faults.rounds import ROUNDS, WAIT
from tests.faults.test_killed_engine import assert_equal_to_a_replay


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    """A server of its own, and a durable one."""
    root = Path(tempfile.mkdtemp(prefix="pt-"))
    root.chmod(0o711)
    try:
        with EmbeddedPostgres(root) as server:
            yield server
    finally:
        shutil.rmtree(root, ignore_errors=True)


def test_commands_and_read_models_outlive_restarts_of_postgresql(server: EmbeddedPostgres) -> None:
    database: Database = server.database()
    database.migrate(install)
    stop = threading.Event()
    engine = Engine(database, PROJECTIONS)
    projecting = threading.Thread(target=engine.run, daemon=True)
    with EventStore(database) as store:
        company = Company.of(store, create_workspace(database, store, "acme", "Acme"))
        shared = company.ticket()

        def work(n: int) -> list[UUID]:
            done: list[UUID] = []
            while not stop.is_set():
                command, text = uuid4(), f"{n}.{len(done)}"
                order = OpenTicket(title=text, role="INCIDENT") if n % 2 else AddComment(ticket=shared, body=text)
                while command not in done:
                    try:
                        company.give(order, command_id=command)
                        done.append(command)
                    except (StoreUnavailable, Conflict):
                        continue
            return done

        projecting.start()
        with ThreadPoolExecutor(6) as pool:
            working = [pool.submit(work, n) for n in range(6)]
            try:
                for _ in range(ROUNDS):
                    before = len(log(database))
                    server.stop()
                    server.start()
                    for _ in range(WAIT * 50):
                        if len(log(database)) > before + 20:
                            break
                        stop.wait(0.02)
                    assert len(log(database)) > before + 20, "work goes on after the restart"
            finally:
                stop.set()
            done = [command for one in working for command in one.result(timeout=WAIT)]
    engine.stop()
    projecting.join(WAIT)

    recorded = Counter(row["command_id"] for row in log(database))
    assert {command: recorded[command] for command in done} == dict.fromkeys(done, 1)
    comments = versions(database, shared)
    assert comments == list(range(1, len(comments) + 1))
    assert_equal_to_a_replay(database)
