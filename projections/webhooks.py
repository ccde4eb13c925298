"""Outgoing webhooks: the endpoints as they are defined, and how far each has been told."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from psycopg import sql

from domain.webhooks import NO_WEBHOOKS, DisabledBecause, WebhookAudience, WebhookFilter, Webhooks
from projections.filters import PageAsk
from projections.projection import Change, Projection
from projections.reading import Listing, Page, View, count, page
from projections.rows import WebhookDeliveryRow, WebhookRow, WebhookState
from projections.writing import Writes

DDL = """
create table webhook (
  workspace         uuid not null,
  id                uuid primary key,
  defined_at        timestamptz not null,
  defined_position  bigint not null,
  position          bigint not null, -- of the workspace's last change to any of them
  definition        jsonb not null   -- the domain's own; secrets in it are sealed
);
"""

INDEXES = """
create index webhook_workspace on webhook (workspace, defined_position);
"""


def fold(write: Writes, changes: Sequence[Change]) -> None:
    """Only the last state of each workspace matters, and when each endpoint was first there."""
    of_webhooks = [change for change in changes if isinstance(change.after, Webhooks)]
    last = {change.envelope.workspace: change for change in of_webhooks}
    for change in of_webhooks:
        before, after = change.before, change.after
        assert isinstance(after, Webhooks)
        known = (before if isinstance(before, Webhooks) else NO_WEBHOOKS).endpoints
        write.insert("webhook", [_row(change, id_) for id_ in after.endpoints if id_ not in known])
    for workspace, change in last.items():
        assert isinstance(change.after, Webhooks)
        endpoints = change.after.endpoints
        write.execute("delete from webhook where workspace = %s and not id = any(%s)", (workspace, list(endpoints)))
        for id_, webhook in endpoints.items():
            write.execute(
                "update webhook set position = %s, definition = %s::jsonb where id = %s",
                (change.envelope.position, msgspec.json.encode(webhook).decode(), id_),
            )


def _row(change: Change, id_: UUID) -> dict[str, Any]:
    assert isinstance(change.after, Webhooks)
    envelope = change.envelope
    return {
        "workspace": envelope.workspace,
        "id": id_,
        "defined_at": envelope.occurred_at,
        "defined_position": envelope.position,
        "position": envelope.position,
        "definition": change.after.endpoints[id_],
    }


PROJECTION = Projection(
    name="webhooks",
    tables=("webhook",),
    ddl=DDL,
    indexes=INDEXES,
    fold=fold,
    personal={"webhook": ("definition",)},
)


# ---- queries

_COLUMNS = sql.SQL(
    "w.id, w.defined_at, w.definition->>'url', w.definition->>'description', w.definition->'types',"
    " w.definition->>'audience', w.definition->'filter', w.definition->>'disabled', c.failing_since, c.next_attempt_at,"
    " coalesce(c.position, w.defined_position), (select max((s->>'until')::timestamptz)"
    " from jsonb_array_elements(w.definition->'secrets') s)"
)
_SOURCE = "from webhook w left join webhook_cursor c on c.webhook = w.id where w.workspace = %(workspace)s"


async def webhooks(view: View) -> list[WebhookRow]:
    """In the order in which they were defined."""
    rows = await view.fetch(sql.SQL("select {} {} order by w.defined_position").format(_COLUMNS, sql.SQL(_SOURCE)))
    return [_webhook(row) for row in rows]


async def webhooks_by_ids(view: View, ids: Sequence[UUID]) -> dict[UUID, WebhookRow]:
    query = sql.SQL("select {} {} and w.id = any(%(ids)s)").format(_COLUMNS, sql.SQL(_SOURCE))
    rows = await view.fetch(query, {"ids": list(ids)})
    return {row[0]: _webhook(row) for row in rows}


def _webhook(row: Sequence[Any]) -> WebhookRow:
    disabled = None if row[7] is None else DisabledBecause(row[7])
    failing: datetime | None = row[8]
    return WebhookRow(
        id=row[0],
        defined_at=row[1],
        url=row[2],
        description=row[3],
        types=row[4],
        audience=WebhookAudience(row[5]),
        filter=msgspec.convert(row[6], WebhookFilter),
        state=WebhookState.DISABLED if disabled else WebhookState.FAILING if failing else WebhookState.ENABLED,
        disabled_because=disabled,
        failing_since=failing,
        next_attempt_at=None if disabled else row[9],
        delivered_to=row[10],
        former_secret_until=row[11],
    )


def _deliveries(webhook: UUID) -> Listing[WebhookDeliveryRow]:
    return Listing(
        columns=sql.SQL(
            "d.number, d.message, d.type, d.position, d.delivered, d.attempts, d.status_code, d.trouble,"
            " d.seconds, d.first_attempt_at, d.last_attempt_at, d.next_attempt_at"
        ),
        source=sql.SQL("from webhook_delivery d where d.workspace = %(workspace)s and d.webhook = %(webhook)s"),
        keys=(("d.number", "bigint"),),
        row=_delivery,
        arguments={"webhook": webhook},
    )


def _delivery(row: Sequence[Any]) -> WebhookDeliveryRow:
    return WebhookDeliveryRow(*row)


async def deliveries(view: View, webhook: UUID, ask: PageAsk) -> Page[WebhookDeliveryRow]:
    """The log of an endpoint, oldest first. Raises BadInput."""
    return await page(view, _deliveries(webhook), ask)


async def delivery_count(view: View, webhook: UUID) -> int:
    return await count(view, _deliveries(webhook))
