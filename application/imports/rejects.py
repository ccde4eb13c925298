"""Rows that could not be taken, as CSV: line and reason, then the row's cells as they were."""

import csv
from pathlib import Path
from types import TracebackType
from typing import Self

from domain.errors import InvalidValue


class Rejects:
    """Written while the import runs. Nothing rejected: no file, and an earlier run's is gone."""

    def __init__(self, path: Path, header: list[str]) -> None:
        self.path = path
        self.count = 0
        try:
            # A byte that was no text is written as it was read.
            self._file = path.open("w", encoding="utf-8", errors="surrogateescape", newline="")
        except OSError as error:
            raise InvalidValue(f"{path}, for rows that are rejected, cannot be written: {error.strerror}.") from None
        self._csv = csv.writer(self._file)
        self._csv.writerow(["line", "reason", *header])

    def add(self, line: int, reason: str, cells: list[str]) -> None:
        self.count += 1
        self._csv.writerow([line, reason, *cells])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        if not self.count:
            self.path.unlink(missing_ok=True)
