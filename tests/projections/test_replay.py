"""Whatever is commanded: the read models show what the domain makes of the stored events."""

import random
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from application.embedded_postgres import EmbeddedPostgres
from application.event_store.database import Role
from application.event_store.envelope import Envelope, Stream
from application.event_store.event_types import fold
from domain.errors import Refused
from domain.tickets import (
    AddComment,
    AssignTicket,
    ChangeRole,
    CommentAdded,
    CommentEdited,
    CommentEvent,
    CommentWithdrawn,
    EditComment,
    LinkKind,
    LinkTickets,
    MergeTickets,
    Priority,
    SetParent,
    SetPriority,
    Ticket,
    TicketCommand,
    TransitionTicket,
    UnlinkTickets,
    UnmergeTicket,
    Visibility,
    WithdrawComment,
)
from projections import comments, links, merging, spans, tickets, timeline
from projections.board import BoardAsk, board
from projections.filters import EventFilter, PageAsk
from projections.reading import NOW, Moment
from projections.rows import CommentRow, TicketRow
from tests.projections.conftest import World, a_world, hour

ROLES = ("TASK", "INQUIRY", "LEAD", "DOCUMENT", "PROJECT")
STATUSES = ("new", "todo", "in_progress", "waiting", "done", "cancelled", "draft", "qualification", "lost")
KINDS = list(LinkKind)
VALUES: tuple[Any, ...] = (None, True, False, 0, 1, 1.5, "да", "")


@pytest.fixture(scope="module")
def lab(postgres: EmbeddedPostgres) -> Iterator[World]:
    with a_world(postgres) as world:
        for name in ("Anna", "Boris"):
            world.person(name)
        world.team("line1")
        yield world


Step = tuple[int, int, int, float]
"""Which command, to which ticket, with which argument, how many hours later."""

STEPS = st.lists(
    st.tuples(st.integers(0, 11), st.integers(0, 3), st.integers(0, 40), st.sampled_from([0.0, 0.0, 0.5, 3.0])),
    min_size=1,
    max_size=30,
)


def newest_comment(world: World, ticket: UUID) -> UUID:
    state = replayed(history_of(world, ticket))
    return state.comments[-1].id if state.comments else ticket


def command_of(
    world: World, step: Step, ticket: UUID, opened: list[UUID], people: list[UUID], teams: list[UUID]
) -> TicketCommand:
    kind, _, n, _ = step
    match kind:
        case 1:
            return ChangeRole(ticket=ticket, role=ROLES[n % 5])
        case 2:
            return AssignTicket(ticket=ticket, assignee=[*people, None][n % 3], team=[*teams, None][n % 2])
        case 3:
            return SetPriority(ticket=ticket, priority=list(Priority)[n % 4])
        case 4:
            return SetParent(ticket=ticket, parent=[*opened, None][n % (len(opened) + 1)])
        case 8:
            return LinkTickets(ticket=ticket, kind=KINDS[n % 5], other=opened[n % len(opened)])
        case 9:
            return UnlinkTickets(ticket=ticket, kind=KINDS[n % 5], other=opened[n % len(opened)])
        case 10:
            return MergeTickets(ticket=ticket, into=opened[n % len(opened)])
        case 11:
            return UnmergeTicket(ticket=ticket)
        case 5:
            mentions = tuple(people[: n % 3])
            return AddComment(ticket=ticket, body=f"№ {n}", visibility=list(Visibility)[n % 2], mentions=mentions)
        case 6:
            said = newest_comment(world, ticket)
            if n % 4 == 0:
                return WithdrawComment(ticket=ticket, comment=said)
            return EditComment(ticket=ticket, comment=said, body=f"№ {n}, again", mentions=tuple(people[n % 3 :]))
        case _:
            fields = {f"field{n % 3}": VALUES[n % len(VALUES)]} if n % 2 else {}
            return TransitionTicket(ticket=ticket, status=STATUSES[n % len(STATUSES)], fields=fields)


