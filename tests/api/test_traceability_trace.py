"""`trace`, both ways: from a line, a commit, a merge request and a release to who asked first; from a ticket back."""

from pathlib import Path
from typing import Any

import pytest

from api.ids import Kind, decode
from api.traceability_cli import scan_clone
from application.traceability.clones import CLONES_VARIABLE
from application.workspaces import Workspace, create_workspace, operator
from domain.access import Scope
from projections import tickets
from projections.reading import View
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.gitting import Work

TRACE = """query($of: TraceInput!, $p: Position) { trace(of: $of, minPosition: $p) {
  cut
  tickets { key }
  requests { key requester { name } }
  nodes { change { kind name } ticket { key } release { tag environments repository { key } } }
  steps { via confidence evidence
    from { ...Named } to { ...Named } } } }
fragment Named on TraceNode { change { name } ticket { key } release { tag } }"""

FILE = "папка с пробелом/форма заказа.txt"


class Story:
    """Claire asks; a task of it is done in a merge request, and released."""

    def __init__(self, server: Server, acme: Workspace, clients: tuple[Client, ...], path: Path) -> None:
        admin, agent, claire = clients
        self.agent = agent
        self.asked = claire.open("Форма теряет вложения", "INQUIRY")
        self.task = agent.open("Починить форму", "TASK", parent=self.asked["id"])
        self.shop = admin.done("defineRepository", "repository { id }", key="shop", name="Shop", provider="GITHUB")[
            "id"
        ]
        self.work = work = Work(path / "shop")
        self.start = work.commit("Beginning")
        work.git("tag", "v0")
        work.branch("feature")
        self.fix = work.commit("Fix the form", FILE)
        self.merge = work.merge("feature", "Merge the fix")
        self.beside = work.commit("Beside it", "other.txt")
        work.git("tag", "-a", "v1", "-m", "Весна")
        of = {"repository": self.shop}
        key = self.task["key"]
        request = {"number": 19, "title": "Fix", "text": f"Closes {key}", "head": self.fix, "mergeCommit": self.merge}
        admin.command("recordMergeRequest", "", **of, **request, state="MERGED")
        deployed = {"number": "1", "environment": "production", "commit": self.beside}
        admin.command("recordDeployment", "", **of, **deployed)
        repository = decode(self.shop, Kind.REPOSITORY)
        _, linked = scan_clone(server.database, server.store, operator(acme.id), repository, work.path)
        self.position = str(linked.position)

    def trace(self, **of: Any) -> Any:
        return self.agent.ask(TRACE, of=of, p=self.position)


@pytest.fixture
def story(server: Server, acme: Workspace, admin: Client, agent: Client, claire: Client, tmp_path: Path) -> Story:
    return Story(server, acme, (admin, agent, claire), tmp_path)


def named(node: dict[str, Any]) -> str:
    """Whatever it is: its name."""
    [found] = [one for one in (node["change"], node["ticket"], node["release"]) if one is not None]
    return str(found.get("name") or found.get("key") or found.get("tag"))


def steps(trace: dict[str, Any]) -> set[tuple[str, str, str, int]]:
    return {(named(one["from"]), named(one["to"]), one["via"], one["confidence"]) for one in trace["steps"]}


def test_a_commit_leads_to_who_asked_first(story: Story) -> None:
    trace = story.trace(commit={"sha": story.fix[:10]})
    task, asked = story.task["key"], story.asked["key"]
    assert steps(trace) == {
        (story.fix, "19", "MERGE", 100),
        (story.fix, task, "MERGE", 85),
        ("19", task, "REQUEST", 90),
        (task, asked, "PARENT", 100),
        (story.fix, "v1", "RELEASE", 100),
    }
    assert trace["requests"] == [{"key": asked, "requester": {"name": "Claire"}}]
    assert [one["key"] for one in trace["tickets"]] == [task, asked]
    [release] = [one["release"] for one in trace["nodes"] if one["release"]]
    assert release == {"tag": "v1", "environments": ["production"], "repository": {"key": "shop"}}
    [reason] = [one["evidence"] for one in trace["steps"] if one["via"] == "REQUEST"]
    assert reason == f"closing {task}"


def test_a_merge_request_has_its_commits(story: Story) -> None:
    trace = story.trace(request={"repository": story.shop, "number": 19})
    assert {named(one) for one in trace["nodes"] if one["change"]} == {"19", story.fix, story.merge}
    assert trace["requests"][0]["key"] == story.asked["key"]
    assert story.trace(request={"repository": story.shop, "number": 20})["nodes"] == []


