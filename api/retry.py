"""`proteus retry`: parked streams, which a read model leaves out, are listed or made up."""

import re

import click
from rich.console import Console

from api.ids import Kind, WrongId, decode
from api.runtime import home, open_database
from domain.tickets import ticket_key
from projections.registry import NAMES, PROJECTIONS, find
from projections.retry import ParkedRow, list_parked
from projections.retry import retry as retry_parked

console = Console(highlight=False)


@click.command()
@click.option("--projection", help="Only what this read model has parked.")
@click.option("--stream", help="Only this ticket, by key (T-1042) or id, or any other stream by its UUID.")
@click.option("--workspace", "key", help="Only of the workspace of this key.")
@click.option("--list", "only_list", is_flag=True, help="Show what is parked, and why; change nothing.")
def retry(projection: str | None, stream: str | None, key: str | None, only_list: bool) -> None:
    """Make parked streams up, once what kept a read model from folding them is mended.

    A read model parks a stream at an event that it cannot read or fold, and goes on with the others. Live events may
    arrive meanwhile. Exits with 1 where something is still parked."""
    found = None if projection is None else find(projection)
    if projection is not None and found is None:
        raise click.ClickException(f"There is no read model {projection!r}. Read models: {', '.join(NAMES)}.")
    with open_database(home()) as database:
        chosen = [
            row
            for row in list_parked(database)
            if (found is None or row.projection == found.name)
            and (stream is None or _is(row, stream))
            and key in (None, row.key)
        ]
        if not chosen:
            console.print("Nothing is parked." if stream is projection is key is None else "Nothing of that is parked.")
            return
        if only_list:
            for row in chosen:
                console.print(_told(row), soft_wrap=True)
            return
        retried = retry_parked(database, PROJECTIONS, chosen)
    for one in retried:
        word = f"made up, {one.events} events" if one.error is None else f"still parked: {one.error}"
        console.print(f"{_name(one.parked)} ({one.parked.stream}) in {one.parked.projection}: {word}", soft_wrap=True)
    still = sum(one.error is not None for one in retried)
    if still:
        raise click.ClickException(f"{still} of {len(retried)} are still parked.")


def _is(row: ParkedRow, wanted: str) -> bool:
    if re.fullmatch(r"T-\d+", wanted, re.IGNORECASE):
        return row.number is not None and ticket_key(row.number) == wanted.upper()
    try:
        return row.stream == decode(wanted, Kind.TICKET)
    except WrongId:
        return str(row.stream) == wanted.lower()


def _name(row: ParkedRow) -> str:
    return f"{row.key} {'another stream' if row.number is None else ticket_key(row.number)}"


def _told(row: ParkedRow) -> str:
    return (
        f"{_name(row)} ({row.stream}) in {row.projection}: from version {row.version} on, position {row.position},"
        f" since {row.since:%Y-%m-%d %H:%M}: {row.error}"
    )
