"""Links from changes to tickets: what follows from a repository that real git made, and what people say of it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from api.traceability_linking import link
from application.event_store.envelope import Cause, Envelope
from application.handling import Context
from application.traceability.git import Git
from application.traceability.lines import count_lines
from application.traceability.scanning import Recording, scan
from domain import imports
from domain.access import Actor
from domain.imports import ImportRow, Origin
from domain.traceability.links import AddChangeLink, ConfirmChangeLink, LinkCommand, RejectChangeLink
from domain.traceability.repositories import ChangeKind, DefineRepository, Provider, Tracker
from domain.traceability.requests import RecordMergeRequest, RequestState
from domain.workflows import defaults
from projections import traceability, traceability_changes
from projections.filters import PageAsk
from projections.reading import NOW, Moment
from projections.rebuild import rebuild
from projections.rows import TraceVia
from projections.traceability_quality import ChangeGap, gaps
from projections.traceability_trace import of_commit, of_release
from tests.gitting import FIRST_SECOND, Work
from tests.projections.conftest import World, hour

PAGE = PageAsk(first=100)


class Traced:
    """A repository of the world, and what it is scanned from."""

    def __init__(self, world: World, work: Work, key: str = "shop", **definition: Any) -> None:
        self.world, self.work = world, work
        name = f"acme/{key}"
        define = DefineRepository(
            key=key, name=key, provider=Provider.GITHUB, url=f"https://github.com/{name}", **definition
        )
        self.id = world.do(define, reason=None).stream
        self.recording = Recording(world.store, Context(actor=world.admin), self.id)

    def define(self, **definition: Any) -> None:
        """Anew."""
        address = "https://github.com/acme/shop"
        again = DefineRepository(
            **{"key": "shop", "name": "shop", "provider": Provider.GITHUB, "url": address, **definition}
        )
        self.world.do(again, reason=None)

    def scan(self) -> int:
        """Returns how many links were new."""
        position = scan(self.recording, self.work.path).position
        return self.world.run(self._link(position))

    async def _link(self, position: int) -> int:
        async def reach(_: int) -> None:
            self.world.project()

        return (await link(self.world.view(), self.recording, reach, position, self.work.path)).links

    def request(self, number: int, **said: Any) -> None:
        command = RecordMergeRequest(**{"repository": self.id, "number": number, "title": f"Request {number}", **said})
        self.world.do(command, reason=None)

    def merged(self, number: int, commit: str | None, head: str | None = None, **said: Any) -> None:
        self.request(number, state=RequestState.MERGED, merge_commit=commit, head=head, **said)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    work = Work(tmp_path / "shop")
    work.commit("Beginning")
    return work


@pytest.fixture
def shop(world: World, work: Work) -> Traced:
    return Traced(world, work)


def links_of(
    world: World, ticket: UUID, moment: Moment = NOW, *, least: int = 0, actor: Actor | None = None
) -> dict[str, str]:
    """By the change's name: why it is linked."""
    who = actor or world.admin
    page = world.of_as(who, ticket, traceability_changes.changes_of, least, PAGE, moment)
    assert world.of_as(who, ticket, traceability_changes.change_counts, least, moment) == len(page.nodes)
    return {one.change.name: one.source.value for one in page.nodes}


def key(world: World, ticket: UUID) -> str:
    [(number,)] = world.rows(f"select number from span where ticket = '{ticket}' and closed_position is null")
    return f"T-{number}"


@pytest.fixture
def ticket(world: World) -> UUID:
    return world.open("Форма заказа теряет вложения", at=hour(0))


@pytest.fixture
def name(world: World, ticket: UUID) -> str:
    world.project()
    return key(world, ticket)


def test_a_trailer_and_a_text_link_commits(world: World, work: Work, shop: Traced, ticket: UUID, name: str) -> None:
    trailer = work.commit(f"Form\n\nTicket: {name}")
    text = work.commit(f"{name}: form")
    work.commit("T-99999: of nobody")
    assert shop.scan() == 2
    assert links_of(world, ticket) == {trailer: "TRAILER", text: "TEXT"}
    assert links_of(world, ticket, least=50) == {trailer: "TRAILER"}
    [one, _] = world.of(ticket, traceability_changes.changes_of, 0, PAGE, NOW).nodes
    assert (one.confidence, one.evidence, one.change.title) == (95, f"trailer {name}", "Form")
    assert shop.scan() == 0


