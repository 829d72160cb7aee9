"""`doctor`: each check finds its fault and names the fix."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from pytest_django import Settings

from policies.models import Workflow
from telemetry.receipts.signing import receipt_keyring
from tests.factories import make_principal
from tests.ports import free_port
from tests.workitems.office import open_office
from threada_site.database.roles import owner_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.runtime.backup.database import database
from threada_site.runtime.doctor import machine
from threada_site.runtime.doctor.findings import Finding
from threada_site.runtime.management.commands.doctor import results_of
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.django_db


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, list[dict[str, str]]]:
    """Return the findings by check. The command fails, because no process of the instance runs beside a test."""
    with pytest.raises(SystemExit) as ended:
        call_command("doctor", json=True)
    assert ended.value.code == 1
    found: dict[str, list[dict[str, str]]] = {}
    for finding in json.loads(capsys.readouterr().out)["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return found


def states(found: dict[str, list[dict[str, str]]]) -> dict[str, set[str]]:
    return {check: {finding["state"] for finding in results} for check, results in found.items()}


def test_a_sound_instance(capsys: pytest.CaptureFixture[str]) -> None:
    found = findings(capsys)
    assert states(found) | {"disk": {"ok"}, "broker": {"skipped"}} == {
        "versions": {"ok"},
        "database": {"ok"},
        "clock": {"ok"},
        "keys": {"ok"},
        "receipts": {"warning"},
        "permissions": {"ok"},
        "disk": {"ok"},
        "processes": {"failed"},
        "backup": {"warning"},
        "leftovers": {"ok"},
        "mail": {"warning"},
        "broker": {"skipped"},
        "proxy": {"skipped"},
        "documents": {"ok"},
        "owners": {"ok"},
    }


def test_key_of_receipts_that_is_gone_is_a_finding(
    capsys: pytest.CaptureFixture[str], settings: Settings, tmp_path: Path
) -> None:
    settings.THREADA_DATA_DIR = tmp_path
    receipt_keyring().make()
    (tmp_path / "keys" / "receipt_key_worker").unlink()
    [finding] = findings(capsys)["receipts"]
    assert finding["state"] == "failed"
    assert f"{tmp_path}/keys/receipt_key_worker is missing" in finding["said"]


@pytest.mark.parametrize(
    ("number", "fix"),
    [(errno.ENOSPC, "Free space on this disk, or enlarge it."), (errno.EROFS, "Let the user who runs Threada write")],
)
def test_a_file_that_cannot_be_used_is_a_finding(number: int, fix: str) -> None:
    def check() -> Iterator[Finding]:
        raise OSError(number, os.strerror(number), "/data/postgres.lock")
        yield

    (found,) = results_of(check)
    assert (found.check, found.state, found.said) == ("check", "failed", f"/data/postgres.lock: {os.strerror(number)}")
    assert found.fix.startswith(fix)


def test_probable_mistakes_in_force_are_named(capsys: pytest.CaptureFixture[str], tenant: Tenant) -> None:
    open_office(tenant)
    with unit_of_work(tenant.id):
        workflow = Workflow.objects.select_related("current_version").get(slug="payments")
        version = workflow.current_version
        assert version is not None
        version.id, version.number, version._state.adding = ids.new_uuid(), version.number + 1, True
        version.spec["payload_schema"]["requierd"] = []
        version.save()
        workflow.current_version = version
        workflow.save(update_fields=["current_version"])
    said = [finding["said"] for finding in findings(capsys)["documents"]]
    assert said[0].startswith(f"{tenant.slug}: payments: /spec/payload_schema/requierd: requierd is no keyword")


def test_ownerless_services_and_people_by_the_operators_word_are_named(
    capsys: pytest.CaptureFixture[str], tenant: Tenant
) -> None:
    make_principal(tenant, "stray", kind="service", owner="")
    make_principal(tenant, "owned", kind="service")
    found = findings(capsys)
    (owners,), (people,) = found["owners"], found["people"]
    assert owners["state"] == "warning"
    assert owners["said"].startswith("acme: nobody is known to control stray; ")
    assert owners["fix"] == "manage.py set_owner PERSON --all-of-tenant acme, or --of NAME --tenant acme."
    assert people["state"] == "ok"
    assert people["said"].endswith("a command made: keeper (account)")


def test_every_fault_is_found_with_its_fix(
    capsys: pytest.CaptureFixture[str], settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = f"127.0.0.1:{free_port()}"
    (tmp_path / "keys").mkdir(mode=0o700)
    (tmp_path / "keys" / "cursor_key").touch(mode=0o644)
    (tmp_path / "keys" / "cursor_key").chmod(0o644)
    mailer: dict[str, Any] = {"host": "127.0.0.1", "port": int(closed.rpartition(":")[2]), "username": ""}
    settings.MAILERS = {"default": {"OPTIONS": mailer | {"use_ssl": False, "use_tls": False, "password": ""}}}
    settings.THREADA_DATA_DIR = tmp_path
    settings.THREADA_PUBLIC_URL = f"https://{closed}"
    settings.THREADA_TRUSTED_PROXY = False
    settings.THREADA_CURSOR_KEYS = ["another-key-of-at-least-thirty-two-characters"]
    settings.THREADA_ENGINE, settings.THREADA_BROKER_URL = "celery", f"amqp://{closed}"
    monkeypatch.setattr(machine, "_LEAST_BYTES", 2**60)
    call_command("instance", "check")
    with owner_role(), connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tenancy_role NO FORCE ROW LEVEL SECURITY")
        cursor.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('tenancy', '0999_new', now())")
    settings.THREADA_CURSOR_KEYS = ["a-third-key-of-at-least-thirty-two-characters"]
    capsys.readouterr()
    found = findings(capsys)
    faults = {check for check, found_states in states(found).items() if "failed" in found_states}
    assert faults == {
        *("versions", "database", "keys", "permissions", "disk", "processes", "mail", "broker", "proxy"),
        "public address",
    }
    assert all(finding["fix"] for results in found.values() for finding in results if finding["state"] == "failed")
    assert "cursor_key" in found["permissions"][0]["said"]
    assert "0999_new" in found["versions"][0]["said"]
    assert "tenancy_role" in found["database"][0]["said"]


@pytest.mark.django_db(transaction=True)
def test_the_database_of_a_killed_restore_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    name = "threada_restored_0123456789ab_replaced"
    with psycopg.connect(database().named("postgres").conninfo, autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}")
        try:
            (finding,) = findings(capsys)["leftovers"]
            assert (finding["state"], f"DROP DATABASE {name}" in finding["fix"]) == ("warning", True)
            with psycopg.connect(database().named(name).conninfo):  # a restore that runs
                assert states(findings(capsys))["leftovers"] == {"ok"}
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)")


def test_files_that_no_schedule_dates_are_named(
    capsys: pytest.CaptureFixture[str], settings: Settings, tmp_path: Path
) -> None:
    settings.THREADA_BACKUP_DIR = tmp_path
    for time in ("20261399T250000", "29990101T000000", "20260101T000000"):
        (tmp_path / f"threada-{time}Z.backup").touch()
    wrong = [finding["said"] for finding in findings(capsys)["backup"] if "impossible time" in finding["said"]]
    assert [said.partition(" is ")[0] for said in wrong] == [
        str(tmp_path / f"threada-{time}Z.backup") for time in ("20261399T250000", "29990101T000000")
    ]
