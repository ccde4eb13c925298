"""Who is asking."""

import strawberry
from strawberry import ID, Parent

from api.fields import Info, by
from api.ids import Kind, encode
from api.people import Person
from domain.access import Actor
from projections import directory
from projections.directory import WorkspaceRow
from projections.reading import ReadModelBehind
from projections.rows import PersonRow


def _id(workspace: Parent[WorkspaceRow]) -> ID:
    return encode(Kind.WORKSPACE, workspace.id)


@strawberry.type
class Workspace:
    id: ID = by(_id)
    key: str
    name: str


async def _person(actor: Parent[Actor], info: Info) -> PersonRow:
    found = await info.context.loaders.people.load(actor.person)
    if found is None:
        raise ReadModelBehind("You were added a moment ago and cannot be read yet.")
    return found


async def _workspace(info: Info) -> WorkspaceRow:
    return await directory.workspace(info.context.view)


def _scopes(actor: Parent[Actor]) -> list[str]:
    """What the token was made for."""
    return sorted(actor.scopes)


@strawberry.type
class Viewer:
    person: Person = by(_person)
    workspace: Workspace = by(_workspace)
    scopes: list[str] = by(_scopes)


def _me(info: Info) -> Actor:
    return info.context.actor


@strawberry.type
class ViewerQueries:
    me: Viewer = by(_me)