def test_a_merge_brings_its_branch(world: World, work: Work, shop: Traced, ticket: UUID, name: str) -> None:
    work.branch("feature")
    first, second = work.commit("One", "f.txt"), work.commit("Two", "f.txt")
    merge = work.merge("feature", "Merge the feature")
    work.commit("Beside it")
    shop.scan()
    assert links_of(world, ticket) == {}
    # Its request is recorded late, and says what it is for.
    shop.merged(1, merge, head=second, text=f"Closes {name}")
    assert shop.scan() == 4
    assert links_of(world, ticket) == {"1": "REQUEST", first: "MERGE", second: "MERGE", merge: "MERGE"}


def test_a_merge_is_known_by_the_head_of_its_branch(
    world: World, work: Work, shop: Traced, ticket: UUID, name: str
) -> None:
    """Some providers, and those who merge by hand, tell no commit of the merge, or one that is not there."""
    work.branch("feature")
    head = work.commit("One", "f.txt")
    merge = work.merge("feature", "Merge the feature")
    shop.merged(1, "f" * 40, head=head, branch=f"feature/{name.lower()}-form")
    shop.scan()
    assert links_of(world, ticket) == {"1": "BRANCH", head: "MERGE", merge: "MERGE"}


def test_a_squashed_request_is_one_commit(world: World, work: Work, shop: Traced, ticket: UUID, name: str) -> None:
    work.branch("feature")
    work.commit("One", "f.txt")
    head = work.commit("Two", "f.txt")
    squashed = work.squash("feature", "The feature (#1)")
    shop.merged(1, squashed, head=head, title=f"The feature\n\n{name}")
    shop.scan()
    assert links_of(world, ticket) == {"1": "TEXT", squashed: "MERGE"}


def test_a_rebased_request_is_known_by_its_patches(
    world: World, work: Work, shop: Traced, ticket: UUID, name: str
) -> None:
    work.branch("feature")
    work.commit("One", "f.txt")
    head = work.commit("Two", "g.txt")
    work.checkout("main")
    beside = work.commit("Beside it")
    first, last = work.rebase_merge("feature")
    shop.merged(1, last, head=head, text=f"Ticket for it\n\nTicket: {name}")
    shop.scan()
    assert links_of(world, ticket) == {"1": "TRAILER", last: "MERGE", first: "COPY"}
    assert beside not in links_of(world, ticket)


def test_a_cherry_pick_and_a_revert_belong_to_what_they_repeat(
    world: World, work: Work, shop: Traced, ticket: UUID, name: str
) -> None:
    work.branch("stable")
    work.checkout("main")
    fix = work.commit(f"Fix\n\nTicket: {name}", "fix.txt")
    work.git("checkout", "--quiet", "stable")
    work.minute += 1
    work.git("cherry-pick", fix)
    silent = work.head()
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    work.minute += 1
    work.git("cherry-pick", "-x", fix)
    told = work.head()
    work.git("branch", "kept", silent)
    work.checkout("main")
    work.minute += 1
    work.git("revert", "--no-edit", fix)
    revert = work.head()
    shop.scan()
    found = links_of(world, ticket)
    assert found.pop(revert) == "COPY"
    # Each of the copies still has the trailer of the message that was repeated.
    assert found == {fix: "TRAILER", silent: "TRAILER", told: "TRAILER"}
    world.project()
    [of_revert] = [
        one
        for one in world.of(ticket, traceability_changes.changes_of, 0, PAGE, NOW).nodes
        if one.change.name == revert
    ]
    assert of_revert.evidence == f"reverts {fix[:12]}"


