"""Passwords that are refused because of their pattern."""

from __future__ import annotations

import secrets
import time

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError

from threada_site.identity.sign_in.password_patterns import part_count


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaaaaaa",
        "a" * 5_000,
        "aAaAaAaAaAaA",
        "abcabcabcabc",
        "x7kqx7kqx7kq",
        "f8Kq2zf8Kq2z",
        "passwordpassword",
        "Password123password",
        "password password!",
        "p@ssw0rdp@ssw0rd",
        "\uff50assword\uff50assword",
        "letmeinletmein",
        "passwordmonkey",
        "threadathreada",
        "123456789012",
        "qwertyuiopasdf",
        "poiuytrewqlkj",
        "1qaz2wsx3edc4rfv",
        "zxcvbnm,./asdf",
        "adminadmin123",
        "Nora-Nora-Nora",
        "password" * 20,
    ],
)
def test_patterns_are_refused(password: str) -> None:
    with pytest.raises(ValidationError, match=r"repeats itself|too common"):
        validate_password(password)


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery staple",
        "correcthorsebattery",
        "another horse, another battery",
        "we share the vendor list",
        "Muenchen-Regen-Brot",
        "ein langes Passwort",
        "}{<>?^%)(#~=",
        "xK9#mP2$vL5q",
        "Tr0ub4dor&3xx",
    ],
)
def test_passphrases_and_random_passwords_are_accepted(password: str) -> None:
    validate_password(password)


def test_generated_passwords_are_accepted() -> None:
    assert min(part_count(secrets.token_urlsafe(12)) for _ in range(500)) >= 8


def test_a_hostile_password_is_examined_quickly() -> None:
    begun = time.process_time()
    for password in ("4@8({[<369&#!1/|0$5+7%2" * 200, "aA1!" * 1_200, "\ufdfa" * 4_000, "ab" * 2_000):
        part_count(password)
    assert time.process_time() - begun < 1
