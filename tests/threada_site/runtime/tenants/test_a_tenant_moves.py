"""A tenant leaves one instance and continues in another: export, deletion, import."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client
from pytest_django import Settings

from integrations.models import Execution, Freeze
from telemetry.log.key_file import KeyFile
from telemetry.models import LogLeaf, Receipt
from telemetry.receipts.keyring import ReceiptKeyring
from telemetry.receipts.signature import ROLES, ReceiptSigner
from telemetry.receipts.signing import receipt_keyring
from telemetry.tlog.note import Signer, sign
from tests.client import Api
from tests.factories import make_tenant, make_token
from tests.jobs import run_jobs
from tests.telemetry.sealed import NAME, SealingSetup, seal_out_of_order, write_receipts
from tests.telemetry.tampering import by_sql
from tests.threada_site.identity.test_machine_power import PROVIDER
from tests.threada_site.identity.trusted_issuers.issuer import PUBLIC_URL, mapping, offline_spec
from tests.threada_site.runtime.tenants.hostile import changed, in_manifest, in_rows, malformed, with_principal
from tests.threada_site.tenancy.rows import RowMaker
from tests.workitems.attachments.files import PDF, path, take_files, upload
from tests.workitems.office import Office, open_office
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.providers.configure import upsert_provider
from threada_site.identity.trusted_issuers.configure import upsert_trusted_issuer
from threada_site.identity.trusted_issuers.document import parse_trusted_issuer
from threada_site.kernel import ids
from threada_site.kernel.context import Scope
from threada_site.runtime.backup.archive import MANIFEST, NOTE
from threada_site.runtime.backup.recovery_key import new_recovery_key
from threada_site.runtime.backup.tenant_export import GRANTS
from threada_site.runtime.tenants import departure, erase
from threada_site.tenancy.deletions.models import DeletedTenant, TenantDeletion
from threada_site.tenancy.isolation_checks import tenant_models
from threada_site.tenancy.models import Credential, IdentityProvider, Role, Tenant, TrustedIssuer, User
from workitems.models import WorkItem
from workitems.retention.legal_holds import LegalHoldRequest, lift_legal_hold, set_legal_hold

OTHER = "elsewhere.example"


def command(capsys: pytest.CaptureFixture[str], *words: str, fails: bool = False) -> str:
    """Run a command of the operator. Return what it printed."""
    capsys.readouterr()
    if fails:
        with pytest.raises(SystemExit):
            call_command(*words)
    else:
        call_command(*words)
    printed = capsys.readouterr()
    return printed.out + printed.err


def let_time_pass(tenant: Tenant, column: str, table: str, days: int) -> None:
    with platform_role(), connection.cursor() as cursor:
        moved = f"UPDATE {table} SET {column} = {column} - make_interval(days => %s) WHERE tenant_id = %s"
        cursor.execute(moved, [days, tenant.id])


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_a_tenant_moves_to_another_instance(
    tenant: Tenant,
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    instance_log: None,
) -> None:
    sealing = SealingSetup(tmp_path)
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(sealing.key_file.path))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(sealing.anchor.directory))
    office = open_office(tenant)
    office.join("ben", roles=("tenant_admin",))
    office.join("robot", kind="service", roles=("tenant_admin",))
    settings.THREADA_PUBLIC_URL = PUBLIC_URL
    with unit_of_work(tenant.id):
        upsert_provider("corp", PROVIDER, ctx=office.system)
        upsert_trusted_issuer("ci", parse_trusted_issuer(offline_spec(mapping(principal="robot"))), ctx=office.system)
    ada, ben, robot = (office.api(name) for name in ("ada", "ben", "robot"))
    office.upsert_workflow("wages", subject="/vendor")
    about = office.create(5, workflow="wages", payload={"amount": 5, "vendor": "Initech"})
    queued = office.execute(office.decided()).execution
    _, step, waiting = office.awaiting()
    take_files(office)
    invoice = upload(office.api("rita")).json()
    handed_in = {
        "workflow_id": "payments",
        "channel_id": "web",
        "payload": {"amount": 5, "invoice": invoice_of(invoice)},
    }
    assert office.api("rita").post("/work-items", handed_in).status_code == 201
    stored = path(office, invoice["attachment_id"])
    encrypted = stored.read_bytes()
    other = make_tenant("other-tenant")
    RowMaker(other).one_of_each()
    neighbour = make_tenant("neighbour")
    write_receipts(neighbour, 3)
    sealing.seal()
    seal_out_of_order(tenant, sealing)
    private, public = new_recovery_key()
    assert confirm(office) == 200
    file = tmp_path / "acme.export"
    command(capsys, "tenant", "export", tenant.slug, str(file), "--recovery-key", public)
    sealing.seal()

    # Two independent stewards, a waiting period, and nobody else.
    assert robot.post("/tenant-deletion", {"tenant_id": tenant.slug}).json()["reason_code"] == "person_required"
    assert ada.post("/tenant-deletion", {"tenant_id": "other-tenant"}).json()["reason_code"] == "invalid_request"
    with unit_of_work(tenant.id):
        hold = set_legal_hold(LegalHoldRequest(reason="Q", workflow="wages"), ctx=office.system)
    assert "legal holds are in force" in ada.post("/tenant-deletion", {"tenant_id": tenant.slug}).json()["detail"]
    lift(office, hold, "now")
    assert ada.get("/tenant-deletion").json()["is_confirmed"] is True
    assert ben.post("/tenant-deletion/withdraw", {}).status_code == 200
    assert ben.post("/tenant-deletion/withdraw", {}).status_code == 404
    assert "have not confirmed" in command(capsys, "tenant", "delete", tenant.slug, "--yes", fails=True)
    assert confirm(office) == 200
    assert "is due at" in command(capsys, "tenant", "delete", tenant.slug, "--yes", fails=True)
    let_time_pass(tenant, "due_at", "tenancy_tenantdeletion", 8)
    assert "not the one of its change set" in command(capsys, "tenant", "delete", tenant.slug, "--yes", fails=True)
    let_time_pass(tenant, "closed_at", "tenancy_changeset", 8)
    assert "1 executions are queued" in command(capsys, "tenant", "delete", tenant.slug, "--yes", fails=True)
    office.set_execution(queued, status="cancelled")
    with unit_of_work(tenant.id):
        hold = set_legal_hold(LegalHoldRequest(reason="Q", workflow="wages"), ctx=office.system)
    assert "legal holds are in force" in command(capsys, "tenant", "delete", tenant.slug, "--yes", fails=True)
    lift(office, hold, "again")
    assert ada.get("/work-items").status_code == 200

    # Killed in between, it is closed for everybody and continues with the same command.
    monkeypatch.setattr(departure, "delete_rows_of", killed)
    with pytest.raises(KeyboardInterrupt):
        call_command("tenant", "delete", tenant.slug, "--yes")
    monkeypatch.undo()
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(sealing.key_file.path))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(sealing.anchor.directory))
    assert ada.get("/work-items").status_code == 401
    with unit_of_work(tenant.id):
        assert WorkItem.objects.exists()
    note = command(capsys, "tenant", "delete", tenant.slug, "--yes")
    assert f'"tenant_id":"{ids.public_id(ids.TENANT, tenant.id)}"' in note
    assert '"ada"' not in note
    assert office.people["ada"].public_id in note
    assert office.people["ben"].public_id in note
    assert command(capsys, "tenant", "deleted") in note
    nothing_is_left(tenant)
    assert not stored.exists()
    with unit_of_work(other.id):
        assert all(model.objects.exists() for model in tenant_models())
    sealing.seal()
    found = command(capsys, "verify_receipts", fails=True)  # rows of the other tenant were written without receipts
    assert "was deleted, as a signed record says" in found
    assert "the tenant is not in the database any more" not in found
    assert "all valid" in command(capsys, "verify_receipts", "--tenant", "neighbour")

    # Elsewhere, with other keys.
    retired = receipt_keyring().signer("worker")
    (tmp_path / "elsewhere").mkdir()
    KeyFile(tmp_path / "elsewhere" / "sealing_key").create(OTHER)
    elsewhere = SealingSetup(tmp_path / "elsewhere")
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(elsewhere.key_file.path))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(elsewhere.anchor.directory))
    here = ReceiptKeyring.throw_away()
    settings.THREADA_RECEIPT_KEY = " ".join(str(here.private(role)) for role in ROLES)
    settings.THREADA_RECEIPT_PUBLIC_KEYS = " ".join(map(str, here.public()))
    command(capsys, "instance", "accept", "THREADA_RECEIPT_PUBLIC_KEYS")
    (tmp_path / "recovery").write_text(private)
    key = sealing.key_file.keys()[-1]

    def signed(text: str) -> str:
        return str(sign(text, [Signer(key.name, key.private_key)]))

    def elsewhere_signed(text: str) -> str:
        return str(sign(text, [Signer(key.name, elsewhere.key_file.keys()[-1].private_key)]))

    known = str(key.verifier_key(NAME))
    arrival = ("tenant", "import", str(file), "--recovery-key-file", str(tmp_path / "recovery"))
    stranger = str(elsewhere.key_file.keys()[-1].verifier_key(OTHER))
    ada_id = office.people["ada"].id
    hidden = f"principal,{ada_id},tenancy.tenant,{tenant.id},{Scope.WORKFLOW_MANAGE.codename}\n".encode()
    hostile = {
        "rows of another tenant": in_rows("workitems_workitem", "tenant_id", str(other.id)),
        "names an account": in_rows(
            "tenancy_membership", "user_id", str(User.objects.get(username="other-tenant-person").id)
        ),
        "not those of its receipts": in_rows("telemetry_receipt", "workflow", "another"),
        "cannot be read": in_rows("workitems_workitem", "created_at", "soon"),
        "is not of this tenant": in_rows("workitems_storedfile", "path", f"{other.id.hex}/ab/{'0' * 40}"),
        "belongs to no row": in_rows("workitems_storedfile", "path", f"{tenant.id.hex}/ab/{'0' * 40}"),
        "dated in the future": in_rows(
            "telemetry_checkpoint", "id", "ffffffff-ffff-7fff-bfff-ffffffffffff", only_last=True
        ),
        "without the record": lambda name, body: body + hidden if name == GRANTS else body,
        "with a schema that is not known here": lambda name, body: (
            body.replace(b'"0001_initial"', b'"0009_later"') if name == MANIFEST else body
        ),
    }
    # Somebody who was erased here, alone or with another tenant, does not come back with this one.
    for number in range(2):
        gone = User(id=ids.new_uuid(), kind="human", is_active=False, username=f"erased-{number}")
        gone.username = erase.erased_name(gone.id, tenant_id=other.id) if number else f"erased-{gone.id.hex}"
        gone.save()
        revived = with_principal(f"{gone.id},mallory,human,Mallory,m@example.com,,,t,2026-01-01T00:00:00Z")
        bad = changed(file, tmp_path / f"revived-{number}.export", revived, signed)
        assert "exist in this instance" in command(capsys, "tenant", "import", bad, "--without-keys", fails=True)
        gone.refresh_from_db()
        assert (gone.is_active, gone.display_name) == (False, "")
    tenants = Tenant.objects.count()
    for number, (sentence, change) in enumerate(hostile.items()):
        bad = changed(file, tmp_path / f"{number}.export", change, signed)
        assert sentence in command(capsys, "tenant", "import", bad, "--without-keys", fails=True), sentence
    for what, change in malformed(str(ids.new_uuid())).items():
        bad = changed(file, tmp_path / "malformed.export", change, signed)
        refused = command(capsys, "tenant", "import", bad, "--without-keys", fails=True)
        assert "Traceback" not in refused, what
        assert Tenant.objects.count() == tenants, what
        assert "\x1b" not in refused, what
    assert not stored.exists()
    bad = changed(file, tmp_path / "path.export", lambda _, body: body, signed, grants="files/attachments/../../grants")
    assert "leads out of the backup" in command(capsys, "tenant", "import", bad, fails=True)
    assert "known key" in command(capsys, *arrival, "--log-key", stranger, fails=True)
    assert "are needed" in command(capsys, "tenant", "import", str(file), fails=True)
    assert "has a tenant" in command(capsys, *arrival, "--as", "other-tenant", fails=True)
    assert Tenant.objects.count() == tenants

    lax = in_manifest(settings={"personal_token_days": 3650, "require_mfa": False})
    with zipfile.ZipFile(file) as export:
        note = export.read(NOTE).decode()
    for signer, sentence in (
        (lambda _: note, "its manifest is not what was signed"),
        (elsewhere_signed, "its manifest is not signed by a known key"),
    ):
        bad = changed(file, tmp_path / "lax.export", lax, signer)
        refused = command(capsys, "tenant", "import", bad, "--without-keys", "--log-key", known, fails=True)
        assert sentence in refused
    assert Tenant.objects.count() == tenants

    said = command(capsys, *arrival, "--log-key", known, "--as", "moved")
    assert "1 executions were under way" in said
    assert "credentials are revoked" in said
    assert "2 trusted issuers and identity providers are withdrawn: apply them again." in said
    assert "does not apply here" in said
    assert f"{OTHER}/{ids.public_id(ids.TENANT, tenant.id)} goes on" in said
    elsewhere.seal()
    checked = command(capsys, "verify_receipts", "--tenant", "moved")
    assert "all valid" in checked
    assert "signed by the instance that the tenant was imported from" in checked
    # The receipts of before are judged by the keys that came with them, which count for nothing later.
    assert "keys that are not known" not in checked
    assert "no signature of the process" not in checked
    imported_receipts_are_judged(tenant, retired, capsys)
    with unit_of_work(tenant.id):
        unknown = Execution.objects.get(id=queued.id)
        assert (unknown.status, Execution.objects.get(id=waiting.id).status) == ("outcome_unknown", "awaiting_approval")
        assert Freeze.objects.filter(lifted_at=None, integration="bank").exists()
        assert not Credential.objects.filter(revoked_at=None).exists()
        assert WorkItem.objects.get(id=about.id).payload["vendor"] == "Initech"
        assert Receipt.objects.filter(kind="tenant.imported").count() == 1
        assert not TenantDeletion.objects.filter(withdrawn_at=None).exists()
        for model in (IdentityProvider, TrustedIssuer):
            assert [row.current_version_id for row in model.objects.all()] == [None]
    assert Client().get("/console/login/moved/corp").headers["Location"] == "/console/login/moved/"
    assert ada.get("/work-items").status_code == 401
    assert stored.read_bytes() == encrypted
    people = {name: User.objects.get(username=name) for name in ("ada", "fay", "finn")}
    moved = Office(Tenant.objects.get(slug="moved"), people)
    assert Api(token_of(moved, "ada")).get("/work-items").json()["data"]
    content = Api(token_of(moved, "fay")).get(f"/attachments/{invoice['attachment_id']}/content")
    assert b"".join(content.streaming_content) == PDF
    # An open step is decided here, and its action waits for the freeze of the integration.
    for name in ("fay", "finn"):
        moved.vote(step, name)
    run_jobs()
    assert moved.step(step).status == "approved"
    approved = moved.execution(waiting)
    assert (approved.status, approved.blocked_by_freeze_id is not None) == ("started", True)
    assert "or this very tenant" in command(capsys, *arrival, "--as", "again", fails=True)


def imported_receipts_are_judged(tenant: Tenant, retired: ReceiptSigner, capsys: pytest.CaptureFixture[str]) -> None:
    """Check that `verify_receipts` names a changed signature of an imported receipt, and a later one by a key of the
    instance before."""
    with unit_of_work(tenant.id):
        size = json.loads(bytes(Receipt.objects.get(kind="tenant.imported").body))["outcome"]["receipts"]
        leaves = LogLeaf.objects.filter(index__in=(size - 1, size)).order_by("index")
        imported, later = [Receipt.objects.get(id=leaf.id) for leaf in leaves]
    forged = retired.sign([bytes(later.body)], tenant=ids.public_id(ids.TENANT, tenant.id))[0]
    for receipt, signature, message in (
        (imported, forged, "does not verify"),
        (later, forged, "no process of the product signed it"),
    ):
        change = "UPDATE telemetry_receipt SET signature = '{}' WHERE id = '{}'"
        with transaction.atomic():
            by_sql(change.format(signature, receipt.id))
        said = command(capsys, "verify_receipts", "--tenant", "moved", fails=True)
        [named] = [line for line in said.splitlines() if receipt.public_id in line]
        assert message in named
        with transaction.atomic():
            by_sql(change.format(receipt.signature, receipt.id))
    assert "all valid" in command(capsys, "verify_receipts", "--tenant", "moved")


def invoice_of(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: answer[name] for name in ("attachment_id", "name", "media_type", "size", "sha256")}


def killed(*_: object) -> int:
    raise KeyboardInterrupt


def token_of(office: Office, name: str) -> str:
    return make_token(office.tenant, office.people[name])


def confirm(office: Office) -> int:
    """Request the deletion as ada, and confirm it as ben. Return the status of the confirmation."""
    ada, ben = office.api("ada"), office.api("ben")
    asked = ada.post("/tenant-deletion", {"tenant_id": office.tenant.slug})
    assert asked.status_code == 202, asked.content
    address, digest = f"/change-sets/{asked.json()['change_set_id']}/publish", {"digest": asked.json()["digest"]}
    assert ada.post(address, digest).json()["reason_code"] == "second_person_required"
    assert office.api("robot").post(address, digest).json()["reason_code"] == "person_required"
    return int(ben.post(address, digest).status_code)


def lift(office: Office, hold: Any, reason: str) -> None:
    with unit_of_work(office.tenant.id):
        lift_legal_hold(hold.id, reason=reason, ctx=office.system)


def nothing_is_left(tenant: Tenant) -> None:
    """Check every table of the catalogue that has a tenant, so that a new table cannot be forgotten."""
    assert not Tenant.objects.filter(id=tenant.id).exists()
    assert not Role.objects.filter(group__name__startswith=f"{tenant.slug}:").exists()
    assert not User.objects.filter(home_tenant_id=tenant.id).exists()
    assert not User.objects.filter(username__in=["ada", "ben", "rita"]).exists()
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE a.attname = 'tenant_id' "
            "AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace"
        )
        tables = [table for (table,) in cursor.fetchall()]
        assert set(tables) == {table for group in erase.groups_of_tables() for table in group} | set(erase.LOG)
        for table in tables:
            cursor.execute(f'SELECT count(*) FROM "{table}" WHERE tenant_id = %s', [tenant.id])
            assert cursor.fetchone() == (0,), table
        cursor.execute("SELECT count(*) FROM procrastinate_jobs WHERE args ->> 'tenant_id' = %s", [str(tenant.id)])
        assert cursor.fetchone() == (0,)
        cursor.execute("SET LOCAL ROLE threada_owner")
        cursor.execute("SELECT count(*) FROM tenancy_permissionchange WHERE tenant = %s", [tenant.id])
        assert cursor.fetchone() == (0,)
        cursor.execute("SET LOCAL ROLE threada_platform")
        assert DeletedTenant.objects.get(log_id=tenant.id).ended_at is not None
