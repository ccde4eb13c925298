"""/metrics: what Prometheus is told of this process, and of the read models, whoever keeps them.

It tells of all workspaces together, and must answer while the database is away: so it asks for a secret of the
operator's, not for a token of a workspace. Where PROTEUS_METRICS_TOKEN is unset there is no such page.
"""

import asyncio
import hmac
import os
import platform
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from litestar import Response, get
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException, NotFoundException
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, Info, generate_latest

from api import proofs
from api.settings import BadSetting
from projections import status
from projections.reading import ReadModelsUnavailable

if TYPE_CHECKING:
    from api.runtime import Runtime

TOKEN_VARIABLE = "PROTEUS_METRICS_TOKEN"  # noqa: S105
ENGINE_VARIABLE = "PROTEUS_ENGINE_METRICS"
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 30.0)

REQUESTS = Counter(
    "proteus_requests", "Requests, by what they asked for and the code of the first error.", ["operation", "code"]
)
REQUEST_SECONDS = Histogram(
    "proteus_request_seconds", "From the request's head to its answer.", ["operation"], buckets=SECONDS
)
REQUESTS_NOW = Gauge("proteus_requests_in_flight", "Requests that were let in and are not answered.")
STREAMS_NOW = Gauge("proteus_streams_open", "WebSockets and event streams that are open.")
TURNED_AWAY = Counter("proteus_requests_turned_away", "Requests that were not let in.", ["reason"])
COMMANDS = Counter(
    "proteus_commands", "Commands, and what became of them: OK, REPLAYED or a code.", ["command", "outcome"]
)
COMMAND_SECONDS = Histogram("proteus_command_seconds", "A command, with its wait for a thread.", buckets=SECONDS)
COMMAND_THREADS = Gauge("proteus_command_threads", "Threads that handle commands; `waiting` are commands.", ["state"])
POOL = Gauge(
    "proteus_pool_connections", "Connections to PostgreSQL; `waiting` are those who want one.", ["pool", "state"]
)
DATABASE_UP = Gauge("proteus_database_up", "Whether PostgreSQL said where the read models stand.")
KEYS_UP = Gauge("proteus_keys_up", "Whether the database of keys answers.")
HEAD = Gauge("proteus_log_head_position", "Of the last event.")
POSITION = Gauge("proteus_projection_position", "Of the last event that the read model knows.", ["projection"])
LAG_EVENTS = Gauge("proteus_projection_lag_events", "Events between the read model and the head.", ["projection"])
LAG_SECONDS = Gauge(
    "proteus_projection_lag_seconds", "Age of the first event that the read model lacks.", ["projection"]
)
PARKED = Gauge(
    "proteus_projection_parked_streams", "Streams that could not be folded and are left out.", ["projection"]
)
REBUILDING = Gauge("proteus_projection_rebuilding", "1 while it is rebuilt.", ["projection"])
AUDIT_LAG_EVENTS = Gauge("proteus_audit_lag_events", "Events that have no place in their log of proofs yet.")
AUDIT_LAG_SECONDS = Gauge("proteus_audit_lag_seconds", "Age of the first event that has no place in its log yet.")
AUDIT_TAMPERED = Gauge("proteus_audit_tampered_logs", "Workspaces whose last scrub found an event that differs.")
AUDIT_SCRUBBED = Gauge(
    "proteus_audit_scrubbed_timestamp_seconds", "Since when every log was scrubbed; 0 while one never was."
)
_OF_PROJECTIONS = (POSITION, LAG_EVENTS, LAG_SECONDS, PARKED, REBUILDING)
Info("proteus_build", "Versions.").info({"version": version("proteus"), "python": platform.python_version()})


class Count:
    """Of one command. `outcome` is what became of it."""

    outcome = "FAILED"


@contextmanager
def counted(command: str) -> Generator[Count]:
    count = Count()
    started = time.perf_counter()
    try:
        yield count
    finally:
        COMMANDS.labels(command, count.outcome).inc()
        COMMAND_SECONDS.observe(time.perf_counter() - started)


STATUS_SECONDS = 3.0
"""How long a scrape waits for PostgreSQL; what this process counts is shown all the same."""


