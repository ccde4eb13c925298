"""Real git, run on a clone: what commits there are, which way the main branch came, what changes they make."""

import os
import re
import shutil
import subprocess
import tempfile
from bisect import bisect_left
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

import msgspec

from domain.errors import InvalidValue
from domain.traceability.releases import ReleaseFollowed

FIELDS = "%H%x00%P%x00%an%x00%ae%x00%at%x00%ct%x00%B"
FIELD_COUNT = 7
BUFFER = 1 << 20
BESIDE_LIMIT = 2_000
"""Commits of a release beside the main branch."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_LEFT_OUT = ("refs/stash", "refs/notes/", "refs/original/", "refs/keep-around/", "refs/bisect/", "refs/replace/")
"""Refs that are nobody's work; beside them those of merges that a provider tries out (refs/pull/1/merge)."""


class GitCommit(msgspec.Struct, frozen=True, kw_only=True):
    sha: str
    parents: tuple[str, ...]
    author: str
    email: str
    authored_at: datetime
    committed_at: datetime
    message: str


class GitTag(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    commit: str
    at: datetime


class Git:
    """One clone, working or bare. Raises InvalidValue where it cannot be used, and says why."""

    def __init__(self, path: Path) -> None:
        program = shutil.which("git")
        if program is None:
            raise InvalidValue("git is not installed here; a scan needs it (Debian: apt install git).")
        if not path.is_dir():
            raise InvalidValue(f"There is no folder {path}.")
        self._command = [
            program,
            "--no-pager",
            "-C",
            str(path),
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.quotePath=false",
        ]
        # What surrounds us must not choose another repository or language; and objects that are missing stay so.
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "LC_", "LANG"))}
        self._environment = kept | {
            "LC_ALL": "C.UTF-8",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_OPTIONAL_LOCKS": "0",
            "GIT_NO_LAZY_FETCH": "1",
            "GIT_NO_REPLACE_OBJECTS": "1",
        }
        self._run("rev-parse", "--git-dir")

    def must_be_whole(self) -> None:
        """Raises InvalidValue for a shallow clone: what it lacks would be taken for what there never was."""
        if self._run("rev-parse", "--is-shallow-repository").strip() == "true":
            raise InvalidValue("This clone is shallow: a part of its history is missing. Run `git fetch --unshallow`.")

    def _must_not_be_cut(self, blamed: str) -> None:
        """Raises InvalidValue where lines are from commits whose parents a shallow clone lacks: they may be older."""
        if re.search(r"^boundary$", blamed, re.MULTILINE):  # as a history's first commits are, too
            self.must_be_whole()

    def heads(self) -> list[str]:
        """Commits that refs point at."""
        listed = self._run(
            "for-each-ref", "--format=%(objecttype) %(objectname) %(*objecttype) %(*objectname) %(refname)"
        )
        found: dict[str, None] = {}
        for line in listed.splitlines():
            kind, sha, peeled_kind, peeled, *name = _ref(line)
            if name[0].startswith(_LEFT_OUT) or (name[0].startswith("refs/pull/") and name[0].endswith("/merge")):
                continue
            if kind == "commit":
                found[sha] = None
            elif peeled_kind == "commit":
                found[peeled] = None
        return list(found)

    def tags(self) -> list[GitTag]:
        """Those of commits, oldest first."""
        form = "--format=%(objecttype) %(objectname) %(*objecttype) %(*objectname) %(creatordate:unix) %(refname)"
        found: list[GitTag] = []
        for line in self._run("for-each-ref", "--sort=creatordate", form, "refs/tags").splitlines():
            kind, sha, peeled_kind, peeled, at, name = line.split(" ", 5)
            commit = sha if kind == "commit" else peeled if peeled_kind == "commit" else None
            if commit is not None:
                found.append(GitTag(name=name.removeprefix("refs/tags/"), commit=commit, at=_time(at)))
        return found

    def mainline(self, branch: str | None) -> str | None:
        """The head of the main branch: what the remote has of it, before what is here. None: there is no commit yet."""
        names = [branch] if branch else self._default_branches()
        for name in names:
            for ref in (f"refs/remotes/origin/{name}", f"refs/heads/{name}"):
                if sha := self.resolve(ref):
                    return sha
        if branch:
            raise InvalidValue(f"The clone has no branch {branch!r}, which the repository is defined to have.")
        branches = self._run("for-each-ref", "--format=%(objectname)", "refs/heads", "refs/remotes").split()
        if len(set(branches)) > 1:
            raise InvalidValue(
                "Which branch is the main one cannot be told here; define the repository's defaultBranch."
            )
        return branches[0] if branches else None

    def _default_branches(self) -> list[str]:
        """Of a working clone, HEAD is only what somebody works on just now."""
        bare = self._run("rev-parse", "--is-bare-repository").strip() == "true"
        usual = () if bare else ("main", "master")
        return [
            *self._branch_of("refs/remotes/origin/HEAD", "refs/remotes/origin/"),
            *usual,
            *self._branch_of("HEAD", "refs/heads/"),
        ]

    def _branch_of(self, symbolic: str, prefix: str) -> list[str]:
        ref = self._run("symbolic-ref", "--quiet", symbolic, failing=True).strip()
        return [ref.removeprefix(prefix)] if ref.startswith(prefix) else []

    def resolve(self, revision: str) -> str | None:
        """The commit that a revision means."""
        found = self._run(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}", failing=True
        )
        return found.strip() or None

    def existing(self, shas: Iterable[str]) -> list[str]:
        """Those of these commits that the clone has."""
        asked = "".join(f"{sha}\n" for sha in shas)
        if not asked:
            return []
        answers = self._run("cat-file", "--batch-check=%(objectname) %(objecttype)", given=asked).splitlines()
        return [sha for sha, kind, *_ in (line.split() for line in answers) if kind == "commit"]

    def count(self, heads: Iterable[str], without: Iterable[str]) -> int:
        return int(self._run("rev-list", "--count", "--stdin", given=_revisions(heads, without)))

    def commits(self, heads: Iterable[str], without: Iterable[str] = ()) -> Iterator[GitCommit]:
        """Those reachable from heads (at least one) and not from the others, parents first."""
        options = (
            "--topo-order",
            "--reverse",
            "-z",
            "--encoding=UTF-8",
            "--no-show-signature",
            f"--format=tformat:{FIELDS}",
        )
        with self._reading("log", *options, "--stdin", given=_revisions(heads, without)) as output:
            fields: list[bytes] = []
            rest = b""
            while read := output.read(BUFFER):
                *whole, rest = (rest + read).split(b"\0")
                fields += whole
                complete = len(fields) - len(fields) % FIELD_COUNT
                for n in range(0, complete, FIELD_COUNT):
                    yield _commit(fields[n : n + FIELD_COUNT])
                del fields[:complete]

    def graph(self, head: str, without: str | None = None, *, first_parent: bool = False) -> Iterator[tuple[str, ...]]:
        """Hashes of commits, each with its parents, parents first."""
        options = ["--topo-order", "--reverse", "--parents", *(["--first-parent"] if first_parent else [])]
        with self._reading(
            "rev-list", *options, "--stdin", given=_revisions([head], [without] if without else [])
        ) as output:
            for line in output:
                yield tuple(line.decode("ascii").split())

    def line(self, head: str, most: int | None = None) -> list[str]:
        """First parents, from the beginning to this commit; of the last ones alone, `most` of them."""
        last = [] if most is None else [f"--max-count={most}"]
        return self._run("rev-list", "--first-parent", "--reverse", *last, head).split()

    def beside(self, commit: str, line: Sequence[str]) -> ReleaseFollowed:
        """The last one of a line of first parents that a commit has, and what it has beside it."""
        if commit in line:
            return ReleaseFollowed(commit=commit, base=commit, commits=())
        found = bisect_left(range(len(line)), True, key=lambda n: not self._has(commit, line[n]))
        base = line[found - 1] if found else None
        without = _revisions([commit], [base] if base else [])
        listed = self._run("rev-list", "--topo-order", f"--max-count={BESIDE_LIMIT}", "--stdin", given=without).split()
        return ReleaseFollowed(commit=commit, base=base, commits=tuple(reversed(listed)))

    def _has(self, head: str, commit: str) -> bool:
        done = subprocess.run(
            [*self._command, "merge-base", "--is-ancestor", commit, head],
            capture_output=True,
            env=self._environment,
            check=False,
        )
        if done.returncode > 1:
            raise InvalidValue(_said(done.stderr))
        return done.returncode == 0

    def blame(self, path: str, line: int, revision: str | None = None) -> str:
        """The commit that a line of a file is from; of the file as it stands where no revision is named. Whitespace
        does not count. Raises InvalidValue where there is no such line, or it is not committed yet."""
        if line < 1:
            raise InvalidValue("Lines are counted from 1.", ("line",))
        at: list[str] = []
        if revision is not None:
            found = self.resolve(revision)
            if found is None:
                raise InvalidValue(f"There is no revision {revision[:80]!r} here.", ("revision",))
            at.append(found)
        told = self._run("blame", "-w", "--porcelain", f"-L{line},{line}", *at, "--", path)
        self._must_not_be_cut(told)
        sha = told.partition(" ")[0]
        if not sha.strip("0"):
            raise InvalidValue(f"Line {line} of {path} is not committed yet.", ("line",))
        return sha

    def files(self, head: str) -> dict[str, int]:
        """Bytes of each file of a commit; without links and submodules."""
        found: dict[str, int] = {}
        for entry in self._run("ls-tree", "-r", "-l", "-z", "--full-tree", head).split("\0"):
            about, _, path = entry.partition("\t")
            mode, kind, _, size = about.split() if about else ("", "", "", "")
            if kind == "blob" and mode != "120000":
                found[path] = int(size)
        return found

    def texts(self, head: str, files: Mapping[str, int], limit: int) -> list[str]:
        """Those of these files that are text, of so many bytes at most."""
        listed = self._run("grep", "-I", "-z", "--files-with-matches", "--full-name", "-e", "", head, failing=True)
        paths = (one.removeprefix(f"{head}:") for one in listed.split("\0") if one)
        return [path for path in paths if files.get(path, limit + 1) <= limit]

    def changed(self, since: str, head: str) -> frozenset[str]:
        """Files that commits of a line of first parents changed after one of them, up to another."""
        options = ("--first-parent", "-m", "--no-renames", "--name-only", "-z", "--format=")
        listed = self._run("log", *options, "--stdin", given=_revisions([head], [since]))
        return frozenset(one for one in listed.split("\0") if one)

    def blame_all(self, path: str, revision: str | None = None) -> Counter[str]:
        """How many lines of a file are from each commit, as it stands where no revision is named; those that are not
        committed yet left out."""
        at = [] if revision is None else [revision]
        told = self._run("blame", "-w", "--porcelain", *at, "--", path)
        self._must_not_be_cut(told)
        lines = told.splitlines()
        heads = (line.split(" ") for line in lines if not line.startswith("\t"))
        shas = (head[0] for head in heads if len(head) in (3, 4) and len(head[0]) in (40, 64) and head[1].isdigit())
        return Counter(sha for sha in shas if sha.strip("0"))

    def messages(self, revisions: str) -> list[tuple[str, str]]:
        """Hash and message of each commit of a range as git writes it, without merges, oldest first."""
        if revisions.startswith("-"):
            raise InvalidValue(f"{revisions!r} is no range of revisions.")
        form = "--format=tformat:%H%x00%B"
        found = self._run("log", "-z", "--reverse", "--no-merges", "--encoding=UTF-8", form, revisions, "--")
        fields = found.split("\0")
        return list(zip(fields[::2], fields[1::2], strict=False))

    def patch_ids(self, shas: Iterable[str]) -> dict[str, str]:
        """What each of these commits changes, as `git patch-id` calls it; none for merges and empty ones."""
        given = "".join(f"{sha}\n" for sha in shas)
        if not given:
            return {}
        with self._reading(
            "diff-tree", "--stdin", "--root", "-p", "--no-ext-diff", "--no-textconv", given=given
        ) as patches:
            found = subprocess.run(
                [*self._command, "patch-id", "--stable"],
                stdin=patches,
                capture_output=True,
                env=self._environment,
                check=False,
            )
        pairs = (line.split() for line in found.stdout.decode("ascii").splitlines())
        return {sha: patch for patch, sha in pairs}

    # ---- running it

    def _run(self, *arguments: str, given: str | None = None, failing: bool = False) -> str:
        """Its output. `failing`: an answer that it fails is one, too."""
        done = subprocess.run(
            [*self._command, *arguments],
            input=None if given is None else given.encode(),
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            env=self._environment,
            check=False,
        )
        if done.returncode and not failing:
            raise InvalidValue(_said(done.stderr))
        return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else ""

    @contextmanager
    def _reading(self, *arguments: str, given: str) -> Generator[IO[bytes]]:
        """Its output as it comes. Raises InvalidValue where it fails at the end."""
        command = [*self._command, *arguments]
        with tempfile.TemporaryFile() as asked, tempfile.TemporaryFile() as errors:  # no pipe that both ends wait at
            asked.write(given.encode())
            asked.seek(0)
            with subprocess.Popen(
                command, stdin=asked, stdout=subprocess.PIPE, stderr=errors, env=self._environment
            ) as process:
                assert process.stdout is not None
                try:
                    yield process.stdout
                except BaseException:
                    process.kill()
                    raise
                process.stdout.close()
                if process.wait():
                    errors.seek(0)
                    raise InvalidValue(_said(errors.read()))


def _ref(line: str) -> list[str]:
    kind, sha, peeled_kind, peeled, name = line.split(" ", 4)
    return [kind, sha, peeled_kind, peeled, name]


def _revisions(heads: Iterable[str], without: Iterable[str]) -> str:
    return "".join([*(f"{sha}\n" for sha in heads), *(f"^{sha}\n" for sha in without)])


def _commit(fields: list[bytes]) -> GitCommit:
    sha, parents, author, email, authored, committed, message = (one.decode("utf-8", "replace") for one in fields)
    return GitCommit(
        sha=sha,
        parents=tuple(parents.split()),
        author=author,
        email=email,
        authored_at=_time(authored),
        committed_at=_time(committed),
        message=message,
    )


def _time(seconds: str) -> datetime:
    """Of a clock that stood at nonsense, as some old commits have it, the beginning of time."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return _EPOCH


def _said(error: bytes) -> str:
    """What git says is wrong, in one line."""
    lines = error.decode("utf-8", "replace").strip().splitlines()
    named = next(
        (line for line in lines if line.startswith(("fatal:", "error:"))), lines[0] if lines else "no reason given"
    )
    return f"git cannot read this repository: {named.removeprefix('fatal: ').removeprefix('error: ')}"
