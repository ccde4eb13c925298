"""The directory: who and what there is, under its present name."""

from typing import Any
from uuid import UUID, uuid4

import pytest

from application.services import service_stream
from domain.people import DeactivatePerson, PersonKind, ReactivatePerson, RenamePerson
from domain.services import RenameService
from domain.teams import JoinTeam, LeaveTeam, RenameTeam
from domain.workflows import DefineRole, DefineWorkflow, Role, Status, StatusCategory, defaults
from projections import directory
from projections.filters import IdFilter, PageAsk, PersonFilter, TextFilter
from projections.reading import BadInput
from tests.projections.conftest import World
from tests.projections.test_board import workflow_of


def names(world: World, filter_: PersonFilter | None = None) -> list[str]:
    page = world.ask(directory.people, filter_, PageAsk(first=100))
    assert world.ask(directory.people_count, filter_) == len(page.nodes)
    return [row.name for row in page.nodes]


def test_people_are_listed_by_name_and_follow_their_changes(world: World) -> None:
    anna = world.person("Яна", PersonKind.STAFF, "anna@example.org")
    world.person("boris", PersonKind.CLIENT)
    world.project()
    assert names(world) == ["boris", "Proteus", "Яна"]
    world.do(RenamePerson(person=anna, name="Анна"))
    world.do(DeactivatePerson(person=anna))
    world.project()
    row = world.ask(directory.people_by_ids, [anna, uuid4()])[anna]
    assert (row.name, row.kind, row.email, row.active) == ("Анна", PersonKind.STAFF, "anna@example.org", False)
    world.do(ReactivatePerson(person=anna))
    world.project()
    assert world.ask(directory.people_by_ids, [anna])[anna].active


def test_people_are_found_by_name_kind_activity_and_team(world: World) -> None:
    anna, boris, clara = world.person("Anna"), world.person("Boris"), world.person("Clara", PersonKind.CLIENT)
    one, two = world.team("one"), world.team("two")
    for team, person in ((one, anna), (two, anna), (two, boris)):
        world.do(JoinTeam(team=team, person=person))
    world.do(DeactivatePerson(person=clara))
    world.project()

    def by_team(**how: object) -> list[str]:
        return names(world, PersonFilter(team=IdFilter(**how)))  # type: ignore[arg-type]

    assert names(world, PersonFilter(name=TextFilter(contains="nn"))) == ["Anna"]
    assert names(world, PersonFilter(name=TextFilter(starts_with="b"))) == ["Boris"]
    assert names(world, PersonFilter(kind=PersonKind.CLIENT)) == ["Clara"]
    assert names(world, PersonFilter(active=False)) == ["Clara"]
    assert names(world, PersonFilter(active=True, kind=PersonKind.STAFF)) == ["Anna", "Boris"]
    assert by_team(eq=two) == ["Anna", "Boris"]
    assert by_team(in_=[one]) == ["Anna"]
    assert by_team(not_in=[one]) == ["Boris", "Clara", "Proteus"]
    assert by_team(is_null=True) == by_team(eq=None) == ["Clara", "Proteus"]
    assert by_team(is_null=False) == ["Anna", "Boris"]


def test_people_come_in_pages_both_ways_also_with_one_name(world: World) -> None:
    for name in ("Anna", "anna", "Anna", "Boris", "ANNA"):
        world.person(name)
    world.project()
    whole = [row.id for row in world.ask(directory.people, None, PageAsk()).nodes]
    assert len(whole) == 6
    for size in (1, 2, 4):
        found: list[UUID] = []
        ask = PageAsk(first=size)
        while True:
            page = world.ask(directory.people, None, ask)
            found += [row.id for row in page.nodes]
            if not page.has_next:
                break
            ask = PageAsk(first=size, after=page.cursors[-1])
        assert found == whole
    page = world.ask(directory.people, None, PageAsk(last=2))
    assert [row.id for row in page.nodes] == whole[-2:]
    page = world.ask(directory.people, None, PageAsk(last=2, before=page.cursors[0]))
    assert [row.id for row in page.nodes] == whole[-4:-2]
    for cursor in ("x", "WyJ4Il0", "WzEsMl0", "WyJhIiwieCJd"):
        with pytest.raises(BadInput):
            world.ask(directory.people, None, PageAsk(after=cursor))


