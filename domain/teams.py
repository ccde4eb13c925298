"""Teams. A team's stream id is derived from its key, so a second team with the same key conflicts on version
1: that is what keeps keys unique."""

from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec

from domain import text
from domain.errors import KeyTaken, TeamNotFound

# ---- events


class TeamAdded(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    name: str


class TeamRenamed(msgspec.Struct, frozen=True, kw_only=True):
    name: str


class TeamJoined(msgspec.Struct, frozen=True, kw_only=True):
    person: UUID


class TeamLeft(msgspec.Struct, frozen=True, kw_only=True):
    person: UUID


TeamEvent = TeamAdded | TeamRenamed | TeamJoined | TeamLeft


# ---- commands


class AddTeam(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    name: str


class RenameTeam(msgspec.Struct, frozen=True, kw_only=True):
    team: UUID
    name: str


class JoinTeam(msgspec.Struct, frozen=True, kw_only=True):
    team: UUID
    person: UUID


class LeaveTeam(msgspec.Struct, frozen=True, kw_only=True):
    team: UUID
    person: UUID


TeamCommand = AddTeam | RenameTeam | JoinTeam | LeaveTeam


# ---- state


class Team(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    name: str
    members: frozenset[UUID] = frozenset()


def decide(team: Team | None, command: TeamCommand) -> list[TeamEvent]:
    """Raises InvalidValue, KeyTaken, TeamNotFound. That a person who joins exists is checked before."""
    if isinstance(command, AddTeam):
        if team is not None:
            raise KeyTaken("team", team.key)
        return [TeamAdded(key=text.key(command.key), name=text.line(command.name, "name"))]
    if team is None:
        raise TeamNotFound(command.team)
    match command:
        case RenameTeam(name=name):
            name = text.line(name, "name")
            return [] if name == team.name else [TeamRenamed(name=name)]
        case JoinTeam(person=person):
            return [] if person in team.members else [TeamJoined(person=person)]
        case LeaveTeam(person=person):
            return [TeamLeft(person=person)] if person in team.members else []
        case _:
            assert_never(command)


def evolve(team: Team | None, event: TeamEvent, at: datetime) -> Team:
    if isinstance(event, TeamAdded):
        return Team(key=event.key, name=event.name)
    assert team is not None, "a team's first event is TeamAdded"
    match event:
        case TeamRenamed(name=name):
            return msgspec.structs.replace(team, name=name)
        case TeamJoined(person=person):
            return msgspec.structs.replace(team, members=team.members | {person})
        case TeamLeft(person=person):
            return msgspec.structs.replace(team, members=team.members - {person})
        case _:
            assert_never(event)
