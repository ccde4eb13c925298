"""Which reads are logged: those of tickets that are marked sensitive, or all where the workspace wants it."""

from uuid import UUID

import msgspec


class SensitivityChanged(msgspec.Struct, frozen=True, kw_only=True):
    sensitive: bool


class ReadLoggingSet(msgspec.Struct, frozen=True, kw_only=True):
    """`all`: reads of every ticket are logged, not of the sensitive ones alone."""

    all: bool


class SetSensitive(msgspec.Struct, frozen=True, kw_only=True):
    """A sensitive ticket can be seen by whoever could see it before; from now on it is logged who does."""

    ticket: UUID
    sensitive: bool


class SetReadLogging(msgspec.Struct, frozen=True, kw_only=True):
    all: bool
