"""The catalogue of services."""

import strawberry

from api.fields import Info, Node, by
from api.ids import Kind, encode
from api.paging import Connection, ConnectionRow, page_ask
from projections import directory
from projections.rows import ServiceRow


def _id(service: strawberry.Parent[ServiceRow]) -> strawberry.ID:
    return encode(Kind.SERVICE, service.id)


@strawberry.type
class Service(Node):
    id: strawberry.ID = by(_id)
    key: str
    name: str
    active: bool

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, ServiceRow)


async def _services(
    info: Info, first: int | None = strawberry.UNSET, after: str | None = strawberry.UNSET
) -> ConnectionRow[ServiceRow]:
    """By key."""
    view = info.context.view
    page = await directory.services(view, page_ask(first, after))
    return ConnectionRow(page, lambda: directory.service_count(view))


@strawberry.type
class ServiceQueries:
    services: Connection[Service] = by(_services)
