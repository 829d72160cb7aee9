"""Password hashes."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.hashers import check_password, identify_hasher, make_password
from pytest_django import Settings

from tests.factories import PASSWORD, make_principal
from threada_site.identity.sign_in.hashing import MOST_AT_ONCE, hashing_slot
from threada_site.kernel.errors import SignInBusy
from threada_site.kernel.request_threads import PASSWORDS, REQUESTS
from threada_site.tenancy.models import Tenant


def test_passwords_are_hashed_with_argon2id_and_19_mib() -> None:
    assert make_password(PASSWORD).startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_hash_of_before_is_replaced_at_the_next_sign_in(tenant: Tenant) -> None:
    alice = make_principal(tenant, "alice")
    alice.password = make_password(PASSWORD, hasher="pbkdf2_sha256")
    alice.save()
    assert not alice.check_password("wrong password, clearly")
    assert identify_hasher(alice.password).algorithm == "pbkdf2_sha256"
    assert alice.check_password(PASSWORD)
    alice.refresh_from_db()
    assert identify_hasher(alice.password).algorithm == "argon2"
    assert alice.check_password(PASSWORD)


def test_at_most_two_hashes_are_computed_at_once() -> None:
    with hashing_slot(), hashing_slot():
        with pytest.raises(SignInBusy):
            make_password(PASSWORD)
        with pytest.raises(SignInBusy):
            check_password(PASSWORD, make_password_elsewhere())
    assert MOST_AT_ONCE == 2
    assert check_password(PASSWORD, make_password(PASSWORD))


def make_password_elsewhere() -> str:
    return "argon2$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"


@pytest.mark.parametrize("hasher", ["argon2", "pbkdf2_sha256"])
def test_threads_that_serve_other_requests_hash_nothing(hasher: str, settings: Settings) -> None:
    assert on_thread(f"{REQUESTS}-1", hasher) == "RuntimeError"
    assert on_thread(f"{PASSWORDS}-1", hasher) == hasher


def on_thread(name: str, hasher: str) -> str:
    """Hash a password on a thread. Return the algorithm, or the name of the error."""
    results: list[str] = []

    def work() -> None:
        try:
            results.append(identify_hasher(make_password(PASSWORD, hasher=hasher)).algorithm)
        except RuntimeError as error:
            results.append(type(error).__name__)

    thread = threading.Thread(target=work, name=name)
    thread.start()
    thread.join()
    return results[0]
