"""What the columns of a source mean: a TOML file, read into structs and checked before the first row is touched.

`docs/mappings/` holds commented examples.
"""

import codecs
import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache, partial
from typing import Literal, NoReturn
from unicodedata import normalize
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import fields

from domain import text
from domain.errors import InvalidValue
from domain.tickets import Priority
from domain.workflows import StatusCategory

CACHED_TIMES = 100_000
SLUG_LIMIT = text.KEY_LIMIT - 9
"""Leaves room for a hyphen and eight digits, where two names make one key."""


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pass


class FileFormat(_Table, frozen=True, kw_only=True):
    """How the bytes become cells. `format`: in JSON Lines a column is a path ("user.login", "labels[].name"), in XES
    the key of an attribute, of the trace with "case:" before it. `encoding`: XES says itself. `delimiter`: of CSV."""

    format: Literal["csv", "jsonl", "xes"] = "csv"
    encoding: str = "utf-8"
    delimiter: str = ","


class TimeColumn(_Table, frozen=True, kw_only=True):
    """`format` is strptime's, or "iso". `zone` (an IANA name) holds for times that carry no offset; of the two
    readings of an hour that a clock repeats in autumn, the first is taken."""

    column: str
    format: str
    zone: str


class StatusValue(_Table, frozen=True, kw_only=True):
    key: str
    name: str
    category: StatusCategory


class StatusColumn(_Table, frozen=True, kw_only=True):
    """`values`: of the source -> the status. `default`: category of values that the table does not name, which
    become statuses of their own; without it such rows are rejected. `initial`: of the workflow; without it the
    first open status of the table."""

    column: str
    values: dict[str, StatusValue] = {}
    default: StatusCategory | None = None
    initial: str | None = None


class PriorityColumn(_Table, frozen=True, kw_only=True):
    """`default`: of values that the table does not name; without it such rows are rejected."""

    column: str
    values: dict[str, Priority] = {}
    default: Priority | None = None


class RoleColumn(_Table, frozen=True, kw_only=True):
    """Either `role`, the same for every ticket, or a `column` and its `values`; with both, `role` is for values that
    the table does not name. An event that opens a ticket without a role gives it `role`, or the first of `values`."""

    role: str | None = None
    column: str | None = None
    values: dict[str, str] = {}


class TitleColumn(_Table, frozen=True, kw_only=True):
    """Either a `column`, or a `template` as "{number}: {category}", columns in braces; neither: the key."""

    column: str | None = None
    template: str | None = None

    def parts(self) -> list[str]:
        """Text and column by turns, beginning with text."""
        if self.column is not None:
            return ["", self.column]
        return _BRACES.split(self.template or "")


_BRACES = re.compile(r"\{([^{}]*)\}")


class Columns(_Table, frozen=True, kw_only=True):
    """Columns whose values are taken as they are. `actor`: who made the change."""

    key: str
    assignee: str | None = None
    team: str | None = None
    requester: str | None = None
    service: str | None = None
    channel: str | None = None
    description: str | None = None
    actor: str | None = None


class TagsColumn(_Table, frozen=True, kw_only=True):
    """`separator`: between the tags of a cell; a list in JSON Lines has its own."""

    column: str
    separator: str = ","


class FieldColumn(_Table, frozen=True, kw_only=True):
    """A custom field. Values that are none of the type go to the rejects."""

    column: str
    type: Literal["text", "number", "boolean"] = "text"


class Act(_Table, frozen=True, kw_only=True):
    """What a row does, where it says an act and no state. `column`: what it is done with: a tag, a title, a person, a
    value; `template`: the same of several columns, as "{chars} characters". `field`: the custom field that is set."""

    does: Literal["tag", "untag", "retitle", "assign", "unassign", "watch", "unwatch", "comment", "set", "clear"]
    column: str | None = None
    template: str | None = None
    field: str | None = None

    def parts(self) -> list[str]:
        """Text and column by turns, beginning with text."""
        return ["", self.column] if self.column is not None else _BRACES.split(self.template or "")


class ActsColumn(_Table, frozen=True, kw_only=True):
    """`values`: of the column -> the act. Rows with another value say a state, as ever."""

    column: str
    values: dict[str, Act]


class EstimateColumn(_Table, frozen=True, kw_only=True):
    """How long the ticket was thought to take; a changed value revises it. 0 is none."""

    column: str
    unit: Literal["seconds", "minutes", "hours"] = "hours"


class OnlyRows(_Table, frozen=True, kw_only=True):
    """Rows with another value are passed over, and counted by it."""

    column: str
    values: tuple[str, ...]


class WorkflowName(_Table, frozen=True, kw_only=True):
    key: str
    name: str


