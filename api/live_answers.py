"""What subscribers are told: of each event worked out once for all who ask the same with the same rights.

Strawberry parses and checks a subscription and calls its resolver, which says what is asked for. From there on it is
ours. A subscriber first reads what was recorded since the position it resumes after, by itself and with its own rights.
Then it belongs to the `Group` of all whose answers cannot differ: the same workspace, scopes, document and variables.
A group executes each event once, and its members send the same text. Rights are checked there with every event, by the
same rules as in queries. Who reads everything is asked for without a name (`access.Colleague`): where an answer does
depend on the person, the group finds out before anything is told, and its members form groups of one person each.
Requesters are never in a group with anybody else.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from contextvars import Context as Variables
from copy import copy
from inspect import isawaitable
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from graphql import FieldNode, GraphQLError, VariableNode, Visitor, visit
from strawberry.types.graphql import OperationType

from api import errors
from domain.access import Actor, PersonAsked, without_person
from projections import directory
from projections.live import Closed, Feed, Source, Told

if TYPE_CHECKING:
    from api.context import Context

BUFFER = 100
"""Answers that wait for one member of a group; one for whom more would wait reads on by itself."""
PATIENCE_SECONDS = 0.25
"""How long a group waits for members whose buffer is full, before it goes on without them."""
PERSONAL_KNOWN = 1_000
"""Questions that depend on the person who asks: of so many it is known."""
GROUP = "proteus-group"


class Answer(msgspec.Struct, frozen=True, gc=False):
    """`text`: JSON of the execution's result; of the last one, which tells no data, its list of errors."""

    position: int
    text: str
    last: bool = False


class Wanted(msgspec.Struct, frozen=True):
    """What a resolver of a subscription yields, once: what is asked for, and after which position."""

    source: Source
    after: int | None


class Key(NamedTuple):
    """What answers depend on. `variables`: without the one that says where to begin."""

    actor: Actor
    query: str
    operation: str | None
    variables: bytes


async def subscribed(
    schema: Any, context: "Context", query: str | None, variables: dict[str, Any] | None, name: str | None
) -> AsyncGenerator[Answer]:
    """The answers of a subscription. One without data is the last: nothing, or nothing more, can be told, and whoever
    resumes after the last position misses nothing. Raises Closed."""
    own = msgspec.structs.replace(context, view=context.runtime.models.view(context.actor), loaded=None)
    results = await schema.stream(
        query,
        variable_values=variables,
        context_value=own,
        operation_name=name,
        allowed_operation_types=(OperationType.SUBSCRIPTION,),
    )
    async with aclosing(results):
        begun = await anext(results)
    if begun.data is None:
        yield _refusal(0, [errors.formatted(error) for error in begun.errors])
        return
    executor = begun.data
    rest = {key: value for key, value in (variables or {}).items() if key not in _places(executor)}
    key = Key(context.actor, query or "", name, msgspec.json.encode(rest, order="deterministic"))
    try:
        async with aclosing(_answers(context.runtime.groups, executor, key)) as answers:
            async for answer in answers:
                yield answer
                if answer.last:
                    return
    except Closed:
        raise
    except Exception as error:
        code, message, extensions = errors.translated(error)
        yield _refusal(0, errors.failure(code, message, **extensions)["errors"])


async def _answers(groups: "Groups", executor: Any, key: Key) -> AsyncGenerator[Answer]:
    wanted: Wanted = executor.root_value
    at = wanted.after
    while True:
        async with groups.joined(key, executor) as member:
            if at is None:
                at = groups.feed.position
            async with aclosing(_past(executor, wanted.source, at, member.begun)) as past:
                async for answer in past:
                    yield answer
                    at = answer.position
            at = max(at, member.begun)
            while heard := await member.heard():
                for answer in heard:
                    if answer.position > at:
                        yield answer
                        at = answer.position


async def _past(executor: Any, source: Source, after: int, until: int) -> AsyncGenerator[Answer]:
    """By a subscriber alone: nothing of it is kept while it listens."""
    async with aclosing(source.recorded(executor.context_value.view, after, until)) as recorded:
        async for told in recorded:
            yield await _answered(executor, told)


async def _answered(executor: Any, told: Told) -> Answer:
    """A row is shown by what is true when it comes: nothing that was loaded for the one before is used again. Raises
    PersonAsked."""
    context: Any = executor.context_value
    context.workflows = await directory.workflows(context.view)
    result = executor.build_per_event_executor(told.row).execute_operation(False)
    if isawaitable(result):
        result = await result
    context.forget()
    if any(_asks_for_a_person(error) for error in result.errors or ()):
        raise PersonAsked
    wrong = [errors.formatted(error) for error in result.errors or ()]
    if result.data is None:
        return _refusal(told.position, wrong)
    answer = {"data": result.data, "errors": wrong} if wrong else {"data": result.data}
    return Answer(told.position, msgspec.json.encode(answer).decode())


def _refusal(position: int, wrong: list[Any]) -> Answer:
    return Answer(position, msgspec.json.encode(wrong).decode(), last=True)


def _asks_for_a_person(error: BaseException | None) -> bool:
    while isinstance(error, GraphQLError):
        error = error.original_error
    return isinstance(error, PersonAsked)


