"""Clients: the organisations that the company works for, with those who speak for them."""

import re
from datetime import datetime
from typing import assert_never
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
from msgspec.structs import replace

from domain import money, text
from domain.errors import ClientNotFound, InvalidValue
from domain.text import FreeText

CONTACTS_LIMIT = 200
_LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Z]{2})?")


# ---- events


class ClientAdded(msgspec.Struct, frozen=True, kw_only=True):
    """`language`: a tag as ru or pt-BR. `currency`: by ISO 4217. `time_zone`: by IANA."""

    name: FreeText
    language: str
    currency: str
    time_zone: str


class ClientRenamed(msgspec.Struct, frozen=True, kw_only=True):
    name: FreeText


class ClientLocalized(msgspec.Struct, frozen=True, kw_only=True):
    language: str
    currency: str
    time_zone: str


class ContactAdded(msgspec.Struct, frozen=True, kw_only=True):
    person: UUID


class ContactRemoved(msgspec.Struct, frozen=True, kw_only=True):
    person: UUID


ClientEvent = ClientAdded | ClientRenamed | ClientLocalized | ContactAdded | ContactRemoved


# ---- commands


class AddClient(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    language: str
    currency: str
    time_zone: str


class RenameClient(msgspec.Struct, frozen=True, kw_only=True):
    client: UUID
    name: str


class LocalizeClient(msgspec.Struct, frozen=True, kw_only=True):
    """What is absent stays. The currency is that of contracts agreed from now on."""

    client: UUID
    language: str | None = None
    currency: str | None = None
    time_zone: str | None = None


class AddContact(msgspec.Struct, frozen=True, kw_only=True):
    client: UUID
    person: UUID


class RemoveContact(msgspec.Struct, frozen=True, kw_only=True):
    client: UUID
    person: UUID


ClientCommand = AddClient | RenameClient | LocalizeClient | AddContact | RemoveContact


# ---- state


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """`contacts`: in the order they came."""

    name: str
    language: str
    currency: str
    time_zone: str
    contacts: tuple[UUID, ...] = ()


def decide(client: Client | None, command: ClientCommand) -> list[ClientEvent]:
    """That a contact is here is checked before. Raises ClientNotFound, InvalidValue."""
    if isinstance(command, AddClient):
        assert client is None, "a new client has a new stream"
        added = ClientAdded(
            name=text.line(command.name, "name"),
            language=_language(command.language),
            currency=money.currency(command.currency),
            time_zone=zone(command.time_zone, ("timeZone",)),
        )
        return [added]
    if client is None:
        raise ClientNotFound(command.client)
    match command:
        case RenameClient(name=name):
            name = text.line(name, "name")
            return [] if name == client.name else [ClientRenamed(name=name)]
        case LocalizeClient():
            return _localize(client, command)
        case AddContact(person=person):
            if person not in client.contacts and len(client.contacts) >= CONTACTS_LIMIT:
                raise InvalidValue(f"A client has {CONTACTS_LIMIT} contacts at most.", ("person",))
            return [] if person in client.contacts else [ContactAdded(person=person)]
        case RemoveContact(person=person):
            return [ContactRemoved(person=person)] if person in client.contacts else []
        case _:
            assert_never(command)


def _localize(client: Client, command: LocalizeClient) -> list[ClientEvent]:
    after = ClientLocalized(
        language=client.language if command.language is None else _language(command.language),
        currency=client.currency if command.currency is None else money.currency(command.currency),
        time_zone=client.time_zone if command.time_zone is None else zone(command.time_zone, ("timeZone",)),
    )
    same = (after.language, after.currency, after.time_zone) == (client.language, client.currency, client.time_zone)
    return [] if same else [after]


def evolve(client: Client | None, event: ClientEvent, at: datetime) -> Client:
    if isinstance(event, ClientAdded):
        return Client(name=event.name, language=event.language, currency=event.currency, time_zone=event.time_zone)
    assert client is not None, "a client's first event is ClientAdded"
    match event:
        case ClientRenamed(name=name):
            return replace(client, name=name)
        case ClientLocalized(language=language, currency=currency, time_zone=time_zone):
            return replace(client, language=language, currency=currency, time_zone=time_zone)
        case ContactAdded(person=person):
            return replace(client, contacts=(*client.contacts, person))
        case ContactRemoved(person=person):
            return replace(client, contacts=tuple(one for one in client.contacts if one != person))
        case _:
            assert_never(event)


def zone(name: str, field: tuple[str, ...]) -> str:
    """Raises InvalidValue."""
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        raise InvalidValue(f"There is no time zone {name[:80]!r}. Write it as Europe/Berlin or UTC.", field) from None
    return name


def _language(tag: str) -> str:
    if not _LANGUAGE.fullmatch(tag):
        raise InvalidValue(f"{tag[:20]!r} is no language tag; write it as ru, en or pt-BR.", ("language",))
    return tag
