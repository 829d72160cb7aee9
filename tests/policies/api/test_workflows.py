"""API of workflows and channels."""

from __future__ import annotations

from policies.api.shapes import WORKFLOW_SPEC
from policies.documents.workflow import WORKFLOW_SCHEMA
from policies.models import Channel
from tests.client import Api
from tests.policies.over_http import pointers, refusal
from tests.policies.rulebooks import (
    PAYMENT_SCHEMA,
    receipt_kinds,
    receipts,
)
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant

PAYMENT_RUN = {"workflow_id": "payment_run", "name": "Payment run", "spec": {"payload_schema": PAYMENT_SCHEMA}}


def test_a_workflow_is_created_once_and_versioned(admin: Api, tenant: Tenant) -> None:
    created = admin.post("/workflows", PAYMENT_RUN)
    assert (created.status_code, created["Location"]) == (201, "/workflows/payment_run")
    assert created.json()["spec"]["payload_schema"] == PAYMENT_SCHEMA
    assert refusal(admin.post("/workflows", PAYMENT_RUN)) == (409, "conflict")
    changed = {"spec": {"payload_schema": PAYMENT_SCHEMA, "channel_required": True}}
    answers = [admin.post("/workflows/payment_run/versions", changed) for _ in range(2)]
    assert [(answer.status_code, answer.json()["version"]) for answer in answers] == [(201, 2), (200, 2)]
    read = admin.get("/workflows/payment_run").json()
    assert (read["version"], read["name"], read["channel_required"]) == (2, "Payment run", True)
    assert [row["version"] for row in admin.get("/workflows/payment_run/versions").json()["data"]] == [2, 1]
    assert [row["workflow_id"] for row in admin.get("/workflows").json()["data"]] == ["payment_run"]
    with unit_of_work(tenant.id):
        added = receipts("workflow.version_added")
        assert [entry["actor"]["entry_point"] for entry in added] == ["api", "api"]


def test_personal_data_protection_ends_only_when_said(admin: Api, tenant: Tenant) -> None:
    assert WORKFLOW_SPEC["properties"].keys() == WORKFLOW_SCHEMA.spec["properties"].keys() - {"name"}
    spec = {"payload_schema": {"type": "object"}, "subject": "/customer_no"}
    assert admin.post("/workflows", {"workflow_id": "claims", "spec": spec}).status_code == 201
    lost = admin.post("/workflows/claims/versions", {"spec": {"payload_schema": {"type": "object"}}})
    assert (refusal(lost), pointers(lost)) == ((422, "document_invalid"), ["/spec/subject"])
    assert admin.post("/workflows/claims/versions", {"spec": {**spec, "actions": ["pay"]}}).status_code == 201
    ended = admin.post("/workflows/claims/versions", {"spec": {**spec, "subject": None}})
    assert (ended.status_code, "subject" in ended.json()["spec"]) == (201, False)
    with unit_of_work(tenant.id):
        outcomes = [entry["outcome"].get("ended_subject") for entry in receipts("workflow.version_added")]
    assert outcomes == [None, None, "/customer_no"]


def test_workflow_errors_point_into_the_body(admin: Api) -> None:
    bad_schema = {"workflow_id": "x", "spec": {"payload_schema": {"type": "strnig"}, "reject_reasons": ["no"]}}
    answer = admin.post("/workflows", bad_schema)
    assert refusal(answer) == (422, "document_invalid")
    assert pointers(answer) == ["/spec/payload_schema/type", "/spec/reject_reasons/0"]
    answer = admin.post("/workflows", {"workflow_id": "X y", "spec": {"actoins": []}})
    assert refusal(answer) == (422, "invalid_request")
    assert sorted(pointers(answer)) == ["/spec/actoins", "/workflow_id"]
    assert admin.get("/workflows").json()["data"] == []


def test_channels(admin: Api, tenant: Tenant) -> None:
    created = admin.post("/channels", {"channel_id": "web_main", "name": "Web form"})
    assert (created.status_code, created["Location"]) == (201, "/channels/web_main")
    assert admin.get("/channels/web_main").json() == created.json()
    assert refusal(admin.post("/channels", {"channel_id": "web_main", "name": "Other"})) == (409, "conflict")
    with unit_of_work(tenant.id):
        assert Channel.objects.get().name == "Web form"
        assert receipt_kinds()[-2:] == ["channel.created", "request.refused"]
