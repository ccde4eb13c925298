"""Writing an export: as of where the log stood when it began, in chunks, and gone on with where it was interrupted."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
from msgspec.structs import replace

from api.exports.cloud_events import CloudEvents
from api.exports.comma_separated import CommaSeparated
from api.exports.ocel import Ocel
from api.exports.ocel_json import OcelJson
from api.exports.ocel_sqlite import OcelSqlite, SqliteSink
from api.exports.reading import Source
from api.exports.sinks import Format, Sink, TextSink
from api.exports.spool import ExportRefused, Progress, Spool
from api.exports.xes import Xes
from projections import billing, directory, exports
from projections.contracts import as_contract, contracts_by_ids
from projections.exports import Scope
from projections.reading import Moment, View
from projections.states import few_collections

VERSION = 1
"""Of what is written: an export that another version began is not gone on with."""

SAVE_SECONDS = 1.0
"""So much work an interruption may cost."""

Said = Callable[[int, int], None]
"""Called with the number of events done and of all."""
Prices = tuple[str, dict[UUID, Decimal]]
"""The currency of a contract, and what each entry of work comes to under it, without tax."""


class Kind(StrEnum):
    OCEL_JSON = "ocel-json"
    OCEL_SQLITE = "ocel-sqlite"
    XES = "xes"
    CSV = "csv"
    CLOUD_EVENTS = "cloudevents"

    @property
    def suffix(self) -> str:
        """Of files."""
        return _SUFFIXES[self]


_SUFFIXES = {
    Kind.OCEL_JSON: ".ocel.json",
    Kind.OCEL_SQLITE: ".ocel.sqlite",
    Kind.XES: ".xes",
    Kind.CSV: ".csv",
    Kind.CLOUD_EVENTS: ".cloudevents.jsonl",
}


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """`texts`: names and what people wrote leave, too. The rest is as `Scope` has it."""

    kind: Kind
    since: datetime | None = None
    until: datetime | None = None
    process: str | None = None
    client: UUID | None = None
    ticket: UUID | None = None
    texts: bool = False

    def scope(self, head: int) -> Scope:
        return Scope(
            head=head,
            since=self.since,
            until=self.until,
            process=self.process,
            client=self.client,
            ticket=self.ticket,
        )


class Exported(msgspec.Struct, frozen=True, kw_only=True):
    """`resumed`: it went on with what an earlier run had begun."""

    path: Path
    events: int
    head: int
    resumed: bool


async def export(
    view: View, asked: Asked, path: Path, head: int, said: Said, priced: Sequence[Prices] | None = None
) -> Exported:
    """Writes `path`, whole or not at all; what an interruption leaves is gone on with by the same call.

    `head`: up to which position the read models are known to have come. `priced`: what `prices` says, where another
    export has asked already. Raises ExportRefused, OSError, sqlite3.Error,
    ReadModelsUnavailable."""
    await _check(view, asked)
    spool = Spool(path)
    with few_collections(), spool.opened():
        progress = await _begun(view, asked, spool)
        resumed = progress is not None
        if progress is None:
            progress = await _begin(view, asked, spool, head, priced)
        source = Source(
            view=view,
            scope=asked.scope(progress.head),
            spool=spool,
            known=await directory.workflows(view),
            texts=asked.texts,
        )
        progress = await _written(source, asked.kind, progress, said)
        spool.finish()
    return Exported(path=path, events=progress.done, head=progress.head, resumed=resumed)


async def _check(view: View, asked: Asked) -> None:
    """Raises ExportRefused where there is nothing of the kind to narrow the export to."""
    if asked.since is not None and asked.until is not None and asked.since >= asked.until:
        raise ExportRefused("--from is before --to.")
    if asked.process is not None:
        known = await directory.workflows(view)
        if asked.process not in known.roles and asked.process not in known.versions:
            have = ", ".join(sorted({*known.roles, *known.versions}))
            raise ExportRefused(f"There is no role and no workflow {asked.process!r}. There are: {have}.")


async def _begun(view: View, asked: Asked, spool: Spool) -> Progress | None:
    """What there is to go on with. Raises ExportRefused where it is something else."""
    progress = spool.progress
    if progress is None:
        return None
    if progress.asked != _signature(view, asked):
        raise ExportRefused(f"{spool.part} was begun by an export of something else. Remove it, or name another file.")
    # What was written so far may name somebody who was erased meanwhile.
    return None if await exports.erased_since(view, progress.head) else progress


def _signature(view: View, asked: Asked) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(asked)
    return {**told, "workspace": str(view.actor.workspace), "version": VERSION}


async def _begin(view: View, asked: Asked, spool: Spool, head: int, priced: Sequence[Prices] | None) -> Progress:
    scope = asked.scope(head)
    counted = await exports.census(view, scope, of_tickets=asked.kind is Kind.XES)
    progress = Progress(asked=_signature(view, asked), head=head, total=sum(one.count for one in counted))
    spool.begin(progress)
    if priced is None:
        async for one in prices(view, asked.ticket, head):
            spool.price(*one)
    else:
        for one in priced:
            spool.price(*one)
    return progress


async def prices(view: View, ticket: UUID | None, head: int) -> AsyncIterator[Prices]:
    """Of each contract that has work; on this ticket, where one is named."""
    moment = Moment(position=head)
    for contract in await exports.contracts_with_work(view, ticket):
        rows = await contracts_by_ids(view, [contract], moment)
        if contract in rows:
            until = billing.today(as_contract(rows[contract]))
            yield await exports.prices(view, contract, until, moment)


async def _written(source: Source, kind: Kind, progress: Progress, said: Said) -> Progress:
    format_, sink = _opened(source, kind, progress)
    saved = time.monotonic()
    try:
        for number, stage in enumerate(format_.stages()):
            if number < progress.stage:
                continue
            said(progress.done, progress.total)
            async for chunk in stage(progress.key):
                source.spool.note(chunk.named)
                at = number if chunk.key is not None else number + 1
                progress = replace(progress, stage=at, key=chunk.key, done=progress.done + chunk.events)
                if time.monotonic() - saved >= SAVE_SECONDS:
                    progress = replace(progress, size=sink.sync())
                    source.spool.save(progress)
                    saved = time.monotonic()
                said(progress.done, progress.total)
            progress = replace(progress, stage=number + 1, key=None)
    finally:
        sink.close()
    return progress


def _opened(source: Source, kind: Kind, progress: Progress) -> tuple[Format, Sink]:
    part = source.spool.part
    if kind is Kind.OCEL_SQLITE:
        database = SqliteSink(part)
        return Ocel(source, OcelSqlite(database)), database
    text = TextSink(part, progress.size)
    match kind:
        case Kind.OCEL_JSON:
            return Ocel(source, OcelJson(text)), text
        case Kind.XES:
            return Xes(source, text), text
        case Kind.CSV:
            return CommaSeparated(source, text), text
        case Kind.CLOUD_EVENTS:
            return CloudEvents(source, text), text
