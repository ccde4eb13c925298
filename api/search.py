"""Search: tickets by their texts, the best first, each with what was found."""

import asyncio
from inspect import isawaitable
from typing import Any

import strawberry
from strawberry import UNSET, Parent

from api.attachments import Attachment
from api.comments import Comment
from api.fields import Info, by, once_passed, selected
from api.filters import TicketFilter, asked
from api.paging import Connection, ConnectionRow, page_ask
from api.prefetch import at_last, found, load_ahead, prefetch
from api.scalars import Position
from api.ticket_fields import Ticket
from projections import filters, search
from projections.registry import TICKET_READ_MODELS
from projections.rows import HighlightPart as HighlightPartRow
from projections.rows import HighlightRow, SearchField, SearchHitRow

strawberry.enum(SearchField)


@strawberry.type
class HighlightPart:
    text: str
    match: bool = strawberry.field(description="This is what was asked for.")


async def _comment(found: Parent[HighlightRow], info: Info) -> Any:
    return await info.context.loaders.comments.load(found.id) if found.field is SearchField.COMMENT else None


async def _attachment(found: Parent[HighlightRow], info: Info) -> Any:
    return await info.context.loaders.attachments.load(found.id) if found.field is SearchField.ATTACHMENT else None


@strawberry.type(description="Where in a ticket something was found: show its parts one after another.")
class Highlight:
    field: SearchField
    comment: Comment | None = by(_comment)
    attachment: Attachment | None = by(_attachment)
    parts: list[HighlightPart]


def _highlights(hit: Parent[SearchHitRow], info: Info) -> Any:
    """The texts that were found, the best first, three at most."""
    parts = [found(info.context.loaders.highlights, (text, hit.asked)) for text in hit.texts]
    if any(map(isawaitable, parts)):
        return _later(hit, parts)
    return _shown(hit, parts)


async def _later(hit: SearchHitRow, parts: list[Any]) -> list[HighlightRow]:
    return _shown(hit, await asyncio.gather(*map(at_last, parts)))


def _shown(hit: SearchHitRow, parts: list[list[HighlightPartRow] | None]) -> list[HighlightRow]:
    key = [HighlightPartRow(text=hit.ticket.external_key or hit.ticket.key, match=True)]
    return [
        HighlightRow(id=text.id, field=text.field, parts=key if one is None else one)
        for text, one in zip(hit.texts, parts, strict=True)
        if one is not None or text.field is SearchField.KEY
    ]


@strawberry.type
class SearchHit:
    ticket: Ticket
    rank: float = strawberry.field(description="To compare with others of the same search.")
    highlights: list[Highlight] = by(_highlights)


async def _search(
    info: Info,
    query: str,
    filter: TicketFilter | None = UNSET,
    first: int | None = UNSET,
    after: str | None = UNSET,
    min_position: Position | None = UNSET,
) -> ConnectionRow[SearchHitRow]:
    """Tickets by the words of their titles, descriptions, comments, keys and names of files, the best first. Words are
    found in any form and with typing errors; `"a phrase"`, `-without`, `begin*`. Of a very common word the newest texts
    count."""
    await once_passed(info, min_position, *TICKET_READ_MODELS, "search")
    view, wanted = info.context.view, asked(filter, filters.TicketFilter)
    page = await search.search(view, query, wanted, page_ask(first, after))
    texts = {(text, hit.asked) for hit in page.nodes for text in hit.texts}
    highlighted = "highlights" in selected(info, "SearchHit")
    await asyncio.gather(
        load_ahead((info.context.loaders.highlights, texts if highlighted else ())),
        prefetch(info, [hit.ticket for hit in page.nodes]),
    )
    return ConnectionRow(page, lambda: search.count(view, query, wanted))


@strawberry.type
class SearchQueries:
    search: Connection[SearchHit] = by(_search)
