"""What a plain script over the CSV says of the incidents, to hold Proteus against. Standard library only, and nothing
of Proteus: the two must not share a mistake."""

import csv
import lzma
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """Where an incident stands. None where the file has a question mark."""

    status: str
    team: str | None
    assignee: str | None
    priority: str


class Oracle:
    """Every incident's rows, by (time, order in the file)."""

    def __init__(self, path: Path) -> None:
        self._rows: dict[str, list[tuple[datetime, Place]]] = {}
        with lzma.open(path, "rt", encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                at = datetime.strptime(row["sys_updated_at"], "%d/%m/%Y %H:%M").replace(tzinfo=UTC)
                place = Place(
                    row["incident_state"],
                    _known(row["assignment_group"]),
                    _known(row["assigned_to"]),
                    row["priority"],
                )
                self._rows.setdefault(row["number"], []).append((at, place))
        for rows in self._rows.values():
            rows.sort(key=lambda row: row[0])  # stable: rows of one minute stay in the order of the file
        self._times = {number: [at for at, _ in rows] for number, rows in self._rows.items()}

    def instants(self, count: int) -> list[datetime]:
        """Spread over the whole history; every second one is the very minute of some row."""
        times = sorted(at for times in self._times.values() for at in times)
        first, last = times[0], times[-1]
        even = [first + (last - first) * n / (count - 1) for n in range(count)]
        return [at if n % 2 else times[max(bisect_right(times, at) - 1, 0)] for n, at in enumerate(even)]

    def places(self, at: datetime) -> dict[str, Place]:
        """Of every incident that had begun: what its last row until then says."""
        return dict(self._places(at))

    def counts(self, at: datetime) -> Counter[tuple[str, str | None]]:
        """How many incidents stood in each status of each team."""
        return Counter((place.status, place.team) for _, place in self._places(at))

    def _places(self, at: datetime) -> Iterator[tuple[str, Place]]:
        for number, times in self._times.items():
            until = bisect_right(times, at)
            if until:
                yield number, self._rows[number][until - 1][1]


def _known(cell: str) -> str | None:
    return None if cell == "?" else cell
