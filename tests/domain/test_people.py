"""People: added, renamed, deactivated when they leave, reactivated when they come back."""

import pytest

from domain.errors import InvalidValue, PersonErased, PersonNotFound
from domain.people import (
    AddPerson,
    DeactivatePerson,
    ErasePerson,
    PersonAdded,
    PersonDeactivated,
    PersonKind,
    PersonReactivated,
    PersonRenamed,
    ReactivatePerson,
    RenamePerson,
    SubjectErased,
    evolve,
)
from tests.domain.given import ANNA, NOW, person

ADDED = PersonAdded(kind=PersonKind.STAFF, name="Anna Ivanova", email="anna@example.org")


def test_a_person_is_added_as_staff_unless_said_otherwise() -> None:
    person.when(AddPerson(name=" Anna  Ivanova ", email="anna@example.org")).then(ADDED)
    person.when(AddPerson(name="Client", kind=PersonKind.CLIENT)).then(
        PersonAdded(kind=PersonKind.CLIENT, name="Client")
    )


def test_a_person_without_a_name_is_refused() -> None:
    person.when(AddPerson(name="\u200b ")).refused(InvalidValue, "name")


@pytest.mark.parametrize("email", ["anna", "@", "anna@", "@example.org", "a b@example.org", "a@b@c", ""])
def test_what_cannot_be_an_email_address_is_refused(email: str) -> None:
    person.when(AddPerson(name="Anna", email=email)).refused(InvalidValue, "email")


def test_an_email_address_longer_than_mail_allows_is_refused() -> None:
    person.when(AddPerson(name="Anna", email="a" * 250 + "@b.cc")).refused(InvalidValue, "email")


def test_a_person_is_renamed() -> None:
    person.given(ADDED).when(RenamePerson(person=ANNA, name="Anna Petrova")).then(PersonRenamed(name="Anna Petrova"))


def test_renaming_to_the_same_name_changes_nothing() -> None:
    person.given(ADDED).when(RenamePerson(person=ANNA, name="  Anna Ivanova")).nothing()


def test_an_empty_new_name_is_refused() -> None:
    person.given(ADDED).when(RenamePerson(person=ANNA, name=" ")).refused(InvalidValue, "name")


def test_who_leaves_is_deactivated_once() -> None:
    person.given(ADDED).when(DeactivatePerson(person=ANNA)).then(PersonDeactivated())
    person.given(ADDED, PersonDeactivated()).when(DeactivatePerson(person=ANNA)).nothing()


def test_who_comes_back_is_reactivated_once_and_keeps_name_and_address() -> None:
    left = person.given(ADDED, PersonRenamed(name="Anna Petrova"), PersonDeactivated())
    outcome = left.when(ReactivatePerson(person=ANNA))
    outcome.then(PersonReactivated())
    assert outcome.after is not None
    assert (outcome.after.name, outcome.after.email, outcome.after.active) == (
        "Anna Petrova",
        "anna@example.org",
        True,
    )
    person.given(ADDED).when(ReactivatePerson(person=ANNA)).nothing()


def test_nobody_can_be_renamed_deactivated_or_reactivated_before_being_added() -> None:
    person.when(RenamePerson(person=ANNA, name="Anna")).refused(PersonNotFound, "person")
    person.when(DeactivatePerson(person=ANNA)).refused(PersonNotFound, "person")
    person.when(ReactivatePerson(person=ANNA)).refused(PersonNotFound, "person")


ERASURE = SubjectErased(act="0a" * 32, journal="0b" * 32)


def test_who_is_erased_has_no_name_any_more_and_takes_nothing_new() -> None:
    command = ErasePerson(person=ANNA, act=ERASURE.act, journal=ERASURE.journal)
    person.given(ADDED).when(command).then(ERASURE)
    state = evolve(evolve(None, ADDED, NOW), ERASURE, NOW)
    assert (state.name, state.email, state.active, state.erased) == ("[erased]", None, False, True)


def test_nobody_is_called_as_those_who_were_erased() -> None:
    person.when(AddPerson(name=" [erased] ")).refused(InvalidValue, "name")
    person.given(ADDED).when(RenamePerson(person=ANNA, name="[erased]")).refused(InvalidValue, "name")


def test_of_whom_the_key_is_gone_nothing_is_said_but_that() -> None:
    """It would be sealed by another key, and stay."""
    unreadable = PersonAdded(kind=PersonKind.STAFF, name="[erased]", email="[erased]")
    assert not evolve(None, unreadable, NOW).active
    person.given(unreadable).when(RenamePerson(person=ANNA, name="Anna")).refused(PersonErased, "person")
    person.given(unreadable).when(ReactivatePerson(person=ANNA)).refused(PersonErased, "person")
    command = ErasePerson(person=ANNA, act=ERASURE.act, journal=ERASURE.journal)
    person.given(unreadable).when(command).then(ERASURE)


def test_nothing_can_be_done_with_who_was_erased() -> None:
    for command in (
        ErasePerson(person=ANNA, act="", journal=""),
        RenamePerson(person=ANNA, name="Anna again"),
        ReactivatePerson(person=ANNA),
        DeactivatePerson(person=ANNA),
    ):
        person.given(ADDED, ERASURE).when(command).refused(PersonErased, "person")