def play(world: World, steps: list[Step]) -> list[UUID]:
    """Gives the commands; what is refused has not happened. Projects now and then, so that batches differ."""
    opened: list[UUID] = []
    at = 0.0
    people = [row[0] for row in world.rows("select id from person where name in ('Anna', 'Boris') order by name")]
    teams = [row[0] for row in world.rows("select id from team")]
    for step in steps:
        kind, which, n, later = step
        at += later
        try:
            if kind == 0 or not opened:
                opened.append(world.open(f"Ticket {n}", ROLES[n % 5], hour(at), tags=("x",) if n % 2 else ()))
            else:
                ticket = opened[which % len(opened)]
                back = hour(at - 1) if kind == 5 and n % 3 == 0 else hour(at)
                world.do(command_of(world, step, ticket, opened, people, teams), back)
        except Refused:
            continue
        if n % 7 == 0:
            world.project()
    world.project()
    return opened


def history_of(world: World, id_: UUID) -> list[Envelope]:
    """As it is stored, read by nobody else's code than the event store's."""
    rows = world.rows(f"select * from event where stream = '{id_}' order by version")
    return world.store.mapper.to_envelopes(rows)


def replayed_stream(history: list[Envelope]) -> Stream:
    stream: Stream | None = None
    for envelope in history:
        stream = fold(stream, envelope)
    assert stream is not None
    return stream


def replayed(history: list[Envelope]) -> Ticket:
    ticket = replayed_stream(history).state
    assert isinstance(ticket, Ticket)
    return ticket


def as_row(id_: UUID, ticket: Ticket, moment: Moment = NOW) -> TicketRow:
    return tickets.ticket_row([id_, ticket.number, *_in_columns(ticket)], moment)


def _in_columns(ticket: Ticket) -> list[Any]:
    shown: dict[str, Any] = dict(zip(spans.SHOWN, spans.shown(ticket), strict=True))
    shown |= {name: list(values) for name, values in shown.items() if isinstance(values, tuple)}
    return [shown[name] for name in tickets.COLUMNS[2:]]


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=STEPS)
def test_the_read_models_are_what_a_replay_of_the_events_gives(lab: World, steps: list[Step]) -> None:
    opened = play(lab, steps)
    live = lab.ask(tickets.by_ids, opened, NOW)
    details = lab.ask(tickets.details, opened, NOW)
    for id_ in opened:
        history = history_of(lab, id_)
        ticket = replayed(history)
        known = known_to_the_process(lab, id_)
        assert known == replayed_stream(history[: known.version])
        assert live[id_] == as_row(id_, ticket)
        assert type_of_fields(live[id_].fields) == type_of_fields(ticket.fields)

        found = details[id_]
        said = said_with(lab, id_, NOW)
        assert (found.version, found.comment_count) == (len(history), len(said))
        assert found.position == history[-1].position
        assert found.updated_at == max(envelope.occurred_at for envelope in history)

        assert lab.of(id_, comments.comments, PageAsk(first=100), NOW).nodes == said
        merged = {id_: ticket.merged.into} if ticket.merged else {}
        assert lab.ask(merging.merged_into, [id_], NOW) == merged

        assert linked(lab, id_, NOW) == [(link.kind, link.other) for link in ticket.links]

        events = lab.of(id_, timeline.history, None, None, PageAsk(first=100), NOW).nodes
        assert [event.position for event in events] == [envelope.position for envelope in history]


def family(world: World, id_: UUID, moment: Moment) -> list[UUID]:
    """The ticket, and all that were merged into it by then."""
    known = known_at(history_of(world, id_), moment)
    merged = [link.other for link in known.links if link.kind is LinkKind.MERGED_FROM] if known else []
    return [id_, *(further for other in merged for further in family(world, other, moment))]


def said_with(world: World, id_: UUID, moment: Moment) -> list[CommentRow]:
    said = [row for one in family(world, id_, moment) for row in said_in(one, history_of(world, one), moment)]
    return sorted(said, key=lambda row: (row.created_at, row.position))


def linked(world: World, id_: UUID, moment: Moment) -> list[tuple[LinkKind, UUID]]:
    shown = world.of(id_, links.links, PageAsk(first=100), moment).nodes
    return [(row.kind, row.other) for row in shown]


