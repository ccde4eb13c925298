"""Sending one message: to an address that was looked up once and checked, over verified TLS, within bounds.

The connection goes to the very address that was checked, so a name that changes its mind between (DNS rebinding) gains
nothing. Redirects are not followed: they are answers like any other that is no success.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from enum import StrEnum
from ipaddress import ip_address
from typing import Any, cast
from urllib.parse import urlsplit

import certifi
import httpcore
import msgspec

from application.webhook_networks import Networks

SECONDS = 15.0
"""For a whole attempt, from looking the name up to the end of the answer."""
CONNECT_SECONDS = 5.0
ANSWER_BYTES = 64 * 1024
"""Of an answer that are read, and thrown away: the rest is not waited for."""
CONNECTIONS = 256
KEPT_CONNECTIONS = 64
KEPT_SECONDS = 30.0
LOOKUPS = 32
"""Names that are looked up at once, each in a thread."""
RETRY_AFTER_LIMIT = 24 * 3600.0


class Trouble(StrEnum):
    """Why there was no success. REFUSED: it answered with another status than 2xx. ADDRESS_REFUSED: it stands inside
    the server's own network, or is not reached by https. NAME: no such host. TLS: its certificate is not good.
    CONNECTION: it could not be reached, or broke off. TIMEOUT: it took longer than 15 s. UNREADABLE: what it answered
    is no HTTP."""

    REFUSED = "REFUSED"
    ADDRESS_REFUSED = "ADDRESS_REFUSED"
    NAME = "NAME"
    TLS = "TLS"
    CONNECTION = "CONNECTION"
    TIMEOUT = "TIMEOUT"
    UNREADABLE = "UNREADABLE"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """`retry_after`: seconds for which it wants to be left alone. `seconds`: how long the attempt took."""

    status: int | None = None
    trouble: Trouble | None = None
    retry_after: float = 0.0
    seconds: float = 0.0


class _AddressRefused(Exception):
    pass


class _NoSuchName(Exception):
    pass


_scheme: ContextVar[str] = ContextVar("scheme", default="https")
"""Of the request for which a connection is made."""


class _Checked(httpcore.AsyncNetworkBackend):
    """Connects to addresses that were checked."""

    def __init__(self, networks: Networks, lookups: ThreadPoolExecutor) -> None:
        self._networks, self._lookups = networks, lookups
        self._plain = cast(httpcore.AsyncNetworkBackend, httpcore.AnyIOBackend())

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - the library's own signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        last: Exception = _NoSuchName(host)
        for address in await self._addresses(host, port):
            try:
                return await self._plain.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                last = error
        raise last

    async def _addresses(self, host: str, port: int) -> list[str]:
        """All of a name, or none: one that is half inside is not to be trusted."""
        found = await asyncio.get_running_loop().run_in_executor(self._lookups, _look_up, host, port)
        for text in found:
            address = ip_address(text.partition("%")[0])
            if self._networks.refuse(address):
                raise _AddressRefused(text)
            if _scheme.get() != "https" and not self._networks.allow_privately(address):
                raise _AddressRefused(text)
        return found


def _look_up(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise _NoSuchName(host) from error
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


class Sender:
    """Sends, many at once. Open it in its event loop."""

    def __init__(self, networks: Networks, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lookups = ThreadPoolExecutor(LOOKUPS, "proteus-lookup")
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=_verifying(),
            max_connections=CONNECTIONS,
            max_keepalive_connections=KEPT_CONNECTIONS,
            keepalive_expiry=KEPT_SECONDS,
            network_backend=_Checked(networks, self._lookups),
        )

    async def close(self) -> None:
        await self._pool.aclose()
        self._lookups.shutdown(wait=False, cancel_futures=True)

    async def send(self, url: str, headers: Mapping[bytes | str, bytes | str], body: bytes) -> Answer:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._seconds):
                answer = await self._answer(url, headers, body)
        except Exception as error:
            trouble = _trouble(error)
            if trouble is None:
                raise
            answer = Answer(trouble=trouble)
        return msgspec.structs.replace(answer, seconds=time.monotonic() - started)

    async def _answer(self, url: str, headers: Mapping[bytes | str, bytes | str], body: bytes) -> Answer:
        _scheme.set(urlsplit(url).scheme)
        extensions = {"timeout": {"connect": CONNECT_SECONDS, "read": self._seconds, "write": self._seconds}}
        async with self._pool.stream("POST", url, headers=headers, content=body, extensions=extensions) as response:
            read = 0
            async for chunk in response.aiter_stream():
                read += len(chunk)
                if read > ANSWER_BYTES:
                    break
            good = 200 <= response.status < 300
            return Answer(
                status=response.status,
                trouble=None if good else Trouble.REFUSED,
                retry_after=0.0 if good else _retry_after(response.headers),
            )


def _verifying() -> ssl.SSLContext:
    """By the system's authorities, those that SSL_CERT_FILE names, and Mozilla's."""
    context = ssl.create_default_context()
    context.load_verify_locations(cafile=certifi.where())
    return context


def _retry_after(headers: Iterable[tuple[bytes, bytes]]) -> float:
    """As seconds; the form with a date is rare, and not read."""
    given = next((value for name, value in headers if name.lower() == b"retry-after"), b"")
    return min(float(given), RETRY_AFTER_LIMIT) if given.isdigit() else 0.0


def _trouble(error: BaseException) -> Trouble | None:
    """None where it is our own mistake."""
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case _AddressRefused():
                return Trouble.ADDRESS_REFUSED
            case _NoSuchName():
                return Trouble.NAME
            case ssl.SSLError():
                return Trouble.TLS
            case _:
                cause = cause.__cause__ or cause.__context__
    match error:
        case TimeoutError() | httpcore.TimeoutException():
            return Trouble.TIMEOUT
        case httpcore.NetworkError():
            return Trouble.CONNECTION
        case httpcore.ProtocolError() | httpcore.UnsupportedProtocol():
            return Trouble.UNREADABLE
        case _:
            return None
