"""PostgreSQL itself keeps workspaces apart, whatever our own statements forget to ask for."""

import asyncio
import json
import re
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import chain, product
from pathlib import Path
from typing import Any, LiteralString
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from api.settling import Settler
from application import (
    billing,
    clients,
    contracts,
    documents,
    services,
    teams,
    tokens,
    traceability,
    views,
    work,
    workflows,
)
from application.attachments.attaching import attach
from application.attachments.contents import Contents
from application.audit.scrubbing import scrub
from application.audit.sequencing import Pace
from application.audit.sequencing import Session as Sequencing
from application.audit.tree import WIDTH
from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Database, DatabaseNotUsable, Place, Role
from application.event_store.streams import EventStore
from application.handling import Context
from application.privacy import erasing
from application.privacy.erasing import Asked
from application.privacy.reads import ReadLog, Way
from application.teams import team_stream
from application.tokens import bearer, digest, issue_token
from application.traceability.scanning import Found, Recording
from application.webhooks import handle as keep_webhooks
from application.workspaces import Workspace, create_workspace, operator
from domain.access import Scope
from domain.billing import Carried, Fee, FeeKind, Ledger
from domain.clients import AddClient, AddContact
from domain.contracts import AgreeContract, BindContract, Contract, ReportUsedUp
from domain.documents import Billed, IssueInvoice
from domain.privacy import SetReadLogging, SetSensitive
from domain.services import AddService
from domain.statements import ClosePeriod, Drawn, Statement, statement
from domain.teams import AddTeam, JoinTeam
from domain.terms import ContractKind, Terms, TermsVersion
from domain.tickets import (
    AcceptEstimate,
    AddComment,
    AskEstimateQuestion,
    AttachFile,
    GiveEstimate,
    LinkKind,
    LinkTickets,
    MergeTickets,
    OpenTicket,
    RateTicket,
    RequestEstimate,
    SetParent,
    SetPriority,
    Ticket,
    TransferTicket,
    TransitionTicket,
    WatchTicket,
)
from domain.tickets import Priority as Priorities
from domain.traceability.artifacts import AttachProvenance
from domain.traceability.findings import (
    Commit,
    CommitsIntroduced,
    CommitsRecorded,
    CopiesFound,
    Copy,
    Introduction,
    LinesCounted,
)
from domain.traceability.links import AddChangeLink
from domain.traceability.references import Mention, MentionSource
from domain.traceability.releases import PromiseTickets, RecordDeployment, RecordRelease, ReleaseFollowed
from domain.traceability.repositories import DefineRepository
from domain.traceability.requests import RecordMergeRequest, RecordReview, ReviewVerdict
from domain.views import FavouriteView, SaveView
from domain.webhooks import DefineWebhook, Webhook, WebhookAudience, WebhookFilter
from domain.work import BillWork, LogWork, StartTimer
from projections import (
    accounts,
    attachments,
    board,
    comments,
    directory,
    search,
    spans,
    tickets,
    timeline,
    webhook_deliveries,
    webhooks,
)
from projections import billing as read_billing
from projections.board import BoardAsk
from projections.engine import Session
from projections.filters import BoardAxis, EventFilter, PageAsk, TicketFilter
from projections.reading import NOW, ReadModels, View
from projections.registry import PROJECTIONS
from tests.application.recording import Company, added, envelopes, insertion, renamed, writer
from tests.application.test_sealing import superuser
from tests.conftest import KEYS

SCHEMAS = ["proteus", "proteus_keys"]
A_WEBHOOK = Webhook(
    url="https://example.org/",
    description=None,
    types=(),
    audience=WebhookAudience.STAFF,
    filter=WebhookFilter(roles=("INCIDENT",)),
    secrets=(),
)
NO_DEFINITION = '{"workflow":null,"columns":null,"rows":null,"filter":null,"search":null,"order_by":[]}'


@pytest.fixture
def two(database: Database, store: EventStore, workspace: Workspace) -> tuple[Company, Company]:
    """Two workspaces with something in every table, and read models that have caught up."""
    one = Company.of(store, workspace)
    other = Company.of(store, create_workspace(database, store, "other", "Other"))
    for company in (one, other):
        _fill(database, company)
    with Session(database, {projection.name: projection for projection in PROJECTIONS}) as session:
        session.catch_up()
    with Sequencing(database, Pace()) as sequencing:
        sequencing.catch_up()
    Settler(database).catch_up()
    for company in (one, other):
        scrub(database, company.workspace.id)
    return one, other


