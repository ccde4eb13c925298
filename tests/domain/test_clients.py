"""Clients: who they are, and who speaks for them."""

import pytest

from domain import clients
from domain.clients import (
    AddClient,
    AddContact,
    Client,
    ClientAdded,
    ClientCommand,
    ClientEvent,
    ClientLocalized,
    ClientRenamed,
    ContactAdded,
    ContactRemoved,
    LocalizeClient,
    RemoveContact,
    RenameClient,
)
from domain.errors import ClientNotFound, InvalidValue
from tests.domain.given import ANNA, Subject, an_id

CLIENT = an_id(71)
client = Subject[Client, ClientCommand, ClientEvent](clients.decide, clients.evolve)
ADD = AddClient(name=" ООО «Ромашка» ", language="ru", currency="RUB", time_zone="Europe/Moscow")
ADDED = ClientAdded(name="ООО «Ромашка»", language="ru", currency="RUB", time_zone="Europe/Moscow")


def test_a_client_is_added_and_renamed() -> None:
    client.when(ADD).then(ADDED)
    client.given(ADDED).when(RenameClient(client=CLIENT, name="Ромашка")).then(ClientRenamed(name="Ромашка"))
    client.given(ADDED).when(RenameClient(client=CLIENT, name=" ООО «Ромашка»")).nothing()
    client.given(ADDED).when(RenameClient(client=CLIENT, name=" ")).refused(InvalidValue, "name")


@pytest.mark.parametrize(
    ("command", "field"),
    [
        (AddClient(name="", language="ru", currency="RUB", time_zone="UTC"), "name"),
        (AddClient(name="x", language="russian", currency="RUB", time_zone="UTC"), "language"),
        (AddClient(name="x", language="ru", currency="RUR", time_zone="UTC"), "currency"),
        (AddClient(name="x", language="ru", currency="rub", time_zone="UTC"), "currency"),
        (AddClient(name="x", language="ru", currency="RUB", time_zone="Moscow"), "timeZone"),
        (AddClient(name="x", language="ru", currency="RUB", time_zone="../etc/passwd"), "timeZone"),
        (AddClient(name="x", language="ru", currency="RUB", time_zone=""), "timeZone"),
    ],
)
def test_what_is_no_client_is_refused(command: AddClient, field: str) -> None:
    client.when(command).refused(InvalidValue, field)


def test_what_is_absent_stays() -> None:
    moved = LocalizeClient(client=CLIENT, time_zone="Asia/Omsk")
    after = ClientLocalized(language="ru", currency="RUB", time_zone="Asia/Omsk")
    client.given(ADDED).when(moved).then(after)
    client.given(ADDED, after).when(moved).nothing()
    client.given(ADDED).when(LocalizeClient(client=CLIENT, currency="XXX")).refused(InvalidValue, "currency")


def test_contacts_come_and_go_once() -> None:
    contact = client.given(ADDED, ContactAdded(person=ANNA))
    client.given(ADDED).when(AddContact(client=CLIENT, person=ANNA)).then(ContactAdded(person=ANNA))
    contact.when(AddContact(client=CLIENT, person=ANNA)).nothing()
    contact.when(RemoveContact(client=CLIENT, person=ANNA)).then(ContactRemoved(person=ANNA))
    client.given(ADDED).when(RemoveContact(client=CLIENT, person=ANNA)).nothing()
    full = client.given(ADDED, *(ContactAdded(person=an_id(1000 + n)) for n in range(clients.CONTACTS_LIMIT)))
    full.when(AddContact(client=CLIENT, person=ANNA)).refused(InvalidValue, "person")


@pytest.mark.parametrize(
    "command",
    [
        RenameClient(client=CLIENT, name="x"),
        LocalizeClient(client=CLIENT),
        AddContact(client=CLIENT, person=ANNA),
        RemoveContact(client=CLIENT, person=ANNA),
    ],
)
def test_who_is_not_here_is_not_changed(command: ClientCommand) -> None:
    client.when(command).refused(ClientNotFound, "client")
