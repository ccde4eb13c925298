"""Whether a delivery comes from who knows the repository's secret: over the raw body, in constant time."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping

from domain.traceability.repositories import Provider

TOLERANCE_SECONDS = 300
"""How far the time of a Standard Webhooks signature may be from ours."""

Headers = Mapping[str, str]
"""By their names in lower case."""


def is_signed(provider: Provider, headers: Headers) -> bool:
    """Whether there is anything to verify; else its body need not be read."""
    return any(headers.get(name) for name in _NAMES[provider])


def verify(provider: Provider, secret: str, headers: Headers, body: bytes, now: float) -> bool:
    """`now`: seconds since 1970. One good signature does not make up for a bad one."""
    match provider:
        case Provider.GITHUB:
            kind, _, given = headers.get("x-hub-signature-256", "").partition("=")
            return kind == "sha256" and _is_hex_hmac(secret, body, given)
        case Provider.GITEA:
            given = headers.get("x-gitea-signature") or headers.get("x-forgejo-signature") or ""
            return _is_hex_hmac(secret, body, given)
        case Provider.GITLAB:
            if headers.get("webhook-signature"):
                return _is_standard(secret, headers, body, now)
            return hmac.compare_digest(secret.encode(), headers.get("x-gitlab-token", "").encode())
        case Provider.GIT:
            return False


_NAMES: Mapping[Provider, tuple[str, ...]] = {
    Provider.GITHUB: ("x-hub-signature-256",),
    Provider.GITEA: ("x-gitea-signature", "x-forgejo-signature"),
    Provider.GITLAB: ("webhook-signature", "x-gitlab-token"),
    Provider.GIT: (),
}


def _is_hex_hmac(secret: str, body: bytes, given: str) -> bool:
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return hmac.compare_digest(expected.encode(), given.lower().encode())


def _is_standard(secret: str, headers: Headers, body: bytes, now: float) -> bool:
    """As https://www.standardwebhooks.com says: of id, time and body; several signatures while a secret is changed."""
    identity, at = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not identity or not (at.isascii() and at.isdigit() and len(at) < 13):
        return False
    if abs(now - int(at)) > TOLERANCE_SECONDS:
        return False
    expected = hmac.new(_standard_key(secret), f"{identity}.{at}.".encode() + body, hashlib.sha256).digest()
    good = False
    for one in headers["webhook-signature"].split():
        version, _, given = one.partition(",")
        good |= version == "v1" and hmac.compare_digest(base64.b64encode(expected), given.encode())
    return good


def _standard_key(secret: str) -> bytes:
    """What follows `whsec_` is base64; a secret without it is taken as it is."""
    if not secret.startswith("whsec_"):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        return secret.encode()
