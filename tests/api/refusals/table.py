"""Every mutation: how it is done, and an input for each code with which it can be refused, by feature."""

from domain.errors import ErrorCode
from tests.api.refusals import (
    attachments,
    comments,
    contracts,
    definitions,
    documents,
    estimates,
    merging,
    participants,
    people,
    tickets,
    traceability,
    views,
    webhooks,
    work,
)
from tests.api.refusals.cases import COMMON, Mutation

_PARTS = (
    tickets,
    comments,
    attachments,
    participants,
    merging,
    people,
    definitions,
    views,
    work,
    traceability,
    contracts,
    documents,
    estimates,
    webhooks,
)
MUTATIONS: dict[str, Mutation] = {name: one for part in _PARTS for name, one in part.MUTATIONS.items()}
assert len(MUTATIONS) == sum(len(part.MUTATIONS) for part in _PARTS), "a mutation stands in one part"


def has(mutation: str, code: str, field: str | None) -> bool:
    """Whether the mutation is refused so by its entry, or as every one is."""
    return code in MUTATIONS[mutation].refused or field in COMMON.get(ErrorCode(code), ())
