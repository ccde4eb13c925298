"""The schema, composed of the features' parts."""

import strawberry
from graphql import GraphQLError
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from api.attributes import AttributeMutations
from api.audit import AuditQueries
from api.billing import BillingMutations, BillingQueries
from api.board import BoardQueries
from api.bulk import BulkMutations
from api.clients import ClientMutations, ClientQueries
from api.comments import CommentMutations
from api.contracts import ContractMutations, ContractQueries
from api.custom_fields import CustomFieldMutations, CustomFieldQueries
from api.decisions import DecisionQueries
from api.definitions import DefinitionMutations
from api.diff import DiffQueries
from api.documents import DocumentMutations, DocumentQueries
from api.estimates import EstimateMutations
from api.events import EventQueries
from api.flow import FlowQueries
from api.hand_overs import HandOverMutations
from api.holdings import HoldingQueries
from api.limits import Limits
from api.links import LinkMutations
from api.live import Subscription
from api.merging import MergingMutations
from api.nodes import NodeQueries
from api.offshoots import OffshootMutations
from api.participants import ParticipantMutations
from api.people import PeopleMutations, PeopleQueries
from api.privacy import PrivacyMutations, PrivacyQueries
from api.ranking import RankingMutations
from api.ratings import RatingMutations
from api.reports import ReportQueries
from api.rows import Rows
from api.scalars import SCALARS
from api.search import SearchQueries
from api.services import ServiceMutations, ServiceQueries
from api.status import StatusQueries
from api.teams import TeamMutations, TeamQueries
from api.tickets import TicketMutations, TicketQueries
from api.traceability import TraceabilityMutations, TraceabilityQueries
from api.traceability_quality import QualityQueries
from api.traceability_releases import ReleaseMutations, ReleaseQueries
from api.traceability_trace import TraceQueries
from api.viewer import ViewerQueries
from api.views import ViewMutations, ViewQueries
from api.webhooks import WebhookMutations, WebhookQueries
from api.wip_limits import WipLimitMutations, WipLimitQueries
from api.work import WorkMutations, WorkQueries
from api.workflows import WorkflowQueries


@strawberry.type
class Query(
    ViewerQueries,
    NodeQueries,
    TicketQueries,
    SearchQueries,
    BoardQueries,
    EventQueries,
    AuditQueries,
    DiffQueries,
    HoldingQueries,
    DecisionQueries,
    FlowQueries,
    WorkflowQueries,
    CustomFieldQueries,
    WipLimitQueries,
    ViewQueries,
    WebhookQueries,
    PeopleQueries,
    TeamQueries,
    ServiceQueries,
    WorkQueries,
    TraceabilityQueries,
    TraceQueries,
    ReleaseQueries,
    ClientQueries,
    ContractQueries,
    QualityQueries,
    BillingQueries,
    ReportQueries,
    PrivacyQueries,
    DocumentQueries,
    StatusQueries,
):
    pass


@strawberry.type
class Mutation(
    TicketMutations,
    RankingMutations,
    AttributeMutations,
    BulkMutations,
    CommentMutations,
    ParticipantMutations,
    HandOverMutations,
    RatingMutations,
    LinkMutations,
    MergingMutations,
    OffshootMutations,
    PeopleMutations,
    TeamMutations,
    ServiceMutations,
    DefinitionMutations,
    CustomFieldMutations,
    WipLimitMutations,
    ViewMutations,
    WorkMutations,
    TraceabilityMutations,
    ReleaseMutations,
    ClientMutations,
    ContractMutations,
    WebhookMutations,
    BillingMutations,
    PrivacyMutations,
    DocumentMutations,
    EstimateMutations,
):
    pass


class Schema(strawberry.Schema):
    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Errors are logged where they are translated, and only those that are ours."""


schema = Schema(
    query=Query,
    mutation=Mutation,
    subscription=Subscription,
    extensions=[Limits],
    config=StrawberryConfig(scalar_map=SCALARS),
    execution_context_class=Rows,
)
