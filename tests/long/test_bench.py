"""`make bench` can take every figure; what they say is not looked at here."""

import pytest

from application.embedded_postgres import EmbeddedPostgres
from bench.__main__ import PARTS
from bench.figures import Figure, Spread
from bench.lab import SMOKE, Lab
from tests.conftest import TEMPLATE


@pytest.mark.parametrize("part", PARTS)
def test_every_figure_can_be_taken(part: str, postgres: EmbeddedPostgres) -> None:
    figures = list(PARTS[part](Lab(SMOKE, lambda _: None, postgres, TEMPLATE)))
    assert figures
    assert all(figure.value.low <= figure.value.median <= figure.value.high for figure in figures)


def test_a_figure_says_whether_its_limit_holds() -> None:
    at_most = Figure(name="latency", unit="ms", value=Spread.of([2, 3, 1]), limit=2.0)
    beside = Figure(
        name="rate",
        unit="/s",
        value=Spread.of([80]),
        peer_name="stock",
        peer=Spread.of([11]),
        bar="at least",
        limit=8.0,
    )
    assert (at_most.met, beside.met) == (True, False)
    assert beside.held == pytest.approx(7.27, abs=0.01)
