"""A process of its own that works on a test's database, to be killed: `python -m tests.faults.process WHAT URL …`."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID, uuid4

import psycopg

from application import tickets
from application.event_store.attempts import StoreUnavailable
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import operator
from domain.errors import Conflict
from domain.tickets import AddComment
from projections import engine
from projections.registry import PROJECTIONS
from tests.application.recording import insertion, writer


def start(what: str, database: Database, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.process", what, database.url, *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def hold(database: Database, workspace: UUID) -> None:
    """Inserts an event and never commits it."""
    with writer(database, workspace) as undecided:
        undecided.execute(*insertion(workspace=workspace))
        print("holding", flush=True)
        sys.stdin.read()


def comment(database: Database, workspace: UUID, ticket: UUID, threads: int, comments: int) -> None:
    """Writes comments; says of each when it was acknowledged."""
    actor, one_line = operator(workspace), threading.Lock()
    with EventStore(database) as store:

        def write(_: int) -> None:
            for _ in range(comments):
                command = uuid4()
                order = AddComment(ticket=ticket, body=str(command))
                given = Context(actor=actor, command_id=command)
                while True:
                    try:
                        tickets.handle(store, given, order)
                        break
                    except (Conflict, StoreUnavailable):
                        continue
                with one_line:
                    print(command, flush=True)

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(write, range(threads)))


def project(database: Database, batch: int) -> None:
    """Follows the log in small steps, until it is killed."""
    engine.BATCH = batch
    following = engine.Engine(database, PROJECTIONS)

    def stop_at_end_of_input() -> None:
        sys.stdin.read()
        following.stop()

    threading.Thread(target=stop_at_end_of_input, daemon=True).start()
    print("following", flush=True)
    following.run()


def main(what: str, url: str, *arguments: str) -> None:
    database = Database(url)
    match what, arguments:
        case "hold", (workspace,):
            hold(database, UUID(workspace))
        case "comment", (workspace, ticket, threads, comments):
            comment(database, UUID(workspace), UUID(ticket), int(threads), int(comments))
        case "project", (batch,):
            project(database, int(batch))
        case _:
            raise AssertionError(what)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except psycopg.OperationalError:
        sys.exit(1)
