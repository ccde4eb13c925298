"""OCEL 2.0 as SQLite: general tables, and one for each type of event and of object."""

import re
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from api.exports.ocel import ALWAYS, NOTHING, Event, Object, Types

_TABLES = """
create table if not exists event_map_type (ocel_type text primary key, ocel_type_map text);
create table if not exists object_map_type (ocel_type text primary key, ocel_type_map text);
create table if not exists event (ocel_id text primary key, ocel_type text,
  foreign key (ocel_type) references event_map_type (ocel_type));
create table if not exists object (ocel_id text primary key, ocel_type text,
  foreign key (ocel_type) references object_map_type (ocel_type));
create table if not exists event_object (ocel_event_id text, ocel_object_id text, ocel_qualifier text,
  primary key (ocel_event_id, ocel_object_id, ocel_qualifier),
  foreign key (ocel_event_id) references event (ocel_id), foreign key (ocel_object_id) references object (ocel_id));
create table if not exists object_object (ocel_source_id text, ocel_target_id text, ocel_qualifier text,
  primary key (ocel_source_id, ocel_target_id, ocel_qualifier),
  foreign key (ocel_source_id) references object (ocel_id), foreign key (ocel_target_id) references object (ocel_id));
"""
_COLUMNS = {"string": "TEXT", "time": "TIMESTAMP", "integer": "INTEGER", "float": "REAL", "boolean": "BOOLEAN"}


class SqliteSink:
    """A chunk is a transaction. One that was committed, and is not known to be, is written again, over itself."""

    def __init__(self, part: Path) -> None:
        self.db = sqlite3.connect(part, isolation_level=None)
        self.db.executescript("pragma synchronous = normal; pragma foreign_keys = off; pragma cache_size = -16000;")
        self.db.executescript(_TABLES)
        self.db.execute("begin")

    def sync(self) -> int:
        self.db.execute("commit")
        self.db.execute("begin")
        return 0

    def close(self) -> None:
        self.db.execute("commit")
        self.db.close()


class OcelSqlite:
    def __init__(self, sink: SqliteSink) -> None:
        self._db = sink.db
        self._known: dict[tuple[str, str], tuple[str, dict[str, str]]] = {}

    def types(self, events: Mapping[str, Types], objects: Mapping[str, Types]) -> None:
        for kind, found in (("event", events), ("object", objects)):
            used: set[str] = {"map_type", "object"}
            for name, types in found.items():
                mapped = _mapped(name, used)
                self._db.execute(f"insert or ignore into {kind}_map_type values (?, ?)", (name, mapped))
                changed = ["ocel_changed_field TEXT"] if kind == "object" else []
                key = "ocel_id TEXT primary key" if kind == "event" else "ocel_id TEXT"
                columns = [key, "ocel_time TIMESTAMP", *changed]
                columns += [f'"{attribute}" {_COLUMNS[type_]}' for attribute, type_ in types.items()]
                columns.append(f"foreign key (ocel_id) references {kind} (ocel_id)")
                self._db.execute(f'create table if not exists "{kind}_{mapped}" ({", ".join(columns)})')
                if kind == "object":  # each is looked up before it is written
                    self._db.execute(f'create index if not exists "of_{mapped}" on "object_{mapped}" (ocel_id)')

    def events(self, events: Sequence[Event]) -> None:
        self._db.executemany("insert or replace into event values (?, ?)", [(one.id, one.type) for one in events])
        rows = [(one.id, object_, qualifier) for one in events for object_, qualifier in one.relations]
        self._db.executemany("insert or ignore into event_object values (?, ?, ?)", rows)
        for one in events:
            self._insert("event", one.type, {"ocel_id": one.id, "ocel_time": one.time}, one.values)

    def between(self) -> None:
        pass

    def objects(self, objects: Sequence[Object]) -> None:
        self._db.executemany("insert or replace into object values (?, ?)", [(one.id, one.type) for one in objects])
        rows = [(one.id, object_, qualifier) for one in objects for object_, qualifier in one.relations]
        self._db.executemany("insert or ignore into object_object values (?, ?, ?)", rows)
        for one in objects:
            table, _ = self._table("object", one.type)
            self._db.execute(f'delete from "{table}" where ocel_id = ?', (one.id,))
            initial = {value.name: value.value for value in one.values if value.time == ALWAYS}
            self._insert(
                "object", one.type, {"ocel_id": one.id, "ocel_time": ALWAYS, "ocel_changed_field": None}, initial
            )
            for value in one.values:
                if value.time != ALWAYS:
                    stands = {"ocel_id": one.id, "ocel_time": value.time, "ocel_changed_field": value.name}
                    self._insert("object", one.type, stands, {value.name: value.value})

    def end(self) -> None:
        """A relationship whose object is no part of the export would be one to nothing."""
        self._db.execute("delete from event_object where ocel_object_id not in (select ocel_id from object)")
        self._db.execute("delete from object_object where ocel_target_id not in (select ocel_id from object)")

    def _insert(self, kind: str, type_: str, fixed: Mapping[str, Any], values: Mapping[str, str]) -> None:
        table, types = self._table(kind, type_)
        named = {name: _typed(value, types[name]) for name, value in values.items()}
        columns = ", ".join(f'"{name}"' for name in (*fixed, *named))
        marks = ", ".join("?" * (len(fixed) + len(named)))
        self._db.execute(
            f'insert or replace into "{table}" ({columns}) values ({marks})', (*fixed.values(), *named.values())
        )

    def _table(self, kind: str, type_: str) -> tuple[str, dict[str, str]]:
        """Its name, and the types of its columns; asked of the file, which an export may be gone on with."""
        found = self._known.get((kind, type_))
        if found is None:
            row = self._db.execute(
                f"select ocel_type_map from {kind}_map_type where ocel_type = ?", (type_,)
            ).fetchone()
            table = f"{kind}_{row[0]}"
            columns = self._db.execute("select name, type from pragma_table_info(?)", (table,)).fetchall()
            found = self._known[kind, type_] = table, dict(columns)
        return found


def _mapped(name: str, used: set[str]) -> str:
    """A part of a table's name: SQLite tells no capitals from small letters, OCEL does."""
    wanted = re.sub(r"[^0-9A-Za-z]+", "_", name)
    if name.isupper():
        wanted = f"role_{wanted}"
    found, n = wanted, 1
    while found.lower() in used:
        n += 1
        found = f"{wanted}_{n}"
    used.add(found.lower())
    return found


def _typed(value: str, type_: str) -> Any:
    if value == NOTHING:
        return None
    if type_ == "INTEGER":
        return int(value)
    if type_ == "REAL":
        return float(value)
    return value == "true" if type_ == "BOOLEAN" else value
