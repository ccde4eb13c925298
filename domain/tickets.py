"""The ticket: one entity for all that the company does for somebody; its role changes, its history stays.

`decide` is pure: what it must know besides the ticket comes in `Surroundings`. `evolve` never fails and never
decides. Each behaviour has a module of its own, with its events, its commands and its share of both; what the rest of
Proteus says of tickets is imported from here.
"""
# pyright: reportUnusedImport=false

from collections.abc import Mapping
from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec

from domain import (
    assignment,
    attachments,
    attributes,
    comments,
    estimates,
    field_values,
    filing,
    hand_overs,
    hierarchy,
    links,
    merging,
    offshoots,
    opening,
    participants,
    ranking,
    ratings,
    text,
    transitions,
)
from domain.assignment import (
    AssignmentEvent,
    AssignTicket,
    TeamAssigned,
    TeamUnassigned,
    TicketAssigned,
    TicketUnassigned,
)
from domain.attachments import AttachFile, AttachmentCommand, AttachmentEvent, DetachFile, FileAttached, FileDetached
from domain.attributes import (
    AttributeCommand,
    AttributeEvent,
    BindService,
    DescribeTicket,
    PriorityChanged,
    RequesterChanged,
    RetitleTicket,
    ScheduleTicket,
    ServiceBound,
    ServiceUnbound,
    SetPriority,
    SetRequester,
    TagTicket,
    TicketDescribed,
    TicketRetitled,
    TicketScheduled,
    TicketTagged,
    TicketUntagged,
    UntagTicket,
)
from domain.comments import (
    AddComment,
    ChangeOfComment,
    CommentAdded,
    CommentCommand,
    CommentEdited,
    CommentEvent,
    CommentWithdrawn,
    EditComment,
    WithdrawComment,
)
from domain.errors import OccurredBeforeLast, OccurredInFuture, TicketNotFound
from domain.estimates import (
    AcceptEstimate,
    AnswerEstimateQuestion,
    AskEstimateQuestion,
    DeclineEstimate,
    EstimateAccepted,
    EstimateCommand,
    EstimateDeclined,
    EstimateEvent,
    EstimateGiven,
    EstimateQuestionAnswered,
    EstimateQuestionAsked,
    EstimateRequested,
    GiveEstimate,
    RequestEstimate,
)
from domain.field_values import FieldSet, SetField
from domain.filing import DocumentFiled
from domain.hand_overs import TicketTransferred, TransferTicket
from domain.hierarchy import HierarchyEvent, ParentRemoved, ParentSet, SetParent
from domain.links import LinkCommand, LinkEvent, LinkTickets, TicketLinked, TicketUnlinked, UnlinkTickets
from domain.merging import MergeEvent, MergeTickets, MergingCommand, TicketMerged, TicketUnmerged, UnmergeTicket
from domain.offshoots import OffshootCommand, SpawnTicket, SplitTicket
from domain.opening import OpenTicket, TicketOpened
from domain.participants import (
    AddContributor,
    ContributorAdded,
    ContributorRemoved,
    ParticipantCommand,
    ParticipantEvent,
    RemoveContributor,
    TicketUnwatched,
    TicketWatched,
    UnwatchTicket,
    WatchTicket,
)
from domain.ranking import Place, RankTicket, TicketRanked
from domain.ratings import RateTicket, TicketRated
from domain.text import FieldValue, FreeText, SealedFields
from domain.ticket_state import (
    Link,
    LinkKind,
    Merge,
    Priority,
    Surroundings,
    Ticket,
    Visibility,
    checked_description,
    checked_tags,
    instant,
    must_be_active,
    must_exist,
    must_fulfil,
    must_not_be_merged,
    ticket_key,
)
from domain.transitions import (
    ChangeRole,
    RoleChanged,
    StatusChanged,
    TransitionCommand,
    TransitionEvent,
    TransitionTicket,
    available_transitions,
    judging,
)
from domain.workflows import StatusCategory

TicketEvent = (
    TicketOpened
    | TransitionEvent
    | TicketTransferred
    | FieldSet
    | AssignmentEvent
    | AttributeEvent
    | ParticipantEvent
    | TicketRanked
    | HierarchyEvent
    | LinkEvent
    | MergeEvent
    | CommentEvent
    | AttachmentEvent
    | TicketRated
    | EstimateEvent
    | DocumentFiled
)

UNDATED = (CommentAdded, CommentEdited, CommentWithdrawn, FileAttached, TicketRated)
"""Events that may be dated before the ticket's last change, because no span depends on them."""


CommandToTicket = (
    TransitionCommand
    | TransferTicket
    | AssignTicket
    | AttributeCommand
    | SetField
    | ParticipantCommand
    | RankTicket
    | SetParent
    | LinkCommand
    | MergingCommand
    | CommentCommand
    | AttachmentCommand
    | RateTicket
    | EstimateCommand
)
TicketCommand = OpenTicket | OffshootCommand | CommandToTicket

TO_MERGED = (MergingCommand, ChangeOfComment, DetachFile)
"""Commands that a merged ticket still takes: what was said and attached there can be taken back."""


def occurred_at(ticket: Ticket | None, events: list[TicketEvent], around: Surroundings) -> datetime:
    """When the decided events happened: the named time if it is neither in the future nor before the last change of
    the ticket or of one that is told too, else now, but never before that change, so that a skewed clock refuses
    nobody.

    Raises OccurredInFuture, OccurredBeforeLast, InvalidValue.
    """
    told = [around.tickets[event.other] for event in events if isinstance(event, LinkEvent)]
    last = [one.last_at for one in (ticket, *told) if one is not None]
    earliest = [one.last_at for one in told]
    earliest += [] if ticket is None else [_not_before(ticket, event, max(last)) for event in events]
    if around.at is None:
        return max([around.now, *last, *earliest])
    at = instant(around.at, "occurredAt")
    if at > around.now:
        raise OccurredInFuture(at)
    earliest += [] if ticket is None else [ticket.opened_at]
    if earliest and at < max(earliest):
        raise OccurredBeforeLast(at, max(earliest))
    return at


