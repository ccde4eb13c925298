"""Who may do what, by the scopes of the token: asked with a command, and with its type (viewerCan)."""

from decimal import Decimal
from typing import Any, get_args

import msgspec
import pytest

from domain import (
    access,
    clients,
    contracts,
    documents,
    people,
    privacy,
    services,
    statements,
    teams,
    tickets,
    views,
    webhooks,
    work,
    workflows,
)
from domain.access import Actor, Scope
from domain.custom_fields import Field, FieldType
from domain.terms import ContractKind, Terms
from domain.tickets import Visibility
from domain.traceability import artifacts, links, releases, repositories, requests
from tests.domain.given import (
    ANNA,
    BORIS,
    FIRST_LINE,
    HOSTING,
    OPENED,
    PARENT,
    START,
    STRANGER,
    TICKET,
    an_id,
)

SUPPORT = workflows.defaults().workflows[0]
INQUIRY = workflows.defaults().roles[0]

OPEN = tickets.OpenTicket(title="Help", role="INQUIRY")
COMMENT = tickets.AddComment(ticket=TICKET, body="Thanks")
FILE = tickets.AttachFile(ticket=TICKET, upload=an_id(51), name="log.txt")
INTERNAL_FILE = msgspec.structs.replace(FILE, visibility=Visibility.INTERNAL)
INTERNAL = tickets.AddComment(ticket=TICKET, body="Psst", visibility=Visibility.INTERNAL)

