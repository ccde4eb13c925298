"""The catalogue of services: entries under a unique key."""

from domain.errors import InvalidValue, KeyTaken, ServiceNotFound
from domain.services import AddService, RenameService, ServiceAdded, ServiceRenamed
from tests.domain.given import HOSTING, service

ADDED = ServiceAdded(key="hosting", name="Hosting")


def test_a_service_is_added_with_a_key_and_a_name() -> None:
    service.when(AddService(key="hosting", name="Hosting")).then(ADDED)


def test_a_second_service_with_the_same_key_is_refused() -> None:
    service.given(ADDED).when(AddService(key="hosting", name="Other")).refused(KeyTaken, "key")


def test_a_service_needs_a_plain_key_and_a_name() -> None:
    service.when(AddService(key="", name="Hosting")).refused(InvalidValue, "key")
    service.when(AddService(key="hosting", name="")).refused(InvalidValue, "name")


def test_a_service_is_renamed_and_keeps_its_key() -> None:
    outcome = service.given(ADDED).when(RenameService(service=HOSTING, name="Cloud"))
    outcome.then(ServiceRenamed(name="Cloud"))
    assert outcome.after is not None
    assert outcome.after.key == "hosting"


def test_renaming_to_the_same_name_changes_nothing() -> None:
    service.given(ADDED).when(RenameService(service=HOSTING, name="Hosting")).nothing()


def test_a_new_name_must_be_a_name() -> None:
    service.given(ADDED).when(RenameService(service=HOSTING, name=" ")).refused(InvalidValue, "name")


def test_a_service_that_was_never_added_cannot_be_renamed() -> None:
    service.when(RenameService(service=HOSTING, name="Cloud")).refused(ServiceNotFound, "service")
