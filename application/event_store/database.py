"""One shard is one Postgres schema. Who connects: one login, which takes a role without login for each kind of work."""

import re
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any, LiteralString
from uuid import UUID, uuid4

import msgspec
import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, ConnectionPool

Connection = psycopg.Connection[TupleRow]

MINIMUM_SERVER = 170000
SCHEMA_VERSION = 1
DATABASE_VARIABLE = "PROTEUS_DATABASE_URL"
KEYS_VARIABLE = "PROTEUS_KEYS_DATABASE_URL"
"""Names the database that holds the keys, where they have one of their own."""


class Role(StrEnum):
    """None may log in and none is a superuser; row-level security binds every one of them."""

    OWNER = "proteus_owner"
    """Owns the tables: migrations, rebuilds, workspaces and tokens."""
    APP = "proteus_app"
    """Selects and inserts events of the workspace that is set."""
    PROJECTOR = "proteus_projector"
    """Follows the events of all workspaces and writes read models."""
    READER = "proteus_reader"
    """Reads what belongs to the workspace that is set."""


class DatabaseNotUsable(Exception):
    """The database is not what Proteus needs; the message says what to do."""


class Stand(msgspec.Struct, frozen=True):
    """What a schema was migrated to. `keys`: which keys go with it, an id that is made with them."""

    version: int
    keys: UUID


