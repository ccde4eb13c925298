"""Proofs as they are asked for: over GraphQL, as tiles, and at the command line."""

import base64
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from click.testing import CliRunner, Result
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from api.command_line import main
from api.runtime import HOME_VARIABLE
from application.audit import verifying
from application.audit.scrubbing import scrub
from application.audit.sequencing import Pace, Session
from application.audit.tree import root_of
from application.audit.verifying import Key, Proof, leaf_hash
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import DATABASE_VARIABLE, Database
from application.event_store.streams import EventStore
from application.workspaces import Workspace, create_workspace
from domain.access import Scope
from projections.engine import Session as Projecting
from projections.registry import PROJECTIONS
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.test_command_line import sentence
from tests.application.recording import Company

Run = Callable[..., Result]

# ---- GraphQL and tiles


@pytest.fixture
def auditor(acme: Workspace, token: Callable[..., Client]) -> Client:
    return token(acme, Scope.AUDITOR, name="Auditor")


def proven(client: Client, ticket: str) -> list[dict[str, Any]]:
    """The events of a ticket, once the server has signed a checkpoint that holds them all."""
    while True:
        events: list[dict[str, Any]] = client.ask(
            "query($id: ID) { ticket(id: $id) { history { nodes { position version leafIndex leafHash"
            " proof { index leaf file checkpoint { size root origin note at verifierKeys } } } } } }",
            id=ticket,
        )["history"]["nodes"]
        if all(event["proof"] for event in events):
            return events


def test_every_event_can_be_proven(agent: Client, auditor: Client) -> None:
    ticket = agent.open()
    agent.done("addComment", ticket=ticket["id"], body="Really")
    for event in proven(auditor, ticket["id"]):
        proof = event["proof"]
        assert proof["index"] == event["leafIndex"]
        [vkey] = proof["checkpoint"]["verifierKeys"]
        checked = Proof.parse(proof["file"])
        assert checked.verify(Key.parse(vkey)) == proof["leaf"]
        assert leaf_hash(checked.leaf).hex() == event["leafHash"]
        assert str(proof["leaf"]["position"]) == event["position"]
        assert proof["checkpoint"]["root"] == base64.b64encode(checked.checkpoint.root).decode()
        assert proof["file"].endswith(proof["checkpoint"]["note"])


def test_the_newest_checkpoint_and_the_last_scrub_are_told(
    server: Server, acme: Workspace, agent: Client, auditor: Client
) -> None:
    proven(auditor, agent.open()["id"])
    asked = "{ checkpoint { size origin } verification { size signed lagEvents lastScrub scrubbed ok finding } }"
    told = auditor.ask(asked)
    assert told["checkpoint"]["origin"] == f"proteus/{acme.id}"
    assert told["verification"] | {"size": "", "signed": "", "lagEvents": 0} == {
        "size": "", "signed": "", "lagEvents": 0, "lastScrub": None, "scrubbed": None, "ok": None, "finding": None,
    }  # fmt: skip
    scrubbed = scrub(server.database, acme.id)
    assert scrubbed is not None
    told = auditor.ask(asked)["verification"]
    assert (told["ok"], told["finding"], told["scrubbed"]) == (True, None, str(scrubbed.size))
    assert told["lastScrub"]


def test_a_requester_learns_nothing_of_the_log(auditor: Client, agent: Client, claire: Client) -> None:
    ticket = agent.open(requester=claire.person)
    proven(auditor, ticket["id"])
    told = claire.ask(
        "query($id: ID) { ticket(id: $id) { history { nodes { leafIndex leafHash proof { file } } } }"
        " checkpoint { size } verification { size } }",
        id=ticket["id"],
    )
    assert told["ticket"]["history"]["nodes"] == [{"leafIndex": None, "leafHash": None, "proof": None}]
    assert (told["checkpoint"], told["verification"]) == (None, None)
    for path in ("/audit/checkpoint", "/audit/tile/0/000", "/audit/tile/entries/000"):
        assert claire.http.get(path, headers=claire.headers).status_code == 403
        assert claire.http.get(path).status_code == 401


def test_the_log_is_served_as_tiles(auditor: Client, agent: Client) -> None:
    proven(auditor, agent.open()["id"])
    answer = auditor.http.get("/audit/checkpoint", headers=auditor.headers)
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    signed = verifying.Checkpoint.parse(answer.text)
    assert signed.size < 256

    def tile(path: str) -> Any:
        return auditor.http.get(f"/audit/tile/{path}", headers=auditor.headers)

    hashes = tile(f"0/000.p/{signed.size}")
    assert "immutable" in hashes.headers["cache-control"]
    assert hashes.headers["content-type"] == "application/octet-stream"
    cut = [hashes.content[start : start + 32] for start in range(0, len(hashes.content), 32)]
    assert root_of(cut) == signed.root
    bundle, entries = tile(f"entries/000.p/{signed.size}").content, list[bytes]()
    while bundle:
        length = int.from_bytes(bundle[:2], "big")
        entries.append(bundle[2 : 2 + length])
        bundle = bundle[2 + length :]
    assert [leaf_hash(entry) for entry in entries] == cut
    for wrong in ("0/000", "1/000", "0/000.p/256", "0/000.p/0", "0/0", "64/x/000", "entries/001.p/1", "0/x001/000"):
        assert tile(wrong).status_code == 404, wrong