@get("/metrics", media_type=CONTENT_TYPE_LATEST)
async def exposed(headers: dict[str, str], state: State) -> Response[bytes]:
    secret = os.environ.get(TOKEN_VARIABLE)
    if not secret:
        raise NotFoundException(f"There are no metrics here: {TOKEN_VARIABLE} is not set.")
    if not _admits(headers.get("authorization", ""), secret):
        raise NotAuthorizedException("Send the metrics' token.", headers={"WWW-Authenticate": "Bearer"})
    await _look(state.runtime)
    return Response(generate_latest(), headers={"Cache-Control": "no-store"}, media_type=CONTENT_TYPE_LATEST)


def _admits(authorization: str, secret: str) -> bool:
    return hmac.compare_digest(authorization.encode(), f"Bearer {secret}".encode())


async def _look(runtime: "Runtime") -> None:
    """What is asked for, rather than counted."""
    threads = runtime.command_threads.statistics()
    COMMAND_THREADS.labels("busy").set(threads.borrowed_tokens)
    COMMAND_THREADS.labels("limit").set(threads.total_tokens)
    COMMAND_THREADS.labels("waiting").set(threads.tasks_waiting)
    KEYS_UP.set(runtime.store.has_keys)
    pools = {
        "read": runtime.models.pool_stats(),
        "write": runtime.store.pool_stats(),
        "keys": runtime.store.keys.get_stats(),
    }
    for pool, stats in pools.items():
        for state, name in (("open", "pool_size"), ("idle", "pool_available"), ("waiting", "requests_waiting")):
            POOL.labels(pool, state).set(stats.get(name, 0))
    for gauge in _OF_PROJECTIONS:
        gauge.clear()
    try:
        async with asyncio.timeout(STATUS_SECONDS):
            stand = await status.status(runtime.models)
            proven = await proofs.status(runtime.models)
    except (ReadModelsUnavailable, TimeoutError):
        DATABASE_UP.set(0)
        return
    DATABASE_UP.set(1)
    HEAD.set(stand.head)
    AUDIT_LAG_EVENTS.set(proven.lag_events)
    AUDIT_LAG_SECONDS.set(proven.lag_seconds)
    AUDIT_TAMPERED.set(proven.tampered)
    AUDIT_SCRUBBED.set(proven.scrubbed_at.timestamp())
    for one in stand.projections:
        numbers = (one.position, one.lag_events, one.lag_seconds, one.parked_streams, one.rebuilding)
        for gauge, number in zip(_OF_PROJECTIONS, numbers, strict=True):
            gauge.labels(one.name).set(number)


# ---- the process that keeps the read models has no web application: it answers on a port of its own


class _Engine(BaseHTTPRequestHandler):
    timeout = 5.0
    secret = ""

    def do_GET(self) -> None:
        if self.path != "/metrics":
            self.send_error(404)
        elif not _admits(self.headers.get("Authorization", ""), self.secret):
            self.send_error(401)
        else:
            body = generate_latest()
            self.send_response(200)
            self.send_header("Content-Type", CONTENT_TYPE_LATEST)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """A scrape is not worth a line."""


@contextmanager
def exposed_by_engine() -> Generator[int | None]:
    """Answers /metrics where PROTEUS_ENGINE_METRICS says, for as long as the context lasts. Yields the port.

    Raises BadSetting, OSError.
    """
    place, secret = os.environ.get(ENGINE_VARIABLE), os.environ.get(TOKEN_VARIABLE)
    if not place:
        yield None
        return
    host, _, port = place.rpartition(":")
    if not port.isdecimal() or int(port) > 65535:
        raise BadSetting(f"{ENGINE_VARIABLE} is an address and a port, as in 127.0.0.1:9464; it is {place!r}.")
    if not secret:
        raise BadSetting(f"{ENGINE_VARIABLE} is set: set {TOKEN_VARIABLE}, too, for who may ask.")
    handler = type("_Secured", (_Engine,), {"secret": secret})
    with ThreadingHTTPServer((host or "127.0.0.1", int(port)), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="proteus-metrics", daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()
