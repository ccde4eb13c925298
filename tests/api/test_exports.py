"""Exports: each format holds the whole history and nothing else, says who and what, and names nobody unasked."""

import csv
import json
import sqlite3
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner, Result

from api.command_line import main
from api.exports import exporting, reading, xes
from api.exports.exporting import Kind
from api.ids import Kind as Id
from api.ids import encode
from api.runtime import HOME_VARIABLE
from application import contracts, work
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import DATABASE_VARIABLE, Database, Role
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import create_workspace
from domain.access import Actor, Scope
from domain.contracts import BindContract
from domain.work import CorrectWork, LogWork, MoveWork
from projections import exports
from tests.api.test_command_line import sentence
from tests.application.recording import log
from tests.conftest import fresh_database
from tests.exported import PAST_MIDNIGHT, SECRETS, Told, follow, tell
from tests.published import OCEL_JSON

KINDS = [one.value for one in Kind]


class Company(NamedTuple):
    database: Database
    told: Told
    other: Told


@pytest.fixture(scope="module")
def company(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    """Two workspaces with the same story; `acme` is exported."""
    with fresh_database(postgres) as database, EventStore(database) as store:
        told = tell(database, store, "acme", tmp_path_factory.mktemp("acme"))
        other = tell(database, store, "other", tmp_path_factory.mktemp("other"))
        create_workspace(database, store, "empty", "Empty")
        follow(database)
        yield Company(database, told, other)


Export = Callable[..., Result]


@pytest.fixture
def export(company: Company, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Export:
    """To `acme` and the format's suffix, unless the options say otherwise."""
    monkeypatch.setenv(DATABASE_VARIABLE, company.database.url)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(tmp_path)

    def run(kind: str, *options: str, workspace: str = "acme") -> Result:
        return CliRunner().invoke(main, ["audit", "export", "--format", kind, "--workspace", workspace, *options])

    return run


def written(export: Export, kind: str, *options: str) -> Path:
    result = export(kind, *options)
    assert result.exit_code == 0, result.output
    path = Path(f"acme{Kind(kind).suffix}")
    assert not list(Path().glob("*.part*"))
    return path


def ocel(export: Export, *options: str) -> dict[str, Any]:
    path = written(export, "ocel-json", *options)
    found: dict[str, Any] = json.loads(path.read_bytes())
    path.unlink()
    return found


def lines(export: Export, *options: str) -> list[dict[str, Any]]:
    path = written(export, "cloudevents", *options)
    found = [json.loads(line) for line in path.read_bytes().splitlines()]
    path.unlink()
    return found


def recorded(company: Company, where: str = "true") -> int:
    """Events in the log itself."""
    with company.database.connect(Role.PROJECTOR) as connection:
        row = connection.execute(
            f"select count(*) from event where workspace = %s and {where}".encode(), (company.told.workspace.id,)
        ).fetchone()
    assert row is not None
    return int(row[0])


def related(log: dict[str, Any], type_: str, nth: int = 0) -> dict[str, list[str]]:
    """Of the nth event of a type: objects by qualifier."""
    event = [one for one in log["events"] if one["type"] == type_][nth]
    found: dict[str, list[str]] = {}
    for one in event["relationships"]:
        found.setdefault(one["qualifier"], []).append(one["objectId"])
    return found


# ---- OCEL


def test_an_ocel_log_has_every_event_and_keeps_to_the_published_schema(company: Company, export: Export) -> None:
    log = ocel(export)
    jsonschema.validate(log, OCEL_JSON)
    assert len(log["events"]) == recorded(company)
    ids = [one["id"] for one in log["objects"]]
    assert len(ids) == len(set(ids))
    types = {one["name"]: {a["name"] for a in one["attributes"]} for one in (*log["eventTypes"], *log["objectTypes"])}
    for one in (*log["events"], *log["objects"]):
        assert {attribute["name"] for attribute in one["attributes"]} <= types[one["type"]]
        assert {related["objectId"] for related in one["relationships"]} <= set(ids)
    assert all(one["relationships"] for one in log["events"])


def test_a_role_is_an_object_of_its_own_tied_to_its_ticket(export: Export) -> None:
    log = ocel(export)
    objects = {one["id"]: one for one in log["objects"]}
    assert {"T-1": "ticket", "T-1:1": "INQUIRY", "T-1:3": "INCIDENT", "T-4:1": "DOCUMENT"}.items() <= {
        id_: one["type"] for id_, one in objects.items()
    }.items()
    assert objects["T-1:3"]["relationships"] == [{"objectId": "T-1", "qualifier": "ticket"}]
    roles = [one["objectId"] for one in objects["T-1"]["relationships"] if one["qualifier"] == "role"]
    assert roles == ["T-1:1", "T-1:3"]
    changed = related(log, "RoleChanged INCIDENT")
    assert (changed["ticket"], changed["from"], changed["to"]) == (["T-1"], ["T-1:1"], ["T-1:3"])
    assert related(log, "StatusChanged in_progress")["role"] == ["T-1:3"]
    values = {one["name"]: one["value"] for one in objects["T-1:1"]["attributes"]}
    # Half past midnight in Moscow is the day before in UTC.
    assert (values["from"], values["to"]) == ("2026-03-02T21:30:00.000000Z", "2026-03-02T21:48:00.000000Z")


def test_qualifiers_say_who_did_who_approved_from_whom_and_to_whom(company: Company, export: Export) -> None:
    log = ocel(export)
    maria, boris, claire = (
        encode(Id.PERSON, one) for one in (company.told.maria, company.told.boris, company.told.claire)
    )
    assigned = related(log, "TicketAssigned", 1)
    assert (assigned["executor"], assigned["from"], assigned["to"]) == ([boris], [boris], [maria])
    assert related(log, "TicketOpened")["requester"] == [claire]
    assert related(log, "StatusChanged signature")["approver"] == [maria]
    assert "approver" not in related(log, "StatusChanged approval")
    assert related(log, "TicketMerged")["to"] == ["T-1"]
    assert related(log, "WorkLogged")["executor"] == [boris]
    [contract] = related(log, "ContractBound")["to"]
    assert contract in {one["id"] for one in log["objects"] if one["type"] == "contract"}


def test_attributes_have_their_history(export: Export) -> None:
    [ticket] = [one for one in ocel(export)["objects"] if one["id"] == "T-1"]
    told = [(one["time"], one["value"]) for one in ticket["attributes"] if one["name"] == "priority"]
    assert told == [("1970-01-01T00:00:00.000000Z", "NORMAL"), ("2026-03-02T21:42:00.000000Z", "CRITICAL")]
    held = [one["time"] for one in ticket["attributes"] if one["name"] == "assignee"]
    assert held == ["2026-03-02T21:54:00.000000Z", "2026-03-02T22:24:00.000000Z"]


def test_commits_and_merge_requests_are_objects_tied_to_their_tickets(export: Export) -> None:
    log = ocel(export)
    changes = {one["id"]: one for one in log["objects"] if one["type"] == "change"}
    assert Counter(one["attributes"][1]["value"] for one in changes.values()) == {"COMMIT": 2, "REQUEST": 1}
    [linked] = [
        one for one in changes.values() if {"objectId": "T-1", "qualifier": "change of"} in one["relationships"]
    ]
    assert related(log, "LinkAdded") | {"executor": []} == {
        "ticket": ["T-1"],
        "role": ["T-1:3"],
        "executor": [],
        "change": [linked["id"]],
    }
    assert len(related(log, "CommitsRecorded")["change"]) == 2
    assert related(log, "MergeRequestMerged")["change"] == ["shop!7"]


def test_work_has_its_price(export: Export) -> None:
    [event] = [one for one in ocel(export)["events"] if one["type"] == "WorkLogged"][:1]
    values = {one["name"]: one["value"] for one in event["attributes"]}
    # 1.5 h at 3,000.00
    assert (values["seconds"], values["price"], values["currency"]) == ("5400", "4500.00", "RUB")


def test_what_was_corrected_or_moved_has_its_price_once_where_it_is_now(
    postgres: EmbeddedPostgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fresh_database(postgres) as database, EventStore(database) as store:
        told = tell(database, store, "acme", tmp_path)
        boris = Context(actor=Actor(workspace=told.workspace.id, person=told.boris, scopes=frozenset({Scope.MANAGER})))
        [first, _, third, _] = told.tickets
        [agreed] = log(database, "name = 'ContractAgreed'")
        bound = Context(actor=boris.actor, occurred_at=PAST_MIDNIGHT + timedelta(hours=2.5))
        contracts.handle(store, bound, BindContract(ticket=third, contract=agreed["stream"]))
        corrected, moved, back = (
            work.handle(
                store, boris, LogWork(ticket=first, started_at=PAST_MIDNIGHT + timedelta(hours=n), seconds=3600)
            ).stream
            for n in (3, 5, 7)
        )
        why = msgspec.structs.replace(boris, reason="Two at once")
        work.handle(
            store, why, CorrectWork(work_entry=corrected, ended_at=PAST_MIDNIGHT + timedelta(hours=3, minutes=30))
        )
        work.handle(store, why, MoveWork(work_entry=moved, ticket=third))
        for ticket in (third, first):
            work.handle(store, why, MoveWork(work_entry=back, ticket=ticket))
        follow(database)
        monkeypatch.setenv(DATABASE_VARIABLE, database.url)
        monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
        monkeypatch.chdir(tmp_path)
        assert CliRunner().invoke(main, ["audit", "export", "--format", "csv"]).exit_code == 0
    with Path("acme.csv").open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["price"]]
    # The work of the story, half an hour, an hour elsewhere, and an hour that went there and came back.
    assert [(row["type"], row["ticket"], row["price"]) for row in rows] == [
        ("WorkLogged", "T-1", "4500.00"),
        ("WorkLogged", "T-1", "1500.00"),
        ("WorkMoved", "T-3", "3000.00"),
        ("WorkMoved", "T-1", "3000.00"),
    ]


def test_an_ocel_database_holds_what_the_json_does(export: Export) -> None:
    log = ocel(export)
    with sqlite3.connect(written(export, "ocel-sqlite")) as db:
        assert db.execute("pragma foreign_key_check").fetchall() == []
        assert db.execute("pragma integrity_check").fetchall() == [("ok",)]
        assert dict(db.execute("select ocel_id, ocel_type from event")) == {
            one["id"]: one["type"] for one in log["events"]
        }
        assert dict(db.execute("select ocel_id, ocel_type from object")) == {
            one["id"]: one["type"] for one in log["objects"]
        }
        for table, side, items in (("event_object", "event", "events"), ("object_object", "source", "objects")):
            other = "object" if side == "event" else "target"
            rows = db.execute(f"select ocel_{side}_id, ocel_{other}_id, ocel_qualifier from {table}").fetchall()
            told = [(one["id"], to["objectId"], to["qualifier"]) for one in log[items] for to in one["relationships"]]
            assert Counter(rows) == Counter(told)
        row = db.execute("select seconds, price, billable, startedAt from event_WorkLogged where price is not null")
        assert row.fetchone() == (5400, 4500.0, 1, "2026-03-02T21:30:00Z")
        changed = (
            "select ocel_time, priority from object_ticket where ocel_id = 'T-1' and ocel_changed_field = 'priority'"
        )
        assert db.execute(changed).fetchall() == [("2026-03-02T21:42:00.000000Z", "CRITICAL")]
    db.close()


# ---- the others


def test_xes_has_a_trace_for_each_ticket_with_the_work_on_it_and_what_it_cost(company: Company, export: Export) -> None:
    root = ET.fromstring(written(export, "xes", "--with-texts").read_bytes())
    traces = {one.find("string[@key='concept:name']").attrib["value"]: one for one in root.iter("trace")}  # type: ignore[union-attr]
    assert list(traces) == ["T-1", "T-2", "T-3", "T-4"]
    told = [{child.attrib["key"]: child.attrib["value"] for child in event} for event in traces["T-1"].iter("event")]
    assert [one["time:timestamp"] for one in told] == sorted(one["time:timestamp"] for one in told)
    [worked] = [one for one in told if one["type"] == "WorkLogged"]
    assert (worked["cost:total"], worked["cost:currency"]) == ("4500.00", "RUB")
    assert (worked["startedAt"], worked["org:resource"]) == ("2026-03-02T21:30:00.000000Z", "Boris <Ivanov> & Co")
    [urgent] = [one for one in told if one["type"] == "PriorityChanged"]
    assert urgent["reason"] == "Клиент теряет деньги\nи терпение"
    assert told[0]["concept:name"] == "TicketOpened"
    assert "RoleChanged INCIDENT" in [one["concept:name"] for one in told]


def test_csv_is_a_table_that_a_spreadsheet_runs_nothing_of(company: Company, export: Export) -> None:
    with written(export, "csv", "--with-texts").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == recorded(company)
    [opened] = [row for row in rows if row["type"] == "TicketOpened" and row["ticket"] == "T-2"]
    assert json.loads(opened["changes"])["title"] == [None, '=formula("x")']
    assert (opened["actor"], opened["channel"], opened["role"]) == ("Claire Dubois", "site", "INQUIRY")
    assert [row["position"] for row in rows] == sorted((row["position"] for row in rows), key=int)
    assert not any(value.startswith(("=", "+", "@")) for row in rows for value in row.values())
    [worked] = [row for row in rows if row["price"] and row["type"] == "WorkLogged"]
    assert (worked["price"], worked["ticket"], worked["seconds"]) == ("4500.00", "T-1", "5400")


def test_cloud_events_have_their_extensions(company: Company, export: Export) -> None:
    told = lines(export, "--with-texts")
    assert len(told) == recorded(company)
    [event] = [one for one in told if one["type"] == "proteus.RoleChanged"]
    assert event["specversion"] == "1.0"
    assert event["source"] == f"urn:uuid:{company.told.workspace.id}"
    assert (event["subject"], event["time"]) == ("T-1", "2026-03-02T21:48:00.000000Z")
    assert event["recordedtime"] > event["time"]
    assert [one["sequence"] for one in told] == sorted(one["sequence"] for one in told)
    assert int(event["sequence"]) == int(event["data"]["position"])
    assert event["correlationid"] == event["data"]["correlationId"]
    assert {"path": "role", "from": "INQUIRY", "to": "INCIDENT"} in event["data"]["changes"]


# ---- what leaves


@pytest.mark.parametrize("kind", KINDS)
def test_no_name_and_no_text_leaves_unasked(export: Export, kind: str) -> None:
    raw = written(export, kind).read_bytes()
    assert [word for word in SECRETS if word.encode() in raw or word.encode("ascii", "backslashreplace") in raw] == []


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_another_workspace_leaves(company: Company, export: Export, kind: str) -> None:
    raw = written(export, kind, "--with-texts").read_bytes()
    for one in (company.other.maria, company.other.client, *company.other.tickets):
        for shown in (str(one), encode(Id.PERSON, one), encode(Id.TICKET, one), encode(Id.CLIENT, one)):
            assert shown.encode() not in raw


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_workspace_is_exported_too(export: Export, kind: str) -> None:
    result = export(kind, "-o", "nothing", workspace="empty")
    assert result.exit_code == 0, result.output
    if kind == "ocel-json":
        assert [one["type"] for one in json.loads(Path("nothing").read_bytes())["objects"]] == ["person"]
    if kind == "xes":
        assert list(ET.fromstring(Path("nothing").read_bytes()).iter("trace")) == []


# ---- filters


def test_a_time_leaves_out_what_happened_before_and_after(export: Export) -> None:
    between = ("--from", "2026-03-03T00:45:00+03:00", "--to", "2026-03-02T22:30:00Z")
    told = lines(export, *between)
    assert {one["subject"] for one in told} == {"T-1"}
    assert (told[0]["type"], told[-1]["time"]) == ("proteus.RoleChanged", "2026-03-02T22:24:00.000000Z")
    log = ocel(export, *between)
    assert [one["id"] for one in log["objects"] if one["type"] == "ticket"] == ["T-1"]
    assert len(log["events"]) == len(told)


@pytest.mark.parametrize(
    ("process", "keys"), [("INCIDENT", {"T-1"}), ("support", {"T-1", "T-2"}), ("document", {"T-4"})]
)
def test_a_process_is_all_of_the_tickets_that_ever_were_in_it(export: Export, process: str, keys: set[str]) -> None:
    log = ocel(export, "--process", process)
    assert {one["id"] for one in log["objects"] if one["type"] == "ticket"} == keys
    assert {one["subject"] for one in lines(export, "--process", process)} == keys
    ids = {one["id"] for one in log["objects"]}
    assert all(to["objectId"] in ids for one in (*log["events"], *log["objects"]) for to in one["relationships"])


def test_a_client_s_export_has_their_tickets_and_nobody_else_s(company: Company, export: Export) -> None:
    for named in ("ооо ромашка", encode(Id.CLIENT, company.told.client)):
        log = ocel(export, "--client", named)
        assert {one["id"] for one in log["objects"] if one["type"] == "ticket"} == {"T-1", "T-2"}
        people = {one["id"] for one in log["objects"] if one["type"] == "person"}
        assert encode(Id.PERSON, company.told.claire) in people
        assert len(people) == 4  # Мария, Boris, Claire and the system; not the stranger
        assert {one["type"] for one in log["objects"]} >= {"client", "contract", "service", "team", "change"}
        ids = {one["id"] for one in log["objects"]}
        assert all(to["objectId"] in ids for one in (*log["events"], *log["objects"]) for to in one["relationships"])
    assert b"T-3" not in written(export, "ocel-json", "--client", "ООО Ромашка").read_bytes()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--process", "NONSENSE"), "There is no role and no workflow 'NONSENSE'. There are: ALERT"),
        (("--client", "Nobody"), "There is no client 'Nobody'."),
        (("--from", "yesterday"), "--from: 'yesterday' is not an RFC 3339 time"),
        (("--from", "2026-03-02T00:00:00Z", "--to", "2026-03-01T00:00:00Z"), "--from is before --to."),
        (("--workspace", "nowhere"), "There is no workspace 'nowhere'."),
        (("-o", "no/such/folder"), "No such file or directory"),
    ],
)
def test_what_cannot_be_exported_is_said_and_leaves_nothing(
    export: Export, options: tuple[str, ...], says: str
) -> None:
    assert says in sentence(export("csv", *options))
    assert list(Path().iterdir()) == []