def _fill(database: Database, company: Company) -> None:
    context = Context(actor=operator(company.workspace.id))
    requester = company.person("Гость", "guest@example.org")
    team = teams.handle(company.store, context, AddTeam(key="line", name="Line")).stream
    teams.handle(company.store, context, JoinTeam(team=team, person=requester))
    service = services.handle(company.store, context, AddService(key="hosting", name="Hosting")).stream
    parent = company.ticket(f"Parent of {company.workspace.key}")
    child = company.ticket("Child", requester=requester, team=team, service=service, tags=("t",), fields={"room": "1"})
    company.give(SetParent(ticket=child, parent=parent))
    company.give(AddComment(ticket=child, body="Comment", mentions=(requester,)))
    _attach(company, child)
    company.give(WatchTicket(ticket=child))
    company.give(SetSensitive(ticket=child, sensitive=True))
    workflows.handle(company.store, context, SetReadLogging(all=True))
    asyncio.run(_read(database, company, child))
    company.give(TransferTicket(ticket=parent, team=team))
    rated = company.ticket("Rated", requester=requester)
    company.give(TransitionTicket(ticket=rated, status="done"))
    company.give(RateTicket(ticket=rated, score=5, comment="Fast"), on_behalf_of=requester)
    company.give(MergeTickets(ticket=company.ticket("Twin"), into=child))
    company.give(LinkTickets(ticket=child, kind=LinkKind.RELATES, other=parent))
    company.give(SetPriority(ticket=child, priority=Priorities.NORMAL), command_id=uuid4())  # changes nothing
    began = datetime(2026, 3, 2, 9, tzinfo=UTC)
    logged = LogWork(ticket=child, started_at=began, seconds=60, comment="Work")
    worked = work.handle(company.store, context, logged).stream
    ours = AddClient(name="Client", language="ru", currency="EUR", time_zone="UTC")
    client = clients.handle(company.store, context, ours).stream
    clients.handle(company.store, context, AddContact(client=client, person=requester))
    prepaid = Terms(kind=ContractKind.PREPAID, currency="EUR")
    agreed = AgreeContract(client=client, name="Contract", terms=prepaid, applies_from=began.date())
    agreement = contracts.handle(company.store, context, agreed)
    contract = agreement.stream
    contracts.handle(company.store, context, BindContract(ticket=child, contract=contract))
    work.handle(company.store, context, BillWork(work_entry=worked, contract=contract))
    stand = Carried(day=began.date(), packages=(), overage=0, overage_of_month=0)
    nothing = Ledger(charges=(), fees=(), movements=(), opening=0, carried=stand)
    terms = TermsVersion(number=1, applies_from=began.date(), terms=prepaid)
    known = Contract(client=client, name="Contract", versions=(terms,))
    drawn = statement(known, nothing, None, began.date(), began.date())
    closing = Drawn(statement=drawn, contract=known, known=agreement.position, today=date(2026, 6, 1))
    billing.handle(company.store, context, ClosePeriod(contract=contract, until=began.date()), closing)
    _invoice(company, context, contract, child, drawn)
    _estimate(company, child)
    work.handle(company.store, context, StartTimer(ticket=child))
    saved = views.handle(company.store, context, SaveView(name="All", definition=NO_DEFINITION, shared=True)).stream
    views.handle(company.store, context, FavouriteView(view=saved))
    _trace(company, context, child)
    _deliver(database, company)
    _erase(database, company)
    issue_token(database, company.workspace.id, requester, [Scope.AGENT], "Token", timedelta(days=1))
    many = (renamed(str(number)) for number in range(WIDTH))  # so many that the tree of proofs has a second level
    company.store.workspace(company.workspace.id).append(envelopes(company.workspace.id, uuid4(), added(), *many))
    with writer(database, company.workspace.id) as connection:
        connection.execute(*insertion(workspace=company.workspace.id, state=b"unreadable: to be parked"))
        connection.commit()


async def _read(database: Database, company: Company, ticket: UUID) -> None:
    log = ReadLog(database)
    await log.open()
    await log.note(company.workspace.id, company.manager.person, [ticket], Way.QUERY)
    await log.close()


