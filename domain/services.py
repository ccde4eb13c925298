"""The catalogue of services. A service's stream id is derived from its key, as a team's is."""

from datetime import datetime
from typing import assert_never
from uuid import UUID

import msgspec

from domain import text
from domain.errors import KeyTaken, ServiceNotFound

# ---- events


class ServiceAdded(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    name: str


class ServiceRenamed(msgspec.Struct, frozen=True, kw_only=True):
    name: str


ServiceEvent = ServiceAdded | ServiceRenamed


# ---- commands


class AddService(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    name: str


class RenameService(msgspec.Struct, frozen=True, kw_only=True):
    service: UUID
    name: str


ServiceCommand = AddService | RenameService


# ---- state


class Service(msgspec.Struct, frozen=True, kw_only=True):
    key: str
    name: str
    active: bool = True


def decide(service: Service | None, command: ServiceCommand) -> list[ServiceEvent]:
    """Raises InvalidValue, KeyTaken, ServiceNotFound."""
    match command:
        case AddService(key=key, name=name):
            if service is not None:
                raise KeyTaken("service", service.key)
            return [ServiceAdded(key=text.key(key), name=text.line(name, "name"))]
        case RenameService(service=wanted, name=name):
            if service is None:
                raise ServiceNotFound(wanted)
            name = text.line(name, "name")
            return [] if name == service.name else [ServiceRenamed(name=name)]
        case _:
            assert_never(command)


def evolve(service: Service | None, event: ServiceEvent, at: datetime) -> Service:
    if isinstance(event, ServiceAdded):
        return Service(key=event.key, name=event.name)
    assert service is not None, "a service's first event is ServiceAdded"
    match event:
        case ServiceRenamed(name=name):
            return msgspec.structs.replace(service, name=name)
        case _:
            assert_never(event)
