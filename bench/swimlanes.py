"""Boards with rows, beside the same cards without."""

from collections.abc import Iterator
from functools import partial

from bench.boards import CARDS, PLAIN, Ask, ask
from bench.company import furnish
from bench.figures import Figure, in_turns
from bench.lab import Lab
from bench.waiting import wait_until_read

AXES = {"person": "ASSIGNEE", "team": "TEAM", "priority": "PRIORITY", "parent": "PARENT"}


def swimlanes(lab: Lab) -> Iterator[Figure]:
    with lab.database() as database:
        furnished = furnish(database, lab.size.of(CARDS, 8))
        with lab.server(database) as server:
            wait_until_read(database)
            plain = partial(ask, lab, server, "/graphql", furnished, _board(""), '"board":')
            for what, axis in AXES.items():
                laned = partial(ask, lab, server, "/graphql", furnished, _board(f", rows: {axis}"), '"board":')
                ours, theirs = in_turns(lab.size.rounds, partial(_p50, laned), partial(_p50, plain))
                yield Figure(
                    name=f"board of {CARDS} cards, ten fields, a row for each {what}, p50",
                    unit="ms",
                    value=ours,
                    peer_name="the same board without rows",
                    peer=theirs,
                    limit=1.5,
                )


def _p50(show: Ask) -> float:
    return show(1).p50


def _board(rows: str) -> str:
    return (
        f'{{ board(workflow: "task", cardsPerCell: {CARDS}{rows}) {{'
        " columns { key name count } rows { key name count }"
        f" cells {{ column row count cards {{ nodes {{ {PLAIN} }} }} }}"
        " totalCount position } }"
    )
