"""The ends of the chain: hours, statements, ratings, contracts and artifacts; release notes; all as of a moment."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from api.ids import Kind, decode
from api.traceability_cli import scan_clone
from application.handling import Context
from application.traceability.lines import count_lines
from application.traceability.scanning import Recording
from application.workspaces import Workspace, operator
from projections import billing, traceability_costs
from tests.api.asking import Client
from tests.api.conftest import Server
from tests.api.test_billing import bound, log
from tests.api.test_contracts import HOURLY
from tests.api.test_traceability_trace import Story
from tests.api.test_traceability_trace import story as story

TRACE = """query($of: TraceInput!, $at: AsOf, $p: Position) { trace(of: $of, asOf: $at, minPosition: $p) {
  cut tickets { key service { key } } requests { key }
  environments { environment firstAt allAt lastAt repository { key } }
  nodes { change { name } ticket { key } release { tag } contract { name client }
    artifact { digest name commit builder signatures repository { key } }
    work { entries seconds people } statement { number since until lines seconds billed amount currency }
    rating { score comment ratedBy { name } } }
  steps { via confidence evidence from { ...Named } to { ...Named } } } }
fragment Named on TraceNode { change { name } ticket { key } release { tag } contract { name } artifact { digest }
  work { seconds } statement { number amount } rating { score } }"""
NOTES = """query($r: ID!, $tag: String!, $p: Position) { releaseNotes(repository: $r, tag: $tag, minPosition: $p) {
  release { tag } sections { role { key } service { key } tickets { key } }
  fulfilled { key } partly { key } promised { key } missing { key } cut } }"""


def ends(trace: Any, via: str) -> list[tuple[Any, Any, str]]:
    """Of the steps that go this way: the two things, and the evidence."""

    def only(node: Any) -> Any:
        [found] = [one for one in node.values() if one is not None]
        return next(iter(found.values()))

    return [(only(one["from"]), only(one["to"]), one["evidence"]) for one in trace["steps"] if one["via"] == via]


class Billed:
    """A ticket under a contract, for which a commit of the story was made: two hours, charged, done and rated."""

    def __init__(self, story: Story, admin: Client, claire: Client) -> None:
        self.contract, self.ticket = bound(admin, {**HOURLY, "rounding": {"unit": 1}, "calendar": {"timeZone": "UTC"}})
        log(admin, self.ticket, "2026-01-05T09:00:00Z", 1.5)
        log(admin, self.ticket, "2026-01-06T09:00:00Z", 0.5)
        closed = admin.command("closePeriod", "", contract=self.contract, until="2026-01-31")
        self.before = closed["position"]
        log(admin, self.ticket, "2026-02-03T09:00:00Z", 1)
        of = {"repository": story.shop, "ticket": self.ticket["id"], "change": story.beside}
        linked = admin.done("addChangeLink", "ticket { changes { totalCount } }", **of)
        assert linked["changes"]["totalCount"] == 1
        self.linked = admin.command("setRequester", "", ticket=self.ticket["id"], requester=claire.person)["position"]
        admin.done("transitionTicket", ticket=self.ticket["id"], status="done")
        rated = claire.command("rateTicket", "", ticket=self.ticket["id"], score=2, comment="Долго")
        admin.wait_for(int(rated["position"]))


def test_from_a_commit_to_hours_statements_and_the_rating(story: Story, admin: Client, claire: Client) -> None:
    billed = Billed(story, admin, claire)
    key = billed.ticket["key"]
    trace = admin.ask(TRACE, of={"commit": {"sha": story.beside}})
    assert ends(trace, "PERSON") == [(story.beside, key, "said by a person")]
    assert ends(trace, "WORK") == [(key, 3 * 3600, "3 entries by 1 people, 2026-01-05 to 2026-02-03")]
    assert ends(trace, "CONTRACT") == [(3 * 3600, "Поддержка", "its hours count under it")]
    stated = [one["statement"] for one in trace["nodes"] if one["statement"]]
    assert [(one["number"], one["lines"], one["billed"], one["amount"], one["currency"]) for one in stated] == [
        (1, 2, 7200, "199.00", "EUR"),
        (None, 1, 3600, "99.50", "EUR"),
    ]
    assert (stated[0]["since"], stated[0]["until"]) == ("2026-01-01", "2026-01-31")
    assert [evidence for _, _, evidence in ends(trace, "STATEMENT")] == [
        "2 lines of it, statement 1",
        "1 lines of it, not closed yet",
    ]
    [rating] = [one["rating"] for one in trace["nodes"] if one["rating"]]
    assert rating == {"score": 2, "comment": "Долго", "ratedBy": {"name": "Claire"}}
    assert ends(trace, "RATING") == [(key, 2, "rated 2 of 5")]
    # And from the contract: what was changed under it, by which tickets.
    of_contract = admin.ask(TRACE, of={"contract": billed.contract})
    assert ends(of_contract, "PERSON") == [(key, story.beside, "said by a person")]
    assert {evidence for source, target, evidence in ends(of_contract, "CONTRACT") if target == key} == {
        "bound to it",
        "work counts under it",
    }
    assert claire.codes(TRACE, of={"contract": billed.contract}) == ["FORBIDDEN"]


def test_work_that_was_told_of_late_stands_in_the_statement_that_corrects(
    story: Story, admin: Client, claire: Client
) -> None:
    billed = Billed(story, admin, claire)
    admin.command("closePeriod", "", contract=billed.contract, until="2026-02-28")
    late = log(admin, billed.ticket, "2026-01-07T09:00:00Z", 2)

    def stated(position: str) -> list[tuple[Any, ...]]:
        nodes = admin.ask(TRACE, of={"ticket": billed.ticket["id"]}, p=position)["nodes"]
        found = [one["statement"] for one in nodes if one["statement"]]
        return [(one["number"], one["lines"], one["seconds"], one["amount"]) for one in found]

    before = [(1, 2, 7200, "199.00"), (2, 1, 3600, "99.50")]
    assert stated(late["position"]) == [*before, (None, 1, 7200, "199.00")]
    closed = admin.command("closePeriod", "", contract=billed.contract, until="2026-03-31")
    assert stated(closed["position"]) == [*before, (3, 1, 7200, "199.00")]


def test_each_statement_is_worked_out_once_and_what_is_left_out_is_told(
    story: Story, admin: Client, claire: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    billed = Billed(story, admin, claire)
    part = admin.open("Часть", parent=billed.ticket["id"], occurredAt="2026-01-02T00:00:00Z")
    bind = {"ticket": part["id"], "contract": billed.contract, "occurredAt": "2026-01-02T00:00:00Z"}
    admin.command("bindContract", "", **bind)
    last = log(admin, part, "2026-02-04T09:00:00Z", 1)
    drawn: list[Any] = []
    draw = billing.drawn

    async def counted(*asked: Any) -> Any:
        drawn.append(asked[2:4])
        return await draw(*asked)

    monkeypatch.setattr(billing, "drawn", counted)

    def trace() -> tuple[bool, int, int]:
        drawn.clear()
        found = admin.ask(TRACE, of={"ticket": billed.ticket["id"]}, p=last["position"])
        return found["cut"], len(ends(found, "WORK")), len(ends(found, "STATEMENT"))

    assert (trace(), len(drawn)) == ((False, 2, 3), 2)
    monkeypatch.setattr(traceability_costs, "WORK_LIMIT", 2)
    assert trace() == (False, 2, 3)
    monkeypatch.setattr(traceability_costs, "WORK_LIMIT", 1)
    assert trace() == (True, 1, 2)
    monkeypatch.setattr(traceability_costs, "STATEMENTS_LIMIT", 1)
    assert trace() == (True, 1, 1)
    # Notes of a release are of tickets: nothing is worked out for them.
    drawn.clear()
    admin.ask(NOTES, r=story.shop, tag="v1")
    assert drawn == []


def test_a_trace_is_as_of_any_moment(story: Story, admin: Client, claire: Client) -> None:
    billed = Billed(story, admin, claire)
    of = {"commit": {"sha": story.beside}}

    def ways(**at: Any) -> set[str]:
        return {one["via"] for one in admin.ask(TRACE, of=of, at=at)["steps"]}

    assert ways(position=billed.linked) == {"PERSON", "RELEASE", "WORK", "CONTRACT", "STATEMENT"}
    assert ways(position=billed.before) == {"RELEASE"}  # linked later
    then = admin.ask(TRACE, of={"contract": billed.contract}, at={"occurredAt": "2026-01-05T23:00:00Z"})
    assert [one["work"]["seconds"] for one in then["nodes"] if one["work"]] == [5400]
    early = {"occurredAt": "2026-01-01T09:02:30Z"}  # after the fix, before it was merged
    trace = admin.ask(TRACE, of={"commit": {"sha": story.fix}}, at=early)
    assert ends(trace, "RELEASE") == []
    assert ends(admin.ask(TRACE, of={"commit": {"sha": story.fix}}), "RELEASE")


def statement(version: str, commit: str, *digests: str) -> str:
    """As builders write it."""
    subject = [{"name": f"shop-{n}.tar.gz", "digest": {"sha256": digest}} for n, digest in enumerate(digests)]
    source = "git+https://github.com/acme/shop@refs/heads/main"
    if version == "v1":
        predicate: dict[str, Any] = {
            "buildDefinition": {
                "buildType": "https://actions.github.io/buildtypes/workflow/v1",
                "externalParameters": {},
                "resolvedDependencies": [
                    {"uri": source, "digest": {"gitCommit": commit}},
                    {"uri": "git+https://github.com/other/tool", "digest": {"gitCommit": "f" * 40}},
                ],
            },
            "runDetails": {
                "builder": {"id": "https://github.com/actions/runner"},
                "metadata": {"invocationId": "1", "finishedOn": "2026-03-01T10:00:00Z"},
            },
        }
    else:
        predicate = {
            "builder": {"id": "builder"},
            "buildType": "make",
            "invocation": {"configSource": {"uri": source, "digest": {"sha1": commit}, "entryPoint": "make"}},
            "metadata": {"buildFinishedOn": "2026-03-02T10:00:00Z"},
            "materials": [{"uri": source, "digest": {"sha1": commit}}],
        }
    kind = "v1" if version == "v1" else "v0.1"
    said = {
        "_type": f"https://in-toto.io/Statement/{kind}",
        "subject": subject,
        "predicateType": f"https://slsa.dev/provenance/{version}",
        "predicate": predicate,
    }
    return json.dumps(said)


def enveloped(said: str) -> str:
    payload = base64.b64encode(said.encode()).decode()
    signatures = [{"keyid": "1", "sig": "MEUCIQ=="}]
    return json.dumps({"payloadType": "application/vnd.in-toto+json", "payload": payload, "signatures": signatures})


def test_a_digest_leads_to_its_commit_and_who_asked_first(story: Story, admin: Client, agent: Client) -> None:
    first, second = "a" * 64, "b" * 64
    address = {"key": "shop", "name": "Shop", "provider": "GITHUB", "url": "https://github.com/acme/shop"}
    admin.done("defineRepository", "repository { id }", **address)
    show = "artifacts { digest name builder signatures } "
    attach = {"repository": story.shop, "provenance": enveloped(statement("v1", story.fix, first, second))}
    built = admin.command("attachProvenance", show, **attach)
    assert built["userErrors"] == []
    assert [(one["digest"], one["signatures"]) for one in built["artifacts"]] == [
        (f"sha256:{first}", 1),
        (f"sha256:{second}", 1),
    ]
    trace = agent.ask(TRACE, of={"artifact": f"sha256:{first}"}, p=built["position"])
    evidence = "provenance by https://github.com/actions/runner, 1 signatures, not verified here"
    assert ends(trace, "ARTIFACT") == [(f"sha256:{first}", story.fix, evidence)]
    assert [one["key"] for one in trace["requests"]] == [story.asked["key"]]
    # The ticket shows what was built; sent again, nothing changes; the older form is read, too.
    of_ticket = agent.ask(TRACE, of={"ticket": story.asked["id"]})
    assert {source for source, _, _ in ends(of_ticket, "ARTIFACT")} == {f"sha256:{first}", f"sha256:{second}"}
    again = admin.command("attachProvenance", show, **attach)
    assert again["position"] == built["position"]
    plain = statement("v0.2", story.beside, "C" * 64)
    older = admin.command("attachProvenance", show, repository=story.shop, provenance=plain)
    assert [one["builder"] for one in older["artifacts"]] == ["builder"]
    assert agent.ask(TRACE, of={"artifact": "c" * 64}, p=older["position"])["steps"] != []
    assert agent.ask(TRACE, of={"artifact": "d" * 64})["nodes"] == []
    assert agent.codes(TRACE, of={"artifact": "short"}) == ["BAD_USER_INPUT"]
    assert agent.refused("attachProvenance", **attach) == ("FORBIDDEN", None)


@pytest.mark.parametrize(
    "said",
    [
        "no json",
        "{}",
        json.dumps({"payloadType": "text/plain", "payload": "e30=", "signatures": []}),
        json.dumps({"payloadType": "application/vnd.in-toto+json", "payload": "%", "signatures": []}),
        statement("v1", "f" * 40),  # of nothing
        statement("v1", "short", "a" * 64),
        statement("v1", "f" * 40, "short"),
        statement("v1", "1" * 40, "a" * 64).replace("acme/shop", "acme/else"),  # two sources, and none is ours
        statement("v1", "f" * 40, "a" * 64).replace("2026-03-01T10:00:00Z", "yesterday"),
        " " * 500_001,
    ],
)
def test_what_is_no_provenance_is_refused(admin: Client, said: str) -> None:
    shop = admin.done("defineRepository", "repository { id }", key="shop", name="Shop")["id"]
    assert admin.refused("attachProvenance", repository=shop, provenance=said) == ("INVALID_VALUE", ["provenance"])


def test_release_notes_tell_what_is_fulfilled_and_what_is_missing(
    story: Story, server: Server, acme: Workspace, admin: Client, agent: Client
) -> None:
    task, asked = story.task, story.asked
    later = agent.open("Обещано", "BUG")
    docs = agent.open("Руководство", "TASK")
    promised = {"repository": story.shop, "tag": "v1", "tickets": [later["id"], docs["id"], asked["id"]]}
    assert agent.command("promiseTickets", "repository { key }", **promised)["repository"] == {"key": "shop"}
    assert agent.refused("promiseTickets", **{**promised, "tickets": [story.shop]}) == ("TICKET_NOT_FOUND", ["tickets"])
    done = admin.command("transitionTicket", "", ticket=docs["id"], status="done")
    notes = agent.ask(NOTES, r=story.shop, tag="v1", p=done["position"])
    [section] = notes["sections"]
    assert (section["role"], section["service"], section["tickets"]) == ({"key": "TASK"}, None, [{"key": task["key"]}])
    assert (notes["release"], notes["cut"]) == ({"tag": "v1"}, False)
    assert {one["key"] for one in notes["promised"]} == {later["key"], docs["key"], asked["key"]}
    # The part of the request is not done yet; the guide needed no code, and is done.
    assert ([one["key"] for one in notes["partly"]], notes["fulfilled"]) == ([asked["key"]], [])
    assert {one["key"] for one in notes["missing"]} == {later["key"], asked["key"]}
    done = admin.command("transitionTicket", "", ticket=task["id"], status="done")
    notes = agent.ask(NOTES, r=story.shop, tag="v1", p=done["position"])
    assert ([one["key"] for one in notes["fulfilled"]], notes["partly"]) == ([asked["key"]], [])
    assert [one["key"] for one in notes["missing"]] == [later["key"]]
    # More is done for it, and not released: so it is not wholly in v1. Nor is what was promised for v2 at all.
    story.work.commit(f"More\n\nTicket: {task['key']}")
    scan_clone(server.database, server.store, operator(acme.id), decode(story.shop, Kind.REPOSITORY), story.work.path)
    agent.command("promiseTickets", "", repository=story.shop, tag="v2", tickets=[later["id"]])
    gone = agent.command("withdrawPromise", "", repository=story.shop, tag="v1", tickets=[later["id"]])
    notes = agent.ask(NOTES, r=story.shop, tag="v1", p=gone["position"])
    assert [one["key"] for one in (*notes["partly"], *notes["missing"])] == [asked["key"], asked["key"]]
    second = agent.ask(NOTES, r=story.shop, tag="v2", p=gone["position"])
    assert (second["release"], [one["key"] for one in second["missing"]]) == (None, [later["key"]])


def test_a_ticket_shows_where_it_runs_first_and_last(story: Story, admin: Client) -> None:
    def deploy(number: str, environment: str, commit: str, at: str, outcome: str = "SUCCEEDED") -> Any:
        of = {"repository": story.shop, "number": number, "environment": environment, "commit": commit}
        return admin.command("recordDeployment", "", **of, outcome=outcome, at=at)

    deploy("2", "test", story.fix, "2026-01-02T09:00:00Z")
    deploy("3", "test", story.start, "2026-01-01T09:00:00Z")
    deploy("4", "staging", story.beside, "2026-01-03T09:00:00Z", "FAILED")
    last = deploy("5", "test", story.beside, "2026-01-04T09:00:00Z")
    trace = admin.ask(TRACE, of={"ticket": story.asked["id"]}, p=last["position"])
    runs = {one["environment"]: one for one in trace["environments"]}
    assert set(runs) == {"production", "test"}
    assert (runs["test"]["firstAt"], runs["test"]["lastAt"]) == (
        "2026-01-02T09:00:00.000000Z",
        "2026-01-04T09:00:00.000000Z",
    )
    assert runs["test"]["allAt"] == "2026-01-02T09:00:00.000000Z"
    then = admin.ask(TRACE, of={"ticket": story.asked["id"]}, at={"occurredAt": "2026-01-03T00:00:00Z"})
    assert then["environments"] == []  # the ticket was not there yet


# ---- what a quality team asks

GAPS = """query($gap: TicketGap!, $month: String) { ticketGaps(gap: $gap, month: $month) {
  totalCount nodes { ticket { key } at seconds } } }"""
MONTHS = "{ ticketGapMonths { month done noChange workedSeconds secondsWithoutChange } }"
PAIRS = """query($f: QualityFilter, $n: Int, $after: String) { qualityTrace(filter: $f, first: $n, after: $after) {
  totalCount pageInfo { hasNextPage endCursor }
  nodes { request { key } ticket { key } change { name } confidence evidence rating { score } } } }"""


def test_tickets_that_are_done_or_worked_on_without_a_change(story: Story, admin: Client, agent: Client) -> None:
    admin.done("defineRole", "role { expectsChange }", key="BUG", name="Bug", workflow="task", expectsChange=True)
    bare, other = agent.open("Без кода", "BUG"), agent.open("Не ошибка", "TASK")
    fixed = agent.open("С кодом", "BUG")
    admin.command("addChangeLink", "", repository=story.shop, ticket=fixed["id"], change=story.beside)
    for ticket in (bare, other, fixed):
        agent.command("logWork", "", ticket=ticket["id"], startedAt="2026-02-01T09:00:00Z", seconds=600)
        last = admin.command("transitionTicket", "", ticket=ticket["id"], status="done")
    admin.wait_for(int(last["position"]))
    gap = agent.ask(GAPS, gap="NO_CHANGE")
    assert [one["ticket"]["key"] for one in gap["nodes"]] == [bare["key"]]
    assert gap["totalCount"] == 1
    hours = agent.ask(GAPS, gap="HOURS_WITHOUT_CHANGE", month="2026-02")
    assert [(one["ticket"]["key"], one["seconds"]) for one in hours["nodes"]] == [(bare["key"], 600)]
    assert agent.ask(GAPS, gap="HOURS_WITHOUT_CHANGE", month="2026-01")["totalCount"] == 0
    assert agent.codes(GAPS, gap="NO_CHANGE", month="February") == ["BAD_USER_INPUT"]
    months = agent.ask(MONTHS)
    assert {"month": "2026-02", "done": 0, "noChange": 0, "workedSeconds": 1200, "secondsWithoutChange": 600} in months
    assert sum(one["done"] for one in months) == 2
    assert sum(one["noChange"] for one in months) == 1


def test_gaps_by_the_month_and_the_share_of_lines_that_reach_a_request(
    story: Story, server: Server, acme: Workspace, agent: Client, claire: Client, tmp_path: Path
) -> None:
    months = agent.ask(
        "query($r: ID!) { gapMonths(repository: $r) { month commits noTicket noRelease noReview } }", r=story.shop
    )
    assert months == [{"month": "2026-01", "commits": 3, "noTicket": 2, "noRelease": 0, "noReview": 3}]
    gaps = "query($r: ID!, $m: String) { changeGaps(repository: $r, gap: NO_TICKET, month: $m) { totalCount } }"
    assert agent.ask(gaps, r=story.shop, m="2026-01")["totalCount"] == 2
    assert agent.ask(gaps, r=story.shop, m="2026-02")["totalCount"] == 0
    share = """query($r: ID!, $p: Position) { lineOrigins(repository: $r, minPosition: $p) {
      head files skipped lines traced share } }"""
    assert agent.ask(share, r=story.shop) is None
    (story.work.path / "картинка.png").write_bytes(b"\x89PNG\0\0")
    (story.work.path / "ссылка").symlink_to("code.txt")
    head = story.work.commit(
        f"Two lines, {story.task['key']}\n\nOnly the first line of a message is put there", "two.txt"
    )
    repository = decode(story.shop, Kind.REPOSITORY)
    actor = operator(acme.id)
    scan_clone(server.database, server.store, actor, repository, story.work.path)
    recording = Recording(server.store, Context(actor=actor), repository)
    kept = tmp_path / "kept" / "lines.json"
    told: list[tuple[int, int]] = []
    counted = count_lines(recording, story.work.path, kept, progress=lambda done, total: told.append((done, total)))
    assert (counted.lines, counted.files, counted.skipped, counted.left) == (6, 4, 1, 0)
    assert told[-1] == (4, 4)
    origins = agent.ask(share, r=story.shop, p=str(counted.position))
    assert origins == {"head": head, "files": 4, "skipped": 1, "lines": 6, "traced": 4, "share": 4 / 6}
    # Without time, what has not changed is known still; what has changed waits for the next run.
    story.work.commit("Another line", "two.txt")
    hurried = count_lines(recording, story.work.path, kept, seconds=0)
    assert (hurried.files, hurried.left) == (3, 1)
    assert count_lines(recording, story.work.path, kept).lines == 7
    assert claire.codes(share, r=story.shop) == ["FORBIDDEN"]


def test_pairs_of_requests_changes_and_ratings_are_paged(story: Story, admin: Client, claire: Client) -> None:
    billed = Billed(story, admin, claire)
    for ticket in (story.task, story.asked):
        admin.done("transitionTicket", ticket=ticket["id"], status="done")
    bare = admin.open("Вопрос", "INQUIRY")
    last = admin.command("transitionTicket", "", ticket=bare["id"], status="done")
    admin.wait_for(int(last["position"]))
    found: list[Any] = []
    after = None
    while True:
        page = admin.ask(PAIRS, n=2, after=after)
        found += page["nodes"]
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert page["totalCount"] == 3
    pairs = [
        (one["request"]["key"], one["change"] and one["change"]["name"], one["rating"] and one["rating"]["score"])
        for one in found
    ]
    asked = story.asked["key"]
    assert pairs[0] == (billed.ticket["key"], story.beside, 2)
    assert sorted(pairs[1:-1]) == sorted([(asked, story.fix, None), (asked, story.merge, None), (asked, "19", None)])
    assert pairs[-1] == (bare["key"], None, None)
    assert {one["ticket"]["key"] for one in found[1:-1]} == {story.task["key"]}

    def keys(**filter: Any) -> set[str]:
        return {one["request"]["key"] for one in admin.ask(PAIRS, f=filter)["nodes"]}

    assert keys(rated=True) == keys(mostScore=2) == {billed.ticket["key"]}
    assert keys(rated=False) == {asked, bare["key"]}
    assert keys(changed=False) == {bare["key"]}
    assert keys(leastScore=3) == keys(closedUntil="2026-01-01T00:00:00Z") == set()
    assert keys(role="INQUIRY", changed=True) == {asked}
    assert claire.codes(PAIRS) == ["FORBIDDEN"]
    assert admin.codes(PAIRS, after="x") == ["BAD_USER_INPUT"]


def test_no_pair_is_lost_between_pages(story: Story, admin: Client) -> None:
    """One change may be made for several parts of one request; and what was asked for is done by then, too."""
    second = admin.open("Вторая часть", "TASK", parent=story.asked["id"])
    link = {"repository": story.shop, "ticket": second["id"], "change": story.fix}
    admin.command("addChangeLink", "", **link)
    others = [admin.open(f"Вопрос {n}", "INQUIRY") for n in range(2)]
    for ticket in (story.task, second, story.asked, *others):
        done = admin.command("transitionTicket", "", ticket=ticket["id"], status="done")
        admin.wait_for(int(done["position"]))
    whole = admin.ask(PAIRS, n=50)["nodes"]
    assert [one["change"]["name"] for one in whole if one["change"]].count(story.fix) == 2
    paged: list[Any] = []
    after, more = None, True
    while more:
        page = admin.ask(PAIRS, n=1, after=after)
        paged += page["nodes"]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    assert paged == whole