WORK: list[access.Command] = [
    OPEN,
    msgspec.structs.replace(OPEN, requester=ANNA, assignee=ANNA, team=FIRST_LINE, parent=PARENT),
    tickets.ChangeRole(ticket=TICKET, role="TASK"),
    tickets.TransitionTicket(ticket=TICKET, status="done"),
    tickets.AssignTicket(ticket=TICKET, assignee=ANNA),
    tickets.TransferTicket(ticket=TICKET, team=FIRST_LINE),
    tickets.SetPriority(ticket=TICKET, priority=tickets.Priority.HIGH),
    tickets.SetField(ticket=TICKET, field="room", value="12"),
    tickets.RankTicket(ticket=TICKET, after=PARENT),
    tickets.SetParent(ticket=TICKET, parent=PARENT),
    tickets.LinkTickets(ticket=TICKET, kind=tickets.LinkKind.BLOCKS, other=PARENT),
    tickets.UnlinkTickets(ticket=TICKET, kind=tickets.LinkKind.BLOCKS, other=PARENT),
    tickets.MergeTickets(ticket=TICKET, into=PARENT),
    tickets.UnmergeTicket(ticket=TICKET),
    tickets.SpawnTicket(ticket=TICKET, title="Below", role="TASK", service=HOSTING),
    tickets.SplitTicket(ticket=TICKET, comment=an_id(53), title="Another matter"),
    COMMENT,
    INTERNAL,
    tickets.EditComment(ticket=TICKET, comment=an_id(41), body="Many thanks"),
    tickets.WithdrawComment(ticket=TICKET, comment=an_id(41)),
    FILE,
    INTERNAL_FILE,
    tickets.DetachFile(ticket=TICKET, attachment=an_id(52)),
    tickets.RetitleTicket(ticket=TICKET, title="New"),
    tickets.DescribeTicket(ticket=TICKET, description=None),
    tickets.TagTicket(ticket=TICKET, tags=("new",)),
    tickets.UntagTicket(ticket=TICKET, tags=("new",)),
    tickets.ScheduleTicket(ticket=TICKET, due_at=None),
    privacy.SetSensitive(ticket=TICKET, sensitive=True),
    tickets.BindService(ticket=TICKET, service=None),
    tickets.SetRequester(ticket=TICKET, requester=None),
    tickets.AddContributor(ticket=TICKET, person=ANNA),
    tickets.RemoveContributor(ticket=TICKET, person=ANNA),
    tickets.WatchTicket(ticket=TICKET, person=ANNA),
    tickets.UnwatchTicket(ticket=TICKET, person=ANNA),
    tickets.RequestEstimate(ticket=TICKET),
    tickets.AskEstimateQuestion(ticket=TICKET, text="How many?"),
    tickets.AnswerEstimateQuestion(ticket=TICKET, question=an_id(54), text="Forty"),
    tickets.GiveEstimate(ticket=TICKET, least_seconds=60),
    tickets.AcceptEstimate(ticket=TICKET, estimate=an_id(55)),
    tickets.DeclineEstimate(ticket=TICKET, estimate=an_id(55)),
]
RATE = tickets.RateTicket(ticket=TICKET, score=5)
HOURS: list[access.Command] = [
    work.StartTimer(ticket=TICKET),
    work.SwitchTimer(ticket=TICKET),
    work.StopTimer(),
    work.DiscardTimer(),
    work.LogWork(ticket=TICKET, started_at=START, seconds=60),
    work.CorrectWork(work_entry=an_id(61)),
    work.MoveWork(work_entry=an_id(61), ticket=PARENT),
    work.MarkWorkBillable(work_entry=an_id(61)),
    work.MarkWorkNotBillable(work_entry=an_id(61)),
    work.CommentWork(work_entry=an_id(61), comment=None),
    work.BillWork(work_entry=an_id(61), contract=None),
    work.ReverseWork(work_entry=an_id(61)),
    contracts.BindContract(ticket=TICKET, contract=None),
]
PREPAID = Terms(kind=ContractKind.PREPAID, currency="EUR")
CONTRACTS: list[access.Command] = [
    clients.AddClient(name="Ours", language="ru", currency="RUB", time_zone="UTC"),
    clients.RenameClient(client=an_id(71), name="Ours"),
    clients.LocalizeClient(client=an_id(71)),
    clients.AddContact(client=an_id(71), person=ANNA),
    clients.RemoveContact(client=an_id(71), person=ANNA),
    contracts.AgreeContract(client=an_id(71), name="Support", terms=PREPAID, applies_from=START.date()),
    contracts.AgreeTerms(contract=an_id(72), terms=PREPAID, applies_from=START.date()),
    contracts.GrantHours(contract=an_id(72), seconds=60, valid_from=START.date()),
    contracts.StopRenewal(contract=an_id(72), hour_package=an_id(75), last_day=START.date()),
    contracts.EndContract(contract=an_id(72), last_day=START.date()),
    statements.ClosePeriod(contract=an_id(72), until=START.date()),
    contracts.ReportUsedUp(contract=an_id(72), package=an_id(75), since=START.date(), until=START.date(), known=1),
    documents.IssueInvoice(contract=an_id(72), statement=1),
    documents.IssueAct(contract=an_id(72), statement=1),
    documents.RecordPayment(document=an_id(73), amount=Decimal(1), paid_on=START.date()),
    documents.ReversePayment(document=an_id(73), payment=an_id(74)),
    documents.SignDocument(document=an_id(73), signed_on=START.date()),
    documents.CancelDocument(document=an_id(73)),
]
OF_REQUESTERS = (
    tickets.CommentCommand
    | tickets.AttachFile
    | tickets.WatchTicket
    | tickets.UnwatchTicket
    | tickets.RateTicket
    | tickets.AnswerEstimateQuestion
    | tickets.AcceptEstimate
    | tickets.DeclineEstimate
)
"""What a requester may do with their own tickets."""