def test_stacked_requests_land_with_the_one_that_contains_them(
    world: World, work: Work, shop: Traced, ticket: UUID, name: str
) -> None:
    other = world.open("Другая", at=hour(1))
    world.project()
    work.branch("lower")
    lower = work.commit("Lower", "l.txt")
    work.branch("upper", "lower")
    upper = work.commit("Upper", "u.txt")
    inner = work.merge("upper", "Merge upper into lower", into="lower")
    merge = work.merge("lower", "Merge lower")
    shop.merged(1, merge, head=inner, text=name)
    shop.merged(2, inner, head=upper, text=key(world, other), target="lower")
    shop.scan()
    assert links_of(world, ticket) == {"1": "TEXT", lower: "MERGE", upper: "MERGE", inner: "MERGE", merge: "MERGE"}
    assert links_of(world, other) == {"2": "TEXT"}


def test_amended_and_replaced_branches_do_not_stand_behind_what_came(
    world: World, work: Work, shop: Traced, ticket: UUID, name: str
) -> None:
    work.branch("feature")
    draft = work.commit("Draft", "f.txt")
    shop.request(1, head=draft, text=name)
    shop.scan()
    work.minute += 1
    work.git("commit", "--quiet", "--amend", "-m", "Final")
    final = work.head()
    merge = work.merge("feature", "Merge")
    shop.merged(1, merge, head=final)
    shop.scan()
    assert links_of(world, ticket) == {"1": "TEXT", final: "MERGE", merge: "MERGE"}


def imported(world: World, external_key: str) -> UUID:
    """A ticket as an import makes it."""
    here = world.store.workspace(world.workspace.id)
    workflow = defaults().workflows[0]
    origin = Origin(workflow=workflow, role="INQUIRY")
    row = ImportRow(number=here.draw_number(), external_key=external_key, title=f"Imported {external_key}")
    [event] = imports.decide(None, row, origin)
    command = uuid4()
    envelope = Envelope(
        workspace=world.workspace.id,
        originator_id=uuid4(),
        originator_version=1,
        event=event,
        occurred_at=hour(0),
        cause=Cause(actor=world.admin.person, command_id=command, correlation_id=command, channel="import"),
        command_hash=command.bytes,
    )
    here.prepare_keys([world.workspace.id])
    here.append([envelope])
    world.project()
    return envelope.originator_id


def test_a_number_means_the_ticket_of_its_tracker(world: World, work: Work) -> None:
    """Numbers from before the tracker began were those of another one, and those of other repositories are."""
    since = datetime.fromtimestamp(FIRST_SECOND + 3 * 60, UTC)
    shop = Traced(world, work, trackers=(Tracker(since=since, last=900), Tracker(prefix="OLD-", external_key=None)))
    work.commit("Merge pull request #7")
    later, ours = work.commit("Later: #7"), work.commit("acme/shop#7")
    work.commit("other/shop#7, OLD-7, #907")
    assert shop.scan() == 0  # no ticket has that number yet
    seven = imported(world, "7")
    imported(world, "907")
    assert shop.scan() == 2
    assert links_of(world, seven) == {later: "TEXT", ours: "TEXT"}


def test_requests_and_tickets_may_share_their_numbers(world: World, work: Work) -> None:
    """As on GitHub: a ticket that was imported from a request is that request; it closes another."""
    shop = Traced(world, work, trackers=(Tracker(),))
    request, closed = imported(world, "8"), imported(world, "7")
    work.branch("feature")
    head = work.commit("One, which fixes #7", "f.txt")
    merge = work.merge("feature", "Merge")
    shop.merged(8, merge, head=head)
    shop.scan()
    assert links_of(world, request) == {"8": "REQUEST", head: "MERGE", merge: "MERGE"}
    assert links_of(world, closed) == {"8": "REQUEST", head: "MERGE", merge: "MERGE"}


def test_one_ticket_has_changes_in_two_repositories(
    world: World, work: Work, shop: Traced, ticket: UUID, name: str, tmp_path: Path
) -> None:
    there = Work(tmp_path / "site")
    there.commit("Beginning")
    site = Traced(world, there, "site")
    one, two = work.commit(f"Server part, {name}"), there.commit(f"Pages, {name}")
    shop.scan()
    site.scan()
    assert links_of(world, ticket) == {one: "TEXT", two: "TEXT"}
    assert links_of(world.beside("other"), ticket) == {}


