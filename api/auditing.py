"""`proteus audit`: proofs that the log was not changed, made here and checked anywhere."""

import asyncio
import re
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import click
from rich.console import Console

from api.administration import progress_bar
from api.ids import WrongId, parse
from api.imports import choose_workspace
from api.runtime import home, open_database
from api.serving import pace
from application.audit import leaves, proofs, signing, witnessing
from application.audit.proofs import NoProof, SignedTree
from application.audit.scrubbing import scrub as scrub_log
from application.audit.sequencing import Session
from application.audit.signing import KeyRefused
from application.audit.verifying import (
    COSIGNATURE,
    PROOF_HEADER,
    PROOF_SUFFIX,
    Checkpoint,
    Extension,
    Key,
    NotProven,
    Proof,
    read_text,
    verify_consistency,
    verify_file,
)
from application.audit.witnessing import WitnessRefused
from application.event_store.database import Connection, Database, Role
from application.workspaces import Workspace, operator
from projections import tickets
from projections.reading import NOW, ReadModels

console = Console(highlight=False)

_workspace_option = click.option("--workspace", "key", help="Its key; may be left out where there is only one.")
_output_option = click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Write it to this file."
)
_file = click.Path(exists=True, dir_okay=False, path_type=Path)


class Sentences(click.Group):
    """As the whole command line, for what is refused here."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except NotProven as error:
            raise click.ClickException(f"NOT PROVEN. {error}") from None
        except (NoProof, KeyRefused, WitnessRefused) as error:
            raise click.ClickException(str(error)) from None


@click.group(cls=Sentences)
def audit() -> None:
    """Prove that the log was not changed, and check proofs."""


@contextmanager
def open_log(key: str | None, *, sequence: bool = True) -> Generator[tuple[Database, Workspace, Connection]]:
    """One workspace's log to read. Where no server does it, what was recorded since is given its place and signed."""
    with open_database(home()) as database:
        workspace = choose_workspace(database, key)
        if sequence:
            with Session(database, pace()) as session:
                session.catch_up()
        with database.connect(Role.READER) as connection:
            connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace.id),))
            yield database, workspace, connection


def _give(text: str, output: Path | None) -> None:
    """To a file that is whole, or to standard output."""
    if output is None:
        click.echo(text, nl=False)
        return
    aside = output.with_name(f"{output.name}.part")
    try:
        aside.write_text(text, encoding="utf-8")
        aside.rename(output)
    finally:
        aside.unlink(missing_ok=True)
    console.print(f"Written to {output}.", soft_wrap=True)


# ---- checkpoints and proofs


@audit.command()
@_workspace_option
@_output_option
def checkpoint(key: str | None, output: Path | None) -> None:
    """Print the newest checkpoint: the signed state of the whole log.

    Keep one, or give it to somebody whom you trust: whatever is changed in the log afterwards, `consistency` finds."""
    with open_log(key) as (_, workspace, connection):
        _give(_newest(connection, workspace).note, output)


def _newest(connection: Connection, workspace: Workspace) -> SignedTree:
    """Raises NoProof."""
    found = proofs.newest(connection, workspace.id)
    if found is None:
        raise NoProof("Nothing is signed yet: ask again in a few seconds, while `proteus serve` runs.")
    return found


@audit.command()
@click.argument("event")
@_workspace_option
@_output_option
def prove(event: str, key: str | None, output: Path | None) -> None:
    """Write the proof that EVENT is in the log, as a C2SP .tlog-proof file.

    EVENT is an event's id or position, or a ticket and a version of it: T-1042:3."""
    with open_log(key) as (database, workspace, connection):
        position = _position(database, workspace, connection, event)
        proof = proofs.prove(connection, workspace.id, position)
    name = re.sub(r"[^0-9A-Za-z-]", "-", event)[:60]
    _give(proof, output or Path(f"{name}{PROOF_SUFFIX}"))