CATALOGUES: list[access.Command] = [
    people.AddPerson(name="New"),
    people.RenamePerson(person=ANNA, name="New"),
    people.DeactivatePerson(person=ANNA),
    people.ReactivatePerson(person=ANNA),
    teams.AddTeam(key="a", name="A"),
    teams.RenameTeam(team=FIRST_LINE, name="A"),
    teams.JoinTeam(team=FIRST_LINE, person=ANNA),
    teams.LeaveTeam(team=FIRST_LINE, person=ANNA),
    services.AddService(key="a", name="A"),
    services.RenameService(service=HOSTING, name="A"),
]
VIEWS: list[access.Command] = [
    views.SaveView(name="Mine", definition="{}"),
    views.UpdateView(view=an_id(5), name="Ours"),
    views.DeleteView(view=an_id(5)),
    views.FavouriteView(view=an_id(5)),
    views.UnfavouriteView(view=an_id(5)),
]
OF_CHANGES: dict[str, Any] = {"repository": an_id(6), "change": "a" * 40, "ticket": TICKET}
CHANGES: list[access.Command] = [
    links.AddChangeLink(**OF_CHANGES),
    links.ConfirmChangeLink(**OF_CHANGES),
    links.RejectChangeLink(**OF_CHANGES),
    releases.PromiseTickets(repository=an_id(6), tag="v1", tickets=(TICKET,)),
    releases.WithdrawPromise(repository=an_id(6), tag="v1", tickets=(TICKET,)),
]
REQUESTS: list[access.Command] = [
    artifacts.AttachProvenance(repository=an_id(6), provenance="{}"),
    requests.RecordMergeRequest(repository=an_id(6), number=1),
    requests.RecordReview(repository=an_id(6), number=1, verdict=requests.ReviewVerdict.APPROVED),
    releases.RecordRelease(repository=an_id(6), tag="v1"),
    releases.RecordDeployment(repository=an_id(6), number="1", environment="production", commit="a" * 40),
]
LIMITS: list[access.Command] = [workflows.SetWipLimit(workflow="support", status="new", limit=3)]
WEBHOOKS: list[access.Command] = [
    webhooks.DefineWebhook(url="https://example.org"),
    webhooks.ChangeWebhook(webhook=an_id(6)),
    webhooks.RotateWebhookSecret(webhook=an_id(6)),
    webhooks.EnableWebhook(webhook=an_id(6)),
    webhooks.DisableWebhook(webhook=an_id(6)),
    webhooks.GiveWebhookUp(webhook=an_id(6), url="https://example.org/", because=webhooks.DisabledBecause.GONE),
    webhooks.ReplayWebhook(webhook=an_id(6), from_position=1),
    webhooks.TestWebhook(webhook=an_id(6)),
    webhooks.RetireWebhook(webhook=an_id(6)),
]
DEFINITIONS: list[access.Command] = [
    *WEBHOOKS,
    contracts.ReachAlerts(contract=an_id(72), day=START.date(), packages=(), granted=0, drawn=0),
    workflows.DefineWorkflow(workflow=SUPPORT),
    workflows.DefineRole(role=INQUIRY),
    workflows.RetireWorkflow(workflow="support"),
    workflows.RetireRole(role="INQUIRY"),
    workflows.DefineField(field=Field(key="room", name="Room", type=FieldType.TEXT)),
    workflows.RetireField(field="room"),
    workflows.SetFieldPolicy(strict=True),
    privacy.SetReadLogging(all=True),
    repositories.DefineRepository(key="shop", name="Shop"),
    repositories.SetWebhookSecret(repository=an_id(6), secret=None),
    people.ErasePerson(person=ANNA, act="", journal=""),
]
EVERYTHING = [RATE, *WORK, *HOURS, *VIEWS, *CHANGES, *CATALOGUES, *CONTRACTS, *LIMITS, *REQUESTS, *DEFINITIONS]

THEIRS = tickets.evolve(None, OPENED, START)  # Boris asked for it
NOBODYS = msgspec.structs.replace(THEIRS, requester=None)


def actor(*scopes: Scope) -> Actor:
    return Actor(workspace=an_id(99), person=BORIS, scopes=frozenset(scopes))


def allowed(who: Actor, commands: list[access.Command]) -> set[bool]:
    """What `may` answers to these commands and to their types, of another's ticket, nobody's, and none."""
    other = msgspec.structs.replace(THEIRS, requester=STRANGER)
    return {
        access.may(who, asked, ticket)
        for command in commands
        for asked in (command, type(command))
        for ticket in (other, NOBODYS, None)
    }


