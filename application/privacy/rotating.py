"""Rotating the master key: another takes its place, all keys are wrapped by it, and the old one is forgotten."""

import os
from pathlib import Path

from application.event_store import master_keys
from application.event_store.database import Database, Role
from application.event_store.master_keys import KEY_BYTES, MasterKeys, identity
from application.privacy.erasing import clean

BATCH = 1_000


def rotate(database: Database, path: Path) -> tuple[int, list[str]]:
    """How many keys were wrapped, and what could not be cleaned, as an erasure says. Also the way to the first master
    key. Interrupted, it is finished by the next rotation. Raises DatabaseNotUsable, OSError, psycopg.Error."""
    old = master_keys.read(path) if path.exists() else []
    new = os.urandom(KEY_BYTES)
    master_keys.write(path, [new, *old])  # before anything is wrapped by it
    master = MasterKeys(path)
    master.read_again()
    with database.connect(Role.OWNER) as connection, connection.transaction():
        connection.execute("insert into master_key (id) values (%s)", (identity(new),))
        # From here on, who has not heard of it is refused, and looks into the file again.
        connection.execute(
            "update master_key set retired_at = clock_timestamp() where id <> %s and retired_at is null",
            (identity(new),),
        )
    wrapped = 0
    with database.connect(Role.OWNER) as connection:
        while True:
            rows = connection.execute(
                "select workspace, subject, key from subject_key where key is not null"
                "  and (octet_length(key) = 32 or substr(key, 1, 8) <> %s) limit %s",
                (identity(new), BATCH),
            ).fetchall()
            if not rows:
                break
            opened = [(one, subject, master.unwrap(key, one, subject), key) for one, subject, key in rows]
            with connection.transaction():
                for one, subject, key, before in opened:
                    wrapped += connection.execute(
                        "update subject_key set key = %s where workspace = %s and subject = %s and key = %s",
                        (master.wrap(key, one, subject), one, subject, before),
                    ).rowcount
    master_keys.write(path, [new])
    return wrapped, clean(database)
