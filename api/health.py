"""Is this process alive, and is what it would answer up to date?"""

from typing import Any

from litestar import MediaType, Response, get
from litestar.datastructures import State

from api.runtime import Runtime
from projections import status
from projections.reading import ReadModelsUnavailable

READY, READY_WITHOUT_KEYS = "ready", "ready, keys unavailable"
_SERVING = (READY, READY_WITHOUT_KEYS)


@get("/health/live", sync_to_thread=False)
def live() -> dict[str, str]:
    return {"status": "live"}


@get("/health/ready")
async def ready(state: State) -> Response[dict[str, Any]]:
    """The true lag, against the real head of the log; 503 where it is too long, or the database is away.

    Without its keys a server goes on with those that it knows: it says so, and stays."""
    runtime: Runtime = state.runtime
    try:
        stand = await status.status(runtime.models)
    except ReadModelsUnavailable:
        return _answer("database unavailable", {})
    behind = status.behind(stand)
    lag = {
        one.name: {
            "position": str(one.position),
            "lagEvents": one.lag_events,
            "lagSeconds": one.lag_seconds,
            "rebuilding": one.rebuilding,
        }
        for one in stand.projections
    }
    word = f"behind: {', '.join(behind)}" if behind else READY if lag else "not migrated"
    if word == READY and not runtime.store.has_keys:
        word = READY_WITHOUT_KEYS
    return _answer(word, {"head": str(stand.head), "projections": lag})


def _answer(word: str, more: dict[str, Any]) -> Response[dict[str, Any]]:
    return Response({"status": word, **more}, status_code=200 if word in _SERVING else 503, media_type=MediaType.JSON)
