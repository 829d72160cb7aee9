"""Proofs stay valid after the erasure of a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from telemetry.models import Checkpoint, LogLeaf, Receipt
from telemetry.tlog.note import VerifierKey
from telemetry.tlog.proof_text import TlogProof
from tests.telemetry.sealed import SealingSetup
from tests.telemetry.tampering import Verify
from tests.workitems.office import Office
from tests.workitems.people_cases import about_people, ended_case
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from workitems.retention.erasure import erase_subject

pytestmark = pytest.mark.django_db(transaction=True)


def test_every_proof_holds_before_and_after(
    office: Office, tmp_path: Path, verify: Verify, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealing_setup = SealingSetup(tmp_path)
    monkeypatch.setenv("THREADA_SEALING_KEY_FILE", str(sealing_setup.directory / "sealing_key"))
    monkeypatch.setenv("THREADA_ANCHOR_DIR", str(sealing_setup.directory / "checkpoints"))
    about_people(office)
    item, _, _ = ended_case(office)
    sealing_setup.seal()
    auditor = office.api("ada")
    with unit_of_work(office.tenant.id):
        receipts = list(Receipt.objects.filter(work_item_id=item.id).order_by("id"))
    proofs = {receipt.id: auditor.get(f"/receipts/{receipt}/proof").content.decode() for receipt in receipts}
    with unit_of_work(office.tenant.id):
        assert item.subject_id is not None
        erase_subject(item.subject_id, now=clock.now(), ctx=office.ctx("ada"))
    sealing_setup.seal()
    said = verify("--tenant", "acme")
    assert (said.code, said.lines[-1].endswith("all valid")) == (0, True), said.lines
    [checkpoint] = auditor.get("/checkpoints", {"limit": 1}).json()["data"]
    keys = [VerifierKey.parse(key) for key in checkpoint["verifier_keys"]]
    for receipt in receipts:
        newer = auditor.get(f"/receipts/{receipt}/proof").content.decode()
        for text in (proofs[receipt.id], newer):
            TlogProof.parse(text).verify(bytes(receipt.body), keys, origin=checkpoint["origin"])
    with unit_of_work(office.tenant.id):
        erased = Receipt.objects.get(kind="subject.erased")
        assert LogLeaf.objects.count() == Checkpoint.objects.order_by("-id")[0].size == Receipt.objects.count()
    assert auditor.get(f"/receipts/{ids.public_id(ids.RECEIPT, erased.id)}/proof").status_code == 200