def _not_before(ticket: Ticket, event: TicketEvent, last: datetime) -> datetime:
    if isinstance(event, CommentEvent):
        return comments.not_before(ticket, event)
    if isinstance(event, TicketRated):
        return event.closed_at
    return ticket.opened_at if isinstance(event, UNDATED) else last


def decide(ticket: Ticket | None, command: TicketCommand, around: Surroundings) -> list[TicketEvent]:
    """What happens; [] when nothing changes. Raises a subclass of Refused that states why not."""
    if isinstance(command, OpenTicket):
        assert ticket is None, "a new ticket has a new stream"
        return [opening.decide(command, around)]
    if isinstance(command, OffshootCommand):
        assert ticket is None, "a new ticket has a new stream"
        return [*offshoots.decide(command, around)]
    if ticket is None:
        raise TicketNotFound(command.ticket)
    if not isinstance(command, TO_MERGED):
        must_not_be_merged(ticket)
    if isinstance(command, MergingCommand):
        return [*merging.decide(ticket, command, around)]
    if isinstance(command, TransitionCommand):
        return [*transitions.decide(ticket, command, around)]
    if isinstance(command, TransferTicket):
        return [*hand_overs.decide(ticket, command, around)]
    if isinstance(command, AssignTicket):
        return [*assignment.decide(ticket, command, around)]
    if isinstance(command, AttributeCommand):
        return [*attributes.decide(ticket, command, around)]
    if isinstance(command, SetField):
        return [*field_values.decide(ticket, command, around)]
    if isinstance(command, ParticipantCommand):
        return [*participants.decide(ticket, command, around)]
    if isinstance(command, RankTicket):
        return [*ranking.decide(ticket, command, around)]
    if isinstance(command, SetParent):
        return [*hierarchy.decide(ticket, command, around)]
    if isinstance(command, LinkCommand):
        return [*links.decide(ticket, command, around)]
    if isinstance(command, AttachmentCommand):
        return [*attachments.decide(ticket, command, around)]
    if isinstance(command, RateTicket):
        return [*ratings.decide(ticket, command, around)]
    if isinstance(command, EstimateCommand):
        return [*estimates.decide(ticket, command, around)]
    return [*comments.decide(ticket, command, around)]


def told(ticket: UUID, events: list[TicketEvent]) -> Mapping[UUID, list[TicketEvent]]:
    """What other tickets are told, in the same append, when this one is told these."""
    found: dict[UUID, list[TicketEvent]] = {}
    for event in events:
        if isinstance(event, LinkEvent):
            found.setdefault(event.other, []).append(links.mirrored(event, ticket))
        elif isinstance(event, MergeEvent):
            for other, told in merging.told(event).items():
                found.setdefault(other, []).extend(told)
    return found


def possible(ticket: Ticket, command: type[CommandToTicket | OffshootCommand]) -> bool:
    """Whether the ticket's state, apart from anybody's rights, accepts such a command now."""
    if ticket.merged is not None:
        return issubclass(command, TO_MERGED) and command is not MergeTickets
    if command is UnmergeTicket:
        return False
    if issubclass(command, EstimateCommand) and command is not RequestEstimate:
        return any(estimates.possible(one, command) for one in ticket.estimates[-1:])
    return command is not RateTicket if not ticket.closed else command not in _ONLY_WHILE_OPEN


_ONLY_WHILE_OPEN = frozenset[type[CommandToTicket | OffshootCommand]](
    {TransferTicket, AssignTicket, SetPriority, ScheduleTicket, AddContributor, SpawnTicket, RequestEstimate}
)


def evolve(ticket: Ticket | None, event: TicketEvent, at: datetime) -> Ticket:
    """The ticket after this event, which happened at `at` (aware)."""
    if isinstance(event, TicketOpened):
        return opening.evolve(event, at)
    assert ticket is not None, "a ticket's first event is TicketOpened"
    if isinstance(event, CommentEvent):  # the most frequent by far
        return comments.evolve(ticket, event, at)
    if isinstance(event, TransitionEvent):
        return transitions.evolve(ticket, event, at)
    if isinstance(event, AssignmentEvent):
        return assignment.evolve(ticket, event, at)
    if isinstance(event, AttributeEvent):
        return attributes.evolve(ticket, event, at)
    if isinstance(event, AttachmentEvent):
        return attachments.evolve(ticket, event, at)
    if isinstance(event, FieldSet):
        return field_values.evolve(ticket, event, at)
    if isinstance(event, ParticipantEvent):
        return participants.evolve(ticket, event, at)
    if isinstance(event, TicketTransferred):
        return hand_overs.evolve(ticket, event, at)
    if isinstance(event, LinkEvent):
        return links.evolve(ticket, event, at)
    if isinstance(event, MergeEvent):
        return merging.evolve(ticket, event, at)
    if isinstance(event, TicketRanked):
        return ranking.evolve(ticket, event, at)
    if isinstance(event, TicketRated):
        return ratings.evolve(ticket, event, at)
    if isinstance(event, EstimateEvent):
        return estimates.evolve(ticket, event, at)
    if isinstance(event, DocumentFiled):
        return filing.evolve(ticket, event, at)
    return hierarchy.evolve(ticket, event, at)
