"""Saved views: whose they are, what they show, who keeps them among their favourites."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql

from domain.views import View as SavedView
from projections.filters import PageAsk
from projections.projection import Change, Projection
from projections.reading import Listing, Page, View, count, page
from projections.rows import ViewDefinition, ViewRow
from projections.writing import Writes

DDL = """
create table saved_view (
  workspace   uuid not null,
  id          uuid primary key,
  name        text not null,
  definition  text not null,
  person      uuid,           -- whose own it is
  team        uuid            -- whose it is; neither: the workspace's
);
create table view_favourite (
  workspace  uuid not null,
  view       uuid not null,
  person     uuid not null,
  primary key (view, person)
);
"""

INDEXES = """
create index saved_view_name on saved_view (workspace, lower(name), id);
"""


def fold(write: Writes, changes: Sequence[Change]) -> None:
    """Only the last state of each view matters here."""
    last = {change.envelope.originator_id: change for change in changes if isinstance(change.after, SavedView)}
    if not last:
        return
    ids = list(last)
    write.execute("delete from saved_view where id = any(%s)", (ids,))
    write.execute("delete from view_favourite where view = any(%s)", (ids,))
    rows: list[dict[str, Any]] = []
    favourites: list[dict[str, Any]] = []
    for id_, change in last.items():
        view, workspace = change.after, change.envelope.workspace
        assert isinstance(view, SavedView)
        if view.deleted:
            continue
        rows.append(
            {
                "workspace": workspace,
                "id": id_,
                "name": view.name,
                "definition": view.definition,
                "person": view.person,
                "team": view.team,
            }
        )
        favourites += [{"workspace": workspace, "view": id_, "person": person} for person in sorted(view.favourites)]
    write.insert("saved_view", rows)
    write.insert("view_favourite", favourites)


PROJECTION = Projection(
    name="views",
    tables=("saved_view", "view_favourite"),
    ddl=DDL,
    indexes=INDEXES,
    fold=fold,
    personal={"saved_view": ("name", "definition")},
)


# ---- queries

_COLUMNS = sql.SQL(
    "v.id, v.name, v.definition, v.person, v.team,"
    " exists (select from view_favourite f where f.workspace = v.workspace and f.view = v.id and f.person = %(viewer)s)"
)
_FOR_VIEWER = sql.SQL(
    "from saved_view v where v.workspace = %(workspace)s and (v.person = %(viewer)s or (v.person is null and (v.team is"
    " null or v.team in (select m.team from team_member m where m.workspace = %(workspace)s and m.person = %(viewer)s)"
    " or exists (select from view_favourite f"
    " where f.workspace = v.workspace and f.view = v.id and f.person = %(viewer)s))))"
)
_FAVOURITES = sql.SQL(
    " and v.id in (select f.view from view_favourite f where f.workspace = v.workspace and f.person = %(viewer)s)"
)


def _row(row: Sequence[Any]) -> ViewRow:
    return ViewRow(
        id=row[0],
        name=row[1],
        definition=_definition(row[2]),
        person=row[3],
        team=row[4],
        favourite=row[5],
    )


def _definition(text: str) -> ViewDefinition:
    """One that was erased asks for nothing."""
    try:
        return msgspec.json.decode(text, type=ViewDefinition)
    except msgspec.DecodeError:
        return ViewDefinition(workflow=None, columns=None, rows=None, filter=None, search=None, order_by=[])


def _listing(favourites: bool) -> Listing[ViewRow]:
    return Listing(
        columns=_COLUMNS,
        source=_FOR_VIEWER + _FAVOURITES if favourites else _FOR_VIEWER,
        keys=(("lower(v.name)", "text"), ("v.id", "uuid")),
        row=_row,
    )


async def views(view: View, ask: PageAsk, *, favourites: bool = False) -> Page[ViewRow]:
    """The viewer's own, their teams' and the workspace's, by name. Raises BadInput."""
    return await page(view, _listing(favourites), ask)


async def view_count(view: View, *, favourites: bool = False) -> int:
    return await count(view, _listing(favourites))


async def views_by_ids(view: View, ids: Sequence[UUID]) -> dict[UUID, ViewRow]:
    """What is shared can be opened by whoever works here; what is somebody's own by them alone."""
    rows = await view.fetch(
        sql.SQL(
            "select {} from saved_view v where v.workspace = %(workspace)s and v.id = any(%(ids)s)"
            " and (v.person = %(viewer)s or (v.person is null and {}))"
        ).format(_COLUMNS, sql.SQL("true" if view.actor.reads_all else "false")),
        {"ids": list(ids)},
    )
    return {row[0]: _row(row) for row in rows}
