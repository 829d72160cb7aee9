"""One acceptance of a code that is sent several times at the same moment."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pyotp
import pytest
from django.db import connection

from tests.factories import make_principal, make_tenant
from threada_site.identity.factors.recovery_codes import make_recovery_codes, use_recovery_code
from threada_site.identity.factors.totp import new_totp, use_totp
from threada_site.kernel.factors import Factor
from threada_site.tenancy.models import EnrolledFactor, User

AT_ONCE = 4


def totp_of(person: User) -> str:
    app = new_totp(person.id)
    EnrolledFactor.objects.create(id=app.factor_id, user=person, kind=Factor.TOTP, secret=app.token, key_id=app.key_id)
    return pyotp.TOTP(app.secret()).now()


def recovery_code_of(person: User) -> str:
    return make_recovery_codes(person.id)[0]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("code_of", "use"), [(totp_of, use_totp), (recovery_code_of, use_recovery_code)])
def test_a_code_sent_several_times_at_once_serves_once(
    code_of: Callable[[User], str], use: Callable[[uuid.UUID, str], Any]
) -> None:
    person = make_principal(make_tenant(), "alice")
    code = code_of(person)
    start = Barrier(AT_ONCE)

    def attempt(_: int) -> bool:
        try:
            connection.ensure_connection()
            start.wait(10)
            return bool(use(person.id, code))
        finally:
            connection.close()

    with ThreadPoolExecutor(AT_ONCE) as threads:
        assert sum(threads.map(attempt, range(AT_ONCE))) == 1
