"""The schema that is served, against the contract that clients, guides and acceptance runs rely on."""

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from graphql import GraphQLSchema, build_schema, specified_scalar_types

from api.administration import breaking
from api.attachments import Attachment
from api.billing import (
    Balance,
    Fee,
    HourMovement,
    LineRow,
    PackageBalance,
    Statement,
    StatementCorrection,
    StatementLine,
)
from api.board import Board, BoardCell, BoardLine
from api.clients import Client
from api.command_line import main
from api.commands import Done, Payload
from api.comments import Comment
from api.contracts import (
    Contract,
    Grade,
    HourPackage,
    Rate,
    Rounding,
    Terms,
    TermsVersion,
    WorkingCalendar,
)
from api.custom_fields import Choice, Field
from api.definitions import StatusPreview, WorkflowPreview
from api.documents import BillingDocument
from api.estimates import Estimate, EstimateAccuracy, EstimateComparison, EstimateQuestion
from api.events import Change, Event
from api.hand_overs import HandOver
from api.links import Link
from api.live import BalanceChange
from api.paging import PageInfo, PageInfoRow
from api.people import Person
from api.reports import EndingHours, HoursOfWeek, Unbilled, UncontractedWork
from api.schema import schema as served
from api.search import Highlight, HighlightPart, SearchHit
from api.services import Service
from api.spans import Span
from api.status import ProjectionStatus, ServerStatus
from api.teams import Team
from api.ticket_fields import Ticket
from api.traceability import CodeChange, Repository, TicketChange, Tracker
from api.traceability_quality import DeliveryMonth
from api.traceability_trace import MessageCheck, MessageCheckRow, Release, Trace, TraceNode, TraceStep
from api.viewer import Workspace
from api.views import View, ViewDefinition
from api.webhooks import Webhook, WebhookDelivery, WebhookFilter
from api.wip_limits import WipLimit
from api.work import Timer, WorkEntry
from api.workflows import Role, Status, StatusRow, Way, Workflow
from domain import (
    billing,
    custom_fields,
    hour_packages,
    statements,
    terms,
    webhooks,
    workflow_preview,
    workflow_state,
    workflows,
)
from domain.contracts import HoursGranted
from domain.traceability import repositories
from domain.workflow_preview import Preview
from projections import reports, rows, traceability_trace
from projections.directory import WorkspaceRow
from projections.rows import (
    AttachmentRow,
    BoardCellRow,
    BoardLineRow,
    BoardRow,
    ChangeRow,
    ClientRow,
    CodeChangeRow,
    CommentRow,
    ContractRow,
    EventRow,
    HandOverRow,
    HighlightRow,
    LinkRow,
    PersonRow,
    ProjectionStatusRow,
    SearchHitRow,
    ServerStatusRow,
    ServiceRow,
    SpanRow,
    TeamRow,
    TicketRow,
    TimerRow,
    ViewRow,
    WebhookDeliveryRow,
    WebhookRow,
    WorkEntryRow,
)
from projections.rows import HighlightPart as HighlightPartRow
from tests.required import missing

CONTRACT = Path(os.environ.get("PROTEUS_CONTRACT", Path(__file__).parents[3] / "shared" / "contract.graphql"))


@pytest.fixture(scope="module")
def contract() -> GraphQLSchema:
    if not CONTRACT.exists():
        missing(f"the contract is not at {CONTRACT}; say by PROTEUS_CONTRACT where it is")
    return build_schema(CONTRACT.read_text(encoding="utf-8"))


def described(schema: GraphQLSchema) -> dict[str, str]:
    """Every type, field, argument, default, enum value and interface: its name -> what it is."""
    found: dict[str, str] = {}
    for name, type_ in schema.type_map.items():
        if name.startswith("__") or name in specified_scalar_types:
            continue
        found[name] = type(type_).__name__
        for interface in getattr(type_, "interfaces", ()):
            found[f"{name} implements {interface.name}"] = ""
        for value in getattr(type_, "values", {}):
            found[f"{name}.{value}"] = "value"
        for field_name, field in getattr(type_, "fields", {}).items():
            found[f"{name}.{field_name}"] = _shape(field)
            for argument_name, argument in getattr(field, "args", {}).items():
                found[f"{name}.{field_name}({argument_name})"] = _shape(argument)
    return found


def _shape(field: Any) -> str:
    default = getattr(field, "ast_node", None) and getattr(field.ast_node, "default_value", None)
    return f"{field.type}" + (f" = {getattr(default, 'value', default)}" if default is not None else "")


