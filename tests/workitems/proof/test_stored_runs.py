"""Stored proofs: requested in the console, run by a job, shown to stewards and auditors of the tenant."""

from __future__ import annotations

from telemetry.models import Receipt
from tests.console.conftest import console
from tests.console.sign_in import Console, confirm, sign_in
from tests.factories import make_principal, make_tenant
from tests.journeys.conftest import demo
from tests.journeys.demo import Demo
from threada_site.database.unit_of_work import unit_of_work
from workitems.models import ProofRun

__all__ = ["console", "demo"]

PROOFS = "/console/workitems/proofrun/"


def test_a_steward_requests_a_proof_and_readers_see_its_result(demo: Demo, console: Console) -> None:
    steward = console("admin")
    assert confirm(steward, f"{PROOFS}new/").status_code == 302
    assert "too_many_proofs" in confirm(steward, f"{PROOFS}new/").content.decode()
    demo.wait()
    with unit_of_work(demo.tenant.id):
        run = ProofRun.objects.get()
        assert Receipt.objects.filter(kind="proof.finished").count() == 1
    assert run.document is not None
    assert "too_many_proofs" in confirm(steward, f"{PROOFS}new/").content.decode(), "within a minute after the last"
    demo.join("auditor-1", roles=("auditor",))
    auditor, page = console("auditor-1"), f"{PROOFS}{run.public_id}/"
    shown = auditor.get(page).content.decode()
    assert "A frozen integration is not called" in shown
    assert "not applicable" in shown
    assert auditor.get(f"{page}findings.json").json() == run.document
    confirm(auditor, f"{PROOFS}new/")
    stranger = sign_in(make_principal(make_tenant("elsewhere"), "stranger", roles=("auditor",)))
    assert [stranger.get(address).status_code for address in (page, f"{page}findings.json")] == [404, 404]
    assert console("finance-1").get(page).status_code == 403
    with unit_of_work(demo.tenant.id):
        assert ProofRun.objects.count() == 1
