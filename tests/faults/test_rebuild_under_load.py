"""Every read model is rebuilt while commands arrive: who reads sees no gap. A rebuild that is killed leaves the
live one serving."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Self
from uuid import UUID

from application.event_store.database import Database, Role
from domain.access import Actor, Scope
from projections import tickets, timeline
from projections.board import BoardAsk, board
from projections.filters import EventFilter, PageAsk
from projections.reading import NOW, ReadModelBehind, ReadModels, View
from projections.rebuild import digest, rebuild_all
from projections.registry import NAMES, PROJECTIONS
from tests.application.recording import Company
from tests.faults import process
from tests.faults.replay import assert_equal_to_a_replay
from tests.faults.rounds import WAIT, Rounds, until

RATE = 200
"""Commands a second, of both processes that give them; what the machine made of it is in the table."""


class Load:
    """Two processes that give commands. `last`: the stream that was written last, and its position."""

    def __init__(self, database: Database, company: Company, files: Path) -> None:
        arguments = (company.workspace.id, company.manager.person, files, RATE / 2)
        self._processes = [process.start("steadily", database, *arguments) for _ in range(2)]
        self.last: tuple[UUID, int] | None = None
        self.given = 0
        for one in self._processes:
            threading.Thread(target=self._read, args=(one,), daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._processes:
            one.kill()
            one.wait(WAIT)

    def _read(self, one: process.Process) -> None:
        assert one.stdout is not None
        for line in one.stdout:
            stream, _, position = line.strip().partition(" ")
            self.last = UUID(stream), int(position)
            self.given += 1


class Readers:
    """Look without a pause, each with a loop of its own. `looked`: how often each has."""

    def __init__(self, database: Database, company: Company, load: Load, number: int) -> None:
        self._database = database
        self._auditor = Actor(
            workspace=company.workspace.id, person=company.manager.person, scopes=frozenset({Scope.AUDITOR})
        )
        self._load = load
        self._over = threading.Event()
        self._missed: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(number)]
        self.looked = [0] * number

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(WAIT)

    def have_looked_again(self) -> None:
        """Waits until each has, and has missed nothing."""
        before = list(self.looked)

        def all_have() -> bool:
            for error in self._missed:
                raise error
            return all(now > then for now, then in zip(self.looked, before, strict=True))

        until(all_have, "another look")

    def _run(self, n: int) -> None:
        try:
            asyncio.run(self._look(n))
        except BaseException as error:
            self._missed.append(error)

    async def _look(self, n: int) -> None:
        async with ReadModels(self._database, size=2) as models:
            view, before = models.view(self._auditor), (0, 0)
            while not self._over.is_set():
                before = await see(view, self._load, before)
                self.looked[n] += 1


async def see(view: View, load: Load, before: tuple[int, int]) -> tuple[int, int]:
    """What was acknowledged is there as soon as its position is passed, and what was counted once does not vanish."""
    last = load.last
    if last is not None:
        stream, position = last
        try:
            await view.models.wait_for(position, *NAMES, workspace=view.actor.workspace)
        except ReadModelBehind:  # late is not wrong
            return before
        details = await tickets.details(view, [stream], NOW)
        if stream in details:  # else it is no ticket's
            assert details[stream].position >= position
            said = await timeline.history(view, [stream], None, None, PageAsk(last=1), NOW)
            assert said[stream].nodes[-1].position >= position
    counts = await tickets.count(view, None, None, NOW), await timeline.event_count(view, EventFilter())
    assert counts[0] >= before[0]
    assert counts[1] >= before[1]
    shown = await board(view, BoardAsk(cards_per_cell=1), NOW)
    assert shown.total_count or not before[0]
    return counts


def test_while_read_models_are_rebuilt_readers_see_no_gap(
    database: Database, company: Company, rounds: Rounds, tmp_path: Path
) -> None:
    for n in range(30):
        company.ticket(f"Ticket {n}")
    following = process.start("project", database, 2_000)
    with Load(database, company, tmp_path) as load, Readers(database, company, load, 3) as readers:
        until(lambda: load.given > RATE, "a beginning")
        readers.have_looked_again()
        began, before = time.monotonic(), load.given
        for chance in rounds(test=1, soak=40):
            at = time.monotonic()
            rebuild_all(database, chance.sample(PROJECTIONS, len(PROJECTIONS)))
            rounds.took("all rebuilt in", at)
            readers.have_looked_again()
        rounds.measure("commands acknowledged a second meanwhile", (load.given - before) / (time.monotonic() - began))
        rounds.measure("looks", sum(readers.looked))
    following.communicate(timeout=WAIT)
    assert_equal_to_a_replay(database)


def digests(database: Database) -> dict[str, str]:
    with database.connect(Role.PROJECTOR) as connection:
        return {table: digest(connection, table, database.schema) for one in PROJECTIONS for table in one.tables}


def test_a_rebuild_killed_at_any_moment_leaves_the_live_one_serving(
    database: Database, company: Company, rounds: Rounds
) -> None:
    for n in range(100):
        company.ticket(f"Ticket {n}")
    assert_equal_to_a_replay(database)
    live = digests(database)
    for chance in rounds(test=2, soak=100):
        with process.start("rebuild", database) as rebuilding:
            assert rebuilding.stdout is not None
            rebuilding.stdout.readline()
            time.sleep(chance.random())  # one takes about half a second
            rebuilding.kill()
        assert digests(database) == live
    assert_equal_to_a_replay(database)
    assert digests(database) == live
