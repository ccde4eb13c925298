"""A person is erased, and nothing of what they were is left: not in a table, not in a file of PostgreSQL, not in the
folder of attachments, not in what any process remembers. What they were part of stays, and is still proven."""

import csv
import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from click.testing import CliRunner
from psycopg import sql

from api.command_line import main
from api.ids import Kind, encode
from api.runtime import HOME_VARIABLE
from application import views, work
from application.attachments.attaching import attach
from application.attachments.contents import Contents
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import DATABASE_VARIABLE, KEYS_VARIABLE, Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.tokens import issue_token
from application.workspaces import create_workspace
from domain.access import Scope
from domain.tickets import AddComment, AttachFile, SetField, TransitionTicket, Visibility
from domain.views import SaveView
from domain.work import LogWork
from tests.application.recording import AT, Company, log
from tests.application.test_sealing import superuser
from tests.conftest import fresh_database, keys_apart
from tests.served import Served, served

NAME = "Зинаида Крапивина-Нетаева"
SECRETS = (
    "Крапивина",
    "zinaida.k@krapivina.example",
    "Погасла вывеска в Урюпинском",
    "квартира на Перекопской",
    "Слесарь обещал к полудню",
    "Слесарь обещал к вечеру",
    "дверной код 7351вх",
    "звонила из Волгограда",
    "Черпалкина приходила",
    "мой взгляд на Зарницу",
    "снимок-Крапивиной.txt",
    "содержимое снимка с Зарницы",
)
"""What the person and others have written of her; the stems of the words stand in the search index."""

BOARD = """
query {
  board(columns: ROLE) { cells { cards { nodes { key title requester { name email erased active } } } } }
}"""
TICKET = """
query($key: String) {
  ticket(key: $key) {
    key title description status { key } fields workedSeconds
    comments { nodes { body } } attachments { nodes { name } }
    history { nodes { type reason actor { name } changes { path to } proof { file } } }
  }
}"""


class Story(NamedTuple):
    """A company with two requesters, served by a process of its own."""

    company: Company
    database: Database
    home: Path
    server: Served
    secret: str
    her_secret: str
    zinaida: UUID
    hers: UUID

    def ask(self, query: str, **variables: Any) -> Any:
        answer = self.answer(self.secret, query, **variables)
        assert "errors" not in answer, answer
        return answer["data"]

    def answer(self, secret: str, query: str, **variables: Any) -> Any:
        body = json.dumps({"query": query, "variables": variables}).encode()
        headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.server.graphql, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            return json.load(error)

    def run(self, *arguments: object, exit_code: int = 0) -> str:
        environment = {
            DATABASE_VARIABLE: self.database.url,
            KEYS_VARIABLE: self.database.keys_url or "",
            HOME_VARIABLE: str(self.home),
            "COLUMNS": "200",
        }
        result = CliRunner(env=environment).invoke(main, [str(one) for one in arguments])
        assert result.exit_code == exit_code, (result.output, result.exception)
        return result.output

    def caught_up(self) -> None:
        last = log(self.database)[-1]["position"]
        self.ask("query($p: Position) { board(columns: ROLE, minPosition: $p) { totalCount } }", p=str(last))
        while self.ask(TICKET, key="T-1")["ticket"]["history"]["nodes"][-1]["proof"] is None:
            time.sleep(0.05)
        self.ask('query($p: Position) { search(query: "Погасла", minPosition: $p) { totalCount } }', p=str(last))


