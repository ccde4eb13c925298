"""The catalogue of services."""

from typing import Any
from uuid import UUID

import strawberry
from strawberry import ID, UNSET, Parent

from api.commands import CommandInput, Done, ExpectingInput, Payload, perform, wait_until_readable
from api.fields import Info, Node, by, once_passed
from api.ids import Kind, encode
from api.paging import Connection, ConnectionRow, page_ask
from api.prefetch import found
from api.scalars import Position
from application.services import handle
from domain.services import AddService, RenameService
from projections import directory
from projections.rows import ServiceRow


def _id(service: Parent[ServiceRow]) -> ID:
    return encode(Kind.SERVICE, service.id)


@strawberry.type
class Service(Node):
    id: ID = by(_id)
    key: str
    name: str
    active: bool

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, ServiceRow)


async def _services(
    info: Info, first: int | None = UNSET, after: str | None = UNSET, min_position: Position | None = UNSET
) -> ConnectionRow[ServiceRow]:
    """By key."""
    await once_passed(info, min_position, "directory")
    view = info.context.view
    page = await directory.services(view, page_ask(first, after))
    return ConnectionRow(page, lambda: directory.service_count(view))


def service(info: Info, id: UUID | None) -> Any:
    """The service at once where it was loaded before, else an awaitable."""
    return None if id is None else found(info.context.loaders.services, id)


@strawberry.type
class ServiceQueries:
    services: Connection[Service] = by(_services)


# ---- commands


@strawberry.input(description="Keys are unique whatever their case, and never change.")
class AddServiceInput(CommandInput):
    key: str
    name: str


@strawberry.input
class RenameServiceInput(ExpectingInput):
    service: ID
    name: str


async def _after(done: Parent[Done], info: Info) -> ServiceRow | None:
    """As it is after the command; null if the read model has not come that far within 2 s."""
    if done.outcome is None or not await wait_until_readable(info, done.outcome, "directory"):
        return None
    return await info.context.loaders.services.load(done.outcome.stream)


@strawberry.type
class ServicePayload(Payload):
    service: Service | None = by(_after)


async def add_service(info: Info, input: AddServiceInput) -> Done:
    return await perform(info, input, AddService, handle)


async def rename_service(info: Info, input: RenameServiceInput) -> Done:
    return await perform(info, input, RenameService, handle)


@strawberry.type
class ServiceMutations:
    add_service: ServicePayload = by(add_service)
    rename_service: ServicePayload = by(rename_service)
