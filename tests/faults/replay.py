"""What must hold after every fault: what was acknowledged is there, once; read models are what a replay gives."""

from collections.abc import Collection
from uuid import UUID

from application.event_store.database import Database, Role
from projections.engine import Session
from projections.rebuild import rebuild
from projections.registry import NAMES, PROJECTIONS

ALL = {projection.name: projection for projection in PROJECTIONS}


def places(database: Database) -> dict[str, int]:
    """Of the read models, not of who else follows the log."""
    with database.connect(Role.PROJECTOR) as connection:
        query = "select name, position from tracking where name = any(%s)"
        return dict(connection.execute(query, (list(NAMES),)).fetchall())


def head(database: Database) -> int:
    with database.connect(Role.PROJECTOR) as connection:
        row = connection.execute("select max(position) from event").fetchone()
    assert row is not None
    return int(row[0])


def assert_equal_to_a_replay(database: Database) -> None:
    """Each table of each read model has the rows that a rebuild from the first event gives, and no others."""
    with Session(database, ALL) as session:
        session.catch_up()
    assert {name: place for name, place in places(database).items() if name in ALL} == dict.fromkeys(
        ALL, head(database)
    )
    for projection in PROJECTIONS:
        summary = rebuild(database, projection)
        assert summary.same is True, f"{projection.name} differs from a replay"


def assert_recorded_once(database: Database, workspace: UUID, acknowledged: Collection[UUID]) -> None:
    """Every acknowledged command, none twice; streams without holes; positions without doubles."""
    with database.connect(Role.APP, statement_timeout="60s") as connection:
        connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace),))
        missing = connection.execute(
            "select id from unnest(%s::uuid[]) given (id)"
            " where not exists (select from event e where e.command_id = id and e.command_hash is not null)"
            " and not exists (select from command c where c.command_id = id)",
            (list(acknowledged),),
        ).fetchall()
        assert missing == [], "acknowledged, and not there"
        twice = connection.execute(
            "select command_id from (select command_id from event where command_hash is not null"
            " union all select command_id from command) recorded group by command_id having count(*) > 1"
        ).fetchall()
        assert twice == [], "recorded twice"
        holes = connection.execute(
            "select stream from event group by stream having count(*) <> max(version) or min(version) <> 1"
        ).fetchall()
        assert holes == [], "a stream has a hole"
        headless = connection.execute(
            "select command_id from event group by command_id having count(command_hash) <> 1"
        ).fetchall()
        assert headless == [], "half a command"
        doubled = connection.execute("select position from event group by position having count(*) > 1").fetchall()
        assert doubled == []