def test_everything_of_the_contract_is_served_as_it_says(contract: GraphQLSchema) -> None:
    ours = described(build_schema(served.as_str()))
    for path, shape in described(contract).items():
        assert path in ours, f"{path} is missing"
        assert ours[path] == shape, f"{path} is {ours[path]}, the contract says {shape}"


def test_the_checked_in_schema_is_the_one_that_is_served() -> None:
    assert CliRunner().invoke(main, ["schema", "--check"]).exit_code == 0


def test_a_removed_field_breaks_clients_unless_it_was_deprecated() -> None:
    assert breaking("type Query { a: Int b: Int }", "type Query { a: Int }") == ["Field Query.b was removed."]
    assert breaking("type Query { a: Int b: Int @deprecated }", "type Query { a: Int }") == []
    assert breaking("type Query { a: Int }", "type Query { a: Int b: Int }") == []


@pytest.mark.parametrize(
    ("shown", "row"),
    [
        *((Ticket, TicketRow), (Comment, CommentRow), (Event, EventRow), (Change, ChangeRow), (Span, SpanRow)),
        *((Person, PersonRow), (Team, TeamRow), (Service, ServiceRow), (Status, StatusRow), (Role, workflows.Role)),
        *((Board, BoardRow), (BoardLine, BoardLineRow), (BoardCell, BoardCellRow), (PageInfo, PageInfoRow)),
        *((ServerStatus, ServerStatusRow), (ProjectionStatus, ProjectionStatusRow), (Workflow, workflows.Workflow)),
        *(
            (Workspace, WorkspaceRow),
            (Payload, Done),
            (Attachment, AttachmentRow),
            (Link, LinkRow),
            (HandOver, HandOverRow),
            *((SearchHit, SearchHitRow), (Highlight, HighlightRow), (HighlightPart, HighlightPartRow)),
        ),
        *(
            (Balance, rows.BalanceRow),
            (PackageBalance, hour_packages.Package),
            (HourMovement, hour_packages.Movement),
            (Fee, billing.Fee),
        ),
        *(
            (BillingDocument, rows.DocumentRow),
            (Estimate, rows.EstimateRow),
            (EstimateQuestion, rows.EstimateQuestionRow),
            (EstimateComparison, rows.ComparedRow),
            (EstimateAccuracy, rows.AccuracyRow),
            (BalanceChange, rows.BalanceChangeRow),
        ),
        *((Statement, rows.DrawnStatement), (StatementLine, LineRow), (StatementCorrection, statements.Correction)),
        *((HoursOfWeek, reports.HoursRow), (UncontractedWork, reports.UncontractedRow)),
        *((Unbilled, reports.UnbilledRow), (EndingHours, reports.EndingRow)),
        *((Client, ClientRow), (Contract, ContractRow), (HourPackage, HoursGranted), (Terms, terms.Terms)),
        *((TermsVersion, terms.TermsVersion), (Rate, terms.Rate), (Grade, terms.Grade)),
        *((Rounding, terms.Rounding), (WorkingCalendar, terms.WorkingCalendar)),
        *((WorkEntry, WorkEntryRow), (Timer, TimerRow)),
        *((View, ViewRow), (ViewDefinition, rows.ViewDefinition), (WipLimit, workflow_state.WipLimit)),
        *((Field, custom_fields.Field), (Choice, custom_fields.Choice), (Way, workflows.Transition)),
        *((Repository, rows.RepositoryRow), (Tracker, repositories.Tracker)),
        *((Release, rows.ReleaseRow), (TraceNode, rows.TraceNodeRow), (TraceStep, rows.TraceStepRow)),
        *((DeliveryMonth, rows.DeliveryMonthRow),),
        *((Trace, traceability_trace.Trace), (MessageCheck, MessageCheckRow)),
        *((CodeChange, CodeChangeRow), (TicketChange, rows.TicketChangeRow)),
        *((Webhook, WebhookRow), (WebhookDelivery, WebhookDeliveryRow), (WebhookFilter, webhooks.WebhookFilter)),
        *((WorkflowPreview, Preview), (StatusPreview, workflow_preview.StatusPreview)),
    ],
)
def test_what_a_type_shows_without_a_resolver_is_an_attribute_of_its_row(shown: Any, row: type) -> None:
    attributes = {name for name in dir(row) if not name.startswith("__")}
    for field in shown.__strawberry_definition__.fields:
        if field.base_resolver is None:
            assert field.python_name in attributes, f"{row.__name__} has no {field.python_name}"