# ---- interruptions


def test_a_file_that_is_there_is_left_alone(export: Export) -> None:
    Path("acme.csv").write_text("mine")
    assert "acme.csv is there already. Remove it, or name another file." in sentence(export("csv"))
    assert Path("acme.csv").read_text() == "mine"
    assert [one.name for one in Path().iterdir()] == ["acme.csv"]


@pytest.mark.parametrize(("kind", "chunks"), [*((kind, 2) for kind in KINDS), ("ocel-json", 9)])
def test_an_interrupted_export_goes_on_to_the_same_file(
    export: Export, monkeypatch: pytest.MonkeyPatch, kind: str, chunks: int
) -> None:
    path = written(export, kind)
    whole = _content(path)
    path.unlink()
    with monkeypatch.context() as patched:
        patched.setattr(reading, "CHUNK", 7)
        patched.setattr(xes, "TICKETS", 1)
        patched.setattr(exporting, "SAVE_SECONDS", 0)
        _interrupt(patched, after=chunks)
        result = export(kind)
    assert (result.exit_code, "run the same command again to go on" in result.output) == (130, True)
    assert not path.exists()
    assert Path(f"{path}.part").exists()
    with Path(f"{path}.part").open("ab") as part:  # what was written and is not known to be, is written again
        part.write(b"" if kind == "ocel-sqlite" else b"half a li")
    again = export(kind)
    assert again.exit_code == 0, again.output
    assert "gone on with" in again.output
    assert _content(path) == whole


