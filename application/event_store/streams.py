"""Loading and saving streams of one workspace, through the library's Application and Repository."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast
from uuid import UUID

import msgspec
from eventsourcing.application import Application, LRUCache, Repository
from eventsourcing.persistence import Recording
from eventsourcing.utils import Environment

from application.event_store.appender import NOTHING_SEEN, Appended, Appender, Seen
from application.event_store.database import Database, Role
from application.event_store.envelope import Envelope, Stream
from application.event_store.erasures import Watch
from application.event_store.event_types import NAMES, fold
from application.event_store.mapper import EnvelopeMapper
from application.event_store.recorder import AlreadyRecorded, Factory, Guard, Recorded, Recorder, VersionConflict
from application.event_store.sealing import Keyring, Sealer
from application.event_store.wakeup import Wakeup

CACHED_STREAMS = 5_000
CACHED_WORKSPACES = 1_000
NUMBER_BLOCK_LIMIT = 64
TURNS = 4_096
POOL_SIZE, KEYS_POOL_SIZE = 8, 4


class Append(msgspec.Struct, frozen=True):
    """What one command appends. `before`: its stream as it was; `seen`: versions of others that it was decided on."""

    envelopes: Sequence[Envelope]
    before: Stream | None
    seen: Seen


class Streams(Repository[UUID]):
    """The library's repository, with several streams in one round trip. States are immutable: never copied."""

    def __init__(self, mapper: EnvelopeMapper, recorder: Recorder, **options: Any) -> None:
        super().__init__(cache_maxsize=CACHED_STREAMS, deepcopy_from_cache=False, **options)
        self._mapper = mapper
        self._recorder = recorder
        self._cache_lock = threading.Lock()
        self._forgotten = 0

    def forget(self) -> None:
        """Every state: some hold texts of somebody who was erased."""
        with self._cache_lock:
            self.cache = LRUCache(CACHED_STREAMS)
            self._forgotten += 1

    def get_all(
        self, ids: Iterable[UUID], commands: Sequence[UUID] = ()
    ) -> tuple[dict[UUID, Stream], dict[UUID, Recorded]]:
        """These streams as recorded now, those that do not exist (here) left out; and what these commands left behind,
        those that were recorded before."""
        found: dict[UUID, Stream] = {}
        after: dict[UUID, int] = {}
        with self._cache_lock:
            cache = cast("LRUCache[UUID, Stream]", self.cache)
            forgotten = self._forgotten
            for id_ in ids:
                try:
                    found[id_] = cache.get(id_)
                    after[id_] = found[id_].version
                except KeyError:
                    after[id_] = 0
        changed: set[UUID] = set()
        rows, earlier = self._recorder.load_for(after, commands)
        for envelope in self._mapper.to_envelopes(rows, to_fold=True):
            stream = envelope.originator_id
            found[stream] = fold(found.get(stream), envelope)
            changed.add(stream)
        with self._cache_lock:
            if forgotten == self._forgotten:
                for id_ in changed:
                    self._keep(cache, found[id_])
        return found, {recorded.command_id: recorded for recorded in earlier}

    def known(self, ids: Iterable[UUID]) -> dict[UUID, Stream] | None:
        """These streams as this process knows them; None where it does not know one of them."""
        try:
            with self._cache_lock:
                cache = cast("LRUCache[UUID, Stream]", self.cache)
                return {id_: cache.get(id_) for id_ in ids}
        except KeyError:
            return None

    def extend(self, before: Stream | None, envelopes: Sequence[Envelope], position: int) -> None:
        """What was appended need not be loaded again; unless what it was appended to was forgotten meanwhile."""
        stream = before
        for envelope in envelopes:
            stream = fold(stream, envelope)
        assert stream is not None
        with self._cache_lock:
            cache = cast("LRUCache[UUID, Stream]", self.cache)
            if before is None or _is_known(cache, before.id):
                self._keep(cache, Stream(stream.id, stream.version, position, stream.state))

    def _keep(self, cache: "LRUCache[UUID, Stream]", stream: Stream) -> None:
        """Unless somebody who loaded later kept a newer one meanwhile."""
        try:
            newer = cache.get(stream.id).version > stream.version
        except KeyError:
            newer = False
        if not newer:
            cache.put(stream.id, stream)


def _is_known(cache: "LRUCache[UUID, Stream]", id_: UUID) -> bool:
    try:
        cache.get(id_)
    except KeyError:
        return False
    return True


