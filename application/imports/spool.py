"""Rows of a source, understood by its mapping, put in order on disk: by ticket, time and place in the file."""

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache, partial
from typing import Self

import msgspec
from msgspec import UNSET, UnsetType

from application.imports.mapping import Act, ImportMapping, StatusColumn, slug
from application.imports.source import WHOLE, SourceRow
from domain import text
from domain.errors import InvalidValue
from domain.terms import GRANT_LIMIT
from domain.text import FieldValue
from domain.tickets import Priority
from domain.workflows import Status

CACHED_NAMES = 50_000
SPOOL_CACHE_KIB = 64_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3_600}
_MICROSECOND = timedelta(microseconds=1)


class Fault(Exception):
    """Why a row goes to the rejects."""


class Said(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a row says, in the source's own names. UNSET: nothing; None: that there is none. `does`, `about`: an act on
    tags, title, watchers or comments."""

    status: str | UnsetType = UNSET
    role: str | UnsetType = UNSET
    assignee: str | UnsetType | None = UNSET
    team: str | UnsetType | None = UNSET
    priority: Priority | UnsetType = UNSET
    service: str | UnsetType | None = UNSET
    requester: str | UnsetType | None = UNSET
    actor: str | None = None
    channel: str | None = None
    title: str = ""
    description: str | None = None
    tags: tuple[str, ...] | UnsetType = UNSET
    fields: dict[str, FieldValue] = {}
    does: str | None = None
    about: str | None = None
    estimate: int | UnsetType = UNSET


class SpooledRow(msgspec.Struct, frozen=True):
    """`digest`: tells an exact repeat from another row. `raw`: the cells as JSON, for the rejects."""

    key: str
    at: datetime
    line: int
    digest: bytes
    said: Said
    raw: bytes


class Found(msgspec.Struct):
    """What the source names, collected while it is read."""

    staff: set[str] = msgspec.field(default_factory=set[str])
    clients: set[str] = msgspec.field(default_factory=set[str])
    teams: dict[str, None] = msgspec.field(default_factory=dict[str, None])
    services: dict[str, None] = msgspec.field(default_factory=dict[str, None])


class Statuses:
    """The status that each value of the source means; values that only `default` covers become statuses here."""

    def __init__(self, column: StatusColumn) -> None:
        self._default = column.default
        self._by_cell = {
            cell: Status(key=value.key, name=value.name, category=value.category)
            for cell, value in column.values.items()
        }
        self._by_key = {status.key: status for status in self._by_cell.values()}

    def of(self, cell: str) -> Status:
        """Raises Fault."""
        status = self._by_cell.get(cell)
        if status is not None:
            return status
        if self._default is None:
            raise Fault(f"status {cell!r} is not in the mapping")
        name = _line(cell, "status")
        status = Status(key=free_key(name, "status", self._by_key), name=name, category=self._default)
        self._by_cell[cell] = self._by_key[status.key] = status
        return status

    def all(self) -> list[Status]:
        """In the order of the mapping, then of appearance."""
        return list(self._by_key.values())

    def by_key(self, key: str) -> Status:
        return self._by_key[key]


def free_key(name: str, kind: str, taken: Iterable[str]) -> str:
    """A key made of a name; with a digest of the name where the key is taken by another."""
    key = slug(name, kind)
    if key in taken or key == kind:
        key = f"{key}-{hashlib.blake2b(name.encode(), digest_size=4).hexdigest()}"
    return key


class RowReader:
    """From a row's cells to what it says, in the columns of one file."""

    def __init__(self, mapping: ImportMapping, header: list[str], secret: bytes, now: datetime) -> None:
        self._mapping = mapping
        self._snapshot = mapping.mode == "snapshot"
        self._none = frozenset(mapping.none)
        self._secret = secret
        self._now = now
        self._time = mapping.time_reader()
        self.statuses = Statuses(mapping.status)
        self.found = Found()
        self._columns = {
            place: header.index(column) for place, column in mapping.named_columns() if place != "identity"
        }
        self._places = {column: header.index(column) for _, column in mapping.named_columns()}
        self._identity = None if mapping.identity is None else self._identifying(mapping.identity, header)
        if mapping.identity is None and header[-1] == WHOLE:
            self._identity = [len(header) - 1]
        parts = mapping.title.parts()
        self._title = [(part, header.index(column)) for part, column in zip(parts[::2], parts[1::2], strict=False)]
        self._title_end = parts[-1] if len(parts) % 2 else ""
        self._names = lru_cache(CACHED_NAMES)(partial(_line, limit=text.TITLE_LIMIT))
        self._keys = lru_cache(1024)(partial(_line, limit=text.TITLE_LIMIT))
        self._key = self._columns["columns.key"]
        self._at = self._columns["time.column"]

    def passes_over(self, row: SourceRow) -> str | None:
        """Whether the mapping leaves such rows alone: for which value."""
        only = self._mapping.only
        if only is None or row.fault is not None:
            return None
        value = row.cells[self._columns["only.column"]].strip()
        return None if value in only.values else value

    def _identifying(self, identity: tuple[str, ...], header: list[str]) -> list[int]:
        return sorted({*self._columns.values(), *(header.index(column) for column in identity)})

    def read(self, row: SourceRow) -> tuple[str, datetime, bytes, Said, bytes]:
        """Key, time, digest, what it says, its cells as JSON. Raises Fault."""
        if row.fault is not None:
            raise Fault(row.fault)
        cells = row.cells
        key = cells[self._key].strip()
        if key in self._none:
            raise Fault("no ticket key")
        at = self._read_time(cells[self._at].strip())
        act = self._act(cells)
        said = self._said(cells) if act is None else self._acted(act, cells)
        raw = msgspec.json.encode(cells)
        identity = raw if self._identity is None else msgspec.json.encode([cells[n] for n in self._identity])
        digest = hashlib.blake2b(identity, key=self._secret, digest_size=16).digest()
        return self._keys(key, "key"), at, digest, said, raw

    def _read_time(self, cell: str) -> datetime:
        try:
            at = self._time(cell)
        except (ValueError, OverflowError):
            raise Fault(f"time {cell!r} is not as the mapping says") from None
        if at > self._now:
            raise Fault(f"time {cell!r} is in the future")
        return at

    def _said(self, cells: list[str]) -> Said:
        return Said(
            status=self._read_status(cells),
            role=self._read_role(cells),
            assignee=self._read_name(cells, "columns.assignee", self.found.staff.add),
            team=self._read_name(cells, "columns.team", self.found.teams.setdefault),
            priority=self._read_priority(cells),
            service=self._read_name(cells, "columns.service", self.found.services.setdefault),
            requester=self._read_name(cells, "columns.requester", self.found.clients.add),
            actor=self._read_name(cells, "columns.actor", self.found.staff.add) or None,
            channel=self._read_text(cells, "columns.channel"),
            title="".join([part + cells[column] for part, column in self._title]) + self._title_end,
            description=self._read_text(cells, "columns.description"),
            tags=self._read_tags(cells),
            fields=self._read_fields(cells),
            estimate=self._read_estimate(cells),
        )

    def _act(self, cells: list[str]) -> Act | None:
        acts = self._mapping.acts
        return None if acts is None else acts.values.get(cells[self._columns["acts.column"]].strip())

    def _acted(self, act: Act, cells: list[str]) -> Said:
        """Raises Fault."""
        parts = act.parts()
        named = zip(parts[::2], parts[1::2], strict=False)
        about = "".join([part + cells[self._places[column]] for part, column in named])
        about = (about + (parts[-1] if len(parts) % 2 else "")).strip()
        actor = self._read_name(cells, "columns.actor", self.found.staff.add) or None
        if act.field is not None:
            value = None if act.does == "clear" else text.field_value(act.field, about)
            return Said(actor=actor, fields={act.field: value})
        if not about:
            raise Fault(f"nothing to {act.does}")
        if act.does in ("assign", "unassign", "watch", "unwatch"):
            about = self._names(about, "acts")
            self.found.staff.add(about)
        if act.does == "assign":
            return Said(actor=actor, assignee=about)
        return Said(actor=actor, does=act.does, about=about)

    def _read_status(self, cells: list[str]) -> str | UnsetType:
        cell = cells[self._columns["status.column"]].strip()
        if not cell and not self._snapshot:
            return UNSET
        if cell in self._none and cell not in self._mapping.status.values:
            if self._snapshot:
                raise Fault("no status")
            return UNSET
        return self.statuses.of(cell).key

    def _read_role(self, cells: list[str]) -> str | UnsetType:
        column = self._columns.get("role.column")
        if column is None:
            return UNSET
        cell, role = cells[column].strip(), self._mapping.role
        if cell in role.values:
            return role.values[cell]
        nothing = cell in self._none or not cell
        if nothing and (not self._snapshot or role.role is not None):
            return UNSET
        if role.role is None:
            raise Fault(f"role {cell!r} is not in the mapping")
        return role.role

    def _read_priority(self, cells: list[str]) -> Priority | UnsetType:
        column, priority = self._columns.get("priority.column"), self._mapping.priority
        if column is None or priority is None:
            return UNSET
        cell = cells[column].strip()
        if cell in priority.values:
            return priority.values[cell]
        nothing = cell in self._none or not cell
        if nothing and (not self._snapshot or priority.default is None):
            return UNSET
        if priority.default is None:
            raise Fault(f"priority {cell!r} is not in the mapping")
        return priority.default

    def _read_estimate(self, cells: list[str]) -> int | UnsetType:
        """Seconds."""
        estimate = self._mapping.estimate
        if estimate is None:
            return UNSET
        cell = cells[self._columns["estimate.column"]].strip()
        if cell in self._none or not cell:
            return UNSET
        try:
            seconds = round(Decimal(cell) * _SECONDS[estimate.unit])
        except (InvalidOperation, ValueError, OverflowError):
            raise Fault(f"estimate {cell!r} is no number") from None
        if not 0 <= seconds <= GRANT_LIMIT:
            raise Fault(f"estimate {cell!r} is not 0 to 100,000 hours")
        return seconds or UNSET

    def _read_name(self, cells: list[str], place: str, note: Callable[[str], object]) -> str | UnsetType | None:
        """`note` remembers the name, so that all are known when the first is looked up."""
        column = self._columns.get(place)
        if column is None:
            return UNSET
        cell = cells[column].strip()
        if not cell and not self._snapshot:
            return UNSET
        if cell in self._none:
            return None
        name = self._names(cell, place.removeprefix("columns."))
        note(name)
        return name

    def _read_tags(self, cells: list[str]) -> tuple[str, ...] | UnsetType:
        tags = self._mapping.tags
        if tags is None:
            return UNSET
        cell = cells[self._columns["tags.column"]]
        if not cell.strip() and not self._snapshot:
            return UNSET
        parts = cell.split("\n" if "\n" in cell else tags.separator)
        found = [part for part in (part.strip() for part in parts) if part and part not in self._none]
        if len(found) > text.TAGS_LIMIT:
            raise Fault(f"{len(found)} tags; {text.TAGS_LIMIT} is the limit")
        return tuple(dict.fromkeys(_line(part, "tags", text.KEY_LIMIT) for part in found))

    def _read_fields(self, cells: list[str]) -> dict[str, FieldValue]:
        """An empty cell of an event says nothing, of a snapshot that there is none."""
        found: dict[str, FieldValue] = {}
        for key, field in self._mapping.fields.items():
            cell = cells[self._columns[f"fields.{key}.column"]].strip()
            if cell in self._none or not cell:
                if self._snapshot:
                    found[key] = None
                continue
            try:
                found[key] = text.field_value(key, _typed(cell, field.type))
            except (ValueError, InvalidValue):
                raise Fault(f"fields.{key}: {cell[:80]!r} is no {field.type}") from None
        return found

    def _read_text(self, cells: list[str], place: str) -> str | None:
        column = self._columns.get(place)
        cell = "" if column is None else cells[column].strip()
        return None if cell in self._none or not cell else cell


def _typed(cell: str, kind: str) -> FieldValue:
    """Raises ValueError."""
    if kind == "number":
        number = float(cell)
        return int(cell) if cell.lstrip("+-").isdigit() else number
    if kind == "boolean":
        return BOOLEANS[cell.casefold()] if cell.casefold() in BOOLEANS else bool(int(cell))
    return cell


BOOLEANS = {"true": True, "yes": True, "false": False, "no": False}


def _line(cell: str, field: str, limit: int = text.TITLE_LIMIT) -> str:
    try:
        return text.line(cell, field, limit)
    except InvalidValue as error:
        raise Fault(error.message.rstrip(".")) from None


class Spool:
    """Rows on disk, in a private file without a name, which is gone with this process whatever ends it."""

    def __init__(self) -> None:
        self._file = sqlite3.connect("", isolation_level=None)
        for setting in (f"cache_size = -{SPOOL_CACHE_KIB}", "journal_mode = off", "synchronous = off"):
            self._file.execute(f"pragma {setting}")
        self._file.execute("create table row (key text, at integer, line integer, digest blob, said blob, raw blob)")
        self._decode = msgspec.msgpack.Decoder(Said).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def fill(self, rows: Iterable[tuple[int, str, datetime, bytes, Said, bytes]]) -> None:
        encode = self._encode
        self._file.execute("begin")
        self._file.executemany(
            "insert into row values (?, ?, ?, ?, ?, ?)",
            (
                (key, (at - _EPOCH) // _MICROSECOND, line, digest, encode(said), raw)
                for line, key, at, digest, said, raw in rows
            ),
        )
        self._file.execute("commit")
        self._file.execute("create index row_order on row (key, at, line)")
        self._file.execute("create table ticket as select key, min(at) as first from row group by key")
        self._file.execute("create index ticket_order on ticket (first, key)")

    def tickets(self) -> int:
        return int(self._file.execute("select count(*) from ticket").fetchone()[0])

    def rows(self) -> Iterator[SpooledRow]:
        """Tickets in the order of their first row's time; each ticket's rows by (time, line)."""
        query = (
            "select row.* from ticket cross join row on row.key = ticket.key"
            " order by ticket.first, ticket.key, row.at, row.line"
        )
        for key, at, line, digest, said, raw in self._file.execute(query):
            yield SpooledRow(key, _EPOCH + at * _MICROSECOND, line, digest, self._decode(said), raw)

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
