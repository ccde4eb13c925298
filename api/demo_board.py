"""How the demo company is set up: custom fields, limits on work in progress, saved views, a webhook."""

from typing import Any
from uuid import UUID

import msgspec

from api.ids import Kind, encode
from domain.custom_fields import Choice, DefineField, Field, FieldType
from domain.text import FieldValue
from domain.tickets import Priority
from domain.views import SaveView
from domain.webhooks import DefineWebhook, WebhookAudience, WebhookFilter
from domain.workflows import SetWipLimit, WorkflowsCommand
from projections.filters import BoardAxis, Direction, TicketField, TicketOrder
from projections.rows import ViewDefinition

_SEVERITY = {Priority.CRITICAL: "s1", Priority.HIGH: "s2", Priority.NORMAL: "s3", Priority.LOW: "s4"}


def settings() -> list[WorkflowsCommand | SaveView | DefineWebhook]:
    choices = ("Everything stands still", "Many are hindered", "One is hindered", "It can wait")
    severity = Field(
        key="severity",
        name="Severity",
        type=FieldType.CHOICE,
        choices=tuple(Choice(key=f"s{n}", name=name) for n, name in enumerate(choices, start=1)),
        roles=("INCIDENT", "PROBLEM", "ALERT"),
    )
    return [
        DefineField(field=severity),
        DefineField(field=Field(key="estimate", name="Estimate, hours", type=FieldType.NUMBER, roles=("TASK", "BUG"))),
        DefineField(field=Field(key="go_live", name="Goes live on", type=FieldType.DATE, roles=("PROJECT",))),
        SetWipLimit(workflow="support", status="in_progress", limit=3),
        SetWipLimit(workflow="task", status="review", limit=100, hard=True),
        SetWipLimit(workflow="task", status="in_progress", each_person=True, limit=3),
        _view("Urgent, and nobody has it", {"priority": {"in": ["CRITICAL", "HIGH"]}, "assignee": {"isNull": True}}),
        _view("Everything stands still", {"field": [{"key": "severity", "eq": "s1"}]}),
        DefineWebhook(
            url="https://billing.northlight.example/proteus",
            description="Waits for tickets with the tag billing; point it at a receiver of yours, and test it",
            audience=WebhookAudience.STAFF,
            filter=WebhookFilter(tags=("billing",)),
        ),
    ]


def team_s_view(name: str, team: UUID) -> SaveView:
    definition = _defined(
        {"team": {"eq": encode(Kind.TEAM, team)}}, columns=BoardAxis.ASSIGNEE, rows=BoardAxis.CATEGORY
    )
    return SaveView(name=f"{name}: who does what", definition=definition, team=team)


def fields(role: str, priority: Priority) -> dict[str, FieldValue]:
    return {"severity": _SEVERITY[priority]} if role in ("INCIDENT", "PROBLEM", "ALERT") else {}


def _view(name: str, filter_: dict[str, Any]) -> SaveView:
    return SaveView(name=name, definition=_defined(filter_), shared=True)


def _defined(filter_: dict[str, Any], columns: BoardAxis | None = None, rows: BoardAxis | None = None) -> str:
    order = [TicketOrder(field=TicketField.PRIORITY), TicketOrder(field=TicketField.DUE_AT, direction=Direction.ASC)]
    definition = ViewDefinition(
        workflow=None, columns=columns, rows=rows, filter=filter_, search=None, order_by=[] if columns else order
    )
    return msgspec.json.encode(definition).decode()