def _position(database: Database, workspace: Workspace, connection: Connection, event: str) -> int:
    """Raises NoProof."""
    found = re.fullmatch(r"(T-\d+):(\d{1,9})", event, re.IGNORECASE)
    if found:
        ticket = asyncio.run(_ticket(database, workspace, found[1]))
        named: tuple[object, ...] = ticket, int(found[2])
    else:
        named = (int(event) if event.isascii() and event.isdigit() and len(event) < 19 else _of_id(event),)
    which = "stream = %s and version = %s" if found else "position = %s"
    row = connection.execute(
        f"select position from event where workspace = %s and {which}".encode(), (workspace.id, *named)
    ).fetchone()
    if row is None:
        raise NoProof(f"There is no event {event} in {workspace.key}.")
    return int(row[0])


def _of_id(event: str) -> int:
    """Raises NoProof."""
    try:
        _, position = parse(event)
    except WrongId:
        position = None
    if not isinstance(position, int):
        raise NoProof(f"{event!r} names no event: give an event's id or position, or T-1042:3.")
    return position


async def _ticket(database: Database, workspace: Workspace, key: str) -> UUID:
    """Raises NoProof."""
    async with ReadModels(database, size=1) as models:
        row = await tickets.ticket(models.view(operator(workspace.id)), id=None, key=key, moment=NOW)
    if row is None:
        raise NoProof(f"There is no ticket {key.upper()} in {workspace.key}.")
    return row.id


@audit.command()
@click.argument("older")
@click.argument("newer", required=False)
@_workspace_option
@_output_option
@click.option("--vkey", help="The log's verifier key, as you know it; else the one that the server names is taken.")
def consistency(older: str, newer: str | None, key: str | None, output: Path | None, vkey: str | None) -> None:
    """Show that the log still holds all that OLDER says, up to NEWER: nothing was changed, removed or slipped in.

    Each is a file (a checkpoint, or a .tlog-proof, whose event is looked at too), or the size of a tree that was
    signed here; NEWER is the newest checkpoint where it is left out. With --output, a proof of it is written that
    `verify --since OLDER` checks offline."""
    with open_log(key) as (database, workspace, connection):
        keys = [Key.parse(vkey)] if vkey else _known(database, workspace)
        asked = [older, newer] if newer else [older, str(_newest(connection, workspace).size)]
        given = [_given(connection, workspace, one, keys) for one in asked]
        before, after = sorted((checkpoint for checkpoint, _ in given), key=lambda one: one.size)
        _must_agree(connection, workspace, before, since=0)
        for _, proof in given:
            _must_hold(connection, workspace, proof)
        _must_agree(connection, workspace, after, since=before.size)
        extension = proofs.extension(connection, workspace.id, before.size, after)
        verify_consistency(before.size, after.size, before.root, after.root, Extension.parse(extension).path)
    console.print(f"Consistent: the tree of {after.size} events extends the tree of {before.size}.")
    if output is not None:
        _give(extension, output)


def _known(database: Database, workspace: Workspace) -> list[Key]:
    with database.keys.connect(Role.PROJECTOR) as keys:
        return signing.known(keys, workspace.id)


def _given(
    connection: Connection, workspace: Workspace, named: str, keys: list[Key]
) -> tuple[Checkpoint, Proof | None]:
    """A checkpoint that one of the keys has signed, and the proof that it came with. Raises NotProven, NoProof."""
    proof = None
    if named.isascii() and named.isdigit() and len(named) < 19:
        stored = proofs.of_size(connection, workspace.id, int(named))
        if stored is None:
            raise NoProof(f"No tree of {named} events was signed here.")
        checkpoint = Checkpoint.parse(stored.note)
    else:
        if not Path(named).is_file():
            raise NoProof(f"There is no file {named}.")
        text = read_text(Path(named))
        proof = Proof.parse(text) if text.startswith(PROOF_HEADER) else None
        checkpoint = proof.checkpoint if proof else Checkpoint.parse(text)
    by = [key for key in keys if checkpoint.signed_by(key)]
    if not by:
        raise NotProven(f"{named} is signed by none of the keys of {workspace.key}'s log.")
    checkpoint.verify(by[0])
    if proof is not None:
        proof.verify(by[0])
    return checkpoint, proof


