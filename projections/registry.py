"""Every read model. A new one is its file and a line here."""

from application.event_store.database import Connection
from projections import (
    accounts,
    attachments,
    billing,
    contracts,
    directory,
    documents,
    estimates,
    hand_overs,
    links,
    parking,
    privacy,
    projection,
    ratings,
    search,
    spans,
    tickets,
    timeline,
    traceability,
    views,
    webhook_deliveries,
    webhooks,
    work,
)
from projections.projection import Projection

PROJECTIONS: tuple[Projection, ...] = (
    directory.PROJECTION,
    spans.PROJECTION,
    tickets.PROJECTION,
    timeline.PROJECTION,
    attachments.PROJECTION,
    links.PROJECTION,
    hand_overs.PROJECTION,
    search.PROJECTION,
    views.PROJECTION,
    work.PROJECTION,
    traceability.PROJECTION,
    contracts.PROJECTION,
    privacy.PROJECTION,
    webhooks.PROJECTION,
    billing.PROJECTION,
    ratings.PROJECTION,
    estimates.PROJECTION,
    documents.PROJECTION,
)

TOGETHER: tuple[tuple[Projection, ...], ...] = (
    tuple(one for one in PROJECTIONS if one is not search.PROJECTION),
    (search.PROJECTION,),
)
"""Which are written in one transaction, by an engine of their own: indexing words must not hold up boards."""

NAMES = tuple(one.name for one in PROJECTIONS)

TICKET_READ_MODELS = (
    "spans",
    "tickets",
    "timeline",
    "directory",
    "attachments",
    "links",
    "work",
    "traceability",
    "hand_overs",
    "contracts",
    "ratings",
    "privacy",
    "estimates",
    "documents",
)
"""What a ticket is shown from."""

PERSONAL_COLUMNS: dict[str, tuple[str, ...]] = parking.PERSONAL | {
    table: columns for one in PROJECTIONS for table, columns in one.personal.items()
}
"""Every column of a read model that holds personal data in plain text: what an erasure must wipe."""


def install(connection: Connection) -> None:
    """Makes the read models that are missing; for `Database.migrate`."""
    parking.install(connection)
    projection.install(connection, PROJECTIONS)
    webhook_deliveries.install(connection)
    accounts.install(connection)


SHOWN_FROM = {"board": "spans", "events": "timeline", "people": "directory"}
"""What people call the read models: the board is a query over spans."""


def find(name: str) -> Projection | None:
    """By its own name, or by that of what is shown from it."""
    name = SHOWN_FROM.get(name, name)
    return next((one for one in PROJECTIONS if one.name == name), None)
