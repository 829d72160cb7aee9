"""Refusals at a quota, at every entry point that creates something, and without an effect on other tenants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from policies.drafts.edit import draft_policy_version
from policies.models import PolicyReplay, PolicyVersion
from policies.publication.publish import upsert_policy
from policies.replay.request import ReplayRequest, cancel_replay, request_replay, resume_replay
from telemetry.models import Receipt
from tests.client import Api
from tests.workitems.office import RULES, Office, open_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.tenants import set_quota
from threada_site.kernel import clock
from threada_site.kernel.errors import QuotaExceeded
from threada_site.tenancy.models import Tenant, TenantQuota
from threada_site.tenancy.quotas import require
from threada_site.tenancy.quotas.kinds import Quota
from threada_site.tenancy.quotas.require import forget_counts
from threada_site.tenancy.quotas.usage import usage_of
from workitems.models import WorkItem

ITEM = {"workflow_id": "payments", "channel_id": "web", "payload": {"amount": 1}}


@pytest.fixture
def office(tenant: Tenant) -> Office:
    return open_office(tenant)


def limit(office: Office, kind: Quota, most: int) -> None:
    with unit_of_work(office.tenant.id):
        set_quota(kind, most, ctx=office.system)
    forget_counts()


def used(office: Office, kind: Quota) -> int:
    with unit_of_work(office.tenant.id):
        return next(usage.used for usage in usage_of(office.tenant.id) if usage.kind is kind)


def rules(number: int) -> dict[str, Any]:
    return {"rules": [{**RULES[-1], "reason": f"FINE_{number}"}]}


def create_item(api: Api, _number: int) -> Any:
    return api.post("/work-items", ITEM)


def create_export(api: Api, _number: int) -> Any:
    return api.post("/telemetry/exports", {})


def create_delivery(api: Api, number: int) -> Any:
    return api.post("/telemetry/deliveries", {"delivery_id": f"archive-{number}", "target": "file"})


def create_draft(api: Api, number: int) -> Any:
    return api.post("/policies/rules/versions", {"document": rules(number)})


def create_replay(api: Api, _number: int) -> Any:
    return api.post("/policies/rules/versions/1/replay", {})


@pytest.mark.parametrize(
    ("kind", "create", "status"),
    [
        (Quota.OPEN_WORK_ITEMS, create_item, 201),
        (Quota.EXPORTS, create_export, 202),
        (Quota.DELIVERIES, create_delivery, 201),
        (Quota.POLICY_DRAFTS, create_draft, 201),
        (Quota.RUNNING_REPLAYS, create_replay, 202),
    ],
)
def test_a_tenant_at_a_quota_is_refused_and_another_is_not(
    office: Office, other_tenant: Tenant, kind: Quota, create: Callable[[Api, int], Any], status: int
) -> None:
    other = open_office(other_tenant)
    limit(office, kind, 3)
    admin = office.api("ada")
    for number in range(3):
        assert create(admin, number).status_code == status, number
    refused = create(admin, 3)
    problem = refused.json()
    assert (refused.status_code, problem["reason_code"]) == (409, "quota_exceeded")
    assert (problem["quota"], problem["limit"], problem["used"]) == (kind.value, 3, 3)
    assert "ask the operator" in problem["detail"]
    assert used(office, kind) == 3
    assert create(other.api("ada"), 0).status_code == status
    with unit_of_work(office.tenant.id):
        receipt = Receipt.objects.get(kind="request.refused")
        assert receipt.reason_codes == ["quota_exceeded"]
    limit(office, kind, 4)
    assert create(admin, 3).status_code == status


def test_stored_bytes_refuse_items_drafts_and_exports(office: Office) -> None:
    limit(office, Quota.STORED_BYTES, 1000)
    with unit_of_work(office.tenant.id):
        TenantQuota.objects.filter(kind=Quota.STORED_BYTES).update(used=1000, counted_at=clock.now())
    for create in (create_item, create_draft, create_export):
        problem = create(office.api("ada"), 1).json()
        assert (problem["reason_code"], problem["quota"]) == ("quota_exceeded", "stored_bytes")


def test_a_draft_that_is_published_at_once_needs_no_quota(office: Office) -> None:
    limit(office, Quota.POLICY_DRAFTS, 0)
    with unit_of_work(office.tenant.id):
        upsert_policy("rules", rules(7), ctx=office.system)
        with pytest.raises(QuotaExceeded):
            upsert_policy("rules", rules(8), ctx=office.system, publish=False)
        with pytest.raises(QuotaExceeded):
            draft_policy_version("rules", rules(8), ctx=office.ctx("ada"))


def test_a_resumed_replay_needs_its_place(office: Office) -> None:
    with unit_of_work(office.tenant.id):
        version = PolicyVersion.objects.select_related("policy").get()
        replay = request_replay(version, ReplayRequest(), ctx=office.system, by_job=False)
        cancel_replay(replay, ctx=office.system)
        request_replay(version, ReplayRequest(), ctx=office.system, by_job=False)
    limit(office, Quota.RUNNING_REPLAYS, 1)
    with unit_of_work(office.tenant.id), pytest.raises(QuotaExceeded):
        resume_replay(PolicyReplay.objects.get(id=replay.id), ctx=office.system, by_job=False)


def test_a_changed_delivery_and_a_removed_one_need_none(office: Office) -> None:
    limit(office, Quota.DELIVERIES, 1)
    admin = office.api("ada")
    assert create_delivery(admin, 1).status_code == 201
    assert create_delivery(admin, 1).status_code == 200
    assert create_delivery(admin, 2).status_code == 409
    assert admin.post("/telemetry/deliveries/archive-1/remove").status_code == 204
    assert create_delivery(admin, 2).status_code == 201


def test_ended_items_give_their_place_back(office: Office) -> None:
    limit(office, Quota.OPEN_WORK_ITEMS, 1)
    admin = office.api("ada")
    item = create_item(admin, 1).json()["work_item_id"]
    assert create_item(admin, 2).status_code == 409
    assert admin.post(f"/work-items/{item}/cancel", {"reason": "Not needed"}).status_code == 200
    forget_counts()  # up to a second later
    assert create_item(admin, 3).status_code == 201


def test_a_requester_who_sees_own_cases_is_counted_with_all_others(office: Office) -> None:
    office.create()
    office.create()
    limit(office, Quota.OPEN_WORK_ITEMS, 2)
    assert create_item(office.api("rita"), 1).status_code == 409


def test_the_count_is_remembered(office: Office) -> None:
    admin = office.api("ada")
    create_item(admin, 1)

    def statements() -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            assert create_item(admin, 2).status_code == 201
        return [query["sql"] for query in captured]

    assert not [sql for sql in statements() if "tenancy_tenantquota" in sql or "COUNT" in sql]
    forget_counts()
    counted = [sql for sql in statements() if "tenancy_tenantquota" in sql or "COUNT" in sql]
    assert len(counted) == 2
    assert "LIMIT 200000" in counted[1]


def test_a_refusal_at_the_quota_counts_nothing_again(office: Office) -> None:
    limit(office, Quota.OPEN_WORK_ITEMS, 1)
    admin = office.api("ada")
    create_item(admin, 1)
    with CaptureQueriesContext(connection) as captured:
        assert create_item(admin, 2).status_code == 409
    assert not [query["sql"] for query in captured if "tenancy_tenantquota" in query["sql"] or "COUNT" in query["sql"]]


def test_near_the_quota_it_is_counted_again_soon(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(require.time, "monotonic", lambda: now[0])
    limit(office, Quota.OPEN_WORK_ITEMS, 10)
    ctx = office.ctx("ada")
    with unit_of_work(office.tenant.id):
        for _ in range(7):
            require.require_open_item_quota(ctx=ctx)
        now[0] += 4.9
        require.require_open_item_quota(ctx=ctx)  # the eighth: near now
        now[0] += 1.0
        for _ in range(10):  # nothing was created: counted from zero
            require.require_open_item_quota(ctx=ctx)
        with pytest.raises(QuotaExceeded):
            require.require_open_item_quota(ctx=ctx)


def test_what_one_process_creates_never_exceeds_the_quota(office: Office) -> None:
    limit(office, Quota.OPEN_WORK_ITEMS, 20)
    answers = [create_item(office.api("ada"), number).status_code for number in range(30)]
    assert (answers.count(201), answers.count(409)) == (20, 10)
    with unit_of_work(office.tenant.id):
        assert WorkItem.objects.count() == 20


def test_defaults_are_those_of_the_instance(office: Office, settings: Settings) -> None:
    settings.THREADA_QUOTAS = {**settings.THREADA_QUOTAS, "exports": 1}
    admin = office.api("ada")
    assert create_export(admin, 1).status_code == 202
    assert create_export(admin, 2).status_code == 409


def test_nobody_of_the_tenant_sets_a_quota(office: Office) -> None:
    with unit_of_work(office.tenant.id):
        with pytest.raises(Exception, match="operator"):
            set_quota(Quota.EXPORTS, 10, ctx=office.ctx("ada"))
        set_quota(Quota.EXPORTS, 10, ctx=office.system)
        set_quota(Quota.EXPORTS, 10, ctx=office.system)
        set_quota(Quota.EXPORTS, None, ctx=office.system)
        bodies = [orjson.loads(bytes(row.body)) for row in Receipt.objects.filter(kind="tenant.quota_set")]
    assert [body["inputs"] for body in bodies] == [
        {"quota": "exports", "before": 500, "limit": 10},
        {"quota": "exports", "before": 10, "limit": 500},
    ]
