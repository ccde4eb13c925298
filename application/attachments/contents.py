"""Contents of attached files, on disk, sealed as free text is: under a key made of their data subject's, so that the
subject's erasure is theirs too.

A file is a header and chunks of AES-256-GCM in the STREAM construction: the nonce is the chunk's number and whether it
is the last, so none can be dropped, moved or cut off. Uploads lie under the workspace's key with their uploader until
they are attached; then they are sealed again under the ticket's subject. The address of a content is a keyed digest:
of one subject equal contents lie there once, and it tells nobody without the key what they are.
"""

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, NamedTuple, Self
from uuid import UUID, uuid4

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from application.event_store.sealing import Keyring, SealBroken
from domain.errors import FileTooLarge, TooManyUploads, UploadNotFound
from domain.files import HEAD_BYTES, Upload

BYTES_LIMIT = 50_000_000
UPLOADS_LIMIT = 50
"""Of one person, not yet attached."""

RESERVE = 256 * 1024 * 1024
"""Bytes that stay free on the disk, which PostgreSQL may share."""

CHUNK = 64 * 1024
_TAG = 16
_SEALED = CHUNK + _TAG
_MAGIC = b"PROTEUS\x01"
_SALT_BYTES = 16
_HEADER = len(_MAGIC) + 16 + _SALT_BYTES
_UPLOADS = "uploads"
_NEW = ".new-"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class StorageFull(Exception):
    """There is no room for another file; nothing was kept of it."""


class ContentGone(Exception):
    """There is no such content any more: it was swept, or its subject erased."""


class Holder(NamedTuple):
    """Whose key seals a content."""

    subject: UUID
    key: bytes


