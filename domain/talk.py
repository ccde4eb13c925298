"""The comments of a ticket, as a value that grows.

A ticket's state is made anew by every event. A tuple of comments would be copied each time: a ticket of n comments
would cost n² to fold, and a batch of its states as much memory. A talk shares with what it grew from what both hold.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, Protocol, Self, TypeVar, overload
from uuid import UUID


class Said(Protocol):
    @property
    def id(self) -> UUID: ...


S = TypeVar("S", bound=Said)


class Talk(Sequence[S], Generic[S]):
    """In the order of writing; never changed once made, so that threads may share it.

    Adding and finding take constant time; where two grow from one, the second copies it. Replacing copies all."""

    __slots__ = ("_length", "_places", "_said")

    def __init__(self, said: Iterable[S] = ()) -> None:
        # By place. Those that share it are of different lengths, and none looks beyond its own.
        self._said: dict[int, S] = dict(enumerate(said))
        self._places: dict[UUID, int] = {one.id: place for place, one in self._said.items()}
        self._length = len(self._said)

    def adding(self, said: S) -> Self:
        # Atomic, so that of two that grow from this one at once only one takes the place. Everybody grows from the
        # empty one, which keeps nothing.
        if not self._length or self._said.setdefault(self._length, said) is not said:
            return type(self)((*self, said))
        self._places[said.id] = self._length
        grown = type(self).__new__(type(self))
        grown._said, grown._places, grown._length = self._said, self._places, self._length + 1
        return grown

    def replacing(self, said: S) -> Self:
        """In the place of the one with the same id, which must be there."""
        return type(self)(said if one.id == said.id else one for one in self)

    def find(self, id_: UUID) -> S | None:
        place = self._places.get(id_)
        return self._said[place] if place is not None and place < self._length else None

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> S: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[S, ...]: ...
    def __getitem__(self, place: int | slice) -> S | tuple[S, ...]:
        if isinstance(place, slice):
            return tuple(self._said[n] for n in range(*place.indices(self._length)))
        if not -self._length <= place < self._length:
            raise IndexError(place)
        return self._said[place % self._length]

    def __iter__(self) -> Iterator[S]:
        return map(self._said.__getitem__, range(self._length))

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Talk({list(self)!r})"
