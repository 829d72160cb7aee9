"""Export of a tenant: everything of it, verifiable outside, and nothing of others."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import call_command

from telemetry.models import Receipt
from tests.factories import make_tenant
from tests.telemetry.sealed import NAME, SealingSetup, newest, seal_out_of_order, write_receipts
from tests.threada_site.tenancy.rows import RowMaker
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.personal_data.subject_keys import key_of, subject_for
from threada_site.runtime.backup.archive import Backup, BackupDamaged
from threada_site.runtime.backup.checks import check_signature, check_version, opened_keys
from threada_site.runtime.backup.recovery_key import new_recovery_key
from threada_site.tenancy.isolation_checks import tenant_models
from threada_site.tenancy.models import Tenant

VERIFIER = settings.THREADA_BASE_DIR / "telemetry" / "verifier" / "threada_verify.py"


@pytest.mark.django_db(transaction=True)
def test_an_export_has_everything_of_the_tenant_and_nothing_of_others(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sealing = SealingSetup(tmp_path)
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(sealing.key_file.path))
    file = tmp_path / "acme.export"
    with pytest.raises(SystemExit):
        call_command("tenant", "export", tenant.slug, str(file))
    assert "Nothing of this tenant is sealed yet" in capsys.readouterr().err
    write_receipts(tenant, 5)
    sealing.seal()
    seal_out_of_order(tenant, sealing)
    with unit_of_work(tenant.id):
        subject = subject_for("customer-1")
        key = key_of(subject)
    other = make_tenant("other-tenant")
    foreign = RowMaker(other).one_of_each()
    private, public = new_recovery_key()

    call_command("tenant", "export", tenant.slug, str(file), "--recovery-key", public)
    with Backup(file) as export:
        export.check(lambda _name, _size: None)
        assert opened_keys(export, private) == {str(subject): (key or b"").hex()}
        assert NAME in check_signature(export, given=[sealing.key_file.keys()[0].verifier_key(NAME)], keys={})
        with pytest.raises(BackupDamaged, match="contains no database"):
            check_version(export)
        members = {name: export.read(name) for name in export.members}
    tables = {f"rows/{model._meta.db_table}.csv" for model in tenant_models()}
    left_out = {
        "api_idempotencyrecord", "integrations_accesstoken", "integrations_proposedsecret",
        "integrations_storedsecret",
        "telemetry_signinfailures", "tenancy_accountlink",
    }  # fmt: skip
    assert tables - members.keys() == {f"rows/{table}.csv" for table in left_out}
    with unit_of_work(tenant.id):
        stored = {str(found) for found in Receipt.objects.values_list("id", flat=True)}
    receipts = csv.DictReader(io.StringIO(members["rows/telemetry_receipt.csv"].decode()))
    assert {row["id"] for row in receipts} == stored

    strange = [
        str(other.id),
        other.slug,
        ids.public_id(ids.TENANT, other.id),
        *(str(row.pk) for row in foreign.values()),
    ]
    for name, content in members.items():
        assert [word for word in strange if word.encode() in content] == [], name

    (tmp_path / "evidence.zip").write_bytes(members["evidence.zip"])
    command = [sys.executable, VERIFIER, "--key", newest(tenant).verifier_keys[0], "--complete", "evidence.zip"]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    with zipfile.ZipFile(tmp_path / "evidence.zip") as evidence:
        lines = evidence.read("evidence/receipts.ndjson").splitlines()
    assert len(lines) == newest(tenant).size

    call_command("tenant", "export", tenant.slug, str(tmp_path / "without.export"))
    assert "Keys of people in cases are not in it" in capsys.readouterr().err
    with unit_of_work(tenant.id):
        assert Receipt.objects.filter(kind="tenant.exported").count() == 2
