"""Stretches: what a ticket has several of (watchers, links), a row for as long as it had it, with both times as spans
have them. So live and past are one query, with the condition of `spans.at`."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, LiteralString
from uuid import UUID

import msgspec

from domain.tickets import Ticket
from projections.projection import Change
from projections.writing import Writes

COLUMNS: LiteralString = """
  workspace        uuid not null,
  ticket           uuid not null,
  opened_position  bigint not null,
  closed_position  bigint, -- null: it has it still
  occurred_from    timestamptz not null,
  occurred_to      timestamptz,
  by               uuid not null, -- who gave it
"""
"""Of the table, before those of the values."""


class Stretches(msgspec.Struct, frozen=True, kw_only=True):
    """`values`: what a ticket has, each once; a tuple that stays the same object as long as nothing changes in it.
    `columns`: what a value is made of; `split` takes it apart so. `closing`: the statement that ends stretches, given
    their tickets, the positions and times, and the columns of the values."""

    table: LiteralString
    columns: tuple[str, ...]
    closing: LiteralString
    values: Callable[[Ticket], tuple[Any, ...]]
    split: Callable[[Any], tuple[Any, ...]]

    def fold(self, write: Writes, changes: Sequence[Change]) -> None:
        opened: list[dict[str, Any]] = []
        open_: dict[tuple[UUID, Any], dict[str, Any]] = {}
        closed: list[tuple[Any, ...]] = []
        for change in changes:
            if not isinstance(change.after, Ticket):
                continue
            had = self.values(change.before) if isinstance(change.before, Ticket) else ()
            has = self.values(change.after)
            if has is had:
                continue
            envelope = change.envelope
            ticket, position, at = envelope.originator_id, envelope.position, envelope.occurred_at
            for value in had:
                if value not in has:
                    self._close(open_.pop((ticket, value), None), ticket, value, position, at, closed)
            for value in has:
                if value not in had:
                    open_[ticket, value] = self._row(change, value)
                    opened.append(open_[ticket, value])
        if closed:
            write.execute(self.closing, [list(column) for column in zip(*closed, strict=True)])
        write.insert(self.table, opened)

    def _row(self, change: Change, value: Any) -> dict[str, Any]:
        envelope = change.envelope
        return {
            "workspace": envelope.workspace,
            "ticket": envelope.originator_id,
            "opened_position": envelope.position,
            "closed_position": None,
            "occurred_from": envelope.occurred_at,
            "occurred_to": None,
            "by": envelope.cause.on_behalf_of or envelope.cause.actor,
            **dict(zip(self.columns, self.split(value), strict=True)),
        }

    def _close(
        self,
        row: dict[str, Any] | None,
        ticket: UUID,
        value: Any,
        position: int,
        at: datetime,
        closed: list[tuple[Any, ...]],
    ) -> None:
        """`row`: of a stretch that this batch opened."""
        if row is None:
            closed.append((ticket, position, at, *self.split(value)))
        else:
            row["closed_position"], row["occurred_to"] = position, at
