"""Eight processes give pseudo-random commands of every kind and are killed in between: whatever they do, the
read models and the answers over GraphQL are what a replay of the events gives."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import psycopg
from psycopg.conninfo import conninfo_to_dict

from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database
from tests.application.recording import Company
from tests.faults import process
from tests.faults.answers import assert_answers_equal_a_replay
from tests.faults.replay import assert_equal_to_a_replay, assert_recorded_once
from tests.faults.rounds import WAIT, Rounds

PROCESSES = 8
COMMANDS = 100
"""Of each process in a round: 800 of all."""


class Giver:
    """A process that gives commands. What is left to do when it is killed, its successor does."""

    def __init__(self, database: Database, company: Company, files: Path) -> None:
        self._arguments = (database, company.workspace.id, company.manager.person, files)
        self._process = process.start("command", *self._arguments)
        self.acknowledged: list[UUID] = []
        self.refused = 0

    def give(self, seed: str, killed_after: int | None) -> None:
        """COMMANDS of them; the kill may come when so many were acknowledged."""
        self._tell(seed, COMMANDS)
        done = 0
        while line := self._read():
            if line.startswith("refused"):
                self.refused += int(line.split()[1])
                return
            self.acknowledged.append(UUID(line))
            done += 1
            if done == killed_after:
                self._process.kill()
                # The last line may have been cut by the kill.
                self.acknowledged += [UUID(line) for line in self._rest() if len(line) == 36]
                self._process = process.start("command", *self._arguments)
                self._tell(f"{seed}.again", COMMANDS - done)
        raise AssertionError("it ended by itself; its words are above")

    def end(self) -> None:
        self._process.communicate(timeout=WAIT)

    def _tell(self, seed: str, number: int) -> None:
        assert self._process.stdin is not None
        print(seed, number, file=self._process.stdin, flush=True)

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def _rest(self) -> list[str]:
        rest, _ = self._process.communicate(timeout=WAIT)
        return rest.split("\n")


def test_whatever_is_commanded_and_whoever_is_killed_the_answers_are_what_a_replay_gives(
    database: Database, postgres: EmbeddedPostgres, company: Company, rounds: Rounds, tmp_path: Path
) -> None:
    """In each round two of the processes are killed and started again; in most, the engine and a connection to
    PostgreSQL are killed too. A soak gives 100,000 commands."""
    givers = [Giver(database, company, tmp_path) for _ in range(PROCESSES)]
    following = process.start("project", database, 500)
    with psycopg.connect(postgres.dsn, autocommit=True) as killer, ThreadPoolExecutor(PROCESSES) as pool:
        for chance in rounds(test=1, soak=125):
            seed, victims = chance.getrandbits(32), chance.sample(range(PROCESSES), 2)
            giving = [
                pool.submit(giver.give, f"{seed}.{n}", chance.randint(1, COMMANDS // 4) if n in victims else None)
                for n, giver in enumerate(givers)
            ]
            if chance.random() < 0.7:
                following.kill()
                following.communicate()
                following = process.start("project", database, chance.randint(5, 1000))
            if chance.random() < 0.7:
                killer.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity"
                    " where application_name = 'proteus app' and datname = %s order by random() limit 1",
                    (conninfo_to_dict(database.url)["dbname"],),
                )
            for one in giving:
                one.result()
    for giver in givers:
        giver.end()
    following.communicate(timeout=WAIT)
    acknowledged = [command for giver in givers for command in giver.acknowledged]
    rounds.measure("commands", len(acknowledged) + sum(giver.refused for giver in givers))
    rounds.measure("of them refused", sum(giver.refused for giver in givers))
    assert_recorded_once(database, company.workspace.id, acknowledged)
    assert_equal_to_a_replay(database)
    assert_answers_equal_a_replay(database, company)