def test_a_ticket_shows_what_was_changed_for_it_and_its_parts(story: Story) -> None:
    for ticket in (story.task, story.asked):
        trace = story.trace(ticket=ticket["id"])
        assert {named(one) for one in trace["nodes"]} == {
            *(story.task["key"], story.asked["key"]),
            *("19", story.fix, story.merge, "v1"),
        }
        assert (story.task["key"], story.fix, "MERGE", 85) in steps(trace)
    assert story.trace(ticket=story.agent.open()["id"])["steps"] == []


def test_a_release_shows_what_it_brought(story: Story) -> None:
    trace = story.trace(release={"repository": story.shop, "tag": "v1"})
    brought = {named(one["to"]) for one in trace["steps"] if one["via"] == "RELEASE"}
    assert brought == {story.fix, story.merge, story.beside}  # and not what v0 had
    assert [one["key"] for one in trace["requests"]] == [story.asked["key"]]
    assert trace["cut"] is False
    first = story.trace(release={"repository": story.shop, "tag": "v0"})
    assert {named(one["to"]) for one in first["steps"]} == {story.start}
    assert story.trace(release={"repository": story.shop, "tag": "v9"})["nodes"] == []


def test_a_line_leads_to_who_asked_first(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    line = {"repository": story.shop, "path": FILE, "line": 1}
    assert "has no clone of 'shop'" in story.agent.send(TRACE, of={"line": line})["errors"][0]["message"]
    monkeypatch.setenv(CLONES_VARIABLE, str(story.work.path.parent))
    assert story.trace(line=line)["requests"][0]["key"] == story.asked["key"]
    assert story.trace(line={**line, "revision": "v1"})["requests"][0]["key"] == story.asked["key"]

    def refused(**other: Any) -> str:
        answer = story.agent.send(TRACE, of={"line": {**line, **other}})
        [error] = answer["errors"]
        assert error["extensions"]["code"] == "BAD_USER_INPUT"
        return str(error["message"])

    assert "has only 1 line" in refused(line=2)
    assert "counted from 1" in refused(line=0)
    assert "no such path" in refused(path="nowhere.txt")
    assert "There is no revision" in refused(revision="v9")
    assert "There is no revision" in refused(revision="--help")
    assert "no such path" in refused(path="../../etc/passwd") or "outside" in refused(path="../../etc/passwd")


def test_what_is_no_question_is_said(story: Story, claire: Client) -> None:
    assert story.trace(commit={"sha": "f" * 40})["nodes"] == []
    for sha in ("abc", "x" * 40, "F" * 40):
        assert story.agent.codes(TRACE, of={"commit": {"sha": sha}}) == ["BAD_USER_INPUT"]
    assert story.agent.codes(TRACE, of={}) == ["BAD_USER_INPUT"]
    assert claire.codes(TRACE, of={"commit": {"sha": story.fix}}) == ["FORBIDDEN"]


def test_another_workspace_finds_nothing(story: Story, server: Server, token: Any) -> None:
    other = create_workspace(server.database, server.store, f"other{story.position}", "Other")
    stranger = token(other, Scope.ADMIN)
    assert stranger.ask(TRACE, of={"commit": {"sha": story.fix}})["nodes"] == []
    assert stranger.ask(TRACE, of={"ticket": story.task["id"]})["nodes"] == []


def test_tickets_of_many_messages_are_loaded_at_once(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    by_ids = tickets.by_ids

    async def noted(view: View, keys: Any, *rest: Any) -> Any:
        loads.append(len(keys))
        return await by_ids(view, keys, *rest)

    monkeypatch.setattr(tickets, "by_ids", noted)
    check = 'query($m: [String!]!) { checkMessages(repository: "shop", messages: $m) { tickets { key } } }'
    task, asked = story.task["key"], story.asked["key"]
    found = story.agent.ask(check, m=[f"Fix {task}", f"Ask {asked}", f"Fix {task}: {asked}, {task}"])
    assert [[one["key"] for one in message["tickets"]] for message in found] == [[task], [asked], [task, asked]]
    assert loads == [2]


def test_messages_are_checked_before_they_are_pushed(story: Story, claire: Client) -> None:
    check = 'query($m: [String!]!) { checkMessages(repository: "shop", messages: $m) { names tickets { key } } }'
    key = story.task["key"]
    assert story.agent.ask(check, m=[f"Fix {key}", "T-99999", "nothing"]) == [
        {"names": [key], "tickets": [{"key": key}]},
        {"names": ["T-99999"], "tickets": []},
        {"names": [], "tickets": []},
    ]
    assert story.agent.codes(check.replace("shop", "nowhere"), m=["x"]) == ["BAD_USER_INPUT"]
    assert story.agent.codes(check, m=["x"] * 501) == ["BAD_USER_INPUT"]
    assert claire.codes(check, m=["x"]) == ["FORBIDDEN"]