def test_every_command_that_there_is_has_its_rule() -> None:
    assert {type(command) for command in EVERYTHING} == set(get_args(access.Command))
    assert allowed(actor(), EVERYTHING) == {False}  # and none is forgotten, which would be a KeyError


def test_an_agent_works_on_every_ticket_and_leaves_the_rest() -> None:
    assert allowed(actor(Scope.AGENT), [*WORK, *HOURS, *CHANGES]) == {True}
    assert allowed(actor(Scope.AGENT), [*CATALOGUES, *CONTRACTS, *LIMITS, *REQUESTS, *DEFINITIONS]) == {False}


def test_a_manager_also_keeps_people_teams_and_services() -> None:
    assert allowed(actor(Scope.MANAGER), [*WORK, *VIEWS, *CHANGES, *CATALOGUES, *CONTRACTS, *LIMITS, *REQUESTS]) == {
        True
    }
    assert allowed(actor(Scope.MANAGER), DEFINITIONS) == {False}


def test_who_may_act_for_others_records_their_work() -> None:
    assert access.may_work_as(actor(Scope.AGENT), BORIS)
    assert not access.may_work_as(actor(Scope.AGENT), ANNA)
    assert access.may_work_as(actor(Scope.MANAGER), ANNA)


def test_an_admin_may_give_every_command() -> None:
    assert allowed(actor(Scope.ADMIN), EVERYTHING) == {True}


def test_an_auditor_changes_nothing() -> None:
    assert allowed(actor(Scope.AUDITOR), EVERYTHING) == {False}
    assert not access.may(actor(Scope.AUDITOR), COMMENT, THEIRS)


def test_a_requester_opens_tickets_in_their_own_name() -> None:
    who = actor(Scope.REQUESTER)
    assert access.may(who, tickets.OpenTicket)
    assert access.may(who, OPEN)
    assert access.may(who, msgspec.structs.replace(OPEN, requester=BORIS))


@pytest.mark.parametrize(
    "routing", [{"requester": ANNA}, {"assignee": BORIS}, {"team": FIRST_LINE}, {"parent": PARENT}], ids=str
)
def test_a_requester_leaves_the_routing_to_staff(routing: dict[str, object]) -> None:
    assert not access.may(actor(Scope.REQUESTER), msgspec.structs.replace(OPEN, **routing))


def test_a_requester_talks_on_their_own_tickets_in_public() -> None:
    who = actor(Scope.REQUESTER)
    assert access.may(who, tickets.AddComment, THEIRS)
    assert access.may(who, COMMENT, THEIRS)
    assert not access.may(who, INTERNAL, THEIRS)


def test_a_requester_does_not_talk_on_the_tickets_of_others_or_of_nobody() -> None:
    who = actor(Scope.REQUESTER)
    assert allowed(who, [COMMENT, INTERNAL]) == {False}


def test_a_requester_gives_no_other_command_even_to_their_own_ticket() -> None:
    who = actor(Scope.REQUESTER)
    for command in EVERYTHING:
        if not isinstance(command, tickets.OpenTicket | OF_REQUESTERS):
            assert not access.may(who, command, THEIRS)
            assert not access.may(who, type(command), THEIRS)


def test_a_result_is_rated_by_its_requester_or_by_who_acts_for_others() -> None:
    assert access.may(actor(Scope.REQUESTER), RATE, THEIRS)
    assert not access.may(actor(Scope.REQUESTER), RATE, NOBODYS)
    assert access.may(actor(Scope.AGENT), RATE, THEIRS)
    assert not access.may(actor(Scope.AGENT), RATE, NOBODYS)
    assert access.may(actor(Scope.MANAGER), RATE, NOBODYS)


def test_a_requester_watches_their_own_tickets_and_for_nobody_else() -> None:
    who = actor(Scope.REQUESTER)
    for kind in (tickets.WatchTicket, tickets.UnwatchTicket):
        assert access.may(who, kind, THEIRS)
        assert access.may(who, kind(ticket=TICKET, person=BORIS), THEIRS)
        assert not access.may(who, kind(ticket=TICKET, person=ANNA), THEIRS)
        assert not access.may(who, kind(ticket=TICKET, person=BORIS), NOBODYS)


