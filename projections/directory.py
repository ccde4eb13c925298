"""The directory: people, teams, services, roles and workflows of a workspace, as they are now."""

from collections import Counter, OrderedDict
from collections.abc import Sequence
from typing import Any, LiteralString
from uuid import UUID

import msgspec
from msgspec import UNSET
from psycopg import sql
from psycopg.types.json import Json

from domain.people import Person, PersonKind
from domain.services import Service
from domain.teams import Team
from domain.workflows import NO_WORKFLOWS, Workflows
from projections import conditions
from projections.filters import IdFilter, PageAsk, PersonFilter
from projections.projection import Change, Projection
from projections.reading import Listing, Page, View, count, counts_of, page, pages_of
from projections.rows import PersonRow, ServiceRow, TeamRow
from projections.writing import Writes

DDL = """
create table person (
  workspace  uuid not null,
  id         uuid primary key,
  name       text not null,
  kind       text not null,
  email      text,
  active     boolean not null,
  erased     boolean not null
);
create table team (
  workspace  uuid not null,
  id         uuid primary key,
  key        text not null,
  name       text not null
);
create table team_member (
  workspace  uuid not null,
  team       uuid not null,
  person     uuid not null,
  primary key (team, person)
);
create table service (
  workspace  uuid not null,
  id         uuid primary key,
  key        text not null,
  name       text not null,
  active     boolean not null
);
create table workflows (
  workspace   uuid primary key,
  position    bigint not null,
  definition  json not null -- every role, field and version of every workflow, in the order of definition
);
"""

INDEXES = """
create index person_name on person (workspace, lower(name), id);
create index team_key on team (workspace, key);
create index team_member_person on team_member (workspace, person);
create index service_key on service (workspace, key);
"""


def fold(write: Writes, changes: Sequence[Change]) -> None:
    """Only the last state of each stream matters here."""
    last: dict[UUID, Change] = {change.envelope.originator_id: change for change in changes}
    people: list[tuple[Any, ...]] = []
    teams: list[tuple[Any, ...]] = []
    members: list[tuple[Any, ...]] = []
    services: list[tuple[Any, ...]] = []
    for id_, change in last.items():
        workspace = change.envelope.workspace
        match change.after:
            case Person(name=name, kind=kind, email=email, active=active, erased=erased):
                people.append((workspace, id_, name, kind.value, email, active, erased))
            case Team(key=key, name=name):
                teams.append((workspace, id_, key, name))
                members += [(workspace, id_, person) for person in change.after.members]
            case Service(key=key, name=name, active=active):
                services.append((workspace, id_, key, name, active))
            case Workflows():
                definition = Json(change.after, dumps=msgspec.json.encode)
                write.execute(_WORKFLOWS, (workspace, change.envelope.position, definition))
            case _:
                pass
    if people:
        write.execute(_PEOPLE, _columns(people))
    if teams:
        write.execute(_TEAMS, _columns(teams))
        write.execute("delete from team_member where team = any(%s)", ([team[1] for team in teams],))
    if members:
        write.execute(_MEMBERS, _columns(members))
    if services:
        write.execute(_SERVICES, _columns(services))


_PEOPLE = """
insert into person (workspace, id, name, kind, email, active, erased)
select * from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::text[], %s::bool[], %s::bool[])
on conflict (id) do update set name = excluded.name, kind = excluded.kind, email = excluded.email,
  active = excluded.active, erased = excluded.erased
"""
_TEAMS = """
insert into team (workspace, id, key, name) select * from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[])
on conflict (id) do update set name = excluded.name
"""
_MEMBERS = "insert into team_member (workspace, team, person) select * from unnest(%s::uuid[], %s::uuid[], %s::uuid[])"
_SERVICES = """
insert into service (workspace, id, key, name, active)
select * from unnest(%s::uuid[], %s::uuid[], %s::text[], %s::text[], %s::bool[])
on conflict (id) do update set name = excluded.name, active = excluded.active
"""
_WORKFLOWS = """
insert into workflows (workspace, position, definition) values (%s, %s, %s)
on conflict (workspace) do update set position = excluded.position, definition = excluded.definition
"""


def _columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


PROJECTION = Projection(
    name="directory",
    tables=("person", "team", "team_member", "service", "workflows"),
    ddl=DDL,
    indexes=INDEXES,
    fold=fold,
    personal={"person": ("name", "email")},
)