def _erase(database: Database, company: Company) -> None:
    with tempfile.TemporaryDirectory() as folder:
        contents = Contents(Path(folder), company.store.mapper.sealer.keyring)
        asked = Asked(person=company.person("Leaver"), reason="Asked to", folder=Path(folder) / "acts")
        erasing.begin(database, company.store, contents, company.workspace, asked)


def _invoice(company: Company, context: Context, contract: UUID, ticket: UUID, drawn: Statement) -> None:
    paid = Fee(kind=FeeKind.FIXED_PRICE, day=drawn.since, amount=Decimal("1.00"))
    billed = Billed(number=1, statement=msgspec.structs.replace(drawn, fees=(paid,)))
    day = drawn.since
    used_up = ReportUsedUp(contract=contract, package=uuid4(), since=day, until=day, known=1)
    contracts.tell(company.store, context, used_up)
    documents.handle(company.store, context, IssueInvoice(contract=contract, statement=1, ticket=ticket), billed)


def _estimate(company: Company, ticket: UUID) -> None:
    company.give(RequestEstimate(ticket=ticket, about="Estimate"))
    company.give(AskEstimateQuestion(ticket=ticket, text="Question"))
    company.give(GiveEstimate(ticket=ticket, least_seconds=60))
    here = company.store.workspace(company.workspace.id)
    state = here.load([ticket])[ticket].state
    assert isinstance(state, Ticket)
    company.give(AcceptEstimate(ticket=ticket, estimate=state.estimates[0].id))


def _trace(company: Company, context: Context, ticket: UUID) -> None:
    """A commit of each kind, a merge request and links."""
    repository = traceability.handle(company.store, context, DefineRepository(key="shop", name="Shop")).stream
    recording = Recording(company.store, context, repository)
    first, second, merge = ("1" * 40, "2" * 40, "3" * 40)
    at, mention = datetime(2026, 1, 1, tzinfo=UTC), Mention(MentionSource.TEXT, "T-", 1)
    commits = [
        Commit(sha=sha, parents=parents, authored_at=at, committed_at=at, mentions=(mention,))
        for sha, parents in ((first, ()), (second, ()), (merge, (first, second)), ("4" * 40, ()))
    ]
    texts: dict[str, Sequence[str]] = {one.sha: ("Anna", "anna@example.org", "Subject") for one in commits}
    found = Found(first=first, last=merge, count=3)
    introduced = (Introduction(merge, (first, second)),)
    recording.tell(found, CommitsRecorded(repository=repository, commits=tuple(commits), texts=texts))
    recording.tell(found, CommitsIntroduced(repository=repository, introduced=introduced))
    recording.tell(found, CopiesFound(repository=repository, copies=(Copy(second, first),)))
    recording.tell(found, LinesCounted(repository=repository, head=merge, lines={merge: 3}, files=1, skipped=0))
    request = RecordMergeRequest(repository=repository, number=1, title="Title")
    traceability.handle(company.store, context, request)
    review = RecordReview(repository=repository, number=1, verdict=ReviewVerdict.APPROVED)
    traceability.handle(company.store, context, review)
    recording.record_release(
        RecordRelease(repository=repository, tag="v1", commit=merge),
        ReleaseFollowed(commit=merge, base=first, commits=(second, merge)),
    )
    traceability.handle(company.store, context, PromiseTickets(repository=repository, tag="v1", tickets=(ticket,)))
    source = {"uri": "git+https://example.org/acme/shop", "digest": {"gitCommit": merge}}
    provenance = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "shop.tar", "digest": {"sha256": "a" * 64}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {"buildDefinition": {"resolvedDependencies": [source]}},
    }
    attached = AttachProvenance(repository=repository, provenance=json.dumps(provenance))
    traceability.handle(company.store, context, attached)
    deployed = RecordDeployment(repository=repository, number="1", environment="production", commit=merge)
    traceability.handle(company.store, context, deployed)
    link = AddChangeLink(repository=repository, change=merge, ticket=ticket)
    traceability.handle(company.store, context, link)


