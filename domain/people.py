"""People of a workspace: staff, clients, partners, and the system itself.

A stream per person holds all personal data."""

import re
from datetime import datetime
from enum import StrEnum
from typing import assert_never
from uuid import UUID

import msgspec

from domain import text
from domain.errors import InvalidValue, PersonErased, PersonNotFound
from domain.text import ERASED, FreeText


class PersonKind(StrEnum):
    STAFF = "STAFF"
    CLIENT = "CLIENT"
    PARTNER = "PARTNER"
    SYSTEM = "SYSTEM"


# ---- events


class PersonAdded(msgspec.Struct, frozen=True, kw_only=True):
    kind: PersonKind
    name: FreeText
    email: FreeText | None = None


class PersonRenamed(msgspec.Struct, frozen=True, kw_only=True):
    name: FreeText


class PersonDeactivated(msgspec.Struct, frozen=True, kw_only=True):
    pass


class PersonReactivated(msgspec.Struct, frozen=True, kw_only=True):
    pass


class SubjectErased(msgspec.Struct, frozen=True, kw_only=True):
    """`act`, `journal`: SHA-256, in hexadecimal, of the act of destruction and of the journal's export, which the
    operator keeps elsewhere."""

    act: str
    journal: str


PersonEvent = PersonAdded | PersonRenamed | PersonDeactivated | PersonReactivated | SubjectErased


# ---- commands


class AddPerson(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    kind: PersonKind = PersonKind.STAFF
    email: str | None = None


class RenamePerson(msgspec.Struct, frozen=True, kw_only=True):
    person: UUID
    name: str


class DeactivatePerson(msgspec.Struct, frozen=True, kw_only=True):
    """The person left: keeps what they hold and did, takes nothing new."""

    person: UUID


class ReactivatePerson(msgspec.Struct, frozen=True, kw_only=True):
    person: UUID


class ErasePerson(msgspec.Struct, frozen=True, kw_only=True):
    """Their key is gone already: what was sealed under it reads as erased from now on."""

    person: UUID
    act: str
    journal: str


PersonCommand = AddPerson | RenamePerson | DeactivatePerson | ReactivatePerson | ErasePerson


# ---- state


class Person(msgspec.Struct, frozen=True, kw_only=True):
    kind: PersonKind
    name: str
    email: str | None
    active: bool = True
    erased: bool = False


_EMAIL = re.compile(r"[^\s@]+@[^\s@]+")
"""Only a letter that arrives proves an address; this catches names and numbers in the wrong column."""


def decide(person: Person | None, command: PersonCommand) -> list[PersonEvent]:
    """Raises InvalidValue, PersonNotFound, PersonErased."""
    if isinstance(command, AddPerson):
        assert person is None, "a new person has a new stream"
        email = None if command.email is None else text.line(command.email, "email", 254)
        if email is not None and not _EMAIL.fullmatch(email):
            raise InvalidValue(f"{email[:80]!r} is not an e-mail address.", ("email",))
        return [PersonAdded(kind=command.kind, name=_name(command.name), email=email)]
    if person is None:
        raise PersonNotFound(command.person, "person")
    if person.erased or (_has_no_key(person.name) and not isinstance(command, ErasePerson)):
        raise PersonErased(command.person)
    match command:
        case RenamePerson(name=name):
            name = _name(name)
            return [] if name == person.name else [PersonRenamed(name=name)]
        case DeactivatePerson():
            return [PersonDeactivated()] if person.active else []
        case ReactivatePerson():
            return [] if person.active else [PersonReactivated()]
        case ErasePerson(act=act, journal=journal):
            return [SubjectErased(act=act, journal=journal)]
        case _:
            assert_never(command)


def _name(given: str) -> str:
    name = text.line(given, "name")
    if name == ERASED:
        raise InvalidValue(f"{ERASED} is how people read whose data was erased.", ("name",))
    return name


def _has_no_key(name: str) -> bool:
    """Whether this is read in a name's place: an erasure has begun, though it may not be recorded yet. What is said of
    the person now would be sealed by another key, and stay."""
    return name == ERASED


def evolve(person: Person | None, event: PersonEvent, at: datetime) -> Person:
    if isinstance(event, PersonAdded):
        return Person(kind=event.kind, name=event.name, email=event.email, active=not _has_no_key(event.name))
    assert person is not None, "a person's first event is PersonAdded"
    match event:
        case PersonRenamed(name=name):
            return msgspec.structs.replace(person, name=name)
        case PersonDeactivated():
            return msgspec.structs.replace(person, active=False)
        case PersonReactivated():
            return msgspec.structs.replace(person, active=not _has_no_key(person.name))
        case SubjectErased():
            return msgspec.structs.replace(person, name=ERASED, email=None, active=False, erased=True)
        case _:
            assert_never(event)
