"""Where an export is written to, and how it comes in stages, each of chunks after which it can be gone on with."""

import os
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol
from uuid import UUID

import msgspec

from api.ids import Kind


class Chunk(msgspec.Struct, frozen=True, kw_only=True):
    """What was written: up to which key of its stage (None: all of it), how many events, and whom these name."""

    key: Any = None
    events: int = 0
    named: Sequence[tuple[Kind, UUID]] = ()


Stage = Callable[[Any], AsyncIterator[Chunk]]
"""Of a key to go on after; None: from its beginning."""


class Format(Protocol):
    def stages(self) -> list[Stage]: ...


class Sink(Protocol):
    def sync(self) -> int:
        """Brings all to the disk; returns how many bytes there are, where that tells how to go on, else 0."""
        ...

    def close(self) -> None: ...


class TextSink:
    """Goes on at `size` bytes: what stands behind is written anew."""

    def __init__(self, part: Path, size: int) -> None:
        self._file = part.open("r+b", buffering=1024 * 1024)
        self._file.truncate(size)
        self._file.seek(max(0, size - 1))
        self.last = self._file.read(1)
        """Byte that was written."""

    def write(self, data: bytes) -> None:
        if data:
            self._file.write(data)
            self.last = data[-1:]

    def sync(self) -> int:
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        self._file.close()