def _deliver(database: Database, company: Company) -> None:
    command = DefineWebhook(url="https://example.org")
    context = Context(actor=operator(company.workspace.id))
    webhook = keep_webhooks(company.store, context, command, "whsec_eA==").stream
    with database.connect(Role.PROJECTOR) as connection:
        arguments = {"workspace": company.workspace.id, "webhook": webhook}
        connection.execute(
            "insert into webhook_cursor (workspace, webhook, position) values (%(workspace)s, %(webhook)s, 1)",
            arguments,
        )
        connection.execute(
            "insert into webhook_delivery (workspace, webhook, message, type, delivered, attempts, seconds)"
            " values (%(workspace)s, %(webhook)s, 'test', 'WebhookTested', true, 1, 0.1)",
            arguments,
        )


def _attach(company: Company, ticket: UUID) -> None:
    with tempfile.TemporaryDirectory() as folder:
        contents = Contents(Path(folder), company.store.mapper.sealer.keyring)
        receiving = contents.receive(company.workspace.id, company.manager.person)
        receiving.writer.write(b"File")
        receiving.writer.finish()
        command = AttachFile(ticket=ticket, upload=receiving.upload, name="file.txt")
        attach(contents, company.store, Context(actor=company.manager), command)


def tables(connection: psycopg.Connection[TupleRow], with_column: bool = True) -> list[tuple[str, str]]:
    """From the catalogue, so that a new table is covered on the day it is made."""
    return connection.execute(
        "select n.nspname, c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
        " where n.nspname = any(%s) and c.relkind in ('r', 'p') and (not %s or exists ("
        "   select from pg_attribute a where a.attrelid = c.oid and a.attname = 'workspace' and not a.attisdropped))"
        " order by 1, 2",
        (SCHEMAS, with_column),
    ).fetchall()


def held_by(postgres: EmbeddedPostgres, database: Database) -> dict[Place, list[tuple[str, str]]]:
    """The tables of a workspace, by where they are."""
    held: dict[Place, list[tuple[str, str]]] = {}
    for place in (database, database.keys):
        with superuser(postgres, place) as connection:
            held[place] = [table for table in tables(connection) if table[0] == place.schema]
    return held


def enter(connection: psycopg.Connection[TupleRow], workspace: UUID | None) -> None:
    connection.execute("select set_config('proteus.workspace', %s, false)", (str(workspace) if workspace else "",))


def seen(connection: psycopg.Connection[TupleRow], table: tuple[str, str]) -> set[UUID]:
    """Whose rows this role sees; where it may not even ask, nobody's."""
    try:
        statement = sql.SQL("select distinct workspace from {}").format(sql.Identifier(*table))
        return {row[0] for row in connection.execute(statement)}
    except psycopg.errors.InsufficientPrivilege:
        return set()


# ---- tables


def test_every_table_of_a_workspace_forces_row_level_security(postgres: EmbeddedPostgres, database: Database) -> None:
    with superuser(postgres, database) as connection:
        bare = connection.execute(
            "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = any(%s) and c.relkind in ('r', 'p')"
            "   and not (c.relrowsecurity and c.relforcerowsecurity)",
            (SCHEMAS,),
        ).fetchall()
        versions = {(f"{schema}.schema_version",) for schema in SCHEMAS}
        assert set(bare) == versions, "which say how far the schema is and which keys go with it, and nothing else"
        views = connection.execute(
            "select c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = any(%s) and c.relkind in ('v', 'm')"
            "   and not coalesce(c.reloptions::text[] && '{security_invoker=true,security_invoker=on}', false)",
            (SCHEMAS,),
        ).fetchall()
        assert views == [], "a view without security_invoker shows what its owner sees"


@KEYS
def test_nobody_sees_rows_of_another_workspace_or_without_one(
    postgres: EmbeddedPostgres, database: Database, two: tuple[Company, Company]
) -> None:
    one, other = (company.workspace.id for company in two)
    held = held_by(postgres, database)
    for place, tables_ in held.items():
        with superuser(postgres, place) as connection:
            for table in tables_:  # else it would prove nothing
                assert {one, other} <= seen(connection, table), f"{table} is empty: let _fill write to it"
    assert len({*chain(*held.values())}) > 12
    visible: set[tuple[str, str]] = set()
    for role, place in product((Role.APP, Role.READER), held):
        with place.connect(role) as connection:
            for table in held[place]:
                enter(connection, one)
                shown = seen(connection, table)
                assert shown <= {one}, table
                visible |= {table} if shown else set()
                enter(connection, None)
                assert seen(connection, table) == set(), table
                enter(connection, uuid4())
                assert seen(connection, table) == set(), table
    # Tokens are looked up by their hash alone; of erasures the operator asks, who owns the database.
    assert {*chain(*held.values())} - visible == {("proteus", "token"), ("proteus_keys", "erasure")}


