"""The open streams of one process: how many there may be, and when they end: with their token, or with the process."""

import asyncio
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

import msgspec

from api import metrics
from api.errors import UNAUTHENTICATED, UNAVAILABLE, RateLimited
from application import tokens
from application.tokens import TokenRefused
from projections.reading import ReadModels, ReadModelsUnavailable

log = logging.getLogger(__name__)

PER_TOKEN = 100
IN_ALL = 5_000
CHECK_SECONDS = 2.0
"""How often tokens are looked at again: no stream outlives its token for longer."""
FULL_RETRY_SECONDS = 30


class Ending(msgspec.Struct, frozen=True):
    """Why a stream ends: the WebSocket's close code, the code of `errors`, and a sentence."""

    close_code: int
    error: str
    message: str


RESTARTING = Ending(1012, UNAVAILABLE, "The server restarts. Come again, and resume after the last position.")
SLOW = Ending(1013, "SLOW_CONSUMER", "You did not take what was sent for 10 s. Resume after the last position.")
SILENT = Ending(1013, "SLOW_CONSUMER", "You did not answer pings. Resume after the last position.")


class TooManyStreams(RateLimited):
    def __init__(self, message: str) -> None:
        super().__init__(message, FULL_RETRY_SECONDS)


class Stream:
    """One WebSocket or one event stream. `end` is told once."""

    def __init__(self, end: Callable[[Ending], None]) -> None:
        self._end = end
        self.token: bytes | None = None
        self.ended = False

    def end(self, ending: Ending) -> None:
        if not self.ended:
            self.ended = True
            self._end(ending)


class Connections:
    def __init__(self, models: ReadModels) -> None:
        self._models = models
        self._streams: set[Stream] = set()
        self._by_token: dict[bytes, set[Stream]] = {}
        self._gone = asyncio.Event()
        self._checking: asyncio.Task[None] | None = None
        self._closing = False

    async def open(self) -> None:
        self._checking = asyncio.create_task(self._check(), name="proteus-tokens")

    async def close(self, patience: float = 2.0) -> None:
        """Ends all streams, and waits until they have said so, or `patience` seconds."""
        self._closing = True
        for stream in list(self._streams):
            stream.end(RESTARTING)
        if self._streams:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._gone.wait(), patience)
        if self._checking is not None:
            self._checking.cancel()
            with suppress(asyncio.CancelledError):
                await self._checking
            self._checking = None

    def must_have_room(self, token: bytes | None = None) -> None:
        """Raises TooManyStreams."""
        if self._closing:
            raise TooManyStreams(RESTARTING.message)
        if len(self._streams) >= IN_ALL:
            raise TooManyStreams(f"This server has as many streams open as it may have, {IN_ALL}.")
        if token is not None and len(self._by_token.get(token, ())) >= PER_TOKEN:
            raise TooManyStreams(f"This token has as many streams open as it may have, {PER_TOKEN}.")

    @contextmanager
    def opened(self, end: Callable[[Ending], None]) -> Generator[Stream]:
        """Raises TooManyStreams."""
        self.must_have_room()
        stream = Stream(end)
        self._streams.add(stream)
        metrics.STREAMS_NOW.set(len(self._streams))
        try:
            yield stream
        finally:
            self._streams.discard(stream)
            metrics.STREAMS_NOW.set(len(self._streams))
            if stream.token is not None:
                self._by_token[stream.token].discard(stream)
                if not self._by_token[stream.token]:
                    del self._by_token[stream.token]
            if not self._streams:
                self._gone.set()

    def belongs(self, stream: Stream, token: bytes) -> None:
        """From now on the stream ends with this token. Raises TooManyStreams."""
        self.must_have_room(token)
        stream.token = token
        self._by_token.setdefault(token, set()).add(stream)

    async def _check(self) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self._end_refused()
            except ReadModelsUnavailable as error:  # nothing is told meanwhile either
                log.warning("tokens of open streams were not checked: %s", error)

    async def _end_refused(self) -> None:
        digests = list(self._by_token)
        for digest, row in await self._models.authenticate_again(digests):
            try:
                tokens.bearer(row)
            except TokenRefused as error:
                for stream in list(self._by_token.get(digest, ())):
                    stream.end(Ending(4401, UNAUTHENTICATED, str(error)))
