"""A third real history: thirteen years of a library at GitHub, its tickets, its merge requests and its whole graph.

The answer to "which request brought this commit" comes from the graph and the merge records. The skeleton has
empty trees, and therefore other hashes; a table says which was which.
"""

import csv
import json
import lzma
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from api.traceability_linking import link
from application.embedded_postgres import EmbeddedPostgres
from application.handling import Context
from application.imports.importing import Summary, import_file
from application.imports.mapping import read_mapping
from application.imports.names import Known
from application.traceability.scanning import Recording, Scanned, scan
from domain.traceability.repositories import DefineRepository, Provider, Tracker
from domain.traceability.requests import RecordMergeRequest, RequestState
from projections import directory
from projections.traceability_links import requests_of_commits, stacked_requests
from projections.traceability_trace import of_commit
from tests.long.histories import DATA, ROOT, truth_of
from tests.projections.conftest import World, a_world

FOLDER = DATA / "secp256k1_github"
ISSUES, EVENTS = FOLDER / "issues.jsonl.xz", FOLDER / "events.jsonl.xz"


TAKEN = (
    *("closed", "reopened", "converted_to_discussion", "labeled", "unlabeled", "renamed", "assigned", "unassigned"),
    *("milestoned", "demilestoned", "subscribed", "unsubscribed", "commented", "line-commented"),
)
"""Events that say something of a ticket, as the mapping has it."""


