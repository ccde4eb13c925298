"""The domain's states as of the last event that was folded, by stream; loaded from the log where unknown."""

import gc
from collections import OrderedDict
from collections.abc import Collection, Generator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from uuid import UUID

import msgspec
from msgspec.structs import replace

from application.event_store.envelope import (
    NAME,
    POSITION,
    RECORDED_AT,
    STREAM,
    VERSION,
    WORKSPACE,
    Envelope,
    Row,
    Stream,
)
from application.event_store.event_types import NAMES, fold
from application.event_store.follower import LogReader, Stand
from application.event_store.mapper import EnvelopeMapper
from domain.people import SubjectErased
from projections.parking import Parked, is_poison, parked, parked_at
from projections.projection import Change

CACHED_STATES = 50_000
ERASURE = NAMES[SubjectErased].name
EARLIEST = datetime.min.replace(tzinfo=UTC)


@contextmanager
def few_collections() -> Generator[None]:
    """What is folded or exported is many small objects without cycles, and states that stay: Python's collector would
    walk through them again and again for nothing, in half of the time. In this process alone, for as long as the
    context lasts."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


class Folded(msgspec.Struct, frozen=True):
    """What a batch of events amounts to. `unreadable`: streams with an event that cannot be read, or that the domain
    cannot fold, from which on the stream is left out. `stand`: where the batch ends."""

    changes: list[Change]
    unreadable: dict[UUID, Parked]
    stand: Stand


class States:
    def __init__(self, reader: LogReader, mapper: EnvelopeMapper) -> None:
        self._reader = reader
        self._mapper = mapper
        self._streams: OrderedDict[int, Stream] = OrderedDict()  # by their ids as numbers, whose hashes cost nothing

    def fold(self, rows: Sequence[Row], recorded_max: datetime, left_out: Collection[UUID] = ()) -> Folded:
        """Of at least one row. `left_out`: streams of which nobody wants to know."""
        if any(row[NAME] == ERASURE for row in rows):
            self._forget()
        wanted: list[Row] = []
        maxima: list[datetime] = []
        for row in rows:
            recorded_max = max(recorded_max, row[RECORDED_AT])
            if not left_out or row[STREAM] not in left_out:
                wanted.append(row)
                maxima.append(recorded_max)
        unreadable: dict[UUID, Parked] = {}
        envelopes = self._opened(wanted, unreadable)
        broken = self._load_missing(envelopes)
        changes = self._changes(envelopes, maxima, broken)
        while len(self._streams) > CACHED_STATES:
            self._streams.popitem(last=False)
        return Folded(changes, unreadable | broken, Stand(rows[-1][POSITION], recorded_max))

    def _forget(self) -> None:
        """Somebody was erased: their key is gone since before that event, and must not be used from it on."""
        self._mapper.sealer.keyring.forget()
        self._streams.clear()

    def _changes(
        self, envelopes: Sequence[Envelope | None], maxima: Sequence[datetime], broken: dict[UUID, Parked]
    ) -> list[Change]:
        """Without those of broken streams, to which it adds."""
        streams = self._streams
        changes: list[Change] = []
        for envelope, recorded_max in zip(envelopes, maxima, strict=True):
            if envelope is None:
                continue
            id_ = envelope.originator_id
            if broken and id_ in broken:
                continue
            before = streams.pop(id_.int, None)
            try:
                after = streams[id_.int] = fold(before, envelope)
            except Exception as error:
                if not is_poison(error):
                    raise
                broken[id_] = parked_at(envelope, error)
            else:
                changes.append(Change(envelope, before.state if before else None, after.state, recorded_max))
        return changes

    def _opened(self, rows: Sequence[Row], unreadable: dict[UUID, Parked]) -> Sequence[Envelope | None]:
        """None in the place of one that cannot be read, and of those that follow it in its stream."""
        try:
            return self._mapper.to_envelopes(rows)
        except Exception as error:
            if not is_poison(error):
                raise
        envelopes: list[Envelope | None] = [None] * len(rows)
        for n, row in enumerate(rows):
            if row[STREAM] not in unreadable:
                try:
                    [envelopes[n]] = self._mapper.to_envelopes([row])
                except Exception as error:
                    if not is_poison(error):
                        raise
                    unreadable[row[STREAM]] = parked(row[WORKSPACE], row[STREAM], row[POSITION], row[VERSION], error)
        return envelopes

    def _load_missing(self, envelopes: Sequence[Envelope | None]) -> dict[UUID, Parked]:
        """Returns the streams whose past cannot be read."""
        first: dict[int, Envelope] = {}
        for envelope in envelopes:
            if envelope is not None:
                first.setdefault(envelope.originator_id.int, envelope)
        missing: dict[UUID, int] = {}
        for number, envelope in first.items():
            known = self._streams.get(number)
            if (known.version if known else 0) != envelope.originator_version - 1:
                self._streams.pop(number, None)
                if envelope.originator_version > 1:
                    missing[envelope.originator_id] = envelope.originator_version
        if not missing:
            return {}
        earlier = self._reader.streams(missing)
        unreadable: dict[UUID, Parked] = {}
        opened = self._opened(earlier, unreadable)
        self._changes(opened, [row[RECORDED_AT] for row in earlier], unreadable)
        return {
            id_: replace(one, position=first[id_.int].position, version=missing[id_]) for id_, one in unreadable.items()
        }
