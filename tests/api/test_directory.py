"""People, teams, services, roles and workflows over GraphQL: every command with a refusal, and lists."""

from collections.abc import Callable

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client

PERSON = "person { id name kind email active erased teams { key } }"
TEAM = "team { id key name members { nodes { name } totalCount } }"
SERVICE = "service { id key name active }"


def test_people_are_added_renamed_and_leave(admin: Client) -> None:
    anna = admin.done("addPerson", PERSON, name="Anna", kind="PARTNER", email="anna@example.com")
    assert (anna["name"], anna["kind"], anna["email"], anna["active"]) == (
        "Anna",
        "PARTNER",
        "anna@example.com",
        True,
    )
    assert admin.done("renamePerson", PERSON, person=anna["id"], name="Anne")["name"] == "Anne"
    assert admin.done("deactivatePerson", PERSON, person=anna["id"])["active"] is False
    assert admin.done("reactivatePerson", PERSON, person=anna["id"])["active"] is True
    assert admin.refused("addPerson", name="", kind="STAFF") == ("INVALID_VALUE", ["name"])
    assert admin.refused("addPerson", name="x", email="x") == ("INVALID_VALUE", ["email"])
    for command in ("renamePerson", "deactivatePerson", "reactivatePerson"):
        more = {"name": "x"} if command == "renamePerson" else {}
        assert admin.refused(command, person="nobody", **more) == ("PERSON_NOT_FOUND", ["person"])


def test_people_are_listed_by_name(admin: Client) -> None:
    for name in ("Carl", "anna", "Bert"):
        admin.person_named(name)
    query = """query($after: String, $filter: PersonFilter) { people(first: 2, after: $after, filter: $filter) {
      nodes { name } pageInfo { hasNextPage endCursor } totalCount } }"""
    first = admin.ask(query, filter={"kind": "STAFF", "active": True})
    assert first["nodes"] == [{"name": "Admin"}, {"name": "anna"}]
    second = admin.ask(query, filter={"kind": "STAFF"}, after=first["pageInfo"]["endCursor"])
    assert second["nodes"] == [{"name": "Bert"}, {"name": "Carl"}]
    assert (second["pageInfo"]["hasNextPage"], second["totalCount"]) == (False, 4)
    assert admin.ask(query, filter={"name": {"startsWith": "BER"}})["totalCount"] == 1


def test_teams_are_added_renamed_joined_and_left(admin: Client) -> None:
    team = admin.done("addTeam", TEAM, key="first", name="First line")
    joined = admin.done("joinTeam", TEAM, team=team["id"], person=admin.person)
    assert joined["members"] == {"nodes": [{"name": "Admin"}], "totalCount": 1}
    assert admin.ask("query($id: ID!) { node(id: $id) { ... on Person { teams { key } } } }", id=admin.person) == {
        "teams": [{"key": "first"}]
    }
    assert admin.ask("query($t: [ID!]) { people(filter: {team: {in: $t}}) { totalCount } }", t=[team["id"]]) == {
        "totalCount": 1
    }
    assert admin.done("renameTeam", TEAM, team=team["id"], name="Second line")["name"] == "Second line"
    assert admin.done("leaveTeam", TEAM, team=team["id"], person=admin.person)["members"]["totalCount"] == 0
    assert admin.refused("addTeam", key="FIRST", name="Again") == ("KEY_TAKEN", ["key"])
    assert admin.refused("renameTeam", team=admin.person, name="x") == ("TEAM_NOT_FOUND", ["team"])
    assert admin.refused("joinTeam", team=team["id"], person=team["id"]) == ("PERSON_NOT_FOUND", ["person"])
    assert admin.refused("leaveTeam", team="x", person=admin.person) == ("TEAM_NOT_FOUND", ["team"])
    assert admin.ask("{ teams { nodes { key } totalCount } }") == {"nodes": [{"key": "first"}], "totalCount": 1}


def test_services_are_added_and_renamed(admin: Client) -> None:
    service = admin.done("addService", SERVICE, key="web", name="Web")
    assert admin.done("renameService", SERVICE, service=service["id"], name="Sites")["name"] == "Sites"
    assert admin.refused("addService", key="WEB", name="Again") == ("KEY_TAKEN", ["key"])
    assert admin.refused("renameService", service="x", name="x") == ("SERVICE_NOT_FOUND", ["service"])
    shown = admin.ask("{ services { nodes { key name active } totalCount } }")
    assert shown == {"nodes": [{"key": "web", "name": "Sites", "active": True}], "totalCount": 1}
    assert admin.open(service=service["id"])["id"]