class ImportMapping(_Table, frozen=True, kw_only=True):
    """`source` names the system that the file came from: tickets, people and commands of two sources never mix.

    `mode`: "snapshot", every row is the ticket's whole state after a change; "event", a row says what changed, and an
    empty cell says nothing. `none`: values that mean that there is none. `identity`: the columns that tell an exact
    repeat of a row from another row of the same ticket and time, beside the columns named here; without it, all
    columns of the file.
    """

    source: str
    mode: Literal["snapshot", "event"] = "snapshot"
    none: tuple[str, ...] = ("",)
    identity: tuple[str, ...] | None = None
    file: FileFormat = FileFormat()
    workflow: WorkflowName
    columns: Columns
    time: TimeColumn
    status: StatusColumn
    role: RoleColumn
    priority: PriorityColumn | None = None
    title: TitleColumn = TitleColumn()
    tags: TagsColumn | None = None
    fields: dict[str, FieldColumn] = {}
    estimate: EstimateColumn | None = None
    only: OnlyRows | None = None
    acts: ActsColumn | None = None

    def named_columns(self) -> list[tuple[str, str]]:
        """Every column of the file that is meant, with the place in the mapping that names it."""
        named = [(f"columns.{name}", column) for name, column in msgspec.structs.asdict(self.columns).items()]
        named += [("time.column", self.time.column), ("status.column", self.status.column)]
        named += [("role.column", self.role.column), ("title.column", self.title.column)]
        named += [("priority.column", self.priority.column if self.priority else None)]
        named += [("title.template", column) for column in self.title.parts()[1::2]]
        named += [("tags.column", self.tags.column if self.tags else None)]
        named += [("estimate.column", self.estimate.column if self.estimate else None)]
        named += [("only.column", self.only.column if self.only else None)]
        named += [(f"fields.{key}.column", field.column) for key, field in self.fields.items()]
        named += [("acts.column", self.acts.column if self.acts else None)]
        for value, act in self.acts.values.items() if self.acts else ():
            named += [(f"acts.values.{value}", column) for column in act.parts()[1::2]]
        named += [("identity", column) for column in self.identity or ()]
        return [(place, column) for place, column in named if column is not None]

    def time_reader(self) -> Callable[[str], datetime]:
        """From a cell to the instant in UTC. The function raises ValueError; it remembers what it has read."""
        zone, form = ZoneInfo(self.time.zone), self.time.format

        @lru_cache(CACHED_TIMES)
        def read(cell: str) -> datetime:
            at = datetime.fromisoformat(cell) if form == "iso" else datetime.strptime(cell, form)  # noqa: DTZ007
            if at.tzinfo is None:
                at = at.replace(tzinfo=zone)
            return at.astimezone(UTC)

        return read


def read_mapping(source: str) -> ImportMapping:
    """Reads TOML. Raises InvalidValue, naming the place in the file."""
    try:
        mapping = msgspec.convert(tomllib.loads(source), ImportMapping)
    except tomllib.TOMLDecodeError as error:
        raise InvalidValue(f"The mapping is not TOML: {error}.") from None
    except msgspec.ValidationError as error:
        raise InvalidValue(f"The mapping cannot be used: {_explained(str(error))}") from None
    _check(mapping)
    return mapping


def check_columns(mapping: ImportMapping, header: list[str]) -> None:
    """Raises InvalidValue where the file lacks a column that the mapping names, or has it twice."""
    for place, column in mapping.named_columns():
        count = header.count(column)
        if count == 0:
            known = _meant(column, header) or f" Its columns: {', '.join(header)}."
            _refuse(place, f"the file has no column {column!r}.{known}")
        if count > 1:
            _refuse(place, f"the file has {count} columns named {column!r}.")


_NEEDED = ("columns.key", "time.column", "status.column")


def check_seen(mapping: ImportMapping, unseen: Iterable[str]) -> None:
    """Raises InvalidValue where no row of the file has a column that every row must have."""
    missing = set(unseen)
    for place, column in mapping.named_columns():
        if column in missing and place in _NEEDED:
            _refuse(place, f"no row of the file has {column!r}.")


def _check(mapping: ImportMapping) -> None:
    """What types alone cannot say. Raises InvalidValue."""
    _within("source", partial(text.key, mapping.source, "source"))
    _within("workflow.key", partial(text.key, mapping.workflow.key))
    _within("workflow.name", partial(text.line, mapping.workflow.name, "name"))
    _check_file(mapping.file)
    _check_time(mapping.time)
    _check_status(mapping.status)
    _check_role(mapping.role)
    if mapping.priority is not None and not mapping.priority.values and mapping.priority.default is None:
        _refuse("priority", "needs a table `values`, a `default`, or both.")
    for key in mapping.fields:
        _within(f"fields.{key}", partial(text.key, key))
    if mapping.acts is not None:
        _check_acts(mapping.acts, mapping.mode)
    if mapping.title.column is not None and mapping.title.template is not None:
        _refuse("title", "has both a column and a template; keep one.")
    if any(brace in text for text in mapping.title.parts()[::2] for brace in "{}"):
        _refuse("title.template", 'has a brace without its other half. Write columns as in "{number}: {category}".')


