"""`upgrade`: what is pending, release notes, and refusals."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader

from tests.factories import make_principal
from threada_site.database.roles import owner_role
from threada_site.database.schema_lock import schema_lock
from threada_site.runtime.startup import NotSafeToRunError, refuse_unless_schema_fits
from threada_site.runtime.upgrade.release_notes import notes_between
from threada_site.tenancy.models import SchemaMigration, Tenant
from threada_site.tenancy.schema.version import known_migrations

CHANGES = """# Changelog

## 0.10.0 (unreleased)

ten

## 0.9.1

nine

## 0.2.0

two
"""


def test_release_notes_are_those_between_two_versions() -> None:
    assert notes_between(CHANGES, "0.2.0", "0.10.0") == "## 0.10.0 (unreleased)\n\nten\n\n## 0.9.1\n\nnine"
    assert notes_between(CHANGES, "0.9.1", "0.9.1") == ""
    assert notes_between(CHANGES, "", "0.9.1") == "## 0.9.1\n\nnine"


@pytest.mark.django_db
def test_the_migrations_that_must_be_applied_are_those_that_django_loads() -> None:
    assert known_migrations() == set(MigrationLoader(connection).disk_migrations)


@pytest.mark.django_db
def test_every_applied_migration_is_recorded() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT app || '.' || name FROM django_migrations")
        applied = {name for (name,) in cursor.fetchall()}
    assert set(SchemaMigration.objects.values_list("name", flat=True)) == applied
    refuse_unless_schema_fits()


@pytest.mark.django_db
def test_an_upgrade_names_services_without_a_known_owner(capsys: pytest.CaptureFixture[str], tenant: Tenant) -> None:
    make_principal(tenant, "owned", kind="service")
    call_command("upgrade")
    assert "nobody is known" not in capsys.readouterr().out
    make_principal(tenant, "stray", kind="agent", owner="")
    call_command("upgrade")
    said = capsys.readouterr().out
    assert "In acme, nobody is known to control stray. " in said
    assert said.endswith("manage.py set_owner PERSON --all-of-tenant acme\n")


@pytest.mark.django_db
def test_check_names_pending_migrations_and_changes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    def check() -> dict[str, Any]:
        call_command("upgrade", check=True, json=True)
        facts: dict[str, Any] = json.loads(capsys.readouterr().out)
        return facts

    assert check()["pending"] == []
    with owner_role(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'tenancy' AND name >= '0002'")
    facts = check()
    assert facts["pending"][0]["name"] == "tenancy.0002_functions"
    assert facts["running_code_may_stay"] is False
    assert facts["version_before"] == facts["version"]
    with pytest.raises(NotSafeToRunError, match=r"missing, the first is tenancy\.0002_functions\. Run manage\.py upgr"):
        refuse_unless_schema_fits()
    call_command("upgrade", check=True)
    said = capsys.readouterr().out
    assert "pending migrations:" in said
    assert "stop the older processes first" in said


@pytest.mark.django_db
def test_older_code_refuses_a_schema_that_is_not_compatible(capsys: pytest.CaptureFixture[str]) -> None:
    with owner_role(), connection.cursor() as cursor:
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('tenancy', '0999_new', now())")
    with pytest.raises(NotSafeToRunError, match=r"newer than this code .* tenancy\.0999_new\. Run Threada"):
        refuse_unless_schema_fits()
    with pytest.raises(SystemExit):
        call_command("upgrade")
    assert "newer than this code" in capsys.readouterr().err


@pytest.mark.django_db
def test_one_process_at_a_time_changes_the_schema() -> None:
    waited = []
    with schema_lock():
        other = connections["default"].copy()
        with other.cursor() as cursor:
            cursor.execute("SELECT pg_try_advisory_lock(hashtext('threada-schema'))")
            assert cursor.fetchone() == (False,)
        other.close()
    with schema_lock(lambda: waited.append(1)):
        assert waited == []
