"""Packages of hours while work is drawn from them, day by day: first expiring first, then first bought."""

from bisect import insort
from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from enum import StrEnum
from uuid import UUID, uuid5

import msgspec
from msgspec.structs import replace

from domain.contracts import Contract, HoursGranted
from domain.renewals import as_long_after
from domain.terms import Rollover


class Package(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds: granted = drawn + expired + rolled + left. `rolled_from`: whose expired hours these are."""

    id: UUID
    valid_from: date
    expires_on: date | None
    granted: int
    drawn: int = 0
    expired: int = 0
    rolled: int = 0
    rolled_from: UUID | None = None

    @property
    def left(self) -> int:
        return self.granted - self.drawn - self.expired - self.rolled


class MovementKind(StrEnum):
    """Why hours of a package came or went."""

    GRANTED = "GRANTED"
    DRAWN = "DRAWN"
    EXPIRED = "EXPIRED"
    ROLLED_OVER = "ROLLED_OVER"
    """They went to the package that lives on in their place."""
    ROLLED_IN = "ROLLED_IN"
    """They came from one that expired."""


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """Of a package's hours on a day, one of each kind at most; `seconds` are negative where they go."""

    day: date
    package: UUID
    kind: MovementKind
    seconds: int


class Wallet:
    """Goes from day to day and never back, up to `until`. `packages`: what stood in it when the first day began, if it
    does not begin with the contract."""

    def __init__(self, contract: Contract, until: date, packages: Iterable[Package] = ()) -> None:
        self._contract = contract
        bought = list(contract.packages(until))
        self._bought = {grant.grant: n for n, grant in enumerate(bought)}
        self._packages: dict[UUID, Package] = {}
        self._moved: dict[tuple[date, UUID, MovementKind], int] = {}
        self._open: list[UUID] = []
        self._day: date | None = None
        for package in packages:
            self._put(package)
        for grant in bought:
            if grant.grant not in self._packages:
                self._put(_bought(grant))
                self._move(grant.valid_from, grant.grant, MovementKind.GRANTED, grant.seconds)

    def packages(self, day: date) -> tuple[Package, ...]:
        """Those that were there when the day ended, and what rolls over to the next; as they were bought."""
        there = [one for one in self._packages.values() if one.rolled_from or one.valid_from <= day]
        return tuple(sorted(there, key=lambda one: (self._bought[one.rolled_from or one.id], one.valid_from)))

    def movements(self, day: date) -> tuple[Movement, ...]:
        """Up to a day, by day."""
        moved = [
            Movement(day=on, package=package, kind=kind, seconds=seconds)
            for (on, package, kind), seconds in self._moved.items()
            if on <= day
        ]
        return tuple(sorted(moved, key=lambda one: one.day))

    def draw(self, day: date, seconds: int) -> list[tuple[UUID, int]]:
        """From which packages, and how much of each; less than asked for where no more is left."""
        if day != self._day:
            self.expire(day - timedelta(days=1))
            self._day = day
        drawn: list[tuple[UUID, int]] = []
        for id_ in list(self._open):
            if seconds == 0:
                break
            package = self._packages[id_]
            if package.valid_from <= day:
                taken = min(package.left, seconds)
                seconds -= taken
                drawn.append((id_, taken))
                self._change(replace(package, drawn=package.drawn + taken))
                self._move(day, id_, MovementKind.DRAWN, -taken)
        return drawn

    def expire(self, day: date) -> None:
        """What can be used until this day at most, in the order of the days; what rolls over may expire in its turn."""
        while self._open:
            package = self._packages[self._open[0]]
            if package.expires_on is None or package.expires_on > day:
                break
            rolled = self._rolling(package, package.expires_on)
            lost = package.left - rolled
            self._change(replace(package, expired=package.expired + lost, rolled=package.rolled + rolled))
            self._move(package.expires_on, package.id, MovementKind.EXPIRED, -lost)
            if rolled:
                self._move(package.expires_on, package.id, MovementKind.ROLLED_OVER, -rolled)
                self._roll(package, package.expires_on, rolled)

    def _rolling(self, package: Package, day: date) -> int:
        version = self._contract.version_on(day)
        if version is None or package.rolled_from is not None:
            return 0
        match version.terms.rollover:
            case Rollover.NONE:
                return 0
            case Rollover.CAPPED:
                return min(package.left, version.terms.rollover_cap or 0)
            case Rollover.ALL:
                return package.left

    def _roll(self, package: Package, last: date, seconds: int) -> None:
        first = last + timedelta(days=1)
        rolled = Package(
            id=uuid5(package.id, "rolled over"),
            valid_from=first,
            expires_on=as_long_after(package.valid_from, last, first),
            granted=seconds,
            rolled_from=package.id,
        )
        self._put(rolled)
        # it is there when its first day begins, so it came the day before
        self._move(last, rolled.id, MovementKind.ROLLED_IN, seconds)

    def _put(self, package: Package) -> None:
        self._packages[package.id] = package
        if package.left:
            insort(self._open, package.id, key=self._turn)

    def _turn(self, id_: UUID) -> tuple[date, date, int]:
        """What rolled over was bought when the package was that it comes from."""
        package = self._packages[id_]
        return *_turn(package), self._bought[package.rolled_from or id_]

    def _change(self, package: Package) -> None:
        self._packages[package.id] = package
        if package.left == 0:
            self._open.remove(package.id)

    def _move(self, day: date, package: UUID, kind: MovementKind, seconds: int) -> None:
        if seconds:
            key = (day, package, kind)
            self._moved[key] = self._moved.get(key, 0) + seconds


def _turn(package: Package) -> tuple[date, date]:
    return package.expires_on or date.max, package.valid_from


def _bought(grant: HoursGranted) -> Package:
    return Package(id=grant.grant, valid_from=grant.valid_from, expires_on=grant.expires_on, granted=grant.seconds)


class Usage(msgspec.Struct, frozen=True, kw_only=True):
    """Of packages whose hours can be used on a day. Seconds."""

    packages: tuple[UUID, ...]
    granted: int
    drawn: int
    left: int


def usage(packages: Sequence[Package], day: date) -> Usage:
    """Of those that have hours left; where none has, of the one alone that was used up last. So hours that are bought
    when others are used up begin at nothing, and not as half used. `packages`: as they were bought."""
    usable = [one for one in packages if one.valid_from <= day and (one.expires_on is None or one.expires_on >= day)]
    there = [one for one in usable if one.left] or sorted(usable, key=_turn)[-1:]
    return Usage(
        packages=tuple(one.id for one in there),
        granted=sum(one.granted for one in there),
        drawn=sum(one.drawn for one in there),
        left=sum(one.left for one in there),
    )


def left(packages: Sequence[Package], day: date) -> int:
    """Seconds that can be drawn on a day."""
    return sum(one.left for one in packages if one.valid_from <= day)
