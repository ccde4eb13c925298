"""Search: words in any form, phrases, beginnings, typing errors; ranked, shown, and nobody's secrets."""

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from application.attachments.attaching import attach
from application.attachments.contents import Contents
from application.event_store.database import Role
from application.handling import Context
from domain.access import Actor
from domain.tickets import AddComment, AttachFile, DetachFile, EditComment, Ticket, Visibility, WithdrawComment
from projections import search
from projections.filters import IdFilter, KeyFilter, PageAsk, TicketFilter
from projections.reading import BadInput, Moment, encode_cursor
from projections.rebuild import rebuild
from projections.rows import SearchField, SearchHitRow, SearchTerm
from tests.projections.conftest import World

PAGE = PageAsk(first=100)


def found(world: World, query: str, filter: TicketFilter | None = None, actor: Actor | None = None) -> list[str]:
    """Titles, the best first."""
    return [hit.ticket.title for hit in hits(world, query, filter, actor)]


def hits(
    world: World, query: str, filter: TicketFilter | None = None, actor: Actor | None = None
) -> list[SearchHitRow]:
    who = actor or world.admin
    page = world.ask_as(who, search.search, query, filter, PAGE)
    assert world.ask_as(who, search.count, query, filter) == len(page.nodes)
    return page.nodes


def shown(world: World, query: str, actor: Actor | None = None) -> list[tuple[SearchField, str]]:
    """Of the first hit: where, and what with the matches in brackets."""
    [hit, *_] = hits(world, query, actor=actor)
    parts = world.ask_as(actor or world.admin, search.highlights, hit.texts, hit.asked)
    marked = {
        text: "".join(f"[{part.text}]" if part.match else part.text for part in of_text)
        for text, of_text in parts.items()
    }
    return [(text.field, marked[text]) for text in hit.texts if text in marked]


def say(world: World, ticket: UUID, body: str, visibility: Visibility = Visibility.PUBLIC) -> None:
    world.do(AddComment(ticket=ticket, body=body, visibility=visibility))


def test_an_edited_comment_is_found_by_what_it_says_now_and_a_withdrawn_one_no_more(world: World) -> None:
    clara = world.person("Clara")
    ticket = world.open("Own", "INQUIRY", requester=clara)
    say(world, ticket, "Роутер перезагружен")
    say(world, ticket, "Клиент забыл пароль", Visibility.INTERNAL)
    for at_once in (False, True):
        if not at_once:
            world.project()
        public, internal = the_comments(world, ticket)
        world.do(EditComment(ticket=ticket, comment=public, body="Коммутатор заменён"))
        world.do(EditComment(ticket=ticket, comment=internal, body="Клиент забыл логин", mentions=(clara,)))
        world.project()
        assert found(world, "роутер") == found(world, "пароль") == []
        assert found(world, "коммутатор", actor=world.requester(clara)) == ["Own"]
        assert found(world, "логин") == ["Own"]
        assert found(world, "логин", actor=world.requester(clara)) == [], "what was internal stays so"
    for comment in (public, internal):
        world.do(WithdrawComment(ticket=ticket, comment=comment))
    world.project()
    assert found(world, "коммутатор") == found(world, "логин") == []


def the_comments(world: World, ticket: UUID) -> list[UUID]:
    state = world.store.workspace(world.workspace.id).load([ticket])[ticket].state
    assert isinstance(state, Ticket)
    return [comment.id for comment in state.comments]


@pytest.mark.parametrize(
    ("title", "query"),
    [
        ("Принтер не печатает", "принтеры"),
        ("Не печатают принтеры в бухгалтерии", "ПРИНТЕР"),
        ("Заявки на доступ", "заявка"),
        ("Attachments are lost", "attachment"),
        ("The printer prints slowly", "printing"),
        ("Ёлка на складе", "елка"),
        ("Елка на складе", "ёлка"),
        ("Договор с Мебельным двором", "мебельный двор"),
        ("VPN не работает в Outlook", "outlook не работает"),
        ("Счёт-фактура 2026-03", "счет-фактура"),
        ("Ошибка 0x80070005 при входе", "0x80070005"),
        ("Письмо от ivan@example.org", "ivan@example.org"),
    ],
)
def test_words_are_found_in_any_form(world: World, title: str, query: str) -> None:
    world.open("Совсем о другом")
    world.open(title)
    world.project()
    assert found(world, query) == [title]


