"""The master key: keys of data subjects are stored wrapped by it, so that a database and its dumps alone open nothing.

It lies in the file that PROTEUS_MASTER_KEY names: a line each, the one in use first, 32 bytes in base64. Without that
variable keys are stored as they are.
"""

import base64
import hashlib
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from application.event_store.database import DatabaseNotUsable

VARIABLE = "PROTEUS_MASTER_KEY"
KEY_BYTES = 32
ID_BYTES = 8
NONCE_BYTES = 12
WRAPPED_BYTES = ID_BYTES + NONCE_BYTES + KEY_BYTES + 16
COMMITMENT_DOMAIN = b"proteus key commitment v1\n"


class MasterKeys:
    """Thread-safe. A key that is not known is looked for in the file again: it may have been rotated."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._keys: dict[bytes, bytes] = {}
        self._current: bytes | None = None

    @classmethod
    def configured(cls) -> "MasterKeys":
        named = os.environ.get(VARIABLE)
        return cls(Path(named) if named else None)

    def wrap(self, key: bytes, workspace: UUID, subject: UUID) -> bytes:
        """The key as it is stored. Raises DatabaseNotUsable where the file is not there, or is no such file."""
        if self.path is None:
            return key
        if self._current is None:
            self.read_again()
        assert self._current is not None, "it was read, and has one"
        nonce = os.urandom(NONCE_BYTES)
        box = AESGCM(self._keys[self._current]).encrypt(nonce, key, self._current + workspace.bytes + subject.bytes)
        return self._current + nonce + box

    def unwrap(self, stored: bytes, workspace: UUID, subject: UUID) -> bytes:
        """Raises DatabaseNotUsable where this process does not have the master key that wrapped it."""
        if len(stored) == KEY_BYTES:
            return stored
        id_, nonce, box = stored[:ID_BYTES], stored[ID_BYTES : ID_BYTES + NONCE_BYTES], stored[ID_BYTES + NONCE_BYTES :]
        if id_ not in self._keys and self.path is not None:
            self.read_again()
        master = self._keys.get(id_)
        if master is None:
            raise DatabaseNotUsable(
                f"Keys here are wrapped by the master key {id_.hex()}, which is not in the file that {VARIABLE} names."
            )
        try:
            return AESGCM(master).decrypt(nonce, box, id_ + workspace.bytes + subject.bytes)
        except InvalidTag:
            raise DatabaseNotUsable(f"The stored key of subject {subject} was changed: it does not unwrap.") from None

    def read_again(self) -> None:
        """Raises DatabaseNotUsable."""
        keys = read(self.path) if self.path is not None else []
        with self._lock:
            self._keys = {identity(key): key for key in keys}
            self._current = identity(keys[0]) if keys else None


def identity(key: bytes) -> bytes:
    return hashlib.sha256(b"proteus master key\n" + key).digest()[:ID_BYTES]


def commitment(workspace: UUID, subject: UUID, key: bytes) -> bytes:
    """As the trigger on the table makes it of a key that is not wrapped."""
    return hashlib.sha256(COMMITMENT_DOMAIN + workspace.bytes + subject.bytes + key).digest()


def read(path: Path) -> list[bytes]:
    """Raises DatabaseNotUsable."""
    try:
        keys = [base64.b64decode(line, validate=True) for line in path.read_bytes().split()]
    except FileNotFoundError:
        raise DatabaseNotUsable(
            f"There is no file {path}, which {VARIABLE} names. `proteus audit key rotate-master` makes one."
        ) from None
    except ValueError:
        keys = []
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise DatabaseNotUsable(f"{path} holds no master keys: lines of {KEY_BYTES} bytes in base64.")
    return keys


def write(path: Path, keys: Sequence[bytes]) -> None:
    """Whole and on the disk, or not at all. Raises OSError."""
    aside = path.with_name(f"{path.name}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(b"".join(base64.b64encode(key) + b"\n" for key in keys))
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
