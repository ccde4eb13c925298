"""JSON Lines: an object per line, and columns that are paths into it.

`user.login` goes into objects, `labels[].name` into every item of a list, `comments[0].body` into one. A list's values
stand in one cell, a line each.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeGuard

import msgspec

from application.imports.mapping import FileFormat
from application.imports.source import WHOLE, SourceRow, TextSource
from domain.errors import InvalidValue

_STEP = re.compile(r"(?P<name>[^.\[\]]+)|\[(?P<item>\d{0,9})\]")


class JsonLines(TextSource):
    """Raises InvalidValue where the file cannot be read, or a path is none."""

    def __init__(self, path: Path, form: FileFormat, columns: Sequence[str]) -> None:
        super().__init__(path, form)
        self.header = [*columns, WHOLE]
        self._paths = [_steps(column) for column in columns]
        self._seen = [False] * len(columns)

    def rows(self) -> Iterator[SourceRow]:
        number = 0
        for line in self.text_lines():
            number += 1
            if line.isspace():
                continue
            fault = self.fault_of(line)
            yield SourceRow(number, [line.rstrip("\r\n")], fault) if fault else self._row(number, line)

    def unseen(self) -> list[str]:
        return [column for column, seen in zip(self.header, self._seen, strict=False) if not seen]

    def _row(self, number: int, line: str) -> SourceRow:
        try:
            value = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            return SourceRow(number, [line.rstrip("\r\n")], f"no JSON: {error}")
        if not is_object(value):
            return SourceRow(number, [line.rstrip("\r\n")], "no JSON object")
        cells: list[str] = []
        for n, steps in enumerate(self._paths):
            found = list(_at(value, steps))
            self._seen[n] = self._seen[n] or bool(found)
            cells.append("\n".join(text for one in found for text in _texts(one)))
        return SourceRow(number, [*cells, line.strip()])


def is_object(value: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict)


def is_list(value: object) -> TypeGuard[list[Any]]:
    return isinstance(value, list)


def _steps(path: str) -> list[str | int | None]:
    """A name, a place in a list, or None for every item. Raises InvalidValue."""
    steps: list[str | int | None] = []
    end = 0
    for found in _STEP.finditer(path):
        if path[end : found.start()] not in (("", ".") if end else ("",)):
            break
        end = found.end()
        item = found["item"]
        steps.append(found["name"] if item is None else int(item) if item else None)
    if end != len(path) or not steps:
        raise InvalidValue(
            f"The mapping cannot be used: {path!r} is no path into JSON, as user.login or labels[].name."
        )
    return steps


def _at(whole: dict[str, Any], steps: Sequence[str | int | None]) -> Iterator[Any]:
    value: Any = whole
    for n, step in enumerate(steps):
        if isinstance(step, str):
            if value is None:
                break  # there could be more, and is not
            if not is_object(value) or step not in value:
                return
            value = value[step]
        elif not is_list(value):
            return
        elif step is None:
            for item in value:
                yield from _at(item, steps[n + 1 :])
            return
        elif step < len(value):
            value = value[step]
        else:
            return
    yield value


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif is_list(value):
        for item in value:
            yield from _texts(item)
    elif value is not None:
        yield msgspec.json.encode(value).decode()
