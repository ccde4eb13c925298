"""A figure: what was measured, and what it is held against."""

from collections.abc import Callable, Sequence
from statistics import median
from typing import Literal

import msgspec

Bar = Literal["at least", "at most"]


class Spread(msgspec.Struct, frozen=True):
    """Of several runs."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        return cls(median(values), min(values), max(values))


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """`limit` bounds `held`: by default the ratio of value and peer where there is a peer. None: reported only."""

    name: str
    unit: str
    value: Spread
    peer_name: str | None = None
    peer: Spread | None = None
    bar: Bar = "at most"
    limit: float | None = None
    by_itself: bool = False
    """The limit bounds the value alone; the peer is shown."""

    @property
    def ratio(self) -> float | None:
        return self.value.median / self.peer.median if self.peer else None

    @property
    def held(self) -> float:
        """What the limit bounds."""
        return self.value.median if self.by_itself or self.ratio is None else self.ratio

    @property
    def met(self) -> bool | None:
        if self.limit is None:
            return None
        return self.held >= self.limit if self.bar == "at least" else self.held <= self.limit


def in_turns(rounds: int, *ways: Callable[[], float]) -> list[Spread]:
    """Each way once a round, so that a machine that slows down slows all of them."""
    found: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for values, way in zip(found, ways, strict=True):
            values.append(way())
    return [Spread.of(values) for values in found]


def percentile(values: Sequence[float], percent: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * percent / 100))]