def test_scopes_add_up_but_reading_all_is_not_talking_everywhere() -> None:
    both = actor(Scope.REQUESTER, Scope.AUDITOR)
    other = msgspec.structs.replace(THEIRS, requester=STRANGER)
    assert access.sees(both, other)
    assert access.may(both, COMMENT, THEIRS)
    assert not access.may(both, COMMENT, other)
    assert access.may(actor(Scope.REQUESTER, Scope.AGENT), INTERNAL, other)


def test_everybody_but_requesters_sees_every_ticket() -> None:
    for scope in (Scope.AGENT, Scope.MANAGER, Scope.AUDITOR, Scope.ADMIN):
        assert access.sees(actor(scope), NOBODYS)
        assert actor(scope).reads_all
    assert access.sees(actor(Scope.REQUESTER), THEIRS)
    assert not access.sees(actor(Scope.REQUESTER), NOBODYS)
    assert not access.sees(actor(), THEIRS)


@pytest.mark.parametrize(
    ("scope", "for_others", "imports"),
    [
        (Scope.REQUESTER, False, False),
        (Scope.AGENT, False, False),
        (Scope.MANAGER, True, False),
        (Scope.AUDITOR, False, False),
        (Scope.ADMIN, True, True),
    ],
)
def test_heads_act_for_others_and_date_back_and_admins_import(scope: Scope, for_others: bool, imports: bool) -> None:
    assert access.may_act_for_others(actor(scope)) is for_others
    assert access.may_import(actor(scope)) is imports
    assert access.may_scan(actor(scope)) is imports


def test_a_requester_attaches_public_files_to_their_own_tickets_alone() -> None:
    boris = Actor(workspace=an_id(99), person=BORIS, scopes=frozenset({Scope.REQUESTER}))
    other = msgspec.structs.replace(boris, person=STRANGER)
    assert access.may(boris, tickets.AttachFile)  # uploads
    assert access.may(boris, FILE, THEIRS)
    assert not access.may(boris, INTERNAL_FILE, THEIRS)
    assert not access.may(other, FILE, THEIRS)
    assert not access.may(msgspec.structs.replace(boris, scopes=frozenset({Scope.AUDITOR})), tickets.AttachFile)


def test_an_author_changes_what_they_wrote_and_heads_withdraw_what_others_did() -> None:
    for scope in (Scope.REQUESTER, Scope.AGENT, Scope.MANAGER, Scope.ADMIN):
        head = scope in (Scope.MANAGER, Scope.ADMIN)
        for kind in (tickets.EditComment, tickets.WithdrawComment):
            assert access.may(actor(scope), kind, THEIRS)
            assert access.may_change(actor(scope), kind, BORIS)
        assert not access.may_change(actor(scope), tickets.EditComment, ANNA)
        assert access.may_change(actor(scope), tickets.WithdrawComment, ANNA) is head
    manager = actor(Scope.MANAGER)
    assert access.may_change(manager, tickets.EditComment, ANNA, by=ANNA)
    assert not access.may_change(manager, tickets.EditComment, BORIS, by=ANNA), "in Anna's name it is not theirs"


def test_a_requester_mentions_whom_they_meet_on_the_ticket() -> None:
    said = tickets.CommentAdded(comment=an_id(41), author=ANNA, body="Hello", visibility=Visibility.PUBLIC)
    psst = msgspec.structs.replace(said, author=STRANGER, visibility=Visibility.INTERNAL)
    talked = tickets.evolve(tickets.evolve(THEIRS, said, START), psst, START)
    who = actor(Scope.REQUESTER)
    assert not access.may_name(who, ANNA, THEIRS)
    assert access.may_name(who, ANNA, talked)
    assert access.may_name(who, BORIS, talked)
    assert not access.may_name(who, STRANGER, talked)
    assert access.may_name(who, STRANGER, msgspec.structs.replace(talked, assignee=STRANGER))
    assert access.may_name(actor(Scope.AGENT), STRANGER, THEIRS)
