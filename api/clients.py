"""Clients: the organisations that the company works for."""

from typing import Any

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import CommandInput, Done, ExpectingInput, Payload, perform, wait_until_readable
from api.contracts import Contract
from api.fields import Info, Node, by, once_passed
from api.ids import Kind, encode
from api.paging import Connection, ConnectionRow, page_ask
from api.people import Person, people
from api.prefetch import at_last
from api.scalars import Position
from application.clients import handle
from domain.clients import AddClient, AddContact, LocalizeClient, RemoveContact, RenameClient
from projections import contracts
from projections.rows import ClientRow, ContractRow


def _id(client: Parent[ClientRow]) -> ID:
    return encode(Kind.CLIENT, client.id)


async def _contacts(client: Parent[ClientRow], info: Info) -> Any:
    """Who speaks for it, in the order they came."""
    return await at_last(people(info, await info.context.loaders.contacts_of.load(client.id) or []))


async def _contracts(
    client: Parent[ClientRow], info: Info, first: int | None = UNSET, after: str | None = UNSET
) -> ConnectionRow[ContractRow]:
    """By name."""
    loaders, id_ = info.context.loaders, client.id
    page = await loaders.contracts_of.load((id_, page_ask(first, after)))
    return ConnectionRow(page, lambda: loaders.contract_counts.load((id_,)))


@strawberry.type
class Client(Node):
    id: ID = by(_id)
    name: str
    language: str = strawberry.field(description="A tag, as ru or pt-BR.")
    currency: str = strawberry.field(description="By ISO 4217: of contracts, unless they name another.")
    time_zone: str
    contacts: list[Person] = by(_contacts)
    contracts: Connection[Contract] = by(_contracts)

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, ClientRow)


async def _clients(
    info: Info, first: int | None = UNSET, after: str | None = UNSET, min_position: Position | None = UNSET
) -> ConnectionRow[ClientRow]:
    """By name. Requesters see those that they are a contact of."""
    await once_passed(info, min_position, "contracts")
    view = info.context.view
    page = await contracts.clients(view, page_ask(first, after))
    return ConnectionRow(page, lambda: contracts.client_count(view))


@strawberry.type
class ClientQueries:
    clients: Connection[Client] = by(_clients)


# ---- commands


@strawberry.input
class AddClientInput(CommandInput):
    name: str
    language: str
    currency: str
    time_zone: str


@strawberry.input
class RenameClientInput(ExpectingInput):
    client: ID
    name: str


@strawberry.input(description="What is absent stays.")
class LocalizeClientInput(ExpectingInput):
    client: ID
    language: str | None = UNSET
    currency: str | None = UNSET
    time_zone: str | None = UNSET


@strawberry.input
class AddContactInput(ExpectingInput):
    client: ID
    person: ID


@strawberry.input
class RemoveContactInput(ExpectingInput):
    client: ID
    person: ID


async def _after(done: Parent[Done], info: Info) -> ClientRow | None:
    """As it is after the command; null if the read model has not come that far within 2 s."""
    if done.outcome is None or not await wait_until_readable(info, done.outcome, "contracts"):
        return None
    return await info.context.loaders.clients.load(done.outcome.stream)


@strawberry.type
class ClientPayload(Payload):
    client: Client | None = by(_after)


async def add_client(info: Info, input: AddClientInput) -> Done:
    return await perform(info, input, AddClient, handle)


async def rename_client(info: Info, input: RenameClientInput) -> Done:
    return await perform(info, input, RenameClient, handle)


async def localize_client(info: Info, input: LocalizeClientInput) -> Done:
    return await perform(info, input, LocalizeClient, handle)


async def add_contact(info: Info, input: AddContactInput) -> Done:
    """Contacts read the client's contracts."""
    return await perform(info, input, AddContact, handle)


async def remove_contact(info: Info, input: RemoveContactInput) -> Done:
    return await perform(info, input, RemoveContact, handle)


@strawberry.type
class ClientMutations:
    add_client: ClientPayload = by(add_client)
    rename_client: ClientPayload = by(rename_client)
    localize_client: ClientPayload = by(localize_client)
    add_contact: ClientPayload = by(add_contact)
    remove_contact: ClientPayload = by(remove_contact)