def test_the_list_of_workspaces_shows_one_s_own(database: Database, two: tuple[Company, Company]) -> None:
    for role in (Role.APP, Role.READER):
        with database.connect(role) as connection:
            enter(connection, two[0].workspace.id)
            assert connection.execute("select key from workspace").fetchall() == [("acme",)]
            enter(connection, None)
            assert connection.execute("select key from workspace").fetchall() == []


@KEYS
def test_nobody_writes_rows_of_another_workspace(
    postgres: EmbeddedPostgres, database: Database, two: tuple[Company, Company]
) -> None:
    one, other = (company.workspace.id for company in two)
    held = held_by(postgres, database)
    refused: set[str] = set()
    for role, place in product((Role.APP, Role.READER), held):
        with place.connect(role) as connection:
            enter(connection, one)
            for schema, table in held[place]:
                granted = connection.execute(
                    "select has_any_column_privilege(current_user, %s, 'insert')", (f"{schema}.{table}",)
                ).fetchone()
                if granted != (True,):
                    continue
                assert role is Role.APP, f"{role} may insert into {table}"
                with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                    _copy_row_to(connection, table, one, other)
                refused.add(table)
    assert refused == {"event", "command", "guard", "ticket_number", "subject_key", "read_access"}


def _copy_row_to(connection: psycopg.Connection[TupleRow], table: str, one: UUID, other: UUID) -> None:
    """A row as there is one already, but of the other workspace."""
    columns = [
        row[0]
        for row in connection.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attnum > 0"
            " and has_column_privilege(current_user, attrelid, attnum, 'insert') and attname <> 'workspace'",
            (table,),
        )
    ]
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    connection.execute(
        sql.SQL("insert into {0} (workspace, {1}) select %s, {1} from {0} where workspace = %s limit 1").format(
            sql.Identifier(table), names
        ),
        (other, one),
    )


def test_the_application_changes_no_row_of_another_workspace(database: Database, two: tuple[Company, Company]) -> None:
    one, other = (company.workspace.id for company in two)
    with database.connect(Role.APP) as connection:
        enter(connection, one)
        for statement, rows in (("update guard set version = 99", 2), ("update ticket_number set last = 0", 1)):
            assert connection.execute(statement.encode()).rowcount == rows
        enter(connection, other)
        assert connection.execute("select max(version) from guard").fetchone() != (99,)
        assert connection.execute("select last from ticket_number").fetchone() != (0,)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("update guard set workspace = %s", (one,))


def test_one_workspace_loads_and_appends_nothing_of_another(two: tuple[Company, Company]) -> None:
    one, other = two
    foreign = other.ticket("Foreign")
    here = one.store.workspace(one.workspace.id)
    assert here.load([foreign]) == {}
    assert here.recorder.select_events(foreign) == []


# ---- queries


