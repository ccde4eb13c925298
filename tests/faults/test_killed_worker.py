"""`proteus worker`, as it is started in production: one leads, one stands by; whichever is killed, the read
models go on and are what a replay gives."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from uuid import UUID, uuid4

from application.event_store.database import Database
from domain.tickets import AddComment
from tests.application.recording import Company
from tests.faults.replay import assert_equal_to_a_replay, assert_recorded_once, head, places
from tests.faults.rounds import WAIT, Rounds, until
from tests.faults.server import Proteus, worker

TAKES_OVER_IN = 30
"""Seconds, as promised: a busy machine included."""


def test_when_a_worker_is_killed_the_other_takes_over(
    database: Database, company: Company, rounds: Rounds, tmp_path: Path
) -> None:
    """Three threads give commands all the while."""
    over = threading.Event()
    acknowledged: list[UUID] = []

    def work() -> None:
        ticket = company.ticket()
        while not over.is_set():
            command = uuid4()
            company.give(AddComment(ticket=ticket, body="Still"), command_id=command)
            acknowledged.append(command)
            over.wait(0.005)

    def passed(position: int) -> bool:
        return min(places(database).values()) >= position

    with ExitStack() as stack, ThreadPoolExecutor(3) as pool:
        said = tmp_path / "said"
        workers: list[Proteus] = [stack.enter_context(worker(database, said)) for _ in range(2)]
        working = [pool.submit(work) for _ in range(3)]
        try:
            until(lambda: passed(head(database) - 1_000) and head(database) > 200, "a beginning")
            for chance in rounds(test=1, soak=30):
                workers.pop(chance.randrange(2)).kill()
                killed, position = time.monotonic(), head(database)
                until(lambda: passed(position), "the other's turn", TAKES_OVER_IN)  # noqa: B023
                rounds.took("what was recorded then is shown after", killed)
                workers.append(stack.enter_context(worker(database, said)))
                time.sleep(chance.random())
        finally:
            over.set()
        for one in working:
            one.result(timeout=WAIT)
    assert_recorded_once(database, company.workspace.id, acknowledged)
    assert_equal_to_a_replay(database)
