"""Teams."""

import strawberry

from api.fields import Info, Node, by
from api.ids import Kind, encode
from api.paging import Connection, ConnectionRow, page_ask
from api.people import Person, must_read_all
from projections import directory
from projections.rows import PersonRow, TeamRow


def _id(team: strawberry.Parent[TeamRow]) -> strawberry.ID:
    return encode(Kind.TEAM, team.id)


async def _members(
    team: strawberry.Parent[TeamRow],
    info: Info,
    first: int | None = strawberry.UNSET,
    after: str | None = strawberry.UNSET,
) -> ConnectionRow[PersonRow]:
    """By name."""
    must_read_all(info)
    view = info.context.view
    page = await directory.members(view, team.id, page_ask(first, after))
    return ConnectionRow(page, lambda: directory.member_count(view, team.id))


@strawberry.type
class Team(Node):
    id: strawberry.ID = by(_id)
    key: str
    name: str
    members: Connection[Person] = by(_members)

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, TeamRow)


async def _teams(
    info: Info, first: int | None = strawberry.UNSET, after: str | None = strawberry.UNSET
) -> ConnectionRow[TeamRow]:
    """By key."""
    must_read_all(info)
    view = info.context.view
    return ConnectionRow(await directory.teams(view, page_ask(first, after)), lambda: directory.team_count(view))


@strawberry.type
class TeamQueries:
    teams: Connection[Team] = by(_teams)
