"""Who and what the names of a source are here: found where they exist, made where they do not."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from uuid import UUID, uuid5

import msgspec
from msgspec import UNSET

from application.event_store.envelope import DomainEvent, Stream
from application.imports.spool import Found, SpooledRow, free_key
from application.services import service_stream
from application.teams import team_stream
from domain.people import PersonAdded, PersonKind
from domain.services import ServiceAdded
from domain.teams import TeamAdded


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Ids of what the workspace has already, by name and by whatever else a source may call it: a person's e-mail in
    small letters, a team's key, an id. Names that two share are best left out."""

    people: Mapping[str, UUID] = {}
    teams: Mapping[str, UUID] = {}
    services: Mapping[str, UUID] = {}

    def named(self, kind: str, name: str) -> UUID | None:
        """`kind`: people, teams or services."""
        ids: Mapping[str, UUID] = getattr(self, kind)
        return ids.get(name) or ids.get(name.casefold())


class Made(msgspec.Struct, frozen=True):
    """Something that the import adds, at the time when the source first names it."""

    id: UUID
    event: DomainEvent
    at: datetime


Name = tuple[str, str]
"""Kind (people, teams, services) and name."""


class Names:
    """Ids are derived from names, so that a second run finds what the first one made without asking a read model.

    A person's is a keyed digest: a bare one would tell, after an erasure, who it was to whoever guesses the name.
    """

    def __init__(self, workspace: UUID, source: UUID, secret: bytes, known: Known, found: Found) -> None:
        self._workspace = workspace
        self._source = source
        self._secret = secret
        self._staff = found.staff
        self._known = known
        self._keys = {"teams": _keys(found.teams, "team"), "services": _keys(found.services, "service")}
        self.people: dict[str, UUID] = {}
        self.teams: dict[str, UUID] = {}
        self.services: dict[str, UUID] = {}

    def unsettled(self, rows: Iterable[SpooledRow]) -> dict[Name, tuple[UUID, datetime]]:
        """Names that no earlier rows had: the id that each gets if it must be made, and the time of its first row."""
        people, teams, services = self.people, self.teams, self.services
        new: dict[Name, datetime] = {}
        for row in rows:
            said = row.said
            for name in (said.requester, said.assignee, said.actor):
                if name is not UNSET and name is not None and name not in people:
                    new.setdefault(("people", name), row.at)
            if said.team is not UNSET and said.team is not None and said.team not in teams:
                new.setdefault(("teams", said.team), row.at)
            if said.service is not UNSET and said.service is not None and said.service not in services:
                new.setdefault(("services", said.service), row.at)
        return {name: (self._own_id(*name), at) for name, at in new.items()}

    def settle(self, new: Mapping[Name, tuple[UUID, datetime]], loaded: Mapping[UUID, Stream]) -> list[Made]:
        """What must be made. A person that an earlier run made comes before a namesake of today; a team or service of
        this name before one whose key looks like it."""
        made: list[Made] = []
        for (kind, name), (own, at) in new.items():
            exists, namesake = own in loaded, self._known.named(kind, name)
            if namesake is not None and not (kind == "people" and exists):
                own = namesake
            elif not exists:
                made.append(Made(own, self._event(kind, name), at))
            self._settled(kind)[name] = own
        return made

    def unsettle(self, names: Iterable[Name]) -> None:
        """What was to be made for them was not."""
        for kind, name in names:
            self._settled(kind).pop(name, None)

    def _settled(self, kind: str) -> dict[str, UUID]:
        return {"people": self.people, "teams": self.teams, "services": self.services}[kind]

    def _own_id(self, kind: str, name: str) -> UUID:
        if kind == "teams":
            return team_stream(self._workspace, self._keys[kind][name])
        if kind == "services":
            return service_stream(self._workspace, self._keys[kind][name])
        digest = hashlib.blake2b(name.encode(), key=self._secret, digest_size=16).hexdigest()
        return uuid5(self._source, f"person:{digest}")

    def _event(self, kind: str, name: str) -> DomainEvent:
        if kind == "teams":
            return TeamAdded(key=self._keys[kind][name], name=name)
        if kind == "services":
            return ServiceAdded(key=self._keys[kind][name], name=name)
        return PersonAdded(kind=PersonKind.STAFF if name in self._staff else PersonKind.CLIENT, name=name)


def _keys(names: Iterable[str], kind: str) -> dict[str, str]:
    """A key for each name, the same whatever the order of the rows."""
    keys: dict[str, str] = {}
    for name in sorted(names):
        keys[name] = free_key(name, kind, keys.values())
    return keys
