"""Clients, their contracts as they stand and as they stood, and which contract a ticket is bound to."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql

from domain.clients import Client
from domain.contracts import Binding, Contract, HoursGranted, PeriodClosed
from domain.terms import TermsVersion
from projections.filters import PageAsk
from projections.moments import HELD
from projections.projection import Change, Projection
from projections.reading import NOW, Listing, Moment, Page, Query, View, count, counts_of, page, pages_of
from projections.rows import ClientRow, ContractRow
from projections.versions import Versions
from projections.writing import Writes

DDL = """
create table client (
  workspace  uuid not null,
  id         uuid primary key,
  name       text not null,
  language   text not null,
  currency   text not null,
  time_zone  text not null
);
create table client_contact (
  workspace  uuid not null,
  client     uuid not null,
  person     uuid not null,
  place      integer not null,
  primary key (client, person)
);
create table contract (
  workspace        uuid not null,
  id               uuid not null,
  version          integer not null,
  position         bigint not null,
  closed_position  bigint,     -- null: as it stands now
  client           uuid not null,
  name             text not null,
  last_day         date,
  versions         json not null, -- of its terms
  grants           json not null,
  primary key (id, version)
);
create table ticket_contract (
  workspace  uuid not null,
  ticket     uuid primary key,
  contract   uuid            -- null: bound to none of its own
);
"""

INDEXES = """
create index client_name on client (workspace, lower(name), id);
create index client_contact_person on client_contact (workspace, person);
create index contract_name on contract (workspace, lower(name), id);
create index contract_position on contract (position);
create index contract_client on contract (workspace, client, lower(name), id);
"""


def fold(write: Writes, changes: Sequence[Change]) -> None:
    clients: dict[UUID, Change] = {}
    bound: dict[UUID, Change] = {}
    versions = Versions("contract")
    for change in changes:
        id_, after = change.envelope.originator_id, change.after
        if isinstance(after, Client):
            clients[id_] = change
        elif isinstance(after, Binding):
            bound[id_] = change
        elif isinstance(after, Contract):
            versions.close(change, stood=change.before is not None)
            versions.open(change, _contract_row(after))
    versions.write(write)
    _write_clients(write, clients)
    _write_bindings(write, list(bound.values()))


def _contract_row(contract: Contract) -> dict[str, Any]:
    return {
        "client": contract.client,
        "name": contract.name,
        "last_day": contract.last_day,
        "versions": contract.versions,
        "grants": contract.grants,
    }


def _write_clients(write: Writes, changes: dict[UUID, Change]) -> None:
    if not changes:
        return
    ids = list(changes)
    write.execute("delete from client where id = any(%s)", (ids,))
    write.execute("delete from client_contact where client = any(%s)", (ids,))
    rows: list[dict[str, Any]] = []
    contacts: list[dict[str, Any]] = []
    for id_, change in changes.items():
        client, workspace = change.after, change.envelope.workspace
        assert isinstance(client, Client)
        rows.append(
            {
                "workspace": workspace,
                "id": id_,
                "name": client.name,
                "language": client.language,
                "currency": client.currency,
                "time_zone": client.time_zone,
            }
        )
        contacts += [
            {"workspace": workspace, "client": id_, "person": person, "place": place}
            for place, person in enumerate(client.contacts)
        ]
    write.insert("client", rows)
    write.insert("client_contact", contacts)


def _write_bindings(write: Writes, changes: Sequence[Change]) -> None:
    rows: list[dict[str, Any]] = []
    for change in changes:
        binding = change.after
        assert isinstance(binding, Binding)
        rows.append({"workspace": change.envelope.workspace, "ticket": binding.ticket, "contract": binding.now})
    if rows:
        write.execute("delete from ticket_contract where ticket = any(%s)", ([row["ticket"] for row in rows],))
    write.insert("ticket_contract", rows)


PROJECTION = Projection(
    name="contracts",
    tables=("client", "client_contact", "contract", "ticket_contract"),
    ddl=DDL,
    indexes=INDEXES,
    fold=fold,
    personal={"client": ("name",), "contract": ("name",)},
)


# ---- queries


def of_viewer(view: View, client: sql.SQL) -> sql.Composable:
    """Who reads all, reads all; others what the clients have that they are a contact of."""
    if view.actor.reads_all:
        return sql.SQL("true")
    return sql.SQL(
        "{} in (select m.client from client_contact m where m.workspace = %(workspace)s and m.person = %(viewer)s)"
    ).format(client)


def _client(row: Sequence[Any]) -> ClientRow:
    return ClientRow(id=row[0], name=row[1], language=row[2], currency=row[3], time_zone=row[4])


_CLIENT = sql.SQL("c.id, c.name, c.language, c.currency, c.time_zone")


async def clients_by_ids(view: View, ids: Sequence[UUID]) -> dict[UUID, ClientRow]:
    rows = await view.fetch(
        sql.SQL("select {} from client c where c.workspace = %(workspace)s and c.id = any(%(ids)s) and {}").format(
            _CLIENT, of_viewer(view, sql.SQL("c.id"))
        ),
        {"ids": list(ids)},
    )
    return {row[0]: _client(row) for row in rows}


async def clients(view: View, ask: PageAsk) -> Page[ClientRow]:
    """By name. Raises BadInput."""
    return await page(view, _clients(view), ask)


async def client_count(view: View) -> int:
    return await count(view, _clients(view))


def _clients(view: View) -> Listing[ClientRow]:
    return Listing(
        columns=_CLIENT,
        source=sql.SQL("from client c where c.workspace = %(workspace)s and {}").format(
            of_viewer(view, sql.SQL("c.id"))
        ),
        keys=(("lower(c.name)", "text"), ("c.id", "uuid")),
        row=_client,
    )


async def contacts_of(view: View, clients: Sequence[UUID]) -> dict[UUID, list[UUID]]:
    """Who speaks for each of these clients."""
    rows = await view.fetch(
        "select client, array_agg(person order by place) from client_contact"
        " where workspace = %(workspace)s and client = any(%(clients)s) group by client",
        {"clients": list(clients)},
    )
    return dict(rows)


_CONTRACT = sql.SQL("k.id, k.version, k.client, k.name, k.last_day, k.versions, k.grants")
_THEN = sql.SQL(HELD.format("k"))


def _contract(row: Sequence[Any]) -> ContractRow:
    return ContractRow(
        id=row[0],
        version=row[1],
        client=row[2],
        name=row[3],
        last_day=row[4],
        versions=msgspec.convert(row[5], list[TermsVersion]),
        grants=msgspec.convert(row[6], list[HoursGranted]),
    )


def as_contract(row: ContractRow, closed: Sequence[PeriodClosed] = ()) -> Contract:
    """What it decides by; without alerts, documents and reports."""
    return Contract(
        client=row.client,
        name=row.name,
        versions=tuple(row.versions),
        grants=tuple(row.grants),
        last_day=row.last_day,
        closed=tuple(closed),
    )


async def contracts_by_ids(view: View, ids: Sequence[UUID], moment: Moment = NOW) -> dict[UUID, ContractRow]:
    """As they were known at the moment's position."""
    return contracts_of(await view.fetch(*asked_by_ids(view, ids, moment)))


