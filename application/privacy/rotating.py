"""Rotating the master key: another takes its place, all keys are wrapped by it, and the old one is forgotten."""

import os
from pathlib import Path

from application.event_store import master_keys
from application.event_store.database import Connection, Database, Role
from application.event_store.master_keys import KEY_BYTES, MasterKeys, identity
from application.privacy.erasing import clean

BATCH = 1_000


def rotate(database: Database, path: Path) -> tuple[int, list[str]]:
    """How many keys were wrapped, and what could not be cleaned, as an erasure says. Also the way to the first master
    key. Waits for another rotation, and for who is making keys. Interrupted, it is finished by the next rotation.
    Raises DatabaseNotUsable, OSError, psycopg.Error."""
    with database.keys.connect(Role.OWNER) as connection:
        connection.execute(_LOCK)  # else each would forget the other's master key
        old = master_keys.read(path) if path.exists() else []
        new = os.urandom(KEY_BYTES)
        master_keys.write(path, [new, *old])  # before anything is wrapped by it
        master = MasterKeys(path)
        master.read_again()
        _retire_others(connection, identity(new))
        wrapped = _wrap_all(connection, master, identity(new))
        master_keys.write(path, [new])
    return wrapped, clean(database.keys)


def _retire_others(connection: Connection, new: bytes) -> None:
    """From here on, who has not heard of the new one is refused, and looks into the file again. Keys that were being
    made meanwhile are there, so that the old master is not forgotten before they are wrapped anew."""
    with connection.transaction():
        connection.execute("lock table subject_key in share mode")
        connection.execute("insert into master_key (id) values (%s)", (new,))
        connection.execute(
            "update master_key set retired_at = clock_timestamp() where id <> %s and retired_at is null", (new,)
        )


def _wrap_all(connection: Connection, master: MasterKeys, new: bytes) -> int:
    wrapped = 0
    while True:
        rows = connection.execute(
            "select workspace, subject, key from subject_key where key is not null"
            "  and (octet_length(key) = 32 or substr(key, 1, 8) <> %s) limit %s",
            (new, BATCH),
        ).fetchall()
        if not rows:
            return wrapped
        opened = [(one, subject, master.unwrap(key, one, subject), key) for one, subject, key in rows]
        with connection.transaction():
            for one, subject, key, before in opened:
                wrapped += connection.execute(
                    "update subject_key set key = %s where workspace = %s and subject = %s and key = %s",
                    (master.wrap(key, one, subject), one, subject, before),
                ).rowcount


_LOCK = "select pg_advisory_lock(hashtextextended(current_schema() || ' master key', 0))"