# ---- the command line


@pytest.fixture
def run(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv(DATABASE_VARIABLE, database.url)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, ["audit", *(str(one) for one in arguments)])


@pytest.fixture
def ticket(company: Company, database: Database) -> UUID:
    opened = company.ticket("The site is down")
    with Projecting(database, {projection.name: projection for projection in PROJECTIONS}) as session:
        session.catch_up()
    return opened


def test_who_has_a_file_and_a_key_needs_nothing_else(run: Run, ticket: UUID, tmp_path: Path) -> None:
    assert "Written to T-1-1.tlog-proof." in run("prove", "T-1:1").output
    vkey = run("key", "show").output.strip()
    checked = run("verify", "T-1-1.tlog-proof", "--vkey", vkey)
    assert checked.exit_code == 0
    assert "is in the log as it was recorded" in checked.output
    assert "TicketOpened, version 1 of the stream" in checked.output
    assert "witness      none has cosigned it" in checked.output
    # Alone, in a process that can import nothing of the server.
    alone = subprocess.run(
        [sys.executable, "-I", Path(verifying.__file__), "T-1-1.tlog-proof", "--vkey", vkey],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (alone.returncode, alone.stderr) == (0, "")
    assert alone.stdout == checked.output
    imported = Path(verifying.__file__).read_text()
    assert "application" not in imported.replace("application/", "")
    assert "domain" not in imported


def test_a_checkpoint_is_kept_and_later_ones_extend_it(run: Run, ticket: UUID, company: Company) -> None:
    assert "Written to old.txt." in run("checkpoint", "-o", "old.txt").output
    company.ticket()
    vkey = run("key", "show").output.strip()
    shown = run("consistency", "old.txt", "-o", "since.txt", "--vkey", vkey)
    assert "extends the tree of" in shown.output
    assert "nothing was rewritten" in run("verify", "since.txt", "--vkey", vkey, "--since", "old.txt").output
    assert "Signed: a tree of" in run("verify", "old.txt", "--vkey", vkey).output
    new = run("checkpoint").output
    sizes = [verifying.Checkpoint.parse(text).size for text in (Path("old.txt").read_text(), new)]
    assert f"the tree of {sizes[1]} events extends the tree of {sizes[0]}" in run("consistency", *sizes).output
    assert f"the tree of {sizes[1]} events extends the tree of {sizes[0]}" in run("consistency", *sizes[::-1]).output
    assert "are as they were recorded" in run("scrub").output


def test_a_key_is_made_shown_and_rotated(run: Run, workspace: Workspace) -> None:
    assert "no key yet" in sentence(run("key", "show"))
    made = run("key", "new").output.strip()
    assert made == run("key", "show").output.strip()
    assert "has a key" in sentence(run("key", "new"))
    rotated = run("key", "rotate").output.strip()
    assert run("key", "show").output.split() == [rotated, made]
    Path("both.txt").write_text(run("checkpoint").output)
    for vkey in (made, rotated):
        assert "Signed" in run("verify", "both.txt", "--vkey", vkey).output


def test_a_rewritten_log_is_told_by_what_was_kept(
    run: Run, ticket: UUID, company: Company, database: Database, postgres: EmbeddedPostgres
) -> None:
    run("checkpoint", "-o", "old.txt")
    run("prove", "T-1:1", "-o", "kept.tlog-proof")
    name = conninfo_to_dict(database.url)["dbname"]
    with psycopg.connect(make_conninfo(postgres.dsn, dbname=name), autocommit=True) as connection:
        connection.execute("set search_path to proteus")
        connection.execute("update event set actor = gen_random_uuid() where stream = %s", (ticket,))
        [(position,)] = connection.execute("select position from event where stream = %s", (ticket,)).fetchall()
        said = sentence(run("scrub"))
        assert said.startswith("Error: NOT PROVEN. TicketOpened, version 1")
        assert f"at position {position}: who caused it, when or why was changed" in said
        for table in ("audit_log", "audit_leaf", "audit_node", "audit_checkpoint"):
            connection.execute(f"delete from {table}".encode())
        connection.execute("update tracking set position = 0 where name = 'audit'")
    assert "are as they were recorded" in run("scrub").output, "all of it was written anew"
    said = sentence(run("consistency", "old.txt"))
    assert "NOT PROVEN. The log was rewritten: an event from position 1 to" in said
    said = sentence(run("consistency", "kept.tlog-proof"))
    assert "The log was rewritten" in said
    with psycopg.connect(make_conninfo(postgres.dsn, dbname=name), autocommit=True) as connection:
        connection.execute("delete from proteus.event where position = %s", (position,))
        connection.execute("delete from proteus.audit_checkpoint")
        connection.execute("delete from proteus.audit_leaf where position = %s", (position,))
        connection.execute("update proteus.audit_log set size = size - 1")
    assert "The log was cut" in sentence(run("consistency", "old.txt"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("prove", "T-77:1"), "There is no ticket T-77 in acme."),
        (("prove", "T-1:9"), "There is no event T-1:9 in acme."),
        (("prove", "999999"), "There is no event 999999 in acme."),
        (("prove", "yesterday"), "'yesterday' names no event"),
        (("prove", "1", "--workspace", "none"), "There is no workspace 'none'"),
        (("consistency", "nothing.txt"), "There is no file nothing.txt."),
        (("consistency", "7777"), "No tree of 7777 events was signed here."),
        (("consistency", "noise.txt"), "NOT PROVEN. This is no checkpoint"),
        (("verify", "noise.txt", "--vkey", "{vkey}"), "NOT PROVEN. This is no checkpoint"),
        (("verify", "binary", "--vkey", "{vkey}"), "NOT PROVEN. binary is neither a proof nor a checkpoint."),
        (("verify", "proof", "--vkey", "nonsense"), "NOT PROVEN. The key is no verifier key"),
        (("verify", "proof", "--vkey", "{damaged}"), "NOT PROVEN. The key is damaged"),
        (("verify", "proof", "--vkey", "{other}"), "NOT PROVEN. The checkpoint is of the log"),
        (("verify", "proof", "--vkey", "{same_name}"), "NOT PROVEN. The checkpoint is not signed by this key"),
        (("verify", "cut", "--vkey", "{vkey}"), "NOT PROVEN. This is no proof: it is damaged or not whole."),
        (("verify", "moved", "--vkey", "{vkey}"), "NOT PROVEN."),
        (("verify", "shorter", "--vkey", "{vkey}"), "NOT PROVEN. The proof has too few hashes."),
        (("verify", "otherleaf", "--vkey", "{vkey}"), "NOT PROVEN. The proof does not lead to the signed tree"),
        (("verify", "resized", "--vkey", "{vkey}"), "NOT PROVEN. The signature of"),
        (("verify", "proof", "--vkey", "{vkey}", "--witness", "{other}"), "has not cosigned this checkpoint"),
        (("verify", "since", "--vkey", "{vkey}"), "NOT PROVEN. Name the older checkpoint"),
        (("verify", "absent", "--vkey", "{vkey}"), "does not exist"),
    ],
)
def test_bad_input_is_one_sentence(
    run: Run, ticket: UUID, tmp_path: Path, arguments: tuple[str, ...], says: str
) -> None:
    run("prove", "T-1:1", "-o", "proof")
    key = Key.parse(run("key", "show").output)
    given = {
        "vkey": key.vkey,
        "damaged": key.vkey.replace(key.id.hex(), "00000000"),
        "other": Key("proteus/another", 1, key.public).vkey,
        "same_name": Key(key.name, 1, bytes(32)).vkey,
    }
    proof = Path("proof").read_text()
    head, _, note = proof.partition("\n\n")
    lines = head.split("\n")
    leaf = base64.b64encode(base64.b64decode(lines[1].removeprefix("extra ")).replace(b"TicketOpened", b"TicketClosed"))
    size = note.split("\n")[1]
    for name, text in {
        "noise.txt": "Some words.\n",
        "cut": head,
        "moved": proof.replace(f"\n{lines[2]}\n", "\nindex 3\n"),
        "shorter": "\n".join(lines[:-1]) + "\n\n" + note,
        "otherleaf": proof.replace(lines[1], f"extra {leaf.decode()}"),
        "resized": proof.replace(f"\n{size}\n", f"\n{int(size) + 1}\n"),
        "since": f"old 1\n\n{note}",
    }.items():
        Path(name).write_text(text)
    Path("binary").write_bytes(b"\xff\xfe\x00")
    before = sorted(tmp_path.iterdir())
    assert says in sentence(run(*(one.format(**given) for one in arguments)))
    assert sorted(tmp_path.iterdir()) == before, "nothing is written"


def test_a_sequencer_elsewhere_is_left_alone(run: Run, ticket: UUID, database: Database) -> None:
    with Session(database, Pace(events=1_000_000, seconds=3_600)) as session:
        session.acquire()
        assert "Nothing is signed yet" in sentence(run("checkpoint"))
        assert "not in a signed checkpoint yet" in sentence(run("prove", "T-1:1"))
        session.catch_up()
        assert run("checkpoint").exit_code == 0


def test_another_workspace_s_events_are_not_there(
    run: Run, ticket: UUID, database: Database, store: EventStore
) -> None:
    create_workspace(database, store, "other", "Other")
    assert "Name the workspace with --workspace" in sentence(run("prove", "T-1:1"))
    assert "There is no ticket T-1 in other" in sentence(run("prove", "T-1:1", "--workspace", "other"))