class Contents:
    """One folder for all workspaces, each with a folder of its own. Thread-safe; several processes may share it.

    `limit`: bytes of one file.
    """

    def __init__(self, root: Path, keyring: Keyring, limit: int = BYTES_LIMIT, reserve: int = RESERVE) -> None:
        self.root = root
        self.limit = limit
        self._keyring = keyring
        self._reserve = reserve

    # ---- uploads

    def receive(self, workspace: UUID, person: UUID) -> "Receiving":
        """Raises TooManyUploads, StorageFull."""
        folder = self._uploads_of(workspace, person)
        with _told_when_full():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if sum(1 for _ in folder.iterdir()) >= UPLOADS_LIMIT:
            raise TooManyUploads(UPLOADS_LIMIT)
        upload = uuid4()
        holder = self._holder(workspace, workspace)
        return Receiving(upload, Writer(self, folder / upload.hex, holder, _purpose(workspace, upload.bytes)))

    def examine(self, workspace: UUID, person: UUID, upload: UUID, subject: UUID) -> Upload:
        """What was uploaded, and where it would lie under this subject. Raises UploadNotFound."""
        digest, head, size = hashlib.sha256(), b"", 0
        with self._uploaded(workspace, person, upload) as reader:
            for part in reader.read(0, reader.bytes):
                digest.update(part)
                head = head or part[:HEAD_BYTES]
                size += len(part)
        address = _address(self._holder(workspace, subject), digest.digest())
        return Upload(bytes=size, sha256=digest.hexdigest(), content=address.hex(), head=head)

    def keep(self, workspace: UUID, person: UUID, upload: UUID, subject: UUID, content: str) -> None:
        """Seals an upload under the subject, where `examine` said. Harmless to repeat. Raises UploadNotFound,
        StorageFull."""
        path = self._path(workspace, content)
        with suppress(FileNotFoundError):
            os.utime(path)  # else a sweep might take it for long forgotten
            return
        with _told_when_full():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        holder = self._holder(workspace, subject)
        purpose = _purpose(workspace, bytes.fromhex(content))
        with self._uploaded(workspace, person, upload) as reader, Writer(self, path, holder, purpose) as writer:
            for part in reader.read(0, reader.bytes):
                writer.write(part)
            writer.finish()

    def forget(self, workspace: UUID, person: UUID, upload: UUID) -> None:
        """It was attached, or is not wanted."""
        (self._uploads_of(workspace, person) / upload.hex).unlink(missing_ok=True)

    def _uploaded(self, workspace: UUID, person: UUID, upload: UUID) -> "Reader":
        path = self._uploads_of(workspace, person) / upload.hex
        try:
            return self._reader(workspace, path, _purpose(workspace, upload.bytes))
        except ContentGone:
            raise UploadNotFound(upload) from None

    # ---- contents

    def open(self, workspace: UUID, content: str) -> "Reader":
        """Raises ContentGone."""
        return self._reader(workspace, self._path(workspace, content), _purpose(workspace, bytes.fromhex(content)))

    @contextmanager
    def attaching(self, workspace: UUID) -> Generator[None]:
        """While a content is kept and the event that names it is appended, no sweep removes anything here."""
        with self._locked(workspace, fcntl.LOCK_SH):
            yield

    @contextmanager
    def _locked(self, workspace: UUID, how: int) -> Generator[None]:
        folder = self._folder(workspace)
        with _told_when_full():
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, how)
            yield
        finally:
            os.close(lock)

    # ---- sweeping

    def workspaces(self) -> list[UUID]:
        """Those that have a folder here."""
        return [UUID(folder.name) for folder in sorted(self.root.iterdir())] if self.root.exists() else []

    def sweep_uploads(self, workspace: UUID, before: float) -> "Swept":
        """Removes what was uploaded (or half written) before a time, in seconds since 1970, and never attached."""
        folder = self._folder(workspace)
        left = (folder / _UPLOADS).glob("*/*")
        half_written = folder.glob(f"*/{_NEW}*")
        return _unlinked(path for path in (*left, *half_written) if _is_older(path, before))

    def sweep(self, workspace: UUID, referenced: set[str], before: float) -> "Swept":
        """Removes contents that nothing refers to and nobody attached after `before`, and those whose subject was
        erased. `referenced` may be as old as `before`."""
        stale = [path for path in self._kept(workspace) if self._is_stale(workspace, path, referenced, before)]
        with self._locked(workspace, fcntl.LOCK_EX):  # who attaches one meanwhile has touched it, or keeps it again
            return _unlinked(path for path in stale if self._is_stale(workspace, path, referenced, before))

    # ---- erasing

    def count(self, workspace: UUID, subject: UUID) -> int:
        """Files that `erase` would remove."""
        return sum(1 for _ in self._of(workspace, subject))

    def erase(self, workspace: UUID, subject: UUID) -> "Swept":
        """Removes what is sealed under the subject, and what they uploaded and did not attach."""
        with self._locked(workspace, fcntl.LOCK_EX):
            return _unlinked(list(self._of(workspace, subject)))

    def _of(self, workspace: UUID, subject: UUID) -> Iterator[Path]:
        for path in self._kept(workspace):
            with suppress(OSError, SealBroken), path.open("rb") as file:
                if _subject(file.read(_HEADER)) == subject:
                    yield path
        yield from self._uploads_of(workspace, subject).glob("*")

    def _kept(self, workspace: UUID) -> Iterator[Path]:
        return (path for path in self._folder(workspace).glob("[0-9a-f][0-9a-f]/*") if not path.name.startswith(_NEW))

    def _is_stale(self, workspace: UUID, path: Path, referenced: set[str], before: float) -> bool:
        if not _is_older(path, before):
            return False
        if path.name not in referenced:
            return True
        with suppress(OSError, SealBroken, KeyError), path.open("rb") as file:
            return self._keyring.key(workspace, _subject(file.read(_HEADER))) is None
        return False

    # ---- places and keys

    def _folder(self, workspace: UUID) -> Path:
        return self.root / workspace.hex

    def _uploads_of(self, workspace: UUID, person: UUID) -> Path:
        return self._folder(workspace) / _UPLOADS / person.hex

    def _path(self, workspace: UUID, content: str) -> Path:
        return self._folder(workspace) / content[:2] / content

    def _holder(self, workspace: UUID, subject: UUID) -> Holder:
        """The workspace where the subject was erased, as with texts."""
        key = self._keyring.key(workspace, subject, make=True)
        if key is None:
            subject, key = workspace, self._keyring.key(workspace, workspace, make=True)
        assert key is not None, "a workspace's key is never erased while it writes"
        return Holder(subject, key)

    def _reader(self, workspace: UUID, path: Path, purpose: bytes) -> "Reader":
        try:
            file = path.open("rb")
        except FileNotFoundError:
            raise ContentGone from None
        header = file.read(_HEADER)
        key = self._keyring.key(workspace, _subject(header))
        if key is None:
            file.close()
            raise ContentGone
        return Reader(file, AESGCM(_derived(key, header[-_SALT_BYTES:], purpose)))

    def make_room(self, path: Path, wanted: int) -> None:
        """Raises StorageFull."""
        disk = os.statvfs(path)
        if disk.f_bavail * disk.f_frsize < self._reserve + wanted:
            raise StorageFull


