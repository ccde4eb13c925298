"""OCEL 2.0: object-centric event logs. What is an event, an object, an attribute and a relationship; how that is
written is the business of `ocel_json` and `ocel_sqlite`.

A ticket is an object, and so is each stretch of it during which it had one role: its type is the role. Times before
which nothing is known of an object are OCEL's: 1970.
"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec

from api.exports.reading import CHUNK, TICKETS, Source, Told, single
from api.exports.relations import activity_of, change_id, episode_id
from api.exports.sinks import Chunk, Stage
from api.ids import Kind, encode, encode_event
from api.scalars import write_time
from domain.tickets import ticket_key
from projections import exports
from projections.exports import ExportedChange, ExportedSpan, ExportedTicket, Named
from projections.spans import PRIORITIES

ALWAYS = "1970-01-01T00:00:00.000000Z"
"""When an object's first values are from, as OCEL has it."""
NOTHING = "null"
"""A value that was taken away."""

Types = Mapping[str, str]
"""Attributes by name, with OCEL's types: string, time, integer, float, boolean."""

_EVENT: Types = {"type": "string", "position": "integer", "recordedAt": "time", "channel": "string"}
_OF_TICKETS: Types = {
    **dict.fromkeys(("role", "workflow", "status", "priority"), "string"),
    **dict.fromkeys(("startAt", "dueAt", "closedAt"), "time"),
}
_OF_WORK: Types = {
    **dict.fromkeys(("startedAt", "endedAt"), "time"),
    **dict.fromkeys(("interruption", "seconds"), "integer"),
    "billable": "boolean",
    "price": "float",
    "currency": "string",
}
_TEXTS: Types = {"reason": "string"}

_TICKET: Types = {
    "externalKey": "string",
    **dict.fromkeys(("role", "workflow", "status", "category", "priority", "channel"), "string"),
    **dict.fromkeys(("assignee", "team", "requester", "service"), "string"),
    **dict.fromkeys(("startAt", "dueAt", "closedAt"), "time"),
}
_TICKET_TEXTS: Types = {"title": "string", "tags": "string"}
_EPISODE: Types = {
    **dict.fromkeys(("ticket", "workflow", "status", "category"), "string"),
    "from": "time",
    "to": "time",
}
_CHANGE: Types = {
    **dict.fromkeys(("repository", "kind", "state"), "string"),
    **dict.fromkeys(("at", "mergedAt"), "time"),
}
_CHANGE_TEXTS: Types = {"title": "string", "author": "string"}
_DIRECTORY: Mapping[str, Types] = {
    "person": {"kind": "string", "active": "boolean"},
    "team": {"key": "string", "name": "string"},
    "service": {"key": "string", "name": "string", "active": "boolean"},
    "contract": {"active": "boolean"},
    "client": {"timeZone": "string"},
}
"""Contracts come before clients, since they name them."""
_NAMED_BY_TEXT = ("person", "client", "contract")


class Value(msgspec.Struct, frozen=True):
    """Of an attribute, from a time on."""

    name: str
    value: str
    time: str = ALWAYS


class Object(msgspec.Struct, frozen=True, kw_only=True):
    """`values`: by time. `relations`: to other objects, and how."""

    id: str
    type: str
    values: Sequence[Value]
    relations: Sequence[tuple[str, str]] = ()


