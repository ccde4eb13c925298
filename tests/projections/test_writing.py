"""Writing: what is copied into a shadow table is what would have been inserted."""

from collections.abc import Iterator, Sequence
from datetime import UTC
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application.event_store.database import Connection, Database, Role
from projections.writing import Columns, Copies, Inserts, Row

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12) | st.sampled_from(
    [
        "",
        "null",
        "\\.",
        "\\N",
        "\\n",
        "\\\\n\n",
        'a"b',
        '","',
        "],[",
        "two\nlines",
        "\\\nnext",
        "\x01\x7f\x85\t\r\b\f\v",
        "Ёж 🦔",
    ]
)
ROWS = st.fixed_dictionaries(
    {
        "text": st.none() | TEXTS,
        "number": st.none() | st.integers(-(2**63), 2**63 - 1),
        "id": st.none() | st.uuids(),
        "at": st.none() | st.datetimes(timezones=st.just(UTC)),
        "yes": st.booleans(),
        "document": st.none()
        | st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers(0, 9) | TEXTS, max_size=3),
        "list": st.lists(TEXTS | st.none(), max_size=3).map(tuple),
        "ids": st.lists(st.uuids(), max_size=2),
    }
)


class Lab:
    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.columns = Columns(connection)

    def written(self, writes: Inserts | Copies, rows: Sequence[Row]) -> list[tuple[Any, ...]]:
        with self.connection.transaction(force_rollback=True):
            writes.insert("odd", rows)
            writes.write(self.connection)
            return self.connection.execute("select * from odd order by n").fetchall()


@pytest.fixture
def lab(database: Database) -> Iterator[Lab]:
    with database.connect(Role.PROJECTOR) as connection:
        connection.execute(
            "create temp table odd (n serial, text text, number bigint, id uuid, at timestamptz, yes boolean,"
            " document jsonb, list text[], ids uuid[])"
        )
        yield Lab(connection)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ROWS, min_size=1, max_size=5))
def test_whatever_is_copied_is_what_would_have_been_inserted(lab: Lab, rows: list[dict[str, Any]]) -> None:
    copied = lab.written(Copies(lab.columns), rows)
    inserted = lab.written(Inserts(), rows)
    assert [row[1:] for row in copied] == [row[1:] for row in inserted]
    assert [row[1] for row in copied] == [row["text"] for row in rows]


class Struct(msgspec.Struct):
    text: str
    list: tuple[str, ...]


def test_rows_are_dicts_or_structs(lab: Lab) -> None:
    for writes in (Copies(lab.columns), Inserts()):
        [row] = lab.written(writes, [Struct("a", ("b", "c"))])
        assert (row[1], row[7]) == ("a", ["b", "c"])


def test_nothing_to_write_is_fine(lab: Lab) -> None:
    for writes in (Copies(lab.columns), Inserts()):
        assert lab.written(writes, []) == []
