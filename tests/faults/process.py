"""A process of its own that works on a test's database, to be killed: `python -m tests.faults.process WHAT URL …`."""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from msgspec.structs import replace

from application import tickets
from application.event_store.attempts import StoreUnavailable
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.handling import Context, Outcome
from application.workspaces import operator
from domain.access import Actor, Scope
from domain.errors import Conflict, Refused
from domain.tickets import AddComment
from projections import engine
from projections.rebuild import rebuild_all
from projections.registry import PROJECTIONS
from tests.application.recording import insertion, writer
from tests.faults.commands import Commander

Process = subprocess.Popen[str]


def start(what: str, database: Database, *arguments: object) -> Process:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.faults.process", what, database.url, *map(str, arguments)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def hold(database: Database, workspace: UUID, limit: str = "0") -> None:
    """Inserts an event and never commits it. `limit`: after which PostgreSQL ends the transaction."""
    with writer(database, workspace) as undecided:
        undecided.execute("select set_config('transaction_timeout', %s, false)", (limit,))
        undecided.commit()
        undecided.execute(*insertion(workspace=workspace))
        print("holding", flush=True)
        sys.stdin.read()


def misbehave(database: Database, workspace: UUID) -> None:
    """For each line of its input, which is a seed, writes some transactions: long ones, rolled back ones, with
    savepoints and pauses of their backend in them. Says first which backend that is."""
    with writer(database, workspace) as connection:
        print(connection.info.backend_pid, flush=True)
        for line in sys.stdin:
            chance = random.Random(line)
            for _ in range(25):
                for _ in range(chance.randint(1, 4)):
                    connection.execute(*insertion(workspace=workspace))
                if chance.random() < 0.2:
                    connection.execute("savepoint one")
                    connection.execute(*insertion(workspace=workspace))
                    connection.execute("rollback to one")
                if chance.random() < 0.3:
                    time.sleep(chance.random() * 0.02)
                if chance.random() < 0.2:
                    with paused(connection.info.backend_pid):
                        time.sleep(chance.random() * 0.02)
                if chance.random() < 0.3:
                    connection.rollback()
                else:
                    connection.commit()
            print("done", flush=True)


@contextmanager
def paused(pid: int) -> Iterator[None]:
    """The process is stopped in its tracks; it goes on whatever comes of it meanwhile."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


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


def command(database: Database, workspace: UUID, person: UUID, files: Path) -> None:
    """For each line "SEED NUMBER" of its input gives so many pseudo-random commands; says of each when it was
    acknowledged, and at the end how many were refused. Every twentieth is sent twice."""
    actor = Actor(workspace=workspace, person=person, scopes=frozenset({Scope.ADMIN}))
    with EventStore(database) as store:
        for line in sys.stdin:
            seed, number = line.split()
            commander, refused = Commander(store, actor, files, seed), 0
            commander.look_around(database)
            for n in range(int(number)):
                order, given = commander.draw(), commander.context()
                try:
                    outcome = insist(lambda: commander.give(order, given))  # noqa: B023
                except Refused:
                    refused += 1
                    continue
                print(given.command_id, flush=True)
                if n % 20 == 0:
                    again = insist(lambda: commander.give(order, given))  # noqa: B023
                    assert again == replace(outcome, replayed=True), (order, outcome, again)
            print("refused", refused, flush=True)


def steadily(database: Database, workspace: UUID, person: UUID, files: Path, rate: float) -> None:
    """So many pseudo-random commands a second, until it is ended; says of each where it left which stream."""
    actor = Actor(workspace=workspace, person=person, scopes=frozenset({Scope.ADMIN}))
    with EventStore(database) as store:
        commander = Commander(store, actor, files, rate)
        commander.look_around(database)
        begun = time.monotonic()
        for n in itertools.count():
            time.sleep(max(0.0, begun + n / rate - time.monotonic()))
            try:
                outcome = insist(lambda: commander.give(commander.draw(), commander.context()))
            except Refused:
                continue
            print(outcome.stream, outcome.position, flush=True)


def rebuild(database: Database) -> None:
    """Of every read model, again and again."""
    while True:
        print("begun", flush=True)
        rebuild_all(database, PROJECTIONS)


def insist(give: Callable[[], Outcome]) -> Outcome:
    """Raises Refused."""
    while True:
        try:
            return give()
        except StoreUnavailable:
            continue


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
        case "hold", (workspace, *limit):
            hold(database, UUID(workspace), *limit)
        case "misbehave", (workspace,):
            misbehave(database, UUID(workspace))
        case "comment", (workspace, ticket, threads, comments):
            comment(database, UUID(workspace), UUID(ticket), int(threads), int(comments))
        case "command", (workspace, person, files):
            command(database, UUID(workspace), UUID(person), Path(files))
        case "steadily", (workspace, person, files, rate):
            steadily(database, UUID(workspace), UUID(person), Path(files), float(rate))
        case "rebuild", ():
            rebuild(database)
        case "project", (batch,):
            project(database, int(batch))
        case _:
            raise AssertionError(what)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except psycopg.OperationalError:
        sys.exit(1)
