"""A bundle is verified by who has nothing else of Proteus."""

import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner, Result

from api.command_line import main
from api.exports.exporting import Kind
from api.runtime import HOME_VARIABLE
from application.attachments.attaching import attach
from application.attachments.contents import Contents
from application.audit import verifying
from application.event_store.database import DATABASE_VARIABLE, Database
from application.event_store.envelope import SENT_WITH
from application.event_store.streams import EventStore
from application.handling import Context
from domain.tickets import AddComment, AttachFile, SetPriority
from domain.tickets import Priority as Urgency
from projections import exports
from projections.engine import Session
from projections.reading import Moment, View
from projections.registry import PROJECTIONS
from tests.api.test_command_line import sentence
from tests.application.recording import Company
from tests.exported import tell

Run = Callable[..., Result]


@pytest.fixture
def run(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv(DATABASE_VARIABLE, database.url)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, ["audit", *(str(one) for one in arguments)])


@pytest.fixture
def ticket(company: Company, database: Database, tmp_path: Path) -> UUID:
    """T-1: with a requester's texts, a colleague's reason and a file."""
    guest = company.person("Гость")
    opened = company.ticket("Сайт не открывается", requester=guest, description="С утра")
    company.give(SetPriority(ticket=opened, priority=Urgency.CRITICAL), reason="Клиент теряет деньги")
    company.give(AddComment(ticket=opened, body="Смотрю"))
    contents = Contents(tmp_path / "home" / "attachments", company.store.mapper.sealer.keyring)
    receiving = contents.receive(company.workspace.id, company.manager.person)
    receiving.writer.write("Снимок".encode())
    receiving.writer.finish()
    command = AttachFile(ticket=opened, upload=receiving.upload, name="снимок.txt")
    attach(contents, company.store, Context(actor=company.manager), command)
    company.ticket("Another one")
    with Session(database, {projection.name: projection for projection in PROJECTIONS}) as session:
        session.catch_up()
    return opened


@pytest.fixture
def vkey(run: Run, ticket: UUID) -> str:
    run("checkpoint")
    return str(run("key", "show").output.strip())


