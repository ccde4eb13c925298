"""`make bench`: takes all figures, or those that are named, prints them and writes bench/results.json."""

import logging
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import click
import msgspec
import psycopg
from rich.console import Console
from rich.table import Table

from bench.append import append
from bench.billing import billing
from bench.boards import boards
from bench.bulk import bulk
from bench.exporting import exporting
from bench.figures import Figure, Spread
from bench.importing import importing
from bench.lab import FULL, ROOT, SMOKE, Lab, own_lab
from bench.live import live
from bench.long_history import long_history
from bench.mutations import mutations
from bench.projecting import projecting
from bench.proving import proving
from bench.replaying import replaying
from bench.search import search
from bench.starting import starting
from bench.swimlanes import swimlanes
from bench.tracing import tracing

PARTS: dict[str, Callable[[Lab], Iterator[Figure]]] = {
    "append": append,
    "mutations": mutations,
    "bulk": bulk,
    "boards": boards,
    "swimlanes": swimlanes,
    "long_history": long_history,
    "projecting": projecting,
    "importing": importing,
    "replaying": replaying,
    "search": search,
    "audit": proving,
    "export": exporting,
    "live": live,
    "starting": starting,
    "trace": tracing,
    "billing": billing,
}
RESULTS = Path(__file__).with_name("results.json")

console = Console(highlight=False, width=None if sys.stdout.isatty() else 150)


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`commit`: of the code that was measured, with + where it was changed since. `load`: how many processes wanted a
    core in the minute before: what others do on the machine shows in every figure."""

    part: str
    at: datetime
    commit: str
    machine: str
    load: float | None = None
    figures: list[Figure]


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--smoke", is_flag=True, help="As short as can be, to see that it works; the figures mean nothing.")
@click.option("--results", type=click.Path(dir_okay=False, path_type=Path), default=RESULTS, show_default=True)
def main(parts: tuple[str, ...], smoke: bool, results: Path) -> None:
    """Takes the figures of these parts, or of all."""
    logging.basicConfig(level=logging.WARNING)
    known = _read(results)
    with console.status("") as status, own_lab(SMOKE if smoke else FULL, status.update) as lab:
        for name in parts or PARTS:
            load = round(os.getloadavg()[0], 1)
            taken = list(PARTS[name](lab))
            known[name] = Result(
                part=name,
                at=datetime.now(UTC).replace(microsecond=0),
                commit=_commit(),
                machine=_machine(lab),
                load=load,
                figures=taken,
            )
            results.write_bytes(msgspec.json.format(msgspec.json.encode(list(known.values())), indent=1) + b"\n")
    shown = [result for name, result in known.items() if not parts or name in parts]
    console.print(table(shown))
    if not all(figure.met is not False for result in shown for figure in result.figures):
        console.print("Not every figure holds its limit.")


def table(results: list[Result]) -> Table:
    made = Table(pad_edge=False, box=None, header_style="bold")
    made.add_column("figure")
    for column in ("median", "min to max", "peer", "ratio", "limit"):
        made.add_column(column, justify="right")
    made.add_column("")
    for result in results:
        for figure in result.figures:
            made.add_row(
                f"{figure.name}, {figure.unit}" + (f"\n  [dim]beside: {figure.peer_name}[/]" if figure.peer else ""),
                _number(figure.value.median),
                _span(figure.value),
                f"{_number(figure.peer.median)}\n[dim]{_span(figure.peer)}[/]" if figure.peer else "",
                "" if figure.ratio is None else f"{figure.ratio:.2f}",
                _limit(figure),
                {True: "[green]holds[/]", False: "[red]short[/]", None: ""}[figure.met],
            )
        made.add_section()
    return made


def _limit(figure: Figure) -> str:
    if figure.limit is None:
        return ""
    sign, times = "≥" if figure.bar == "at least" else "≤", " ×" if figure.peer and not figure.by_itself else ""
    return f"{sign} {_number(figure.limit)}{times}"


def _span(spread: Spread) -> str:
    return f"{_number(spread.low)} to {_number(spread.high)}"


def _number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _read(results: Path) -> dict[str, Result]:
    """Parts that are not measured now keep what was measured of them before."""
    if not results.exists():
        return {}
    found = {result.part: result for result in msgspec.json.decode(results.read_bytes(), type=list[Result])}
    return {name: found[name] for name in PARTS if name in found}


def _commit() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")


def _machine(lab: Lab) -> str:
    with psycopg.connect(lab.postgres.dsn) as connection:
        server = connection.info.server_version
    names = ("eventsourcing", "psycopg", "litestar", "granian", "strawberry-graphql")
    libraries = ", ".join(f"{name} {version(name)}" for name in names)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    linux = platform.release().partition("-")[0]
    return (
        f"{os.cpu_count()} cores, {memory:.0f} GiB, Linux {linux}, Python {platform.python_version()},"
        f" PostgreSQL {server // 10000}.{server % 10000}, {libraries}"
    )


if __name__ == "__main__":
    sys.exit(main())
