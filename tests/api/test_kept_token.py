"""The token that a local server keeps in a file for whoever started it."""

from pathlib import Path

import pytest

from api import serving
from application import people, tokens
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.handling import Context
from application.tokens import revoke_token
from application.workspaces import Workspace, operator
from domain.access import Actor
from domain.people import DeactivatePerson


def bearer_of(database: Database, secret: str) -> Actor:
    with database.connect(Role.READER) as connection:
        return tokens.bearer(connection.execute("select * from authenticate(%s)", (tokens.digest(secret),)).fetchone())


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "token"


def test_a_good_token_is_kept_where_only_its_owner_can_read_it(
    database: Database, store: EventStore, workspace: Workspace, file: Path
) -> None:
    secret = serving.kept_token(database, store, workspace, file)
    assert serving.kept_token(database, store, workspace, file) == secret
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_revoked_token_is_followed_by_one_of_the_same_person(
    database: Database, store: EventStore, workspace: Workspace, file: Path
) -> None:
    secret = serving.kept_token(database, store, workspace, file)
    [known] = tokens.list_tokens(database, workspace.id)
    assert revoke_token(database, workspace.id, known.id)
    other = serving.kept_token(database, store, workspace, file)
    assert other != secret
    assert bearer_of(database, other).person == known.person


def test_who_has_left_is_followed_by_a_new_administrator(
    database: Database, store: EventStore, workspace: Workspace, file: Path
) -> None:
    left = bearer_of(database, serving.kept_token(database, store, workspace, file)).person
    people.handle(store, Context(actor=operator(workspace.id)), DeactivatePerson(person=left))
    assert bearer_of(database, serving.kept_token(database, store, workspace, file)).person != left
