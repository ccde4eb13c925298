"""Signatures as Standard Webhooks has them: HMAC-SHA256 over id, time and body, under the endpoint's own secret."""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Sequence
from uuid import UUID

from application.event_store.sealing import Sealer, place

PREFIX = "whsec_"
SECRET_BYTES = 32


def new_secret() -> str:
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode("ascii")


def seal(sealer: Sealer, workspace: UUID, webhook: UUID, secret: str) -> str:
    """Under the workspace's key, bound to its endpoint. Raises StoreUnavailable."""
    return sealer.seal(secret, workspace, workspace, place(webhook, 0, "secret"))


def opened(sealer: Sealer, workspace: UUID, webhook: UUID, sealed: str) -> str:
    """Raises SealBroken, StoreUnavailable."""
    secret = sealer.open(sealed, workspace, place(webhook, 0, "secret"))
    assert isinstance(secret, str), "a workspace's key is never erased while it sends"
    return secret


def headers(secrets: Sequence[str], message: str, timestamp: int, body: bytes) -> dict[bytes | str, bytes | str]:
    """One signature for each secret that is good. `timestamp`: seconds since 1970; receivers refuse old ones."""
    return {
        "webhook-id": message,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(_signature(secret, message, timestamp, body) for secret in secrets),
    }


def _signature(secret: str, message: str, timestamp: int, body: bytes) -> str:
    key = base64.b64decode(secret.removeprefix(PREFIX))
    signed = hmac.new(key, f"{message}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(signed).decode('ascii')}"
