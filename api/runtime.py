"""What a process needs to serve or to work: settings from the environment, the database, the stores on it."""

import hashlib
import os
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Self

from anyio import CapacityLimiter

from api import limits
from api.connections import Connections
from api.live_answers import Groups
from api.settings import BadSetting, number
from application.attachments.contents import BYTES_LIMIT, Contents
from application.audit import sequencing
from application.embedded_postgres import EmbeddedPostgres, default_root
from application.event_store.database import (
    DATABASE_VARIABLE,
    KEYS_VARIABLE,
    SCHEMA_VERSION,
    Database,
    DatabaseNotUsable,
    Place,
    Role,
    Stand,
)
from application.event_store.streams import EventStore
from application.privacy.reads import ReadLog
from application.webhook_networks import Network, Networks, networks
from projections import billing
from projections.live import Feed
from projections.reading import ReadModels
from projections.registry import NAMES, TICKET_READ_MODELS, install

HOME_VARIABLE = "PROTEUS_HOME"
PUBLIC_URL_VARIABLE = "PROTEUS_PUBLIC_URL"
ATTACHMENTS_VARIABLE = "PROTEUS_ATTACHMENTS"
ATTACHMENT_BYTES_VARIABLE = "PROTEUS_ATTACHMENT_BYTES"
WEBHOOK_NETWORKS_VARIABLE = "PROTEUS_WEBHOOK_NETWORKS"
PROXIES_VARIABLE = "PROTEUS_TRUSTED_PROXIES"
WEBHOOK_REFUSED_VARIABLE = "PROTEUS_WEBHOOK_REFUSED_NETWORKS"
READ_LOG_VARIABLE = "PROTEUS_READ_LOG_DAYS"
READ_LOG_DAYS = 1_096
ATTACHMENTS = "attachments"
COMMAND_THREADS = 40
SHEET_THREADS = 2
"""Documents that are set at once: each takes a core for seconds where it is long."""


class Runtime:
    """The stores of one serving process. Open it inside its event loop."""

    def __init__(self, database: Database, public_url: str, attachments: Path | None = None) -> None:
        self.database = database
        self.public_url = public_url.rstrip("/")
        self.models = ReadModels(database)
        self.store = EventStore(database)
        self.store.forgetting += [billing.kept.forget, limits.forget]
        self.contents = open_contents(self.store, attachments or attachments_folder(home()))
        self.reads = ReadLog(database)
        self.feed = Feed(database, TICKET_READ_MODELS)
        self.groups = Groups(self.feed)
        self.connections = Connections(self.models)
        self.networks = webhook_networks()
        self.proxies = _networks(PROXIES_VARIABLE)
        self.command_threads = CapacityLimiter(COMMAND_THREADS)
        self.sheet_threads = CapacityLimiter(SHEET_THREADS)

    async def __aenter__(self) -> Self:
        await self.models.open()
        await self.reads.open()
        await self.feed.open()
        await self.connections.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.connections.close()
        await self.feed.close()
        await self.reads.close()
        await self.models.close()
        self.store.close()


def home() -> Path:
    """Where the embedded database and the demo's token live."""
    return Path(os.environ.get(HOME_VARIABLE) or ".proteus").resolve()


def attachments_folder(folder: Path) -> Path:
    """Where the contents of attached files lie: what PROTEUS_ATTACHMENTS names, else in this folder."""
    return Path(os.environ.get(ATTACHMENTS_VARIABLE) or folder / ATTACHMENTS).resolve()


def open_contents(store: EventStore, folder: Path) -> Contents:
    """Raises DatabaseNotUsable where PROTEUS_ATTACHMENT_BYTES is no number of bytes."""
    limit = os.environ.get(ATTACHMENT_BYTES_VARIABLE) or str(BYTES_LIMIT)
    if not limit.isdigit() or not 0 < int(limit) < 2**31:
        raise DatabaseNotUsable(f"{ATTACHMENT_BYTES_VARIABLE} is a number of bytes, below 2 GiB; it is {limit!r}.")
    return Contents(folder, store.mapper.sealer.keyring, int(limit))


def read_log_kept() -> timedelta:
    """How long it is remembered who read what. Raises BadSetting."""
    return timedelta(days=number(READ_LOG_VARIABLE, READ_LOG_DAYS, 1, 36_600))


def webhook_networks() -> Networks:
    """Raises BadSetting."""
    return Networks(allowed=_networks(WEBHOOK_NETWORKS_VARIABLE), refused=_networks(WEBHOOK_REFUSED_VARIABLE))


def _networks(variable: str) -> tuple[Network, ...]:
    text = os.environ.get(variable) or ""
    try:
        return networks(text)
    except ValueError:
        raise BadSetting(f"{variable} names networks, as in 10.1.0.0/16,fd00::/8; it is {text!r}.") from None


def named_database() -> Database | None:
    """That of PROTEUS_DATABASE_URL, with its keys where PROTEUS_KEYS_DATABASE_URL says. Raises DatabaseNotUsable."""
    url, keys = os.environ.get(DATABASE_VARIABLE), os.environ.get(KEYS_VARIABLE) or None
    if not url and keys:
        raise DatabaseNotUsable(f"{KEYS_VARIABLE} is set: set {DATABASE_VARIABLE}, too.")
    return Database(url, keys_url=keys) if url else None


@contextmanager
def open_database(folder: Path, *, embedded: bool = False) -> Generator[Database]:
    """The database that PROTEUS_DATABASE_URL names, or else (or always) the embedded one of this folder, migrated.

    Raises DatabaseNotUsable, EmbeddedPostgresError, psycopg.OperationalError.
    """
    named = None if embedded else named_database()
    if named is not None:
        check_schema(named)
        yield named
        return
    place = _enterable(folder)
    place.mkdir(parents=True, exist_ok=True)
    with EmbeddedPostgres(place) as server:
        database = server.database()
        database.migrate(install)
        with server.kept_running():
            yield database


def check_schema(database: Database) -> None:
    """Raises DatabaseNotUsable where `proteus migrate` has something to do, psycopg.OperationalError."""
    stand, keys = _migrated(database), _migrated(database.keys)
    if not _followed(database).issuperset((*NAMES, sequencing.NAME)):
        raise _not_ready(database)
    database.check_pair(stand, keys)


def _migrated(place: Place) -> Stand:
    """Raises DatabaseNotUsable, psycopg.OperationalError."""
    stand = place.stand()
    if stand is not None and stand.version > SCHEMA_VERSION:
        raise DatabaseNotUsable("The database was migrated by a newer Proteus. Run that one.")
    if stand is None or stand.version != SCHEMA_VERSION:
        raise _not_ready(place)
    return stand


def _not_ready(place: Place) -> DatabaseNotUsable:
    return DatabaseNotUsable(f"The database of {place.variable} is not ready. Run `proteus migrate` first.")


def _followed(database: Database) -> set[str]:
    """The read models that it has."""
    with database.connect(Role.READER) as connection:
        return {name for (name,) in connection.execute("select name from tracking").fetchall()}


def _enterable(folder: Path) -> Path:
    """Started by root, PostgreSQL runs under an account that may not enter /root: then below /var/lib."""
    closed = any(parent.exists() and not parent.stat().st_mode & 0o001 for parent in folder.parents)
    if os.geteuid() != 0 or not closed:
        return folder
    return default_root() / hashlib.sha256(str(folder).encode()).hexdigest()[:12]
