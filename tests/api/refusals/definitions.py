"""Mutations of workflows, roles, fields and limits: how each is done, and what refuses it."""

from tests.api.refusals.cases import ABSENT, Case, Mutation, of
from tests.api.refusals.scene import NARROW, Scene, key, role


def workflow(scene: Scene) -> str:
    made = key(scene)
    scene.admin.done("defineWorkflow", "workflow { key }", **{**NARROW, "key": made})
    return made


def field(scene: Scene) -> str:
    made = key(scene)
    scene.admin.done("defineField", "field { key }", key=made, name=made, type="TEXT")
    return made


MUTATIONS: dict[str, Mutation] = {
    "defineWorkflow": of(
        {**NARROW, "key": key},
        INVALID_VALUE={"initial": "none"},
        IN_USE={
            "key": "narrow",
            "statuses": [status for status in NARROW["statuses"] if status["key"] != "full"],
            "transitions": [{"source": "*", "target": key} for key in ("new", "done")],
        },
    ),
    "defineRole": of(
        {"key": lambda scene: key(scene).upper(), "name": "Role", "workflow": "support"},
        INVALID_VALUE={"workflow": "none"},
    ),
    "retireWorkflow": of(
        {"workflow": workflow}, WORKFLOW_NOT_FOUND={"workflow": "none"}, IN_USE={"workflow": "narrow"}
    ),
    "retireRole": of({"role": role}, ROLE_NOT_FOUND={"role": "NONE"}, IN_USE={"role": "NARROW"}),
    "defineField": of({"key": key, "name": "Field", "type": "TEXT"}, INVALID_VALUE={"type": "CHOICE"}),
    "retireField": of({"field": field}, FIELD_NOT_FOUND={"field": "none"}),
    "setFieldPolicy": of({"strict": True}),
    "setReadLogging": of({"all": False}),
    "setWipLimit": of(
        {"workflow": "support", "status": "approval", "limit": 100},
        INVALID_VALUE={"limit": 0},
        WORKFLOW_NOT_FOUND={"workflow": "none"},
        STATUS_NOT_FOUND={"status": "none"},
        PERSON_NOT_FOUND={"person": "x"},
        FIELD_REQUIRED={"limit": ABSENT},
        IN_USE=Case(
            {"workflow": "narrow", "status": "full", "hard": True}, limit=("application.wip_limits.CARDS_LIMIT", 0)
        ),
    ),
}
