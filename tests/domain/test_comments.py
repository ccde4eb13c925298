"""Talk on a ticket: said, answered, edited, withdrawn, with people named in it."""

from datetime import timedelta
from uuid import UUID

import msgspec
import pytest

from domain import comments
from domain.comments import MENTIONS_LIMIT
from domain.errors import CommentIsWithdrawn, CommentNotFound, InvalidValue, OccurredBeforeLast, PersonNotFound
from domain.participants import WATCHERS_LIMIT
from domain.tickets import (
    AddComment,
    CommentAdded,
    CommentEdited,
    CommentWithdrawn,
    EditComment,
    StatusChanged,
    TicketUnwatched,
    TicketWatched,
    Visibility,
    WithdrawComment,
    occurred_at,
)
from domain.workflows import StatusCategory
from tests.domain.given import (
    ANNA,
    AROUND,
    BORIS,
    COMMENT,
    LEFT,
    NEW_COMMENT,
    OPENED,
    STRANGE_COMMENT,
    STRANGER,
    TICKET,
    an_id,
    hour,
    knowing,
    ticket,
)

DONE = StatusChanged(workflow_version=1, status="done", category=StatusCategory.DONE)
SAID = CommentAdded(comment=COMMENT, author=ANNA, body="Which site?", visibility=Visibility.PUBLIC)
WHISPERED = msgspec.structs.replace(SAID, body="Again!", visibility=Visibility.INTERNAL)
EDIT = EditComment(ticket=TICKET, comment=COMMENT, body=" Which page? ")
EDITED = CommentEdited(comment=COMMENT, body="Which page?")
WITHDRAW = WithdrawComment(ticket=TICKET, comment=COMMENT)
WITHDRAWN = CommentWithdrawn(comment=COMMENT)
SAID_LATER = msgspec.structs.replace(SAID, comment=NEW_COMMENT, author=BORIS, body="Ours")


def test_a_comment_is_public_unless_said_otherwise() -> None:
    ticket.given(OPENED).when(AddComment(ticket=TICKET, body=" Which\nsite? ")).then(
        CommentAdded(comment=NEW_COMMENT, author=ANNA, body="Which\nsite?", visibility=Visibility.PUBLIC)
    )
    ticket.given(OPENED, DONE).when(AddComment(ticket=TICKET, body="Again!", visibility=Visibility.INTERNAL)).then(
        CommentAdded(comment=NEW_COMMENT, author=ANNA, body="Again!", visibility=Visibility.INTERNAL)
    )


def test_a_comment_may_be_made_twice() -> None:
    same = AddComment(ticket=TICKET, body=SAID.body)
    assert len(ticket.given(OPENED, SAID).when(same).events) == 1


def test_a_comment_answers_a_comment_of_the_same_ticket() -> None:
    ticket.given(OPENED, SAID).when(AddComment(ticket=TICKET, body="Ours", in_reply_to=COMMENT)).then(
        CommentAdded(comment=NEW_COMMENT, author=ANNA, body="Ours", visibility=Visibility.PUBLIC, in_reply_to=COMMENT)
    )
    ticket.given(OPENED, SAID).when(AddComment(ticket=TICKET, body="Ours", in_reply_to=STRANGE_COMMENT)).refused(
        CommentNotFound, "inReplyTo"
    )


def test_an_internal_comment_is_not_answered_in_public() -> None:
    answer = AddComment(ticket=TICKET, body="True", in_reply_to=COMMENT)
    ticket.given(OPENED, WHISPERED).when(answer).refused(InvalidValue, "visibility")
    internal = msgspec.structs.replace(answer, visibility=Visibility.INTERNAL)
    for told in (SAID, WHISPERED):
        assert ticket.given(OPENED, told).when(internal).events


@pytest.mark.parametrize("body", ["", " \n ", "\u200b", "\0", "\ud800", "x" * 100_001], ids=ascii)
def test_a_comment_without_readable_text_is_refused(body: str) -> None:
    ticket.given(OPENED).when(AddComment(ticket=TICKET, body=body)).refused(InvalidValue, "body")


# ---- edited and withdrawn


def test_a_comment_is_edited_and_keeps_author_place_and_visibility() -> None:
    outcome = ticket.given(OPENED, WHISPERED, SAID_LATER, DONE).when(EDIT)
    outcome.then(EDITED)
    assert outcome.after is not None
    edited, later = outcome.after.comments
    assert (edited.id, edited.author, edited.visibility) == (COMMENT, ANNA, Visibility.INTERNAL)
    assert (later.id, later.said_at) == (NEW_COMMENT, hour(2))


def test_the_same_text_again_changes_nothing() -> None:
    knowing(text=EDITED.body).given(OPENED, SAID, EDITED).when(EDIT).nothing()


@pytest.mark.parametrize("body", ["", " \n ", "\u200b"], ids=ascii)
def test_a_comment_is_not_edited_to_nothing(body: str) -> None:
    ticket.given(OPENED, SAID).when(msgspec.structs.replace(EDIT, body=body)).refused(InvalidValue, "body")


