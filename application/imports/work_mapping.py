"""What the columns of a log of work mean: a TOML file that says `kind = "work"`.

`docs/mappings/cesaw_timelog.toml` is a commented example.
"""

import re
import tomllib
from collections.abc import Mapping
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from application.imports.mapping import FileFormat
from domain import text
from domain.errors import InvalidValue

CACHED_TIMES = 100_000
_BRACES = re.compile(r"\{([^{}]*)\}")
_SECONDS = {"seconds": 1, "minutes": 60, "hours": 3_600}


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class WorkColumns(_Table, frozen=True, kw_only=True):
    """`key`: what a row is known by; one column, or several in braces."""

    key: str
    person: str
    comment: str | None = None


class WorkTicket(_Table, frozen=True, kw_only=True):
    """The ticket that was worked on; columns in braces."""

    key: str
    title: str
    role: str
    tags: tuple[str, ...] = ()


class WorkTime(_Table, frozen=True, kw_only=True):
    """`formats`: strptime's, tried in order. Years before `century`, an addend, are counted from it. `end`: none where
    the file tells of sums alone."""

    start: str
    end: str | None = None
    formats: tuple[str, ...]
    zone: str
    century: int | None = None
    net: str | None = None
    interruption: str | None = None
    unit: Literal["seconds", "minutes", "hours"] = "seconds"

    @property
    def seconds_per_unit(self) -> int:
        return _SECONDS[self.unit]


class WorkMapping(_Table, frozen=True, kw_only=True):
    """`source` names the system that the file came from; `none`: values that mean that there is none."""

    kind: Literal["work"]
    source: str
    none: tuple[str, ...] = ("",)
    file: FileFormat = FileFormat()
    columns: WorkColumns
    ticket: WorkTicket
    time: WorkTime

    def named_columns(self) -> list[str]:
        """Every column of the file that is meant."""
        times, columns = self.time, self.columns
        key = None if _BRACES.search(columns.key) else columns.key
        named = [key, columns.person, columns.comment, times.start, times.end, times.net, times.interruption]
        texts = [columns.key, self.ticket.key, self.ticket.title, *self.ticket.tags]
        return [*(one for one in named if one is not None), *(one for line in texts for one in _BRACES.findall(line))]


def is_work(source: str) -> bool:
    """Whether the mapping is one of work. What is no TOML is none."""
    try:
        return tomllib.loads(source).get("kind") == "work"
    except tomllib.TOMLDecodeError:
        return False


def read_work_mapping(source: str) -> WorkMapping:
    """Raises InvalidValue, naming the place in the file."""
    try:
        mapping = msgspec.convert(tomllib.loads(source), WorkMapping)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise InvalidValue(f"The mapping cannot be used: {error}.") from None
    text.key(mapping.source, "source")
    if mapping.file.format != "csv":
        raise InvalidValue("The mapping cannot be used: at file.format: work comes from CSV.")
    try:
        ZoneInfo(mapping.time.zone)
    except (ValueError, OSError, LookupError):
        wrong = f"at time.zone: there is no time zone {mapping.time.zone!r}"
        raise InvalidValue(f"The mapping cannot be used: {wrong}.") from None
    return mapping


def check_columns(mapping: WorkMapping, header: list[str]) -> None:
    """Raises InvalidValue where the file lacks a column that the mapping names."""
    missing = [column for column in mapping.named_columns() if column not in header]
    if missing:
        raise InvalidValue(f"The file has no column {missing[0]!r}. Its columns: {', '.join(header)}.")


def key_of(mapping: WorkMapping, cells: Mapping[str, str]) -> str:
    """What a row is known by."""
    key = mapping.columns.key
    return filled(key, cells) if _BRACES.search(key) else cells[key]


def filled(template: str, cells: Mapping[str, str]) -> str:
    return _BRACES.sub(lambda found: cells[found[1]], template)