@pytest.fixture(scope="module", params=[fresh_database, keys_apart], ids=["together", "apart"])
def story(
    postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Story]:
    home = tmp_path_factory.mktemp("home")
    often = {"PROTEUS_AUDIT_CHECKPOINT_SECONDS": "0.1"}
    with (
        request.param(postgres) as database,
        EventStore(database) as store,
        served(database, home, environment=often) as server,
    ):
        workspace = create_workspace(database, store, "acme", "Acme")
        company = Company.of(store, workspace)
        context = Context(actor=company.manager)
        zinaida = company.person(NAME, "zinaida.k@krapivina.example")
        hers = company.ticket(
            "Погасла вывеска в Урюпинском",
            requester=zinaida,
            description="Адрес: квартира на Перекопской",
            fields={"door": "дверной код 7351вх", "floor": 3},
        )
        company.give(AddComment(ticket=hers, body="Слесарь обещал к полудню"))
        company.give(AddComment(ticket=hers, body="Черпалкина приходила", visibility=Visibility.INTERNAL))
        company.give(SetField(ticket=hers, field="floor", value=4))
        company.give(TransitionTicket(ticket=hers, status="waiting"), reason="звонила из Волгограда")
        an_hour = LogWork(ticket=hers, started_at=AT, seconds=3600, comment="Слесарь обещал к вечеру")
        work.handle(store, context, an_hour)
        contents = Contents(home / "attachments", store.mapper.sealer.keyring)
        receiving = contents.receive(workspace.id, company.manager.person)
        receiving.writer.write("содержимое снимка с Зарницы".encode())
        receiving.writer.finish()
        attach(contents, store, context, AttachFile(ticket=hers, upload=receiving.upload, name="снимок-Крапивиной.txt"))
        her_view = SaveView(name="мой взгляд на Зарницу", definition='{"orderBy":[]}')
        views.handle(store, Context(actor=company.actor(zinaida, Scope.AGENT)), her_view)
        other = company.person("Пётр Оставшийся")
        kept = company.ticket("Ещё открыт", requester=other)
        company.give(AddComment(ticket=kept, body="Это остаётся"))
        week = timedelta(days=7)
        secret = issue_token(database, workspace.id, company.manager.person, [Scope.MANAGER, Scope.AUDITOR], "t", week)
        hers_too = issue_token(database, workspace.id, zinaida, [Scope.REQUESTER], f"Телефон: {NAME}", week)
        told = Story(company, database, home, server, secret, hers_too, zinaida, hers)
        told.caught_up()
        yield told


def places(postgres: EmbeddedPostgres, story: Story) -> dict[str, set[str]]:
    """Which of the secrets stand where: in dumps of every table, and in every file of PostgreSQL's and of ours, the
    write-ahead log and the server's log among them; in any case, in JSON's escapes or not, and as bytes in hexadecimal.
    """
    forms = {secret: _forms(secret) for secret in SECRETS}
    found: dict[str, set[str]] = {secret: set() for secret in SECRETS}

    def look(place: str, content: bytes) -> None:
        for secret, written in forms.items():
            if any(form in content for form in written):
                found[secret].add(place)

    for place in (story.database, story.database.keys):
        with superuser(postgres, place) as connection:
            connection.execute("checkpoint")
            tables = connection.execute("select schemaname, tablename from pg_tables").fetchall()
            for schema, table in tables:
                command = sql.SQL("copy {} to stdout").format(sql.Identifier(schema, table))
                with connection.cursor().copy(command) as rows:
                    look(f"table {schema}.{table}", b"".join(rows))
    for path in (*postgres.root.rglob("*"), *story.home.rglob("*")):
        if path.is_file() and not path.is_symlink():
            look(f"file {path}", path.read_bytes())
    return found


def _forms(secret: str) -> set[bytes]:
    texts = {secret, secret.lower(), secret.upper()}
    texts |= {json.dumps(text).strip('"') for text in texts}
    texts |= {text.encode().hex() for text in texts}
    return {text.encode() for text in texts}


