"""Proofs and checkpoints over HTTP, verified by an independent implementation."""

from __future__ import annotations

from pathlib import Path

import aics_tlog
import pytest

from telemetry.models import LogLeaf, Receipt
from telemetry.tlog.note import VerifierKey
from telemetry.tlog.proof_text import TlogProof
from tests.client import Api
from tests.factories import make_principal, make_token
from tests.telemetry.sealed import SealingSetup, origin, write_receipts
from tests.telemetry.tampering import by_sql
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import ids
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sealing_setup(tmp_path: Path) -> SealingSetup:
    return SealingSetup(tmp_path)


@pytest.fixture
def auditor(tenant: Tenant) -> Api:
    return Api(make_token(tenant, make_principal(tenant, "aud", roles=("auditor",))))


def test_every_receipt_is_proven_by_a_text_that_needs_nothing_else(
    tenant: Tenant, sealing_setup: SealingSetup, auditor: Api
) -> None:
    write_receipts(tenant, 300)
    sealing_setup.seal()
    with unit_of_work(tenant.id):
        receipts = list(Receipt.objects.order_by("id"))
    [checkpoint] = auditor.get("/checkpoints", {"limit": 1}).json()["data"]
    key = aics_tlog.parse_vkey(checkpoint["verifier_keys"][0])
    for receipt in receipts[:3] + receipts[254:260] + receipts[-3:]:
        answer = auditor.get(f"/receipts/{receipt.public_id}/proof")
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
        text = answer.content.decode()
        proof = TlogProof.parse(text)
        body = bytes(receipt.body)
        proof.verify(body, [VerifierKey.parse(checkpoint["verifier_keys"][0])], origin=origin(tenant))
        note = aics_tlog.parse_note(text.partition("\n\n")[2])
        checked = aics_tlog.verify_checkpoint(note, key, expected_origin=origin(tenant))
        assert checked.ok
        assert aics_tlog.verify_leaf_inclusion(body, proof.index, checked.size, proof.path, checked.root)
        assert not aics_tlog.verify_leaf_inclusion(body + b" ", proof.index, checked.size, proof.path, checked.root)


def test_a_log_with_holes_proves_nothing_and_says_so(tenant: Tenant, sealing_setup: SealingSetup, auditor: Api) -> None:
    write_receipts(tenant, 3)
    sealing_setup.seal()
    with unit_of_work(tenant.id):
        newest = Receipt.objects.latest("id")
    by_sql("DELETE FROM telemetry_logleaf WHERE index = 0")
    answer = auditor.get(f"/receipts/{newest.public_id}/proof")
    assert (answer.status_code, answer.json()["reason_code"]) == (409, "log_does_not_hold")
    assert answer.json()["detail"] == "The proof cannot be built: node (0, 0) of the log is missing."


def test_unsealed_receipt_has_a_retry_after(tenant: Tenant, sealing_setup: SealingSetup, auditor: Api) -> None:
    with unit_of_work(tenant.id):
        receipt = Receipt.objects.latest("id")
    answer = auditor.get(f"/receipts/{receipt.public_id}/proof")
    assert (answer.status_code, answer.json()["reason_code"]) == (409, "receipt_not_sealed")
    assert answer.headers["Retry-After"] == "1"
    with sealing_setup.sealer() as sealer:
        sealer.seal(tenant.id)
    assert (
        auditor.get(f"/receipts/{receipt.public_id}/proof").status_code == 409
    )  # in the log, without a checkpoint yet
    sealing_setup.seal()
    assert auditor.get(f"/receipts/{receipt.public_id}/proof").status_code == 200


def test_checkpoints_are_listed_newest_first_and_stay_in_their_tenant(
    tenant: Tenant, other_tenant: Tenant, sealing_setup: SealingSetup, auditor: Api
) -> None:
    sizes = []
    for _ in range(3):
        write_receipts(tenant, 2)
        sealing_setup.seal()
        with unit_of_work(tenant.id):
            sizes.append(LogLeaf.objects.count())
    first = auditor.get("/checkpoints", {"limit": 2}).json()
    rest = auditor.get("/checkpoints", {"limit": 2, "cursor": first["next_cursor"]}).json()
    found = first["data"] + rest["data"]
    assert [checkpoint["tree_size"] for checkpoint in found] == sizes[::-1]
    assert {checkpoint["origin"] for checkpoint in found} == {origin(tenant)}
    for checkpoint in found:
        assert checkpoint["checkpoint"].startswith(
            f"{origin(tenant)}\n{checkpoint['tree_size']}\n{checkpoint['root_hash']}\ncomplete-until "
        )
    with unit_of_work(other_tenant.id):
        foreign = Receipt.objects.latest("id").public_id
    for absent in (foreign, ids.public_id(ids.RECEIPT, ids.new_uuid()), "nonsense"):
        assert auditor.get(f"/receipts/{absent}/proof").status_code == 404


def test_it_takes_the_scope(tenant: Tenant, sealing_setup: SealingSetup) -> None:
    viewer = Api(make_token(tenant, make_principal(tenant, "vie", roles=("viewer",))))
    for path in ("/checkpoints", f"/receipts/{ids.public_id(ids.RECEIPT, ids.new_uuid())}/proof"):
        answer = viewer.get(path)
        assert (answer.status_code, answer.json()["reason_code"]) == (403, "scope_missing")