def _must_agree(connection: Connection, workspace: Workspace, checkpoint: Checkpoint, since: int) -> None:
    """`since`: up to which leaf another checkpoint has found the log as it was. Raises NotProven."""
    size = proofs.size_now(connection, workspace.id)
    if size < checkpoint.size:
        raise NotProven(f"The log was cut: the checkpoint signs {checkpoint.size} events, and it has {size}.")
    if proofs.root(connection, workspace.id, checkpoint.size) == checkpoint.root:
        return
    first, last = proofs.between(connection, workspace.id, since, checkpoint.size)
    which = f"the event at position {first}" if first == last else f"an event from position {first} to {last}"
    raise NotProven(f"The log was rewritten: {which} is not what the checkpoint of {checkpoint.size} events signs.")


def _must_hold(connection: Connection, workspace: Workspace, proof: Proof | None) -> None:
    """Raises NotProven where the log says something else of the event now."""
    if proof is None:
        return
    said = leaves.read(proof.leaf)
    position = said.position if said else 0
    now = proofs.leaf_at(connection, workspace.id, position)
    if now is None or (now.index, now.leaf) != (proof.index, proof.leaf):
        raise NotProven(f"The log was rewritten: the event at position {position} is not what the proof says of it.")


@audit.command()
@click.argument("file", type=_file)
@click.option("--vkey", required=True, help="The log's verifier key, got from whoever keeps it for you.")
@click.option("--witness", "witnesses", multiple=True, help="Verifier key of a witness that must have cosigned.")
@click.option("--since", type=_file, help="The older checkpoint, for a proof that a newer one extends it.")
def verify(file: Path, vkey: str, witnesses: tuple[str, ...], since: Path | None) -> None:
    """Check FILE, a proof or a checkpoint, offline: without a network, a database or this server.

    application/audit/verifying.py does the same alone, for who has nothing else of Proteus."""
    for line in verify_file(file, vkey, witnesses, since):
        console.print(line, soft_wrap=True, markup=False)


# ---- keys


@audit.group("key")
def key_group() -> None:
    """The key that signs a workspace's checkpoints."""


@key_group.command("new")
@_workspace_option
def new_key(key: str | None) -> None:
    """Make the key now, rather than with the first checkpoint, and print its verifier key."""
    with open_log(key, sequence=False) as (database, workspace, _):
        click.echo(signing.new(database, workspace.id).vkey)


@key_group.command()
@_workspace_option
def rotate(key: str | None) -> None:
    """Put another key in its place, and print its verifier key.

    The newest checkpoint is signed by both, so that who trusts the old key can learn of the new one from it; keep it.
    The old private key is forgotten."""
    with open_log(key) as (database, workspace, _):
        click.echo(signing.rotate(database, workspace.id).vkey)


@key_group.command()
@_workspace_option
def show(key: str | None) -> None:
    """Print the verifier keys: the one in use first, then those before it."""
    with open_log(key, sequence=False) as (database, workspace, _):
        known = _known(database, workspace)
    if not known:
        raise KeyRefused("This workspace's log has no key yet: `proteus audit key new` makes one.")
    for one in known:
        click.echo(one.vkey)


# ---- scrub


@audit.command()
@_workspace_option
def scrub(key: str | None) -> None:
    """Make the tree anew from the recorded events, and name the first that differs. Exits with 1 where one does."""
    with open_log(key) as (database, workspace, _), progress_bar("Scrubbing") as progress:
        scrubbed = scrub_log(database, workspace.id, progress)
    assert scrubbed is not None, "nobody stops it"
    if scrubbed.finding is not None:
        raise NotProven(scrubbed.finding.says)
    console.print(f"The {scrubbed.size} events of {workspace.key} are as they were recorded.")


# ---- witnesses


@audit.command()
@click.argument("url")
@click.option("--vkey", required=True, help="The witness's verifier key, as its operator names it.")
@_workspace_option
def witness(url: str, vkey: str, key: str | None) -> None:
    """Have the newest checkpoint cosigned by the C2SP tlog-witness at URL, which makes sure that the log only grows.

    Its signature is kept with the checkpoint, and goes with every proof made from it."""
    known = Key.parse(vkey)
    if known.kind != COSIGNATURE:
        raise click.UsageError("--vkey is the key of a log; a witness has one of its own kind.")
    with open_log(key) as (database, workspace, connection):
        checkpoint = witnessing.cosigned(database, connection, workspace.id, url, known)
    console.print(f"{known.name} has cosigned the tree of {checkpoint.size} events.", soft_wrap=True)
