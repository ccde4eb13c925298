"""Serving: this process holds the embedded database and follows the log; a child of it answers requests.

The child is Granian's worker: a crash of it is mended by a new one while read models go on, and folding events never
holds up an answer, since each process has an interpreter lock of its own. Requests end first, PostgreSQL last.
"""

import asyncio
import ctypes
import gc
import multiprocessing
import os
import signal
import socket
import stat
import threading
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import click
from granian import Granian
from granian.constants import Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from litestar import Litestar
from rich.console import Console

from api import logs, metrics
from api.runtime import (
    ATTACHMENTS_VARIABLE,
    PUBLIC_URL_VARIABLE,
    Runtime,
    open_contents,
    read_log_kept,
)
from api.settings import number
from api.settling import Settler
from api.webhook_delivery import delivering
from application import people, tokens
from application.attachments.sweeping import Sweeper
from application.audit.scrubbing import Scrubber
from application.audit.sequencing import Pace, Sequencer
from application.event_store.database import DATABASE_VARIABLE, KEYS_VARIABLE, Database, Role
from application.event_store.streams import EventStore
from application.handling import Context, state_in
from application.privacy import reads
from application.tokens import TokenRefused
from application.workspaces import Workspace, create_workspace, find_workspace, furnish, operator
from domain.access import Scope
from domain.people import AddPerson, Person
from projections.engine import Engine
from projections.registry import PROJECTIONS, TOGETHER
from projections.renewal import Renewal

CHECKPOINT_EVENTS_VARIABLE = "PROTEUS_AUDIT_CHECKPOINT_EVENTS"
CHECKPOINT_SECONDS_VARIABLE = "PROTEUS_AUDIT_CHECKPOINT_SECONDS"
SCRUB_HOURS_VARIABLE = "PROTEUS_AUDIT_SCRUB_HOURS"
TOKEN_LASTS = timedelta(days=90)
STOP_SECONDS = 20
CONNECTIONS = 1024
"""Open at once; further ones wait in the kernel, as many again."""
HEADER_SECONDS = 10
"""In which a request's head must arrive."""
_PR_SET_PDEATHSIG = 1

console = Console(stderr=True, highlight=False)


def serve(database: Database, host: str, port: int, attachments: Path, *, follow: bool) -> None:
    """Until SIGTERM or Ctrl-C. `attachments`: where the contents of files lie."""
    os.environ[DATABASE_VARIABLE] = database.url
    os.environ[KEYS_VARIABLE] = database.keys_url or ""
    os.environ[ATTACHMENTS_VARIABLE] = str(attachments)
    os.environ.setdefault(PUBLIC_URL_VARIABLE, address(host, port))
    multiprocessing.set_start_method("spawn", force=True)  # a fork would share our connections and the database's lock
    server = Granian(
        "api.serving:worker",
        factory=True,
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        workers=1,
        respawn_failed_workers=True,
        workers_kill_timeout=STOP_SECONDS,
        backlog=CONNECTIONS,
        backpressure=CONNECTIONS,
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000),
        log_level=LogLevels.info,
        log_dictconfig=logs.configuration(),
    )
    if not follow:
        server.serve()
        return
    with following_all(database, attachments):
        server.serve()


@contextmanager
def following_all(database: Database, attachments: Path) -> Generator[None]:
    """All that a worker does, for as long as the context lasts."""
    with (
        metrics.exposed_by_engine(),
        sweeping(database, attachments),
        scrubbing(database),
        following(database),
        delivering(database),
    ):
        yield


@contextmanager
def following(database: Database) -> Generator[Engine]:
    """Projects, sequences, settles and renews in threads, for as long as the context lasts. Yields the first engine."""
    engines = [Engine(database, together) for together in TOGETHER]
    followers: list[Engine | Sequencer | Settler | Renewal] = [
        *engines,
        Sequencer(database, pace()),
        Settler(database),
        Renewal(database, PROJECTIONS),
    ]
    threads = [threading.Thread(target=one.run, name="proteus-engine") for one in followers]
    for thread in threads:
        thread.start()
    try:
        yield engines[0]
    finally:
        for one in followers:
            one.stop()
        for thread in threads:
            thread.join()


def pace() -> Pace:
    """How often the logs of proofs are signed. Raises BadSetting."""
    usual = Pace()
    return Pace(
        events=int(number(CHECKPOINT_EVENTS_VARIABLE, usual.events, 1, 10_000_000)),
        seconds=number(CHECKPOINT_SECONDS_VARIABLE, usual.seconds, 0.1, 3_600),
    )


