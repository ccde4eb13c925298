"""XES (IEEE 1849): events of traces, read as they stream by. Columns are keys of attributes; those of the trace begin
with `case:`.

XML can be made to explode: a file with a document type declaration, where entities are defined, is refused.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn
from xml.parsers import expat

import msgspec

from application.imports.mapping import FileFormat
from application.imports.source import DAMAGED, WHOLE, Opened, SourceRow
from domain.errors import InvalidValue

BLOCK = 256 * 1024
DEEPEST = 64
LONGEST_VALUE = 1_000_000
TRACE = "case:"
_VALUES = frozenset({"string", "date", "int", "float", "boolean", "id"})


class Xes(Opened):
    """Raises InvalidValue where the file cannot be read."""

    def __init__(self, path: Path, form: FileFormat, columns: Sequence[str]) -> None:
        super().__init__(path)
        self.form = form
        self.header = [*columns, WHOLE]
        self._wanted = list(columns)
        self._seen: set[str] = set()
        self._rows: deque[SourceRow] = deque()
        self._open: list[str] = []
        self._trace: dict[str, str] = {}
        self._event: dict[str, str] | None = None
        self._line = 0
        self._parser = expat.ParserCreate()
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._refuse
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end

    def rows(self) -> Iterator[SourceRow]:
        try:
            while block := self.data.read(BLOCK):
                self._parser.Parse(block)
                while self._rows:
                    yield self._rows.popleft()
            self._parser.Parse(b"", True)
        except expat.ExpatError as error:
            line = self._parser.ErrorLineNumber
            raise InvalidValue(
                f"{self.path.name} is no XML after line {line}: {expat.ErrorString(error.code)}."
            ) from None
        except DAMAGED as error:
            raise InvalidValue(f"{self.path.name} is damaged after line {self._line}: {error}.") from None
        yield from self._rows
        self._rows.clear()

    def unseen(self) -> list[str]:
        return [column for column in self._wanted if column not in self._seen]

    def _refuse(self, *_: object) -> NoReturn:
        raise InvalidValue(f"{self.path.name} has a document type declaration, which XES has no use for.")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]  # whatever prefix stands for the namespace
        if not self._open and name != "log":
            raise InvalidValue(f"{self.path.name} is no XES: its root is {name[:80]!r}, not 'log'.")
        if len(self._open) >= DEEPEST:
            raise InvalidValue(f"{self.path.name} nests more than {DEEPEST} deep.")
        above = self._open[-1] if self._open else ""
        self._open.append(name)
        if name == "trace" and above == "log":
            self._trace = {}
        elif name == "event" and above in ("trace", "log"):
            self._event = {}
            self._line = self._parser.CurrentLineNumber
        elif name in _VALUES and above == "event" and self._event is not None:
            self._event[attributes.get("key", "")] = attributes.get("value", "")[:LONGEST_VALUE]
        elif name in _VALUES and above == "trace":
            self._trace[TRACE + attributes.get("key", "")] = attributes.get("value", "")[:LONGEST_VALUE]

    def _end(self, name: str) -> None:
        self._open.pop()
        if name.rpartition(":")[2] == "event" and self._event is not None:
            values = self._trace | self._event
            self._event = None
            self._seen |= values.keys()
            cells = [values.get(column, "") for column in self._wanted]
            fault = "a NUL character" if any("\0" in cell for cell in cells) else None
            self._rows.append(SourceRow(self._line, [*cells, msgspec.json.encode(values).decode()], fault))
