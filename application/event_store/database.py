"""One shard is one Postgres schema. Who connects: one login, which takes a role without login for each kind of work."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool, ConnectionPool

Connection = psycopg.Connection[TupleRow]

MINIMUM_SERVER = 160000
SCHEMA_VERSION = 1


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


@dataclass(frozen=True)
class Database:
    """Where a shard lives. `url`: a libpq URL or key=value string of a login that is a member of the four roles."""

    url: str
    schema: str = "proteus"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,40}", self.schema):
            raise DatabaseNotUsable(f"{self.schema!r} is not a schema name: a-z, 0-9 and _, at most 41.")

    @property
    def keys_schema(self) -> str:
        return f"{self.schema}_keys"

    def conninfo(self, role: Role, **settings: str) -> str:
        """Seconds-long limits keep a dead client from holding the append lock, which readers wait behind."""
        given = {
            "role": role.value,
            "search_path": f"{self.schema},{self.keys_schema}",
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
            "timeout": 10,
            # Its pauses double: after a long outage it would be away for as long again. So it soon gives up and `check`
            # begins anew, every second or two.
            "reconnect_timeout": 3,
            "kwargs": {"autocommit": True, "connect_timeout": 10},
            "name": f"proteus-{role.name.lower()}",
        }

    def check_login(self) -> None:
        """Raises DatabaseNotUsable where the login could see through row-level security, or the server is too old."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
            row = connection.execute(
                "select rolsuper or rolbypassrls, rolname, current_setting('server_version_num')::int"
                "  from pg_roles where rolname = session_user"
            ).fetchone()
        assert row is not None
        if row[0]:
            raise DatabaseNotUsable(
                f"PROTEUS_DATABASE_URL logs in as {row[1]!r}, which row-level security does not bind. Make a login"
                " for Proteus: create role proteus login password '…' createrole;"
                " create database proteus owner proteus; and name it in PROTEUS_DATABASE_URL."
            )
        if row[2] < MINIMUM_SERVER:
            raise DatabaseNotUsable("Proteus needs PostgreSQL 16 or newer; 18 is what it is tested with.")

    def has_roles(self) -> bool:
        """Whether the roles are there: without them nobody can even connect as one."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=10) as connection:
            found = connection.execute("select 1 from pg_roles where rolname = any(%s)", (list(Role),)).fetchall()
        return len(found) == len(Role)

    def migrate(self, install_read_models: Callable[[Connection], None]) -> bool:
        """Brings an empty or older schema to this version; safe to run again and at the same time from elsewhere.

        `install_read_models` is called with a connection in the role of the owner. True if anything changed.
        Raises DatabaseNotUsable.
        """
        self.check_login()
        with psycopg.connect(self.url, connect_timeout=10) as connection:
            connection.execute("select pg_advisory_xact_lock(hashtext('proteus migrate'))")
            connection.execute("set local client_min_messages = warning")
            self._make_roles(connection)
            _set_role(connection, Role.OWNER)
            current = self._version(connection)
            if current is not None and current > SCHEMA_VERSION:
                raise DatabaseNotUsable(
                    f"The schema {self.schema} has version {current}, this Proteus knows {SCHEMA_VERSION}."
                    " Run a newer Proteus."
                )
            if current is None:
                self._create(connection)
            for schema, source in ((self.keys_schema, "audit_keys.sql"), (self.schema, "audit.sql")):
                _run(connection, "set local search_path to {}", schema)
                connection.execute(sql_text(source))
            _run(connection, "set local search_path to {}, {}", self.schema, self.keys_schema)
            install_read_models(connection)
        return current is None

    def _version(self, connection: Connection) -> int | None:
        row = connection.execute("select to_regclass(%s)", (f"{self.schema}.schema_version",)).fetchone()
        if row is None or row[0] is None:
            return None
        found = connection.execute(
            sql.SQL("select max(version) from {}.schema_version").format(sql.Identifier(self.schema))
        ).fetchone()
        return None if found is None else found[0]

    def _make_roles(self, connection: Connection) -> None:
        for role in Role:
            exists = connection.execute("select 1 from pg_roles where rolname = %s", (role.value,)).fetchone()
            if exists is None:
                _run(connection, "create role {} nologin nosuperuser nobypassrls", role.value)
            member = connection.execute("select pg_has_role(session_user, %s, 'SET')", (role.value,)).fetchone()
            if member is None or not member[0]:
                _run(connection, "grant {} to session_user with inherit false, set true", role.value)
        _run(connection, "grant create on database {} to {}", connection.info.dbname, Role.OWNER.value)

    def _create(self, connection: Connection) -> None:
        for schema, source in ((self.schema, "schema.sql"), (self.keys_schema, "keys.sql")):
            _run(connection, "create schema {}", schema)
            for role in (Role.APP, Role.PROJECTOR, Role.READER):
                _run(connection, "grant usage on schema {} to {}", schema, role.value)
            _run(connection, "set local search_path to {}", schema)
            connection.execute(sql_text(source))
        _run(connection, "create table {}.schema_version (version integer not null)", self.schema)
        _run(connection, "grant select on {}.schema_version to public", self.schema)
        connection.execute(
            sql.SQL("insert into {}.schema_version values (%s)").format(sql.Identifier(self.schema)),
            (SCHEMA_VERSION,),
        )


def sql_text(name: str) -> bytes:
    return (files("application.event_store") / name).read_bytes()


def _set_role(connection: Connection, role: Role) -> None:
    _run(connection, "set local role {}", role.value)


def _run(connection: psycopg.Connection[Any], statement: LiteralString, *names: str) -> None:
    query = sql.SQL(statement).format(*map(sql.Identifier, names))
    connection.execute(query)
