"""Who may do what: the one place that answers, asked by every command, every query and `viewerCan`.

Scopes today; finer rights (per process, per client, per field) come here too, so callers pass the ticket.
"""

from enum import StrEnum
from typing import Protocol
from uuid import UUID

import msgspec

from domain import (
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
from domain.comments import ChangeOfComment
from domain.tickets import Ticket
from domain.traceability import artifacts, links, releases, repositories, requests


class Scope(StrEnum):
    """What an API token was made for. A token may have several."""

    REQUESTER = "requester"
    """Opens tickets, sees its own, talks on them."""
    AGENT = "agent"
    """Works on every ticket of the workspace."""
    MANAGER = "manager"
    """As agent; also people, teams, services, dating back, acting for others."""
    AUDITOR = "auditor"
    """Reads everything, changes nothing."""
    ADMIN = "admin"
    """As manager; also roles, workflows, custom fields and webhooks."""


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who gives a command or asks a query: a person of one workspace and what their token allows. `token`: its id,
    where there is one."""

    workspace: UUID
    person: UUID
    scopes: frozenset[Scope]
    token: UUID | None = None

    def has(self, *scopes: Scope) -> bool:
        return not self.scopes.isdisjoint(scopes)

    @property
    def reads_all(self) -> bool:
        """False for requesters: they see their own tickets and what is public in them."""
        return self.has(Scope.AGENT, Scope.MANAGER, Scope.AUDITOR, Scope.ADMIN)

    @property
    def administers(self) -> bool:
        """Sees how the workspace is connected to other systems."""
        return self.has(Scope.ADMIN, Scope.AUDITOR)


class PersonAsked(Exception):
    """Of a `Colleague`: what was asked depends on which person asks it."""


class Colleague(Actor, frozen=True, kw_only=True):
    """Somebody who reads everything, with these scopes: what they are answered may be told to all such people. That it
    depends on none of them is certain, for nobody can ask who it is: `person` raises PersonAsked."""

    @property  # type: ignore[misc]
    def person(self) -> UUID:  # pyright: ignore[reportIncompatibleVariableOverride]
        raise PersonAsked


def without_person(actor: Actor) -> Actor:
    """Requesters stay who they are: what they see is theirs alone."""
    if not actor.reads_all:
        return actor
    return Colleague(workspace=actor.workspace, person=UUID(int=0), scopes=actor.scopes)


Command = (
    tickets.TicketCommand
    | people.PersonCommand
    | teams.TeamCommand
    | services.ServiceCommand
    | workflows.WorkflowsCommand
    | views.ViewCommand
    | work.WorkCommand
    | repositories.RepositoryCommand
    | links.LinkCommand
    | requests.RequestCommand
    | releases.ReleaseCommand
    | releases.PromiseCommand
    | artifacts.AttachProvenance
    | clients.ClientCommand
    | contracts.ContractCommand
    | contracts.BindContract
    | contracts.ReachAlerts
    | webhooks.WebhookCommand
    | statements.ClosePeriod
    | documents.DocumentCommand
    | contracts.ReportUsedUp
)

_STAFF = (Scope.AGENT, Scope.MANAGER, Scope.ADMIN)
_HEADS = (Scope.MANAGER, Scope.ADMIN)

TO_TICKETS: tuple[type[tickets.CommandToTicket], ...] = tickets.CommandToTicket.__args__
OFFSHOOTS: tuple[type[tickets.OffshootCommand], ...] = tickets.OffshootCommand.__args__
OF_WORK: tuple[type[work.WorkCommand], ...] = work.WorkCommand.__args__

_ALLOWED: dict[type[Command], tuple[Scope, ...]] = {
    tickets.OpenTicket: _STAFF,
    **dict.fromkeys((*TO_TICKETS, *OFFSHOOTS), _STAFF),
    people.AddPerson: _HEADS,
    people.RenamePerson: _HEADS,
    people.DeactivatePerson: _HEADS,
    people.ReactivatePerson: _HEADS,
    people.ErasePerson: (Scope.ADMIN,),
    teams.AddTeam: _HEADS,
    teams.RenameTeam: _HEADS,
    teams.JoinTeam: _HEADS,
    teams.LeaveTeam: _HEADS,
    services.AddService: _HEADS,
    services.RenameService: _HEADS,
    workflows.DefineWorkflow: (Scope.ADMIN,),
    workflows.DefineRole: (Scope.ADMIN,),
    workflows.RetireWorkflow: (Scope.ADMIN,),
    workflows.RetireRole: (Scope.ADMIN,),
    workflows.DefineField: (Scope.ADMIN,),
    workflows.RetireField: (Scope.ADMIN,),
    workflows.SetFieldPolicy: (Scope.ADMIN,),
    privacy.SetReadLogging: (Scope.ADMIN,),
    workflows.SetWipLimit: _HEADS,
    **dict.fromkeys(OF_WORK, _STAFF),
    **dict.fromkeys(clients.ClientCommand.__args__, _HEADS),
    **dict.fromkeys(contracts.ContractCommand.__args__, _HEADS),
    contracts.BindContract: _STAFF,
    contracts.ReachAlerts: (Scope.ADMIN,),
    **dict.fromkeys(webhooks.WebhookCommand.__args__, (Scope.ADMIN,)),
    statements.ClosePeriod: _HEADS,
    contracts.ReportUsedUp: _HEADS,
    **dict.fromkeys(documents.DocumentCommand.__args__, _HEADS),
    views.SaveView: _STAFF,
    views.UpdateView: _STAFF,
    views.DeleteView: _STAFF,
    views.FavouriteView: _STAFF,
    views.UnfavouriteView: _STAFF,
    repositories.DefineRepository: (Scope.ADMIN,),
    links.AddChangeLink: _STAFF,
    links.ConfirmChangeLink: _STAFF,
    links.RejectChangeLink: _STAFF,
    requests.RecordMergeRequest: _HEADS,
    requests.RecordReview: _HEADS,
    releases.RecordRelease: _HEADS,
    releases.RecordDeployment: _HEADS,
    releases.PromiseTickets: _STAFF,
    releases.WithdrawPromise: _STAFF,
    artifacts.AttachProvenance: _HEADS,
    repositories.SetWebhookSecret: (Scope.ADMIN,),
}


def may(actor: Actor, command: type[Command] | Command, ticket: "Requested | None" = None) -> bool:
    """May this actor give this command (to this ticket)? Asked with the command's type, it answers
    whether any such command may be given; with the command itself, whether this one may."""
    kind = command if isinstance(command, type) else type(command)
    if actor.has(*_ALLOWED[kind]):
        return kind is not tickets.RateTicket or ticket is None or _own(actor, ticket) or may_act_for_others(actor)
    if not actor.has(Scope.REQUESTER):
        return False
    if kind is tickets.OpenTicket:
        return isinstance(command, type) or _plain_request(actor, command)
    if kind is tickets.AttachFile and ticket is None:
        return isinstance(command, type)  # who may upload
    if ticket is None or not _own(actor, ticket):
        return False
    if kind in (tickets.AddComment, tickets.AttachFile):
        return isinstance(command, type) or _public(command)
    if kind in (tickets.EditComment, tickets.WithdrawComment):
        return True  # if the comment is theirs: `may_change`
    if kind in (tickets.RateTicket, tickets.AnswerEstimateQuestion, tickets.AcceptEstimate, tickets.DeclineEstimate):
        return True
    if kind in (tickets.WatchTicket, tickets.UnwatchTicket):
        return isinstance(command, type) or _for_themselves(actor, command)
    return False


def may_change(actor: Actor, command: type[ChangeOfComment], author: UUID, by: UUID | None = None) -> bool:
    """Given that such commands are allowed: an author edits and withdraws what is theirs, heads withdraw all else.
    `by`: in whose name, where it is not the actor's own."""
    return author == (by or actor.person) or (command is tickets.WithdrawComment and actor.has(*_HEADS))


def may_act_for_others(actor: Actor) -> bool:
    """Date a command back, or give it on behalf of another person."""
    return actor.has(*_HEADS)


def may_work_as(actor: Actor, person: UUID) -> bool:
    """Log work as this person, or change what they logged."""
    return person == actor.person or may_act_for_others(actor)


def may_see_reports(actor: Actor) -> bool:
    """What people worked against a norm, and what contracts bring in."""
    return actor.has(*_HEADS, Scope.AUDITOR)


def may_import(actor: Actor) -> bool:
    """Imports skip transition rules and keep the source's times."""
    return actor.has(Scope.ADMIN)


def may_scan(actor: Actor) -> bool:
    """Record what a repository has, and whatever links follow from it."""
    return actor.has(Scope.ADMIN)


class Requested(Protocol):
    """What is known of a ticket where only that matters: whose it is."""

    @property
    def requester(self) -> UUID | None: ...


def sees(actor: Actor, ticket: Requested) -> bool:
    return actor.reads_all or (actor.has(Scope.REQUESTER) and _own(actor, ticket))


def reads(actor: Actor, visibility: tickets.Visibility) -> bool:
    """What is written on a ticket that the actor sees."""
    return actor.reads_all or visibility is tickets.Visibility.PUBLIC


def may_name(actor: Actor, person: UUID, ticket: Ticket) -> bool:
    """Mention this person in a comment: requesters know nobody but those whom they meet on the ticket."""
    if actor.reads_all:
        return True
    spoke = {comment.author for comment in ticket.comments if reads(actor, comment.visibility)}
    return person in {actor.person, ticket.assignee, *ticket.contributors, *spoke}


def _own(actor: Actor, ticket: Requested) -> bool:
    return ticket.requester == actor.person


def _plain_request(actor: Actor, command: object) -> bool:
    """A requester opens tickets in their own name and leaves the routing to staff."""
    assert isinstance(command, tickets.OpenTicket)
    return (
        command.requester in (None, actor.person)
        and command.assignee is None
        and command.team is None
        and command.parent is None
    )


def _public(command: object) -> bool:
    assert isinstance(command, tickets.AddComment | tickets.AttachFile)
    return command.visibility is tickets.Visibility.PUBLIC


def _for_themselves(actor: Actor, command: object) -> bool:
    assert isinstance(command, tickets.WatchTicket | tickets.UnwatchTicket)
    return command.person == actor.person