@dataclass(frozen=True)
class Place:
    """A schema of a database. `url`: a libpq URL or key=value string of a login that is a member of the four roles."""

    url: str
    schema: str = "proteus"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]*", self.schema) or len(self.schema) > self.longest_name:
            raise DatabaseNotUsable(
                f"{self.schema!r} is not a schema name: a-z, 0-9 and _, at most {self.longest_name}."
            )

    @property
    def longest_name(self) -> int:
        """Of its schema, in characters: PostgreSQL's names have 63, and others are made of it."""
        return 46

    @property
    def variable(self) -> str:
        """Which names it."""
        return DATABASE_VARIABLE

    @property
    def patience(self) -> float:
        """Seconds for which whoever wants a connection waits."""
        return 10

    def conninfo(self, role: Role, **settings: str) -> str:
        """Seconds-long limits keep a dead client from holding the append lock, which readers wait behind."""
        given = {
            "role": role.value,
            "search_path": self.schema,
            "timezone": "UTC",
            "idle_in_transaction_session_timeout": "15s",
            "client_connection_check_interval": "5s",
            **settings,
        }
        options = " ".join(f"-c {name}={value}" for name, value in given.items())
        return make_conninfo(
            self.url,
            options=options,
            application_name=f"proteus {role.name.lower()}",
            keepalives_idle="10",
            keepalives_interval="5",
            keepalives_count="3",
            tcp_user_timeout="20000",
        )

    def connect(self, role: Role, **settings: str) -> Connection:
        """An autocommit connection. Raises psycopg.OperationalError."""
        return psycopg.connect(self.conninfo(role, **settings), autocommit=True, connect_timeout=10)

    def pool(self, role: Role, size: int, **settings: str) -> ConnectionPool[Connection]:
        return ConnectionPool(**self._pooling(role, size, settings), reconnect_failed=ConnectionPool.check, open=True)

    def async_pool(
        self, role: Role, size: int, **settings: str
    ) -> AsyncConnectionPool[psycopg.AsyncConnection[TupleRow]]:
        """Not yet open: open it inside the event loop."""
        check = AsyncConnectionPool.check
        return AsyncConnectionPool(**self._pooling(role, size, settings), reconnect_failed=check, open=False)

    def _pooling(self, role: Role, size: int, settings: dict[str, str]) -> dict[str, Any]:
        return {
            "conninfo": self.conninfo(role, **settings),
            "min_size": 1,
            "max_size": size,
            "max_waiting": 1000,
            "timeout": self.patience,
            # Its pauses double: after a long outage it would be away for as long again. So it soon gives up and `check`
            # begins anew, every second or two.
            "reconnect_timeout": 3,
            "kwargs": {"autocommit": True, "connect_timeout": 10},
            "name": f"proteus-{role.name.lower()}",
        }

    def stand(self) -> Stand | None:
        """None where nothing was migrated yet. Raises DatabaseNotUsable, psycopg.OperationalError."""
        with self._login() as connection:
            found = connection.execute("select 1 from pg_roles where rolname = any(%s)", (list(Role),)).fetchall()
            if len(found) < len(Role):
                return None
            _run(connection, "set role {}", Role.READER.value)
            return self._stand(connection)

    def _login(self) -> Connection:
        """In autocommit. Raises DatabaseNotUsable where the login could see through row-level security, or the server
        is too old."""
        connection = psycopg.connect(self.url, autocommit=True, connect_timeout=10)
        row = connection.execute(
            "select rolsuper or rolbypassrls, rolname, current_setting('server_version_num')::int"
            "  from pg_roles where rolname = session_user"
        ).fetchone()
        assert row is not None
        if not row[0] and row[2] >= MINIMUM_SERVER:
            return connection
        connection.close()
        raise DatabaseNotUsable(
            f"{self.variable} logs in as {row[1]!r}, which row-level security does not bind. Make a login"
            " for Proteus: create role proteus login password '…' createrole;"
            f" create database proteus owner proteus; and name it in {self.variable}."
            if row[0]
            else "Proteus needs PostgreSQL 17 or newer; 18 is what it is tested with."
        )

    def _stand(self, connection: Connection) -> Stand | None:
        table = sql.Identifier(self.schema, "schema_version")
        try:
            with connection.transaction():
                row = connection.execute(sql.SQL("select version, keys from {}").format(table)).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.InsufficientPrivilege):
            return None
        except psycopg.errors.UndefinedColumn:
            raise DatabaseNotUsable(
                f"The schema {self.schema} was made by Proteus before its first release, and is not carried on:"
                " make the database anew."
            ) from None
        return None if row is None else Stand(*row)

    @contextmanager
    def _migrating(self) -> Generator[tuple[Connection, Stand | None]]:
        """A transaction as the owner, alone at it, and where the schema stands. Raises DatabaseNotUsable."""
        lock = "select pg_advisory_xact_lock(hashtext('proteus migrate'))"
        with self._login() as connection:
            with connection.transaction():  # of its own: keys that move here need the roles before all else
                connection.execute(lock)
                self._make_roles(connection)
            with connection.transaction():
                connection.execute(lock)
                connection.execute("set local client_min_messages = warning")
                _run(connection, "set local role {}", Role.OWNER.value)
                stand = self._stand(connection)
                if stand is not None and stand.version > SCHEMA_VERSION:
                    raise DatabaseNotUsable(
                        f"The schema {self.schema} has version {stand.version}, this Proteus knows {SCHEMA_VERSION}."
                        " Run a newer Proteus."
                    )
                yield connection, stand

    def _make_roles(self, connection: Connection) -> None:
        for role in Role:
            exists = connection.execute("select 1 from pg_roles where rolname = %s", (role.value,)).fetchone()
            if exists is None:
                _run(connection, "create role {} nologin nosuperuser nobypassrls", role.value)
            member = connection.execute("select pg_has_role(session_user, %s, 'SET')", (role.value,)).fetchone()
            if member is None or not member[0]:
                self._join(connection, role)
        _run(connection, "grant create on database {} to {}", connection.info.dbname, Role.OWNER.value)

    def _join(self, connection: Connection, role: Role) -> None:
        try:
            _run(connection, "grant {} to session_user with inherit false, set true", role.value)
        except psycopg.errors.InsufficientPrivilege:
            login = connection.info.user
            raise DatabaseNotUsable(
                f"{self.variable} logs in as {login!r}, but the roles of Proteus on this server are another login's."
                f" Let a superuser say: grant {', '.join(Role)} to {login} with inherit false, set true;"
            ) from None

    def _create(self, connection: Connection, source: str, stand: Stand) -> None:
        _run(connection, "create schema {}", self.schema)
        for role in (Role.APP, Role.PROJECTOR, Role.READER):
            _run(connection, "grant usage on schema {} to {}", self.schema, role.value)
        self._run_file(connection, source)
        connection.execute("create table schema_version (version integer not null, keys uuid not null)")
        connection.execute("grant select on schema_version to public")
        connection.execute("insert into schema_version values (%s, %s)", (stand.version, stand.keys))

    def _is_used(self, connection: Connection) -> bool:
        """Whether somebody has a key here."""
        table = sql.Identifier(self.schema, "subject_key")
        [(used,)] = connection.execute(sql.SQL("select exists (select from {})").format(table)).fetchall()
        return bool(used)

    def _run_file(self, connection: Connection, source: str) -> None:
        _run(connection, "set local search_path to {}", self.schema)
        connection.execute(sql_text(source))