def test_only_heads_manage_and_only_admins_define(acme: Workspace, agent: Client, token: Callable[..., Client]) -> None:
    manager = token(acme, Scope.MANAGER)
    assert agent.refused("addPerson", name="x") == ("FORBIDDEN", None)
    assert agent.refused("addService", key="x", name="x") == ("FORBIDDEN", None)
    assert manager.done("addPerson", PERSON, name="x")["id"]
    assert manager.refused("defineRole", key="X", name="X", workflow="support") == ("FORBIDDEN", None)


def test_a_workflow_is_defined_and_used_by_a_role(admin: Client) -> None:
    flow = {
        "key": "visit",
        "name": "Visit",
        "initial": "planned",
        "statuses": [
            {"key": "planned", "name": "Planned", "category": "NEW"},
            {"key": "over", "name": "Over", "category": "DONE", "color": "#123456"},
        ],
        "transitions": [{"source": "planned", "target": "over", "requires": ["reason"]}],
        "landing": [{"category": "ACTIVE", "status": "planned"}],
    }
    show = "workflow { key version statuses { key order color category } roles { key } }"
    first = admin.done("defineWorkflow", show, **flow)
    assert first["statuses"] == [
        {"key": "planned", "order": 0, "color": "#8b95a5", "category": "NEW"},
        {"key": "over", "order": 1, "color": "#123456", "category": "DONE"},
    ]
    role = admin.done("defineRole", "role { key name }", key="VISIT", name="Visit", workflow="visit")
    assert role == {"key": "VISIT", "name": "Visit"}
    again = admin.done("defineWorkflow", show, **{**flow, "name": "A visit"})
    assert (again["version"], again["roles"]) == (2, [{"key": "VISIT"}])
    assert admin.open(role="VISIT")["status"] == {"key": "planned"}
    assert admin.refused("defineWorkflow", **{**flow, "initial": "x"})[0] == "INVALID_VALUE"
    assert admin.refused("defineRole", key="X", name="X", workflow="x") == ("INVALID_VALUE", ["workflow"])
    assert role in admin.ask("{ roles { key name } }")
    assert {"key": "visit", "version": 2} in admin.ask("{ workflows { key version } }")


def test_the_feed_tells_all_that_happened(admin: Client) -> None:
    ticket = admin.open()
    page = admin.ask(
        """query($actor: ID, $ticket: ID) {
          mine: events(actor: $actor, types: ["TicketOpened"]) { nodes { position ticket { key } } totalCount }
          its: events(ticket: $ticket, occurredAt: {gt: "2000-01-01T00:00:00Z"}) { nodes { type version } }
          last: events(last: 1) { nodes { type } pageInfo { hasPreviousPage } }
        }""",
        actor=admin.person,
        ticket=ticket["id"],
    )
    assert page["mine"] == {
        "nodes": [{"position": ticket["position"], "ticket": {"key": ticket["key"]}}],
        "totalCount": 1,
    }
    assert page["its"]["nodes"] == [{"type": "TicketOpened", "version": 1}]
    assert page["last"] == {"nodes": [{"type": "TicketOpened"}], "pageInfo": {"hasPreviousPage": True}}
    after = "query($p: Position) { events(afterPosition: $p) { totalCount } }"
    assert admin.ask(after, p=ticket["position"]) == {"totalCount": 0}


def test_lists_wait_for_what_was_written(admin: Client) -> None:
    written = {
        "people": admin.command("addPerson", "", name="Zoe")["position"],
        "teams": admin.command("addTeam", "", key="zoo", name="Zoo")["position"],
        "services": admin.command("addService", "", key="zoo", name="Zoo")["position"],
    }
    for field, position in written.items():
        names = admin.ask(f'{{ {field}(minPosition: "{position}") {{ nodes {{ name }} }} }}')["nodes"]
        assert names[-1]["name"].startswith("Zo"), field
    events = admin.ask(f'{{ events(last: 1, minPosition: "{written["services"]}") {{ nodes {{ position }} }} }}')
    assert events["nodes"] == [{"position": written["services"]}]
    assert admin.codes('{ people(minPosition: "999999999") { nodes { name } } }') == ["UNAVAILABLE"]
