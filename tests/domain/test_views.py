"""Saved views: whose they are, who may change them, who keeps them as favourites."""

import pytest

from domain import views
from domain.errors import Forbidden, InvalidValue, TeamNotFound, ViewNotFound
from domain.teams import Team
from domain.views import (
    DeleteView,
    FavouriteView,
    SaveView,
    UnfavouriteView,
    UpdateView,
    View,
    ViewCommand,
    ViewDeleted,
    Viewer,
    ViewEvent,
    ViewFavoured,
    ViewRedefined,
    ViewRenamed,
    ViewSaved,
    ViewUnfavoured,
)
from tests.domain.given import ANNA, BORIS, FIRST_LINE, STRANGE_TEAM, Subject, an_id

VIEW = an_id(51)
TEAMS = {FIRST_LINE: Team(key="first", name="First line", members=frozenset({ANNA}))}
MINE = ViewSaved(name="Urgent", definition="{}", person=ANNA, team=None)
TEAMS_OWN = ViewSaved(name="Urgent", definition="{}", person=None, team=FIRST_LINE)
SHARED = ViewSaved(name="Urgent", definition="{}", person=None, team=None)
SAVE = SaveView(name=" Urgent ", definition="{}")


def of(viewer: Viewer) -> Subject[View, ViewCommand, ViewEvent]:
    return Subject(lambda view, command: views.decide(view, command, viewer), views.evolve)


anna = of(Viewer(person=ANNA, head=False, teams=TEAMS))
boris = of(Viewer(person=BORIS, head=False, teams=TEAMS))
head = of(Viewer(person=BORIS, head=True, teams=TEAMS))


def test_a_view_is_saved_for_oneself_a_team_or_the_workspace() -> None:
    anna.when(SAVE).then(MINE)
    anna.when(SaveView(name="Urgent", definition="{}", team=FIRST_LINE)).then(TEAMS_OWN)
    head.when(SaveView(name="Urgent", definition="{}", shared=True)).then(SHARED)


def test_what_is_shared_is_saved_by_members_and_managers() -> None:
    anna.when(SaveView(name="x", definition="{}", shared=True)).refused(Forbidden)
    boris.when(SaveView(name="x", definition="{}", team=FIRST_LINE)).refused(Forbidden)
    head.when(SaveView(name="x", definition="{}", team=FIRST_LINE)).then(
        ViewSaved(name="x", definition="{}", person=None, team=FIRST_LINE)
    )
    anna.when(SaveView(name="x", definition="{}", team=STRANGE_TEAM)).refused(TeamNotFound, "team")
    head.when(SaveView(name="x", definition="{}", team=FIRST_LINE, shared=True)).refused(InvalidValue, "shared")


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (SaveView(name=" ", definition="{}"), "name"),
        (SaveView(name="x" * 101, definition="{}"), "name"),
        (SaveView(name="x", definition="x" * 20_001), "definition"),
    ],
)
def test_a_view_has_a_name_and_a_definition_of_a_sensible_size(command: SaveView, field: str) -> None:
    anna.when(command).refused(InvalidValue, field)


def test_a_view_is_renamed_and_redefined() -> None:
    anna.given(MINE).when(UpdateView(view=VIEW, name="Late", definition='{"a":1}')).then(
        ViewRenamed(name="Late"), ViewRedefined(definition='{"a":1}')
    )
    anna.given(MINE).when(UpdateView(view=VIEW, name="Urgent ")).nothing()


@pytest.mark.parametrize("command", [UpdateView(view=VIEW, name="x"), DeleteView(view=VIEW), FavouriteView(view=VIEW)])
def test_somebody_s_own_view_is_not_there_for_others(command: ViewCommand) -> None:
    head.given(MINE).when(command).refused(ViewNotFound, "view")
    anna.when(command).refused(ViewNotFound, "view")
    anna.given(MINE, ViewDeleted()).when(command).refused(ViewNotFound, "view")


def test_what_is_shared_is_changed_by_members_and_managers_and_favoured_by_all() -> None:
    rename = UpdateView(view=VIEW, name="x")
    anna.given(TEAMS_OWN).when(rename).then(ViewRenamed(name="x"))
    boris.given(TEAMS_OWN).when(rename).refused(Forbidden)
    boris.given(TEAMS_OWN).when(DeleteView(view=VIEW)).refused(Forbidden)
    anna.given(SHARED).when(rename).refused(Forbidden)
    head.given(SHARED).when(DeleteView(view=VIEW)).then(ViewDeleted())
    boris.given(TEAMS_OWN).when(FavouriteView(view=VIEW)).then(ViewFavoured(person=BORIS))


def test_a_favourite_is_one_once() -> None:
    favoured = anna.given(SHARED, ViewFavoured(person=ANNA))
    favoured.when(FavouriteView(view=VIEW)).nothing()
    favoured.when(UnfavouriteView(view=VIEW)).then(ViewUnfavoured(person=ANNA))
    anna.given(SHARED).when(UnfavouriteView(view=VIEW)).nothing()