def _check_file(file: FileFormat) -> None:
    try:
        codecs.lookup(file.encoding)
    except LookupError:
        _refuse("file.encoding", f"there is no encoding {file.encoding!r}.")
    if len(file.delimiter) != 1 or file.delimiter in '"\r\n':
        _refuse("file.delimiter", 'is one character, and no quote: ",", ";", "\\t".')


def _check_time(time: TimeColumn) -> None:
    try:
        ZoneInfo(time.zone)
    except (ValueError, OSError, LookupError):
        _refuse("time.zone", f'there is no time zone {time.zone!r}. Write it as in "Europe/Berlin" or "UTC".')
    if time.format == "iso":
        return
    sample = datetime(2026, 3, 29, 12, 30, tzinfo=UTC)
    try:
        datetime.strptime(sample.strftime(time.format), time.format)  # noqa: DTZ007
    except (ValueError, re.error) as error:
        _refuse("time.format", f'{error}. It is strptime\'s ("%d/%m/%Y %H:%M"), or "iso".')


def _check_status(status: StatusColumn) -> None:
    if not status.values and status.default is None:
        _refuse("status", "needs a table `values`, a `default` category, or both.")
    seen: dict[str, StatusValue] = {}
    for cell, value in status.values.items():
        place = f"status.values.{cell!r}"
        _within(place, partial(text.key, value.key))
        _within(place, partial(text.line, value.name, "name"))
        if seen.setdefault(value.key, value) != value:
            _refuse(place, f"gives the status {value.key!r} another name or category than a value before it.")
    if status.initial is not None and status.initial not in seen:
        _refuse("status.initial", f"no value has the status {status.initial!r}.{_meant(status.initial, seen)}")


def _check_role(role: RoleColumn) -> None:
    if role.role is None and role.column is None:
        _refuse("role", "needs a `role`, or a `column` and its `values`.")
    if role.column is not None and not role.values:
        _refuse("role.values", "must say which role each value of the column means.")


def _check_acts(acts: ActsColumn, mode: str) -> None:
    if mode != "event":
        _refuse("acts", 'go with mode = "event": a snapshot says the whole state.')
    for value, act in acts.values.items():
        place = f"acts.values.{value!r}"
        if (act.field is None) is (act.does in ("set", "clear")):
            _refuse(place, "`field` goes with `set` and `clear`, which need it.")
        if act.does != "clear" and len(act.parts()) < 2 - (act.template is not None):
            _refuse(place, f"{act.does!r} needs a `column`, or a `template`.")
        if act.column is not None and act.template is not None:
            _refuse(place, "has both a column and a template; keep one.")
        if act.field is not None:
            _within(place, partial(text.key, act.field))


def _within(place: str, check: Callable[[], object]) -> None:
    try:
        check()
    except InvalidValue as error:
        _refuse(place, error.message)


def _refuse(place: str, what: str) -> NoReturn:
    raise InvalidValue(f"The mapping cannot be used: at {place}: {what}", tuple(place.split(".")))


_UNKNOWN = re.compile(r"Object contains unknown field `(?P<field>.*?)`(?: - at `\$\.?(?P<path>.*?)`)?$", re.DOTALL)
_OTHER = re.compile(r"(?P<what>.*?) - at `\$\.?(?P<path>.*?)`$", re.DOTALL)


def _explained(error: str) -> str:
    """msgspec's message with the place first, and the name that was probably meant."""
    if unknown := _UNKNOWN.match(error):
        field, path = unknown["field"], unknown["path"] or ""
        known = [info.name for info in fields(_TABLES.get(path, ImportMapping))]
        meant = _meant(field, known) or f" Known: {', '.join(known)}."
        return f"at {path or 'the top'}: unknown key {field!r}.{meant}"
    if other := _OTHER.match(error):
        return f"at {other['path'] or 'the top'}: {other['what']}."
    return f"{error}."


_TABLES: Mapping[str, type[_Table]] = {
    "file": FileFormat,
    "workflow": WorkflowName,
    "columns": Columns,
    "time": TimeColumn,
    "status": StatusColumn,
    "status.values[...]": StatusValue,
    "role": RoleColumn,
    "priority": PriorityColumn,
    "title": TitleColumn,
    "tags": TagsColumn,
    "fields[...]": FieldColumn,
    "only": OnlyRows,
    "acts": ActsColumn,
    "acts.values[...]": Act,
}


def _meant(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), 1)
    return f" Did you mean {close[0]!r}?" if close else ""


def slug(name: str, otherwise: str) -> str:
    """A key made of a name: its letters and digits, in lower case, with hyphens between. `otherwise`: for a name
    that has none."""
    plain = "".join(c if c.isalnum() else " " for c in normalize("NFKC", name).casefold())
    return normalize("NFKC", "-".join(plain.split()))[:SLUG_LIMIT].strip("-") or otherwise
