"""Search: every text that people look for, by words in any form, with typing errors, ranked, with what was found.

The words of a text are those of PostgreSQL's configuration `russian`, which takes Latin letters for English. What is
typed in part or with errors is completed from `search_word`, the words that the workspace's texts have. Under row-level
security an index of words would not be used, so the functions here run as their owner and name the workspace
themselves; what a requester must not see is left out before anything is matched, ranked or shown.
"""

import re
from collections.abc import Sequence
from math import ceil
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
from msgspec.structs import replace
from psycopg import sql
from psycopg.rows import TupleRow

from domain import comments
from domain.tickets import (
    CommentAdded,
    CommentEdited,
    CommentWithdrawn,
    FileAttached,
    FileDetached,
    Ticket,
    Visibility,
)
from projections import tickets
from projections.conditions import Conditions
from projections.filters import PageAsk, TicketFilter
from projections.projection import Change, Projection
from projections.reading import NOW, BadInput, Moment, Page, View, backwards, decode_cursor, page_of, page_size
from projections.rows import HighlightPart, SearchField, SearchHitRow, SearchTerm, TextFound
from projections.writing import Writes

DDL = """
create table search_text (
  workspace  uuid not null,
  id         uuid not null,    -- of the ticket, the comment, the attachment
  field      text not null,
  ticket     uuid not null,
  slice      integer not null, -- of the log; titles have wider ones, below 0
  internal   boolean not null, -- not for requesters
  text       text not null,
  words      tsvector not null, -- each with the workspace's mark
  primary key (id, field)
);
create table search_word (
  workspace  uuid not null,
  word       text collate "C" not null,
  stem       text collate "C" not null,
  primary key (workspace, word)
);
"""

INDEXES = """
create index search_text_words on search_text using gin (slice, words) with (gin_pending_list_limit = 256)
  where field <> 'TITLE';
create index search_text_titles on search_text using gin (slice, words) with (gin_pending_list_limit = 64)
  where field = 'TITLE';
create index search_text_of_ticket on search_text (workspace, ticket);
create index search_word_like on search_word using gin (workspace, word gin_trgm_ops)
  with (gin_pending_list_limit = 64);
create index search_word_stem on search_word (workspace, stem);
"""

