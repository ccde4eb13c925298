"""How long the faults go on. One mechanism: each test states its rounds, few for `make test`, many for `make soak`.

`make soak` says by the environment what it wants:
PROTEUS_SOAK          anything: the many rounds, shown as they pass, and a table at the end
PROTEUS_SOAK_ROUNDS   so many rounds of every fault instead
PROTEUS_SOAK_MINUTES  no new round is begun when a test has had its share of these
PROTEUS_SOAK_SEED     the seed of an earlier run, to have its chances again
"""

import os
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from statistics import median

WAIT = 120
"""Seconds after which a test gives up rather than hang; none is measured against them."""

SOAKING = bool(os.environ.get("PROTEUS_SOAK"))
SEED = int(os.environ.get("PROTEUS_SOAK_SEED") or (time.time_ns() % 10**9 if SOAKING else 1))


@dataclass
class Rounds:
    """The rounds of one test. Called, it gives each round its own source of chance."""

    test: str
    until: float | None = None
    """Of the monotonic clock: no round begins later, except for the first."""
    begun: Callable[[int, int], None] = lambda round_, rounds: None
    done: int = 0
    measured: dict[str, list[float]] = field(default_factory=dict)

    def __call__(self, test: int, soak: int) -> Iterator[random.Random]:
        wanted = int(os.environ.get("PROTEUS_SOAK_ROUNDS") or (soak if SOAKING else test))
        for round_ in range(1, wanted + 1):
            if self.done and self.until is not None and time.monotonic() > self.until:
                return
            self.begun(round_, wanted)
            # The test's failure shows it.
            print(f"round {round_} of {wanted}, seed {SEED}")
            yield random.Random(f"{SEED} {self.test} {round_}")
            self.done += 1

    def took(self, what: str, since: float) -> None:
        """Keeps the seconds since then (of the monotonic clock) for the table."""
        self.measure(f"{what}, s", time.monotonic() - since)

    def measure(self, what: str, value: float) -> None:
        self.measured.setdefault(what, []).append(value)

    def summary(self) -> list[str]:
        return [f"{what}: {median(all_):.3g}, at most {max(all_):.3g}" for what, all_ in self.measured.items()]


def until(condition: Callable[[], object], what: str = "it", seconds: float = WAIT) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} never came about"
        time.sleep(0.005)