def test_a_withdrawn_comment_keeps_its_place_and_is_not_edited_any_more() -> None:
    outcome = ticket.given(OPENED, SAID, EDITED, SAID_LATER).when(WITHDRAW)
    outcome.then(WITHDRAWN)
    assert outcome.after is not None
    assert [(said.id, said.withdrawn) for said in outcome.after.comments] == [(COMMENT, True), (NEW_COMMENT, False)]
    ticket.given(OPENED, SAID, WITHDRAWN).when(WITHDRAW).nothing()
    ticket.given(OPENED, SAID, WITHDRAWN).when(EDIT).refused(CommentIsWithdrawn, "comment")
    answer = AddComment(ticket=TICKET, body="What was it?", in_reply_to=COMMENT)
    assert ticket.given(OPENED, SAID, WITHDRAWN).when(answer).events


def test_a_comment_that_is_not_there_is_neither_edited_nor_withdrawn() -> None:
    for command in (EDIT, WITHDRAW):
        strange = msgspec.structs.replace(command, comment=STRANGE_COMMENT)
        ticket.given(OPENED, SAID).when(strange).refused(CommentNotFound, "comment")


def test_an_edit_is_dated_back_to_what_it_edits_and_no_further() -> None:
    told = ticket.given(OPENED, SAID_LATER, SAID, DONE).state
    assert told is not None
    for event in (EDITED, WITHDRAWN):
        at = msgspec.structs.replace(AROUND, at=hour(2))
        assert occurred_at(told, [event], at) == hour(2)
        with pytest.raises(OccurredBeforeLast):
            occurred_at(told, [event], msgspec.structs.replace(AROUND, at=hour(2) - timedelta(minutes=1)))
        assert occurred_at(told, [event], msgspec.structs.replace(AROUND, now=hour(1))) == hour(3)
        assert comments.not_before(told, event) == hour(2)


# ---- mentions


def test_who_is_mentioned_begins_to_watch() -> None:
    command = AddComment(ticket=TICKET, body="@Boris", mentions=(BORIS, ANNA, BORIS))
    named = msgspec.structs.replace(SAID, comment=NEW_COMMENT, body="@Boris", mentions=(BORIS, ANNA))
    ticket.given(OPENED, TicketWatched(person=ANNA)).when(command).then(named, TicketWatched(person=BORIS))


def test_an_edit_leaves_the_mentions_unless_it_names_others() -> None:
    named = msgspec.structs.replace(SAID, mentions=(BORIS,))
    given = ticket.given(OPENED, named, TicketWatched(person=BORIS), TicketUnwatched(person=BORIS))
    given.when(EDIT).then(msgspec.structs.replace(EDITED, mentions=(BORIS,)))
    both = msgspec.structs.replace(EDIT, mentions=(BORIS, ANNA))
    given.when(both).then(msgspec.structs.replace(EDITED, mentions=(BORIS, ANNA)), TicketWatched(person=ANNA))
    for none in (None, ()):
        given.when(msgspec.structs.replace(EDIT, mentions=none)).then(EDITED)
    same_text = msgspec.structs.replace(EDIT, body=SAID.body, mentions=None)
    knew = knowing(text=SAID.body).given(*given.history)
    knew.when(same_text).then(CommentEdited(comment=COMMENT, body=SAID.body))


@pytest.mark.parametrize("person", [LEFT, STRANGER])
def test_who_left_or_never_was_here_is_not_mentioned(person: UUID) -> None:
    command = AddComment(ticket=TICKET, body="@who", mentions=(ANNA, person))
    ticket.given(OPENED).when(command).refused(PersonNotFound, "mentions")
    edit = msgspec.structs.replace(EDIT, mentions=(person,))
    ticket.given(OPENED, SAID).when(edit).refused(PersonNotFound, "mentions")
    before = msgspec.structs.replace(SAID, mentions=(person,))
    assert ticket.given(OPENED, before).when(edit).events, "who was named before may have left since"


def test_a_comment_names_so_many_people_and_no_more() -> None:
    crowd = tuple(an_id(10_000 + n) for n in range(MENTIONS_LIMIT + 1))
    people = dict.fromkeys(crowd, AROUND.people[ANNA])
    command = AddComment(ticket=TICKET, body="@all", mentions=crowd[:-1])
    assert len(knowing(people=people).given(OPENED).when(command).events) == 1 + MENTIONS_LIMIT
    all_of_them = msgspec.structs.replace(command, mentions=crowd)
    knowing(people=people).given(OPENED).when(all_of_them).refused(InvalidValue, "mentions")


def test_a_comment_is_not_refused_because_too_many_watch() -> None:
    audience = [TicketWatched(person=an_id(10_000 + n)) for n in range(WATCHERS_LIMIT)]
    command = AddComment(ticket=TICKET, body="@Boris", mentions=(BORIS,))
    assert len(ticket.given(OPENED, *audience).when(command).events) == 1


def test_nobody_begins_to_watch_in_the_past() -> None:
    command = AddComment(ticket=TICKET, body="@Boris", mentions=(BORIS,))
    assert len(knowing(at=hour(0)).given(OPENED, DONE).when(command).events) == 1
    assert len(knowing(at=hour(1)).given(OPENED, DONE).when(command).events) == 2
