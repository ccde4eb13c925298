"""Saved views: what to look at, by name; for oneself, a team or the workspace."""

from datetime import datetime
from enum import Enum
from typing import Any

import msgspec
import strawberry
from strawberry import ID, UNSET, Parent
from strawberry.scalars import JSON
from strawberry.types.base import has_object_definition
from strawberry.utils.str_converters import to_camel_case

from api.commands import CommandInput, Done, ExpectingInput, Payload, perform, wait_until_readable
from api.fields import Info, Node, by, given, is_list, once_passed
from api.filters import TicketFilter, TicketOrder, asked_tickets
from api.ids import Kind, WrongId, encode
from api.paging import Connection, ConnectionRow, page_ask
from api.people import must_read_all
from api.scalars import Position, write_time
from api.teams import Team, team
from application.views import handle
from domain.errors import InvalidValue
from domain.views import DeleteView, FavouriteView, SaveView, UnfavouriteView, UpdateView
from projections import filters, views
from projections.conditions import Conditions
from projections.filters import BoardAxis, Direction, TicketField
from projections.reading import BadInput
from projections.rows import ViewDefinition as Definition
from projections.rows import ViewRow

ORDER_LIMIT = 4


def _id(view: Parent[ViewRow]) -> ID:
    return encode(Kind.VIEW, view.id)


def _team(view: Parent[ViewRow], info: Info) -> Any:
    """Whose it is; null for one's own and the workspace's."""
    return team(info, view.team)


def _mine(view: Parent[ViewRow], info: Info) -> bool:
    """Nobody else sees it."""
    return view.person is not None


@strawberry.type
class ViewOrder:
    field: TicketField
    direction: Direction


@strawberry.type(description="Give `filter` back as the variable of a list or a board.")
class ViewDefinition:
    workflow: str | None
    columns: BoardAxis | None
    rows: BoardAxis | None
    columns_field: str | None
    rows_field: str | None
    filter: JSON | None
    search: str | None
    order_by: list[ViewOrder]


@strawberry.type
class View(Node):
    id: ID = by(_id)
    name: str
    mine: bool = by(_mine)
    team: Team | None = by(_team)
    definition: ViewDefinition
    favourite: bool

    @classmethod
    def is_type_of(cls, row: object, _: object) -> bool:
        return isinstance(row, ViewRow)


async def _views(
    info: Info,
    favourites: bool = False,
    first: int | None = UNSET,
    after: str | None = UNSET,
    min_position: Position | None = UNSET,
) -> ConnectionRow[ViewRow]:
    """One's own, one's teams', the workspace's and one's favourites, by name."""
    must_read_all(info)
    await once_passed(info, min_position, "views", "directory")
    viewer = info.context.view
    page = await views.views(viewer, page_ask(first, after), favourites=favourites)
    return ConnectionRow(page, lambda: views.view_count(viewer, favourites=favourites))


@strawberry.type
class ViewQueries:
    views: Connection[View] = by(_views)


# ---- commands


@strawberry.input(description="What a list or a board is asked with. It is checked as if it were asked now.")
class ViewDefinitionInput:
    workflow: str | None = UNSET
    columns: BoardAxis | None = UNSET
    rows: BoardAxis | None = UNSET
    columns_field: str | None = UNSET
    rows_field: str | None = UNSET
    filter: TicketFilter | None = UNSET
    search: str | None = UNSET
    order_by: list[TicketOrder] | None = UNSET

    def written(self, info: Info) -> str:
        """As it is kept: in the client's own words. Raises InvalidValue."""
        order, workflow = given(self.order_by) or [], given(self.workflow)
        if len(order) > ORDER_LIMIT:
            raise InvalidValue(f"orderBy takes at most {ORDER_LIMIT} fields.", ("definition", "orderBy"))
        if workflow is not None and workflow not in info.context.workflows.versions:
            raise InvalidValue(f"There is no workflow {workflow[:80]!r}.", ("definition", "workflow"))
        try:
            wanted = asked_tickets(info, given(self.filter))
            if wanted is not None:
                Conditions().ticket(wanted)
        except (BadInput, WrongId) as error:
            raise InvalidValue(str(error), ("definition", "filter")) from None
        definition = Definition(
            workflow=workflow,
            columns=given(self.columns),
            rows=given(self.rows),
            columns_field=given(self.columns_field),
            rows_field=given(self.rows_field),
            filter=_plain(given(self.filter)),
            search=given(self.search),
            order_by=[filters.TicketOrder(field=one.field, direction=one.direction) for one in order],
        )
        return msgspec.json.encode(definition).decode()


@strawberry.input(description="For oneself, unless for a `team` or, `shared`, for the whole workspace.")
class SaveViewInput(CommandInput):
    name: str
    definition: ViewDefinitionInput
    team: ID | None = UNSET
    shared: bool = False


@strawberry.input(description="What is absent stays.")
class UpdateViewInput(ExpectingInput):
    view: ID
    name: str | None = UNSET
    definition: ViewDefinitionInput | None = UNSET


@strawberry.input
class DeleteViewInput(ExpectingInput):
    view: ID


@strawberry.input
class FavouriteViewInput(CommandInput):
    view: ID


@strawberry.input
class UnfavouriteViewInput(CommandInput):
    view: ID


def _plain(value: Any) -> Any:
    """An input as the JSON that it came from."""
    if is_list(value):
        return [_plain(one) for one in value]
    if isinstance(value, datetime):
        return write_time(value)
    if isinstance(value, Enum):
        return value.value
    if not has_object_definition(value):
        return value
    return {to_camel_case(name.rstrip("_")): _plain(one) for name, one in vars(value).items() if one is not UNSET}


async def _after(done: Parent[Done], info: Info) -> ViewRow | None:
    """As it is after the command; null once it is deleted, or if the read model has not come that far within 2 s."""
    if done.outcome is None or not await wait_until_readable(info, done.outcome, "views"):
        return None
    return (await views.views_by_ids(info.context.view, [done.outcome.stream])).get(done.outcome.stream)


@strawberry.type
class ViewPayload(Payload):
    view: View | None = by(_after)


async def save_view(info: Info, input: SaveViewInput) -> Done:
    return await perform(info, input, SaveView, handle)


async def update_view(info: Info, input: UpdateViewInput) -> Done:
    return await perform(info, input, UpdateView, handle)


async def delete_view(info: Info, input: DeleteViewInput) -> Done:
    return await perform(info, input, DeleteView, handle)


async def favourite_view(info: Info, input: FavouriteViewInput) -> Done:
    return await perform(info, input, FavouriteView, handle)


async def unfavourite_view(info: Info, input: UnfavouriteViewInput) -> Done:
    return await perform(info, input, UnfavouriteView, handle)


@strawberry.type
class ViewMutations:
    save_view: ViewPayload = by(save_view)
    update_view: ViewPayload = by(update_view)
    delete_view: ViewPayload = by(delete_view)
    favourite_view: ViewPayload = by(favourite_view)
    unfavourite_view: ViewPayload = by(unfavourite_view)
