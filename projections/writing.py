"""What folds want written: collected and encoded first, so that PostgreSQL works on one batch while the next is folded.

COPY refuses tables with row-level security, so rows go in as one JSON document; only the shadow tables of a rebuild,
which nobody can see yet, are filled by COPY, in a third of the time.
"""

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, LiteralString, Protocol, cast

import msgspec
from psycopg import sql

from application.event_store.database import Connection

Row = dict[str, Any] | msgspec.Struct
"""By the columns' names; all rows of one call have the same ones."""

Statement = LiteralString | bytes

_encoder = msgspec.json.Encoder()
_encode, _encode_lines = _encoder.encode, _encoder.encode_lines


class Writes(Protocol):
    """One batch of one read model. Nothing of it is written before the fold has returned."""

    def insert(self, table: LiteralString, rows: Sequence[Row]) -> None:
        """Adds many rows at once; none is fine."""

    def execute(self, statement: LiteralString, arguments: Sequence[object] = ()) -> None:
        """Whatever else it takes; in the order given."""


def columns(rows: Sequence[tuple[Any, ...]]) -> list[list[Any]]:
    """As `unnest` takes them. Of at least one row."""
    return [list(column) for column in zip(*rows, strict=True)]


class Inserts:
    """Writes to tables that readers see."""

    def __init__(self) -> None:
        self._statements: list[tuple[Statement, Sequence[object]]] = []

    def insert(self, table: LiteralString, rows: Sequence[Row]) -> None:
        if rows:
            self._statements.append((_from_json(table, names(rows[0])), (_encode(rows).decode(),)))

    def execute(self, statement: LiteralString, arguments: Sequence[object] = ()) -> None:
        self._statements.append((statement, arguments))

    def write(self, connection: Connection) -> None:
        """Call it in a transaction, and in a pipeline: no answer is waited for."""
        for statement, arguments in self._statements:
            connection.execute(statement, arguments)


class Copies:
    """Writes to shadow tables without row-level security."""

    def __init__(self, columns: "Columns") -> None:
        self._columns = columns
        self._work: list[tuple[Statement, Sequence[object] | bytes]] = []

    def insert(self, table: LiteralString, rows: Sequence[Row]) -> None:
        if rows:
            named = names(rows[0])
            values: Sequence[Sequence[Any]] = [*map(_reads(rows[0], named), rows)]
            if converted := self._columns.converted(table, named):
                values = mended = [list(row) for row in values]
                for n, document in converted:
                    _convert(mended, n, document)
            self._work.append((_copy(table, named), _lines(values)))

    def execute(self, statement: LiteralString, arguments: Sequence[object] = ()) -> None:
        self._work.append((statement, arguments))

    def write(self, connection: Connection) -> None:
        """Call it in a transaction."""
        for statement, given in self._work:
            if isinstance(given, bytes):
                with connection.cursor().copy(statement) as copy:
                    copy.write(given)
            else:
                connection.execute(statement, given)


def names(row: Row) -> tuple[str, ...]:
    return tuple(row) if isinstance(row, dict) else row.__struct_fields__


@lru_cache(maxsize=1000)
def _from_json(table: str, columns: tuple[str, ...]) -> bytes:
    insert = sql.SQL("insert into {0} ({1}) select {1} from json_populate_recordset(null::{0}, %s::text::json)")
    return insert.format(sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))).as_bytes()


# ---- COPY: a line of CSV is a row's JSON array without its brackets, with JSON's quotes and backslashes for CSV's.
# ---- Only what JSON writes as \n, \t, … would be taken literally: such texts are written raw, as CSV may.


class Columns:
    """Which columns are not plain, by the catalogue."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._known: dict[tuple[str, tuple[str, ...]], tuple[tuple[int, bool], ...]] = {}

    def converted(self, table: str, columns: tuple[str, ...]) -> tuple[tuple[int, bool], ...]:
        """Places among these columns of documents (True) and of arrays (False)."""
        found = self._known.get((table, columns))
        if found is None:
            rows = self._connection.execute(
                "select attname, t.typname in ('json', 'jsonb'), t.typcategory = 'A' from pg_attribute"
                " join pg_type t on t.oid = atttypid where attrelid = %s::text::regclass and attnum > 0",
                (table,),
            ).fetchall()
            kinds = {name: document for name, document, array in rows if document or array}
            found = tuple((n, kinds[name]) for n, name in enumerate(columns) if name in kinds)
            self._known[table, columns] = found
        return found


@lru_cache(maxsize=1000)
def _copy(table: str, columns: tuple[str, ...]) -> bytes:
    copy = sql.SQL("copy {} ({}) from stdin (format csv, quote '\"', escape '\\', null 'null')")
    return copy.format(sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))).as_bytes()


def _reads(row: Row, columns: tuple[str, ...]) -> Callable[[Any], Sequence[Any]]:
    """What makes a row like this one its values."""
    if not isinstance(row, dict):
        return msgspec.structs.astuple
    if len(columns) == 1:
        [name] = columns
        return lambda row: [row[name]]
    return cast("Callable[[Any], Sequence[Any]]", itemgetter(*columns))


def _convert(rows: list[list[Any]], n: int, document: bool) -> None:
    for values in rows:
        value = values[n]
        if value is not None:
            values[n] = _encode(value).decode() if document else _array(value)


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    lines = _encode_lines(rows)
    if _ESCAPED.search(lines):
        return b"\n".join(map(_line, rows))
    return lines[1:-2].replace(b"]\n[", b"\n")  # none in a text, where JSON escapes the end of a line


def _line(values: Sequence[Any]) -> bytes:
    return _encode([_raw(value) if isinstance(value, str) else value for value in values])[1:-1]


_ESCAPED = re.compile(rb'\\[^"\\]')


def _raw(text: str) -> msgspec.Raw:
    return msgspec.Raw(b'"' + text.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"')


def _array(values: Sequence[object]) -> str:
    """As PostgreSQL writes an array of one dimension."""
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: object) -> str:
    if value is None:
        return "null"
    text = value if isinstance(value, str) else cast(str, msgspec.to_builtins(value, builtin_types=()))
    return '"' + str(text).replace("\\", "\\\\").replace('"', '\\"') + '"'
