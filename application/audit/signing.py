"""The keys of the logs: Ed25519, one in use per workspace. Checkpoints are signed notes of C2SP."""

import base64
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg_pool import ConnectionPool

from application.audit.verifying import ED25519, Key
from application.event_store.attempts import on_connection
from application.event_store.database import Connection, Database, Role


class KeyRefused(Exception):
    """The message says why there is, or is to be, no such key."""


def origin(workspace: UUID) -> str:
    """The log's name, wherever it is served: a workspace that moves keeps it."""
    return f"proteus/{workspace}"


def verifier(workspace: UUID, public: bytes) -> Key:
    return Key(origin(workspace), ED25519, public)


class Signer:
    """One workspace's private key."""

    def __init__(self, workspace: UUID, private: bytes) -> None:
        self._private = Ed25519PrivateKey.from_private_bytes(private)
        self.key = verifier(workspace, self._private.public_key().public_bytes_raw())

    def line(self, text: str) -> str:
        signature = self.key.id + self._private.sign(text.encode())
        return f"— {self.key.name} {base64.b64encode(signature).decode()}\n"


def checkpoint(size: int, root: bytes, *signers: Signer) -> str:
    """Signed by all of them; they are of one log."""
    text = f"{signers[0].key.name}\n{size}\n{base64.b64encode(root).decode()}\n"
    return "\n".join([text, "".join(signer.line(text) for signer in signers)])


@contextmanager
def in_use(keys: Connection, workspaces: Sequence[UUID]) -> Generator[dict[UUID, Signer]]:
    """Of these workspaces, made where there is none; as the projector, where keys lie. None is retired before the end,
    which has to come after that of the transaction that signs."""
    with keys.transaction():
        rows = keys.execute(
            "select workspace, private from audit_key where workspace = any(%s) and retired_at is null for share",
            (list(workspaces),),
        ).fetchall()
        signers = {workspace: Signer(workspace, private) for workspace, private in rows}
        if len(signers) == len(workspaces):
            yield signers
            return
    for workspace in set(workspaces) - signers.keys():
        _made(keys, workspace)  # for good, before anything is signed with it
    with in_use(keys, workspaces) as signers:
        yield signers


def _made(keys: Connection, workspace: UUID) -> Signer | None:
    """None where there is one."""
    private = Ed25519PrivateKey.generate()
    made = keys.execute(
        "insert into audit_key (workspace, public, private) values (%s, %s, %s) on conflict do nothing",
        (workspace, private.public_key().public_bytes_raw(), private.private_bytes_raw()),
    ).rowcount
    return Signer(workspace, private.private_bytes_raw()) if made else None


def verifiers(pool: ConnectionPool[Connection], workspace: UUID) -> list[str]:
    """The verifier keys that `known` tells, by the application's pool. Raises StoreUnavailable."""

    def ask(keys: Connection) -> list[Key]:
        with keys.transaction():
            keys.execute("select set_config('proteus.workspace', %s, true)", (str(workspace),))
            return known(keys, workspace)

    return [key.vkey for key in on_connection(pool, ask)]


def known(keys: Connection, workspace: UUID) -> list[Key]:
    """The key in use, then those before it; asked where keys lie."""
    rows = keys.execute(
        "select public from audit_key where workspace = %s order by retired_at desc nulls first", (workspace,)
    ).fetchall()
    return [verifier(workspace, public) for (public,) in rows]


def new(database: Database, workspace: UUID) -> Key:
    """The workspace's first key. Raises KeyRefused, psycopg.Error."""
    with database.keys.connect(Role.PROJECTOR) as keys:
        signer = _made(keys, workspace)
    if signer is None:
        raise KeyRefused("This workspace's log has a key: `proteus audit key rotate` puts another in its place.")
    return signer.key


def rotate(database: Database, workspace: UUID) -> Key:
    """Another key, which signs from now on. The newest checkpoint is signed by both, so that whoever trusts the old key
    can learn of the new one; then the old private key is forgotten. Raises KeyRefused, psycopg.Error."""
    with (
        database.connect(Role.PROJECTOR) as connection,
        database.keys.connect(Role.PROJECTOR) as keys,
        keys.transaction(),
    ):
        # Held until the end: nobody signs with the old key meanwhile.
        row = keys.execute(
            "select private from audit_key where workspace = %s and retired_at is null for update", (workspace,)
        ).fetchone()
        if row is None:
            raise KeyRefused("This workspace's log has no key yet: `proteus audit key new` makes one.")
        old = Signer(workspace, row[0])
        keys.execute(
            "update audit_key set private = null, retired_at = clock_timestamp()"
            " where workspace = %s and retired_at is null",
            (workspace,),
        )
        made = _made(keys, workspace)
        assert made is not None, "the row is locked"
        last = connection.execute(
            "select size, root from audit_checkpoint where workspace = %s order by size desc limit 1", (workspace,)
        ).fetchone()
        if last is not None:
            # Before the new key is kept: where that fails, this has a signature too many, and the old one counts.
            connection.execute(
                "update audit_checkpoint set note = %s where workspace = %s and size = %s",
                (checkpoint(last[0], last[1], old, made), workspace, last[0]),
            )
    return made.key
