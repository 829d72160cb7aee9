"""Import of an export that an older version made, before tables and columns were added."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import orjson
import pytest
from django.db import connection

from integrations.configuration.secrets import upsert_secret
from telemetry.models import Receipt
from telemetry.tlog.note import Signer, sign
from tests.factories import make_token
from tests.telemetry.sealed import SealingSetup
from tests.threada_site.identity.test_known_control import leave
from tests.threada_site.runtime.tenants.hostile import (
    changed,
    in_manifest,
    one_after_another,
    with_column,
    without_column,
)
from tests.threada_site.runtime.tenants.test_a_tenant_moves import command
from tests.workitems.office import open_office
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.runtime.backup.create import known_migrations
from threada_site.runtime.tenants.erase import delete_rows_of, destroy_keys, forget_people
from threada_site.tenancy.deletions.models import DeletedTenant
from threada_site.tenancy.models import Credential, Tenant, User
from workitems.models import DecisionStep, WorkItem

FIRST: Final = {
    "api": "0001_initial",
    "integrations": "0001_initial",
    "telemetry": "0001_initial",
    "tenancy": "0002_functions",
    "workitems": "0001_initial",
}
"""Newest migrations of the first state, where they are not those of this version."""
ADDED_COLUMNS: Final = (
    ("telemetry_receipt", "signature"),
    ("tenancy_credential", "session_factors"),
    ("tenancy_provisionedgroup", "named_at"),
)
ADDED_TABLES: Final = ("rows/telemetry_quarantinecount.csv", "rows/telemetry_quarantinedreceipt.csv")


def forget_tenant(tenant: Tenant) -> None:
    """Delete a tenant as `tenant delete` does, without its waiting period and record."""
    with platform_role():
        DeletedTenant.objects.create(log_id=tenant.id, facts={})
        Tenant.objects.filter(id=tenant.id).update(is_active=False)
        destroy_keys(tenant.id)
        forget_people(tenant.id)
    delete_rows_of(tenant.id)
    with platform_role(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM tenancy_tenant WHERE id = %s", [tenant.id])


@pytest.mark.django_db(transaction=True)
def test_an_export_of_the_first_state_is_imported(
    tenant: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sealing = SealingSetup(tmp_path)
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(sealing.key_file.path))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(sealing.anchor.directory))
    office = open_office(tenant)
    bot = office.join("bot", kind="service")
    make_token(tenant, office.people["ada"])
    item = office.decided(500, by="bot")
    step = office.execute(item, by="bot").step
    assert step is not None
    known = {str(bot.id): [str(User.objects.get(username="keeper").id)]}
    with unit_of_work(tenant.id):
        assert DecisionStep.objects.get(id=step.id).excluded_controllers == known
    with unit_of_work(tenant.id):
        upsert_secret("bank_token", "hunter2", origins=["https://bank.example"], ctx=office.system)
    leave(tenant, User.objects.get(username="keeper"))  # the first state stored the controllers whom it knew
    sealing.seal()
    file = tmp_path / "acme.export"
    command(capsys, "tenant", "export", tenant.slug, str(file))
    sealing.seal()
    with unit_of_work(tenant.id):
        receipts, items = Receipt.objects.count(), WorkItem.objects.count()
    forget_tenant(tenant)

    key = sealing.key_file.keys()[-1]

    def signed(text: str) -> str:
        return str(sign(text, [Signer(key.name, key.private_key)]))

    older = one_after_another(
        in_manifest(schema={**known_migrations(), **FIRST}), *(without_column(*column) for column in ADDED_COLUMNS)
    )
    refused = {
        "rows/telemetry_receipt.csv lacks the column 'signature'": (
            without_column("telemetry_receipt", "signature"),
            (),
        ),
        "rows/telemetry_quarantinecount.csv is missing": (in_manifest(), ADDED_TABLES),
        "principals.csv is missing": (older, ("principals.csv",)),
        "has the column 'mood', which this version does not know": (
            one_after_another(older, with_column("workitems_workitem", "mood")),
            ADDED_TABLES,
        ),
        "lacks the column 'status', which has no default": (
            one_after_another(older, without_column("workitems_workitem", "status")),
            ADDED_TABLES,
        ),
        "with a schema that is not known here": (
            in_manifest(schema={**known_migrations(), "workitems": "9999_later"}),
            (),
        ),
    }
    for sentence, (change, without) in refused.items():
        bad = changed(file, tmp_path / "bad.export", change, signed, without=without)
        said = command(capsys, "tenant", "import", bad, "--without-keys", fails=True)
        assert sentence in said, said
        assert not Tenant.objects.filter(id=tenant.id).exists()

    old = changed(file, tmp_path / "old.export", older, signed, without=ADDED_TABLES)
    command(capsys, "tenant", "import", old, "--without-keys", "--log-key", str(key.verifier_key(key.name)))
    sealing.seal()
    assert "all valid" in command(capsys, "verify_receipts", "--tenant", tenant.slug)
    with unit_of_work(tenant.id):
        assert WorkItem.objects.count() == items
        assert list(Receipt.objects.order_by("id").values_list("signature", flat=True))[:receipts] == [""] * receipts
        assert not Credential.objects.exclude(session_factors=None).exists()
        [removed] = Receipt.objects.filter(kind="secret.removed")
        assert orjson.loads(bytes(removed.body))["inputs"] == {
            "origins": ["https://bank.example"],
            "secret_id": "bank_token",
        }
        arrived = DecisionStep.objects.get(id=step.id)
        assert (arrived.excluded_controllers, arrived.reachability_check_due) == ({}, True)
