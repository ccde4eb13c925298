"""Repositories as they are defined, and how much of each was scanned."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql

from domain.traceability.repositories import Provider, Tracker
from projections.filters import PageAsk
from projections.reading import Listing, Page, View, count, page
from projections.rows import RepositoryRow

_REPOSITORY = sql.SQL(
    "r.id, r.key, r.name, r.provider, r.url, r.default_branch, r.trackers, r.trailers, r.mainline, r.secured"
)


def _repository_row(row: Sequence[Any]) -> RepositoryRow:
    return RepositoryRow(
        id=row[0],
        key=row[1],
        name=row[2],
        provider=Provider(row[3]),
        url=row[4],
        default_branch=row[5],
        trackers=msgspec.convert(row[6], list[Tracker]),
        trailers=row[7],
        mainline=row[8],
        webhook_secured=row[9],
    )


_REPOSITORIES = Listing(
    columns=_REPOSITORY,
    source=sql.SQL("from repository r where r.workspace = %(workspace)s"),
    keys=(("r.key", "text"),),
    row=_repository_row,
)


async def repositories(view: View, ask: PageAsk) -> Page[RepositoryRow]:
    """By key. Raises BadInput."""
    return await page(view, _REPOSITORIES, ask)


async def repository_count(view: View) -> int:
    return await count(view, _REPOSITORIES)


async def repositories_by_ids(view: View, ids: Sequence[UUID]) -> dict[UUID, RepositoryRow]:
    rows = await view.fetch(
        sql.SQL("select {} from repository r where r.workspace = %(workspace)s and r.id = any(%(ids)s)").format(
            _REPOSITORY
        ),
        {"ids": list(ids)},
    )
    return {row[0]: _repository_row(row) for row in rows}


async def repository_by_key(view: View, key: str) -> RepositoryRow | None:
    query = sql.SQL("select {} from repository r where r.workspace = %(workspace)s and lower(r.key) = lower(%(key)s)")
    rows = await view.fetch(query.format(_REPOSITORY), {"key": key})
    return _repository_row(rows[0]) if rows else None


async def commit_counts(view: View, repositories: Sequence[UUID]) -> dict[UUID, int]:
    rows = await view.fetch(
        "select repository, count(*) from code_commit where workspace = %(workspace)s"
        " and repository = any(%(repositories)s) group by repository",
        {"repositories": list(repositories)},
    )
    return dict(rows)