def said_in(ticket: UUID, history: list[Envelope], moment: Moment) -> list[CommentRow]:
    """The comments, as the events that count at the moment tell them."""
    said: dict[UUID, CommentRow] = {}
    for envelope in history:
        event, at = envelope.event, envelope.occurred_at
        if not counts(envelope, moment):
            continue
        if isinstance(event, CommentAdded):
            said[event.comment] = CommentRow(
                id=event.comment,
                ticket=ticket,
                author=envelope.cause.actor,
                body=event.body,
                visibility=event.visibility,
                created_at=at,
                in_reply_to=None,
                position=envelope.position,
                mentions=list(event.mentions),
                edited_at=None,
                withdrawn=False,
                moment=moment,
            )
        elif isinstance(event, CommentEdited):
            said[event.comment] = msgspec.structs.replace(
                said[event.comment], body=event.body, mentions=list(event.mentions), edited_at=at
            )
        elif isinstance(event, CommentWithdrawn):
            said[event.comment] = msgspec.structs.replace(
                said[event.comment], body="", mentions=[], edited_at=at, withdrawn=True
            )
    return sorted(said.values(), key=lambda row: (row.created_at, row.position))


def counts(envelope: Envelope, moment: Moment) -> bool:
    by_position = moment.position is None or envelope.position <= moment.position
    return by_position and (moment.occurred_at is None or envelope.occurred_at <= moment.occurred_at)


def known_to_the_process(world: World, id_: UUID) -> Stream:
    """What the next command is decided on, unless it turns out to have grown."""
    known = world.store.workspace(world.workspace.id).known([id_])
    assert known is not None
    return known[id_]


def type_of_fields(fields: dict[str, Any]) -> dict[str, type]:
    return {key: type(value) for key, value in fields.items()}


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=STEPS, seed=st.integers(0, 10**6))
def test_a_ticket_as_of_any_moment_is_the_replay_up_to_it(lab: World, steps: list[Step], seed: int) -> None:
    opened = play(lab, steps)
    random_ = random.Random(seed)
    for id_ in opened:
        history = history_of(lab, id_)
        for _ in range(3):
            position = random_.choice(history).position + random_.choice([-1, 0])
            at = random_.choice(history).occurred_at
            for moment in (
                Moment(position=position),
                Moment(occurred_at=at),
                Moment(position=position, occurred_at=at),
            ):
                found = lab.ask(tickets.by_ids, [id_], moment).get(id_)
                known = known_at(history, moment)
                assert found == (as_row(id_, known, moment) if known else None)
                expected = [(link.kind, link.other) for link in known.links] if known else []
                assert linked(lab, id_, moment) == expected
                said = lab.of(id_, comments.comments, PageAsk(first=100), moment).nodes
                assert said == said_with(lab, id_, moment)


def known_at(history: list[Envelope], moment: Moment) -> Ticket | None:
    """The ticket after the last event that counts; a comment does not, whenever it is dated."""
    known: Ticket | None = None
    for n, envelope in enumerate(history, start=1):
        if counts(envelope, moment) and not isinstance(envelope.event, CommentEvent):
            known = replayed(history[:n])
    return known


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(steps=STEPS)
def test_as_of_now_is_live(lab: World, steps: list[Step]) -> None:
    opened = play(lab, steps)
    head = lab.rows("select max(position) from event")[0][0]
    now = lab.moment_now()
    live = lab.ask(board, BoardAsk(cards_per_cell=0), NOW)
    for moment in (lab.moment(position=head), lab.moment(recorded_at=now), lab.moment(occurred_at=now)):
        then = lab.ask(board, BoardAsk(cards_per_cell=0), moment)
        assert (then.columns, then.cells, then.total_count) == (live.columns, live.cells, live.total_count)
        rows = lab.ask(tickets.by_ids, opened, moment)
        assert {id_: replace_moment(row) for id_, row in rows.items()} == lab.ask(tickets.by_ids, opened, NOW)
        assert lab.ask(tickets.details, opened, moment) == lab.ask(tickets.details, opened, NOW)
    everything = lab.rows("select count(*) from event")[0][0]
    assert lab.ask(timeline.event_count, EventFilter()) == everything
    with lab.database.connect(Role.PROJECTOR) as connection:
        twice = connection.execute(
            "select ticket from span where closed_position is null group by ticket having count(*) > 1"
            " union all select s.ticket from span s join span o on o.ticket = s.ticket and o.opened_position ="
            " s.closed_position where o.occurred_from <> s.occurred_to"
            " union all select s.ticket from span s where occurred_to < occurred_from"
        ).fetchall()
    assert twice == [], "spans of a ticket follow one another without gap or overlap"


def replace_moment(row: TicketRow) -> TicketRow:

    return msgspec.structs.replace(row, moment=NOW)