# The index has no column for the workspace: what a word is found in would be looked for among all texts of it. Words
# have a mark of it instead, which few other workspaces have.
#
# Texts that hold what was asked are counted as far as they can be ranked in time. Where there are more, the word says
# little, and the newest stand for all: slice by slice, ever more at a time, a quarter of them titles at least.
FUNCTIONS = """
create or replace function search_mark(workspace uuid) returns text language sql immutable parallel safe as
$$ select right(workspace::text, 4) $$;

create or replace function search_words(searched text, workspace uuid) returns tsvector
  language plpgsql immutable parallel safe as
$$
declare
  plain tsvector := to_tsvector('russian', searched);
begin
  if octet_length(searched) > 200000 then -- nor all of them more than 1 MB: without places, as for phrases
    plain := strip(plain);
  end if;
  if octet_length(searched) > 2000 then -- a mark must not make a word longer than words may be
    plain := ts_delete(plain, array(select w from unnest(tsvector_to_array(plain)) w where octet_length(w) > 2000));
  end if;
  -- each word is in quotes, after a blank, and has no blank in it; the mark alone is a word of all texts
  return '''' || search_mark(workspace) || '''' || replace(' ' || plain::text, ' ''', ' ''' || search_mark(workspace));
end
$$;

create or replace function search_marked(plain tsquery, workspace uuid) returns tsquery
  language sql immutable parallel safe as
$$
  select regexp_replace(plain::text, '''((?:[^'']|'''')+)''', '''' || search_mark(workspace) || '\\1''', 'g')::tsquery
$$;

create or replace function search_query(asked json) returns tsquery language plpgsql stable security definer as
$$
declare
  here uuid := current_workspace();
  term record;
  part tsquery;
  whole tsquery := ''::tsquery;
  other text;
  known boolean;
  stems text[];
begin
  for term in select * from json_to_recordset(asked) as t(text text, phrase boolean, prefix boolean, excluded boolean)
  loop
    if term.phrase then
      part := phraseto_tsquery('russian', term.text);
    else
      part := plainto_tsquery('russian', term.text);
      stems := tsvector_to_array(to_tsvector('russian', term.text));
      known := numnode(part) = 0 or exists (
        select from search_word w where w.workspace = here and w.stem = any(stems));
      if term.prefix then
        for other in select w.word from search_word w
                      where w.workspace = here and w.word >= term.text and w.word < term.text || U&'\\+10FFFF'
                      order by w.word limit 50 loop
          part := part || plainto_tsquery('russian', other);
          known := true;
        end loop;
      end if;
      if not known and length(term.text) between 4 and 60 then
        for other in select w.word from search_word w
                      where w.workspace = here and (w.word % term.text or w.word % stems[1])
                        and least(levenshtein_less_equal(w.word, term.text, 2),
                                  levenshtein_less_equal(w.stem, stems[1], 2))
                            <= case when length(term.text) < 6 then 1 else 2 end
                      order by similarity(w.word, term.text) desc, w.word limit 8 loop
          part := part || plainto_tsquery('russian', other);
        end loop;
      end if;
    end if;
    whole := whole && case when term.excluded then !! part else part end;
  end loop;
  return whole;
end
$$;

create or replace function
  search_texts(asked json, public_only boolean, of_tickets uuid[], most integer, slices integer)
  returns table (id uuid, field text, ticket uuid, rank real)
  language plpgsql stable security definer rows 2000 as
$$
declare
  here uuid := current_workspace();
  wanted tsquery := search_marked(search_query(asked), here);
  last integer;
  titles_until integer;
  wide integer := 1;
  until integer;
  together integer := 1;
  found_so_far integer := 0;
  got integer;
begin
  if numnode(wanted) = 0 then
    return;
  elsif querytree(wanted) = 'T' then -- it only leaves out: of all texts of the workspace, which the index then knows
    wanted := (quote_literal(search_mark(here)))::tsquery && wanted;
  end if;
  if of_tickets is not null then
    return query
    select t.id, t.field, t.ticket, search_rank(t.field, t.words, wanted) from search_text t
     where t.workspace = here and t.ticket = any(of_tickets) and t.words @@ wanted and not (public_only and t.internal)
     limit most;
    return;
  end if;
  select max(tracking.position) / slices into last from tracking where name = 'search';
  -- The newest alone tell a common word at once, without the list of all texts that have it: if all slices are like
  -- these two, more have it than can be ranked.
  select count(*) into got from search_text t
   where t.workspace = here and t.field <> 'TITLE' and t.slice = any(array[last, last - 1]) and t.words @@ wanted
     and not (public_only and t.internal);
  if got::bigint * (last + 1) / 2 <= most then
    select count(*) into got from (
      select from search_text t
       where t.workspace = here and not (public_only and t.internal)
         and (t.field <> 'TITLE' and t.words @@ wanted or t.field = 'TITLE' and t.words @@ wanted) -- by both indexes
       limit most + 1) counted;
    if got <= most then
      return query
      select t.id, t.field, t.ticket, search_rank(t.field, t.words, wanted) from search_text t
       where t.workspace = here and not (public_only and t.internal)
         and (t.field <> 'TITLE' and t.words @@ wanted or t.field = 'TITLE' and t.words @@ wanted);
      return;
    end if;
  end if;
  titles_until := last / 4;
  until := last;
  while found_so_far < most and (titles_until >= 0 or until >= 0) loop
    if titles_until >= 0 and (found_so_far < most / 4 or until < 0) then
      return query
      select t.id, t.field, t.ticket, search_rank(t.field, t.words, wanted) from search_text t
       where t.workspace = here and t.field = 'TITLE' and t.words @@ wanted
         and t.slice = any(array(select -1 - n from generate_series(titles_until - wide + 1, titles_until) n))
       limit most - found_so_far;
      titles_until := titles_until - wide;
      wide := least(wide * 2, 16);
    else
      return query
      select t.id, t.field, t.ticket, search_rank(t.field, t.words, wanted) from search_text t
       where t.workspace = here and t.field <> 'TITLE' and t.words @@ wanted and not (public_only and t.internal)
         and t.slice = any(array(select generate_series(until - together + 1, until)))
       limit most - found_so_far;
      until := until - together;
      together := least(together * 2, 16);
    end if;
    get diagnostics got = row_count;
    found_so_far := found_so_far + got;
  end loop;
end
$$;

create or replace function search_rank(field text, words tsvector, wanted tsquery) returns real
  language sql immutable parallel safe as
$$
  select ts_rank(words, wanted, 1)
         * case field when 'TITLE' then 4 when 'ATTACHMENT' then 2 when 'DESCRIPTION' then 1.5 else 1 end::real
$$;

create or replace function search_highlights(asked json, public_only boolean, ids uuid[], fields text[])
  returns table (id uuid, field text, shown text) language plpgsql stable security definer as
$$
declare
  here uuid := current_workspace();
  wanted tsquery := search_query(asked);
begin
  return query
  select t.id, t.field, ts_headline('russian', left(t.text, 20000), wanted,
           U&'StartSel=\\E000, StopSel=\\E001, '
           || case when t.field in ('TITLE', 'ATTACHMENT') then 'HighlightAll=true'
                   else 'MaxFragments=2, MaxWords=24, MinWords=8, FragmentDelimiter=" … "' end)
    from unnest(ids, fields) w (id, field)
    join search_text t on t.id = w.id and t.field = w.field
   where t.workspace = here and not (public_only and t.internal);
end
$$;
"""

