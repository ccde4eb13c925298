"""Saved views: what somebody likes to look at, kept by name for themselves, their team or the whole workspace.

Each has a stream of its own; who keeps it among their favourites is written there too.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import replace

from domain import text
from domain.errors import Forbidden, InvalidValue, TeamNotFound, ViewNotFound
from domain.teams import Team
from domain.text import FreeText

NAME_LIMIT = 100
DEFINITION_LIMIT = 20_000


# ---- events


class ViewSaved(msgspec.Struct, frozen=True, kw_only=True):
    """`person` keeps it for themselves, `team` shares it; neither: it is the workspace's. `definition`: filter, search,
    axes and order as JSON, in the API's words."""

    name: FreeText
    definition: FreeText
    person: UUID | None
    team: UUID | None


class ViewRenamed(msgspec.Struct, frozen=True, kw_only=True):
    name: FreeText


class ViewRedefined(msgspec.Struct, frozen=True, kw_only=True):
    definition: FreeText


class ViewDeleted(msgspec.Struct, frozen=True, kw_only=True):
    pass


class ViewFavoured(msgspec.Struct, frozen=True, kw_only=True):
    person: UUID


class ViewUnfavoured(msgspec.Struct, frozen=True, kw_only=True):
    person: UUID


ViewEvent = ViewSaved | ViewRenamed | ViewRedefined | ViewDeleted | ViewFavoured | ViewUnfavoured


# ---- commands


class SaveView(msgspec.Struct, frozen=True, kw_only=True):
    """For oneself, unless for a team or, `shared`, for the whole workspace."""

    name: str
    definition: str
    team: UUID | None = None
    shared: bool = False


class UpdateView(msgspec.Struct, frozen=True, kw_only=True):
    view: UUID
    name: str | UnsetType = UNSET
    definition: str | UnsetType = UNSET


class DeleteView(msgspec.Struct, frozen=True, kw_only=True):
    view: UUID


class FavouriteView(msgspec.Struct, frozen=True, kw_only=True):
    view: UUID


class UnfavouriteView(msgspec.Struct, frozen=True, kw_only=True):
    view: UUID


ViewCommand = SaveView | UpdateView | DeleteView | FavouriteView | UnfavouriteView


# ---- state


class View(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    definition: str
    person: UUID | None
    team: UUID | None
    deleted: bool = False
    favourites: frozenset[UUID] = frozenset()


class Viewer(msgspec.Struct, frozen=True, kw_only=True):
    """Who gives the command. `head`: manages what others share. `teams`: that the command or the view names."""

    person: UUID
    head: bool
    teams: Mapping[UUID, Team] = {}

    def may_change(self, person: UUID | None, team: UUID | None) -> bool:
        """One's own; one's team's; as a head, all that is shared."""
        if person is not None:
            return person == self.person
        member = team is not None and team in self.teams and self.person in self.teams[team].members
        return self.head or member


def decide(view: View | None, command: ViewCommand, viewer: Viewer) -> list[ViewEvent]:
    """Raises Forbidden, InvalidValue, TeamNotFound, ViewNotFound."""
    if isinstance(command, SaveView):
        return _save(command, viewer)
    if view is None or view.deleted or view.person not in (None, viewer.person):
        raise ViewNotFound(command.view)
    match command:
        case UpdateView(name=name, definition=definition):
            _must_change(viewer, view.person, view.team)
            events: list[ViewEvent] = []
            if name is not UNSET and (name := _name(name)) != view.name:
                events.append(ViewRenamed(name=name))
            if definition is not UNSET and _definition(definition) != view.definition:
                events.append(ViewRedefined(definition=definition))
            return events
        case DeleteView():
            _must_change(viewer, view.person, view.team)
            return [ViewDeleted()]
        case FavouriteView():
            return [] if viewer.person in view.favourites else [ViewFavoured(person=viewer.person)]
        case UnfavouriteView():
            return [ViewUnfavoured(person=viewer.person)] if viewer.person in view.favourites else []
        case _:
            assert_never(command)


def _save(command: SaveView, viewer: Viewer) -> list[ViewEvent]:
    if command.team is not None and command.shared:
        raise InvalidValue("A view is a team's or the workspace's, not both.", ("shared",))
    if command.team is not None and command.team not in viewer.teams:
        raise TeamNotFound(command.team)
    person = None if command.shared or command.team is not None else viewer.person
    _must_change(viewer, person, command.team)
    return [
        ViewSaved(
            name=_name(command.name), definition=_definition(command.definition), person=person, team=command.team
        )
    ]


def _must_change(viewer: Viewer, person: UUID | None, team: UUID | None) -> None:
    if not viewer.may_change(person, team):
        raise Forbidden("save or change what others share")


def _name(name: str) -> str:
    return text.line(name, "name", NAME_LIMIT)


def _definition(definition: str) -> str:
    if len(definition) > DEFINITION_LIMIT:
        raise InvalidValue(f"The definition has more than {DEFINITION_LIMIT} characters.", ("definition",))
    return text.checked(definition, "definition")


def evolve(view: View | None, event: ViewEvent, at: datetime) -> View:
    if isinstance(event, ViewSaved):
        return View(name=event.name, definition=event.definition, person=event.person, team=event.team)
    assert view is not None, "a view's first event is ViewSaved"
    match event:
        case ViewRenamed(name=name):
            return replace(view, name=name)
        case ViewRedefined(definition=definition):
            return replace(view, definition=definition)
        case ViewDeleted():
            return replace(view, deleted=True, favourites=frozenset())
        case ViewFavoured(person=person):
            return replace(view, favourites=view.favourites | {person})
        case ViewUnfavoured(person=person):
            return replace(view, favourites=view.favourites - {person})
        case _:
            assert_never(event)