class WorkspaceStore(Application[UUID]):
    """The library's application for one workspace: its repository reads, its save appends."""

    name = "Proteus"

    def __init__(
        self, workspace: UUID, recorder: Recorder, mapper: EnvelopeMapper, turns: Sequence[threading.Lock]
    ) -> None:
        self.workspace = workspace
        self._recorder = recorder
        self._mapper = mapper
        self._numbers: list[int] = []
        self._block, self._drawn_at = 1, 0.0
        self._numbers_lock = threading.Lock()
        self._turns = turns
        super().__init__()

    def construct_factory(self, env: Environment) -> Factory:
        factory = Factory(env)
        factory.recorder, factory.envelope_mapper = self._recorder, self._mapper
        return factory

    def construct_repository(self) -> Streams:
        self._streams = Streams(self._mapper, self._recorder, event_store=self.events)
        return self._streams

    def save(self, *objs: Any, **kwargs: Any) -> list[Recording[UUID]]:
        """As the library's, of events alone: it asks of each object which of its protocols it follows, 17 µs each."""
        return self.events.put(objs, **kwargs)

    def turn(self, what: object) -> threading.Lock:
        """For those of this process who would otherwise race for one stream or guard, and lose. Correct without it."""
        return self._turns[hash((self.workspace, what)) % len(self._turns)]

    def load(self, ids: Iterable[UUID]) -> dict[UUID, Stream]:
        """These streams as recorded now; those that do not exist here are left out."""
        return self.load_for(ids, None)[0]

    def load_for(self, ids: Iterable[UUID], command: UUID | None) -> tuple[dict[UUID, Stream], Recorded | None]:
        """As load, and in the same round trip what the command left behind, if it was recorded before."""
        loaded, earlier = self.load_for_each(ids, [] if command is None else [command])
        return loaded, next(iter(earlier.values()), None)

    def load_for_each(
        self, ids: Iterable[UUID], commands: Sequence[UUID]
    ) -> tuple[dict[UUID, Stream], dict[UUID, Recorded]]:
        """As load_for, of many commands."""
        return self._streams.get_all(ids, commands)

    def known(self, ids: Iterable[UUID]) -> dict[UUID, Stream] | None:
        """These streams as this process knows them, which others may have moved since; None where one is not known."""
        return self._streams.known(ids)

    def forget(self) -> None:
        """What this process knows of streams."""
        self._streams.forget()

    def history(self, id_: UUID) -> list[Envelope]:
        """Every event of a stream, as recorded now."""
        return self._mapper.to_envelopes(self._recorder.load({id_: 0}))

    def record_unchanged(self, commands: Sequence[Recorded]) -> None:
        """Remembers commands that changed nothing, so that a repeat of them is known."""
        self._recorder.insert_events((), unchanged=commands)

    def append(
        self,
        envelopes: Sequence[Envelope],
        *,
        before: Stream | None = None,
        guards: Sequence[Guard] = (),
        unchanged: Sequence[Recorded] = (),
        seen: Seen = NOTHING_SEEN,
    ) -> int:
        """All or nothing; returns the last position in a command's own stream, whose event carries its hash (0 if there
        was no event).

        `before`: the one stream as it was, if all are of one that need not be loaded again; `seen`: versions of others
        that the decision was made on. Raises VersionConflict, AlreadyRecorded, StoreUnavailable.
        """
        answers: list[Appended] = []
        recordings = self.save(*envelopes, guards=guards, unchanged=unchanged, seen=seen, answers=answers)
        own = {envelope.originator_id for envelope in envelopes if envelope.command_hash is not None}
        notified = (recording.notification for recording in recordings)
        position = max((one.id for one in notified if one.originator_id in own), default=0)
        followed = envelopes and envelopes[0].originator_version == (before.version if before else 0) + 1
        # Unless the database's clock is behind ours, and had its own word on when it happened.
        if followed and answers and answers[0].occurred_at == envelopes[0].occurred_at:
            self._streams.extend(before, envelopes, position)
        return position

    def append_each(self, appends: Sequence[Append]) -> list[int | VersionConflict | AlreadyRecorded]:
        """Each of another command on another stream, in one round trip, and all or nothing for itself: its last
        position, or why it was not appended. Raises StoreUnavailable; some may be recorded then."""
        self.prepare_keys(
            {one.subject or self.workspace for append in appends for one in append.envelopes if _has_texts(one)}
        )
        rows = [[self._mapper.to_stored_event(one) for one in append.envelopes] for append in appends]
        answers = self._recorder.append_each(rows, [append.seen for append in appends])
        came: list[int | VersionConflict | AlreadyRecorded] = []
        for append, answer in zip(appends, answers, strict=True):
            if isinstance(answer, Appended):
                if answer.occurred_at == append.envelopes[-1].occurred_at:
                    self._streams.extend(append.before, append.envelopes, answer.position)
                came.append(answer.position)
            else:
                came.append(answer)
        return came

    def earlier(self, commands: Sequence[UUID]) -> dict[UUID, Recorded]:
        return {recorded.command_id: recorded for recorded in self._recorder.earlier(commands)}

    def moved_since(self, position: int, names: Sequence[str]) -> list[UUID]:
        """Streams that have one of these events after a position. Raises VersionConflict where they are too many."""
        return self._recorder.moved_since(position, names)

    def guard(self, name: str) -> Guard:
        return self._recorder.guard(name)

    def draw_number(self) -> int:
        """A ticket number that nobody else ever gets. Blocks double while the demand is hot, so that a quiet
        workspace has few gaps and a busy one few round trips."""
        with self._numbers_lock:
            if not self._numbers:
                hot = time.monotonic() - self._drawn_at < 1.0
                self._block = min(self._block * 2, NUMBER_BLOCK_LIMIT) if hot else 1
                self._numbers = self.draw_numbers(self._block)[::-1]
                self._drawn_at = time.monotonic()
            return self._numbers.pop()

    def draw_numbers(self, wanted: int) -> list[int]:
        last = self._recorder.draw_numbers(wanted)
        return list(range(last - wanted + 1, last + 1))

    def subject_key(self) -> bytes:
        """The workspace's own key, which also keys the hashes of commands."""
        key = self._mapper.sealer.keyring.key(self.workspace, self.workspace, make=True)
        assert key is not None
        return key

    def prepare_keys(self, subjects: Iterable[UUID]) -> None:
        """Makes many subjects' keys in one go, before a bulk append seals under them."""
        self._mapper.sealer.keyring.load(((self.workspace, subject) for subject in subjects), make=True)


