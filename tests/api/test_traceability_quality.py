"""Gaps and figures, of the story that `trace` tells."""

from typing import Any

from api.ids import Kind, decode
from api.traceability_cli import scan_clone
from application.workspaces import Workspace, operator
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.test_traceability_trace import Story
from tests.api.test_traceability_trace import story as story

GAPS = """query($r: ID!, $gap: ChangeGap!, $first: Int, $after: String) {
  changeGaps(repository: $r, gap: $gap, first: $first, after: $after) {
    totalCount nodes { name title } pageInfo { hasNextPage endCursor } } }"""
DELIVERY = """query($r: ID!) { delivery(repository: $r) {
  month commits traced deployments failedDeployments leadSeconds restoreSeconds } }"""


def lacking(story: Story, gap: str) -> list[str]:
    found = story.agent.ask(GAPS, r=story.shop, gap=gap)
    assert found["totalCount"] == len(found["nodes"])
    return [one["name"] for one in found["nodes"]]


def test_commits_without_a_ticket_a_release_or_a_review(
    story: Story, server: Server, acme: Workspace, admin: Client
) -> None:
    assert lacking(story, "NO_TICKET") == [story.start, story.beside]
    assert lacking(story, "NO_RELEASE") == []
    assert lacking(story, "NO_REVIEW") == [story.start, story.fix, story.beside]
    approved = {"repository": story.shop, "number": 19, "verdict": "APPROVED"}
    admin.command("recordReview", "", **approved)
    link = {"repository": story.shop, "ticket": story.task["id"], "change": story.start}
    admin.command("addChangeLink", "", **link)
    later = story.work.commit("Later")
    repository = decode(story.shop, Kind.REPOSITORY)
    scan_clone(server.database, server.store, operator(acme.id), repository, story.work.path)
    assert lacking(story, "NO_TICKET") == [story.beside, later]
    assert lacking(story, "NO_RELEASE") == [later]
    assert lacking(story, "NO_REVIEW") == [story.start, story.beside]
    rejected = {"repository": story.shop, "ticket": story.task["id"], "change": story.fix}
    done = admin.command("rejectChangeLink", "", **rejected)
    admin.wait_for(int(done["position"]))
    assert lacking(story, "NO_TICKET") == [story.fix, story.beside, later]


def test_gaps_are_paged(story: Story) -> None:
    first = story.agent.ask(GAPS, r=story.shop, gap="NO_TICKET", first=1)
    assert ([one["title"] for one in first["nodes"]], first["pageInfo"]["hasNextPage"]) == (["Beginning"], True)
    rest = story.agent.ask(GAPS, r=story.shop, gap="NO_TICKET", first=1, after=first["pageInfo"]["endCursor"])
    assert ([one["title"] for one in rest["nodes"]], rest["pageInfo"]["hasNextPage"]) == (["Beside it"], False)


def test_delivery_is_told_by_the_month(story: Story, admin: Client, claire: Client) -> None:
    def deploy(number: str, outcome: str, at: str) -> Any:
        return admin.command(
            "recordDeployment",
            "",
            repository=story.shop,
            number=number,
            environment="production",
            commit=story.beside,
            outcome=outcome,
            at=at,
        )

    deploy("2", "FAILED", "2026-01-02T10:00:00Z")
    done = deploy("3", "SUCCEEDED", "2026-01-02T12:00:00Z")
    admin.wait_for(int(done["position"]))
    months = story.agent.ask(DELIVERY, r=story.shop)
    january = next(one for one in months if one["month"] == "2026-01")
    assert (january["commits"], january["traced"]) == (3, 1)
    assert (january["deployments"], january["failedDeployments"]) == (2, 1)
    assert january["restoreSeconds"] == 2 * 3600
    # Written at 9:01, 9:02 and 9:04 on 1 January, and running the day after at noon: the median is the second.
    assert january["leadSeconds"] == 26 * 3600 + 58 * 60
    assert sum(one["deployments"] for one in months) == 3
    assert claire.codes(DELIVERY, r=story.shop) == ["FORBIDDEN"]
    assert claire.codes(GAPS, r=story.shop, gap="NO_TICKET") == ["FORBIDDEN"]