class _Keys(Place):
    """In a database of its own."""

    @property
    def variable(self) -> str:
        return KEYS_VARIABLE

    @property
    def patience(self) -> float:
        """Less: while it is away, commands that need nothing of it must not wait behind those that do."""
        return 2


@dataclass(frozen=True)
class Database(Place):
    """Where a shard lives. `keys_url`: of the database that holds its keys, where they have one of their own."""

    keys_url: str | None = None

    @property
    def longest_name(self) -> int:
        return 41

    @property
    def keys(self) -> Place:
        """Where its keys lie: in a schema of their own, of this database or of another. Nothing may be asked of the
        one together with the other."""
        schema = f"{self.schema}_keys"
        return Place(self.url, schema) if self.keys_url is None else _Keys(self.keys_url, schema)

    def migrate(self, install_read_models: Callable[[Connection], None]) -> bool:
        """Brings empty or older schemas to this version; safe to run again and at the same time from elsewhere.

        `install_read_models` is called with a connection in the role of the owner. True if anything changed.
        Raises DatabaseNotUsable.
        """
        with self._migrating() as (_, before):
            pass
        with self.keys._migrating() as (connection, keys):
            if keys is None:
                if before is not None:  # new ones would open nothing of what there is
                    raise DatabaseNotUsable(_no_keys(self))
                keys = Stand(SCHEMA_VERSION, uuid4())
                self.keys._create(connection, "keys.sql", keys)
            elif before is None and self.keys._is_used(connection):
                raise DatabaseNotUsable(
                    f"The database of {self.keys.variable} holds the keys of another log (schema {self.keys.schema}),"
                    f" and that of {DATABASE_VARIABLE} is new. Name a database of its own for the keys."
                )
            self.keys._run_file(connection, "audit_keys.sql")
        with self._migrating() as (connection, stand):
            if stand is None:
                self._create(connection, "schema.sql", keys)
            self.check_pair(stand or keys, keys)
            self._run_file(connection, "audit.sql")
            install_read_models(connection)
        return stand is None

    def check_pair(self, stand: Stand, keys: Stand) -> None:
        """Raises DatabaseNotUsable where these keys are not those of this database, or lie in it as well."""
        if stand.keys != keys.keys:
            raise DatabaseNotUsable(_no_keys(self))
        if self.keys_url is None:
            return
        with self._login() as connection:
            row = connection.execute("select to_regnamespace(%s) is null", (self.keys.schema,)).fetchone()
        if row != (True,):
            raise DatabaseNotUsable(
                f"The schema {self.keys.schema} is also in the database of {DATABASE_VARIABLE}, although"
                f" {KEYS_VARIABLE} names another for it. The operator's guide tells how keys move."
            )


def _no_keys(database: Database) -> str:
    place = database.keys
    return (
        f"The database of {place.variable} does not hold the keys of what is in that of {DATABASE_VARIABLE} (schema"
        f" {place.schema}). The operator's guide tells how keys move from one database to another."
    )


def sql_text(name: str) -> bytes:
    return (files("application.event_store") / name).read_bytes()


def _run(connection: psycopg.Connection[Any], statement: LiteralString, *names: str) -> None:
    query = sql.SQL(statement).format(*map(sql.Identifier, names))
    connection.execute(query)
