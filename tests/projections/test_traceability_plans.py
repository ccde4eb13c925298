"""What questions to a long history read, whatever the planner has heard of its tables."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from application.event_store.database import Role
from application.handling import Context
from application.traceability.commands import handle
from domain.traceability.releases import RecordRelease
from domain.traceability.repositories import DefineRepository
from projections import traceability
from projections.filters import PageAsk
from projections.reading import Query, ReadModels, View
from projections.traceability_links import differing_links
from projections.traceability_quality import ChangeGap, gap_count, gap_months, gaps, months
from projections.traceability_trace import of_commit
from tests.projections.conftest import World, hour

COMMITS = 3_000
"""Each of them merged by a request of its own, and naming the ticket."""
MIDDLE = "0" * 36 + "1500"


@pytest.fixture(params=["never looked at", "looked at while empty", "looked at"])
def shop(request: pytest.FixtureRequest, world: World) -> UUID:
    """A repository with that history, at whose tables the planner has looked or not."""
    ticket = world.open(at=hour(0))
    shop = world.do(DefineRepository(key="shop", name="Shop"), reason=None).stream
    for tag, at in (("v1", 1_000), ("v2", COMMITS)):
        handle(world.store, Context(actor=world.admin), RecordRelease(repository=shop, tag=tag, commit=_sha(at)))
    world.project()
    if request.param == "looked at while empty":
        _analyze(world)
    [(workspace, number)] = world.rows(f"select workspace, number from span where ticket = '{ticket}'")
    given = {"workspace": workspace, "shop": shop, "number": number, "commits": COMMITS}
    with world.database.connect(Role.PROJECTOR) as connection:
        psycopg.ClientCursor(connection).execute(_HISTORY, given)
    if request.param == "looked at":
        _analyze(world)
    return shop


def _sha(n: int) -> str:
    return f"{n:040}"


def _analyze(world: World) -> None:
    with world.database.connect(Role.OWNER) as connection:
        for table in ("span", *traceability.PROJECTION.tables):
            connection.execute(sql.SQL("analyze {}").format(sql.Identifier(table)))


_HISTORY = """
create temporary table new on commit drop as
  select %(workspace)s::uuid as workspace, %(shop)s::uuid as shop, n, lpad(n::text, 40, '0') as sha,
         array[lpad((n - 1)::text, 40, '0')] as parents
    from generate_series(1, %(commits)s) n;
insert into code_commit
  select workspace, shop, sha, 1, parents, 'Anna', '', 'Change', now(), now(), null, null, true from new;
insert into introduction select workspace, shop, sha, sha, 1, n from new;
insert into merge_request (workspace, id, repository, number, position, merged_position, title, state, merge_commit,
                           opened_at, merged_at, reviews)
  select workspace, gen_random_uuid(), shop, n, 1, 1, 'Change', 'MERGED', sha, now(), now(), 0 from new;
insert into change_mention
  select workspace, shop, 'COMMIT', sha, 'TRAILER', 'T-', %(number)s, now() from new;
"""


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Steps of the plans by which questions are answered."""
    taken: list[dict[str, Any]] = []
    fetch = ReadModels.fetch

    async def explained(
        self: ReadModels,
        workspace: UUID | None,
        query: Query,
        arguments: Any,
        *,
        joins_sets: bool = False,
        binary: bool = False,
    ) -> Any:
        if workspace is None:  # a server of another test looks now and then whether tokens still hold
            return await fetch(self, workspace, query, arguments, binary=binary, joins_sets=joins_sets)
        text = sql.SQL(query) if isinstance(query, str) else query
        plan = sql.SQL("explain (analyze, format json) {}").format(text)
        [([told],)] = await fetch(self, workspace, plan, arguments, joins_sets=joins_sets)
        taken.extend(_steps(told["Plan"]))
        return await fetch(self, workspace, query, arguments, binary=binary, joins_sets=joins_sets)

    monkeypatch.setattr(ReadModels, "fetch", explained)
    return taken


def _steps(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from _steps(part)


def _rows(steps: Sequence[dict[str, Any]]) -> int:
    """Of the step that went through most, those that it threw away included."""
    counted = ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter")
    return max(int(sum(step.get(name, 0) for name in counted) * step["Actual Loops"]) for step in steps)


@pytest.mark.parametrize("shop", ["looked at"], indirect=True)
def test_a_trace_of_one_commit_looks_up_what_it_shows(world: World, shop: UUID, steps: list[dict[str, Any]]) -> None:
    trace = world.ask(of_commit, MIDDLE, shop)
    assert [step.evidence for step in trace.steps] == [f"merge commit {MIDDLE[:12]}", "first in v2"]
    assert _rows(steps) < 20


def test_missing_links_are_found_without_taking_each_with_each(
    world: World, shop: UUID, steps: list[dict[str, Any]]
) -> None:
    found = world.ask(differing_links, shop)
    assert len(found.missing) == 3 * COMMITS  # of a commit by its trailer and by its request, and of that one
    assert _rows(steps) < 10 * COMMITS


@pytest.mark.parametrize("gap", ChangeGap)
def test_what_changes_lack_is_found_without_taking_each_with_each(
    world: World, shop: UUID, steps: list[dict[str, Any]], gap: ChangeGap
) -> None:
    missing = world.ask(gap_count, shop, gap, None)
    assert missing == {ChangeGap.NO_TICKET: COMMITS, ChangeGap.NO_RELEASE: 0, ChangeGap.NO_REVIEW: COMMITS}[gap]
    assert len(world.ask(gaps, shop, gap, None, PageAsk(first=5)).nodes) == min(missing, 5)
    assert _rows(steps) < 10 * COMMITS


def test_months_are_counted_without_taking_each_with_each(
    world: World, shop: UUID, steps: list[dict[str, Any]]
) -> None:
    [gaps_of_month] = world.ask(gap_months, shop)
    assert gaps_of_month.commits == COMMITS
    [month] = world.ask(months, shop, "production")
    assert month.commits == COMMITS
    assert _rows(steps) < 10 * COMMITS


def test_what_is_planned_for_sets_is_planned_so_once(world: World) -> None:
    async def settings(view: View) -> list[str]:
        asked = "select current_setting('enable_nestloop')"
        return [(await view.fetch(asked, joins_sets=one))[0][0] for one in (False, True, False)]

    assert world.ask(settings) == ["on", "off", "on"]