def test_what_a_person_says_of_a_link_holds_for_ever(
    world: World, work: Work, shop: Traced, ticket: UUID, name: str
) -> None:
    wrong, right = work.commit(f"Not {name}"), work.commit(f"Not {name}, or yes")
    silent = work.commit("Silent")
    shop.scan()
    before = world.rows("select max(position) from event")[0][0]

    def say(command: type[LinkCommand], change: str, kind: ChangeKind = ChangeKind.COMMIT) -> None:
        world.do(command(ticket=ticket, repository=shop.id, kind=kind, change=change))

    say(RejectChangeLink, wrong)
    say(ConfirmChangeLink, right)
    say(AddChangeLink, silent)
    say(AddChangeLink, "77", ChangeKind.REQUEST)
    world.project()
    held = {right: "PERSON", silent: "PERSON", "77": "PERSON"}
    assert links_of(world, ticket) == held
    # What is found afterwards changes nothing of it.
    shop.request(5, head=wrong, text=name)
    shop.merged(5, wrong)
    shop.scan()
    assert links_of(world, ticket) == {**held, "5": "TEXT"}
    assert links_of(world, ticket, world.moment(position=before)) == {wrong: "TEXT", right: "TEXT"}
    say(ConfirmChangeLink, wrong)
    world.project()
    assert links_of(world, ticket)[wrong] == "PERSON"


def test_a_rejected_request_brings_nothing(world: World, work: Work, shop: Traced, ticket: UUID, name: str) -> None:
    work.branch("feature")
    head = work.commit("One", "f.txt")
    merge = work.merge("feature", "Merge")
    shop.merged(1, merge, head=head, text=name)
    world.do(RejectChangeLink(ticket=ticket, repository=shop.id, kind=ChangeKind.REQUEST, change="1"))
    shop.scan()
    assert links_of(world, ticket) == {}


def test_what_follows_from_nothing_any_more_is_taken_back(world: World, work: Work) -> None:
    """A request names something else, a tracker is mapped otherwise, the main branch is replaced."""
    shop = Traced(world, work, trackers=(Tracker(),))
    one, other, seven = world.open("One", at=hour(0)), world.open("Other", at=hour(1)), imported(world, "7")
    start = work.head()
    work.branch("feature")
    head = work.commit("Feature, #7", "f.txt")
    merge = work.merge("feature", "Merge")
    shop.merged(1, merge, head=head, text=key(world, one))
    shop.scan()
    before = world.rows("select max(position) from event")[0][0]
    assert links_of(world, one) == {"1": "TEXT", head: "MERGE", merge: "MERGE"}
    assert links_of(world, seven) == {head: "TEXT"}
    shop.request(1, text=f"Rather {key(world, other)}")
    shop.define(trackers=(Tracker(external_key=None),))
    shop.scan()
    assert links_of(world, one) == links_of(world, seven) == {}
    assert links_of(world, other) == {"1": "TEXT", head: "MERGE", merge: "MERGE"}
    assert links_of(world, one, world.moment(position=before)) == {"1": "TEXT", head: "MERGE", merge: "MERGE"}
    # Found again, they are linked again.
    shop.define(trackers=(Tracker(),))
    shop.scan()
    assert links_of(world, seven) == {head: "TEXT"}
    # The merge is undone by force: what it had brought is of the request no more.
    work.git("reset", "--quiet", "--hard", start)
    work.git("branch", "--quiet", "-D", "feature")
    work.commit("Another way")
    shop.scan()
    assert links_of(world, other) == {"1": "TEXT"}
    assert rebuild(world.database, traceability.PROJECTION).same


