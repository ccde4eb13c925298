"""`proteus serve` in a process of its own, on a test's database."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from api.runtime import HOME_VARIABLE
from application.event_store.database import DATABASE_VARIABLE, KEYS_VARIABLE, Database

START_SECONDS = 120
STOP_SECONDS = 30


class Served:
    """A server that can be restarted at its address."""

    def __init__(self, database: Database, home: Path, *arguments: str, environment: Mapping[str, str] | None) -> None:
        self.port = _free_port()
        self._command = [sys.executable, "-m", "api.command_line", "serve", "--port", str(self.port), *arguments]
        self._environment = {
            **os.environ,
            DATABASE_VARIABLE: database.url,
            KEYS_VARIABLE: database.keys_url or "",
            HOME_VARIABLE: str(home),
            **(environment or {}),
        }
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def graphql(self) -> str:
        return f"{self.http}/graphql"

    @property
    def socket(self) -> str:
        return f"ws://127.0.0.1:{self.port}/graphql"

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, env=self._environment, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while True:
            assert self._process.poll() is None, "the server ended while it started"
            try:
                urllib.request.urlopen(f"{self.http}/health/live", timeout=5).close()
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < deadline, "the server does not answer"
                time.sleep(0.05)
            else:
                return

    def stop(self) -> int:
        """Returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(STOP_SECONDS)


@contextmanager
def served(
    database: Database, home: Path, *arguments: str, environment: Mapping[str, str] | None = None
) -> Iterator[Served]:
    server = Served(database, home, *arguments, environment=environment)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
