"""The domain's states as of the last event that was folded, by stream; loaded from the log where unknown."""

import gc
from collections import OrderedDict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from datetime import datetime
from uuid import UUID

from application.event_store.envelope import Envelope, Row, Stream
from application.event_store.event_types import fold
from application.event_store.follower import LogReader
from application.event_store.mapper import EnvelopeMapper
from projections.projection import Change

CACHED_STATES = 50_000


@contextmanager
def few_collections() -> Generator[None]:
    """What is folded is many small objects without cycles, and states that stay: Python's collector would walk through
    them again and again for nothing, in half of the time. In this process alone, for as long as the context lasts."""
    usual = gc.get_threshold()
    gc.set_threshold(100_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*usual)


class States:
    def __init__(self, reader: LogReader, mapper: EnvelopeMapper) -> None:
        self._reader = reader
        self._mapper = mapper
        self._streams: OrderedDict[UUID, Stream] = OrderedDict()

    def fold(self, rows: Sequence[Row], recorded_max: datetime) -> list[Change]:
        envelopes = self._mapper.to_envelopes(rows)
        self._load_missing(envelopes)
        streams = self._streams
        changes: list[Change] = []
        for envelope in envelopes:
            assert envelope.recorded_at is not None
            recorded_max = max(recorded_max, envelope.recorded_at)
            before = streams.pop(envelope.originator_id, None)
            after = streams[envelope.originator_id] = fold(before, envelope)
            changes.append(Change(envelope, before.state if before else None, after.state, recorded_max))
        while len(streams) > CACHED_STATES:
            streams.popitem(last=False)
        return changes

    def _load_missing(self, envelopes: Sequence[Envelope]) -> None:
        first: dict[UUID, int] = {}
        for envelope in envelopes:
            first.setdefault(envelope.originator_id, envelope.originator_version)
        missing: dict[UUID, int] = {}
        for id_, version in first.items():
            known = self._streams.get(id_)
            if (known.version if known else 0) != version - 1:
                self._streams.pop(id_, None)
                if version > 1:
                    missing[id_] = version
        if missing:
            for envelope in self._mapper.to_envelopes(self._reader.streams(missing)):
                self._streams[envelope.originator_id] = fold(self._streams.get(envelope.originator_id), envelope)
