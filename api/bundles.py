"""`proteus audit bundle`: a ticket's history and its proofs in one file, for who has nothing else of Proteus."""

import asyncio
import tempfile
import zipfile
from pathlib import Path
from uuid import UUID

import click
import msgspec
from rich.console import Console

from api import replaying
from api.auditing import open_log
from api.catching_up import caught_up
from api.exports.exporting import Asked, Kind, export, prices
from api.runtime import attachments_folder, home, open_contents
from application.attachments.contents import ContentGone, Contents
from application.audit import bundling
from application.audit.proofs import NoProof
from application.event_store.database import Database
from application.event_store.streams import EventStore
from application.workspaces import Workspace, system_person
from domain.access import Actor, Scope
from projections import attachments, exports, tickets
from projections.filters import PageAsk
from projections.reading import NOW, PAGE_LIMIT, Moment, ReadModels, View
from projections.rows import AttachmentRow, TicketRow

console = Console(highlight=False)


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """What the read models say of a ticket: unproven, and easier to read. `states`: after each of its events.
    `exports`: of each kind one, with texts, as `history` has them."""

    ticket: TicketRow
    history: list[bytes]
    states: list[bytes]
    files: list[AttachmentRow]
    exports: list[Path]


@click.command()
@click.argument("ticket")
@click.option("--workspace", "key", help="Its key; may be left out where there is only one.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="[T-1042.zip]")
@click.option(
    "--with-keys",
    is_flag=True,
    help="Also the keys that open its texts, so that these are proven, too. They open all that is sealed under them.",
)
def bundle(ticket: str, key: str | None, output: Path | None, with_keys: bool) -> None:
    """Write all of TICKET (T-1042) to one file: history, states, attachments, exports for other tools, and the proof of
    every event.

    Its README says how somebody who has nothing else of Proteus verifies it."""
    with (
        open_log(key) as (database, workspace, connection),
        EventStore(database) as store,
        tempfile.TemporaryDirectory() as folder,
    ):
        told = asyncio.run(_told(database, workspace, ticket, Path(folder)))
        contents = open_contents(store, attachments_folder(home()))
        path = output or Path(f"{told.ticket.key}.zip")
        aside = path.with_name(f"{path.name}.part")
        try:
            with zipfile.ZipFile(aside, "w", zipfile.ZIP_DEFLATED) as file:
                keys = database.keys if with_keys else None
                rows = bundling.write(connection, file, workspace.id, told.ticket.id, keys=keys)
                file.writestr("history.jsonl", b"".join(told.history))
                for n, state in enumerate(told.states, start=1):
                    file.writestr(f"states/{n:05}.json", state)
                missing = [one.name for one in told.files if not _added(file, contents, workspace.id, one)]
                for one in told.exports:
                    file.write(one, f"exports/{one.name}")
                file.writestr("README.md", _readme(told, workspace, missing, with_keys=with_keys))
            aside.rename(path)
        finally:
            aside.unlink(missing_ok=True)
    console.print(f"{len(rows)} events of {told.ticket.key}, each with its proof, are in {path}.", soft_wrap=True)


_READ_MODELS = (*exports.READ_MODELS, "attachments")


async def _told(database: Database, workspace: Workspace, key: str, folder: Path) -> Told:
    """Of all that is recorded. Raises NoProof, ReadModelBehind."""
    async with ReadModels(database, size=1) as models:
        head = await caught_up(database, models, _READ_MODELS)
        view = models.view(_reader(workspace))
        row = await tickets.ticket(view, id=None, key=key, moment=NOW)
        if row is None:
            raise NoProof(f"There is no ticket {key.upper()} in {workspace.key}.")
        teller = replaying.Teller(view, row)
        history = [event async for event in teller.events(NOW)]
        states = [(await tickets.by_ids(view, [row.id], Moment(position=one.position)))[row.id] for one in history]
        page = (await attachments.attachments(view, [row.id], PageAsk(first=PAGE_LIMIT), NOW))[row.id]
        return Told(
            ticket=row,
            history=[msgspec.json.encode(teller.as_object(event)) + b"\n" for event in history],
            states=[msgspec.json.format(msgspec.json.encode(state), indent=1) for state in states],
            files=page.nodes,
            exports=await _exported(view, row, head, folder),
        )


def _reader(workspace: Workspace) -> Actor:
    """Who gets a bundle sees in it what agents see: where a colleague sat is not the ticket's history."""
    return Actor(workspace=workspace.id, person=system_person(workspace.id), scopes=frozenset({Scope.AGENT}))


async def _exported(view: View, ticket: TicketRow, head: int, folder: Path) -> list[Path]:
    paths: list[Path] = []
    priced = [one async for one in prices(view, ticket.id, head)]
    for kind in Kind:
        asked = Asked(kind=kind, ticket=ticket.id, texts=True)
        path = folder / f"{ticket.key}{kind.suffix}"
        paths.append((await export(view, asked, path, head, lambda done, total: None, priced)).path)
    return paths


def _added(file: zipfile.ZipFile, contents: Contents, workspace: UUID, attachment: AttachmentRow) -> bool:
    """False where its content is not there any more."""
    try:
        with contents.open(workspace, attachment.content) as reader:
            file.writestr(f"attachments/{attachment.id}", b"".join(reader.read(0, reader.bytes)))
    except ContentGone:
        return False
    return True


def _readme(told: Told, workspace: Workspace, missing: list[str], *, with_keys: bool) -> str:
    names = "\n".join(f"| `attachments/{one.id}` | {one.name} |" for one in told.files if one.name not in missing)
    return _README.format(
        key=told.ticket.key,
        events=len(told.history),
        log=f"proteus/{workspace.id}",
        keys=_WITH_KEYS if with_keys else _WITHOUT_KEYS,
        files=f"\n| file | its name |\n|---|---|\n{names}\n" if names else "",
        missing=f"\nThe contents of {', '.join(missing)} are not there any more.\n" if missing else "",
    )


_WITH_KEYS = """`keys.json` holds the keys that open the sealed texts; each leaf commits to them, so no other key can be
shown. Guard it: it opens whatever else is sealed under them."""
_WITHOUT_KEYS = """Texts in the proven files are sealed, and the keys are not here. `history.jsonl` shows them as the
server tells them; to have them proven, ask for a bundle with keys."""

_README = """# {key}: its history, and the proof of it

{events} events, as they are recorded in the log `{log}`.

## Verify it

You need Python 3.11 or newer, its package `cryptography`, and the log's verifier key, `proteus/...+...+...`. Have the
key from somebody whom you trust to keep it, and who is not the one that gave you this file; never take it from here.

    python verifying.py BUNDLE.zip --vkey KEY

`verifying.py` in this bundle is a copy of the program, short enough to be read; take one from elsewhere if you can. It
uses no network and none of our servers. It shows that each event is in the log's signed tree, that the stored bytes are
those that were recorded, and that no event between the first and the last is left out. It cannot show that there were
none after the last: compare `checkpoint` with a later one for that (`proteus audit consistency`).

## What is here

| file | |
|---|---|
| `events/N.tlog-proof` | the proof of the ticket's event N: C2SP tlog-proof, with what the log says of it (RFC 8785) |
| `events/N.state.json`, `events/N.cause.json` | what was recorded, byte for byte, and who caused it, when and how |
| `checkpoint` | the newest signed tree: C2SP tlog-checkpoint. Keep it |
| `history.jsonl`, `states/N.json` | the same to read: names, changes, the ticket after event N. Not proven by itself |
| `attachments/` | files, by the ids that their events give them |
| `exports/` | the same for other tools: OCEL 2.0 (JSON, SQLite), XES, CSV, CloudEvents. Not proven by itself |

{keys}
{files}{missing}"""
