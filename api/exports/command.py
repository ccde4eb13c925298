"""`proteus audit export`: the log in the formats of other tools."""

import asyncio
import sqlite3
import sys
from datetime import datetime
from pathlib import Path
from uuid import UUID

import click
import msgspec
from graphql import GraphQLError
from rich.console import Console

from api.administration import progress_bar
from api.catching_up import caught_up
from api.exports.exporting import Asked, Exported, Kind, Said, export
from api.exports.spool import ExportRefused
from api.ids import Kind as Id
from api.ids import WrongId, decode
from api.imports import choose_workspace, interruptible
from api.runtime import home, open_database
from api.scalars import parse_time
from application.event_store.database import Database
from application.workspaces import Workspace, operator
from projections import exports
from projections.reading import ReadModels, View

INTERRUPTED = 130

console = Console(highlight=False)


@click.command("export")
@click.option("--format", "kind", required=True, type=click.Choice([one.value for one in Kind]))
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="[WORKSPACE and a suffix]")
@click.option("--workspace", "key", help="Its key; may be left out where there is only one.")
@click.option("--from", "since", help="Events from this time on, in their own time: 2026-03-01T00:00:00+03:00.")
@click.option("--to", "until", help="Events before this time.")
@click.option("--process", help="Tickets alone that have, or once had, this role or workflow.")
@click.option("--client", help="Tickets alone of this client, by name or id.")
@click.option(
    "--with-texts",
    is_flag=True,
    help="Also names and what people wrote. No erasure reaches what has left: without it people are ids, and no text"
    " leaves.",
)
def export_command(
    kind: str,
    output: Path | None,
    key: str | None,
    since: str | None,
    until: str | None,
    process: str | None,
    client: str | None,
    with_texts: bool,
) -> None:
    """Write the log for other tools: OCEL 2.0, XES, CSV or CloudEvents.

    Memory does not grow with the history. Interrupt it when you like; the same command goes on where it was. FILE is
    there when it is whole.
    """
    times = _instant("--from", since), _instant("--to", until)
    with interruptible(), open_database(home()) as database:
        workspace = choose_workspace(database, key)
        path = output or Path(f"{workspace.key}{Kind(kind).suffix}")
        asked = Asked(kind=Kind(kind), since=times[0], until=times[1], process=process, texts=with_texts)
        try:
            with progress_bar("Exporting") as said:
                done, parked = asyncio.run(_exported(database, workspace, asked, client, path, said))
        except ExportRefused as refused:
            raise click.ClickException(str(refused)) from None
        except KeyboardInterrupt:
            click.echo("Interrupted; run the same command again to go on.", err=True)
            sys.exit(INTERRUPTED)
        except (OSError, sqlite3.OperationalError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            word = f"{path} cannot be written: {why}. Run the same command again to go on."
            raise click.ClickException(word) from None
    if parked:
        click.echo(f"{parked} parked streams are left out, wholly or in part; `proteus retry` makes them up.", err=True)
    again = ", gone on with" if done.resumed else ""
    console.print(f"{done.events:,} events are in {done.path}, as of position {done.head}{again}.", soft_wrap=True)


def _instant(option: str, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return parse_time(text)
    except GraphQLError as error:
        raise click.ClickException(f"{option}: {error.message}") from None


async def _exported(
    database: Database, workspace: Workspace, asked: Asked, client: str | None, path: Path, said: Said
) -> tuple[Exported, int]:
    """And how many streams are parked. Raises what `export` does, ReadModelBehind."""
    async with ReadModels(database, size=1, patience="0") as models:
        view = models.view(operator(workspace.id))
        head = await caught_up(database, models, exports.READ_MODELS)
        if client is not None:
            asked = msgspec.structs.replace(asked, client=await _client(view, client))
        return await export(view, asked, path, head, said), await exports.parked(view)


async def _client(view: View, named: str) -> UUID:
    """By id or name. Raises ExportRefused."""
    try:
        id_ = decode(named, Id.CLIENT)
        found = [one.id for one in await exports.named(view, "client", None, 1, [id_])]
    except WrongId:
        found = await exports.clients_named(view, named)
    if len(found) != 1:
        what = f"Several clients are called {named!r}: name one by its id" if found else f"There is no client {named!r}"
        raise ExportRefused(f"{what}.")
    return found[0]
