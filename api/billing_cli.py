"""`proteus billing`: statements, invoices and acts as files, at the command line."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from uuid import UUID

import click

from api.catching_up import caught_up
from api.ids import Kind, WrongId, decode
from api.imports import choose_workspace
from api.runtime import home, open_database
from api.sheets.formats import BY_ENDING, NotWritten, named
from application.event_store.database import Database
from application.workspaces import operator
from domain.contracts import DocumentKind
from domain.sheets import Sheet
from projections import sheets
from projections.contracts import contracts_named
from projections.documents import numbered
from projections.reading import BadInput, ReadModels, View

Drawn = Callable[[View], Awaitable[Sheet]]

_DAY = click.DateTime(["%Y-%m-%d"])


def _output(command: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--workspace", "key", help="Its key; may be left out where there is only one."),
        click.option(
            "-o",
            "--output",
            type=click.Path(dir_okay=False, path_type=Path),
            help="The file to write; - prints it.",
        ),
        click.option(
            "--format",
            "ending",
            type=click.Choice(list(BY_ENDING)),
            default="pdf",
            show_default=True,
            help="xml is UBL 2.1.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def billing() -> None:
    """Write down what was worked, and what is due for it."""


@billing.command()
@click.argument("contract")
@click.option("--since", type=_DAY, help="The first day  [what no closed statement before tells of]")
@click.option("--until", type=_DAY, required=True, help="The last day.")
@_output
def statement(
    contract: str, since: datetime | None, until: datetime, ending: str, output: Path | None, key: str | None
) -> None:
    """Write the statement of CONTRACT, its name or its id: as it was closed, or as a draft."""
    first = None if since is None else since.date()

    async def drawn(view: View) -> Sheet:
        return _there(await sheets.of_statement(view, await _contract(view, contract), first, until.date()))

    _write(drawn, ending, output, key)


def _of_kind(kind: DocumentKind) -> Callable[..., None]:
    @click.argument("number", type=click.IntRange(min=1))
    @_output
    def command(number: int, ending: str, output: Path | None, key: str | None) -> None:
        async def drawn(view: View) -> Sheet:
            row = await numbered(view, kind, number)
            return _there(None if row is None else await sheets.document_sheet(view, row))

        _write(drawn, ending, output, key)

    return command


billing.command("invoice", help="Write the invoice of this NUMBER.")(_of_kind(DocumentKind.INVOICE))
billing.command("act", help="Write the act of work done of this NUMBER.")(_of_kind(DocumentKind.ACT))


async def _contract(view: View, named: str) -> UUID:
    """Raises click.ClickException."""
    try:
        return decode(named, Kind.CONTRACT)
    except WrongId:
        found = await contracts_named(view, named)
    if len(found) == 1:
        return found[0]
    how_many = f"{len(found)} contracts have" if found else "No contract has"
    raise click.ClickException(f"{how_many} the name {named!r}. Write its id.")


def _there(sheet: Sheet | None) -> Sheet:
    if sheet is None:
        raise click.ClickException("There is no such document.")
    return sheet


def _write(drawn: Drawn, ending: str, output: Path | None, key: str | None) -> None:
    """Raises click.ClickException."""
    with open_database(home()) as database:
        workspace = choose_workspace(database, key)
        try:
            sheet = asyncio.run(_draw(database, workspace.id, drawn))
            body = BY_ENDING[ending].render(sheet)
        except (BadInput, NotWritten) as error:
            raise click.ClickException(str(error)) from None
    if output is not None and str(output) == "-":
        click.echo(body, nl=False)
        return
    target = output or Path(named(sheet, ending))
    aside = target.with_name(f"{target.name}.part")
    try:
        aside.write_bytes(body)
        aside.rename(target)
    finally:
        aside.unlink(missing_ok=True)
    click.echo(f"Written to {target}.")


async def _draw(database: Database, workspace: UUID, drawn: Drawn) -> Sheet:
    """Of all that is recorded by now. Raises BadInput, ReadModelBehind."""
    async with ReadModels(database, size=1, patience="0") as models:
        await caught_up(database, models, sheets.READ_MODELS)
        return await drawn(models.view(operator(workspace)))
