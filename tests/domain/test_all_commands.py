"""Several tickets and every command that a ticket takes, in any order: nothing that was said, held or linked is lost,
and the events alone say how everything stands."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from types import NoneType
from typing import Any, NamedTuple, get_args
from uuid import UUID

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain import tickets
from domain.errors import Refused
from domain.links import INVERSE
from domain.people import Person, PersonKind
from domain.ticket_state import Surroundings
from domain.tickets import (
    CommandToTicket,
    CommentAdded,
    CommentEdited,
    DetachFile,
    FileAttached,
    Link,
    LinkKind,
    LinkTickets,
    MergeTickets,
    OffshootCommand,
    OpenTicket,
    SetParent,
    Ticket,
    TicketAssigned,
    TicketCommand,
    TicketEvent,
    TicketMerged,
    TicketOpened,
    TicketUnassigned,
    UnlinkTickets,
    UnmergeTicket,
    UnwatchTicket,
    WatchTicket,
)
from tests.domain.given import AROUND, START, WORKFLOWS, an_id
from tests.domain.test_tickets import REDEFINITIONS, UPLOADED, WORDS

MOST = 6
"""Tickets: few, so that commands meet."""
PEOPLE = [an_id(11 + n) for n in range(4)]
STAFF = {id_: Person(kind=PersonKind.STAFF, name="Somebody", email=None) for id_ in PEOPLE}
OTHER_TICKETS = {"ticket", "parent", "other", "into", "after", "before"}
COMMANDS = [*get_args(CommandToTicket), *get_args(OffshootCommand)]
MEETINGS = [LinkTickets, LinkTickets, MergeTickets, UnmergeTicket, UnlinkTickets, WatchTicket]
TICKETS, KINDS = st.integers(0, MOST - 1), [LinkKind.RELATES, LinkKind.BLOCKS, LinkKind.CAUSED_BY]


class Said(NamedTuple):
    """A link that somebody made and nobody undid."""

    one: UUID
    kind: LinkKind
    other: UUID


class Company(RuleBasedStateMachine):
    """Each rule gives a command as the application does: the ticket and those that are told fold the same events."""

    def __init__(self) -> None:
        super().__init__()
        self.log: dict[UUID, list[tuple[TicketEvent, datetime]]] = {}
        self.tickets: dict[UUID, Ticket] = {}
        self.workflows = WORKFLOWS
        self.now = START
        self.ids = iter(range(1_000, 10**9))
        self.said: dict[UUID, tuple[UUID, str]] = {}
        """By comment: its author and its text."""
        self.files: dict[UUID, set[UUID]] = {}
        self.made: set[Said] = set()
        self.went: dict[UUID, set[UUID]] = {}
        """What a ticket was ever merged into."""
        self.watching: dict[UUID, set[UUID]] = {}

    # ---- what is commanded

    @initialize()
    def begin(self) -> None:
        for _ in range(2):
            self._open(OpenTicket(title="Help", role="INQUIRY", requester=PEOPLE[0]))

    @precondition(lambda self: len(self.tickets) < MOST)
    @rule(role=WORDS["role"], parent=st.booleans())
    def open(self, role: str, parent: bool) -> None:
        self._open(OpenTicket(title="Help", role=role, parent=next(iter(self.tickets)) if parent else None))

    @rule(one=TICKETS, other=TICKETS, kind=st.sampled_from(MEETINGS), link=st.sampled_from(KINDS))
    def meet(self, one: int, other: int, kind: type[Any], link: LinkKind) -> None:
        """What the tickets have to do with one another, drawn more often than the rest."""
        ids = list(self.tickets)
        said = {
            "ticket": ids[one % len(ids)],
            "other": ids[other % len(ids)],
            "kind": link,
            "person": PEOPLE[other % 4],
        }
        said["into"] = said["other"]
        self._give(ids[one % len(ids)], kind(**{name: said[name] for name in kind.__struct_fields__}), "Because", None)

    @rule(data=st.data(), kind=st.sampled_from(COMMANDS), minutes=st.integers(-3, 10))
    def command(self, data: st.DataObject, kind: type[CommandToTicket | OffshootCommand], minutes: int) -> None:
        self.now += minutes * timedelta(minutes=1)
        ticket = data.draw(st.sampled_from(list(self.tickets)))
        command: Any = data.draw(self._any_of(kind, ticket))
        reason = data.draw(st.sampled_from([None, "Because", "Because"]))
        named = data.draw(st.none() | st.none() | st.integers(-15, 1))
        at = None if named is None else self.now + named * timedelta(minutes=1)
        if isinstance(command, OffshootCommand) and len(self.tickets) >= MOST:
            return
        new = next(self.ids) if isinstance(command, OffshootCommand) else None
        self._give(ticket if new is None else an_id(new), command, reason, at)

    @rule(redefinition=st.sampled_from(REDEFINITIONS))
    def redefine(self, redefinition: Any) -> None:
        from domain import workflows

        for event in workflows.decide(self.workflows, redefinition):
            self.workflows = workflows.evolve(self.workflows, event, self.now)

    def _any_of(self, kind: type[Any], ticket: UUID) -> st.SearchStrategy[Any]:
        state = self.tickets[ticket]
        here = {
            **WORDS,
            **{name: st.sampled_from(list(self.tickets)) for name in OTHER_TICKETS},
            **dict.fromkeys(("assignee", "person", "requester"), st.sampled_from(PEOPLE)),
            "ticket": st.just(ticket),
            "comment": st.sampled_from([*self.said, an_id(1)]),
            "in_reply_to": st.sampled_from([*self.said, an_id(1)]),
            "attachment": st.sampled_from([*(file.id for file in state.attachments), an_id(1)]),
            "mentions": st.lists(st.sampled_from(PEOPLE), max_size=2).map(tuple),
            "status": st.sampled_from([status.key for status in self.workflows.newest(state.workflow).statuses]),
        }
        fields: dict[bool, dict[str, st.SearchStrategy[Any]]] = {True: {}, False: {}}
        for field in msgspec.structs.fields(kind):
            nobody = NoneType in get_args(field.type) and field.name != "person"
            required = field.required or field.name == "person"
            fields[required][field.name] = here[field.name] | st.none() if nobody else here[field.name]
        return st.fixed_dictionaries(fields[True], optional=fields[False]).map(lambda said: kind(**said))

    def _open(self, command: OpenTicket) -> None:
        self._give(an_id(next(self.ids)), command, "Because", None)

    # ---- as the application gives it

    def _give(self, id_: UUID, command: TicketCommand, reason: str | None, at: datetime | None) -> None:
        before = self.tickets.get(id_)
        around = self._around(command, reason, at)
        try:
            events = tickets.decide(before, command, around)
            happened = tickets.occurred_at(before, events, around)
        except Refused:
            return
        told = tickets.told(id_, events) if events else {}
        assert told.keys() <= self.tickets.keys() - {id_}, "who is told is there, and another one"
        for stream, news in {id_: events, **told}.items():
            for event in news:
                self._append(stream, event, happened)
        self._remember(id_, command, events)

    def _around(self, command: TicketCommand, reason: str | None, at: datetime | None) -> Surroundings:
        parts = [] if isinstance(command, OpenTicket) else self._parts(command.ticket)[1:]
        comment: Any = getattr(command, "comment", None)
        return msgspec.structs.replace(
            AROUND,
            now=self.now,
            at=at,
            reason=reason,
            workflows=self.workflows,
            number=1_000 + len(self.log),
            new_id=an_id(next(self.ids)),
            by=PEOPLE[0],
            people=STAFF,
            tickets=self.tickets,
            ancestors=tuple(self._above(command.parent)) if isinstance(command, SetParent) else (),
            blocked=self._blocked(command),
            upload=UPLOADED,
            text=self.said[comment][1] if comment in self.said else None,
            merged={part: self.tickets[part] for part in parts},
        )

    def _above(self, parent: UUID | None) -> Iterator[UUID]:
        while parent is not None:
            yield parent
            parent = self.tickets[parent].parent if parent in self.tickets else None

    def _blocked(self, command: TicketCommand) -> set[UUID]:
        def directly(one: UUID) -> set[UUID]:
            return {link.other for link in self.tickets[one].links if link.kind is LinkKind.BLOCKS}

        if isinstance(command, MergeTickets):
            both = {command.ticket, command.into}
            found = {other for one in both for other in directly(one)} - both
        elif isinstance(command, LinkTickets) and (ends := tickets.links.blocking(command)):
            found = {ends[1]}
        else:
            return set()
        edge = found
        while edge:
            edge = {other for one in edge for other in directly(one)} - found
            found = found | edge
        return found

    def _append(self, stream: UUID, event: TicketEvent, at: datetime) -> None:
        stored = msgspec.json.decode(msgspec.json.encode(event), type=type(event))
        assert stored == event, "an event is stored without loss"
        self.log.setdefault(stream, []).append((stored, at))
        before = self.tickets.get(stream)
        after = tickets.evolve(before, stored, at)
        assert before is None or (after.number, after.opened_at) == (before.number, before.opened_at)
        assert before is None or after.last_at >= before.last_at
        self.tickets[stream] = after

    # ---- what people remember, apart from all that

    def _remember(self, id_: UUID, command: TicketCommand, events: list[TicketEvent]) -> None:
        for event in events:
            match event:
                case CommentAdded():
                    self.said[event.comment] = (event.author, event.body)
                case CommentEdited():
                    self.said[event.comment] = (self.said[event.comment][0], event.body)
                case FileAttached():
                    self.files.setdefault(id_, set()).add(event.attachment)
                case TicketMerged():
                    self.went.setdefault(id_, set()).add(event.into)
                case _:
                    pass
        match command:
            case DetachFile():
                self.files.get(id_, set()).discard(command.attachment)
            case LinkTickets() if events:
                self.made.add(self._said(id_, command.kind, command.other))
            case UnlinkTickets() if events:
                self.made -= {link for link in self.made if self._is(link, id_, command)}
            case UnwatchTicket():
                self.watching.get(id_, set()).discard(command.person or PEOPLE[0])
            case _:
                pass
        for event in events:
            if isinstance(event, tickets.TicketWatched):
                self.watching.setdefault(id_, set()).add(event.person)

    def _said(self, one: UUID, kind: LinkKind, other: UUID) -> Said:
        """What was undone and is said again of a ticket goes with the part of it that had brought it."""
        return Said(
            self._having(one, Link(kind=kind, other=other)),
            kind,
            self._having(other, Link(kind=INVERSE[kind], other=one)),
        )

    def _having(self, ticket: UUID, link: Link) -> UUID:
        merges = {part: self.tickets[part].merged for part in self._parts(ticket)}
        return [ticket, *(part for part, merged in merges.items() if merged and link in merged.moved)][-1]

    def _is(self, link: Said, ticket: UUID, command: UnlinkTickets) -> bool:
        """Whether that is the link which was undone, wherever its ends had gone."""
        one, other = self._family(ticket), self._family(command.other)
        straight = link.kind is command.kind and link.one in one and link.other in other
        return straight or (link.kind is INVERSE[command.kind] and link.one in other and link.other in one)

    def _parts(self, ticket: UUID) -> list[UUID]:
        """The ticket, and what is merged into it, through others too."""
        inside = [link.other for link in self.tickets[ticket].links if link.kind is LinkKind.MERGED_FROM]
        return [ticket, *(part for one in inside for part in self._parts(one))]

    def _root(self, ticket: UUID) -> UUID:
        merged = self.tickets[ticket].merged
        return ticket if merged is None else self._root(merged.into)

    def _family(self, ticket: UUID) -> set[UUID]:
        return set(self._parts(self._root(ticket)))

    # ---- what holds after each command

    @invariant()
    def what_was_said_and_attached_stands_where_it_was(self) -> None:
        there = {said.id: said for ticket in self.tickets.values() for said in ticket.comments}
        assert there.keys() == self.said.keys()
        assert {id_: said.author for id_, said in there.items()} == {id_: one for id_, (one, _) in self.said.items()}
        for id_, ticket in self.tickets.items():
            assert {file.id for file in ticket.attachments} == self.files.get(id_, set())

    @invariant()
    def both_tickets_have_each_link(self) -> None:
        links = {(id_, link.kind, link.other) for id_, ticket in self.tickets.items() for link in ticket.links}
        assert links == {(other, INVERSE[kind], id_) for id_, kind, other in links}
        assert len(links) == sum(len(ticket.links) for ticket in self.tickets.values()), "none is there twice"

    @invariant()
    def no_link_is_lost_by_merging(self) -> None:
        """Of a ticket whose other end was never merged into another, exactly; where both were, and were taken out in
        another order than they went in, it may have stayed where each of them once went."""
        for link in self.made:
            if self._linked(self._family(link.one), link.kind, self._family(link.other)):
                continue
            if self._root(link.one) == self._root(link.other):
                continue  # within one ticket by now
            assert {link.one, link.other} <= self.went.keys(), f"{link} is lost"
            assert self._linked(self._been(link.one), link.kind, self._been(link.other)), f"{link} is lost"

    def _been(self, ticket: UUID) -> set[UUID]:
        """The ticket, and all that it was ever a part of."""
        found, edge = {ticket}, {ticket}
        while edge:
            edge = {into for one in edge for into in self.went.get(one, ())} - found
            found |= edge
        return found

    def _linked(self, ones: set[UUID], kind: LinkKind, others: set[UUID]) -> bool:
        return any(link.kind is kind and link.other in others for one in ones for link in self.tickets[one].links)

    @invariant()
    def who_watches_hears_of_it_where_it_went(self) -> None:
        for id_, people in self.watching.items():
            root = self._root(id_)
            heard = set(self.tickets[root].watchers)
            undone = {event.person for event, _ in self.log[root] if isinstance(event, tickets.TicketUnwatched)}
            assert people <= heard | undone, "somebody hears no more of it, and nobody said so"

    @invariant()
    def nothing_is_below_itself_or_blocks_itself(self) -> None:
        for id_ in self.tickets:
            above = self._above(self.tickets[id_].parent)
            seen: set[UUID] = set()
            for one in above:
                assert one not in seen | {id_}
                seen.add(one)
        for kind in (LinkKind.BLOCKS, LinkKind.MERGED_INTO):
            for id_ in self.tickets:
                edge, found = {id_}, set[UUID]()
                while edge:
                    edge = {link.other for one in edge for link in self.tickets[one].links if link.kind is kind} - found
                    found |= edge
                assert id_ not in found, f"{kind} goes in a ring"

    @invariant()
    def a_merged_ticket_is_closed(self) -> None:
        assert all(ticket.closed for ticket in self.tickets.values() if ticket.merged is not None)

    def teardown(self) -> None:
        """The events alone say how it stands; also who held it, and since when: whatever role, team or process it has
        now. Once, since it takes all events."""
        for id_, events in self.log.items():
            state: Ticket | None = None
            for event, at in events:
                state = tickets.evolve(state, event, at)
            assert state == self.tickets[id_]
            assert state is not None
            assert state.version == len(events)
            first = events[0][0]
            assert isinstance(first, TicketOpened)
            held = [first.assignee, *(_held(event) for event, _ in events if _holds(event))]
            assert held[-1] == state.assignee


def _holds(event: TicketEvent) -> bool:
    return isinstance(event, TicketAssigned | TicketUnassigned)


def _held(event: TicketEvent) -> UUID | None:
    return event.assignee if isinstance(event, TicketAssigned) else None


class Meeting(Company):
    """The same, of nothing but what tickets have to do with one another: sequences that the whole hardly ever draws."""

    command = redefine = open = None  # type: ignore[assignment]

    @initialize()
    def begin(self) -> None:
        for _ in range(4):
            self._open(OpenTicket(title="Help", role="INQUIRY", requester=PEOPLE[0]))


TestAllCommands = Company.TestCase
TestAllCommands.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
TestWhatTicketsHaveToDoWithOneAnother = Meeting.TestCase
TestWhatTicketsHaveToDoWithOneAnother.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
