"""Console pages of the deletion of a tenant: stewards request and withdraw it, and see a notice while it waits."""

from __future__ import annotations

from typing import Any

from tests.console.sign_in import confirm, sign_in
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.deletions.models import TenantDeletion
from threada_site.tenancy.models import ChangeSet
from workitems.retention.legal_holds import LegalHoldRequest, lift_legal_hold, set_legal_hold

PAGE = "/console/tenancy/tenantdeletion/"
WARNING = "Two stewards confirmed the deletion of this tenant"


def text(answer: Any) -> str:
    content: str = answer.content.decode()
    return content


def test_stewards_request_and_withdraw_the_deletion_of_their_tenant(office: Office) -> None:
    office.join("ben", roles=("tenant_admin",))
    ada, ben, fay = (sign_in(office.people[name]) for name in ("ada", "ben", "fay"))
    named = {"tenant_id": office.tenant.slug}

    assert fay.get(PAGE).status_code == 403
    assert "Request deletion" in text(ada.get(PAGE))
    assert "Withdraw deletion" not in text(ada.get(PAGE))
    assert "Type the id of the tenant" in text(ada.post(f"{PAGE}new/", {"tenant_id": "neighbour"}))
    with unit_of_work(office.tenant.id):
        hold = set_legal_hold(LegalHoldRequest(reason="Q", workflow="payments"), ctx=office.system)
    assert "legal holds are in force" in text(ada.post(f"{PAGE}new/", named))
    with unit_of_work(office.tenant.id):
        lift_legal_hold(hold.id, reason="Done", ctx=office.system)

    confirm(fay, f"{PAGE}new/", named)
    with unit_of_work(office.tenant.id):
        assert not ChangeSet.objects.filter(operation="tenant.delete").exists()
    assert "A second person must publish this change" in text(confirm(ada, f"{PAGE}new/", named, follow=True))
    assert WARNING not in text(ada.get(PAGE))
    with unit_of_work(office.tenant.id):
        proposed = ChangeSet.objects.get(operation="tenant.delete")
    address = f"/change-sets/{proposed.public_id}/publish"
    assert office.api("ben").post(address, {"digest": proposed.digest}).status_code == 200

    for browser, is_told in ((ada, True), (ben, True), (fay, False)):
        assert (WARNING in text(browser.get("/console/", follow=True))) is is_told
    listed = text(ben.get(PAGE))
    assert proposed.public_id in listed
    assert "Withdraw deletion" in listed
    assert "confirmed already" in text(ada.post(f"{PAGE}new/", named))
    assert ben.get(f"{PAGE}?q={proposed.public_id}").status_code == 200
    assert ben.get(f"{PAGE}{proposed.public_id}/").status_code == 200
    fay.post(f"{PAGE}withdraw/", {})
    with unit_of_work(office.tenant.id):
        assert TenantDeletion.objects.get().withdrawn_at is None
    assert "The deletion is withdrawn." in text(ben.post(f"{PAGE}withdraw/", {}, follow=True))
    with unit_of_work(office.tenant.id):
        assert TenantDeletion.objects.get().withdrawn_by == office.people["ben"].id
    assert WARNING not in text(ada.get("/console/", follow=True))