def test_a_bundle_proves_every_event_and_shows_the_texts(run: Run, vkey: str, tmp_path: Path) -> None:
    assert "4 events of T-1, each with its proof, are in T-1.zip." in run("bundle", "T-1", "--with-keys").output
    told = run("verify", "T-1.zip", "--vkey", vkey).output
    assert "Proven: the first 4 events of the stream" in told
    assert "their texts are opened with keys that are proven, too" in told
    for text in ("title: Сайт не открывается", "reason: Клиент теряет деньги", "body: Смотрю", "name: снимок.txt"):
        assert text in told
    # By the copy of the program that it holds, in a process that can import nothing of the server.
    with zipfile.ZipFile("T-1.zip") as bundle:
        bundle.extract("verifying.py", tmp_path / "elsewhere")
        assert "T-1: its history" in bundle.read("README.md").decode()
        assert "снимок.txt" in bundle.read("README.md").decode()
        [file] = [name for name in bundle.namelist() if name.startswith("attachments/")]
        assert bundle.read(file).decode() == "Снимок"
        told_again = [json.loads(line) for line in bundle.read("exports/T-1.cloudevents.jsonl").splitlines()]
        assert [event["data"]["version"] for event in told_again] == [1, 2, 3, 4]
        log = json.loads(bundle.read("exports/T-1.ocel.json"))
        assert [one["id"] for one in log["objects"] if one["type"] == "ticket"] == ["T-1"]
        assert {f"exports/T-1{kind.suffix}" for kind in Kind} <= set(bundle.namelist())
        history = [json.loads(line) for line in bundle.read("history.jsonl").splitlines()]
        assert [event["version"] for event in history] == [1, 2, 3, 4]
        states = [json.loads(bundle.read(f"states/{n:05}.json")) for n in range(1, 5)]
        assert [state["priority"] for state in states] == ["NORMAL", "CRITICAL", "CRITICAL", "CRITICAL"]
    alone = subprocess.run(
        [sys.executable, "-I", tmp_path / "elsewhere" / "verifying.py", "T-1.zip", "--vkey", vkey],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (alone.returncode, alone.stderr, alone.stdout) == (0, "", told)


def test_a_bundle_without_keys_proves_what_was_recorded_and_opens_nothing(run: Run, vkey: str) -> None:
    run("bundle", "t-1", "-o", "sealed.zip")
    told = run("verify", "sealed.zip", "--vkey", vkey).output
    assert "texts are sealed, and no keys are here" in told
    assert "title: [sealed]" in told
    assert "Сайт" not in told
    with zipfile.ZipFile("sealed.zip") as bundle:
        assert "keys.json" not in bundle.namelist()
        assert "ask for a bundle with keys" in bundle.read("README.md").decode().replace("\n", " ")


def test_a_bundle_says_neither_where_colleagues_sat_nor_by_which_token_they_came(
    run: Run, vkey: str, company: Company, ticket: UUID
) -> None:
    token = uuid4()
    company.give(AddComment(ticket=ticket, body="Готово"), source=f"{SENT_WITH}{token} from 203.0.113.9")
    run("checkpoint")
    assert run("bundle", "T-1", "--with-keys").exit_code == 0
    with zipfile.ZipFile("T-1.zip") as bundle:
        assert "Готово" in bundle.read("history.jsonl").decode()
        held = b"".join(map(bundle.read, bundle.namelist()))
    assert b"203.0.113.9" not in held
    assert str(token).encode() not in held


def test_a_bundle_tells_of_all_that_is_recorded_though_nobody_has_projected_it(
    run: Run, vkey: str, company: Company, ticket: UUID
) -> None:
    company.give(SetPriority(ticket=ticket, priority=Urgency.LOW))
    run("checkpoint")
    run("bundle", "T-1")
    with zipfile.ZipFile("T-1.zip") as bundle:
        assert len(bundle.read("history.jsonl").splitlines()) == 5
        assert json.loads(bundle.read("states/00005.json"))["priority"] == "LOW"
        assert "\n5 events" in bundle.read("README.md").decode()


def test_what_work_costs_is_worked_out_once_for_all_exports_and_for_the_ticket_s_contracts_alone(
    database: Database, store: EventStore, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tell(database, store, "acme", tmp_path)
    asked: list[UUID] = []
    prices = exports.prices

    async def counted(view: View, contract: UUID, until: date, moment: Moment) -> tuple[str, dict[UUID, Decimal]]:
        asked.append(contract)
        return await prices(view, contract, until, moment)

    monkeypatch.setattr(exports, "prices", counted)
    run("checkpoint")
    for ticket in ("T-1", "T-3"):
        assert run("bundle", ticket).exit_code == 0
    assert len(asked) == 1  # T-3 is under no contract
    with zipfile.ZipFile("T-1.zip") as bundle:
        assert "4500.00" in bundle.read("exports/T-1.csv").decode()


def changed(name: str, **files: bytes | None) -> None:
    """A copy of the bundle in which these files are others, or are not there."""
    with zipfile.ZipFile("T-1.zip") as whole, zipfile.ZipFile(name, "w") as copy:
        for one in whole.namelist():
            content = files.get(one, whole.read(one)) if one not in files else files[one]
            if content is not None:
                copy.writestr(one, content)


@pytest.mark.parametrize(
    ("file", "change", "says"),
    [
        ("events/00002.state.json", lambda held: held.replace(b"CRITICAL", b"LOW"), "Event 2 is not what was recorded"),
        ("events/00002.cause.json", lambda held: held.replace(b'"api"', b'"tel"'), "Event 2 is not what was recorded"),
        ("events/00003.tlog-proof", lambda held: None, "event 3 of 4 is missing"),
        ("events/00003.state.json", lambda held: None, "event 3 of 4 is missing"),
        ("events/00003.tlog-proof", lambda held: held[:-20], "NOT PROVEN."),
        ("keys.json", lambda held: re.sub(rb'": "....', b'": "AAAA', held), "is not the one that sealed the event"),
        ("keys.json", lambda held: b"[]", "The bundle is damaged"),
        ("checkpoint", lambda held: None, "This is no checkpoint"),
        ("attachments/", lambda held: held + b"!", "is not the file that was attached"),
    ],
)
def test_a_bundle_that_was_changed_proves_nothing(
    run: Run, vkey: str, file: str, change: Callable[[bytes], bytes | None], says: str
) -> None:
    run("bundle", "T-1", "--with-keys")
    with zipfile.ZipFile("T-1.zip") as bundle:
        name = next(one for one in bundle.namelist() if one.startswith(file))
        content = change(bundle.read(name))
    changed("changed.zip", **{name: content})
    assert says in sentence(run("verify", "changed.zip", "--vkey", vkey))


def test_an_event_of_another_place_is_not_taken_for_one(run: Run, vkey: str) -> None:
    run("bundle", "T-1", "--with-keys")
    with zipfile.ZipFile("T-1.zip") as bundle:
        moved = {
            f"events/00002.{kind}": bundle.read(f"events/00003.{kind}")
            for kind in ("state.json", "cause.json", "tlog-proof")
        }
    changed("changed.zip", **moved)
    assert "Event 2 is another one" in sentence(run("verify", "changed.zip", "--vkey", vkey))


def test_a_bundle_that_is_cut_off_proves_nothing(run: Run, vkey: str) -> None:
    run("bundle", "T-1")
    whole = Path("T-1.zip").read_bytes()
    for part in (len(whole) // 2, len(whole) - 10):
        Path("cut.zip").write_bytes(whole[:part])
        assert "NOT PROVEN." in sentence(run("verify", "cut.zip", "--vkey", vkey))
    other = verifying.Key(verifying.Key.parse(vkey).name, 1, bytes(32)).vkey
    assert "not signed by this key" in sentence(run("verify", "T-1.zip", "--vkey", other))


def test_a_file_whose_content_is_gone_is_told_of(run: Run, vkey: str, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "home" / "attachments")
    assert run("bundle", "T-1").exit_code == 0
    with zipfile.ZipFile("T-1.zip") as bundle:
        assert "The contents of снимок.txt are not there any more" in bundle.read("README.md").decode()


def test_what_is_not_there_is_not_bundled(run: Run, vkey: str, tmp_path: Path) -> None:
    before = sorted(tmp_path.iterdir())
    assert "There is no ticket T-9 in acme." in sentence(run("bundle", "T-9"))
    assert sorted(tmp_path.iterdir()) == before
