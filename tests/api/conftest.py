"""One server for all tests of the API, and a fresh workspace for each."""

import itertools
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from api.app import application
from api.ids import Kind, encode
from api.serving import following
from application import people
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.tokens import issue_token
from application.workspaces import Workspace, create_workspace, operator
from domain.access import Scope
from domain.people import AddPerson, PersonKind
from tests.api.asking import REFUSED, Client
from tests.conftest import fresh_database
from tests.served import Served, served

_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def every_refusal_has_its_test() -> Iterator[None]:
    """Whatever any test of the API is refused stands in the table from which test_mutations.py tests each refusal."""
    yield
    from tests.api.refusals.table import has  # which makes clients, as the tests do

    missing = {refusal for refusal in REFUSED if not has(*refusal)}
    assert not missing, f"not in tests/api/refusals/: {missing}"


class Server(NamedTuple):
    database: Database
    store: EventStore
    http: TestClient[Litestar]
    files: Path


@pytest.fixture(scope="session")
def server(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    files = tmp_path_factory.mktemp("attachments")
    with (
        fresh_database(postgres) as database,
        EventStore(database) as store,
        following(database),
        TestClient(application(database, "https://tickets.example", files), raise_server_exceptions=False) as http,
    ):
        yield Server(database, store, http, files)


@pytest.fixture(scope="session")
def live(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server process on the database of the others, whose engine moves the read models for all."""
    with served(server.database, tmp_path_factory.mktemp("live"), "--no-worker") as process:
        yield process


@pytest.fixture
def acme(server: Server) -> Workspace:
    return create_workspace(server.database, server.store, f"acme{next(_numbers)}", "Acme")


@pytest.fixture(scope="session")
def token(server: Server) -> Callable[..., Client]:
    """Makes a client of a new person with these scopes."""

    def make(workspace: Workspace, *scopes: Scope, name: str = "Somebody") -> Client:
        actor = operator(workspace.id)
        added = AddPerson(name=name, kind=PersonKind.STAFF)
        outcome = people.handle(server.store, Context(actor=actor), added)
        person = outcome.stream
        secret = issue_token(server.database, workspace.id, person, scopes, "test", timedelta(days=1))
        client = Client(server.http, secret, encode(Kind.PERSON, person))
        client.wait_for(outcome.position)
        return client

    return make


@pytest.fixture
def admin(acme: Workspace, token: Callable[..., Client]) -> Client:
    return token(acme, Scope.ADMIN, name="Admin")


@pytest.fixture
def agent(acme: Workspace, token: Callable[..., Client]) -> Client:
    return token(acme, Scope.AGENT, name="Agent")


@pytest.fixture
def claire(acme: Workspace, token: Callable[..., Client]) -> Client:
    """A client, with a requester's token."""
    return token(acme, Scope.REQUESTER, name="Claire")