def asked_by_ids(view: View, ids: Sequence[UUID], moment: Moment) -> tuple[Query, dict[str, Any]]:
    """What `contracts_by_ids` asks, and `contracts_of` reads."""
    query = sql.SQL(
        "select {} from contract k where k.workspace = %(workspace)s and k.id = any(%(ids)s) and {} and {}"
    ).format(_CONTRACT, of_viewer(view, sql.SQL("k.client")), _THEN)
    return query, {"ids": list(ids), "as_of_position": moment.position}


def contracts_of(rows: Sequence[Sequence[Any]]) -> dict[UUID, ContractRow]:
    return {row[0]: _contract(row) for row in rows}


async def contracts_named(view: View, name: str) -> list[UUID]:
    rows = await view.fetch(
        sql.SQL(
            "select k.id from contract k where k.workspace = %(workspace)s and k.closed_position is null"
            " and lower(k.name) = lower(%(name)s) and {} limit 10"
        ).format(of_viewer(view, sql.SQL("k.client"))),
        {"name": name},
    )
    return [row[0] for row in rows]


async def all_contracts(view: View, moment: Moment) -> dict[UUID, ContractRow]:
    """Of the workspace that the viewer may see, as they were known at the moment's position."""
    rows = await view.fetch(
        sql.SQL(
            "select {} from contract k where k.workspace = %(workspace)s and {} and {} order by lower(k.name)"
        ).format(_CONTRACT, of_viewer(view, sql.SQL("k.client")), _THEN),
        {"as_of_position": moment.position},
    )
    return {row[0]: _contract(row) for row in rows}


async def contracts(view: View, client: UUID | None, ask: PageAsk) -> Page[ContractRow]:
    """Of one client, or all of them, by name. Raises BadInput."""
    return await page(view, _contracts(view, client), ask)


async def contract_count(view: View, client: UUID | None) -> int:
    return await count(view, _contracts(view, client))


def _contracts(view: View, client: UUID | None) -> Listing[ContractRow]:
    return Listing(
        columns=_CONTRACT,
        source=sql.SQL(
            "from contract k where k.workspace = %(workspace)s and k.closed_position is null and {}"
            " and (%(client)s::uuid is null or k.client = %(client)s)"
        ).format(of_viewer(view, sql.SQL("k.client"))),
        keys=(("lower(k.name)", "text"), ("k.id", "uuid")),
        row=_contract,
        arguments={"client": client},
    )


async def contracts_of_clients(view: View, clients: Sequence[UUID], ask: PageAsk) -> dict[UUID, Page[ContractRow]]:
    """Of each of these clients, by name. Raises BadInput."""
    return await pages_of(view, clients, _of_client(view), ask)


async def contract_counts(view: View, clients: Sequence[UUID]) -> dict[UUID, int]:
    return await counts_of(view, clients, _of_client(view))


def _of_client(view: View) -> Listing[ContractRow]:
    listing = _contracts(view, None)
    return msgspec.structs.replace(listing, source=sql.SQL("{} and k.client = parent.id").format(listing.source))


async def bound(view: View, tickets: Sequence[UUID]) -> dict[UUID, UUID]:
    """Which contract each of these tickets is bound to itself, if to any."""
    rows = await view.fetch(
        "select ticket, contract from ticket_contract"
        " where workspace = %(workspace)s and ticket = any(%(tickets)s) and contract is not null",
        {"tickets": list(tickets)},
    )
    return dict(rows)
