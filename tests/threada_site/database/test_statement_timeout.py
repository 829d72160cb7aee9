"""Statements of the web and of the worker end after a time; commands and exports have no limit."""

from __future__ import annotations

import os
import subprocess
import sys

import psycopg
import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction

from telemetry.exports.bodies import bodies_of
from telemetry.models import Receipt
from tests.telemetry.sealed import write_receipts
from threada_site.api.refusals import as_threada_error
from threada_site.database.logins import logins_script
from threada_site.database.role_names import APP, LIMIT_OF_WEB
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant

_SHOWN = (
    "import django; django.setup(); from django.conf import settings; "
    "print(settings.DATABASES['default']['OPTIONS'].get('options', ''))"
)


@pytest.mark.parametrize(("process", "limit"), [("web", "15000"), ("worker", "1800000"), ("platform", None)])
def test_a_process_has_the_limit_of_its_kind(process: str, limit: str | None) -> None:
    environment = {**os.environ, "THREADA_PROCESS": process, "DJANGO_SETTINGS_MODULE": "threada_site.settings"}
    command = [sys.executable, "-c", _SHOWN]
    shown = subprocess.run(
        command, env=environment, cwd=settings.THREADA_BASE_DIR, capture_output=True, text=True, check=True
    ).stdout
    assert (f"statement_timeout={limit}" in shown) if limit else ("statement_timeout" not in shown)


def test_the_login_of_the_web_has_the_limit_unless_it_is_the_only_login() -> None:
    assert f"{LIMIT_OF_WEB};" in logins_script(database="threada", verifiers={})
    assert "statement_timeout" not in logins_script(database="threada", verifiers={}, takes_memberships=False)


@pytest.mark.django_db
def test_the_login_of_the_web_has_the_limit_on_the_embedded_server() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolconfig FROM pg_roles WHERE rolname = %s", [APP])
        assert "statement_timeout=15000" in (cursor.fetchone()[0] or ())


@pytest.mark.django_db
def test_a_statement_that_is_ended_is_a_typed_refusal() -> None:
    with pytest.raises(OperationalError) as ended, transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 1; SELECT pg_sleep(1)")
    assert isinstance(ended.value.__cause__, psycopg.errors.QueryCanceled)
    refusal = as_threada_error(ended.value)
    assert (refusal.reason_code, refusal.status) == ("statement_too_slow", 503)


@pytest.mark.django_db
def test_an_export_has_no_limit(tenant: Tenant) -> None:
    write_receipts(tenant, 3)
    with unit_of_work(tenant.id), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 5000")
        stored = list(Receipt.objects.order_by("id").values_list("body", flat=True))
        # Read to the end before anything is asserted: a failure in the middle of COPY would wait for itself.
        read = [bytes(body) for batch in bodies_of(Receipt.objects.order_by("id")) for body in batch]
        assert read == [bytes(body) for body in stored]
        assert len(read) >= 3
        cursor.execute("SHOW statement_timeout")
        assert cursor.fetchone() == ("0",)