def _has_texts(envelope: Envelope) -> bool:
    """Whether it has any, which are sealed."""
    kind = NAMES[type(envelope.event)]
    return envelope.cause.reason is not None or bool(kind.sealed[kind.version])


class EventStore:
    """One shard's event store: opened once per process, thread-safe, handed out per workspace."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.wakeup = Wakeup(database)
        self._pool = database.pool(Role.APP, POOL_SIZE, statement_timeout="30s", transaction_timeout="60s")
        self._appender = Appender(database, self.wakeup)
        # A key has to outlive what it seals, which may be in another database.
        limits = {"statement_timeout": "30s", "transaction_timeout": "60s", "synchronous_commit": "on"}
        self.keys = database.keys.pool(Role.APP, KEYS_POOL_SIZE, **limits)
        self.mapper = EnvelopeMapper(Sealer(Keyring(self.keys)))
        self._turns = [threading.Lock() for _ in range(TURNS)]
        self._workspaces: LRUCache[UUID, WorkspaceStore] = LRUCache(CACHED_WORKSPACES)
        self._lock = threading.Lock()
        self.forgetting: list[Callable[[], None]] = []
        """What else in this process is to be forgotten when somebody is erased."""
        self._watch = Watch(database.keys, self.forget)

    def forget(self) -> None:
        """Keys, and whatever was opened with them: somebody was erased."""
        self.mapper.sealer.keyring.forget()
        with self._lock:
            known = [self._workspaces.get(id_) for id_ in list(self._workspaces.cache)]
        for workspace in known:
            workspace.forget()
        for forget in self.forgetting:
            forget()

    def workspace(self, workspace: UUID) -> WorkspaceStore:
        with self._lock:
            try:
                return self._workspaces.get(workspace)
            except KeyError:
                recorder = Recorder(workspace, self._pool, self._appender, self.wakeup)
                opened = WorkspaceStore(workspace, recorder, self.mapper, self._turns)
                self._workspaces.put(workspace, opened)
                return opened

    @property
    def has_keys(self) -> bool:
        """Whether the database of the keys answers, as far as is known: what needs a key that is not in memory waits,
        or is refused, while it does not."""
        return not self._watch.deaf

    def pool_stats(self) -> dict[str, int]:
        return self._pool.get_stats()

    def close(self) -> None:
        self._watch.close()
        self._appender.close()
        self.wakeup.close()
        self.keys.close()
        self._pool.close()

    def __enter__(self) -> "EventStore":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