class Event(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    type: str
    time: str
    values: Mapping[str, str]
    relations: Sequence[tuple[str, str]]


class Writer(Protocol):
    def types(self, events: Mapping[str, Types], objects: Mapping[str, Types]) -> None: ...
    def events(self, events: Sequence[Event]) -> None: ...
    def between(self) -> None:
        """Events are at an end, objects begin."""
        ...

    def objects(self, objects: Sequence[Object]) -> None: ...
    def end(self) -> None: ...


class Ocel:
    def __init__(self, source: Source, writer: Writer) -> None:
        self._source, self._writer = source, writer

    def stages(self) -> list[Stage]:
        return [
            self._types,
            self._events,
            self._nameless,
            self._tickets,
            *(partial(self._named, kind) for kind in _DIRECTORY),
            *(partial(self._changes, kind) for kind in ("COMMIT", "REQUEST")),
            self._end,
        ]

    async def _types(self, _: Any) -> AsyncIterator[Chunk]:
        texts = self._source.texts
        roles = self._source.known.roles
        events = {step: _event_types(type_, texts=texts) for step, type_ in await self._source.activities()}
        named = {
            kind: {**types, **({"name": "string"} if texts and kind in _NAMED_BY_TEXT else {})}
            for kind, types in _DIRECTORY.items()
        }
        objects: dict[str, Types] = {
            "ticket": {**_TICKET, **(_TICKET_TEXTS if texts else {})},
            **dict.fromkeys(map(_role_type, roles), _EPISODE),
            **named,
            "change": {**_CHANGE, **(_CHANGE_TEXTS if texts else {})},
        }
        self._writer.types(events, objects)
        yield Chunk()

    async def _events(self, after: Any) -> AsyncIterator[Chunk]:
        async for told, last in self._source.by_position(after or 0):
            self._writer.events([self._event(one) for one in told])
            named = {relation.named for one in told for relation in one.relations if relation.named is not None}
            yield Chunk(
                key=last,
                events=len(told),
                named=list(named) if self._source.scope.narrowed else [],
            )

    def _event(self, told: Told) -> Event:
        event = told.recorded.event
        values: dict[str, str] = {
            "type": event.type,
            "position": str(event.position),
            "recordedAt": write_time(event.recorded_at),
            "channel": event.channel,
        }
        declared = _event_types(event.type, texts=self._source.texts)
        for change in event.changes:
            value = single(change.to) if change.path in declared else None
            if value is not None:
                values[change.path] = value
        if told.price is not None:
            amount, currency = told.price
            values |= {"price": str(amount), "currency": currency}
        if self._source.texts and event.reason is not None:
            values["reason"] = event.reason
        return Event(
            id=encode_event(event.position),
            type=activity_of(told.recorded),
            time=write_time(event.occurred_at),
            values=values,
            relations=[(relation.object, relation.qualifier) for relation in told.relations],
        )

    # ---- objects

    async def _nameless(self, _: Any) -> AsyncIterator[Chunk]:
        """Whoever acts and is nobody in the directory."""
        self._writer.between()
        actors = await exports.actors_without_names(self._source.view)
        objects = [
            Object(id=encode(Kind.PERSON, id_), type="person", values=[Value("kind", "SYSTEM")]) for id_ in actors
        ]
        self._writer.objects(objects)
        yield Chunk()

    async def _tickets(self, after: Any) -> AsyncIterator[Chunk]:
        view, scope = self._source.view, self._source.scope
        last = after or 0
        while True:
            tickets, last = await exports.tickets(view, scope, last, TICKETS)
            if last is None:
                return
            ids = [one.id for one in tickets]
            spans = await exports.spans_of(view, scope, ids)
            links = await exports.links_of(view, scope, ids)
            others = {other for found in links.values() for _, other in found}
            others |= {found[-1].parent for found in spans.values() if found[-1].parent is not None}
            numbers = await exports.numbers(view, scope, others)
            there = [ticket for ticket in tickets if ticket.id in spans]
            objects: list[Object] = []
            for ticket in there:
                objects += self._ticket(ticket, spans[ticket.id], links.get(ticket.id, []), numbers)
            self._writer.objects(objects)
            yield Chunk(key=last, named=list(_named_by(there, spans)) if scope.narrowed else [])

    def _ticket(
        self,
        ticket: ExportedTicket,
        spans: Sequence[ExportedSpan],
        links: Sequence[tuple[str, UUID]],
        numbers: Mapping[UUID, int],
    ) -> Iterator[Object]:
        key = ticket_key(ticket.number)
        episodes = [list(found) for _, found in groupby(spans, key=lambda span: span.role)]
        last = spans[-1]
        directory = (
            (Kind.PERSON, last.requester, "requester"),
            (Kind.SERVICE, last.service, "service"),
            (Kind.CONTRACT, ticket.contract, "contract"),
            (Kind.CLIENT, ticket.client, "client"),
        )
        others = [("PARENT", last.parent), *links]
        yield Object(
            id=key,
            type="ticket",
            values=_over_time(spans, [*_TICKET_VALUES, *(_TICKET_TEXT_VALUES if self._source.texts else ())]),
            relations=[
                *((episode_id(ticket.number, found[0].version), "role") for found in episodes),
                *((encode(kind, id_), qualifier) for kind, id_, qualifier in directory if id_ is not None),
                *(
                    (ticket_key(numbers[other]), kind.lower().replace("_", " "))
                    for kind, other in others
                    if other is not None and other in numbers
                ),
            ],
        )
        for n, found in enumerate(episodes):
            values = [Value("ticket", key), Value("from", write_time(found[0].occurred_from))]
            if n + 1 < len(episodes):
                values.append(Value("to", write_time(episodes[n + 1][0].occurred_from)))
            yield Object(
                id=episode_id(ticket.number, found[0].version),
                type=_role_type(found[0].role),
                values=[*values, *_over_time(found, _EPISODE_VALUES)],
                relations=[(key, "ticket")],
            )

    async def _named(self, kind: str, after: Any) -> AsyncIterator[Chunk]:
        source = self._source
        last = None if after is None else UUID(after)
        while True:
            among = source.spool.named(kind, last, CHUNK) if source.scope.narrowed else None
            if among == []:
                return
            found = await exports.named(source.view, kind, last if among is None else None, CHUNK, among)
            if not found and among is None:
                return
            self._writer.objects([self._one(kind, one) for one in found])
            last = found[-1].id if among is None else among[-1]
            owners = [(Kind.CLIENT, UUID(one.mark)) for one in found] if kind == "contract" else []
            yield Chunk(key=str(last), named=owners)

    def _one(self, kind: str, one: Named) -> Object:
        marks = {"person": "kind", "team": "key", "service": "key", "client": "timeZone"}
        values = [Value(marks[kind], one.mark)] if kind in marks else []
        if "active" in _DIRECTORY[kind]:
            values.append(Value("active", "true" if one.active else "false"))
        if self._source.texts or kind not in _NAMED_BY_TEXT:
            values.append(Value("name", one.name))
        owner = [(encode(Kind.CLIENT, UUID(one.mark)), "client")] if kind == "contract" else []
        return Object(id=encode(Kind[kind.upper()], one.id), type=kind, values=values, relations=owner)

    async def _changes(self, kind: str, after: Any) -> AsyncIterator[Chunk]:
        view, scope = self._source.view, self._source.scope
        last = None if after is None else (UUID(after[0]), str(after[1]))
        while True:
            found, last = await exports.changes(view, scope, kind, last, CHUNK)
            if last is None:
                return
            self._writer.objects([self._change(one) for one in found])
            yield Chunk(key=(str(last[0]), last[1]))

    def _change(self, one: ExportedChange) -> Object:
        values = {
            "repository": one.repository_key,
            "kind": one.kind,
            "state": one.state,
            "at": write_time(one.at),
            "mergedAt": None if one.merged_at is None else write_time(one.merged_at),
        }
        if self._source.texts:
            values |= {"title": one.title, "author": one.author}
        return Object(
            id=change_id(one.repository_key, one.kind, one.change),
            type="change",
            values=[Value(name, value) for name, value in values.items() if value is not None],
            relations=[(ticket_key(number), "change of") for number in one.tickets],
        )

    async def _end(self, _: Any) -> AsyncIterator[Chunk]:
        self._writer.end()
        yield Chunk()


def _role_type(role: str) -> str:
    return f"role {role}" if role in ("ticket", "change", *_DIRECTORY) else role


@cache
def _event_types(type_: str, *, texts: bool) -> Types:
    of_work = type_.startswith("Work") and not type_.startswith("Workflow")
    return {**_EVENT, **(_OF_WORK if of_work else _OF_TICKETS), **(_TEXTS if texts else {})}


def _named_by(
    tickets: Sequence[ExportedTicket], spans: Mapping[UUID, Sequence[ExportedSpan]]
) -> set[tuple[Kind, UUID]]:
    """Whom and what tickets are related to."""
    found: set[tuple[Kind, UUID | None]] = set()
    for ticket in tickets:
        last = spans[ticket.id][-1]
        found |= {(Kind.PERSON, last.requester), (Kind.SERVICE, last.service)}
        found |= {(Kind.CONTRACT, ticket.contract), (Kind.CLIENT, ticket.client)}
    return {(kind, id_) for kind, id_ in found if id_ is not None}


class Column(NamedTuple):
    """A value of spans: what it is made of, and how; which is done where it has changed alone."""

    name: str
    read: Callable[[ExportedSpan], Any]
    write: Callable[[Any], str]


def _columns(write: Callable[[Any], str], **read: str) -> list[Column]:
    """By name, the attribute that it is made of."""
    return [Column(name, attrgetter(attribute), write) for name, attribute in read.items()]


def _tags(span: ExportedSpan) -> list[str] | None:
    return span.tags or None


def _priority(priority: int) -> str:
    return PRIORITIES[priority].value


_EPISODE_VALUES = _columns(str, workflow="workflow", status="status", category="category")
_TICKET_VALUES = [
    *_columns(str, externalKey="external_key", role="role"),
    *_EPISODE_VALUES,
    *_columns(_priority, priority="priority"),
    *_columns(str, channel="channel"),
    *_columns(partial(encode, Kind.PERSON), assignee="assignee", requester="requester"),
    *_columns(partial(encode, Kind.TEAM), team="team"),
    *_columns(partial(encode, Kind.SERVICE), service="service"),
    *_columns(write_time, startAt="start_at", dueAt="due_at", closedAt="closed_at"),
]
_TICKET_TEXT_VALUES = [*_columns(str, title="title"), Column("tags", _tags, ", ".join)]


def _over_time(spans: Sequence[ExportedSpan], columns: Sequence[Column]) -> list[Value]:
    """Each value once, from when it was so."""
    found: list[Value] = []
    before: tuple[Any, ...] = (None,) * len(columns)
    for n, span in enumerate(spans):
        at = ALWAYS if n == 0 else write_time(span.occurred_from)
        now = tuple([column.read(span) for column in columns])
        for column, old, new in zip(columns, before, now, strict=True):
            if new is not old and new != old:
                found.append(Value(column.name, NOTHING if new is None else column.write(new), at))
        before = now
    return found