@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("прин", ["Принтер не печатает"]),
        ("прин* печатает", ["Принтер не печатает"]),
        ("attach", ["Lost attachments"]),
        ("принтре", ["Принтер не печатает"]),
        ("притнер", ["Принтер не печатает"]),
        ("attachmnets", ["Lost attachments"]),
        ("принтрами", ["Принтер не печатает"]),
        ("притнерами", ["Принтер не печатает"]),
        ('"не печатает"', ["Принтер не печатает"]),
        ('"печатает принтер"', []),
        ("принтер -печатает", []),
        ("lost -printer", ["Lost attachments"]),
        ("и", []),
        ("   ", []),
        ("!&|():*<->'\\", []),
        ("'; drop table search_text; --", []),
    ],
)
def test_beginnings_errors_phrases_and_what_is_left_out(world: World, query: str, titles: list[str]) -> None:
    world.open("Принтер не печатает")
    world.open("Lost attachments")
    world.project()
    assert found(world, query) == titles


@given(st.text(max_size=60))
def test_any_text_is_a_question(query: str) -> None:
    terms = search.parsed(query)
    assert all(term.text.strip() for term in terms)


def test_what_is_asked_is_read_as_people_write_it() -> None:
    assert search.parsed('Сайт "не Работает" -тест нача* кон') == (
        SearchTerm("сайт"),
        SearchTerm("не работает", phrase=True),
        SearchTerm("тест", excluded=True),
        SearchTerm("нача", prefix=True),
        SearchTerm("кон", prefix=True),
    )
    with pytest.raises(BadInput, match="500 characters"):
        search.parsed("x" * 501)
    with pytest.raises(BadInput, match="20 words"):
        search.parsed("x " * 21)


def test_all_texts_of_a_ticket_are_searched_and_shown_where(world: World, tmp_path: Path) -> None:
    ticket = world.open("Сайт", description="Корзина теряет товары")
    say(world, ticket, "Перезапустили балансировщик\nи смотрим")
    contents = Contents(tmp_path, world.store.mapper.sealer.keyring, reserve=0)
    receiving = contents.receive(world.workspace.id, world.admin.person)
    receiving.writer.write(b"log")
    receiving.writer.finish()
    command = AttachFile(ticket=ticket, upload=receiving.upload, name="nginx_error-2026.log")
    attach(contents, world.store, Context(actor=world.admin), command)
    world.project()
    assert shown(world, "сайты") == [(SearchField.TITLE, "[Сайт]")]
    assert shown(world, "товар") == [(SearchField.DESCRIPTION, "Корзина теряет [товары]")]
    assert shown(world, "балансировщики") == [(SearchField.COMMENT, "Перезапустили [балансировщик]\nи смотрим")]
    assert [field for field, _ in shown(world, "nginx")] == [SearchField.ATTACHMENT]
    assert [text.field for hit in hits(world, "t-1") for text in hit.texts] == [SearchField.KEY]
    [attached] = [text.id for hit in hits(world, "error") for text in hit.texts]
    world.do(DetachFile(ticket=ticket, attachment=attached))
    world.project()
    assert found(world, "nginx") == []


def test_a_title_counts_more_than_a_comment_and_two_words_more_than_none(world: World) -> None:
    said = world.open("Другое")
    say(world, said, "Тут упал сервер")
    world.open("Сервер упал")
    world.open("Сервер")
    world.project()
    assert found(world, "сервер упал")[:2] == ["Сервер упал", "Другое"]
    assert found(world, "сервер") == ["Сервер", "Сервер упал", "Другое"]


def test_search_and_filter_go_together(world: World) -> None:
    anna = world.person("Anna")
    world.open("Принтер в офисе", assignee=anna)
    world.open("Принтер на складе")
    world.project()
    assert found(world, "принтер", TicketFilter(assignee=IdFilter(eq=anna))) == ["Принтер в офисе"]
    assert found(world, "принтер", TicketFilter(role=KeyFilter(eq="DEAL"))) == []


def test_pages_neither_skip_nor_repeat(world: World) -> None:
    for n in range(23):
        world.open(f"Принтер {n}" + " и ещё" * (n % 3))
    world.project()
    seen: list[int] = []
    after: str | None = None
    while True:
        page = world.ask(search.search, "принтер", None, PageAsk(first=5, after=after))
        seen += [hit.ticket.number for hit in page.nodes]
        if not page.has_next:
            break
        after = page.cursors[-1]
    assert sorted(seen) == list(range(1, 24))
    with pytest.raises(BadInput):
        world.ask(search.search, "принтер", None, PageAsk(last=5))
    with pytest.raises(BadInput):
        world.ask(search.search, "принтер", None, PageAsk(first=5, after="WzFd"))
    with pytest.raises(BadInput):
        world.ask(search.search, "принтер", None, PageAsk(first=5, after=encode_cursor([1, 1, 10_001, False])))


