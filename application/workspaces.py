"""Workspaces (tenants): made by the operator, each with its roles and workflows and a first system person."""

from uuid import UUID, uuid4, uuid5

import msgspec

from application import workflows
from application.event_store.database import Database, Role
from application.event_store.streams import EventStore
from application.handling import Context, Decision, execute, now
from domain import text
from domain.access import Actor, Scope
from domain.errors import KeyTaken
from domain.people import AddPerson, PersonAdded, PersonKind
from domain.workflows import defaults


class Workspace(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    key: str
    name: str


def system_person(workspace: UUID) -> UUID:
    """Who acts where no person does: imports, the command line, automatic work."""
    return uuid5(workspace, "system")


def operator(workspace: UUID) -> Actor:
    """The operator at the command line, acting through the workspace's system person."""
    return Actor(workspace=workspace, person=system_person(workspace), scopes=frozenset({Scope.ADMIN}))


def create_workspace(database: Database, store: EventStore, key: str, name: str) -> Workspace:
    """Raises InvalidValue, KeyTaken, StoreUnavailable."""
    workspace = Workspace(id=uuid4(), key=text.key(key), name=text.line(name, "name"))
    with database.connect(Role.OWNER) as connection:
        made = connection.execute(
            "insert into workspace (id, key, name, shard) values (%s, %s, %s, %s) on conflict do nothing",
            (workspace.id, workspace.key, workspace.name, database.schema),
        ).rowcount
    if not made:
        raise KeyTaken("workspace", key)
    furnish(store, workspace.id)
    return workspace


def furnish(store: EventStore, workspace: UUID) -> None:
    """Gives a workspace its system person and the default roles and workflows. Safe to repeat after an interruption."""
    context = Context(actor=operator(workspace), channel="system")
    system = AddPerson(name="Proteus", kind=PersonKind.SYSTEM)
    execute(
        store,
        context,
        system,
        system_person(workspace),
        [],
        lambda loaded: Decision(
            events=[] if loaded else [PersonAdded(kind=system.kind, name=system.name)],
            occurred_at=now(),
            subject=workspace,
        ),
    )
    for command in defaults().commands():
        workflows.handle(store, context, command)


def find_workspace(database: Database, key: str) -> Workspace | None:
    return next((workspace for workspace in list_workspaces(database) if workspace.key == key), None)


def list_workspaces(database: Database) -> list[Workspace]:
    with database.connect(Role.OWNER) as connection:
        rows = connection.execute("select id, key, name from workspace order by created_at, key").fetchall()
    return [Workspace(id=id_, key=key, name=name) for id_, key, name in rows]