@contextmanager
def scrubbing(database: Database) -> Generator[None]:
    """Looks now and then whether a log was tampered with, for as long as the context lasts. Raises BadSetting."""
    hours = number(SCRUB_HOURS_VARIABLE, 24, 0, 24 * 366)
    if not hours:
        yield
        return
    scrubber = Scrubber(database, timedelta(hours=hours))
    scrubber.start()
    try:
        yield
    finally:
        scrubber.stop()


@contextmanager
def sweeping(database: Database, attachments: Path) -> Generator[None]:
    """Removes files that nobody needs, and records of reads that were kept long enough, for as long as the context
    lasts. Raises BadSetting."""
    with EventStore(database) as store:
        kept = read_log_kept()
        sweeper = Sweeper(database, open_contents(store, attachments), lambda: reads.forget(database, kept))
        sweeper.start()
        try:
            yield
        finally:
            sweeper.stop()


def follow(database: Database, attachments: Path) -> None:
    """Projects until SIGTERM or Ctrl-C."""
    stopping = threading.Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda _signal, _frame: stopping.set())
    with following_all(database, attachments):
        stopping.wait()


def worker() -> Litestar:
    """The application in Granian's worker, which must not outlive the process that started it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    from api import app  # not needed by the process that only starts this one

    created = app.create()
    created.on_startup.append(_end_streams_first)
    gc.collect()
    gc.freeze()  # code and schema stay: no collection needs to walk through them again, about 40 ms each
    return created


async def _end_streams_first(app: Litestar) -> None:
    """Granian would break WebSockets off without a word, and wait for event streams that never end by themselves: so
    SIGTERM tells all of them to come again, and then Granian, by the other signal that it ends by."""
    runtime: Runtime = app.state.runtime
    leaving: list[asyncio.Task[None]] = []

    async def leave() -> None:
        await runtime.connections.close()
        signal.raise_signal(signal.SIGINT)

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: leaving.append(asyncio.create_task(leave())))


def address(host: str, port: int) -> str:
    anywhere = ("0.0.0.0", "::", "127.0.0.1")  # noqa: S104
    shown = "localhost" if host in anywhere else f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}"


def must_be_free(host: str, port: int) -> None:
    """Raises click.ClickException."""
    try:
        family, *_, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(place)
    except OSError as error:
        raise click.ClickException(
            f"Cannot listen on {host}, port {port}: {error.strerror or error}. Choose another with --host and --port."
        ) from None


# ---- a workspace and a token to begin with


def first_workspace(database: Database, store: EventStore, key: str, name: str) -> Workspace:
    """The workspace of this key, made where it is missing."""
    workspace = find_workspace(database, key)
    if workspace is None:
        return create_workspace(database, store, key, name)
    furnish(store, workspace.id)  # an interruption may have left it half furnished
    return workspace


def kept_token(database: Database, store: EventStore, workspace: Workspace, file: Path) -> str:
    """The token in this file while it is good, else a new one, of a new administrator the first time."""
    person = operator(workspace.id).person
    if file.exists():
        secret = file.read_text(encoding="ascii").strip()
        with database.connect(Role.READER) as connection:
            row = connection.execute("select * from authenticate(%s)", (tokens.digest(secret),)).fetchone()
        try:
            known = tokens.bearer(row)
        except TokenRefused:
            person = row[1] if row is not None and _is_active(store, workspace, row[1]) else person
        else:
            if known.workspace == workspace.id:
                return secret
    if person == operator(workspace.id).person:
        added = AddPerson(name="Administrator")
        person = people.handle(store, Context(actor=operator(workspace.id), channel="system"), added).stream
    secret = tokens.issue_token(database, workspace.id, person, [Scope.ADMIN], "first token", TOKEN_LASTS)
    _write_privately(file, secret + "\n")
    return secret


def _is_active(store: EventStore, workspace: Workspace, person: UUID) -> bool:
    known = state_in(store.workspace(workspace.id).load([person]), person, Person)
    return known is not None and known.active


def _write_privately(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    aside = file.with_suffix(".new")
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(descriptor, "w", encoding="ascii") as opened:
        opened.write(text)
    aside.rename(file)


def greet(host: str, port: int, secret: str, file: Path) -> None:
    console.print(f"\n  GraphiQL   [bold]{address(host, port)}/graphiql/[/]")
    console.print(f"  GraphQL    {address(host, port)}/graphql")
    console.print(f"  Token      {secret}   (kept in {file})", soft_wrap=True)
    console.print("\n  For GraphiQL's Headers pane, or any client:")
    console.print(f'  {{"Authorization": "Bearer {secret}"}}\n', soft_wrap=True)