async def _ask_everything(
    view: View,
    foreign: UUID,
    person: UUID,
    team: UUID,
    positions: list[int],
    files: list[UUID],
    hooks: list[UUID],
    contracts: list[UUID],
) -> list[Any]:
    """Every query there is, about things of the other workspace where they can be named."""
    page = PageAsk(first=100)
    asked: list[Callable[[], Awaitable[Any]]] = [
        lambda: directory.people(view, None, page),
        lambda: directory.people_by_ids(view, [person]),
        lambda: directory.teams(view, page),
        lambda: directory.teams_by_ids(view, [team]),
        lambda: directory.services(view, page),
        lambda: directory.members(view, [team], page),
        lambda: directory.teams_of(view, [person]),
        lambda: directory.workspace(view),
        lambda: directory.workflows(view),
        lambda: tickets.ticket(view, id=foreign, key=None, moment=NOW),
        lambda: tickets.ticket(view, id=None, key="T-1", moment=NOW),
        lambda: tickets.by_ids(view, [foreign], NOW),
        lambda: tickets.tickets(view, None, None, [], page, NOW),
        lambda: tickets.tickets(view, None, search.condition(view, "Parent", NOW), [], page, NOW),
        lambda: search.search(view, "Parent", None, page),
        lambda: search.count(view, "Child", TicketFilter()),
        lambda: tickets.count(view, None, None, NOW),
        lambda: tickets.details(view, [foreign], NOW),
        lambda: tickets.children(view, [foreign], page, NOW),
        lambda: comments.comments(view, [foreign], page, NOW),
        lambda: comments.comment_counts(view, [foreign], NOW),
        lambda: attachments.attachments(view, [foreign], page, NOW),
        lambda: attachments.attachment_counts(view, [foreign], NOW),
        lambda: attachments.by_ids(view, files),
        lambda: attachments.readable(view, files[0]),
        lambda: spans.spans(view, [foreign], page, NOW),
        lambda: spans.span_counts(view, [foreign], NOW),
        lambda: board.board(view, BoardAsk(columns=BoardAxis.STATUS, rows=BoardAxis.TEAM), NOW),
        lambda: timeline.events(view, EventFilter(), page),
        lambda: timeline.event_count(view, EventFilter()),
        lambda: timeline.by_positions(view, positions),
        lambda: webhooks.webhooks(view),
        lambda: webhooks.webhooks_by_ids(view, hooks),
        *[partial(webhooks.deliveries, view, hook, page) for hook in hooks],
        *[partial(webhooks.delivery_count, view, hook) for hook in hooks],
        *[partial(ask, view, contract, *more) for contract in contracts for ask, *more in _OF_CONTRACTS],
        lambda: webhook_deliveries.wanted(view, A_WEBHOOK, 0, 2**62, 100),
    ]
    answers = [await ask() for ask in asked]
    # The keys of a dict are what was asked for, found or not.
    return [list(answer.values()) if isinstance(answer, dict) else answer for answer in answers]


_OF_CONTRACTS: tuple[tuple[Any, ...], ...] = (
    (accounts.moved,),
    (read_billing.balance,),
    (read_billing.drawn, None, date(2026, 6, 30)),
)


def _without_filter(query: Any) -> Any:
    """The statement as if whoever wrote it had forgotten the workspace."""
    text = query if isinstance(query, str) else query.as_string(None)
    text = re.sub(r"\b(\w+\.)?workspace = %\(workspace\)s", "true", text)
    assert "workspace = %(workspace)s" not in text, text
    return text.encode()


