"""What the auditor's guide shows is what happens. `PROTEUS_REWRITE_EXAMPLES=1` writes this run's output into it."""

import os
import re
import shlex
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import pytest
from click.testing import CliRunner
from graphql import build_schema, parse, validate

from api.command_line import main
from api.runtime import HOME_VARIABLE
from application import people, tickets
from application.audit.sequencing import Pace
from application.audit.sequencing import Session as Sequencing
from application.event_store.database import DATABASE_VARIABLE, Database
from application.event_store.streams import EventStore
from application.handling import Context
from application.workspaces import create_workspace
from domain.access import Actor, Scope
from domain.people import AddPerson, PersonKind
from domain.tickets import (
    AddComment,
    AssignTicket,
    ChangeRole,
    OpenTicket,
    SetPriority,
    TicketCommand,
    TransitionTicket,
)
from domain.tickets import Priority as Urgency
from projections.engine import Session
from projections.registry import PROJECTIONS

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "guides" / "auditor.md"

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_GRAPHQL = re.compile(r"^```graphql\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What differs from run to run: ids, hashes and keys, times, positions and counts.
_VARIES = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}|\b[0-9a-f]{64}\b|[A-Za-z0-9+/_=-]{20,}|\b[0-9a-f]{8}\b"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z?|\d+"
)


Meanwhile = Callable[[], None]


@pytest.fixture
def days_later(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meanwhile]:
    """The company that the guide tells of, in the folder where its commands are run. Call it for what happens after
    the first day."""
    monkeypatch.setenv(DATABASE_VARIABLE, database.url)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "home"))
    monkeypatch.setenv("COLUMNS", "110")
    monkeypatch.chdir(tmp_path)
    with EventStore(database) as store:
        workspace = create_workspace(database, store, "acme", "Acme").id
        chief = Context(actor=Actor(workspace=workspace, person=workspace, scopes=frozenset({Scope.ADMIN})))

        def added(name: str, kind: PersonKind) -> Actor:
            person = people.handle(store, chief, AddPerson(name=name, kind=kind)).stream
            return Actor(workspace=workspace, person=person, scopes=frozenset({Scope.MANAGER}))

        maria, boris = added("Мария Петрова", PersonKind.STAFF), added("Boris Ivanov", PersonKind.STAFF)
        client = added("Claire Dubois", PersonKind.CLIENT)

        def give(minute: int, who: Actor, command: TicketCommand, channel: str, reason: str | None = None) -> UUID:
            at = datetime(2026, 3, 2, 9, minute, tzinfo=UTC)
            context = Context(actor=who, occurred_at=at, channel=channel, reason=reason)
            return tickets.handle(store, context, command).stream

        opening = OpenTicket(title="The site does not open", role="INQUIRY", requester=client.person)
        ticket = give(0, maria, opening, "site")
        give(12, maria, SetPriority(ticket=ticket, priority=Urgency.CRITICAL), "phone", "The shop loses orders")
        give(14, maria, ChangeRole(ticket=ticket, role="INCIDENT"), "phone", "It is down for everybody")
        give(15, maria, AssignTicket(ticket=ticket, assignee=boris.person), "api")
        give(16, boris, TransitionTicket(ticket=ticket, status="in_progress"), "api")
        give(31, boris, AddComment(ticket=ticket, body="The certificate has expired. A new one is in place."), "api")
        _followed(database)

        def close() -> None:
            give(33, boris, TransitionTicket(ticket=ticket, status="done"), "api", "The client sees the site again")
            _followed(database)

        yield close


def _followed(database: Database) -> None:
    with Session(database, {projection.name: projection for projection in PROJECTIONS}) as session:
        session.catch_up()
    with Sequencing(database, Pace()) as sequencing:
        sequencing.catch_up()


def run(command: str, known: dict[str, str]) -> str:
    """Its output. `NAME=$(...)` remembers the output of what is inside for the commands that follow."""
    assigned = re.fullmatch(r"(\w+)=\$\((.*)\)", command)
    if assigned:
        known[assigned[1]] = run(assigned[2], known).strip()
        return ""
    words = shlex.split(re.sub(r"\$(\w+)", lambda match: known[match[1]], command))
    assert words[0] == "proteus"
    result = CliRunner().invoke(main, words[1:])
    assert result.exception is None or isinstance(result.exception, SystemExit), (command, result.exception)
    return result.output if result.exit_code else result.stdout


def differs(written: str, actual: str) -> bool:
    return _VARIES.sub("#", written) != _VARIES.sub("#", actual)


def test_every_command_does_what_the_guide_shows(days_later: Meanwhile) -> None:
    known: dict[str, str] = {}

    def done(block: re.Match[str]) -> str:
        lines: list[str] = []
        for part in re.split(r"^\$ ", block[1], flags=re.MULTILINE)[1:]:
            command, _, written = part.partition("\n")
            if command.startswith("proteus audit consistency"):
                days_later()
            actual = run(command, known)
            if not os.environ.get("PROTEUS_REWRITE_EXAMPLES"):
                assert not differs(written, actual), f"{command}\nin the guide:\n{written}\nin truth:\n{actual}"
            lines.append(f"$ {command}\n{actual if differs(written, actual) else written}")
        return "```console\n" + "".join(lines) + "```"

    text = GUIDE.read_text(encoding="utf-8")
    shown = _BLOCK.sub(done, text)
    if os.environ.get("PROTEUS_REWRITE_EXAMPLES"):
        GUIDE.write_text(shown, encoding="utf-8")
    assert len(_BLOCK.findall(text)) >= 10


def test_every_query_of_the_guide_is_one() -> None:
    schema = build_schema((ROOT / "api" / "schema.graphql").read_text(encoding="utf-8"))
    queries = _GRAPHQL.findall(GUIDE.read_text(encoding="utf-8"))
    assert len(queries) >= 6
    for query in queries:
        assert validate(schema, parse(query)) == []
