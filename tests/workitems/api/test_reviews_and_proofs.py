"""Access reviews and proofs by API: stewards and auditors read them, people decide, and nobody about themselves."""

from __future__ import annotations

from tests.client import Api
from tests.factories import make_principal, make_tenant, make_token
from tests.workitems.office import Office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.access_reviews.reviews import finish_review, start_review


def test_reviews_are_read_and_entries_are_decided(office: Office) -> None:
    office.join("audra", roles=("auditor",))
    office.join("robot", kind="service", roles=("tenant_admin",))
    ada, fay, robot = (office.api(name) for name in ("ada", "fay", "robot"))
    with unit_of_work(office.tenant.id):
        review = start_review(ctx=office.ctx("ada"))
    address = f"/access-reviews/{review.public_id}"
    for reader in (ada, office.api("audra")):
        [listed] = reader.get("/access-reviews").json()["data"]
        assert listed == reader.get(address).json()
        assert (listed["status"], listed["sha256"]) == ("open", review.sha256)
        found = reader.get(f"{address}/entries?decision=open").json()["data"]
        assert len(found) == listed["entry_count"]
    by_holder = {entry["principal"]: entry["access_review_entry_id"] for entry in found}
    own, other = (
        f"/access-review-entries/{by_holder[office.people[name].public_id]}/attest" for name in ("ada", "fay")
    )

    for path in ("/access-reviews", address, f"{address}/entries"):
        assert fay.get(path).status_code == 403
    keeps = {"decision": "keep"}
    assert fay.post(other, keeps).status_code == 403
    assert office.api("audra").post(other, keeps).status_code == 403
    assert robot.post(other, keeps).json()["reason_code"] == "person_required"
    assert ada.post(own, keeps).json()["reason_code"] == "second_person_required"
    assert ada.post(other, {"decision": "remove"}).json()["errors"][0]["pointer"] == "/comment"
    assert ada.post(other, {"decision": "forget"}).status_code == 422
    decided = ada.post(other, {"decision": "remove", "comment": "She left the team."}).json()
    assert (decided["decision"], decided["decided_by"]) == ("remove", office.people["ada"].public_id)
    assert ada.get(f"{address}/entries?decision=remove").json()["data"] == [decided]

    stranger = make_tenant("globex")
    elsewhere = Api(make_token(stranger, make_principal(stranger, "gus", roles=("tenant_admin",))))
    assert elsewhere.get(address).status_code == 404
    assert elsewhere.post(other, keeps).status_code == 404
    with unit_of_work(office.tenant.id):
        review.entries.filter(decision="").update(decision="keep")
        finish_review(review, ctx=office.ctx("ada"))
    assert ada.post(other, keeps).json()["reason_code"] == "access_review_closed"


def test_stewards_request_proofs_and_auditors_read_them(office: Office) -> None:
    office.join("audra", roles=("auditor",))
    ada, audra, fay = (office.api(name) for name in ("ada", "audra", "fay"))
    assert fay.post("/proofs", {}).status_code == 403
    assert audra.post("/proofs", {}).status_code == 403
    asked = ada.post("/proofs", {})
    assert (asked.status_code, asked.json()["status"]) == (202, "queued")
    refused = ada.post("/proofs", {})
    assert (refused.status_code, refused.json()["reason_code"]) == (429, "too_many_proofs")
    shown = audra.get(asked.headers["Location"]).json()
    assert shown == {**asked.json(), "findings": None}
    assert audra.get("/proofs").json()["data"] == [asked.json()]
    assert fay.get("/proofs").status_code == 403
    assert fay.get(asked.headers["Location"]).status_code == 403
    stranger = make_tenant("globex")
    elsewhere = Api(make_token(stranger, make_principal(stranger, "gus", roles=("tenant_admin",))))
    assert elsewhere.get(asked.headers["Location"]).status_code == 404