SLICE = 4_096
"""Positions of the log whose texts are looked at together; of titles, which are few, four times as many."""

_UPSERT = """
insert into search_text (workspace, id, field, ticket, slice, internal, text, words)
select r.workspace, r.id, r.field, r.ticket, r.slice, r.internal, r.text, search_words(r.searched, r.workspace)
  from json_to_recordset(%s::text::json)
    as r(workspace uuid, id uuid, field text, ticket uuid, slice int, internal boolean, text text, searched text)
on conflict (id, field) do update set
  slice = excluded.slice, internal = excluded.internal, text = excluded.text, words = excluded.words
"""
_WORDS = """
insert into search_word (workspace, word, stem)
select n.workspace, n.word, coalesce((tsvector_to_array(to_tsvector('russian', n.word)))[1], n.word)
  from (select distinct r.workspace, w.word
          from json_to_recordset(%s::text::json) as r(workspace uuid, searched text)
         cross join lateral unnest(tsvector_to_array(to_tsvector('simple', r.searched))) w (word)
         where length(w.word) between 2 and 40) n
 where not exists (select from search_word k where k.workspace = n.workspace and k.word = n.word)
 order by 1, 2
on conflict do nothing
"""
_DELETE = """
delete from search_text using unnest(%s::uuid[], %s::text[]) as d(id, field)
 where search_text.id = d.id and search_text.field = d.field
"""

_MARKS = str.maketrans("ёЁ", "еЕ", "\ue000\ue001")
_PARTS = str.maketrans(dict.fromkeys("._-/\\", " "))


def fold(write: Writes, changes: Sequence[Change]) -> None:
    texts: dict[tuple[UUID, SearchField], dict[str, Any] | None] = {}
    said: list[dict[str, Any]] = []  # also what was replaced at once: what words are known must not depend on the batch
    for change in changes:
        if isinstance(change.after, Ticket):
            for id_, field, text, internal, also in _texts(change):
                row = None if text is None else _row(change, id_, field, text, internal, also)
                texts.pop((id_, field), None)
                texts[id_, field] = row
                if row is not None:
                    said.append(row)
    gone = [key for key, row in texts.items() if row is None]
    if gone:
        write.execute(_DELETE, [list(column) for column in zip(*gone, strict=True)])
    if rows := [row for row in texts.values() if row is not None]:
        write.execute(_UPSERT, (msgspec.json.encode(rows).decode(),))
    if said:
        write.execute(_WORDS, (msgspec.json.encode(said).decode(),))


_Text = tuple[UUID, SearchField, str | None, bool, str]
"""Id, field, text (None: there is none any more), whether it is internal, what else is searched in its place."""


def _texts(change: Change) -> list[_Text]:
    """What the event said that can be searched."""
    before, after, event = change.before, change.after, change.envelope.event
    assert isinstance(after, Ticket)
    id_ = change.envelope.originator_id
    if isinstance(event, CommentAdded):
        return [(event.comment, SearchField.COMMENT, event.body, event.visibility is Visibility.INTERNAL, "")]
    if isinstance(event, CommentEdited):
        internal = comments.there(after, event.comment).visibility is Visibility.INTERNAL
        return [(event.comment, SearchField.COMMENT, event.body, internal, "")]
    if isinstance(event, CommentWithdrawn):
        return [(event.comment, SearchField.COMMENT, None, False, "")]
    if isinstance(event, FileAttached):
        parts = event.name.translate(_PARTS)
        return [(event.attachment, SearchField.ATTACHMENT, event.name, event.visibility is Visibility.INTERNAL, parts)]
    if isinstance(event, FileDetached):
        return [(event.attachment, SearchField.ATTACHMENT, None, False, "")]
    was = before if isinstance(before, Ticket) else None
    found: list[_Text] = []
    if was is None or was.title != after.title:
        found.append((id_, SearchField.TITLE, after.title, False, after.external_key or ""))
    if (was.description if was else None) != after.description:
        found.append((id_, SearchField.DESCRIPTION, after.description, False, ""))
    return found


