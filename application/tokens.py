"""API tokens: random, stored as a hash, with scopes, an end and revocation. Never deleted, so that it stays known
which tokens there were."""

import hashlib
import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import msgspec

from application.event_store.database import Database, Role
from application.handling import now
from domain import text
from domain.access import Actor, Scope
from domain.errors import InvalidValue

PREFIX = "proteus_"
LONGEST = timedelta(days=366)


class Token(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    person: UUID
    name: str
    scopes: tuple[str, ...]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class TokenRefused(Exception):
    """The token does not let its bearer in; the message says why without telling strangers more than they know."""


def issue_token(
    database: Database, workspace: UUID, person: UUID, scopes: Iterable[Scope], name: str, lasts: timedelta
) -> str:
    """Returns the secret, which is shown once and stored nowhere. Raises InvalidValue."""
    granted = sorted(set(scopes))
    if not granted:
        raise InvalidValue("A token needs at least one scope.", ("scopes",))
    if not timedelta(0) < lasts <= LONGEST:
        raise InvalidValue(f"A token lasts more than 0 and at most {LONGEST.days} days.", ("expires",))
    secret = PREFIX + secrets.token_urlsafe(32)
    with database.connect(Role.OWNER) as connection:
        connection.execute(
            "insert into token (id, workspace, person, name, hash, scopes, expires_at) values (%s,%s,%s,%s,%s,%s,%s)",
            (uuid4(), workspace, person, text.line(name, "name"), digest(secret), granted, now() + lasts),
        )
    return secret


def revoke_token(database: Database, workspace: UUID, token: UUID) -> bool:
    """False if there is no such token, or it was revoked before."""
    with database.connect(Role.OWNER) as connection:
        return bool(
            connection.execute(
                "update token set revoked_at = clock_timestamp()"
                " where id = %s and workspace = %s and revoked_at is null",
                (token, workspace),
            ).rowcount
        )


def list_tokens(database: Database, workspace: UUID) -> list[Token]:
    with database.connect(Role.OWNER) as connection:
        rows = connection.execute(
            "select id, person, name, scopes, created_at, expires_at, revoked_at from token"
            " where workspace = %s order by created_at",
            (workspace,),
        ).fetchall()
    return [
        Token(id=i, person=p, name=n, scopes=tuple(s), created_at=c, expires_at=e, revoked_at=r)
        for i, p, n, s, c, e, r in rows
    ]


def digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def bearer(row: tuple[UUID, UUID, list[str], UUID, datetime, datetime | None] | None) -> Actor:
    """The actor behind a row of `authenticate(hash)`. Raises TokenRefused."""
    if row is None:
        raise TokenRefused("This token is not known here.")
    workspace, person, scopes, token, expires_at, revoked_at = row
    if revoked_at is not None:
        raise TokenRefused("This token was revoked.")
    if expires_at <= now():
        raise TokenRefused("This token has expired.")
    return Actor(workspace=workspace, person=person, scopes=frozenset(map(Scope, scopes)), token=token)
