"""Teams."""

from typing import Any
from uuid import UUID

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import CommandInput, Done, ExpectingInput, Payload, perform, wait_until_readable
from api.fields import Info, Node, by, once_passed
from api.ids import Kind, encode
from api.paging import Connection, ConnectionRow, page_ask
from api.people import Person, must_read_all
from api.prefetch import found
from api.scalars import Position
from application.teams import handle
from domain.teams import AddTeam, JoinTeam, LeaveTeam, RenameTeam
from projections import directory
from projections.rows import PersonRow, TeamRow


def _id(team: Parent[TeamRow]) -> ID:
    return encode(Kind.TEAM, team.id)


async def _members(
    team: Parent[TeamRow],
    info: Info,
    first: int | None = UNSET,
    after: str | None = UNSET,
) -> ConnectionRow[PersonRow]:
    """By name."""
    must_read_all(info)
    loaders = info.context.loaders
    page = await loaders.members.load((team.id, page_ask(first, after)))
    return ConnectionRow(page, lambda: loaders.member_counts.load((team.id,)))


@strawberry.type
class Team(Node):
    id: ID = by(_id)
    key: str
    name: str
    members: Connection[Person] = by(_members)

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, TeamRow)


async def _teams(
    info: Info, first: int | None = UNSET, after: str | None = UNSET, min_position: Position | None = UNSET
) -> ConnectionRow[TeamRow]:
    """By key."""
    must_read_all(info)
    await once_passed(info, min_position, "directory")
    view = info.context.view
    return ConnectionRow(await directory.teams(view, page_ask(first, after)), lambda: directory.team_count(view))


def team(info: Info, id: UUID | None) -> Any:
    """The team at once where it was loaded before, else an awaitable."""
    return None if id is None else found(info.context.loaders.teams, id)


@strawberry.type
class TeamQueries:
    teams: Connection[Team] = by(_teams)


# ---- commands


@strawberry.input(description="Keys are unique whatever their case, and never change.")
class AddTeamInput(CommandInput):
    key: str
    name: str


@strawberry.input
class RenameTeamInput(ExpectingInput):
    team: ID
    name: str


@strawberry.input
class JoinTeamInput(ExpectingInput):
    team: ID
    person: ID


@strawberry.input
class LeaveTeamInput(ExpectingInput):
    team: ID
    person: ID


async def _after(done: Parent[Done], info: Info) -> TeamRow | None:
    """As it is after the command; null if the read model has not come that far within 2 s."""
    if done.outcome is None or not await wait_until_readable(info, done.outcome, "directory"):
        return None
    return await info.context.loaders.teams.load(done.outcome.stream)


@strawberry.type
class TeamPayload(Payload):
    team: Team | None = by(_after)


async def add_team(info: Info, input: AddTeamInput) -> Done:
    return await perform(info, input, AddTeam, handle)


async def rename_team(info: Info, input: RenameTeamInput) -> Done:
    return await perform(info, input, RenameTeam, handle)


async def join_team(info: Info, input: JoinTeamInput) -> Done:
    return await perform(info, input, JoinTeam, handle)


async def leave_team(info: Info, input: LeaveTeamInput) -> Done:
    return await perform(info, input, LeaveTeam, handle)


@strawberry.type
class TeamMutations:
    add_team: TeamPayload = by(add_team)
    rename_team: TeamPayload = by(rename_team)
    join_team: TeamPayload = by(join_team)
    leave_team: TeamPayload = by(leave_team)
