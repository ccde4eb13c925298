"""What exports read, chunk by chunk, with what a chunk names looked up at once."""

from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec

from api.exports.plain import without_texts
from api.exports.relations import Relation, activity, relations, tickets_named
from api.exports.spool import Spool
from api.ids import Kind, encode
from domain.workflows import Workflows
from projections import exports
from projections.exports import ExportedTicket, Recorded, Scope
from projections.reading import View

CHUNK = 1_000
TICKETS = 200
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
_COMINGS = ("WorkLogged", "WorkMoved")
"""By which an entry of work comes to a ticket."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An event as it is exported. `names`: of whom and what it names, where texts are wanted. `price`: of the work that
    came by it to the ticket where it stands, without tax, as all that is exported has made it."""

    recorded: Recorded
    relations: list[Relation]
    names: Mapping[UUID, str]
    price: tuple[Decimal, str] | None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """`texts`: names and what people wrote leave, too."""

    view: View
    scope: Scope
    spool: Spool
    known: Workflows
    texts: bool

    async def by_position(self, after: int) -> AsyncIterator[tuple[list[Told], int]]:
        """With after which position to go on; there may be none that is exported before it."""
        while True:
            rows, last = await exports.events(self.view, self.scope, after, CHUNK)
            if last is None:
                return
            yield await self.told(rows), last
            after = last

    async def by_ticket(self, tickets: list[ExportedTicket]) -> AsyncIterator[list[Told]]:
        after = 0, BEGINNING, 0
        while rows := await exports.events_of(self.view, self.scope, tickets, after, CHUNK):
            yield await self.told(rows)
            last = rows[-1]
            after = last.number or 0, last.event.occurred_at, last.event.position

    async def told(self, rows: list[Recorded]) -> list[Told]:
        numbers = await exports.numbers(self.view, self.scope, tickets_named(rows))
        touched = await exports.changes_at(self.view, rows)
        related = [list(relations(one, numbers, touched, self.known).values()) for one in rows]
        names = await self._names(related) if self.texts else {}
        prices = await self._prices(rows)
        return [
            Told(
                recorded=one if self.texts else msgspec.structs.replace(one, event=without_texts(one.event)),
                relations=found,
                names=names,
                price=prices.get(one.event.position),
            )
            for one, found in zip(rows, related, strict=True)
        ]

    async def _prices(self, rows: list[Recorded]) -> dict[int, tuple[Decimal, str]]:
        """By position."""
        entries = {one.event.stream for one in rows if one.event.type in _COMINGS}
        priced = {entry: price for entry in entries if (price := self.spool.price_of(entry)) is not None}
        at = await exports.priced_at(self.view, self.scope, priced) if priced else {}
        return {position: priced[entry] for entry, position in at.items()}

    async def _names(self, related: list[list[Relation]]) -> dict[UUID, str]:
        wanted: dict[str, set[UUID]] = {}
        for found in related:
            for one in found:
                if one.named is not None:
                    kind, id_ = one.named
                    wanted.setdefault(kind.name.lower(), set()).add(id_)
        return {
            one.id: one.name
            for kind, ids in wanted.items()
            for one in await exports.named(self.view, kind, None, len(ids), list(ids))
        }

    async def activities(self) -> list[tuple[str, str]]:
        """Every step that there is, with the type of its events."""
        counted = await exports.census(self.view, self.scope)
        return [(activity(one.type, one.outcome), one.type) for one in counted]


def shown(told: Told, id_: UUID | None) -> str | None:
    """A person by name, where that leaves, else by id."""
    return None if id_ is None else told.names.get(id_) or encode(Kind.PERSON, id_)


def single(value: Any) -> str | None:
    """A value as a text: as JSON has it, times too."""
    if value is None or isinstance(value, str):
        return value
    return msgspec.json.encode(value).decode()