def test_an_erased_person_is_nowhere_any_more_and_what_they_were_part_of_stays(
    postgres: EmbeddedPostgres, story: Story, tmp_path: Path
) -> None:
    before = story.ask(TICKET, key="T-1")["ticket"]
    assert before["title"] == "Погасла вывеска в Урюпинском"
    card = next(one for one in _cards(story) if one["key"] == "T-1")
    assert card["requester"]["name"] == NAME
    with superuser(postgres, story.database) as connection:
        connection.execute("analyze")
    there = places(postgres, story)
    assert all(places for secret, places in there.items() if not secret.startswith("содержимое")), there

    key = story.run("audit", "key", "show").strip()
    story.run("audit", "prove", "T-1:1", "-o", tmp_path / "before.tlog-proof")
    story.run("audit", "checkpoint", "-o", tmp_path / "before.checkpoint")
    kept = tmp_path / "kept"
    output = story.run("audit", "erase", NAME, "--reason", "Отзыв согласия", "--by", "Ю. Юрист", "-o", kept, "--yes")
    assert "Not done" not in output

    assert places(postgres, story) == {secret: set() for secret in SECRETS}

    # Boards and tickets go on, in the process that had them in memory, too.
    card = next(one for one in _cards(story) if one["key"] == "T-1")
    assert card["title"] == "[erased]"
    assert card["requester"] == {"name": "[erased]", "email": None, "erased": True, "active": False}
    after = story.ask(TICKET, key="T-1")["ticket"]
    assert (after["status"], after["workedSeconds"]) == (before["status"], before["workedSeconds"])
    assert len(after["history"]["nodes"]) == len(before["history"]["nodes"])
    assert {one["body"] for one in after["comments"]["nodes"]} == {"[erased]"}
    assert [one["name"] for one in after["attachments"]["nodes"]] == ["[erased]"]
    assert story.ask(TICKET, key="T-2")["ticket"]["title"] == "Ещё открыт"

    # What was proven is, and nothing was rewritten.
    assert "Proven" in story.run("audit", "verify", tmp_path / "before.tlog-proof", "--vkey", key)
    assert "Consistent" in story.run("audit", "consistency", tmp_path / "before.checkpoint", "--vkey", key)
    assert "as they were recorded" in story.run("audit", "scrub")
    assert "Written" in story.run("audit", "prove", "T-1:1", "-o", tmp_path / "after.tlog-proof")

    # What the operator keeps is what the log has the hashes of.
    [erasure] = log(story.database, "name = 'SubjectErased'")
    told = json.loads(erasure["state"])
    [act], [journal] = kept.glob("*.act.txt"), kept.glob("*.journal.csv")
    assert hashlib.sha256(act.read_bytes()).hexdigest() == told["act"]
    assert hashlib.sha256(journal.read_bytes()).hexdigest() == told["journal"]
    assert all(part in act.read_text() for part in (NAME, "zinaida.k@krapivina.example", "Отзыв согласия", "Ю. Юрист"))
    rows = list(csv.DictReader(journal.read_text().splitlines()))
    assert {row["category"] for row in rows} >= {"PersonAdded", "TicketOpened", "CommentAdded", "WorkLogged", "files"}
    assert {(row["subject"], row["reason"]) for row in rows} == {(NAME, "Отзыв согласия")}

    # Their token lets nobody in.
    assert story.answer(story.her_secret, "{ viewer { person { name } } }")["errors"][0]["extensions"]["code"]


def test_what_is_written_of_an_erased_person_later_is_the_company_s(story: Story) -> None:
    """By a process that knew the key: it has forgotten it."""
    _erased(story)
    add = """
    mutation($ticket: ID!) {
      addComment(input: {ticket: $ticket, body: "Закрыто без неё"}) { position userErrors { code } }
    }"""
    position = story.ask(add, ticket=encode(Kind.TICKET, story.hers))["addComment"]["position"]
    [event] = log(story.database, f"position = {position}")
    assert story.company.workspace.id.hex in event["state"].decode()
    assert story.zinaida.hex not in event["state"].decode()


def test_read_models_are_made_anew_and_a_server_starts_again(story: Story) -> None:
    _erased(story)
    before = _cards(story)
    output = story.run("rebuild", "--all")
    assert "DIFFERENT" not in output
    story.server.stop()
    story.server.start()
    assert _cards(story) == before
    assert "[erased]" in story.run("audit", "replay", "T-1")


def _erased(story: Story) -> None:
    """Unless an earlier test has."""
    if story.ask(TICKET, key="T-1")["ticket"]["title"] != "[erased]":
        story.run("audit", "erase", NAME, "--reason", "Отзыв согласия", "-o", story.home / "acts", "--yes")


def _cards(story: Story) -> list[Any]:
    cells = story.ask(BOARD)["board"]["cells"]
    return sorted((card for cell in cells for card in cell["cards"]["nodes"]), key=lambda card: str(card["key"]))