# ---- queries


def _person(row: Sequence[Any]) -> PersonRow:
    return PersonRow(id=row[0], name=row[1], kind=PersonKind(row[2]), email=row[3], active=row[4], erased=row[5])


def _team(row: Sequence[Any]) -> TeamRow:
    return TeamRow(id=row[0], key=row[1], name=row[2])


def _service(row: Sequence[Any]) -> ServiceRow:
    return ServiceRow(id=row[0], key=row[1], name=row[2], active=row[3])


async def people_by_ids(view: View, ids: Sequence[UUID]) -> dict[UUID, PersonRow]:
    rows = await view.fetch(
        "select id, name, kind, email, active, erased from person"
        " where workspace = %(workspace)s and id = any(%(ids)s)",
        {"ids": list(ids)},
    )
    return {row[0]: _person(row) for row in rows}


async def teams_by_ids(view: View, ids: Sequence[UUID]) -> dict[UUID, TeamRow]:
    rows = await view.fetch(
        "select id, key, name from team where workspace = %(workspace)s and id = any(%(ids)s)",
        {"ids": list(ids)},
    )
    return {row[0]: _team(row) for row in rows}


async def services_by_ids(view: View, ids: Sequence[UUID]) -> dict[UUID, ServiceRow]:
    rows = await view.fetch(
        "select id, key, name, active from service where workspace = %(workspace)s and id = any(%(ids)s)",
        {"ids": list(ids)},
    )
    return {row[0]: _service(row) for row in rows}


async def people(view: View, filter: PersonFilter | None, ask: PageAsk) -> Page[PersonRow]:
    """By name. Raises BadInput."""
    return await page(view, by_name(*_people(filter)), ask)


async def people_count(view: View, filter: PersonFilter | None) -> int:
    return await count(view, by_name(*_people(filter)))


async def members(view: View, teams: Sequence[UUID], ask: PageAsk) -> dict[UUID, Page[PersonRow]]:
    """Of each of these teams, by name. Raises BadInput."""
    return await pages_of(view, teams, by_name(_MEMBERS_OF, {}), ask)


async def member_counts(view: View, teams: Sequence[UUID]) -> dict[UUID, int]:
    return await counts_of(view, teams, by_name(_MEMBERS_OF, {}))


_MEMBERS_OF = sql.SQL(
    "from person p where p.workspace = %(workspace)s"
    " and p.id in (select m.person from team_member m where m.workspace = %(workspace)s and m.team = parent.id)"
)


def by_name(source: sql.Composable, arguments: dict[str, Any]) -> Listing[PersonRow]:
    return Listing(
        columns=sql.SQL("p.id, p.name, p.kind, p.email, p.active, p.erased"),
        source=source,
        keys=(("lower(p.name)", "text"), ("p.id", "uuid")),
        row=_person,
        arguments=arguments,
    )


def _people(asked: PersonFilter | None) -> tuple[sql.Composable, dict[str, Any]]:
    wanted = conditions.Conditions()
    parts: list[sql.Composable] = [sql.SQL("p.workspace = %(workspace)s")]
    if asked is not None:
        if isinstance(asked.name, msgspec.Struct):
            parts.append(conditions.text(wanted, sql.SQL("p.name"), asked.name))
        if asked.kind is not UNSET:
            parts.append(wanted.compare(sql.SQL("p.kind"), "=", asked.kind.value))
        if asked.active is not UNSET:
            parts.append(wanted.compare(sql.SQL("p.active"), "=", asked.active))
        if isinstance(asked.team, msgspec.Struct):
            parts += _membership(wanted, asked.team)
    return sql.SQL("from person p where {}").format(sql.SQL(" and ").join(parts)), wanted.arguments


def _membership(wanted: conditions.Conditions, asked: IdFilter) -> list[sql.Composable]:
    """A person may be in many teams, or in none: null."""
    member: LiteralString = "exists (select from team_member m where m.workspace = p.workspace and m.person = p.id{})"
    among = sql.SQL(" and m.team = any({})")
    parts: list[sql.Composable] = []
    if asked.eq is None:
        parts.append(sql.SQL("not " + member).format(sql.SQL("")))
    elif asked.eq is not UNSET:
        parts.append(sql.SQL(member).format(among.format(wanted.argument([asked.eq]))))
    if asked.in_ is not UNSET:
        parts.append(sql.SQL(member).format(among.format(wanted.argument(asked.in_))))
    if asked.not_in is not UNSET:
        parts.append(sql.SQL("not " + member).format(among.format(wanted.argument(asked.not_in))))
    if asked.is_null is not UNSET:
        parts.append(sql.SQL(("not " if asked.is_null else "") + member).format(sql.SQL("")))
    return parts