class Writer:
    """A file that is there when it is finished, whole and on the disk, and never in part."""

    def __init__(self, contents: Contents, path: Path, holder: Holder, purpose: bytes) -> None:
        self.bytes = 0
        self._contents = contents
        self._path = path
        self._aside = path.with_name(f"{_NEW}{uuid4().hex}")
        salt = os.urandom(_SALT_BYTES)
        self._cipher = AESGCM(_derived(holder.key, salt, purpose))
        self._chunk = 0
        self._rest = bytearray()
        contents.make_room(path.parent, CHUNK)
        with _told_when_full():
            self._file = os.fdopen(os.open(self._aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
            self._file.write(_MAGIC + holder.subject.bytes + salt)

    def write(self, data: bytes) -> None:
        """Raises FileTooLarge, StorageFull; then nothing is kept."""
        self.bytes += len(data)
        if self.bytes > self._contents.limit:
            self.give_up()
            raise FileTooLarge(self._contents.limit)
        self._rest += data
        full = len(self._rest) - (len(self._rest) - 1) % CHUNK - 1  # the last chunk waits: it is sealed as such
        if full > 0:
            self._seal(bytes(self._rest[:full]), last=False)
            del self._rest[:full]

    def finish(self) -> None:
        """Raises StorageFull."""
        self._seal(bytes(self._rest), last=True)
        try:
            with _told_when_full():
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                self._aside.rename(self._path)
                _sync_folder(self._path.parent)
        except BaseException:
            self.give_up()
            raise

    def give_up(self) -> None:
        """After `finish` there is nothing to give up."""
        with suppress(OSError):  # what could not be written for want of room is tried again when closing
            self._file.close()
        self._aside.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.give_up()

    def _seal(self, data: bytes, *, last: bool) -> None:
        chunks = [data[start : start + CHUNK] for start in range(0, len(data), CHUNK)] or [b""]
        try:
            self._contents.make_room(self._path.parent, len(data))
            with _told_when_full():
                for n, chunk in enumerate(chunks, start=1):
                    nonce = _nonce(self._chunk, last=last and n == len(chunks))
                    self._file.write(self._cipher.encrypt(nonce, chunk, None))
                    self._chunk += 1
        except BaseException:
            self.give_up()
            raise


class Receiving(msgspec.Struct, frozen=True):
    """An upload under way."""

    upload: UUID
    writer: Writer


class Reader:
    """A sealed file, opened from any place. `bytes`: of its content."""

    def __init__(self, file: IO[bytes], cipher: AESGCM) -> None:
        self._file = file
        self._cipher = cipher
        sealed = os.fstat(file.fileno()).st_size - _HEADER
        self._chunks = max(1, -(-sealed // _SEALED))
        self.bytes = sealed - self._chunks * _TAG

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """The bytes from `start` up to `stop`, a chunk at a time. Raises SealBroken where the file was changed."""
        for chunk in range(start // CHUNK, max(start // CHUNK, (stop - 1) // CHUNK) + 1):
            self._file.seek(_HEADER + chunk * _SEALED)
            sealed = self._file.read(_SEALED)
            try:
                opened = self._cipher.decrypt(_nonce(chunk, last=chunk == self._chunks - 1), sealed, None)
            except (InvalidTag, ValueError):
                raise SealBroken("The content of an attached file does not open.") from None
            first = chunk * CHUNK
            yield opened[max(0, start - first) : stop - first]

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Swept(NamedTuple):
    files: int = 0
    bytes: int = 0

    def and_also(self, other: "Swept") -> "Swept":
        return Swept(self.files + other.files, self.bytes + other.bytes)


def _unlinked(paths: Iterable[Path]) -> Swept:
    swept = Swept()
    for path in paths:
        with suppress(FileNotFoundError):
            size = path.stat().st_size
            path.unlink()
            swept = swept.and_also(Swept(1, size))
    return swept


def _is_older(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:
        return False


def ago(seconds: float) -> float:
    """As the times of files are counted."""
    return time.time() - seconds


def _subject(header: bytes) -> UUID:
    """Raises SealBroken."""
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        raise SealBroken("A file among the contents is none of ours.")
    return UUID(bytes=header[len(_MAGIC) : len(_MAGIC) + 16])


def _purpose(workspace: UUID, name: bytes) -> bytes:
    """Binds a key to its file, so that none opens under another's name."""
    return b"proteus attachment" + workspace.bytes + name


def _derived(key: bytes, salt: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), 32, salt, purpose).derive(key)


def _address(holder: Holder, digest: bytes) -> bytes:
    key = _derived(holder.key, b"", b"proteus attachment address")
    return hashlib.blake2b(digest, key=key, digest_size=32).digest()


def _nonce(chunk: int, *, last: bool) -> bytes:
    return chunk.to_bytes(11, "big") + bytes([last])


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _told_when_full() -> Generator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageFull from None
        raise