def test_teams_have_members_who_join_and_leave(world: World) -> None:
    anna, boris, line = world.person("Anna"), world.person("Boris"), world.team("line1", "One")
    for person in (boris, anna):
        world.do(JoinTeam(team=line, person=person))
    world.project()
    world.do(RenameTeam(team=line, name="First line"))
    world.do(LeaveTeam(team=line, person=boris))
    world.do(JoinTeam(team=line, person=boris))
    world.project()
    assert [row.name for row in world.of(line, directory.members, PageAsk()).nodes] == ["Anna", "Boris"]
    assert world.of(line, directory.member_counts) == 2
    assert world.ask(directory.teams_of, [anna, uuid4()])[anna][0].name == "First line"
    world.do(LeaveTeam(team=line, person=boris))
    world.project()
    assert [row.name for row in world.of(line, directory.members, PageAsk()).nodes] == ["Anna"]
    assert boris not in world.ask(directory.teams_of, [anna, boris])


def test_teams_and_services_are_listed_by_key(world: World) -> None:
    for key in ("b", "a", "c"):
        world.team(key)
        world.service(key)
    world.do(RenameService(service=service_stream(world.workspace.id, "b"), name="The B"))
    world.project()
    kinds: list[tuple[Any, Any]] = [
        (directory.teams, directory.team_count),
        (directory.services, directory.service_count),
    ]
    for listed, count in kinds:
        assert world.ask(count) == 3
        page = world.ask(listed, PageAsk(first=2))
        assert ([row.key for row in page.nodes], page.has_next) == (["a", "b"], True)
        page = world.ask(listed, PageAsk(first=2, after=page.cursors[-1]))
        assert ([row.key for row in page.nodes], page.has_next) == (["c"], False)
        page = world.ask(listed, PageAsk(last=2))
        assert [row.key for row in page.nodes] == ["b", "c"]
        with pytest.raises(BadInput):
            world.ask(listed, PageAsk(after="WzFd"))
    renamed = world.ask(directory.services, PageAsk()).nodes[1]
    assert (renamed.name, renamed.active) == ("The B", True)
    assert world.ask(directory.services_by_ids, [renamed.id])[renamed.id] == renamed
    team = world.ask(directory.teams, PageAsk()).nodes[0]
    assert world.ask(directory.teams_by_ids, [team.id]) == {team.id: team}


def test_a_new_version_of_a_workflow_is_seen_as_soon_as_it_is_projected(world: World) -> None:
    world.project()
    assert world.ask(directory.workflows).newest("task").version == 1
    changed = workflow_of("task", "idea", "done")
    world.do(DefineWorkflow(workflow=changed))
    world.do(DefineRole(role=Role(key="CALL", name="Call", workflow="task")))
    world.project()
    known = world.ask(directory.workflows)
    assert known.newest("task").version == 2
    assert known.newest("task").statuses[0] == Status(
        key="idea", name="idea of task", category=StatusCategory.NEW, color="#8b95a5"
    )
    assert known.version("task", 1).has("todo")
    assert known.role("CALL").name == "Call"
    assert world.ask(directory.workflows) is known, "kept until it changes"


def test_roles_and_workflows_keep_the_order_of_their_definition(world: World) -> None:
    world.project()
    known = world.ask(directory.workflows)
    assert list(known.roles)[:5] == [role.key for role in defaults().roles][:5]
    assert list(known.versions) == [workflow.key for workflow in defaults().workflows]


def test_a_workspace_knows_its_own_people_teams_and_workflows_alone(world: World) -> None:
    anna, line, site = world.person("Anna"), world.team("line1"), world.service("site")
    world.do(JoinTeam(team=line, person=anna))
    world.do(DefineRole(role=Role(key="CALL", name="Call", workflow="task")))
    other = world.beside("other")
    world.project()
    assert names(other) == ["Proteus"]
    assert other.ask(directory.people_by_ids, [anna]) == {}
    assert other.of(line, directory.members, PageAsk()).nodes == []
    assert other.ask(directory.teams_by_ids, [line]) == {}
    assert other.ask(directory.services_by_ids, [site]) == {}
    assert other.ask(directory.teams_of, [anna]) == {}
    assert "CALL" not in other.ask(directory.workflows).roles
    assert other.ask(directory.workspace).key == "other"
