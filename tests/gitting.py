"""Repositories made by real git, the same every time: people, times and hashes too."""

import os
import subprocess
from pathlib import Path

ANNA, BORIS = ("Анна Иванова", "anna@example.org"), ("Boris", "boris@example.org")
FIRST_SECOND = 1_767_258_000
"""2026-01-01 09:00 UTC; every commit is a minute after the one before."""


class Work:
    """A working clone. Commits say who and when; `git` runs any command and returns what it prints."""

    def __init__(self, path: Path, *, made: bool = False) -> None:
        self.path = path
        self.minute = 0
        if not made:
            path.mkdir()
            self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str, by: tuple[str, str] = ANNA, given: str | None = None) -> str:
        at = f"{FIRST_SECOND + self.minute * 60} +0300"
        name, email = by
        environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")} | {
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": email,
            "GIT_COMMITTER_NAME": name,
            "GIT_COMMITTER_EMAIL": email,
            "GIT_AUTHOR_DATE": at,
            "GIT_COMMITTER_DATE": at,
            "GIT_EDITOR": "true",
        }
        done = subprocess.run(
            ["git", "-C", str(self.path), "-c", "protocol.file.allow=always", *arguments],
            input=given,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def commit(
        self, message: str, file: str = "code.txt", *, by: tuple[str, str] = ANNA, text: str | None = None
    ) -> str:
        """Of a file that gets another line. Returns its hash."""
        self.minute += 1
        place = self.path / file
        place.parent.mkdir(parents=True, exist_ok=True)
        before = place.read_text(encoding="utf-8") if place.exists() else ""
        place.write_text(f"{before}{message} {self.minute}\n", encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message, by=by)
        return self.head()

    def head(self, revision: str = "HEAD") -> str:
        return self.git("rev-parse", revision)

    def branch(self, name: str, start: str = "main") -> None:
        self.git("checkout", "--quiet", "-b", name, start)

    def checkout(self, name: str) -> None:
        self.git("checkout", "--quiet", name)

    def merge(self, branch: str, message: str, into: str = "main") -> str:
        """By a merge commit. Returns its hash."""
        self.minute += 1
        self.checkout(into)
        self.git("merge", "--quiet", "--no-ff", "-m", message, branch)
        return self.head()

    def squash(self, branch: str, message: str) -> str:
        self.minute += 1
        self.checkout("main")
        self.git("merge", "--quiet", "--squash", branch)
        self.git("commit", "--quiet", "-m", message)
        return self.head()

    def rebase_merge(self, branch: str) -> list[str]:
        """As a provider does: each of its commits anew on the main branch, which is what it leaves of the branch here.
        Returns their hashes, oldest first."""
        self.minute += 1
        own = self.git("rev-list", "--reverse", f"main..{branch}").split()
        self.checkout("main")
        for one in own:
            self.git("cherry-pick", one)
        return self.git("rev-list", "--reverse", f"-{len(own)}", "main").split()
