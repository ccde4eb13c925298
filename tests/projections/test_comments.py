"""Comments as they are, as they were, and as a requester may read them."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from application.embedded_postgres import EmbeddedPostgres
from domain.access import Actor
from domain.people import PersonKind
from domain.tickets import (
    AddComment,
    EditComment,
    Ticket,
    Visibility,
    WithdrawComment,
)
from projections import comments, timeline
from projections.filters import EventFilter, PageAsk
from projections.reading import NOW, Moment
from projections.rows import CommentRow
from tests.projections.conftest import World, a_world, hour

PAGE = PageAsk(first=100)


class Talk:
    """Of a ticket opened at hour 0: `public` was said at 1, edited at 3 and 5; `internal` at 2, edited at 4, withdrawn
    at 6; `plain` at 2."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.clara = world.person("Clara", PersonKind.CLIENT)
        self.anna = world.person("Anna")
        self.ticket = world.open("Mine", "INQUIRY", hour(0), requester=self.clara)
        self.public = self._say("one", 1, Visibility.PUBLIC, mentions=(self.anna,))
        self.internal = self._say("psst", 2, Visibility.INTERNAL)
        self.plain = self._say("plain", 2, Visibility.PUBLIC)
        self.positions = [self._edit(self.public, "two", 3)]
        world.project()
        self.positions.append(self._edit(self.internal, "psst!", 4))
        self.positions.append(self._edit(self.public, "three", 5, mentions=None))
        withdraw = WithdrawComment(ticket=self.ticket, comment=self.internal)
        self.positions.append(world.do(withdraw, hour(6)).position)
        world.project()

    def _say(self, body: str, at: int, visibility: Visibility, **more: Any) -> UUID:
        self.world.do(AddComment(ticket=self.ticket, body=body, visibility=visibility, **more), hour(at))
        state = self.world.store.workspace(self.world.workspace.id).load([self.ticket])[self.ticket].state
        assert isinstance(state, Ticket)
        return state.comments[-1].id

    def _edit(self, comment: UUID, body: str, at: int, **more: Any) -> int:
        return self.world.do(EditComment(ticket=self.ticket, comment=comment, body=body, **more), hour(at)).position

    def read(self, moment: Moment = NOW, actor: Actor | None = None) -> list[CommentRow]:
        who = actor or self.world.admin
        page = self.world.of_as(who, self.ticket, comments.comments, PAGE, moment)
        assert self.world.of_as(who, self.ticket, comments.comment_counts, moment) == len(page.nodes)
        return page.nodes

    def texts(self, moment: Moment = NOW, actor: Actor | None = None) -> list[str]:
        return [row.body for row in self.read(moment, actor)]


@pytest.fixture(scope="module")
def talk(postgres: EmbeddedPostgres) -> Iterator[Talk]:
    with a_world(postgres) as world:
        yield Talk(world)


def test_a_comment_says_what_it_was_edited_to_and_a_withdrawn_one_keeps_its_place(talk: Talk) -> None:
    public, internal, plain = talk.read()
    assert (public.body, public.edited_at, public.mentions, public.withdrawn) == ("three", hour(5), [], False)
    assert (internal.body, internal.edited_at, internal.withdrawn) == ("", hour(6), True)
    assert internal.visibility is Visibility.INTERNAL
    assert (plain.body, plain.edited_at, plain.withdrawn) == ("plain", None, False)
    by_id = talk.world.ask(comments.by_ids, [public.id, internal.id])
    assert by_id == {public.id: public, internal.id: internal}


def test_the_past_has_the_text_that_it_had_then(talk: Talk) -> None:
    first, second, third, last = talk.positions
    for at, position, texts in (
        (2, first - 1, ["one", "psst", "plain"]),
        (3, first, ["two", "psst", "plain"]),
        (4, second, ["two", "psst!", "plain"]),
        (5, third, ["three", "psst!", "plain"]),
        (6, last, ["three", "", "plain"]),
    ):
        for moment in (Moment(position=position), Moment(occurred_at=hour(at)), talk.world.moment(position=position)):
            assert talk.texts(moment) == texts
    public, internal, _ = talk.read(Moment(position=second))
    assert (public.edited_at, public.mentions, internal.edited_at) == (hour(3), [talk.anna], hour(4))
    was = talk.read(Moment(position=first - 1))[0]
    assert (was.edited_at, was.mentions) == (None, [talk.anna])


def test_a_requester_reads_no_text_that_was_taken_back_since(talk: Talk) -> None:
    her = talk.world.requester(talk.clara)
    assert talk.texts(actor=her) == ["three", "plain"]
    for moment in (Moment(position=talk.positions[0] - 1), Moment(occurred_at=hour(2))):
        assert talk.texts(moment, her) == ["three", "plain"]
    told = talk.world.of_as(her, talk.ticket, timeline.history, None, None, PAGE, NOW).nodes
    assert [event.type for event in told] == ["TicketOpened", *["CommentAdded"] * 2, *["CommentEdited"] * 2]
    assert [event.data.get("body") for event in told[1:]] == [None, "plain", None, "three"]
    assert [event.changes[0].to for event in told[1:]] == [None, "plain", None, "three"]
    feed = talk.world.ask_as(her, timeline.events, EventFilter(), PAGE).nodes
    for events in (told, feed):
        assert not [text for text in ("one", "two", "psst") if f"'{text}" in str(events)]
    assert list(talk.world.ask_as(her, comments.by_ids, [talk.internal, talk.public])) == [talk.public]


def test_the_history_tells_who_reads_all_what_an_edit_changed(talk: Talk) -> None:
    told = talk.world.of(talk.ticket, timeline.history, None, None, PAGE, NOW).nodes
    changes = [
        (change.path.removeprefix("comments."), change.from_, change.to)
        for event in told
        if event.type.startswith("Comment")
        for change in event.changes
    ]
    public, internal = str(talk.public), str(talk.internal)
    assert changes == [
        (public, None, "one"),
        (internal, None, "psst"),
        (str(talk.plain), None, "plain"),
        (public, "one", "two"),
        (internal, "psst", "psst!"),
        (public, "two", "three"),
        (internal, "psst!", None),
    ]
