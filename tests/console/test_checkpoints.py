"""Console pages of checkpoints and of the instance log show the rows of one tenant only."""

from __future__ import annotations

from pathlib import Path

import aics_tlog
import pytest
from django.test import Client
from django.urls import reverse

from telemetry.models import Checkpoint, InstanceEntry
from telemetry.tlog.proof_text import TlogProof
from tests.client import Api
from tests.console.sign_in import sign_in
from tests.factories import make_principal, make_token
from tests.telemetry.sealed import NAME, SealingSetup, origin, write_receipts
from tests.telemetry.tampering import by_sql
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("instance_log")]

INSTANCE = reverse("admin:telemetry_checkpoint_instance")
NEWEST_CHECKPOINT = reverse("admin:telemetry_checkpoint_instance_checkpoint")
PROOF = reverse("admin:telemetry_checkpoint_instance_proof")


@pytest.fixture
def sealing_setup(tmp_path: Path) -> SealingSetup:
    return SealingSetup(tmp_path)


@pytest.fixture
def auditor(tenant: Tenant) -> Client:
    return sign_in(make_principal(tenant, "aud", roles=["auditor"]))


def seal_both(tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup) -> None:
    for _ in range(3):
        write_receipts(tenant, 2)
        write_receipts(other_tenant, 2)
        sealing_setup.seal()


def test_pages_show_the_same_checkpoints_as_the_api(
    tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup, auditor: Client
) -> None:
    seal_both(tenant, other_tenant, sealing_setup)
    said = Api(make_token(tenant, make_principal(tenant, "bot", roles=["auditor"]))).get("/checkpoints/instance").json()
    page = auditor.get(INSTANCE)
    checkpoint, entry = page.context["checkpoint"], page.context["entry"]
    assert (checkpoint.note, checkpoint.size, page.context["root"]) == (
        said["checkpoint"],
        said["tree_size"],
        said["root_hash"],
    )
    assert (entry.index, page.context["entry_id"]) == (said["entry"]["index"], said["entry"]["checkpoint_id"])
    assert [each.size for each, _ in page.context["checkpoints"]] == sorted(
        {each.size for each, _ in page.context["checkpoints"]}, reverse=True
    )
    assert auditor.get(NEWEST_CHECKPOINT).content.decode() == said["checkpoint"]
    assert auditor.get(PROOF).content.decode() == said["entry"]["proof"]
    kept = auditor.get(NEWEST_CHECKPOINT)
    assert kept["Content-Disposition"] == f'attachment; filename="instance-{checkpoint.size}.txt"'
    proof, key = TlogProof.parse(said["entry"]["proof"]), aics_tlog.parse_vkey(checkpoint.verifier_keys[0])
    checked = aics_tlog.verify_checkpoint(
        aics_tlog.parse_note(kept.content.decode()), key, expected_origin=f"{NAME}/instance"
    )
    assert checked.ok, checked.error
    leaf = entry.note.encode()
    assert aics_tlog.verify_leaf_inclusion(leaf, proof.index, checked.size, list(proof.path), checked.root)


def test_nothing_of_other_tenants_is_shown(
    tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup, auditor: Client
) -> None:
    seal_both(tenant, other_tenant, sealing_setup)
    with platform_role():
        theirs = list(InstanceEntry.objects.filter(log_id=other_tenant.id))
        [*_, checkpoint] = Checkpoint.objects.filter(tenant_id=other_tenant.id).order_by("id")
    assert len(theirs) == 3
    own = reverse("admin:telemetry_checkpoint_changelist")
    pages = [auditor.get(address) for address in (INSTANCE, NEWEST_CHECKPOINT, PROOF, own)]
    pages += [auditor.get(url) for url, _ in pages[-1].context["rows"]]
    shown = "".join(page.content.decode() for page in pages)
    assert origin(tenant) in shown
    for secret in (
        other_tenant.slug,
        ids.public_id(ids.TENANT, other_tenant.id),
        *(ids.public_id(ids.CHECKPOINT, entry.checkpoint_id) for entry in theirs),
        *(entry.note.split("\n")[2] for entry in theirs),
    ):
        assert secret not in shown
    assert auditor.get(reverse("admin:telemetry_checkpoint_change", args=[checkpoint.public_id])).status_code == 404


def test_checkpoint_page_shows_its_position(tenant: Tenant, sealing_setup: SealingSetup, auditor: Client) -> None:
    write_receipts(tenant, 2)
    sealing_setup.seal()
    sealing_setup.heartbeat()
    with unit_of_work(tenant.id):
        first, beat = Checkpoint.objects.order_by("id")
        (entry,) = InstanceEntry.objects.all()
    assert (entry.checkpoint_id, beat.size) == (first.id, first.size)
    for checkpoint, said in ((first, "It is entry 0."), (beat, "It is not an entry")):
        page = auditor.get(reverse("admin:telemetry_checkpoint_change", args=[checkpoint.public_id])).content.decode()
        assert said in page
        assert f"{first.origin}\n{first.size}\n" in page


def test_page_opens_before_anything_is_sealed(tenant: Tenant, auditor: Client) -> None:
    assert "The instance log has no entries." in auditor.get(INSTANCE).content.decode()
    assert (auditor.get(NEWEST_CHECKPOINT).status_code, auditor.get(PROOF).status_code) == (404, 404)


def test_missing_nodes_are_reported(
    tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup, auditor: Client
) -> None:
    seal_both(tenant, other_tenant, sealing_setup)
    by_sql("DELETE FROM telemetry_instancenode WHERE level = 0 AND index = 0")
    page = auditor.get(INSTANCE).content.decode()
    assert "This log is not consistent: node (0, 0) of the log is missing." in page
    assert "It cannot be proved." in page
    assert auditor.get(PROOF).status_code == 404
    api = Api(make_token(tenant, make_principal(tenant, "bot", roles=["auditor"])))
    answer = api.get("/checkpoints/instance")
    assert (answer.status_code, answer.json()["reason_code"]) == (409, "log_does_not_hold")
    assert "node (0, 0) of the log is missing" in answer.json()["detail"]


def test_page_needs_the_telemetry_scope(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    approver = sign_in(make_principal(tenant, "eve", roles=["approver"]))
    for address in (INSTANCE, NEWEST_CHECKPOINT, PROOF, reverse("admin:telemetry_checkpoint_changelist")):
        assert approver.get(address).status_code == 403
        assert approver.post(address).status_code == 405
    assert "Instance log" not in approver.get("/console/").content.decode()
