"""A file in the making: `FILE.part` with what is written, and `FILE.part.state` with where to go on. It gets its name
when it is whole."""

import fcntl
import os
import sqlite3
from collections.abc import Generator, Iterable
from contextlib import closing, contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec

from api.ids import Kind


class ExportRefused(Exception):
    """Nothing was written; the message says what to do."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """`asked`: what is exported, and in which format. `head`: as of which position. `stage`, `key`: after what to go
    on. `size`: bytes of the part up to there. `done`: events."""

    asked: dict[str, Any]
    head: int
    total: int
    stage: int = 0
    key: Any = None
    size: int = 0
    done: int = 0


class Spool:
    """Prices of work and whom events have named are kept on disk, too: memory does not grow with them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.part = path.with_name(f"{path.name}.part")
        self._state = path.with_name(f"{path.name}.part.state")

    @contextmanager
    def opened(self) -> Generator[None]:
        """Raises ExportRefused where the file is there, or somebody else writes it; OSError."""
        if self.path.exists():
            raise ExportRefused(f"{self.path} is there already. Remove it, or name another file.")
        with self.part.open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ExportRefused(f"{self.path} is being written by another export.") from None
            with closing(sqlite3.connect(self._state, isolation_level=None)) as self._db:
                self._db.executescript(_TABLES)
                self._db.execute("begin")
                try:
                    yield
                finally:
                    if self.progress is None:  # nothing to go on with
                        self.forget()

    @property
    def progress(self) -> Progress | None:
        """Of an export that was interrupted; None where there is none, or its part was cut."""
        row = self._db.execute("select state from progress").fetchone()
        found = None if row is None else msgspec.json.decode(row[0], type=Progress)
        there = self.part.stat().st_size if self.part.exists() else -1
        return found if found is not None and there >= found.size else None

    def begin(self, progress: Progress) -> None:
        """Anew, whatever was there."""
        os.truncate(self.part, 0)
        for table in ("progress", "price", "named"):
            self._db.execute(f"delete from {table}")
        self.save(progress)

    def save(self, progress: Progress) -> None:
        """From here it can be gone on with, and all that was noted before is kept."""
        self._db.execute("delete from progress")
        self._db.execute("insert into progress values (?)", (msgspec.json.encode(progress),))
        self._db.execute("commit")
        self._db.execute("begin")

    def note(self, named: Iterable[tuple[Kind, UUID]]) -> None:
        """That events have named these."""
        self._db.executemany(
            "insert or ignore into named values (?, ?)", [(kind.name.lower(), id_.bytes) for kind, id_ in named]
        )

    def named(self, kind: str, after: UUID | None, limit: int) -> list[UUID]:
        """Those of this kind whom events have named, after an id, in order."""
        rows = self._db.execute(
            "select id from named where kind = ? and id > ? order by id limit ?",
            (kind, b"" if after is None else after.bytes, limit),
        )
        return [UUID(bytes=id_) for (id_,) in rows]

    def price(self, currency: str, amounts: dict[UUID, Decimal]) -> None:
        rows = [(entry.bytes, str(amount), currency) for entry, amount in amounts.items()]
        self._db.executemany("insert or replace into price values (?, ?, ?)", rows)

    def price_of(self, entry: UUID) -> tuple[Decimal, str] | None:
        """What an entry of work comes to, and its currency."""
        row = self._db.execute("select amount, currency from price where entry = ?", (entry.bytes,)).fetchone()
        return None if row is None else (Decimal(row[0]), row[1])

    def finish(self) -> None:
        """It is whole, and on the disk."""
        with self.part.open("rb") as file:
            os.fsync(file.fileno())
        self.part.rename(self.path)

    def forget(self) -> None:
        for one in (self.part, self._state):
            one.unlink(missing_ok=True)


_TABLES = """
create table if not exists progress (state blob not null);
create table if not exists price (entry blob primary key, amount text not null, currency text not null) without rowid;
create table if not exists named (kind text not null, id blob not null, primary key (kind, id)) without rowid;
"""
