"""Starting on data that is there: how soon requests are answered, and what the server holds in memory at rest."""

import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database
from application.event_store.streams import EventStore
from bench.company import furnish
from bench.figures import Figure, Spread
from bench.history import record
from bench.lab import Lab, free_port, resident_bytes, running, wait_until_answered
from bench.waiting import wait_until_read
from projections.registry import install

TICKETS = 2_000
REST_SECONDS = 3.0


def starting(lab: Lab) -> Iterator[Figure]:
    with lab.database() as database:
        _fill(lab, database)
        by_url, rest = zip(
            *(
                lab.said("starting: on a PostgreSQL that runs", lambda: _start(lab, PROTEUS_DATABASE_URL=database.url))
                for _ in range(lab.size.rounds)
            ),
            strict=True,
        )
    home = Path(tempfile.mkdtemp(prefix="pb-"))
    home.chmod(0o711)
    try:
        with EmbeddedPostgres(home) as embedded:
            own = embedded.database()
            own.migrate(install)
            _fill(lab, own)
        embedded_too = [
            lab.said("starting: with the embedded PostgreSQL", lambda: _start(lab, PROTEUS_HOME=str(home)))
            for _ in range(lab.size.rounds)
        ]
    finally:
        shutil.rmtree(home, ignore_errors=True)
    yield Figure(name="start until ready, on a PostgreSQL that runs", unit="s", value=Spread.of(by_url), limit=1.5)
    yield Figure(
        name="start until ready, with its embedded PostgreSQL",
        unit="s",
        value=Spread.of([seconds for seconds, _ in embedded_too]),
        limit=1.5,
    )
    yield Figure(name="memory of the server at rest, without PostgreSQL", unit="MB", value=Spread.of(rest))


def _fill(lab: Lab, database: Database) -> None:
    company = furnish(database, 0)
    with EventStore(database) as store:
        record(store, company, lab.size.of(TICKETS, 10))
    with running(["-m", "api.command_line", "worker"], PROTEUS_DATABASE_URL=database.url):
        wait_until_read(database)


def _start(lab: Lab, **settings: str) -> tuple[float, float]:
    """Seconds until it is ready, and megabytes a while later."""
    port = free_port()
    started = time.monotonic()
    with running(["-m", "api.command_line", "serve", "--port", str(port)], **settings) as process:
        wait_until_answered(process, f"http://127.0.0.1:{port}/health/ready")
        taken = time.monotonic() - started
        time.sleep(REST_SECONDS * min(1.0, lab.size.scale * 10))
        return taken, resident_bytes(process.pid) / 1e6
