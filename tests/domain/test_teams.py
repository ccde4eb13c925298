"""Teams: added under a unique key, renamed, joined and left."""

from domain.errors import InvalidValue, KeyTaken, TeamNotFound
from domain.teams import (
    AddTeam,
    JoinTeam,
    LeaveTeam,
    RenameTeam,
    TeamAdded,
    TeamJoined,
    TeamLeft,
    TeamRenamed,
)
from tests.domain.given import ANNA, BORIS, FIRST_LINE, team

ADDED = TeamAdded(key="first-line", name="First line")


def test_a_team_is_added_with_a_key_and_a_name() -> None:
    team.when(AddTeam(key="first-line", name=" First  line")).then(ADDED)


def test_a_second_team_with_the_same_key_is_refused() -> None:
    team.given(ADDED).when(AddTeam(key="first-line", name="Another")).refused(KeyTaken, "key")


def test_a_team_needs_a_plain_key_and_a_name() -> None:
    team.when(AddTeam(key="first line", name="First line")).refused(InvalidValue, "key")
    team.when(AddTeam(key="first-line", name="")).refused(InvalidValue, "name")


def test_a_team_is_renamed_once() -> None:
    team.given(ADDED).when(RenameTeam(team=FIRST_LINE, name="Front")).then(TeamRenamed(name="Front"))
    team.given(ADDED).when(RenameTeam(team=FIRST_LINE, name="First line ")).nothing()
    team.given(ADDED).when(RenameTeam(team=FIRST_LINE, name="\n")).refused(InvalidValue, "name")


def test_a_person_joins_once() -> None:
    join = JoinTeam(team=FIRST_LINE, person=ANNA)
    team.given(ADDED).when(join).then(TeamJoined(person=ANNA))
    team.given(ADDED, TeamJoined(person=ANNA)).when(join).nothing()


def test_a_person_leaves_once_and_the_others_stay() -> None:
    joined = team.given(ADDED, TeamJoined(person=ANNA), TeamJoined(person=BORIS))
    outcome = joined.when(LeaveTeam(team=FIRST_LINE, person=ANNA))
    outcome.then(TeamLeft(person=ANNA))
    assert outcome.after is not None
    assert outcome.after.members == {BORIS}
    team.given(ADDED).when(LeaveTeam(team=FIRST_LINE, person=ANNA)).nothing()


def test_a_team_that_was_never_added_cannot_be_changed() -> None:
    team.when(RenameTeam(team=FIRST_LINE, name="Front")).refused(TeamNotFound, "team")
    team.when(JoinTeam(team=FIRST_LINE, person=ANNA)).refused(TeamNotFound, "team")
    team.when(LeaveTeam(team=FIRST_LINE, person=ANNA)).refused(TeamNotFound, "team")
