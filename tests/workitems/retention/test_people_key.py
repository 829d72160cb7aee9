"""Changing the instance's key of people in cases: while everything runs, ended anywhere and run again."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from tests.workitems.office import Office
from tests.workitems.people_cases import ALICE, about_people, ended_case, payload
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.personal_data import subject_keys as keyring
from threada_site.personal_data.encrypted_blob import BlobUnreadableError
from threada_site.runtime.management.commands import rotate_people_key
from threada_site.tenancy.models import DataSubject
from workitems.models import WorkItem
from workitems.retention.erasure import subject_named

OLD, NEW, OTHER = "the-old-key-of-people", "the-new-key-of-people", "a-key-of-somewhere-else"
BOB = "bob@example.org"


@pytest.fixture(autouse=True)
def old_key(settings: Any) -> None:
    settings.THREADA_PEOPLE_KEY = OLD


def rotate() -> str:
    said = io.StringIO()
    with suppress(SystemExit):
        call_command("rotate_people_key", stdout=said, stderr=said)
    return said.getvalue().strip()


def people() -> dict[Any, tuple[bytes, bytes, bytes]]:
    with platform_role():
        rows = DataSubject.objects.filter(erased_at=None).values_list("id", "lookup", "wrapped_key", "reference")
        return {row: (bytes(lookup), bytes(key), bytes(reference)) for row, lookup, key, reference in rows}


def stored_payloads() -> set[str]:
    with platform_role(), connection.cursor() as cursor:
        cursor.execute("SELECT payload::text FROM workitems_workitem")
        return {row[0] for row in cursor.fetchall()}


def test_keys_are_rewrapped_and_contents_stay(office: Office, settings: Any) -> None:
    about_people(office)
    alice, _, _ = ended_case(office)
    bob, _, _ = ended_case(office, person=BOB)
    before, contents = people(), stored_payloads()
    settings.THREADA_PEOPLE_KEY = f"{NEW} {OLD}"
    assert office.item(alice).payload == payload()
    again, _, _ = ended_case(office)
    assert again.subject_id == alice.subject_id
    contents |= stored_payloads()
    assert rotate() == "2 keys rewrapped."
    after = people()
    assert after.keys() == before.keys() == {alice.subject_id, bob.subject_id}
    for person, (lookup, key, reference) in before.items():
        assert after[person][0] != lookup
        assert after[person][1] != key
        assert after[person][2] == reference
    assert stored_payloads() == contents
    assert rotate() == "0 keys rewrapped."
    assert people() == after
    settings.THREADA_PEOPLE_KEY = NEW
    assert office.item(alice).payload == payload()
    assert office.item(bob).payload == payload(person=BOB)
    with unit_of_work(office.tenant.id):
        assert subject_named(ALICE) == alice.subject_id
        assert keyring.subject_for(BOB) == bob.subject_id
    settings.THREADA_PEOPLE_KEY = OLD
    with pytest.raises(BlobUnreadableError):
        office.item(alice)
    assert not keyring.opens_a_key()


def test_a_person_made_under_either_order_is_one(office: Office, settings: Any) -> None:
    settings.THREADA_PEOPLE_KEY = f"{OLD} {NEW}"
    with unit_of_work(office.tenant.id):
        made = keyring.subject_for(ALICE)
    for keys in (f"{NEW} {OLD}", OLD):
        settings.THREADA_PEOPLE_KEY = keys
        with unit_of_work(office.tenant.id):
            assert (keyring.subject_for(ALICE), subject_named(ALICE)) == (made, made)
    settings.THREADA_PEOPLE_KEY = f"{NEW} {OLD}"
    with unit_of_work(office.tenant.id):
        other = keyring.subject_for(BOB)
    settings.THREADA_PEOPLE_KEY = f"{OLD} {NEW}"
    with unit_of_work(office.tenant.id):
        assert keyring.subject_for(BOB) == other
    assert len(people()) == 2


def test_it_goes_on_where_it_was_ended(office: Office, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with unit_of_work(office.tenant.id):
        found = [keyring.subject_for(f"person {number}") for number in range(7)]
    before = people()
    settings.THREADA_PEOPLE_KEY = f"{NEW} {OLD}"
    monkeypatch.setattr(rotate_people_key, "BATCH", 2)
    batches = 0

    def killed(**how: Any) -> Any:
        nonlocal batches
        batches += 1
        if batches > 2:
            raise KeyboardInterrupt
        return rewrap_keys(**how)

    rewrap_keys = rotate_people_key.rewrap_keys
    with monkeypatch.context() as patched:
        patched.setattr(rotate_people_key, "rewrap_keys", killed)
        with pytest.raises(KeyboardInterrupt):
            rotate()
    assert sum(people()[person] != before[person] for person in found) == 4
    assert rotate() == "3 keys rewrapped."
    settings.THREADA_PEOPLE_KEY = NEW
    with unit_of_work(office.tenant.id):
        assert [keyring.subject_for(f"person {number}") for number in range(7)] == found


def test_what_no_key_opens_is_said_and_left(office: Office, settings: Any) -> None:
    with unit_of_work(office.tenant.id):
        keyring.subject_for(ALICE)
    before = people()
    settings.THREADA_PEOPLE_KEY = f"{NEW} {OTHER}"
    assert rotate().startswith("0 keys rewrapped; 0 were in use: run it again. 1 could not be")
    assert people() == before


def test_a_person_made_twice_is_said_and_left(office: Office, settings: Any) -> None:
    for keys in (OLD, NEW):  # as machines do that were not brought both keys first
        settings.THREADA_PEOPLE_KEY = keys
        with unit_of_work(office.tenant.id):
            keyring.subject_for(ALICE)
    before = people()
    settings.THREADA_PEOPLE_KEY = f"{NEW} {OLD}"
    assert "1 could not be rewrapped: no key opens them, or the person exists twice" in rotate()
    assert people() == before


@pytest.mark.django_db(transaction=True)
def test_a_person_in_use_is_passed_over(office: Office, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotate_people_key, "PASSES", 2)
    monkeypatch.setattr(rotate_people_key, "PAUSE_S", 0.01)
    about_people(office)
    alice, _, _ = ended_case(office)
    ended_case(office, person=BOB)
    settings.THREADA_PEOPLE_KEY = f"{NEW} {OLD}"
    other = connection.copy()
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:
            cursor.execute("SELECT set_config('app.tenant', %s, true)", [str(office.tenant.id)])
            cursor.execute("SELECT id FROM tenancy_datasubject WHERE id = %s FOR KEY SHARE", [alice.subject_id])
            assert cursor.fetchone() == (alice.subject_id,)
        assert rotate().startswith("1 keys rewrapped; 1 were in use")
        other.rollback()
    finally:
        other.close()
    assert rotate() == "1 keys rewrapped."
    with unit_of_work(office.tenant.id):
        assert WorkItem.objects.get(id=alice.id).payload == payload()
