"""Webhooks of providers: `POST /changes/WORKSPACE/REPOSITORY`, signed with the repository's secret.

Whoever is unknown or unsigned is told 401 and nothing more, and nothing is stored. Each command of a delivery has an id
made of the delivery's, so that one that failed half-way is made up for when it is sent again, and one that was done
changes nothing.
"""

import asyncio
import time
from http import HTTPStatus
from uuid import UUID, uuid5

from anyio import to_thread
from litestar import Response, post
from litestar.exceptions import NotAuthorizedException

from api import errors
from api.http import AnyRequest, answer_with
from api.ids import Kind, WrongId, decode
from api.runtime import Runtime
from api.traceability_linking import READ_MODELS, link
from application.event_store.streams import EventStore
from application.handling import Context, Outcome, state_in
from application.traceability.commands import receive
from application.traceability.deliveries import DeliveryCommand, commands_of, delivery_of
from application.traceability.scanning import Recording
from application.traceability.signatures import is_signed, verify
from application.workspaces import operator
from domain.errors import CommandIdReused, Refused
from domain.traceability.repositories import Repository
from projections.reading import ReadModelBehind

DELIVERY_LIMIT = 26_214_400
"""Bytes; 25 MB is what GitHub sends at most."""
DELIVERY_SECONDS = 60.0
CHANNEL = "webhook"


@post("/changes/{workspace:str}/{repository:str}", request_max_body_size=DELIVERY_LIMIT, status_code=200)
async def deliver(request: AnyRequest, workspace: str, repository: str) -> Response[bytes]:
    """Raises NotAuthorizedException, TooSlow, StoreUnavailable, StoreOverloaded."""
    runtime: Runtime = request.app.state.runtime
    headers = {name.lower(): value for name, value in request.headers.items()}
    place, id_ = _named(workspace, repository)
    state = await to_thread.run_sync(_repository, runtime.store, place, id_)
    if state is None or state.secret is None or not is_signed(state.provider, headers):
        raise _unknown()
    try:
        async with asyncio.timeout(DELIVERY_SECONDS):
            body = await request.body()
    except TimeoutError:
        raise errors.TooSlow(DELIVERY_SECONDS) from None
    if not verify(state.provider, state.secret, headers, body, time.time()):
        raise _unknown()
    delivery = delivery_of(headers, body)
    try:
        commands = commands_of(id_, state, headers, body)
        outcomes = await to_thread.run_sync(_record, runtime.store, place, id_, delivery, commands)
    except Refused as refused:
        return answer_with(errors.failure(refused.code, refused.message), HTTPStatus.BAD_REQUEST)
    new = [outcome.position for outcome in outcomes if not outcome.replayed]
    if new:
        await _link(runtime, place, id_, max(new))
    return answer_with({"recorded": len(new), "repeated": len(outcomes) - len(new)}, HTTPStatus.OK)


def _named(workspace: str, repository: str) -> tuple[UUID, UUID]:
    try:
        return decode(workspace, Kind.WORKSPACE), decode(repository, Kind.REPOSITORY)
    except WrongId:
        raise _unknown() from None


def _unknown() -> NotAuthorizedException:
    """The same for whatever is wrong: it tells nobody which repositories there are."""
    return NotAuthorizedException("This delivery is not signed by a repository that is known here.")


def _repository(store: EventStore, workspace: UUID, repository: UUID) -> Repository | None:
    return state_in(store.workspace(workspace).load([repository]), repository, Repository)


def _record(
    store: EventStore, workspace: UUID, repository: UUID, delivery: str, commands: list[DeliveryCommand]
) -> list[Outcome]:
    """Raises Refused, StoreUnavailable."""
    outcomes: list[Outcome] = []
    for n, command in enumerate(commands):
        context = Context(
            actor=operator(workspace),
            command_id=uuid5(repository, f"delivery:{delivery}:{n}"),
            channel=CHANNEL,
            source=delivery,
        )
        try:
            outcomes.append(receive(store, context, command))
        except CommandIdReused:  # the id of a delivery that was done, with something else: done is done
            outcomes.append(Outcome(stream=repository, version=0, position=0, replayed=True))
    return outcomes


async def _link(runtime: Runtime, workspace: UUID, repository: UUID, position: int) -> None:
    """As far as the read models are there in time; what is missing then is found by whoever looks next."""
    actor = operator(workspace)
    recording = Recording(runtime.store, Context(actor=actor, channel=CHANNEL), repository)

    async def reach(position: int) -> None:
        await runtime.models.wait_for(position, *READ_MODELS)

    try:
        await link(runtime.models.view(actor), recording, reach, position)
    except ReadModelBehind:
        return
