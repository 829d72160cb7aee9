"""Batches of work items: results of their own, keys of their own, and receipts of what was refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from tests.workitems.office import Office
from threada_site.api.models import IdempotencyRecord
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.tenants import set_quota
from threada_site.kernel.json import large
from threada_site.tenancy.quotas.kinds import Quota
from threada_site.tenancy.quotas.require import forget_counts
from threada_site.tenancy.request_limits import forget
from workitems.api import batch_intake
from workitems.api.items import created_item
from workitems.models import WorkItem


def entry(**more: Any) -> dict[str, Any]:
    return {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 5}, **more}


def test_each_work_item_has_its_own_result(office: Office) -> None:
    office.upsert_workflow("orders", unique_external_ref=True, channel_required=False)
    api = office.api("rita")
    alone = api.post("/work-items", entry(), {"Idempotency-Key": "alone"}).json()["work_item_id"]
    order = {"workflow_id": "orders", "payload": {"amount": 5}, "external_ref": "PO-1"}
    sent = [
        entry(idempotency_key="first"),
        entry(payload={"amount": "five"}),
        entry(idempotency_key="alone"),
        entry(workflow_id="nothing", idempotency_key="refused"),
        order,
        order,
        entry(idempotency_key="first", confidence=0.5),
        entry(idempotency_key=""),
        entry(unknown=1),
    ]
    answer = api.post("/work-items/batch", {"work_items": sent})
    assert answer.status_code == 200, answer.json()
    results = answer.json()["results"]
    assert [(row["index"], row["status"], (row["problem"] or {}).get("reason_code")) for row in results] == [
        (0, 201, None),
        (1, 422, "payload_schema_violation"),
        (2, 201, None),
        (3, 422, "unknown_workflow"),
        (4, 201, None),
        (5, 409, "external_ref_taken"),
        (6, 422, "idempotency_key_reused"),
        (7, 422, "invalid_request"),
        (8, 422, "invalid_request"),
    ]
    assert (answer.json()["created"], answer.json()["refused"]) == (3, 6)
    assert [row["replayed"] for row in results] == [False, False, True, *[False] * 6]
    assert results[2]["work_item"]["work_item_id"] == alone
    assert results[1]["problem"]["errors"][0]["pointer"] == "/payload/amount"
    assert office.count(WorkItem) == 3
    assert len(office.bodies("work_item.created")) == 3
    assert len(office.bodies("request.refused")) == 6

    again = api.post("/work-items/batch", {"work_items": [sent[0], sent[3]]}).json()["results"]
    assert [(row["status"], row["replayed"]) for row in again] == [(201, True), (422, True)]
    assert again[0]["work_item"] == results[0]["work_item"]
    assert office.count(WorkItem) == 3
    whole = [api.post("/work-items/batch", {"work_items": [entry()]}, {"Idempotency-Key": "b"}).json() for _ in "ab"]
    assert whole[0] == whole[1]
    for wrong in ([], [entry()] * 101, ["x"]):
        assert api.post("/work-items/batch", {"work_items": wrong}).status_code == 422


def test_limits_count_each_work_item(office: Office, rate_limits: Callable[..., None]) -> None:
    api = office.api("rita")

    def sent(count: int) -> list[str | None]:
        answer = api.post("/work-items/batch", {"work_items": [entry()] * count})
        return [(row["problem"] or {}).get("reason_code") for row in answer.json()["results"]]

    for most in (2, 1_000):
        with unit_of_work(office.tenant.id):
            set_quota(Quota.OPEN_WORK_ITEMS, most, ctx=office.system)
        forget_counts()
        if most == 2:
            assert sent(4) == [None, None, "quota_exceeded", "quota_exceeded"]
    rate_limits(credential=1)
    found = sent(20)
    assert found[0] is None
    assert found[-1] == "rate_limited"
    assert 3 <= found.count(None) <= 10


def test_limits_neither_lock_buckets_for_a_batch_nor_stay_under_the_keys_of_its_items(
    office: Office, rate_limits: Callable[..., None]
) -> None:
    api = office.api("rita")
    api.get("/me")
    rate_limits(credential=1, tenant=100)
    keyed = [entry(idempotency_key=f"import-{number}") for number in range(20)]
    with CaptureQueriesContext(connection) as queries:
        results = api.post("/work-items/batch", {"work_items": keyed}).json()["results"]
    # A lease inside of the transaction of the batch locks the bucket of the tenant until all items are created.
    assert sum("threada_lease_tokens" in query["sql"] for query in queries.captured_queries) == 1
    assert (results[0]["status"], results[-1]["problem"]["reason_code"]) == (201, "rate_limited")
    rate_limits(credential=1_000, tenant=1_000)
    forget()
    again = api.post("/work-items/batch", {"work_items": keyed}).json()["results"]
    assert [row["status"] for row in again] == [201] * 20
    assert office.count(WorkItem) == 20


def test_a_batch_that_the_instance_fails_keeps_the_receipts_of_refused_items(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = office.api("rita")

    def failing(sent: Any, *, ctx: Any) -> Any:
        if sent.get("external_ref") == "fails":
            raise OperationalError("the connection is lost")
        return created_item(sent, ctx=ctx)

    sent = [entry(), entry(payload={"amount": "five"}, idempotency_key="bad"), entry(external_ref="fails")]
    with monkeypatch.context() as patched:
        patched.setattr(batch_intake, "created_item", failing)
        answer = api.post("/work-items/batch", {"work_items": sent})
    assert (answer.status_code, office.count(WorkItem)) == (503, 0)
    (refused,) = office.bodies("request.refused")
    assert refused["outcome"]["reason_code"] == "payload_schema_violation"
    again = api.post("/work-items/batch", {"work_items": sent}).json()["results"]
    assert [(row["status"], row["replayed"]) for row in again] == [(201, False), (422, True), (201, False)]
    assert len(office.bodies("request.refused")) == 1


def test_an_answer_that_is_gone_refuses_its_work_item_alone(office: Office) -> None:
    api = office.api("rita")
    first, second = entry(idempotency_key="kept"), entry(idempotency_key="gone")
    assert api.post("/work-items/batch", {"work_items": [first, second]}).json()["created"] == 2
    with unit_of_work(office.tenant.id):
        IdempotencyRecord.objects.filter(key="gone").update(response=b"")
    again = api.post("/work-items/batch", {"work_items": [first, second]}).json()["results"]
    assert [(row["status"], row["replayed"]) for row in again] == [(201, True), (409, False)]
    assert again[1]["problem"]["reason_code"] == "idempotency_answer_gone"
    assert office.count(WorkItem) == 2
    with unit_of_work(office.tenant.id):
        assert IdempotencyRecord.objects.filter(key="gone").count() == 1


def test_objects_of_a_batch_have_as_many_members_as_the_workflow_says(office: Office) -> None:
    names = {str(number): number for number in range(2_001)}
    office.upsert_workflow(max_members=2_001)
    answer = office.api("rita").post(
        "/work-items/batch", {"work_items": [entry(payload={"amount": 1, "names": names})]}
    )
    assert (answer.status_code, answer.json()["created"]) == (200, 1), answer.json()


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({"work_items": [{"a": 1}] * 20_000}, ("/work_items", "maxItems")),
        ({"items": [{"a": 1}] * 20_000}, ("/items", "unknown_field")),
    ],
)
def test_a_large_batch_is_refused_before_its_work_items_are_read(
    office: Office, monkeypatch: pytest.MonkeyPatch, body: dict[str, Any], error: tuple[str, str]
) -> None:
    monkeypatch.setattr(large, "_check_containers", None)  # nobody walks through it
    answer = office.api("rita").post("/work-items/batch", body)
    assert answer.status_code == 422
    assert error in {(each["pointer"], each["code"]) for each in answer.json()["errors"]}
