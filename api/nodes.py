"""Anything by its id."""

import strawberry
from strawberry import ID

from api.fields import Info, Node, by
from api.ids import Kind, parse
from projections.reading import NOW

_OF_COLLEAGUES = (Kind.PERSON, Kind.TEAM)
"""Requesters meet people and teams on their own tickets, and cannot look for others."""


async def _node(info: Info, id: ID) -> object | None:
    """Null where there is none, or none that you may see."""
    kind, number = parse(id)
    loaders = info.context.loaders
    if kind in _OF_COLLEAGUES and number != info.context.actor.person and not info.context.actor.reads_all:
        return None
    if isinstance(number, int):
        return await loaders.events.load((number, NOW))
    match kind:
        case Kind.TICKET:
            return await loaders.tickets.load((number, NOW))
        case Kind.PERSON:
            return await loaders.people.load(number)
        case Kind.TEAM:
            return await loaders.teams.load(number)
        case Kind.SERVICE:
            return await loaders.services.load(number)
        case Kind.COMMENT:
            return await loaders.comments.load(number)
        case Kind.VIEW:
            return await loaders.views.load(number)
        case Kind.REPOSITORY:
            return await loaders.repositories.load(number) if info.context.actor.reads_all else None
        case Kind.WEBHOOK if info.context.actor.administers:
            return await loaders.webhooks.load(number)
        case Kind.ATTACHMENT:
            return await loaders.attachments.load(number)
        case Kind.CLIENT:
            return await loaders.clients.load(number)
        case Kind.CONTRACT:
            return await loaders.contracts.load(number)
        case Kind.DOCUMENT:
            return await loaders.documents.load(number)
        case Kind.WORK_ENTRY:
            return await loaders.work_entries.load(number)
        case _:
            return None


@strawberry.type
class NodeQueries:
    node: Node | None = by(_node)
