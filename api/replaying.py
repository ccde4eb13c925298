"""`proteus audit replay`: a ticket's history as a person reads it."""

import asyncio
import re
from asyncio import sleep
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import click
import msgspec
from graphql import GraphQLError
from rich.console import Console
from rich.text import Text

from api.fields import is_list
from api.ids import PATHS, Kind, encode, encode_event
from api.imports import choose_workspace
from api.runtime import home, open_database
from api.scalars import parse_time, write_time
from application.audit.proofs import NoProof
from application.workspaces import operator
from domain.tickets import ticket_key
from projections import directory, tickets, timeline
from projections.filters import PageAsk
from projections.reading import NOW, PAGE_LIMIT, Moment, ReadModels, View
from projections.rows import ChangeRow, EventRow, TicketRow

console = Console(highlight=False)

POLL_SECONDS = 0.5
_HIDDEN = ("rank",)


@click.command()
@click.argument("ticket")
@click.option("--workspace", "key", help="Its key; may be left out where there is only one.")
@click.option("--at", "at", help="As far as it had come at this time: 2026-03-03T12:00:00+03:00.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.option("--follow", is_flag=True, help="Go on with what happens, until Ctrl-C.")
@click.option("--step", is_flag=True, help="One event at a time, with the ticket as it was after it.")
def replay(ticket: str, key: str | None, at: str | None, as_json: bool, follow: bool, step: bool) -> None:
    """Print the history of TICKET (T-1042): what happened, when, by whom, from which channel, and why."""
    if follow and (at is not None or step):
        raise click.UsageError("--follow goes with neither --at nor --step.")
    if step and as_json:
        raise click.UsageError("--step is for reading, --json for machines.")
    moment = Moment(occurred_at=None if at is None else _instant(at))
    with open_database(home()) as database:
        workspace = choose_workspace(database, key)

        async def run() -> None:
            async with ReadModels(database, size=1) as models:
                view = models.view(operator(workspace.id))
                row = await tickets.ticket(view, id=None, key=ticket, moment=NOW)
                if row is None:
                    raise NoProof(f"There is no ticket {ticket.upper()} in {workspace.key}.")
                tell = Teller(view, row, as_json=as_json)
                await (tell.step(moment) if step else tell.all(moment, follow=follow))

        try:
            asyncio.run(run())
        except KeyboardInterrupt:
            click.echo()


def _instant(text: str) -> datetime:
    """Raises click.ClickException."""
    try:
        at = parse_time(text)
    except GraphQLError as error:
        raise click.ClickException(error.message) from None
    if at > datetime.now(UTC):
        raise click.ClickException(f"{text} is in the future: nobody knows yet.")
    return at


class Teller:
    """Tells one ticket's events. Names are looked up once, for all that a page names."""

    def __init__(self, view: View, ticket: TicketRow, *, as_json: bool = False) -> None:
        self._view, self._ticket, self._as_json = view, ticket, as_json
        self._names: dict[tuple[Kind, UUID], str] = {}
        self._last = 0

    async def all(self, moment: Moment, *, follow: bool) -> None:
        """Raises click.ClickException where there was nothing yet."""
        async for event in self.events(moment):
            self._tell(event)
        if not self._last:
            raise click.ClickException(f"{self._ticket.key} was not opened yet.")
        while follow:
            await sleep(POLL_SECONDS)
            async for event in self.events(NOW):
                self._tell(event)

    async def step(self, moment: Moment) -> None:
        """Enter: the next; b: the one before; q: the end."""
        events = [event async for event in self.events(moment)]
        n = 0
        while 0 <= n < len(events):
            self._tell(events[n])
            await self._show(Moment(position=events[n].position))
            console.print(f"[dim]{n + 1} of {len(events)}. Enter: next, b: back, q: end[/]")
            pressed = click.getchar()
            if pressed == "q":
                return
            n = max(0, n - 1) if pressed == "b" else n + 1

    async def events(self, moment: Moment) -> AsyncIterator[EventRow]:
        """Those after the last that was told."""
        after: str | None = None
        while True:
            ask = PageAsk(first=PAGE_LIMIT, after=after)
            found = await timeline.history(self._view, [self._ticket.id], None, self._last or None, ask, moment)
            page = found[self._ticket.id]
            await self._learn(page.nodes)
            for event in page.nodes:
                yield event
            if page.nodes:
                self._last = page.nodes[-1].position
            if not page.has_next:
                return
            after = None

    async def _learn(self, events: Sequence[EventRow]) -> None:
        """The names of those whom the events name."""
        wanted: dict[Kind, set[UUID]] = {}
        for event in events:
            for who in (event.actor, event.on_behalf_of):
                if who is not None:
                    wanted.setdefault(Kind.PERSON, set()).add(who)
            for change in event.changes:
                kind = PATHS.get(change.path)
                if kind is not None:
                    wanted.setdefault(kind, set()).update(_ids(change.from_) | _ids(change.to))
        for kind, ids in wanted.items():
            new = [one for one in ids if (kind, one) not in self._names]
            if new and kind in _LOOKED_UP:
                found = await _LOOKED_UP[kind](self._view, new)
                self._names |= {(kind, one): _name(row) for one, row in found.items()}

    # ---- telling

    def _tell(self, event: EventRow) -> None:
        if self._as_json:
            click.echo(msgspec.json.encode(self.as_object(event)))
            return
        head = Text()
        head.append(f"{event.version:>3}  {event.occurred_at:%Y-%m-%d %H:%M:%S}Z  ", style="dim")
        head.append(_words(event.type), style="bold")
        head.append(f"  by {self._who(event)} ({event.channel})")
        console.print(head, soft_wrap=True)
        for word, said in (("why", event.reason), ("from", event.source)):
            if said:
                console.print(Text(f"       {word:<12} {said}", style="italic"), soft_wrap=True)
        for change in event.changes:
            if change.path not in _HIDDEN:
                console.print(self._changed(change), soft_wrap=True)

    def _who(self, event: EventRow) -> str:
        actor = self._named(Kind.PERSON, event.actor)
        return actor if event.on_behalf_of is None else f"{actor} for {self._named(Kind.PERSON, event.on_behalf_of)}"

    def _changed(self, change: ChangeRow) -> Text:
        kind = PATHS.get(change.path)
        old, new = (self._value(kind, value) for value in (change.from_, change.to))
        path = change.path if change.path.startswith("fields.") else change.path.partition(".")[0]
        line = Text(f"       {path:<12} ")
        if change.from_ is not None:
            line.append(old, style="red" if change.to is None else "dim")
            line.append(" -> ")
        line.append(new)
        return line

    def _value(self, kind: Kind | None, value: Any) -> str:
        if value is None:
            return "nothing"
        if is_list(value):
            return ", ".join(self._value(kind, one) for one in value) or "none"
        if kind is not None:
            return self._named(kind, UUID(value))
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()

    def _named(self, kind: Kind, id_: UUID) -> str:
        return self._names.get((kind, id_), str(id_))

    def as_object(self, event: EventRow) -> dict[str, Any]:
        return {
            "ticket": self._ticket.key,
            "id": encode_event(event.position),
            "position": str(event.position),
            "version": event.version,
            "type": event.type,
            "occurredAt": write_time(event.occurred_at),
            "recordedAt": write_time(event.recorded_at),
            "actor": self._person(event.actor),
            "onBehalfOf": None if event.on_behalf_of is None else self._person(event.on_behalf_of),
            "channel": event.channel,
            "source": event.source,
            "reason": event.reason,
            "commandId": event.command_id,
            "changes": [{"path": one.path, "from": one.from_, "to": one.to} for one in event.changes],
            "data": event.data,
        }

    def _person(self, id_: UUID) -> dict[str, str]:
        return {"id": encode(Kind.PERSON, id_), "name": self._named(Kind.PERSON, id_)}

    async def _show(self, moment: Moment) -> None:
        """The ticket as it was."""
        row = (await tickets.by_ids(self._view, [self._ticket.id], moment))[self._ticket.id]
        held = "nobody" if row.assignee is None else self._named(Kind.PERSON, row.assignee)
        said = f"{row.key} {row.title}: {row.role}, {row.status} ({row.category}), {row.priority}, held by {held}"
        console.print(Text(f"     = {said}", style="cyan"), soft_wrap=True)


def _ids(value: Any) -> set[UUID]:
    values = value if is_list(value) else [value]
    return {UUID(one) for one in values if isinstance(one, str)}


def _name(row: Any) -> str:
    return ticket_key(row.number) if isinstance(row, TicketRow) else str(row.name)


def _words(type_: str) -> str:
    """RoleChanged: role changed."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", type_).capitalize()


async def _tickets(view: View, ids: Sequence[UUID]) -> dict[UUID, TicketRow]:
    return await tickets.by_ids(view, ids, NOW)


_LOOKED_UP: dict[Kind, Callable[[View, Sequence[UUID]], Awaitable[dict[UUID, Any]]]] = {
    Kind.PERSON: directory.people_by_ids,
    Kind.TEAM: directory.teams_by_ids,
    Kind.SERVICE: directory.services_by_ids,
    Kind.TICKET: _tickets,
}