def read(path: Path) -> list[dict[str, Any]]:
    with lzma.open(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


class History:
    """The world in which it was imported and scanned."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        with lzma.open(FOLDER / "skeleton_map.csv.xz", "rt", encoding="utf-8") as lines:
            self.skeleton = {row["original_sha"]: row["skeleton_sha"] for row in csv.DictReader(lines)}
        self.original = {skeleton: original for original, skeleton in self.skeleton.items()}
        self.clone = folder / "skeleton.git"
        source = str(FOLDER / "skeleton.bundle")
        subprocess.run(["git", "clone", "--quiet", "--bare", source, str(self.clone)], check=True)
        self.issues = read(ISSUES)
        self.events = read(EVENTS)
        self.rejected = folder / "events.rejects"
        self.imported = [self._import(ISSUES, "issues", folder), self._import(EVENTS, "events", folder)]
        began = min(issue["created_at"] for issue in self.issues)
        define = DefineRepository(
            key="secp256k1",
            name="secp256k1",
            provider=Provider.GITHUB,
            url="https://github.com/bitcoin-core/secp256k1",
            trackers=(Tracker(since=_time(began)),),
        )
        self.id = world.do(define, reason=None).stream
        self._record_requests()
        recording = Recording(world.store, Context(actor=world.admin), self.id)
        self.scanned: Scanned = scan(recording, self.clone)

        async def reach(_: int) -> None:
            world.project()

        world.run(link(world.view(), recording, reach, self.scanned.position, self.clone))

    def _import(self, path: Path, what: str, folder: Path) -> Summary:
        """The second file names people whom the first has added."""
        self.world.project()
        index = self.world.ask(directory.name_index)
        mapping = (ROOT / f"docs/mappings/secp256k1_github_{what}.toml").read_text(encoding="utf-8")
        return import_file(
            self.world.store,
            self.world.admin,
            path,
            read_mapping(mapping),
            known=Known(people=index.people, teams=index.teams, services=index.services),
            rejects_path=folder / f"{what}.rejects",
            progress=lambda stage, done, total: None,
        )

    def rejects(self) -> list[list[str]]:
        """Line, reason and cells of each row of the events that was not taken."""
        with self.rejected.open(encoding="utf-8", newline="") as lines:
            return list(csv.reader(lines))[1:]

    def _record_requests(self) -> None:
        """As GitHub tells them: who merged what by which commit is an event of the pull request."""
        merged = {event["number"]: event.get("commit_id") for event in self.events if event["event"] == "merged"}
        states = {"open": RequestState.OPEN, "closed": RequestState.CLOSED}
        for pull in self.issues:
            if pull["type"] != "pull":
                continue
            number = pull["number"]
            command = RecordMergeRequest(
                repository=self.id,
                number=number,
                title=pull["title"],
                text=pull["body"],
                target=pull["base_ref"],
                head=self._sha(pull["head_sha"]),
                state=RequestState.MERGED if number in merged else states[pull["state"]],
                merge_commit=self._sha(merged.get(number)),
                opened_at=_time(pull["created_at"]),
                at=_time(pull["merged_at"] or pull["closed_at"]),
            )
            self.world.do(command, reason=None)

    def _sha(self, original: str | None) -> str | None:
        """As the skeleton calls it; a commit that is not in its history keeps its name."""
        return None if original is None else self.skeleton.get(original, original)

    def ticket(self, number: int) -> UUID:
        [(id_,)] = self.world.rows(
            f"select ticket from span where external_key = '{number}' and closed_position is null"
        )
        return UUID(str(id_))


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@pytest.fixture(scope="module")
def truth() -> dict[str, Any]:
    return truth_of(ISSUES)


@pytest.fixture(scope="module")
def history(
    truth: dict[str, Any], postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[History]:
    with a_world(postgres) as world:
        yield History(world, tmp_path_factory.mktemp("secp256k1"))


def test_the_tickets_are_imported(history: History, truth: dict[str, Any]) -> None:
    issues, events = history.imported
    assert (issues.rows, issues.tickets_new, issues.rejected) == (truth["tickets"], truth["tickets"], 0)
    counts = Counter(truth["event_type_counts"])
    taken = {value: counts[value] for value in TAKEN}
    assert events.rows == sum(taken.values()) == 15_643
    assert events.passed_over == {value: count for value, count in counts.items() if value not in TAKEN}
    assert events.rows + events.passed_over.total() == len(history.events) == truth["events"]
    # Each is an event, changes nothing, or is rejected with the reason.
    reasons = Counter(row[1] for row in history.rejects())
    assert reasons == {"time '' is not as the mapping says": counts["line-commented"], "nothing to watch": 19}
    assert events.rejected == reasons.total()
    assert events.imported + events.unchanged + events.rejected == events.rows
    assert (events.duplicates, events.events["CommentAdded"]) == (0, counts["commented"])
    assert events.events["StatusChanged"] == truth["open_close_transitions"]
    states = dict(
        history.world.rows("select role || ':' || status, count(*) from span where closed_position is null group by 1")
    )
    final = truth["final_state_counts"]
    assert states == {
        "BUG:open": final["issue"]["open"],
        "BUG:closed": final["issue"]["closed"],
        "CHANGE_REQUEST:open": final["pull"]["open"],
        "CHANGE_REQUEST:closed": final["pull"]["closed"] + final["pull"]["merged"],
    }


def test_acts_leave_tickets_as_the_events_have_them(history: History) -> None:
    """Labels and milestones by a fold of the events themselves: in the snapshot, some were renamed for all tickets
    since, of which no event tells. Titles are the snapshot's."""
    labels: dict[int, set[str]] = defaultdict(set)
    milestones: dict[int, str | None] = {}
    for event in sorted(history.events, key=lambda one: (one["number"], one["created_at"] or "", one["seq"])):
        number, kind = event["number"], event["event"]
        if kind == "labeled":
            labels[number].add(event["label"])
        elif kind == "unlabeled":
            labels[number].discard(event["label"])
        elif kind in ("milestoned", "demilestoned"):
            milestones[number] = event["milestone"] if kind == "milestoned" else None
    rows = history.world.rows(
        "select external_key, title, tags, fields ->> 'milestone' from span where closed_position is null"
    )
    found = {int(key): (title, set(tags), milestone) for key, title, tags, milestone in rows}
    numbers = [issue["number"] for issue in history.issues]
    assert found == {
        number: (" ".join(issue["title"].split()), labels[number], milestones.get(number))
        for number, issue in zip(numbers, history.issues, strict=True)
    }
    renamed = [one["number"] for one in history.issues if set(one["labels"]) != labels[one["number"]]]
    assert len(renamed) == 117


def test_people_are_assigned_as_the_events_say(history: History, truth: dict[str, Any]) -> None:
    """One assignee each: where several were, who was assigned last."""
    counts, assigned = history.imported[1].events, truth["assignments"]
    assert (counts["TicketAssigned"], counts["TicketUnassigned"]) == (
        assigned["assigned_events"],
        assigned["unassigned_events"],
    )
    held = history.world.rows("select count(*) from span where closed_position is null and assignee is not null")
    assert held[0][0] == assigned["tickets_with_assignees_in_snapshot"]


def test_commits_trace_to_their_pull_requests(history: History, truth: dict[str, Any]) -> None:
    expected = truth["trace"]
    assert history.scanned.commits == expected["commits_on_main"]
    found = history.world.ask(requests_of_commits, history.id)
    assert len({sha for sha, _ in found}) == len(found) == expected["traced_commits"]
    assert len({number for _, number in found}) == expected["distinct_pulls_traced"]
    assert history.scanned.commits - len(found) == expected["untraced_commits"]


def test_merges_that_name_numbers_of_an_earlier_tracker_link_to_nothing(
    history: History, truth: dict[str, Any]
) -> None:
    early = history.world.rows(
        "select sha from code_commit where subject like 'Merge pull request #%' and committed_at < '2014-03-06'"
    )
    assert len(early) == truth["trace"]["merge_subject_names_a_number_but_truth_says_untraced"] == 14
    for (sha,) in early:
        trace = history.world.ask(of_commit, sha)
        assert (trace.steps, trace.tickets()) == ([], [])
        assert len(trace.nodes) == 1


def test_stacked_requests_came_inside_others(history: History, truth: dict[str, Any]) -> None:
    expected = {
        (history.skeleton[one["merge"]], one["also_contains_pull"], one["pull"])
        for one in truth["trace"]["stacked_pulls_merged_inside_another"]
    }
    assert set(history.world.ask(stacked_requests, history.id)) == expected


def test_requests_close_the_issues_that_they_say(history: History, truth: dict[str, Any]) -> None:
    path = FOLDER / "truth_pull_closes_issue.csv"
    with path.open(encoding="utf-8") as lines:
        pairs = {(row["pull"], row["issue"]) for row in csv.DictReader(lines)}
    assert len(pairs) == truth["trace"]["closing_keyword_pairs_pull_issue"] == 88
    linked = history.world.rows(
        "select l.change, s.external_key from change_link l"
        " join span s on s.ticket = l.ticket and s.closed_position is null where l.kind = 'REQUEST'"
    )
    assert pairs - set(linked) == set()


def test_a_commit_leads_to_who_asked_first(history: History) -> None:
    """The commits of pull request 28, which closes issue 27."""
    found = history.world.ask(requests_of_commits, history.id)
    sha = next(sha for sha, number in found if number == 28)
    trace = history.world.ask(of_commit, sha[:12])
    assert {history.ticket(28), history.ticket(27)} <= set(trace.tickets())
    ways = Counter((step.via.value, step.confidence) for step in trace.steps)
    assert ways["MERGE", 100] == 1  # to its request
    assert ways["REQUEST", 90] >= 2  # from there to both
