"""Custom fields over GraphQL: every command with its refusals, typed values, people by their ids."""

from collections.abc import Callable

from application.workspaces import Workspace
from domain.access import Scope
from tests.api.asking import Client

FIELD = "field { key name type choices { key name } roles { key } requiredFor { key } active }"
SEVERITY = {
    "key": "severity",
    "name": "Severity",
    "type": "CHOICE",
    "choices": [{"key": "s1", "name": "Everything stands still"}, {"key": "s2", "name": "It disturbs"}],
    "roles": ["INCIDENT"],
    "requiredFor": ["INCIDENT"],
}
SHOWN = "ticket { id fields }"


def test_a_field_is_defined_listed_and_retired(admin: Client, agent: Client) -> None:
    defined = admin.done("defineField", FIELD, **SEVERITY)
    role = {"key": "INCIDENT"}
    assert defined == {**SEVERITY, "roles": [role], "requiredFor": [role], "active": True}
    assert admin.refused("defineField", key="parent", name="x", type="TEXT") == ("INVALID_VALUE", ["key"])
    assert admin.refused("defineField", **{**SEVERITY, "type": "CHOICES"}) == ("INVALID_VALUE", ["type"])
    assert admin.refused("defineField", **{**SEVERITY, "roles": ["X"]}) == ("INVALID_VALUE", ["roles"])
    assert agent.refused("defineField", **SEVERITY) == ("FORBIDDEN", None)
    admin.done("defineField", FIELD, key="room", name="Room", type="TEXT")
    assert agent.ask("{ fields { key } }") == [{"key": "room"}, {"key": "severity"}]
    assert agent.ask('{ fields(role: "TASK") { key } }') == [{"key": "room"}]

    assert admin.done("retireField", FIELD, field="room")["active"] is False
    assert agent.ask("{ fields { key } }") == [{"key": "severity"}]
    assert agent.ask("{ fields(retired: true) { key active } }")[0] == {"key": "room", "active": False}
    assert admin.refused("retireField", field="none") == ("FIELD_NOT_FOUND", ["field"])
    assert agent.refused("retireField", field="room") == ("FORBIDDEN", None)


def test_a_field_is_set_cleared_and_checked_by_its_definition(admin: Client) -> None:
    admin.done("defineField", FIELD, **SEVERITY)
    refused = admin.refused("openTicket", title="x", role="INCIDENT")
    assert refused == ("FIELD_REQUIRED", ["fields", "severity"])
    ticket = admin.open(fields={"severity": "s1", "room": 12})
    show = "ticket { fields history(last: 1) { nodes { type changes { path from to } } } }"
    changed = admin.done("setField", show, ticket=ticket["id"], field="severity", value="s2")
    assert changed["fields"] == {"severity": "s2", "room": 12}
    assert changed["history"]["nodes"] == [
        {"type": "FieldSet", "changes": [{"path": "fields.severity", "from": "s1", "to": "s2"}]}
    ]
    assert admin.done("setField", SHOWN, ticket=ticket["id"], field="room", value=None)["fields"]["room"] is None

    def refusal(field: str, **value: object) -> tuple[str, list[str] | None]:
        return admin.refused("setField", ticket=ticket["id"], field=field, **value)

    assert refusal("severity", value="s3") == ("INVALID_VALUE", ["value"])
    assert refusal("severity", value={"a": 1}) == ("INVALID_VALUE", ["value"])
    assert refusal("severity", value=None) == ("FIELD_REQUIRED", ["value"])
    assert refusal("severity") == ("FIELD_REQUIRED", ["value"])
    assert refusal("a b", value=1) == ("INVALID_VALUE", ["value"])
    assert admin.refused("setField", ticket=admin.person, field="room", value=1) == ("TICKET_NOT_FOUND", ["ticket"])


def test_a_strict_workspace_takes_fields_that_are_defined(admin: Client, agent: Client) -> None:
    ticket = admin.open(fields={"room": "12"})
    show = "fieldPolicy { strict }"
    assert admin.done("setFieldPolicy", show, strict=True) == {"strict": True}
    assert agent.ask("{ fieldPolicy { strict } }") == {"strict": True}
    assert admin.refused("setField", ticket=ticket["id"], field="room", value="13") == ("FIELD_NOT_FOUND", ["field"])
    assert admin.refused("openTicket", title="x", role="TASK", fields={"x": 1}) == (
        "FIELD_NOT_FOUND",
        ["fields", "x"],
    )
    assert admin.done("setField", SHOWN, ticket=ticket["id"], field="room", value=None)["fields"] == {"room": None}
    assert agent.refused("setFieldPolicy", strict=False) == ("FORBIDDEN", None)


def test_people_and_teams_in_fields_go_by_their_ids(admin: Client) -> None:
    team = admin.done("addTeam", "team { id }", key="crew", name="Crew")["id"]
    admin.done("defineField", FIELD, key="lead", name="Lead", type="PERSON")
    admin.done("defineField", FIELD, key="crew", name="Crew", type="TEAM")
    given = {"lead": admin.person, "crew": team}
    ticket = admin.done("openTicket", "ticket { id fields }", title="x", role="TASK", fields=given)
    assert ticket["fields"] == given
    history = admin.ask(
        "query($t: ID!) { ticket(id: $t) { history { nodes { changes { path to } } } } }", t=ticket["id"]
    )
    changes = {one["path"]: one["to"] for one in history["history"]["nodes"][0]["changes"]}
    assert (changes["fields.lead"], changes["fields.crew"]) == (admin.person, team)
    assert admin.refused("setField", ticket=ticket["id"], field="lead", value=team) == ("INVALID_VALUE", ["value"])
    gone = admin.person_named("Gone")
    admin.done("deactivatePerson", "person { id }", person=gone)
    assert admin.refused("setField", ticket=ticket["id"], field="lead", value=gone) == ("PERSON_NOT_FOUND", ["value"])


def test_a_requester_sets_no_fields(acme: Workspace, token: Callable[..., Client]) -> None:
    client = token(acme, Scope.REQUESTER)
    ticket = client.open()
    assert client.refused("setField", ticket=ticket["id"], field="room", value=1) == ("FORBIDDEN", None)
