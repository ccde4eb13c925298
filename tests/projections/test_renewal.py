"""Upgrades: read models that an older version made otherwise are rebuilt while all else goes on."""

import threading
from collections.abc import Sequence

import pytest

from application.event_store.database import Role
from projections import renewal
from projections.engine import Engine, Session
from projections.projection import Projection
from projections.rebuild import RebuildBusy, RebuildSummary, rebuild_all
from projections.registry import PROJECTIONS, find, install
from projections.renewal import Renewal
from tests.projections.conftest import World
from tests.projections.test_engine import digests, some_history


def as_an_older_version_left_them(world: World, *names: str, statements: Sequence[str] = ()) -> None:
    with world.database.connect(Role.OWNER) as owner:
        for statement in statements:
            owner.execute(statement.encode())
        owner.execute("update tracking set shape = 'older' where name = any(%s)", (list(names),))


def outdated(world: World) -> list[str]:
    return [one.name for one in Renewal(world.database, PROJECTIONS).outdated()]


def renew(world: World) -> None:
    Renewal(world.database, PROJECTIONS).run()


def test_what_was_just_made_is_left_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewal, "rebuild_all", None)
    world.database.migrate(install)
    assert outdated(world) == []
    renew(world)


def test_what_was_made_otherwise_is_rebuilt_once(world: World) -> None:
    some_history(world)
    world.project()
    before = digests(world)
    older = (
        "drop index search_text_titles",
        "alter table search_text drop column internal",
        "drop table rating",
        "alter table span add column forgotten text default 'x'",
    )
    as_an_older_version_left_them(world, "search", "ratings", "spans", statements=older)
    world.database.migrate(install)
    assert set(outdated(world)) == {"search", "ratings", "spans"}
    renew(world)
    assert outdated(world) == []
    assert digests(world) == before
    assert world.rows("select count(*) from pg_indexes where indexname = 'search_text_titles'") == [(1,)]
    world.database.migrate(install)
    assert outdated(world) == []


def test_a_database_from_before_shapes_were_noted_is_rebuilt_whole(world: World) -> None:
    some_history(world)
    world.project()
    before = digests(world)
    with world.database.connect(Role.OWNER) as owner:
        owner.execute("alter table tracking drop column shape")
    world.database.migrate(install)
    assert set(outdated(world)) == {one.name for one in PROJECTIONS}  # none of those that are no read models
    renew(world)
    assert outdated(world) == []
    assert digests(world) == before


def test_a_rebuild_by_hand_renews_too(world: World) -> None:
    as_an_older_version_left_them(world, "views")
    views = find("views")
    assert views is not None
    rebuild_all(world.database, [views])
    assert outdated(world) == []


def test_events_go_on_while_it_is_rebuilt(world: World) -> None:
    some_history(world)
    world.project()
    world.session.__exit__()
    as_an_older_version_left_them(world, "spans", "search", statements=["alter table span drop column title"])
    following, renewing = Engine(world.database, PROJECTIONS), Renewal(world.database, PROJECTIONS)
    threads = [threading.Thread(target=one.run) for one in (following, renewing)]
    for thread in threads:
        thread.start()
    try:
        for n in range(10):
            world.open(f"Meanwhile {n}")
        threads[1].join(30)
        world.open("Afterwards")
    finally:
        following.stop()
        renewing.stop()
        for thread in threads:
            thread.join()
    assert outdated(world) == []
    world.session = Session(world.database, {projection.name: projection for projection in PROJECTIONS})
    world.project()
    assert {"Meanwhile 9", "Afterwards"} <= set(world.titles())


def test_what_is_busy_is_tried_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def busy_once(*given: object) -> list[RebuildSummary]:
        tried.append(len(tried))
        if len(tried) == 1:
            raise RebuildBusy("Another rebuild is under way.")
        return rebuild_all(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(renewal, "rebuild_all", busy_once)
    monkeypatch.setattr(renewal, "FIRST_PAUSE", 0.01)
    as_an_older_version_left_them(world, "views")
    renew(world)
    assert tried == [0, 1]
    assert outdated(world) == []


def test_it_stops_in_the_middle_and_begins_again_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    some_history(world)
    as_an_older_version_left_them(world, "timeline")
    renewing = Renewal(world.database, PROJECTIONS)

    def stopped_meanwhile(*given: object) -> list[RebuildSummary]:
        renewing.stop()
        return rebuild_all(*given)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(renewal, "rebuild_all", stopped_meanwhile)
        renewing.run()
    assert outdated(world) == ["timeline"]
    renew(world)
    assert outdated(world) == []


def test_a_shape_tells_of_tables_indexes_and_the_version_of_the_fold() -> None:
    def shape(**changed: object) -> str:
        given = {"name": "one", "tables": (), "ddl": "a", "indexes": "b", "fold": lambda writes, changes: None}
        return Projection(**{**given, **changed}).shape  # type: ignore[arg-type]

    assert shape() == shape(name="other")
    assert len({shape(), shape(ddl="c"), shape(indexes="c"), shape(version=2)}) == 4
