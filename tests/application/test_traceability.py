"""Scans of clones that real git made: the oracle is git itself."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest

from application import traceability
from application.event_store.envelope import Envelope
from application.event_store.streams import EventStore
from application.handling import Context
from application.traceability import scanning
from application.traceability.git import Git
from application.traceability.scanning import Recording, Scanned, scan
from application.workspaces import Workspace, operator
from domain.access import Actor, Scope
from domain.errors import Forbidden, InvalidValue, RepositoryNotFound, TicketNotFound
from domain.traceability.findings import CommitsIntroduced, CommitsRecorded
from domain.traceability.links import AddChangeLink
from domain.traceability.repositories import DefineRepository, HistoryRecorded, MainlineAdvanced
from domain.traceability.requests import RecordMergeRequest
from tests.application.recording import Company
from tests.gitting import ANNA, BORIS, Work


@pytest.fixture
def work(tmp_path: Path) -> Work:
    return Work(tmp_path / "рабочая копия")


@pytest.fixture
def recording(store: EventStore, workspace: Workspace) -> Recording:
    context = Context(actor=operator(workspace.id))
    id_ = traceability.handle(store, context, DefineRepository(key="shop", name="Shop")).stream
    return Recording(store, context, id_)


@pytest.fixture
def events(store: EventStore, workspace: Workspace, recording: Recording) -> Callable[[], list[Envelope]]:
    """Of the repository, each with the portion that tells of it, as they are stored."""
    stored = store.workspace(workspace.id).events

    def all_of_it() -> list[Envelope]:
        found: list[Envelope] = []
        for envelope in cast("list[Envelope]", list(stored.get(recording.repository))):
            found.append(envelope)
            if isinstance(envelope.event, HistoryRecorded | MainlineAdvanced):
                found += cast("list[Envelope]", list(stored.get(envelope.event.batch)))
        return found

    return all_of_it


def recorded(events: list[Envelope]) -> list[str]:
    return [one.sha for stored in events if isinstance(stored.event, CommitsRecorded) for one in stored.event.commits]


def introduced(events: list[Envelope]) -> dict[str, str]:
    found: dict[str, str] = {}
    for stored in events:
        if isinstance(stored.event, CommitsIntroduced):
            if stored.event.anew:
                found = {}
            found |= {sha: one.by for one in stored.event.introduced for sha in (one.by, *one.commits)}
    return found


def by_git(work: Work) -> dict[str, str]:
    """By which commit of the main branch each became a part of it: one question to git for each."""
    found: dict[str, str] = {}
    for by in work.git("rev-list", "--first-parent", "--reverse", "main").split():
        without = [f"^{by}^1"] if work.git("rev-list", "--parents", "-1", by).count(" ") else []
        found |= dict.fromkeys(work.git("rev-list", by, *without).split(), by)
    return found


def history(work: Work) -> None:
    """A main branch with a merge, a merge of a merge, and a branch that is not merged."""
    work.commit("Начало")
    work.branch("one")
    work.commit("One", "one.txt", by=BORIS)
    work.branch("two", "one")
    work.commit("Two", "two.txt")
    work.checkout("one")
    work.commit("One again", "one.txt", by=BORIS)
    work.merge("two", "Merge two into one", into="one")
    work.checkout("main")
    work.commit("Meanwhile", "main.txt")
    work.merge("one", "Merge one")
    work.branch("open")
    work.commit("Open", "open.txt")
    work.checkout("main")


def test_a_scan_records_every_commit_parents_first_and_how_it_came(
    work: Work, recording: Recording, events: Callable[[], list[Envelope]]
) -> None:
    history(work)
    told: list[tuple[int, int]] = []
    scanned = scan(recording, work.path, lambda done, total: told.append((done, total)))
    assert (scanned.commits, scanned.introduced, scanned.anew) == (8, 7, False)
    assert told == [(8, 8)]
    shas = recorded(events())
    assert sorted(shas) == sorted(work.git("rev-list", "--all").split())
    for line in work.git("rev-list", "--all", "--parents").splitlines():
        sha, *parents = line.split()
        assert all(shas.index(parent) < shas.index(sha) for parent in parents)
    assert introduced(events()) == by_git(work)
    first = next(stored.event for stored in events() if isinstance(stored.event, CommitsRecorded))
    assert isinstance(first.texts, dict)
    assert first.texts[shas[0]] == [*ANNA, "Начало"]


def test_a_scan_goes_on_from_what_is_recorded(
    work: Work, recording: Recording, events: Callable[[], list[Envelope]]
) -> None:
    history(work)
    scan(recording, work.path)
    assert scan(recording, work.path) == Scanned()
    work.merge("open", "Merge open")
    work.branch("later")
    later = work.commit("Later", "later.txt")
    scanned = scan(recording, work.path)
    assert (scanned.commits, scanned.introduced) == (2, 2)  # what was merged had been recorded before
    assert introduced(events()) == by_git(work)
    assert recording.state().tips == {later}


def test_a_scan_that_is_interrupted_goes_on(
    work: Work, recording: Recording, events: Callable[[], list[Envelope]], monkeypatch: pytest.MonkeyPatch
) -> None:
    history(work)
    monkeypatch.setattr(scanning, "COMMITS_AT_ONCE", 1)
    monkeypatch.setattr(scanning, "INTRODUCTIONS_AT_ONCE", 1)

    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            scan(recording, work.path, interrupt)
        work.commit("Meanwhile", "meanwhile.txt")
    scan(recording, work.path)
    shas = recorded(events())
    assert sorted(shas) == sorted(work.git("rev-list", "--all").split())  # none twice
    assert introduced(events()) == by_git(work)


def test_branches_that_are_amended_and_replaced_leave_what_was_there(
    work: Work, recording: Recording, events: Callable[[], list[Envelope]]
) -> None:
    history(work)
    scan(recording, work.path)
    before = set(recorded(events()))
    work.checkout("open")
    work.git("commit", "--quiet", "--amend", "-m", "Open, amended")
    scan(recording, work.path)
    assert set(recorded(events())) == before | {work.head("open")}
    # The main branch is thrown back, and goes another way that merges the same branch.
    work.checkout("main")
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    work.commit("Another way", "other.txt")
    work.merge("one", "Merge one, again")
    scanned = scan(recording, work.path)
    assert scanned.anew
    assert introduced(events()) == by_git(work)
    # And is only thrown back.
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    assert scan(recording, work.path).anew
    assert introduced(events()) == by_git(work)


def test_a_clone_that_lacks_what_was_recorded_is_read_all_the_same(
    work: Work, recording: Recording, events: Callable[[], list[Envelope]], tmp_path: Path
) -> None:
    history(work)
    scan(recording, work.path)
    work.checkout("main")
    work.git("branch", "--quiet", "-D", "open")
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    work.commit("Another way", "other.txt")
    work.git("clone", "--quiet", "--bare", "--no-local", str(work.path), str(tmp_path / "bare.git"))
    scan(recording, tmp_path / "bare.git")
    assert introduced(events()) == by_git(work)


def test_a_working_clone_follows_the_remote_s_main_branch(work: Work, recording: Recording, tmp_path: Path) -> None:
    history(work)
    work.git("clone", "--quiet", str(work.path), str(tmp_path / "clone"))
    clone = Work(tmp_path / "clone", made=True)
    clone.minute = 100
    clone.commit("Not pushed")
    scan(recording, clone.path)
    assert recording.state().mainline == work.head("main")


def test_the_main_branch_may_be_named(store: EventStore, workspace: Workspace, work: Work) -> None:
    context = Context(actor=operator(workspace.id))
    define = DefineRepository(key="shop", name="Shop", default_branch="one")
    repository = traceability.handle(store, context, define).stream
    history(work)
    recording = Recording(store, context, repository)
    scan(recording, work.path)
    assert recording.state().mainline == work.head("one")
    traceability.handle(store, context, DefineRepository(key="shop", name="Shop", default_branch="none"))
    with pytest.raises(InvalidValue, match="no branch 'none'"):
        scan(recording, work.path)


def test_what_stands_in_a_repository_beside_text_is_no_obstacle(work: Work, recording: Recording) -> None:
    work.commit("Путь с пробелами", "папка с пробелом/файл ё.txt")
    (work.path / "binary").write_bytes(bytes(range(256)))
    other = Work(work.path.parent / "other")
    other.commit("Of the submodule")
    work.git("submodule", "--quiet", "add", str(other.path), "module")
    work.commit("A submodule and a binary file")
    work.git("-c", "i18n.commitEncoding=windows-1251", "commit", "--quiet", "--allow-empty", "-m", "Кодировка")
    work.git("tag", "-a", "v1", "-m", "Release")
    blob = work.git("hash-object", "-w", "--stdin", given="no commit")
    work.git("tag", "blob", blob)
    work.git("commit", "--quiet", "--allow-empty", "--allow-empty-message", "-m", "")
    assert scan(recording, work.path).commits == 4


def test_what_cannot_be_scanned_is_said_in_a_sentence(
    work: Work, recording: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert scan(recording, work.path) == Scanned()  # nothing was committed yet
    history(work)
    work.git("clone", "--quiet", "--depth=1", f"file://{work.path}", str(tmp_path / "shallow"))
    with pytest.raises(InvalidValue, match="shallow"):
        scan(recording, tmp_path / "shallow")
    with pytest.raises(InvalidValue, match="no folder"):
        scan(recording, tmp_path / "nowhere")
    (tmp_path / "plain").mkdir()
    with pytest.raises(InvalidValue, match="not a git repository"):
        scan(recording, tmp_path / "plain")
    missing = work.head("one")
    (work.path / ".git" / "objects" / missing[:2] / missing[2:]).unlink()
    with pytest.raises(InvalidValue, match="git cannot read"):
        scan(recording, work.path)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(InvalidValue, match="git is not installed"):
        scan(recording, work.path)


def test_lines_that_are_none_are_said_in_a_sentence(work: Work, tmp_path: Path) -> None:
    """Of a submodule, of a binary file, beyond the end, of an object that is missing, of a shallow clone."""
    sha = work.commit("Путь с пробелами", "папка с пробелом/файл ё.txt")
    binary = work.path / "binary"
    binary.write_bytes(b"\0\1\2")
    other = Work(tmp_path / "other")
    other.commit("Of the submodule")
    work.git("submodule", "--quiet", "add", str(other.path), "module")
    last = work.commit("A submodule and a binary file")
    git = Git(work.path)
    assert git.blame("папка с пробелом/файл ё.txt", 1) == sha
    assert git.blame("binary", 1) == last  # which git takes for one line, as it does for every file
    with pytest.raises(InvalidValue, match="has only 1 line"):
        git.blame("папка с пробелом/файл ё.txt", 2)
    for path in ("module", "module/code.txt"):
        with pytest.raises(InvalidValue, match=r"git cannot read|no such path"):
            git.blame(path, 1)
    assert set(git.texts("HEAD", git.files("HEAD"), 1_000)) == {
        ".gitmodules",
        "code.txt",
        "папка с пробелом/файл ё.txt",
    }
    work.git("clone", "--quiet", "--depth=1", f"file://{work.path}", str(tmp_path / "shallow"))
    with pytest.raises(InvalidValue, match="is shallow"):  # all that git can tell is where the clone was cut
        Git(tmp_path / "shallow").blame("папка с пробелом/файл ё.txt", 1)
    blob = work.head("HEAD:папка с пробелом/файл ё.txt")
    (work.path / ".git" / "objects" / blob[:2] / blob[2:]).unlink()
    with pytest.raises(InvalidValue, match="git cannot read"):
        git.blame("папка с пробелом/файл ё.txt", 1, "HEAD")


def test_two_scans_at_once_record_one_history(
    work: Work, recording: Recording, events: Callable[[], list[Envelope]], monkeypatch: pytest.MonkeyPatch
) -> None:
    history(work)
    monkeypatch.setattr(scanning, "COMMITS_AT_ONCE", 2)

    def beside(done: int, total: int) -> None:
        if done == 4:
            scan(recording, work.path)

    scan(recording, work.path, beside)
    assert set(recorded(events())) == set(work.git("rev-list", "--all").split())
    assert introduced(events()) == by_git(work)
    assert scan(recording, work.path) == Scanned()


def test_the_same_change_has_the_same_patch(work: Work) -> None:
    work.commit("First")
    work.branch("side")
    side = work.commit("Side", "side.txt")
    work.checkout("main")
    work.commit("Meanwhile", "main.txt")
    [copy] = work.rebase_merge("side")
    git = Git(work.path)
    patches = git.patch_ids([side, copy, work.head("main~1")])
    assert copy != side
    assert patches[copy] == patches[side] != patches[work.head("main~1")]
    assert git.patch_ids([]) == {}


def test_only_admins_scan_and_only_what_is_defined(
    store: EventStore, workspace: Workspace, recording: Recording
) -> None:
    agent = Actor(workspace=workspace.id, person=UUID(int=5), scopes=frozenset({Scope.MANAGER}))
    with pytest.raises(Forbidden):
        Recording(store, Context(actor=agent), recording.repository)
    with pytest.raises(RepositoryNotFound):
        Recording(store, Context(actor=operator(workspace.id)), UUID(int=5))


def test_commands_name_what_is_there(
    store: EventStore, workspace: Workspace, recording: Recording, company: Company
) -> None:
    context, there, nowhere = Context(actor=operator(workspace.id)), recording.repository, UUID(int=5)
    with pytest.raises(RepositoryNotFound):
        traceability.handle(store, context, RecordMergeRequest(repository=nowhere, number=1, title="Title"))
    with pytest.raises(TicketNotFound):
        traceability.handle(store, context, AddChangeLink(repository=there, change="a" * 40, ticket=nowhere))
    ticket = company.ticket("Ticket")
    with pytest.raises(RepositoryNotFound):
        traceability.handle(store, context, AddChangeLink(repository=nowhere, change="a" * 40, ticket=ticket))
    added = traceability.handle(store, context, AddChangeLink(repository=there, change="a" * 40, ticket=ticket))
    again = traceability.handle(store, context, AddChangeLink(repository=there, change="A" * 40, ticket=ticket))
    assert added == again
    requester = Actor(workspace=workspace.id, person=UUID(int=6), scopes=frozenset({Scope.REQUESTER}))
    with pytest.raises(Forbidden):
        traceability.handle(
            store, Context(actor=requester), AddChangeLink(repository=there, change="a" * 40, ticket=ticket)
        )