def _row(change: Change, id_: UUID, field: SearchField, text: str, internal: bool, also: str) -> dict[str, Any]:
    position = change.envelope.position
    text = _plain(text)
    return {
        "workspace": change.envelope.workspace,
        "id": id_,
        "field": field,
        "ticket": change.envelope.originator_id,
        "slice": -1 - position // (4 * SLICE) if field is SearchField.TITLE else position // SLICE,
        "internal": internal,
        "text": text,
        "searched": f"{text} {_plain(also)}".lower() if also else text.lower(),
    }


def _plain(text: str) -> str:
    """As texts and questions are compared: ё is е to most who write. The marks of what was found are free."""
    return text.translate(_MARKS)


PROJECTION = Projection(
    name="search",
    tables=("search_text", "search_word"),
    ddl=DDL,
    indexes=INDEXES,
    fold=fold,
    personal={"search_text": ("text", "words"), "search_word": ("word", "stem")},
    extensions=("pg_trgm", "btree_gin", "fuzzystrmatch"),
    functions=FUNCTIONS,
)


# ---- what is asked

LONGEST, MOST_TERMS = 500, 20
RANKED = 2_000
"""So many texts are ranked; of words that more texts have, the newest."""
LISTED = 10_000
"""So many texts can make a list of tickets that is in another order, or a page that a filter leaves short."""
ENOUGH = 100
"""Where a filter leaves no more tickets than these of the texts that are ranked, it is looked further."""
NARROW = 1_000
"""Of so few tickets, all texts are looked at one by one, where more texts than can be ranked have what is asked for."""
TEXTS_SHOWN = 3
"""Of one ticket."""


Asked = tuple[SearchTerm, ...]

_TERM = re.compile(r'(?P<no>-)?"(?P<phrase>[^"]*)"|(?P<minus>-)?(?P<word>[^\s"]+)')


def parsed(query: str) -> Asked:
    """`"…"` is a phrase, `-` leaves out, `*` completes, as the last word is completed anyway. Raises BadInput."""
    if len(query) > LONGEST:
        raise BadInput(f"A search has at most {LONGEST} characters.")
    found = list(_TERM.finditer(_plain(query).lower().replace("\0", " ")))
    if len(found) > MOST_TERMS:
        raise BadInput(f"A search has at most {MOST_TERMS} words.")
    terms: list[SearchTerm] = []
    for n, match in enumerate(found, start=1):
        if match["phrase"] is not None:
            terms.append(SearchTerm(match["phrase"], phrase=True, excluded=match["no"] is not None))
        elif word := match["word"].rstrip("*"):
            excluded = match["minus"] is not None
            typed_on = n == len(found) and not query[-1:].isspace() and len(word) >= 3
            prefix = not excluded and (match["word"].endswith("*") or typed_on)
            terms.append(SearchTerm(word, prefix=prefix, excluded=excluded))
    return tuple(term for term in terms if term.text.strip())


def condition(view: View, query: str | None, moment: Moment) -> tickets.Search | None:
    """For lists: the ticket has what is asked for, in a text or as its key. Nothing asked: None. Raises BadInput."""
    if query is None or not query.strip():
        return None
    if not moment.live:
        raise BadInput("search cannot be combined with asOf: it finds texts as they are now. Filter by title instead.")
    asked = parsed(query)
    return lambda conditions: _condition(view, conditions, asked, query.strip())


def _condition(view: View, conditions: Conditions, asked: Asked, key: str) -> sql.Composable:
    arguments = {
        "asked": conditions.argument(_encoded(asked)),
        "public": sql.Literal(not view.actor.reads_all),
        "most": sql.Literal(LISTED),
        "slices": sql.Literal(SLICE),
        "key": conditions.argument(key),
    }
    return sql.SQL(
        "(s.ticket = any(array("
        "   select f.ticket from search_texts({asked}::text::json, {public}, {own}, {most}, {slices}) f))"
        " or upper({key}) = 'T-' || s.number or starts_with(lower(s.external_key), lower({key})))"
    ).format(**arguments, own=_of_own(view))