def test_a_requester_finds_what_is_public_in_their_own_tickets(world: World) -> None:
    client = world.requester(world.person("Client"))
    mine = world.open("Мой сайт", requester=client.person)
    say(world, mine, "Пароль у Зельды", Visibility.INTERNAL)
    say(world, mine, "Сайт работает")
    say(world, world.open("Чужой сайт"), "Сайт Зельды")
    world.project()
    assert found(world, "сайт", actor=client) == ["Мой сайт"]
    assert found(world, "зельда", actor=client) == []
    assert found(world, "пароль", actor=client) == []
    assert found(world, "t-2", actor=client) == []
    assert [field for field, _ in shown(world, "сайт", client)] == [SearchField.TITLE, SearchField.COMMENT]
    [first, *_] = hits(world, "пароль")
    assert world.ask_as(client, search.highlights, first.texts, first.asked) == {}
    rank = hits(world, "сайт", actor=client)[0].rank
    say(world, mine, "сайт сайт сайт", Visibility.INTERNAL)
    world.project()
    assert hits(world, "сайт", actor=client)[0].rank == rank


def test_another_workspace_has_its_own_words(world: World) -> None:
    other = world.beside("other")
    world.open("Зельдер и партнёры")
    other.open("Другое")
    world.project()
    assert found(other, "зельдер") == found(other, "зельд") == found(other, "зелдьер") == []
    assert found(world, "зелдьер") == ["Зельдер и партнёры"]


def test_of_common_words_the_newest_texts_are_ranked_titles_among_them(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "RANKED", 10)
    monkeypatch.setattr(search, "SLICE", 4)
    for n in range(60):
        say(world, world.open(f"Сайт {n}"), "Сайт")
    world.project()
    newest = {f"Сайт {n}" for n in range(60 - 20, 60)}
    assert 5 <= len(found(world, "сайт")) <= 10
    assert set(found(world, "сайт")) <= newest
    assert any(hit.texts[0].field is SearchField.TITLE for hit in hits(world, "сайт"))


def test_a_word_as_long_as_words_may_be_is_kept_apart(world: World) -> None:
    """PostgreSQL's own limit is 2,046 bytes, which a mark would pass."""
    say(world, world.open("Длинное"), "сервер https://example.com/" + "it's" * 508 + " и ещё слово")
    world.project()
    assert found(world, "слово") == found(world, "сервер") == found(world, "example.com") == ["Длинное"]


def test_what_only_leaves_out_finds_all_other_texts_of_the_workspace(world: World) -> None:
    other = world.beside("other")
    world.open("Сервер")
    world.open("Почта")
    world.open("...")
    other.open("Чужое")
    world.project()
    assert set(found(world, "-сервер")) == {"Почта", "..."}
    assert found(world, "-сервер -почта -чужое") == ["..."]


def test_another_workspace_with_the_same_mark_is_not_seen(world: World) -> None:
    other = world.beside("other")
    say(world, world.open("Наше"), "сервер")
    say(other, other.open("Чужое"), "сервер")
    world.project()
    with world.database.connect(Role.OWNER) as owner:
        owner.execute(
            "create or replace function search_mark(workspace uuid) returns text"
            " language sql immutable parallel safe as $$ select '0000' $$"
        )
    assert rebuild(world.database, search.PROJECTION).same is not None
    assert found(world, "сервер") == ["Наше"]
    assert found(other, "сервер") == ["Чужое"]


@pytest.mark.parametrize("query", ["example.com/it's", "o'brien", 'сервер "it\'s here" -z', "a|b & !d:*", "'", "(!'x"])
def test_marks_are_put_before_words_however_they_are_written(world: World, query: str) -> None:
    say(world, world.open("Ссылка"), "Смотри example.com/it's и o'brien: сервер, it's here, a|b & !d:* (!'x ' ")
    world.project()
    assert found(world, query) == ([] if query == "'" else ["Ссылка"])


def test_a_page_that_a_filter_leaves_short_is_filled_from_older_texts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "RANKED", 10)
    monkeypatch.setattr(search, "SLICE", 16)
    monkeypatch.setattr(search, "NARROW", 2)
    for n in range(30):
        say(world, world.open(f"Сайт {n}", "TASK" if n < 5 else "INCIDENT"), "Сайт")
    world.project()
    tasks = TicketFilter(role=KeyFilter(eq="TASK"))
    assert set(found(world, "сайт", tasks)) == {f"Сайт {n}" for n in range(5)}
    assert found(world, "нигде", tasks) == []


def paged(world: World, filter: TicketFilter, size: int) -> list[str]:
    """The titles of all pages."""
    seen: list[str] = []
    page, after = None, None
    while page is None or page.has_next:
        page = world.ask(search.search, "сайт", filter, PageAsk(first=size, after=after))
        seen += [hit.ticket.title for hit in page.nodes]
        after = page.cursors[-1]
    return seen