def test_a_renamed_repository_is_known_by_its_former_names(world: World, work: Work) -> None:
    shop = Traced(world, work, trackers=(Tracker(),))
    seven = imported(world, "7")
    shop.define(url="https://github.com/acme/store", trackers=(Tracker(),))
    former, now = work.commit("acme/shop#7"), work.commit("acme/store#7")
    work.commit("other/shop#7")
    shop.scan()
    assert links_of(world, seven) == {former: "TEXT", now: "TEXT"}


def test_a_request_that_was_retargeted_lands_where_it_was_merged(
    world: World, work: Work, shop: Traced, ticket: UUID, name: str
) -> None:
    """Opened onto another's branch, which is merged first; then onto the main one."""
    work.branch("lower")
    lower = work.commit("Lower", "l.txt")
    work.branch("upper", "lower")
    upper = work.commit("Upper", "u.txt")
    shop.request(2, head=upper, target="lower", text=name)
    shop.merged(1, work.merge("lower", "Merge lower"), head=lower)
    merge = work.merge("upper", "Merge upper")
    shop.merged(2, merge, target="main")
    shop.scan()
    assert links_of(world, ticket) == {"2": "TEXT", upper: "MERGE", merge: "MERGE"}


def test_releases_beside_the_main_branch_have_what_was_picked_for_them(
    world: World, work: Work, shop: Traced, ticket: UUID, name: str
) -> None:
    """Two releases on a branch of their own, one on the main branch before and one after it."""

    def brought(tag: str) -> set[str]:
        trace = world.ask(of_release, shop.id, tag)
        return {step.to.change.name for step in trace.steps if step.to.change and step.via is TraceVia.RELEASE}

    def released(sha: str, moment: Moment = NOW) -> list[str]:
        steps = world.ask(of_commit, sha, None, moment).steps
        return [step.to.release.tag for step in steps if step.to.release]

    beginning = work.head()
    work.git("tag", "v1.0")
    work.branch("stable")
    work.checkout("main")
    fix = work.commit(f"Fix\n\nTicket: {name}", "fix.txt")
    feature = work.commit("Feature", "feature.txt")
    work.checkout("stable")
    work.minute += 1
    work.git("cherry-pick", "-x", fix)
    picked = work.head()
    work.git("tag", "v1.1")
    shop.scan()
    own = work.commit("Only here", "own.txt")
    work.git("tag", "-a", "v1.2", "-m", "v1.2")
    work.checkout("main")
    work.git("tag", "v2.0")
    shop.scan()
    assert (brought("v1.0"), brought("v1.1")) == ({beginning}, {picked})
    assert (brought("v1.2"), brought("v2.0")) == ({own}, {fix, feature})
    assert [released(one) for one in (beginning, picked, own, fix, feature)] == [
        ["v1.0"],
        ["v1.1"],
        ["v1.2"],
        ["v2.0"],
        ["v2.0"],
    ]
    assert links_of(world, ticket) == {fix: "TRAILER", picked: "TRAILER"}
    assert released(fix, world.moment(position=1)) == []
    shop.scan()
    assert rebuild(world.database, traceability.PROJECTION).same


def test_what_a_release_had_before_its_tag_was_moved_is_not_released(world: World, work: Work, shop: Traced) -> None:
    beginning = work.head()
    work.branch("stable")
    own = work.commit("Only on the branch", "own.txt")
    work.git("tag", "v1")
    shop.scan()
    work.git("tag", "--force", "v1", beginning)
    merge = work.merge("stable", "Merge stable")

    def unreleased() -> set[str]:
        shop.scan()
        return {one.name for one in world.ask(gaps, shop.id, ChangeGap.NO_RELEASE, None, PAGE).nodes}

    assert unreleased() == {own}
    work.git("tag", "v2", merge)
    assert unreleased() == set()