def test_queries_that_forget_the_workspace_show_nothing_foreign(
    database: Database, two: tuple[Company, Company], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = two
    foreign, person, team = other.ticket("Foreign"), other.person("Чужой"), team_stream(other.workspace.id, "line")
    with database.connect(Role.PROJECTOR) as connection:
        positions = [row[0] for row in connection.execute("select position from event")]
        files = [
            row[0]
            for row in connection.execute("select id from attachment order by workspace = %s", (one.workspace.id,))
        ]
        hooks = [row[0] for row in connection.execute("select id from webhook")]
        agreed = [row[0] for row in connection.execute("select distinct id from contract")]
        strange = {
            str(row[0])
            for table in ("event", "person", "team", "span", "attachment", "webhook", "contract", "billed_work")
            for row in connection.execute(
                sql.SQL("select {} from {} where workspace = %s").format(
                    sql.Identifier({"event": "stream", "span": "ticket"}.get(table, "id")), sql.Identifier(table)
                ),
                (other.workspace.id,),
            )
        }

    forgotten: list[str] = []
    fetch_all = ReadModels.fetch_all

    async def forgetful(
        self: ReadModels, workspace: UUID | None, *statements: tuple[Any, Any], **how: bool
    ) -> list[list[TupleRow]]:
        forgotten.extend(str(query) for query, _ in statements)
        without = [(_without_filter(query), arguments) for query, arguments in statements]
        return await fetch_all(self, workspace, *without, **how)

    async def ask(viewer: Company) -> str:
        models = ReadModels(database)
        await models.open()
        try:
            view = models.view(operator(viewer.workspace.id))
            return repr(await _ask_everything(view, foreign, person, team, positions, files, hooks, agreed))
        finally:
            await models.close()

    with monkeypatch.context() as patched:
        patched.setattr(ReadModels, "fetch_all", forgetful)
        directory._workflows_cache.clear()
        answers = asyncio.run(ask(one))
    assert len(forgotten) > 20
    assert "Parent of acme" in answers
    assert "Parent of other" not in answers
    assert [id_ for id_ in strange if id_ in answers] == []
    directory._workflows_cache.clear()


# ---- who logs in


def test_no_role_sees_through_row_level_security(postgres: EmbeddedPostgres, database: Database) -> None:
    with superuser(postgres, database) as connection:
        rows = connection.execute(
            "select rolname, rolsuper, rolbypassrls, rolcanlogin from pg_roles where rolname like 'proteus%'"
        ).fetchall()
        assert {row[0] for row in rows} == {"proteus", *(role.value for role in Role)}
        for name, is_superuser, bypasses, logs_in in rows:
            assert not is_superuser
            assert not bypasses
            assert logs_in == (name == "proteus")
        owners = connection.execute(
            "select distinct tableowner from pg_tables where schemaname = any(%s)", (SCHEMAS,)
        ).fetchall()
        assert owners == [("proteus_owner",)]


def test_the_login_itself_owns_and_sees_nothing(database: Database, two: tuple[Company, Company]) -> None:
    """What it may do, it may do in a role."""
    with psycopg.connect(database.url, autocommit=True) as connection:
        for table in ("event", "person", "token"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(sql.SQL("select from {}").format(sql.Identifier("proteus", table)))


def test_a_superuser_s_login_is_refused(postgres: EmbeddedPostgres, database: Database) -> None:
    name = str(conninfo_to_dict(database.url)["dbname"])
    strong = Database(make_conninfo(postgres.dsn, dbname=name))
    with pytest.raises(DatabaseNotUsable, match="row-level security does not bind") as refusal:
        strong.migrate(lambda connection: None)
    assert "create role proteus login" in str(refusal.value)


SNEAKY: tuple[LiteralString, ...] = (
    "set row_security = off",
    "alter table proteus.event disable row level security",
    "alter table proteus.event no force row level security",
    "drop policy own on proteus.event",
    "alter role proteus_app bypassrls",
    "alter role proteus_app superuser",
)


def test_row_level_security_cannot_be_switched_off(database: Database, two: tuple[Company, Company]) -> None:
    for role in (Role.APP, Role.READER):
        with database.connect(role) as connection:
            enter(connection, two[0].workspace.id)
            for statement in SNEAKY:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(sql.SQL("{}; select * from event").format(sql.SQL(statement)))


# ---- tokens


def test_a_token_is_found_by_its_hash_alone(database: Database, two: tuple[Company, Company]) -> None:
    one, _ = two
    secret = issue_token(
        database, one.workspace.id, one.manager.person, [Scope.MANAGER, Scope.AGENT], "Laptop", timedelta(days=1)
    )
    for role in (Role.APP, Role.READER):
        with database.connect(role) as connection:
            row = connection.execute("select * from authenticate(%s)", (digest(secret),)).fetchone()
            assert row is not None
            actor = bearer((row[0], row[1], row[2], row[3], row[4], row[5]))
            assert (actor.workspace, actor.person) == (one.workspace.id, one.manager.person)
            assert actor.scopes == {Scope.MANAGER, Scope.AGENT}
            for guess in (b"", secret.encode(), digest(secret)[:-1], digest("proteus_other")):
                assert connection.execute("select * from authenticate(%s)", (guess,)).fetchall() == []
            enter(connection, one.workspace.id)
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("select hash from token")
    with database.connect(Role.PROJECTOR) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute("select * from authenticate(%s)", (digest(secret),))


def test_an_expired_or_revoked_token_lets_nobody_in() -> None:
    later, past = datetime.now(UTC) + timedelta(days=1), datetime.now(UTC) - timedelta(seconds=1)
    ids = uuid4(), uuid4(), ["agent"], uuid4()
    assert bearer((*ids, later, None)).scopes == {Scope.AGENT}
    for row in (None, (*ids, past, None), (*ids, later, past)):
        with pytest.raises(tokens.TokenRefused):
            bearer(row)


def test_a_requester_of_one_workspace_opens_nothing_in_another(two: tuple[Company, Company]) -> None:
    """The workspace is the token's, never the command's."""
    one, other = two
    opened = one.give(OpenTicket(title="Mine", role="INCIDENT"), one.actor(one.manager.person, Scope.AGENT))
    assert other.store.workspace(other.workspace.id).load([opened.stream]) == {}
