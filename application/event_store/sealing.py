"""Personal data is sealed per data subject: AES-256-GCM, a key per subject. Deleting the key is the erasure.

The additional data binds a sealed value to its place (stream, version, field), so that none can be moved elsewhere.
"""

import base64
import os
import threading
from binascii import a2b_base64
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TypeVar
from uuid import UUID

import msgspec
import psycopg
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from psycopg_pool import ConnectionPool

from application.event_store.attempts import StoreUnavailable, on_connection
from application.event_store.database import Connection
from application.event_store.master_keys import MasterKeys, commitment

RETIRED = "PRMK1"
"""PostgreSQL's code where a key is wrapped by a master key that was rotated."""
CACHED_KEYS = 50_000
CACHED_CIPHERS = 5_000
NONCE_BYTES = 12
SEALED_PREFIX = "1:"
_SUBJECT = slice(len(SEALED_PREFIX), len(SEALED_PREFIX) + 32)
_BOX = len(SEALED_PREFIX) + 33

T = TypeVar("T")

Subject = tuple[UUID, UUID]
"""Workspace, and the person; the workspace itself where the text is about nobody in particular."""


class SealBroken(Exception):
    """A sealed value does not open with its subject's key: it was changed, or moved from another place, or that key
    is not there (which an erased one still is, as null)."""


class KeysUnavailable(StoreUnavailable):
    """Keys that are not in memory cannot be had now."""


def place(stream: UUID, version: int, field: str) -> bytes:
    return stream.bytes + version.to_bytes(8, "big") + field.encode()


_subject = lru_cache(CACHED_KEYS)(UUID)
"""Few subjects, many texts: each is opened in less than the time in which its subject's id is parsed."""


def subject_of(sealed: str) -> UUID:
    """Raises SealBroken."""
    try:
        return _subject(sealed[_SUBJECT])
    except ValueError:
        raise SealBroken("A value that should be sealed is not.") from None


class Keyring:
    """Keys of data subjects, made when first needed, cached. Thread-safe.

    `pool`: of where the keys lie. A key lookup is made as the pool's role, with the workspace set for row-level
    security. Whoever keeps a keyring must hear of erasures, and tell it: `forget`. What asks for keys that are not in
    memory raises KeysUnavailable while that place does not answer.
    """

    def __init__(self, pool: ConnectionPool[Connection]) -> None:
        self._pool = pool
        self._master = MasterKeys.configured()
        self._keys: OrderedDict[Subject, bytes | None] = OrderedDict()
        self._lock = threading.Lock()
        self._forgotten = 0

    def forget(self) -> None:
        """Every key, so that those that were deleted are not used any more; the others are asked for again."""
        with self._lock:
            self._keys.clear()
            self._forgotten += 1
        _cipher.cache_clear()

    def load(self, subjects: Iterable[Subject], *, make: bool = False) -> dict[Subject, bytes | None]:
        """These subjects' keys, those that have one; brings them into the cache, in one query per workspace. Makes
        missing ones if asked to."""
        found: dict[Subject, bytes | None] = {}
        missing: set[Subject] = set()
        with self._lock:
            forgotten = self._forgotten
            for subject in subjects:
                if subject in self._keys:
                    found[subject] = self._keys[subject]
                else:
                    missing.add(subject)
        if not missing:
            return found
        loaded: dict[Subject, bytes | None] = {}
        for workspace in {workspace for workspace, _ in missing}:
            wanted = [subject for owner, subject in missing if owner == workspace]
            kept = self._fetch(workspace, wanted)
            unmade = sorted(subject for subject in wanted if subject not in kept)  # sorted against deadlocks
            if make and unmade:
                kept |= self._make(workspace, unmade)
            loaded |= {(workspace, subject): key for subject, key in kept.items()}
        with self._lock:
            if forgotten == self._forgotten:  # else some may have been asked for before they were deleted
                self._keys |= loaded
            while len(self._keys) > CACHED_KEYS:
                self._keys.popitem(last=False)
        return found | loaded

    def key(self, workspace: UUID, subject: UUID, *, make: bool = False) -> bytes | None:
        """None where the subject was erased. Raises KeyError where it never had a key, unless asked to make one."""
        try:
            return self._keys[workspace, subject]
        except KeyError:
            return self.load([(workspace, subject)], make=make)[workspace, subject]

    def _fetch(self, workspace: UUID, subjects: list[UUID]) -> dict[UUID, bytes | None]:
        def fetch(connection: Connection) -> dict[UUID, tuple[bytes | None, bytes]]:
            with connection.pipeline():  # one round trip, and one transaction
                _enter(connection, workspace)
                found = connection.execute(
                    "select subject, key, commitment from subject_key where workspace = %s and subject = any(%s)",
                    (workspace, subjects),
                )
            return {subject: (key, commitment) for subject, key, commitment in found.fetchall()}

        return {
            subject: None if key is None else self._unwrapped(key, workspace, subject, committed)
            for subject, (key, committed) in self._ask(fetch).items()
        }

    def _ask(self, work: Callable[[Connection], T]) -> T:
        try:
            return on_connection(self._pool, work)
        except StoreUnavailable as error:
            raise KeysUnavailable(f"Keys cannot be had: {error}") from None

    def _unwrapped(self, stored: bytes, workspace: UUID, subject: UUID, committed: bytes) -> bytes:
        """Raises SealBroken where it is another key than the one that was committed to."""
        key = self._master.unwrap(stored, workspace, subject)
        if commitment(workspace, subject, key) != committed:
            raise SealBroken(f"The key of subject {subject} is not the one that was committed to.")
        return key

    def _make(self, workspace: UUID, subjects: list[UUID]) -> dict[UUID, bytes | None]:
        """Two that make a key for one subject at the same time end with the same one: the first to insert wins."""
        keys = [AESGCM.generate_key(256) for _ in subjects]

        def insert(connection: Connection) -> None:
            wrapped = [self._master.wrap(key, workspace, one) for key, one in zip(keys, subjects, strict=True)]
            said = [commitment(workspace, one, key) for key, one in zip(keys, subjects, strict=True)]
            with connection.transaction():
                _enter(connection, workspace)
                connection.execute(
                    "insert into subject_key (workspace, subject, key, commitment)"
                    " select %s, * from unnest(%s::uuid[], %s::bytea[], %s::bytea[]) on conflict do nothing",
                    (workspace, subjects, wrapped, said),
                )

        try:
            self._ask(insert)
        except psycopg.Error as error:
            if error.sqlstate != RETIRED:
                raise
            self._master.read_again()  # another took its place meanwhile
            self._ask(insert)
        return self._fetch(workspace, subjects)