def _interrupt(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """With the chunk of this number."""
    count = 0
    read = exports.events, exports.events_of

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*arguments: Any) -> Any:
            nonlocal count
            count += 1
            if count > after:
                raise KeyboardInterrupt
            return await function(*arguments)

        return call

    monkeypatch.setattr(exports, "events", counted(read[0]))
    monkeypatch.setattr(exports, "events_of", counted(read[1]))


def _content(path: Path) -> Any:
    if path.suffix != ".sqlite":
        return path.read_bytes()
    with sqlite3.connect(path) as db:
        content = sorted(db.iterdump())
    db.close()
    return content


def test_another_export_does_not_go_on_with_it(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(exporting, "SAVE_SECONDS", 0)
        _interrupt(patched, after=1)
        export("csv")
    said = sentence(export("csv", "--with-texts"))
    assert "acme.csv.part was begun by an export of something else. Remove it, or name another file." in said
    assert export("csv").exit_code == 0


def test_a_full_disk_is_said_and_gone_on_from(export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    from api.exports.sinks import TextSink

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(TextSink, "write", full)
        said = sentence(export("csv"))
    assert "acme.csv cannot be written: No space left on device. Run the same command again to go on." in said
    assert not Path("acme.csv").exists()
    assert export("csv").exit_code == 0
