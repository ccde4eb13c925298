"""XES (IEEE 1849-2016): a trace for every ticket, with its events and those of the work on it, by time.

Standard extensions: concept, time, organizational, lifecycle, identity, and cost for the price of work.
"""

import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from itertools import groupby
from typing import Any
from xml.sax.saxutils import quoteattr

from api.exports.reading import TICKETS, Source, Told, shown, single
from api.exports.relations import activity_of
from api.exports.sinks import Chunk, Stage, TextSink
from api.ids import Kind, encode, encode_event
from api.scalars import write_time
from domain.tickets import ticket_key
from projections import exports
from projections.exports import ExportedTicket

_HEAD = """<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1849.2016" xes.features="">
  <extension name="Concept" prefix="concept" uri="http://www.xes-standard.org/concept.xesext"/>
  <extension name="Time" prefix="time" uri="http://www.xes-standard.org/time.xesext"/>
  <extension name="Organizational" prefix="org" uri="http://www.xes-standard.org/org.xesext"/>
  <extension name="Lifecycle" prefix="lifecycle" uri="http://www.xes-standard.org/lifecycle.xesext"/>
  <extension name="Identity" prefix="identity" uri="http://www.xes-standard.org/identity.xesext"/>
  <extension name="Cost" prefix="cost" uri="http://www.xes-standard.org/cost.xesext"/>
  <global scope="trace">
    <string key="concept:name" value=""/>
  </global>
  <global scope="event">
    <string key="concept:name" value=""/>
    <date key="time:timestamp" value="1970-01-01T00:00:00.000000Z"/>
    <string key="lifecycle:transition" value="complete"/>
    <string key="org:resource" value=""/>
  </global>
  <classifier name="Activity" scope="event" keys="concept:name"/>
  <classifier name="Resource" scope="event" keys="org:resource"/>
"""
_VALUES = ("status", "priority", "assignee", "team", "service", "startedAt", "endedAt", "seconds", "billable")
_TIMES = frozenset({"startedAt", "endedAt"})
_QUALIFIERS = ("executor", "approver", "recorder", "on behalf of", "from", "to")
# What XML 1.0 has no way to write.
_UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Attribute = tuple[str, str, str]
"""Its kind (string, date, int, float, boolean, id), key and value."""


class Xes:
    def __init__(self, source: Source, sink: TextSink) -> None:
        self._source, self._sink = source, sink

    def stages(self) -> list[Stage]:
        return [self._begin, self._traces, self._end]

    async def _begin(self, _: Any) -> AsyncIterator[Chunk]:
        workspace = self._source.view.actor.workspace
        own = _written([("id", "identity:id", str(workspace))], "  ")
        self._sink.write((_HEAD + own).encode())
        yield Chunk()

    async def _traces(self, after: Any) -> AsyncIterator[Chunk]:
        source = self._source
        last = after or 0
        while True:
            tickets, last = await exports.tickets(source.view, source.scope, last, TICKETS)
            if last is None:
                return
            yield Chunk(key=last, events=await self._chunk(tickets))

    async def _chunk(self, tickets: list[ExportedTicket]) -> int:
        """Returns how many events there were. A trace may come in several pieces; it is closed when the next begins."""
        by_number = {ticket.number: ticket for ticket in tickets}
        open_, count = 0, 0
        async for told in self._source.by_ticket(tickets):
            for number, events in groupby(told, key=lambda one: one.recorded.number or 0):
                if number != open_:
                    self._write("  </trace>\n" if open_ else "")
                    self._write(self._trace(by_number[number]))
                    open_ = number
                for one in events:
                    self._write(self._event(one))
                    count += 1
        self._write("  </trace>\n" if open_ else "")
        return count

    def _trace(self, ticket: ExportedTicket) -> str:
        attributes: list[Attribute] = [
            ("string", "concept:name", ticket_key(ticket.number)),
            ("id", "identity:id", str(ticket.id)),
        ]
        if ticket.client is not None:
            attributes.append(("string", "client", encode(Kind.CLIENT, ticket.client)))
        if ticket.contract is not None:
            attributes.append(("string", "contract", encode(Kind.CONTRACT, ticket.contract)))
        return "  <trace>\n" + _written(attributes, "    ")

    def _event(self, told: Told) -> str:
        return (
            "    <event>\n" + _written(list(_attributes(told, texts=self._source.texts)), "      ") + "    </event>\n"
        )

    def _write(self, text: str) -> None:
        self._sink.write(text.encode())

    async def _end(self, _: Any) -> AsyncIterator[Chunk]:
        self._write("</log>\n")
        yield Chunk()


def _attributes(told: Told, *, texts: bool) -> Iterator[Attribute]:
    recorded = told.recorded
    event = recorded.event
    yield "string", "concept:name", activity_of(recorded)
    yield "date", "time:timestamp", write_time(event.occurred_at)
    yield "string", "lifecycle:transition", "complete"
    yield "string", "org:resource", shown(told, event.actor) or ""
    if told.price is not None:
        amount, currency = told.price
        yield "float", "cost:total", str(amount)
        yield "string", "cost:currency", currency
    yield "string", "event", encode_event(event.position)
    yield "string", "type", event.type
    yield "int", "position", str(event.position)
    yield "date", "recordedAt", write_time(event.recorded_at)
    yield "string", "channel", event.channel
    if recorded.role is not None:
        yield "string", "role", recorded.role
    for change in event.changes:
        if change.path in _VALUES and change.to is not None:
            yield _kind(change.path, change.to), change.path, _value(told, change.path, change.to)
    for qualifier in _QUALIFIERS:
        names = [
            told.names.get(one.named[1]) or one.object if one.named else one.object
            for one in told.relations
            if one.qualifier == qualifier
        ]
        if names:
            yield "string", qualifier.replace(" ", "_"), ", ".join(names)
    if texts and event.reason is not None:
        yield "string", "reason", event.reason


def _kind(path: str, value: Any) -> str:
    if path in _TIMES:
        return "date"
    return "boolean" if isinstance(value, bool) else "int" if isinstance(value, int) else "string"


def _value(told: Told, path: str, value: Any) -> str:
    if path in _TIMES:
        return write_time(datetime.fromisoformat(value))
    named = {str(id_): encode(kind, id_) for kind, id_ in (one.named for one in told.relations if one.named)}
    return named.get(value) or single(value) or ""


def _written(attributes: list[Attribute], indent: str) -> str:
    return "".join(
        f"{indent}<{kind} key={quoteattr(key)} value={_quoted(value)}/>\n" for kind, key, value in attributes
    )


def _quoted(value: str) -> str:
    return quoteattr(_UNWRITABLE.sub("\ufffd", value), {"\n": "&#10;", "\r": "&#13;", "\t": "&#9;"})