def _of_own(view: View) -> sql.Composable:
    if view.actor.reads_all:
        return sql.SQL("null::uuid[]")
    return sql.SQL(
        "array(select o.ticket from span o"
        " where o.workspace = %(workspace)s and o.closed_position is null and o.requester = %(viewer)s)"
    )


def _encoded(asked: Asked) -> str:
    return msgspec.json.encode(asked).decode()


# ---- queries


async def search(view: View, query: str, filter: TicketFilter | None, ask: PageAsk) -> Page[SearchHitRow]:
    """The best first. How many texts are ranked is decided with the first page, of whatever size. Raises BadInput."""
    if backwards(ask):
        raise BadInput("A search is read forwards: first and after.")
    size = page_size(ask)
    found = await _Found.of(view, query, filter)
    if ask.after is not None:
        start = _Start(*decode_cursor(ask.after, tuple[int, int, int, bool]))
        if not 0 < start.most <= LISTED:
            raise BadInput("This cursor does not belong to this list in this order.")
        found = await found.as_at(view, start)
        rows, _ = await found.best(view, size + 1, start)
    else:
        wanted = max(size, ENOUGH if found.filtered else 0) + 1
        rows, texts = await found.best(view, wanted)
        while (further := await found.further(view, len(rows), texts)) is not None:
            found = further
            rows, texts = await found.best(view, wanted)
    rows = rows[: size + 1]
    keys = [_Start(row[-3], row[1], found.most, found.narrow is not None) for row in rows]
    return page_of(list(zip(_hits(rows, found.asked), keys, strict=True)), ask)


async def count(view: View, query: str, filter: TicketFilter | None) -> int:
    """Of the tickets on all the pages."""
    found = await _Found.of(view, query, filter)
    tickets, texts = await found.counted(view)
    while (further := await found.further(view, tickets, texts)) is not None:
        found = further
        tickets, texts = await found.counted(view)
    return tickets


class _Start(NamedTuple):
    """After which ticket a page begins, of how many texts it is, and whether of few tickets alone."""

    rank: int
    number: int
    most: int
    narrow: bool


def _hits(rows: Sequence[TupleRow], asked: Asked) -> list[SearchHitRow]:
    shown = tickets.ticket_rows(tickets.in_columns(rows, tickets.COLUMNS), NOW)
    return [
        SearchHitRow(ticket=ticket, rank=row[-3] / _RANKS, texts=tuple(map(_text, row[-2])), asked=asked)
        for ticket, row in zip(shown, rows, strict=True)
    ]


def _text(found: str) -> TextFound:
    field, _, id_ = found.partition(":")
    return TextFound(id=UUID(id_), field=SearchField(field))


_RANKS = 1_000_000
"""Ranks are compared as whole numbers, which cursors keep exactly."""