_TEAMS_BY_KEY = Listing(
    columns=sql.SQL("id, key, name"),
    source=sql.SQL("from team where workspace = %(workspace)s"),
    keys=(("key", "text"),),
    row=_team,
)
_SERVICES_BY_KEY = Listing(
    columns=sql.SQL("id, key, name, active"),
    source=sql.SQL("from service where workspace = %(workspace)s"),
    keys=(("key", "text"),),
    row=_service,
)


async def teams(view: View, ask: PageAsk) -> Page[TeamRow]:
    """By key. Raises BadInput."""
    return await page(view, _TEAMS_BY_KEY, ask)


async def team_count(view: View) -> int:
    return await count(view, _TEAMS_BY_KEY)


async def services(view: View, ask: PageAsk) -> Page[ServiceRow]:
    """By key. Raises BadInput."""
    return await page(view, _SERVICES_BY_KEY, ask)


async def service_count(view: View) -> int:
    return await count(view, _SERVICES_BY_KEY)


async def teams_of(view: View, people: Sequence[UUID]) -> dict[UUID, list[TeamRow]]:
    rows = await view.fetch(
        "select m.person, t.id, t.key, t.name from team_member m join team t on t.id = m.team"
        " where m.workspace = %(workspace)s and m.person = any(%(people)s) order by t.key",
        {"people": list(people)},
    )
    found: dict[UUID, list[TeamRow]] = {}
    for person, *team in rows:
        found.setdefault(person, []).append(_team(team))
    return found


class WorkspaceRow(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    key: str
    name: str


async def workspace(view: View) -> WorkspaceRow:
    rows = await view.fetch("select id, key, name from workspace where id = %(workspace)s")
    return WorkspaceRow(id=rows[0][0], key=rows[0][1], name=rows[0][2])


_CACHED_WORKFLOWS = 200
_workflows_cache: OrderedDict[tuple[str, UUID], tuple[int, Workflows]] = OrderedDict()


async def workflows(view: View) -> Workflows:
    """Every role and workflow. Kept in memory per workspace, and fetched again only when its position has moved."""
    key = (view.models.database.url, view.actor.workspace)
    known = _workflows_cache.get(key)
    if known is not None and known[0] == view.workflows_at:
        return known[1]
    rows = await view.fetch(
        "select position, case when position <> %(known)s then definition::text end"
        "  from workflows where workspace = %(workspace)s",
        {"known": known[0] if known else 0},
    )
    if not rows:
        return NO_WORKFLOWS
    position, definition = rows[0]
    view.workflows_at = position
    if definition is None:
        assert known is not None
        return known[1]
    found = msgspec.json.decode(definition, type=Workflows)
    _workflows_cache[key] = (position, found)
    while len(_workflows_cache) > _CACHED_WORKFLOWS:
        _workflows_cache.popitem(last=False)
    return found


class NameIndex(msgspec.Struct, frozen=True, kw_only=True):
    """Ids by name; a name that two share is left out, since it says nothing."""

    people: dict[str, UUID]
    teams: dict[str, UUID]
    services: dict[str, UUID]


async def name_index(view: View) -> NameIndex:
    """Everybody and everything by whatever a source may call them: people by name, e-mail (in small letters) and id,
    teams and services by name, key and id. What two are called alike is left out."""
    people = await view.fetch("select id, name, lower(email) from person where workspace = %(workspace)s")
    teams = await view.fetch("select id, name, key from team where workspace = %(workspace)s")
    services = await view.fetch("select id, name, key from service where workspace = %(workspace)s")
    return NameIndex(people=_unique(people), teams=_unique(teams), services=_unique(services))


def _unique(rows: Sequence[Sequence[Any]]) -> dict[str, UUID]:
    called = {(name, id_) for id_, *names in rows for name in (*names, str(id_)) if name is not None}
    counts = Counter(name for name, _ in called)
    return {name: id_ for name, id_ in called if counts[name] == 1}
