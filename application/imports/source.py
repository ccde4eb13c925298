"""A file, plain or compressed, as a stream of rows; what cannot be read goes aside with its reason, and the rest goes
on. Here what all formats share, and CSV."""

import csv
import gzip
import io
import lzma
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import IO, Protocol, Self, cast

import msgspec

from application.imports.mapping import FileFormat
from domain.errors import InvalidValue

_MAGIC: Mapping[bytes, Callable[[IO[bytes]], IO[bytes]]] = {
    b"\x1f\x8b": lambda raw: cast(IO[bytes], gzip.GzipFile(fileobj=raw)),
    b"\xfd7zXZ\x00": lambda raw: cast(IO[bytes], lzma.LZMAFile(raw)),  # noqa: SIM115
}


WHOLE = "(whole)"
"""The last column of formats that have no fixed ones: all that the row says, as JSON."""


class SourceRow(msgspec.Struct, frozen=True):
    """`line`: the first of the row's lines in the file, counted from 1. `fault`: why it cannot be read."""

    line: int
    cells: list[str]
    fault: str | None = None


class Source(Protocol):
    """`header`: names of the cells of its rows. `bytes`, `bytes_read`: of the file as it lies there, compressed or not,
    for a progress bar."""

    header: list[str]
    bytes: int

    @property
    def bytes_read(self) -> int: ...

    def rows(self) -> Iterator[SourceRow]:
        """Raises InvalidValue where the file is damaged."""
        ...

    def unseen(self) -> list[str]:
        """Of the columns that were asked for, those that no row had."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Opened:
    """`data`: what the file holds, unpacked. Raises InvalidValue where it cannot be opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._raw = _open(path)
        self.bytes = path.stat().st_size
        # Told from its first bytes, not from its name, whether it is compressed.
        magic = self._raw.read(8)
        self._raw.seek(0)
        unpack = next((unpack for start, unpack in _MAGIC.items() if magic.startswith(start)), None)
        self.data = self._raw if unpack is None else unpack(self._raw)

    @property
    def bytes_read(self) -> int:
        return self._raw.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()


class TextSource(Opened):
    """Lines of text. A bad byte must not end the import; it is marked, and its row goes to the rejects."""

    def __init__(self, path: Path, form: FileFormat) -> None:
        super().__init__(path)
        self.form = form
        wide = form.encoding.casefold().startswith(("utf-16", "utf16", "utf-32", "utf32"))
        self._bad = _BAD_WIDE if wide else _BAD_UTF8
        encoding = form.encoding
        if encoding.replace("_", "-").casefold() in ("utf-8", "utf8"):
            encoding = "utf-8-sig"  # a byte order mark is no part of the first column's name
        self.lines = io.TextIOWrapper(self.data, encoding, "replace" if wide else "surrogateescape", newline="")

    def text_lines(self) -> Iterator[str]:
        """Raises InvalidValue where a compressed file is damaged."""
        number = 0
        try:
            for number, line in enumerate(self.lines, start=1):  # noqa: B007
                yield line
        except DAMAGED as error:
            raise InvalidValue(f"{self.path.name} is damaged after line {number}: {error}.") from None

    def fault_of(self, line: str) -> str | None:
        found = self._bad.search(line)
        if found is None:
            return None
        return "a NUL character" if found[0] == "\0" else f"bytes that are no {self.form.encoding} text"


DAMAGED = (EOFError, lzma.LZMAError, gzip.BadGzipFile, OSError, UnicodeError)


class Csv(TextSource):
    """`header`: its first row. Raises InvalidValue where the file itself cannot be read."""

    def __init__(self, path: Path, form: FileFormat) -> None:
        super().__init__(path, form)
        self._lines = _Lines(self.lines)
        self.header = self._header()

    def unseen(self) -> list[str]:
        return []  # the header tells before the first row

    def _header(self) -> list[str]:
        for row in self._records():
            if row.fault is not None:
                raise InvalidValue(f"The header of {self.path.name} cannot be read: {row.fault}.")
            return [cell.strip() for cell in row.cells]
        raise InvalidValue(f"{self.path.name} is empty: it has not even a header.")

    def rows(self) -> Iterator[SourceRow]:
        """Empty lines are passed over. Raises InvalidValue where a compressed file is damaged."""
        width = len(self.header)
        for row in self._records():
            if row.fault is None and len(row.cells) != width:
                fault = f"{len(row.cells)} columns instead of {width}"
                # A stray quote swallows what follows it: only its own line is lost.
                cells = [self._lines.first.rstrip("\r\n")] if len(self._lines.taken) > 1 else row.cells
                self._lines.take_back()
                yield SourceRow(row.line, cells, fault)
            else:
                yield row

    def _records(self) -> Iterator[SourceRow]:
        reader = csv.reader(self._lines, delimiter=self.form.delimiter)
        while True:
            line = self._lines.start_record()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raw = self._lines.first.rstrip("\r\n")
                self._lines.take_back()
                yield SourceRow(line, [raw], str(error))
                continue
            except DAMAGED as error:
                raise InvalidValue(f"{self.path.name} is damaged after line {line}: {error}.") from None
            if cells:
                yield SourceRow(line, cells, self._fault())

    def _fault(self) -> str | None:
        return next((fault for line in self._lines.taken if (fault := self.fault_of(line))), None)


_BAD_UTF8 = re.compile("[\udc80-\udcff\0]")
_BAD_WIDE = re.compile("[\ufffd\0]")
"""Bytes that are no text, as the decoder marks them; and NUL, which PostgreSQL's text cannot hold."""


class _Lines:
    """The file's lines, with those of the current record kept, so that they can be given again."""

    def __init__(self, lines: IO[str]) -> None:
        self._lines = lines
        self._again: list[str] = []
        self._number = 0
        self.taken: list[str] = []

    @property
    def first(self) -> str:
        return self.taken[0] if self.taken else ""

    def start_record(self) -> int:
        """Its line number."""
        self.taken.clear()
        return self._number + 1

    def take_back(self) -> None:
        """All lines of the record but the first come again."""
        self._again = self.taken[1:] + self._again
        self._number -= len(self.taken) - 1
        del self.taken[1:]

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = self._again.pop(0) if self._again else next(self._lines)
        self._number += 1
        self.taken.append(line)
        return line


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise InvalidValue(f"{path} cannot be read: {error.strerror}.") from None
