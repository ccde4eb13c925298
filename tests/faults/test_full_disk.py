"""The disk is full: commands are refused clearly, nothing is half written, and when there is space again it goes on
without anybody's hands."""

import os
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from api.ids import Kind, decode
from api.runtime import ATTACHMENTS_VARIABLE
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database
from application.workspaces import find_workspace
from domain.tickets import Ticket
from tests.application.recording import Company
from tests.faults.replay import assert_equal_to_a_replay, assert_recorded_once
from tests.faults.rounds import Rounds, until
from tests.faults.server import ATTACH, COMMENT, Client, serve, token

SIZE = "400m"
LINES_A_SECOND = 40
"""At most so many, of the server's log, while the disk is full and a client tries again and again."""


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own in memory."""
    place = Path(tempfile.mkdtemp(prefix="pt-"))
    place.chmod(0o711)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=711", "proteus-test", place], check=False
    )
    if mounted.returncode:
        place.rmdir()
        pytest.skip("a small file system can be mounted by root alone")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)
        place.rmdir()


def fill(ballast: Path, leave: int = 0) -> None:
    with ballast.open("ab") as file:
        while (free := shutil.disk_usage(ballast.parent).free) > leave:
            with suppress(OSError):  # PostgreSQL took some of it meanwhile
                os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), free - leave)
                return


def use_up_the_wal(disk: Path) -> None:
    """PostgreSQL has files of it in store; where it needs one more and cannot make it, it gives up: PANIC."""
    with suppress(psycopg.Error), psycopg.connect(EmbeddedPostgres(disk).dsn, autocommit=True) as superuser:
        while True:
            superuser.execute("select pg_logical_emit_message(false, 'test', 'one more record'), pg_switch_wal()")


@pytest.mark.parametrize("lacking", ["tables", "wal"])
def test_on_a_full_disk_commands_are_refused_and_with_space_again_they_are_taken(
    small_disk: Path, rounds: Rounds, tmp_path: Path, lacking: str
) -> None:
    """The disk of the embedded PostgreSQL, whose supervisor has to start it again where it gave up."""
    with serve(small_disk, tmp_path / "said") as (server, address):
        secret = (small_disk / "token").read_text().strip()
        told: Counter[str] = Counter()
        with Client(address, secret) as client:
            ticket = client.open()
            for chance in rounds(test=1, soak=12):
                ballast = small_disk / "ballast"
                fill(ballast, leave=chance.choice([0, 100_000, 3_000_000]))
                if lacking == "wal":
                    use_up_the_wal(small_disk)
                body = "".join(chance.choices("абвгд ежз", k=50_000))
                refused, lines, began = 0, len(server.lines()), time.monotonic()
                while time.monotonic() - began < 3 or refused < 2:
                    asked = time.monotonic()
                    answer = client.once(COMMENT, input={"ticket": ticket, "body": body})
                    rounds.took("an answer while full", asked)
                    if "code" in answer:
                        told[answer["code"]] += 1
                        assert answer.get("retryAfter"), (answer, server.lines()[-50:])
                        refused += 1
                rounds.measure("refused a second, while full", refused / (time.monotonic() - began))
                spoken = (len(server.lines()) - lines) / (time.monotonic() - began)
                rounds.measure("lines logged a second, while full", spoken)
                assert spoken < LINES_A_SECOND, server.lines()[lines:]
                ballast.unlink()
                freed = time.monotonic()
                client.comment(ticket)
                rounds.took("commands are taken after", freed)
            until(lambda: client.once("{ status { head } }"), "an answer")
        assert set(told) == {"UNAVAILABLE"}
    with EmbeddedPostgres(small_disk) as postgres:
        database: Database = postgres.database()
        workspace = find_workspace(database, "main")
        assert workspace is not None
        assert_recorded_once(database, workspace.id, client.acknowledged)
        assert_equal_to_a_replay(database)


def test_on_a_full_disk_files_are_refused_and_all_else_goes_on(
    small_disk: Path, database: Database, company: Company, rounds: Rounds, tmp_path: Path
) -> None:
    """The disk of attachments, which is not that of PostgreSQL."""
    where = {ATTACHMENTS_VARIABLE: str(small_disk)}
    with (
        serve(database, tmp_path / "said", **where) as (_, address),
        Client(address, token(database, company)) as client,
    ):
        ticket, kept = client.open(), 0

        def attach() -> None:
            status, answer = client.upload(os.urandom(1_000_000))
            assert status < 300, answer
            client.command(ATTACH, ticket=ticket, upload=answer["upload"], name="a.bin")

        for chance in rounds(test=1, soak=20):
            attach()
            kept += 1
            before = sorted(small_disk.rglob("*"))
            ballast = small_disk / "ballast"
            fill(ballast, leave=chance.choice([0, 500_000, 100_000_000]))
            status, answer = client.upload(os.urandom(3_000_000))
            assert status == 507
            assert answer["errors"][0]["extensions"]["code"] == "STORAGE_FULL"
            client.comment(ticket)
            ballast.unlink()
            assert sorted(small_disk.rglob("*")) == before, "nothing is half written"
            freed = time.monotonic()
            attach()
            kept += 1
            rounds.took("files are taken after", freed)
        [row] = company.store.workspace(company.workspace.id).load([decode(ticket, Kind.TICKET)]).values()
        assert isinstance(row.state, Ticket)
        assert len(row.state.attachments) == kept
    assert_recorded_once(database, company.workspace.id, client.acknowledged)