def _enter(connection: Connection, workspace: UUID) -> None:
    connection.execute("select set_config('proteus.workspace', %s, true)", (str(workspace),))


@lru_cache(CACHED_CIPHERS)
def _cipher(key: bytes) -> AESGCM:
    """Making one takes three times as long as sealing with it."""
    return AESGCM(key)


Opener = Callable[[str, UUID, bytes], object]
"""Of a sealed value, its workspace and its place. None where the subject was erased. Raises SealBroken."""

_decode = msgspec.json.Decoder().decode


class Sealer:
    """Seals and opens single values: any JSON value in, a string out."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring

    def seal(self, value: object, workspace: UUID, subject: UUID, at: bytes) -> str:
        """Seals under the subject; under the workspace where the subject was erased."""
        key = self.keyring.key(workspace, subject, make=True)
        if key is None:
            subject = workspace
            key = self.keyring.key(workspace, workspace, make=True)
        assert key is not None, "a workspace's key is never erased while it writes"
        nonce = os.urandom(NONCE_BYTES)
        box = nonce + _cipher(key).encrypt(nonce, msgspec.json.encode(value), at)
        return f"{SEALED_PREFIX}{subject.hex}:{base64.b64encode(box).decode('ascii')}"

    def open(self, sealed: str, workspace: UUID, at: bytes) -> object:
        """None where the subject was erased. Raises SealBroken."""
        return self.opener([(workspace, sealed)])(sealed, workspace, at)

    def opener(self, sealed: Iterable[tuple[UUID, str]]) -> Opener:
        """What opens these values, each of a workspace, as `open` does: with one key query per workspace at most."""
        # By what can be looked up without making an id of it, or asking an id for its hash: texts are many.
        first = {(workspace.int, text[_SUBJECT]): (workspace, text) for workspace, text in sealed}
        subjects = {head: (workspace, subject_of(text)) for head, (workspace, text) in first.items()}
        keys = self.keyring.load(subjects.values())
        ciphers = {
            head: None if (key := keys[subject]) is None else _cipher(key)
            for head, subject in subjects.items()
            if subject in keys
        }

        def opened(text: str, workspace: UUID, at: bytes) -> object:
            try:
                cipher = ciphers[workspace.int, text[_SUBJECT]]
            except KeyError:
                raise SealBroken(f"Workspace {workspace} has no key of subject {subject_of(text)}.") from None
            if cipher is None:
                return None
            try:
                box = a2b_base64(text[_BOX:], strict_mode=True)
                return _decode(cipher.decrypt(box[:NONCE_BYTES], box[NONCE_BYTES:], at))
            except (InvalidTag, ValueError):
                raise SealBroken(f"A sealed value of subject {subject_of(text)} does not open.") from None

        return opened