def _places(executor: Any) -> set[str]:
    """Variables that say after which position to begin, and nothing else: answers do not depend on them."""
    uses = _Uses()
    for node in (executor.operation, *executor.fragment_definitions.values()):
        visit(node, uses)
    return {
        argument.value.name.value
        for field in executor.operation.selection_set.selections
        if isinstance(field, FieldNode)
        for argument in field.arguments or ()
        if argument.name.value == "afterPosition"
        and isinstance(argument.value, VariableNode)
        and uses.counts[argument.value.name.value] == 2  # where it is declared, and here
    }


class _Uses(Visitor):
    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def enter_variable(self, node: VariableNode, *_: object) -> None:
        self.counts[node.name.value] += 1


# ---- groups


class Member:
    """One subscriber of a group. All up to `begun` is to be read, all after it will be heard."""

    def __init__(self, group: "Group") -> None:
        self.begun = group.position
        self._group = group
        self._answers: deque[Answer] = deque()
        self._awake = asyncio.Event()
        self._overflown = False
        self.reading = True

    @property
    def full(self) -> bool:
        """One who still reads what was before is not waited for."""
        return len(self._answers) >= BUFFER and not self.reading

    def hear(self, answer: Answer) -> None:
        if len(self._answers) >= BUFFER:
            self._answers.clear()
            self._overflown = True
        if not self._overflown:
            self._answers.append(answer)
        self._awake.set()

    def wake(self) -> None:
        self._awake.set()

    async def heard(self) -> Sequence[Answer]:
        """What came since, at least one; [] if it was too much, or the group goes on in smaller ones: join again.
        Raises what ended the group."""
        self.reading = False
        while not self._answers and not self._overflown:
            if isinstance(self._group.ended, PersonAsked):
                return []
            if self._group.ended is not None:
                raise self._group.ended
            self._awake.clear()
            await self._awake.wait()
        heard = list(self._answers)
        self._answers.clear()
        self._group.taken.set()
        return heard


class Group:
    """Those who ask the same with the same rights. `position`: up to which its members were told all."""

    def __init__(self, feed: Feed, executor: Any, actor: Actor) -> None:
        own: Any = executor.context_value
        context = msgspec.structs.replace(own, view=own.runtime.models.view(actor), loaded=None, selected=None)
        self._feed = feed
        self._source: Source = executor.root_value.source
        self._executor = copy(executor)
        self._executor.context_value = context
        self._view = context.view
        self.joining = 0
        """Members, and those who wait for its beginning to become one."""
        self.members: set[Member] = set()
        self.position = 0
        self.begun, self.taken = asyncio.Event(), asyncio.Event()
        self.ended: Exception | None = None
        # With no variables of whoever came first: what is told belongs to no request.
        self.following = asyncio.create_task(self._run(), name=GROUP, context=Variables())

    async def _run(self) -> None:
        try:
            await self._follow()
        except Exception as error:
            self.ended = error
        finally:
            self.begun.set()
            for member in self.members:
                member.wake()

    async def _follow(self) -> None:
        source, view = self._source, self._view
        await self._feed.begun()
        async with self._feed.subscribed(source.topic(view.actor), source.wanted(view.actor)) as subscriber:
            self.position = subscriber.begin()
            self.begun.set()
            while True:
                heard = await subscriber.heard()
                until = heard[-1].event.position if heard else subscriber.begin()
                rows = (
                    source.heard(view, heard, self.position) if heard else source.recorded(view, self.position, until)
                )
                async with aclosing(rows):
                    async for told in rows:
                        await self._tell(await _answered(self._executor, told))
                self.position = until

    async def _tell(self, answer: Answer) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE_SECONDS):
                while any(member.full for member in self.members):
                    self.taken.clear()
                    await self.taken.wait()
        for member in self.members:
            member.hear(answer)
        self.position = answer.position


class Groups:
    """Of one process."""

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self._groups: dict[Key, Group] = {}
        self._personal: OrderedDict[Key, None] = OrderedDict()

    @asynccontextmanager
    async def joined(self, key: Key, executor: Any) -> AsyncGenerator[Member]:
        """Of the group of this key, as large as may be."""
        shared = key._replace(actor=without_person(key.actor))
        key = key if shared in self._personal else shared
        group = self._groups.get(key)
        if group is None or group.ended is not None:
            group = self._groups[key] = Group(self.feed, executor, key.actor)
        group.joining += 1
        member = None
        try:
            await group.begun.wait()
            member = Member(group)
            group.members.add(member)
            yield member
        finally:
            group.joining -= 1
            if member is not None:
                group.members.discard(member)
            self._leave(key, group)

    @property
    def listening(self) -> int:
        """Subscribers that have read all that was before, and wait for what comes."""
        return sum(not member.reading for group in self._groups.values() for member in group.members)

    def _leave(self, key: Key, group: Group) -> None:
        if isinstance(group.ended, PersonAsked):
            self._personal[key] = None
            while len(self._personal) > PERSONAL_KNOWN:
                self._personal.popitem(last=False)
        if not group.joining:
            group.following.cancel()
            if self._groups.get(key) is group:
                del self._groups[key]
