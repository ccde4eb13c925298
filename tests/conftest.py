"""A real PostgreSQL for every test that wants one: one server per run, a fresh migrated database per test."""

import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings
from psycopg import sql

from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore, WorkspaceStore
from application.workspaces import Workspace, create_workspace
from projections.registry import install
from tests.application.recording import Company

TEMPLATE = "proteus_template"
MEMORY = Path("/dev/shm")
MEMORY_NEEDED = 4 * 1024**3

_numbers = itertools.count(1)

settings.register_profile("proteus", deadline=None)  # how long an example takes is the machine's matter
settings.load_profile("proteus")

SLOWEST = ("faults", "end_to_end")
"""Folders of tests that mostly wait. They begin first, lest one of them is left to run alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not any(name in item.path.parts for name in SLOWEST))


@pytest.fixture(scope="session")
def postgres() -> Iterator[EmbeddedPostgres]:
    """In memory and without fsync: quick. Tests of durability start a server of their own."""
    root = Path(tempfile.mkdtemp(prefix="pt-", dir=_quick_folder()))  # short: a socket's path may have 107 bytes
    root.chmod(0o711)
    server = EmbeddedPostgres(root, settings={"fsync": "off", "max_connections": "200", "shared_buffers": "256MB"})
    try:
        with server:
            server.database(TEMPLATE).migrate(install)
            yield server
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _quick_folder() -> Path | None:
    """In memory a database is copied forty times as fast; None, the usual place, where there is little of it."""
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= MEMORY_NEEDED
    return MEMORY if roomy else None


@contextmanager
def fresh_database(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """A copy of the migrated template, dropped afterwards with whoever is still connected."""
    name = f"test_{next(_numbers)}"
    copy = sql.SQL("create database {} template {} owner proteus strategy file_copy")
    grant = sql.SQL("grant create on database {} to proteus_owner")
    drop = sql.SQL("drop database {} with (force)")
    with psycopg.connect(postgres.dsn, autocommit=True) as connection:
        connection.execute(copy.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
        connection.execute(grant.format(sql.Identifier(name)))  # a copy has no grants of its own
        yield postgres.database(name)
        connection.execute(drop.format(sql.Identifier(name)))


@contextmanager
def keys_apart(postgres: EmbeddedPostgres) -> Iterator[Database]:
    """One whose keys lie in a database of their own."""
    with fresh_database(postgres) as log, fresh_database(postgres) as keys:
        for database, schema in ((log, log.keys.schema), (keys, keys.schema)):
            with database.connect(Role.OWNER, client_min_messages="warning") as connection:
                connection.execute(sql.SQL("drop schema {} cascade").format(sql.Identifier(schema)))
        yield Database(log.url, keys_url=keys.url)


KEYS = pytest.mark.parametrize("database", ["together", "apart"], indirect=True)
"""Of tests, that they hold wherever keys lie."""


@pytest.fixture
def database(postgres: EmbeddedPostgres, request: pytest.FixtureRequest) -> Iterator[Database]:
    one = keys_apart if getattr(request, "param", None) == "apart" else fresh_database
    with one(postgres) as database:
        yield database


@pytest.fixture
def store(database: Database) -> Iterator[EventStore]:
    with EventStore(database) as store:
        yield store


@pytest.fixture
def workspace(database: Database, store: EventStore) -> Workspace:
    return create_workspace(database, store, "acme", "Acme")


@pytest.fixture
def here(store: EventStore, workspace: Workspace) -> WorkspaceStore:
    return store.workspace(workspace.id)


@pytest.fixture
def company(store: EventStore, workspace: Workspace) -> Company:
    return Company.of(store, workspace)
