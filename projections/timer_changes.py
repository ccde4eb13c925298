"""Changes of the viewer's own timer."""

from collections.abc import AsyncGenerator, Callable, Sequence

import msgspec

from domain.access import Actor
from domain.work import TimerDiscarded, TimerStarted, TimerStopped, timer_stream
from projections import work
from projections.filters import EventFilter
from projections.live import Events, News, Told, Topic
from projections.reading import View

_EVENTS = Events(EventFilter(types=[kind.__name__ for kind in (TimerStarted, TimerStopped, TimerDiscarded)]))


class TimerChanges(msgspec.Struct, frozen=True):
    """The viewer's timer whenever it was started or stopped; None while none runs."""

    def topic(self, actor: Actor) -> Topic:
        return actor.workspace, None

    def wanted(self, actor: Actor) -> Callable[[News], bool]:
        mine, of_timers = timer_stream(actor.workspace, actor.person), _EVENTS.wanted(actor)
        return lambda news: news.event.stream == mine and of_timers(news)

    async def recorded(self, view: View, after: int, until: int) -> AsyncGenerator[Told]:
        mine = timer_stream(view.actor.workspace, view.actor.person)
        async for position, event in _EVENTS.recorded(view, after, until):
            if event.stream == mine:
                yield Told(position, await work.timer(view, view.actor.person))

    async def heard(self, view: View, heard: Sequence[News], after: int) -> AsyncGenerator[Told]:
        async for position, _ in _EVENTS.heard(view, heard, after):
            yield Told(position, await work.timer(view, view.actor.person))