@pytest.mark.parametrize("enough", [1, 100])
def test_pages_of_any_size_are_of_the_same_tickets_as_the_count(
    world: World, monkeypatch: pytest.MonkeyPatch, enough: int
) -> None:
    """Whether or not a filter leaves enough of the newest texts."""
    monkeypatch.setattr(search, "RANKED", 10)
    monkeypatch.setattr(search, "SLICE", 16)
    monkeypatch.setattr(search, "NARROW", 2)
    monkeypatch.setattr(search, "ENOUGH", enough)
    for n in range(24):
        say(world, world.open(f"Сайт {n}", "TASK" if n % 2 else "INCIDENT"), "Сайт " * (n % 3 + 1))
    world.project()
    tasks = TicketFilter(role=KeyFilter(eq="TASK"))

    listed = paged(world, tasks, 100)
    assert paged(world, tasks, 1) == paged(world, tasks, 3) == listed
    assert world.ask(search.count, "сайт", tasks) == len(listed)
    assert (len(listed) == 12) == (enough > 1)


@pytest.mark.parametrize("every", [1, 2, 7, 30])
def test_a_word_is_found_however_often_it_stands_among_the_newest(
    world: World, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """Whether it is common is told by the newest texts alone; nothing is lost where they tell it wrong."""
    monkeypatch.setattr(search, "RANKED", 40)
    monkeypatch.setattr(search, "SLICE", 16)
    for n in range(60):
        world.open(f"Сайт {n}" if n % every == 0 else f"Почта {n}")
    world.project()
    expected = {f"Сайт {n}" for n in range(0, 60, every)}
    found_ = set(found(world, "сайт"))
    assert found_ <= expected
    assert len(found_) >= min(len(expected), 10)
    if len(expected) <= 20:
        assert found_ == expected


def test_titles_go_on_where_the_newest_texts_made_a_word_look_common(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "RANKED", 40)
    monkeypatch.setattr(search, "SLICE", 4)
    tickets = [world.open(f"Сайт {n}") for n in range(30)]
    for n in range(40):
        world.open(f"Почта {n}")
    for ticket in tickets[:4]:
        say(world, ticket, "Сайт")
    world.project()
    assert set(found(world, "сайт")) == {f"Сайт {n}" for n in range(30)}


@pytest.mark.parametrize("every", [3, 5])
def test_pages_and_counts_agree_however_far_is_looked(
    world: World, monkeypatch: pytest.MonkeyPatch, every: int
) -> None:
    """Of 30 texts that are ranked a filter leaves ten tickets, of 40 enough; or six, and of 50 enough."""
    monkeypatch.setattr(search, "RANKED", 30)
    monkeypatch.setattr(search, "SLICE", 4)
    monkeypatch.setattr(search, "NARROW", 5)
    monkeypatch.setattr(search, "ENOUGH", 10)
    for n in range(120):
        world.open(f"Сайт {n}", "TASK" if n % every == 0 else "INCIDENT")
    world.project()
    tasks = TicketFilter(role=KeyFilter(eq="TASK"))
    seen = paged(world, tasks, 4)
    assert len(seen) == len(set(seen)) == world.ask(search.count, "сайт", tasks)
    assert len(seen) > 10


def test_of_few_tickets_all_are_found_however_common_the_word(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search, "RANKED", 10)
    monkeypatch.setattr(search, "SLICE", 4)
    monkeypatch.setattr(search, "ENOUGH", 2)
    for n in range(60):
        world.open(f"Сайт {n}", "TASK" if n % 4 == 0 else "INCIDENT")
    world.project()
    tasks = TicketFilter(role=KeyFilter(eq="TASK"))
    assert set(found(world, "сайт", tasks)) == {f"Сайт {n}" for n in range(0, 60, 4)}
    assert world.ask(search.count, "сайт", tasks) == 15


def test_a_list_takes_a_search_in_its_own_order_and_of_now_alone(world: World) -> None:
    say(world, world.open("Первый"), "Упал сервер")
    world.open("Второй сервер")
    world.project()
    assert world.titles(search="серверы") == ["Первый", "Второй сервер"]
    assert world.titles(search="t-2") == ["Второй сервер"]
    with pytest.raises(BadInput, match="asOf"):
        world.titles(search="сервер", moment=Moment(position=1))


def test_a_rebuild_finds_the_same(world: World) -> None:
    say(world, world.open("Сервер", description="Описание"), "Слово")
    world.project()
    assert rebuild(world.database, search.PROJECTION).same
    assert found(world, "слова") == ["Сервер"]


def test_every_word_that_is_kept_is_listed_as_personal() -> None:
    held: Any = search.PROJECTION.personal
    assert held == {"search_text": ("text", "words"), "search_word": ("word", "stem")}