class Lines:
    """Counts the lines of a repository, and says of which files they were asked of git."""

    def __init__(self, shop: Traced, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shop, self.kept = shop, kept
        self.blamed: list[str] = []
        blame = Git.blame_all

        def noted(git: Git, path: str, revision: str | None = None) -> Any:
            self.blamed.append(path)
            return blame(git, path, revision)

        monkeypatch.setattr(Git, "blame_all", noted)

    def count(self) -> dict[str, int]:
        """By the commit, as the read model has them."""
        self.blamed.clear()
        count_lines(self.shop.recording, self.shop.work.path, self.kept)
        self.shop.world.project()
        return dict(self.shop.world.rows("select sha, lines from line_count"))

    @property
    def told(self) -> int:
        """How often they were recorded."""
        return int(self.shop.world.rows("select count(*) from event where name = 'LinesCounted'")[0][0])


@pytest.fixture
def lines(shop: Traced, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lines:
    return Lines(shop, tmp_path / "kept" / "lines.json", monkeypatch)


def test_lines_are_of_the_commits_that_a_branch_has(work: Work, lines: Lines) -> None:
    """Only what has changed since is asked of git, or all where history was written anew; the content says neither."""
    beginning = work.head()
    other = work.commit("Other", "папка/другой файл.txt")
    assert lines.count() == {beginning: 1, other: 1}
    work.branch("feature")
    feature = work.commit("Feature", "feature.txt")
    work.merge("feature", "Merge")
    assert lines.count() == {beginning: 1, other: 1, feature: 1}
    assert lines.blamed == ["feature.txt"]
    # What is changed and put back is of the commit that put it back.
    work.minute += 1
    (work.path / "code.txt").write_text("no code\n", encoding="utf-8")
    work.git("commit", "--quiet", "--all", "-m", "A mistake")
    work.git("revert", "--no-edit", "HEAD")
    back = work.head()
    assert lines.count() == {back: 1, other: 1, feature: 1}
    assert lines.blamed == ["code.txt"]
    # The same contents, by other commits.
    work.git("checkout", "--quiet", "--orphan", "anew")
    work.git("commit", "--quiet", "-m", "All of it at once")
    work.git("branch", "--quiet", "--force", "main")
    work.checkout("main")
    assert lines.count() == {work.head(): 3}


def test_lines_that_are_as_they_were_told_last_are_not_told_again(work: Work, lines: Lines) -> None:
    beginning = work.head()
    first = lines.count()
    assert (lines.count(), lines.told) == (first, 1)
    more = work.commit("More")
    assert lines.count() == {beginning: 1, more: 1}
    # Back to what was told before the last time: it is news again.
    work.git("reset", "--quiet", "--hard", beginning)
    assert (lines.count(), lines.told) == (first, 3)
    lines.kept.unlink()
    assert lines.count() == first


def test_requesters_see_no_changes(world: World, work: Work, shop: Traced) -> None:
    claire = world.person("Claire")
    ticket = world.open("Hers", "INQUIRY", hour(0), requester=claire)
    world.project()
    work.commit(key(world, ticket))
    shop.scan()
    assert len(links_of(world, ticket)) == 1
    assert links_of(world, ticket, actor=world.requester(claire)) == {}


def test_changes_are_as_of_a_moment(world: World, work: Work, shop: Traced, ticket: UUID, name: str) -> None:
    first, second = work.commit(name), work.commit(f"Again {name}")
    shop.scan()
    at = world.of(ticket, traceability_changes.changes_of, 0, PAGE, NOW).nodes[0].change.at
    assert links_of(world, ticket, world.moment(occurred_at=at)) == {first: "TEXT"}
    assert set(links_of(world, ticket, world.moment(occurred_at=world.moment_now()))) == {first, second}


def test_a_rebuild_is_as_the_live_one(world: World, work: Work, shop: Traced, ticket: UUID, name: str) -> None:
    work.branch("feature")
    head = work.commit(f"One\n\nTicket: {name}", "f.txt")
    merge = work.merge("feature", "Merge")
    shop.request(1, head=head, text=name)
    shop.scan()
    shop.merged(1, merge, head=head, text="nothing")
    world.do(RejectChangeLink(ticket=ticket, repository=shop.id, change=head))
    world.do(ConfirmChangeLink(ticket=ticket, repository=shop.id, change=head))
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    work.commit("Another way")
    shop.scan()
    before = links_of(world, ticket)
    summary = rebuild(world.database, traceability.PROJECTION)
    assert summary.same
    assert links_of(world, ticket) == before