class _Found(msgspec.Struct, frozen=True):
    """The tickets that a search and a filter find. `most`: of so many texts. `narrow`: where the filter leaves few
    tickets, these, when somebody has looked. `filtered`: whether some may be left out."""

    asked: Asked
    matching: tickets.Matching
    public: bool
    key: str
    filtered: bool
    most: int
    narrow: list[UUID] | None = None

    @classmethod
    async def of(cls, view: View, query: str, filter: TicketFilter | None) -> "_Found":
        public = not view.actor.reads_all
        matching = tickets.Matching(view, filter, None, NOW)
        made = cls(parsed(query), matching, public, query.strip(), public or filter is not None, RANKED)
        # Of a requester's own tickets all texts are looked at: the newest of all texts are those of others.
        few = await made._few(view) if public else None
        return made if few is None else replace(made, most=LISTED, narrow=few)

    async def as_at(self, view: View, start: _Start) -> "_Found":
        """As it was when that page was read."""
        narrow = self.narrow or await self._few(view) if start.narrow else None
        return replace(self, most=start.most, narrow=narrow)

    async def further(self, view: View, tickets: int, texts: int) -> "_Found | None":
        """What to look at instead of so many ranked texts, of which the filter leaves so many tickets: all texts of the
        tickets that it leaves, where these are few; more texts, where they are too few to stand for all; or nothing."""
        if not self.filtered or self.narrow is not None or texts < self.most or self.most >= LISTED:
            return None
        if self.most == RANKED and (few := await self._few(view)) is not None:
            return replace(self, most=LISTED, narrow=few)
        if tickets > ENOUGH:
            return None
        step = RANKED // 2
        most = ceil(self.most * 1.2 * ENOUGH / step / max(tickets, 1)) * step  # as far as older ones are alike
        return replace(self, most=min(most, LISTED))

    async def _few(self, view: View) -> list[UUID] | None:
        """The tickets that the filter leaves, if there are no more than NARROW."""
        few = sql.SQL("select s.ticket {} limit {}").format(self.matching.source(), sql.Literal(NARROW + 1))
        listed = sql.SQL("select array_agg(f.ticket) from ({}) f having count(*) <= {}").format(few, NARROW)
        return next((ids or [] for (ids,) in await view.fetch(listed, self.matching.arguments)), None)

    async def best(self, view: View, limit: int, start: _Start | None = None) -> tuple[list[TupleRow], int]:
        """Columns of tickets, the rank, the texts; and how many texts were ranked."""
        after = sql.SQL("true") if start is None else sql.SQL("(h.rank, s.number) < (%(rank)s, %(number)s)")
        rows = await view.fetch(
            sql.SQL(_BEST).format(
                found=_FOUND,
                columns=tickets.SELECTED,
                source=self._source(),
                after=after,
                limit=sql.Literal(limit),
                shown=sql.Literal(TEXTS_SHOWN),
            ),
            {**self._arguments(), **({} if start is None else start._asdict())},
        )
        return [row for row in rows if row[0] is not None], rows[0][-1]

    async def counted(self, view: View) -> tuple[int, int]:
        """Tickets, and texts that were ranked."""
        counts = sql.SQL("{} select count(*), (select count(*) from f) {}").format(_FOUND, self._source())
        [(found, texts)] = await view.fetch(counts, self._arguments())
        return found, texts

    def _arguments(self) -> dict[str, Any]:
        number = self.key.upper().removeprefix("T-")
        numbered = number.isascii() and number.isdigit() and len(number) < 19
        return {
            **self.matching.arguments,
            "asked": _encoded(self.asked),
            "public": self.public,
            "of_tickets": self.narrow,
            "most": self.most,
            "slices": SLICE,
            "key_number": int(number) if numbered else None,
            "key": self.key,
        }

    def _source(self) -> sql.Composed:
        return self.matching.source(among=sql.SQL("h"))


_FOUND = sql.SQL("""
with f as materialized (
  select f.id, f.field, f.ticket, f.rank
    from search_texts(%(asked)s::text::json, %(public)s, %(of_tickets)s::uuid[], %(most)s, %(slices)s) f
  union all
  select k.ticket, 'KEY', k.ticket, 1000 from span k
   where k.workspace = %(workspace)s and k.closed_position is null
     and (k.number = %(key_number)s or k.external_key = %(key)s)
), h as (
  select f.ticket, round((max(f.rank) + 0.1 * (sum(f.rank) - max(f.rank))) * 1000000)::bigint as rank
    from f group by f.ticket
)
""")
_BEST = """
{found}, page as (
  select {columns}, h.rank as found_rank {source} and {after} order by h.rank desc, s.number desc limit {limit}
), t as (
  select f.ticket, (array_agg(f.field || ':' || f.id order by f.rank desc, f.id))[:{shown}] as texts
    from f where f.ticket in (select p.ticket from page p) group by f.ticket
)
select p.*, t.texts, n.ranked
  from (select count(*) from f) n (ranked) left join (page p join t on t.ticket = p.ticket) on true
 order by p.found_rank desc, p.number desc
"""


async def highlights(view: View, texts: Sequence[TextFound], asked: Asked) -> dict[TextFound, list[HighlightPart]]:
    """What of these texts shows what was asked for."""
    wanted = [text for text in texts if text.field is not SearchField.KEY]
    rows = await view.fetch(
        "select h.id, h.field, h.shown"
        "  from search_highlights(%(asked)s::text::json, %(public)s, %(ids)s, %(fields)s::text[]) h",
        {
            "asked": _encoded(asked),
            "public": not view.actor.reads_all,
            "ids": [text.id for text in wanted],
            "fields": [text.field for text in wanted],
        },
    )
    return {TextFound(id=id_, field=SearchField(field)): _parts(shown) for id_, field, shown in rows}


def _parts(shown: str) -> list[HighlightPart]:
    parts: list[HighlightPart] = []
    for n, piece in enumerate(shown.split(_START)):
        match, end, rest = piece.partition(_STOP) if n else ("", "", piece)
        if end or match:
            parts.append(HighlightPart(text=match, match=True))
        if rest:
            parts.append(HighlightPart(text=rest, match=False))
    return parts


_START, _STOP = "\ue000", "\ue001"
