"""Repositories, merge requests and links: what texts name, how things are defined, what happened to a request."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from domain.errors import FieldRequired, InvalidValue
from domain.traceability import findings, links, references, repositories, requests
from domain.traceability.findings import Commit, Introduction
from domain.traceability.links import AddChangeLink, ConfirmChangeLink, LinkAdded, LinkRejected, RejectChangeLink
from domain.traceability.references import MENTIONS_LIMIT, MentionSource
from domain.traceability.repositories import (
    ChangeKind,
    DefineRepository,
    Provider,
    Repository,
    RepositoryDefined,
    Tracker,
)
from domain.traceability.requests import (
    MergeRequest,
    MergeRequestClosed,
    MergeRequestMerged,
    MergeRequestOpened,
    MergeRequestPushed,
    MergeRequestReopened,
    MergeRequestRetargeted,
    MergeRequestRetitled,
    MergeRequestReviewed,
    RecordMergeRequest,
    RecordReview,
    RequestState,
    ReviewVerdict,
)
from tests.domain.given import an_id

A, B, C = "a" * 40, "b" * 40, "c" * 40
AT = datetime(2026, 3, 2, 9, tzinfo=UTC)
REPOSITORY, TICKET, BATCH = an_id(7), an_id(8), an_id(9)


def named(message: str, *trailers: str) -> list[tuple[str, str]]:
    return [(one.source.value, one.name) for one in references.mentions(message, trailers or ("Ticket",))]


# ---- what texts name


def test_a_trailer_names_a_ticket_whatever_else_is_said() -> None:
    message = "Форма заказа\n\nСм. #12 и T-7.\n\nSigned-off-by: Anna <anna@example.org>\nticket: T-1042, T-7"
    assert named(message) == [("TRAILER", "T-1042"), ("TRAILER", "T-7"), ("TEXT", "#12")]


def test_trailers_are_those_that_the_repository_has() -> None:
    message = "Subject\n\nRefs: T-1\nTask: T-2"
    assert named(message, "Refs") == [("TRAILER", "T-1"), ("TEXT", "T-2")]
    assert named("Ticket: T-1") == [("TEXT", "T-1")]  # a subject is no trailer
    assert named("Subject\n\nTicket: none yet\n") == []
    assert named("Subject\n\nprose that goes on\nand on\nTicket: T-5") == [("TEXT", "T-5")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Fixes #185 and closes #448.", [("CLOSING", "#185"), ("CLOSING", "#448")]),
        ("resolves T-9, T-10 and #3", [("CLOSING", "T-9"), ("CLOSING", "T-10"), ("CLOSING", "#3")]),
        ("closes acme/shop#5", [("CLOSING", "acme/shop#5")]),
        ("prefixes #1", [("TEXT", "#1")]),
        ("Merge pull request #19 from x/y", [("TEXT", "#19")]),
        ("Merge bitcoin-core/secp256k1#1897: tests", [("TEXT", "bitcoin-core/secp256k1#1897")]),
        ("see Acme/Shop!7 (#12)", [("TEXT", "acme/shop!7"), ("TEXT", "#12")]),
        ("ABC-12 T-1042", [("TEXT", "ABC-12"), ("TEXT", "T-1042")]),
        ("#0, #12abc, x#3, http://a/#4, 9999999999, #1234567890", []),
        ("t-5 и RT-6x", []),
        ("", []),
    ],
)
def test_texts_name_numbers(text: str, found: list[tuple[str, str]]) -> None:
    assert named(text) == found


def test_a_text_that_names_hundreds_names_few() -> None:
    assert len(named(" ".join(f"#{n}" for n in range(1, 500)))) == MENTIONS_LIMIT


@pytest.mark.parametrize(
    ("branch", "found"),
    [
        ("feature/T-1042-login", ["T-1042"]),
        ("anna/t-7", ["T-7"]),
        ("42-fix-the-form", ["#42"]),
        ("fix/42-form", ["#42"]),
        ("release-2026", []),
        ("best-7", []),
    ],
)
def test_branches_are_named_after_tickets(branch: str, found: list[str]) -> None:
    assert [one.name for one in references.in_branch(branch)] == found
    assert {one.source for one in references.in_branch(branch)} <= {MentionSource.BRANCH}


def test_messages_tell_what_they_take_back_or_repeat() -> None:
    assert references.reverted(f'Revert "Form"\n\nThis reverts commit {A}.') == A
    assert references.picked(f"Form\n\n(cherry picked from commit {B})") == B
    assert references.reverted("This reverts commit abc.") is None
    assert references.picked("picked") is None


# ---- repositories

DEFINE = DefineRepository(
    key="shop", name="Shop", provider=Provider.GITHUB, url="https://github.com/Acme/Shop/", trackers=(Tracker(),)
)


def shop(command: DefineRepository = DEFINE, before: Repository | None = None) -> Repository:
    [event] = repositories.define(before, command)
    return repositories.evolve(before, event, AT)


def test_a_repository_is_defined_once_and_again() -> None:
    defined = shop()
    assert (defined.url, defined.paths) == ("https://github.com/Acme/Shop", ("acme/shop",))
    assert repositories.define(defined, DEFINE) == []
    moved = shop(replace(DEFINE, key="other", url="https://github.com/acme/store"), defined)
    assert moved.key == "shop"
    assert moved.paths == ("acme/shop", "acme/store")  # a renamed repository is known by both


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"key": "no key"}, "key"),
        ({"name": " "}, "name"),
        ({"url": "git@github.com:acme/shop"}, "url"),
        ({"url": "https://anna:secret@github.com/acme/shop"}, "url"),
        ({"default_branch": ""}, "defaultBranch"),
        ({"trailers": ("no key",)}, "trailers"),
        ({"trailers": tuple(f"a{n}" for n in range(11))}, "trailers"),
        ({"trackers": (Tracker(),) * 21}, "trackers"),
        ({"trackers": (Tracker(prefix="T-"),)}, "trackers"),
        ({"trackers": (Tracker(prefix="?"),)}, "trackers"),
        ({"trackers": (Tracker(external_key="x"),)}, "trackers"),
        ({"trackers": (Tracker(first=5, last=4),)}, "trackers"),
        ({"trackers": (Tracker(first=0),)}, "trackers"),
        ({"trackers": (Tracker(since=datetime(2026, 1, 1)),)}, "trackers"),  # noqa: DTZ001
        ({"trackers": (Tracker(since=AT, until=AT),)}, "trackers"),
    ],
)
def test_what_no_repository_can_be(wrong: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        repositories.define(None, replace(DEFINE, **wrong))
    assert refused.value.field is not None
    assert refused.value.field[0] == field


def commit(sha: str, *parents: str) -> Commit:
    return Commit(sha=sha, parents=parents, authored_at=AT, committed_at=AT)


def test_what_is_recorded_is_said_by_its_tips() -> None:
    state = shop()
    for commits in ([commit(A)], [commit(B, A), commit(C, A)]):
        texts = {one.sha: ("Anna", "anna@example.org", "Subject") for one in commits}
        told = findings.record(state, REPOSITORY, commits, dict(texts), BATCH)
        assert told is not None
        event, found = told
        assert (event.batch, event.commits, found.commits) == (BATCH, len(commits), tuple(commits))
        state = repositories.evolve(state, event, AT)
    assert state.tips == {B, C}
    assert findings.record(state, REPOSITORY, [commit(B, A)], {B: ("", "", "")}, BATCH) is None
    with pytest.raises(InvalidValue):
        findings.record(state, REPOSITORY, [commit("short")], {"short": ("", "", "")}, BATCH)


def test_the_main_branch_is_followed_to_the_last_that_it_introduced() -> None:
    advanced, introduced = findings.introduce(REPOSITORY, [Introduction(A), Introduction(B, (C,))], BATCH, anew=True)
    assert (advanced.head, advanced.introduced, advanced.anew, introduced.anew) == (B, 3, True, True)
    assert repositories.evolve(shop(), advanced, AT).mainline == B


# ---- merge requests

OPENED = RecordMergeRequest(
    repository=REPOSITORY, number=19, title="Form", text="Closes #3", branch="T-7-form", target="main", head=A
)


def told(*commands: requests.RequestCommand) -> tuple[MergeRequest, list[requests.RequestEvent]]:
    """The request, and what the last command said of it."""
    state: MergeRequest | None = None
    events: list[requests.RequestEvent] = []
    for command in commands:
        events = requests.decide(state, command, shop(), AT)
        for event in events:
            state = requests.evolve(state, event, AT)
    assert state is not None
    return state, events


def test_a_request_is_opened_with_what_it_names() -> None:
    state, [event] = told(OPENED)
    assert isinstance(event, MergeRequestOpened)
    assert [(one.source.value, one.name) for one in state.mentions] == [("CLOSING", "#3"), ("BRANCH", "T-7")]
    assert told(OPENED, OPENED)[1] == []


def test_what_differs_is_what_happened() -> None:
    later = AT + timedelta(days=1)

    def then(**more: Any) -> list[requests.RequestEvent]:
        return told(OPENED, RecordMergeRequest(repository=REPOSITORY, number=19, **more))[1]

    assert then(head=B) == [MergeRequestPushed(head=B)]
    assert then(target="release") == [MergeRequestRetargeted(target="release")]
    assert then(state=RequestState.CLOSED, at=later) == [MergeRequestClosed(closed_at=later)]
    assert then(state=RequestState.MERGED, merge_commit=C, at=later) == [MergeRequestMerged(commit=C, merged_at=later)]
    [retitled] = then(title="The form")
    assert isinstance(retitled, MergeRequestRetitled)
    assert [one.name for one in retitled.mentions] == ["#3", "T-7"]  # its text was not told
    [reworded] = then(text=None)
    assert isinstance(reworded, MergeRequestRetitled)
    assert [one.name for one in reworded.mentions] == ["T-7"]
    assert then() == []


def test_a_request_that_is_recorded_late_was_opened_and_merged() -> None:
    merged = replace(OPENED, state=RequestState.MERGED, merge_commit=C, opened_at=AT, at=AT + timedelta(days=2))
    state, events = told(merged)
    assert [type(event) for event in events] == [MergeRequestOpened, MergeRequestMerged]
    assert (state.state, state.merge_commit) == (RequestState.MERGED, C)
    assert told(merged, merged)[1] == []
    # A provider may tell its commit later.
    late = replace(merged, merge_commit=None)
    assert told(late, merged)[1] == [MergeRequestMerged(commit=C, merged_at=AT + timedelta(days=2))]


def test_a_closed_request_is_opened_again_and_a_merged_one_is_not() -> None:
    closed = replace(OPENED, state=RequestState.CLOSED)
    again = replace(OPENED, state=RequestState.OPEN)
    assert told(closed, again)[1] == [MergeRequestReopened()]
    assert told(replace(OPENED, state=RequestState.MERGED), again)[1] == []


def test_reviews_are_counted() -> None:
    review = RecordReview(repository=REPOSITORY, number=19, verdict=ReviewVerdict.APPROVED, reviewer="Boris")
    state, [event] = told(OPENED, review)
    assert isinstance(event, MergeRequestReviewed)
    assert state.reviews == 1
    with pytest.raises(InvalidValue):
        requests.decide(None, review, shop(), AT)


@pytest.mark.parametrize("wrong", [{"number": 0}, {"head": "short"}, {"target": ""}, {"branch": " "}])
def test_what_no_request_can_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        requests.decide(None, replace(OPENED, **wrong), shop(), AT)


def test_a_request_that_is_new_has_a_title() -> None:
    with pytest.raises(FieldRequired):
        requests.decide(None, RecordMergeRequest(repository=REPOSITORY, number=19), shop(), AT)
    state, _ = told(replace(OPENED, title="\u200b"))
    assert state.title == "(no title)"


# ---- links


def test_a_person_adds_a_link_and_thinks_again() -> None:
    of: dict[str, Any] = {"repository": REPOSITORY, "change": A.upper(), "ticket": TICKET}
    [event] = links.decide(None, AddChangeLink(**of))
    assert event == LinkAdded(repository=REPOSITORY, kind=ChangeKind.COMMIT, change=A, ticket=TICKET)
    link = links.evolve(None, event, AT)
    assert links.decide(link, AddChangeLink(**of)) == []
    [rejected] = links.decide(link, RejectChangeLink(**of))
    assert isinstance(rejected, LinkRejected)
    assert links.decide(links.evolve(link, rejected, AT), ConfirmChangeLink(**of)) != []


@pytest.mark.parametrize(
    ("kind", "change"), [(ChangeKind.COMMIT, "abc"), (ChangeKind.REQUEST, "x"), (ChangeKind.REQUEST, "0")]
)
def test_what_no_change_is_called(kind: str, change: str) -> None:
    with pytest.raises(InvalidValue):
        links.decide(None, AddChangeLink(repository=REPOSITORY, kind=ChangeKind(kind), change=change, ticket=TICKET))


def test_definitions_are_events_of_all_fields() -> None:
    assert set(RepositoryDefined.__struct_fields__) == set(DefineRepository.__struct_fields__)
