"""Search at 100,000 tickets with 1,000,000 comments, row-level security on, over HTTP."""

import itertools
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from uuid import UUID

import msgspec

from application.event_store.database import Database, Role
from application.event_store.envelope import Cause, Envelope
from application.handling import new_id
from bench.company import furnish
from bench.figures import Figure, in_turns
from bench.lab import Lab, Server, drop_indexes
from bench.load import Order, load
from domain import tickets as domain
from domain.tickets import CommentAdded, Priority, Ticket, TicketEvent, TicketOpened, Visibility
from domain.workflows import StatusCategory
from projections import search as texts
from projections import spans, tickets
from projections.projection import Change
from projections.writing import Inserts

TICKETS, COMMENTS = 100_000, 10
"""Comments of each ticket."""
BATCH_TICKETS = 200
WRITERS = 2
VOCABULARY = 30_000
WORDS_OF_A_COMMENT = 25
STARTED = datetime(2025, 1, 1, tzinfo=UTC)
LIMIT_MS = 50.0

FEW, MANY = 'filter: {priority: {eq: HIGH}, title: {contains: "7"}}', "filter: {priority: {eq: HIGH}}"
ASKED = {
    "a rare word": ("дифференциального", ""),
    "a rare English word": ("differentials", ""),
    "a rare word, with a filter": ("дифференциального", MANY),
    "a word of every third text": ("сервера", ""),
    "an English word of every tenth text": ("networks", ""),
    "a word of every third text, with a filter for a tenth of the tickets": ("сервера", FEW),
    "a word of every third text, with a filter for a quarter of the tickets": ("сервера", MANY),
    "two words": ("сервер принтеры", ""),
    "two words, with a filter": ("сервер принтеры", MANY),
    "two words of which one is left out": ("сервер -принтер", ""),
    "a rare beginning": ("дифф", ""),
    "a common beginning": ("серв", ""),
    "a typing error in a rare word": ("дифферинциального", ""),
    "a typing error in a common word": ("серверра", ""),
    "a rare phrase": ('"дифференциального насоса"', ""),
    "a common phrase": ('"сервер принтер"', ""),
    "a word that is nowhere": ("абракадабрический", ""),
}
"""Words and filter."""


def search(lab: Lab) -> Iterator[Figure]:
    with lab.database() as database:
        furnished = furnish(database, 1)
        lab.say("search: texts are written")
        _write(database, furnished.actor.workspace, lab.size.of(TICKETS, 50))
        with lab.server(database) as server:
            for what, (words, filtered) in ASKED.items():
                lab.say(f"search: {what}")
                [spread] = in_turns(lab.size.rounds, partial(_p50, lab, server, furnished.token, words, filtered))
                yield Figure(
                    name=f"search for {what}, {TICKETS:,} tickets, {TICKETS * COMMENTS:,} comments, p50",
                    unit="ms",
                    value=spread,
                    limit=LIMIT_MS,
                )


def _p50(lab: Lab, server: Server, token: str, words: str, filtered: str) -> float:
    asked = msgspec.json.encode(words).decode()
    query = (
        f"{{ search(query: {asked}, first: 20 {filtered}) {{ nodes {{ rank ticket {{ key title }}"
        " highlights { field parts { text match } } } } }"
    )
    body = msgspec.json.encode({"query": query}).decode()
    return load(
        Order(
            port=server.port,
            path="/graphql",
            token=token,
            bodies=[[body]],
            warm_seconds=lab.size.seconds / 4,
            seconds=lab.size.seconds / 2,
            expected='"search":',
        )
    ).p50


def _write(database: Database, workspace: UUID, count: int) -> None:
    """As the folds would, but without a log: two hours of commands would say nothing more of a search. The indexes of
    words are made afterwards, as a rebuild makes them."""
    with database.connect(Role.OWNER) as connection:
        drop_indexes(connection, texts.PROJECTION.indexes)
    with ThreadPoolExecutor(WRITERS) as writers:
        list(writers.map(partial(_share, database, workspace, count), range(WRITERS)))
    with database.connect(Role.OWNER, maintenance_work_mem="1GB") as connection:
        connection.execute(texts.PROJECTION.indexes.encode())
        for table in ("span", "ticket", "comment", "search_text", "search_word"):
            connection.execute(f"vacuum analyze {table}".encode())


def _share(database: Database, workspace: UUID, count: int, writer: int) -> None:
    words = _Words(random.Random(writer))  # noqa: S311
    with database.connect(Role.PROJECTOR, synchronous_commit="off") as connection:
        for first in range(writer * BATCH_TICKETS, count, WRITERS * BATCH_TICKETS):
            changes: list[Change] = []
            for number in range(first, min(first + BATCH_TICKETS, count)):
                _ticket(changes, workspace, number + 1_000, 1_000 + number * (COMMENTS + 1), words)
            with connection.transaction():
                for projection in (spans.PROJECTION, tickets.PROJECTION, texts.PROJECTION):
                    writes = Inserts()
                    projection.fold(writes, changes)
                    writes.write(connection)
        last = 1_000 + count * (COMMENTS + 1)
        connection.execute("update tracking set position = %s where name = 'search'", (last,))


def _ticket(changes: list[Change], workspace: UUID, number: int, position: int, words: "_Words") -> None:
    id_, at = new_id(), STARTED + timedelta(minutes=number)
    opened = TicketOpened(
        number=number,
        title=f"{words.some(5)} {number}",
        role="TASK",
        workflow="task",
        workflow_version=1,
        status="todo",
        category=StatusCategory.NEW,
        priority=list(Priority)[number % 4],
        channel="site",
    )
    events: list[TicketEvent] = [opened]
    for _ in range(COMMENTS):
        body = words.some(WORDS_OF_A_COMMENT)
        events.append(CommentAdded(comment=new_id(), author=new_id(), body=body, visibility=Visibility.PUBLIC))
    state: Ticket | None = None
    for version, event in enumerate(events, start=1):
        position += 1
        cause = Cause(actor=workspace, command_id=id_, correlation_id=id_, channel="bench")
        envelope = Envelope(
            workspace=workspace,
            originator_id=id_,
            originator_version=version,
            event=event,
            occurred_at=at,
            cause=cause,
            position=position,
            recorded_at=at,
        )
        after = domain.evolve(state, event, at)
        changes.append(Change(envelope, state, after, at))
        state = after


class _Words:
    """Of which few are common and most are rare, as in every language; the same ones, whatever chance picks of them."""

    def __init__(self, chance: random.Random) -> None:
        made_by = random.Random(7)  # noqa: S311
        syllables = [consonant + vowel for consonant in "бвгдзклмнпрстфх" for vowel in "аеиоу"]
        made = {"".join(made_by.choices(syllables, k=made_by.randint(2, 5))) for _ in range(VOCABULARY)}
        self._words = sorted(made)
        made_by.shuffle(self._words)
        self._weights = list(itertools.accumulate(1 / (rank + 10) for rank in range(len(self._words))))
        self._chance = chance

    def some(self, count: int) -> str:
        words = self._chance.choices(self._words, cum_weights=self._weights, k=count)
        if self._chance.random() < 0.33:
            words[0] = "сервер"
        if self._chance.random() < 0.05:
            words[1] = "принтер"
        if self._chance.random() < 0.0002:
            words[2:4] = ["дифференциальный", "насос"]
        if self._chance.random() < 0.1:
            words[3] = "network"
        if self._chance.random() < 0.0002:
            words[4] = "differential"
        return " ".join(words)
