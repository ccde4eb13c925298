"""What an auditor asks of the past: differences, holders, decisions, flow; and the history as a person reads it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from api.command_line import main
from api.runtime import HOME_VARIABLE
from application.event_store.database import DATABASE_VARIABLE, Database, Role
from domain.access import Scope
from domain.tickets import AddComment, AssignTicket, SetPriority, TransitionTicket
from domain.tickets import Priority as Urgency
from projections.engine import Session
from projections.registry import PROJECTIONS
from tests.api.asking import Client
from tests.api.test_command_line import sentence
from tests.application.recording import Company

Run = Callable[..., Result]

# ---- over GraphQL


def applied(document: Any, patch: list[dict[str, Any]]) -> Any:
    """RFC 6902, as far as it is used."""
    for one in patch:
        keys = [key.replace("~1", "/").replace("~0", "~") for key in one["path"].split("/")[1:]]
        if not keys:
            document = one["value"]
            continue
        place = document
        for key in keys[:-1]:
            place = place[key]
        if one["op"] == "remove":
            del place[keys[-1]]
        else:
            assert one["op"] == "add" or keys[-1] in place
            place[keys[-1]] = one["value"]
    return document


DIFF = """
query($ticket: ID!, $from: AsOf!, $to: AsOf) {
  diff(ticket: $ticket, from: $from, to: $to) { patch events { nodes { position type } totalCount } }
}
"""


def test_a_diff_is_a_json_patch_and_the_events_that_made_it(admin: Client) -> None:
    ticket = admin.open("Broken printer", tags=["one"])
    steps = [ticket["position"]]
    for mutation, more in (
        ("setPriority", {"priority": "HIGH", "reason": "It is the boss"}),
        ("assignTicket", {"assignee": admin.person}),
        ("addComment", {"body": "On it"}),
    ):
        steps.append(admin.done(mutation, ticket=ticket["id"], **more)["position"])

    def diff(since: dict[str, Any], until: dict[str, Any] | None = None) -> Any:
        return admin.ask(DIFF, ticket=ticket["id"], **{"from": since, "to": until})

    told = diff({"position": steps[0]})
    assert told["patch"] == [
        {"op": "replace", "path": "/assignee", "value": admin.person},
        {"op": "replace", "path": "/priority", "value": "HIGH"},
    ]
    assert [event["type"] for event in told["events"]["nodes"]] == ["PriorityChanged", "TicketAssigned", "CommentAdded"]
    assert told["events"]["totalCount"] == 3
    opened = diff({"position": "0"}, {"position": steps[0]})
    assert [event["type"] for event in opened["events"]["nodes"]] == ["TicketOpened"]
    [whole] = opened["patch"]
    assert (whole["op"], whole["path"]) == ("replace", "")
    assert whole["value"]["title"] == "Broken printer"
    # Patches in a row give what one patch over all of them gives.
    states = [None]
    for since, until in zip(["0", *steps], steps, strict=False):
        states.append(applied(states[-1], diff({"position": since}, {"position": until})["patch"]))
    assert states[-1] == applied(None, diff({"position": "0"})["patch"])
    assert diff({"position": steps[-1]}) == {"patch": [], "events": {"nodes": [], "totalCount": 0}}


def test_a_diff_that_cannot_be(admin: Client, agent: Client, claire: Client) -> None:
    ticket = admin.open()
    backwards = {"from": {"position": "99999999"}, "to": {"position": "1"}}
    assert admin.codes(DIFF, ticket=ticket["id"], **backwards) == ["BAD_USER_INPUT"]
    assert admin.codes(DIFF, ticket="nonsense", **{"from": {"position": "1"}}) == ["BAD_USER_INPUT"]
    assert claire.ask(DIFF, ticket=ticket["id"], **{"from": {"position": "0"}}) is None, "it is not hers"


def test_a_requester_s_diff_does_not_say_of_what_the_ticket_is_a_part(admin: Client, claire: Client) -> None:
    parent = admin.open("Parent", role="PROJECT")
    ticket = admin.open(requester=claire.person, parent=parent["id"])
    told = claire.ask(DIFF, ticket=ticket["id"], **{"from": {"position": "0"}})
    assert "parent" not in told["patch"][0]["value"]
    assert "parent" in admin.ask(DIFF, ticket=ticket["id"], **{"from": {"position": "0"}})["patch"][0]["value"]


def test_holders_decisions_and_flow_are_asked_in_one_request(admin: Client) -> None:
    ticket = admin.open(role="TASK", assignee=admin.person)
    admin.done("setPriority", ticket=ticket["id"], priority="CRITICAL", reason="It burns")
    last = admin.done("transitionTicket", ticket=ticket["id"], status="in_progress")
    opened = admin.ask("query($id: ID) { ticket(id: $id) { openedAt } }", id=ticket["id"])["openedAt"]
    told = admin.ask(
        """
        query($ticket: ID!, $person: ID!, $at: DateTime!) {
          holder(ticket: $ticket, at: $at) {
            person { name } from to seconds ticket { key } received { type actor { name } } handedOn { type }
          }
          holdings(person: $person, from: $at) { totalCount nodes { ticket { key } person { id } } }
          decisions(filter: {actor: $person, kind: [PRIORITY_CHANGE], channel: "api"}) {
            totalCount nodes { type reason actor { name } changes { path to } }
          }
          cumulativeFlow(process: "task", from: $at, step: HOUR) { at counts { status { key category } count } }
        }
        """,
        ticket=ticket["id"],
        person=admin.person,
        at=opened,
    )
    assert told["holder"]["person"] == {"name": "Admin"}
    assert (told["holder"]["from"], told["holder"]["to"], told["holder"]["handedOn"]) == (opened, None, None)
    assert told["holder"]["received"] == {"type": "TicketOpened", "actor": {"name": "Admin"}}
    assert told["holdings"] == {
        "totalCount": 1, "nodes": [{"ticket": {"key": ticket["key"]}, "person": {"id": admin.person}}],
    }  # fmt: skip
    assert told["decisions"]["totalCount"] == 1
    assert told["decisions"]["nodes"][0]["reason"] == "It burns"
    assert told["cumulativeFlow"][0]["counts"] == [{"status": {"key": "todo", "category": "NEW"}, "count": 1}]
    assert last["status"]["key"] == "in_progress"


def test_questions_that_make_no_sense_are_refused(admin: Client) -> None:
    ticket = admin.open()
    assert admin.codes(
        'query($t: ID!) { holder(ticket: $t, at: "2999-01-01T00:00:00Z") { from } }', t=ticket["id"]
    ) == ["BAD_USER_INPUT"]
    flow = 'query { cumulativeFlow(process: "%s", from: "%s", step: HOUR) { at } }'
    assert admin.codes(flow % ("task", "2020-01-01T00:00:00Z")) == ["BAD_USER_INPUT"]
    assert admin.codes('{ holdings(person: "x", from: "2026-01-01T00:00:00Z") { totalCount } }') == ["BAD_USER_INPUT"]
    assert admin.codes("{ decisions(first: 101) { totalCount nodes { type } } }") == ["BAD_USER_INPUT"]


# ---- at the command line


@pytest.fixture
def run(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv(DATABASE_VARIABLE, database.url)
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    return lambda *arguments, **more: CliRunner().invoke(main, ["audit", "replay", *arguments], **more)


def project(database: Database) -> None:
    with Session(database, {projection.name: projection for projection in PROJECTIONS}) as session:
        session.catch_up()


@pytest.fixture
def history(database: Database, company: Company) -> list[str]:
    bob = company.person("Боб Иванов")
    ticket = company.ticket("Сайт не открывается", requester=bob)
    company.give(SetPriority(ticket=ticket, priority=Urgency.CRITICAL), reason="Клиент теряет деньги")
    company.give(AssignTicket(ticket=ticket, assignee=bob), company.actor(company.manager.person, Scope.MANAGER))
    company.give(AddComment(ticket=ticket, body="Смотрю"))
    company.give(TransitionTicket(ticket=ticket, status="in_progress"))
    project(database)
    return ["Ticket opened", "Priority changed", "Ticket assigned", "Comment added", "Status changed"]


def test_a_history_is_read_as_it_happened(run: Run, history: list[str]) -> None:
    told = run("T-1").output
    places = [told.index(words) for words in history]
    assert places == sorted(places)
    assert "by Мария Петрова (api)" in told
    assert "why          Клиент теряет деньги" in told
    assert "priority     NORMAL -> CRITICAL" in told
    assert "assignee     Боб Иванов" in told
    assert "Сайт не открывается" in told


def test_a_history_is_written_for_machines(run: Run, history: list[str]) -> None:
    lines = [json.loads(line) for line in run("t-1", "--json").output.splitlines()]
    assert [line["version"] for line in lines] == [1, 2, 3, 4, 5]
    assert lines[1]["reason"] == "Клиент теряет деньги"
    assert lines[1]["actor"]["name"] == "Мария Петрова"
    assert lines[1]["changes"] == [{"path": "priority", "from": "NORMAL", "to": "CRITICAL"}]


def test_a_history_is_read_as_far_as_it_had_come(run: Run, history: list[str], company: Company) -> None:
    lines = [json.loads(line) for line in run("T-1", "--json").output.splitlines()]
    told = run("T-1", "--at", lines[2]["occurredAt"]).output
    assert "Ticket assigned" in told
    assert "Comment added" not in told
    assert "was not opened yet" in sentence(run("T-1", "--at", "2001-01-01T00:00:00Z"))
    assert "in the future" in sentence(run("T-1", "--at", "2999-01-01T00:00:00+03:00"))
    assert "RFC 3339" in sentence(run("T-1", "--at", "yesterday"))
    assert "There is no ticket T-9 in acme." in sentence(run("T-9"))
    assert "goes with neither" in sentence(run("T-1", "--follow", "--step"))
    assert "for machines" in sentence(run("T-1", "--json", "--step"))


def test_a_history_is_followed(
    run: Run, history: list[str], company: Company, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = iter(["Ещё смотрю", "Нашёл"])

    async def meanwhile(_: float) -> None:
        said = next(turns, None)
        if said is None:
            raise KeyboardInterrupt
        with database.connect(Role.PROJECTOR) as connection:
            [(ticket,)] = connection.execute("select id from ticket").fetchall()
        company.give(AddComment(ticket=ticket, body=said))
        project(database)

    monkeypatch.setattr("api.replaying.sleep", meanwhile)  # of this module alone: a server runs beside
    result = run("T-1", "--follow")
    assert result.exit_code == 0
    assert result.output.count("Comment added") == 3
    assert result.output.index("Ещё смотрю") < result.output.index("Нашёл")
    assert result.output.count("Ticket opened") == 1


def test_a_history_is_stepped_through(run: Run, history: list[str]) -> None:
    told = run("T-1", "--step", input="\r\rb\rq").output
    assert [line.strip().split(".")[0] for line in told.splitlines() if " of 5." in line] == [
        "1 of 5", "2 of 5", "3 of 5", "2 of 5", "3 of 5",
    ]  # fmt: skip
    assert "= T-1 Сайт не открывается: INCIDENT, new (NEW), CRITICAL, held by nobody" in told
    assert "held by Боб Иванов" in told
