"""Receipts of refused requests: one by one up to a rate, then counted, without loss."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from django.db import connection, connections
from django.test.utils import CaptureQueriesContext

from telemetry.models import Receipt, RefusalCount
from telemetry.receipts import refusal_counts, refusals
from telemetry.receipts.refusal_counts import MOST_SENDERS, RefusalCounts
from telemetry.tasks import refusals as record_finished
from tests.client import Api
from tests.factories import acting, acting_system, make_principal, make_tenant, make_token
from threada_site.database.unit_of_work import unit_of_work
from threada_site.identity.credentials import revoke_credential
from threada_site.kernel import clock
from threada_site.kernel.context import ActingContext
from threada_site.tenancy.models import Credential, Tenant

RATE = 10
UNKNOWN = {"workflow_id": "unheard_of", "payload": {}}
NOON = datetime.fromisoformat("2026-05-05T12:00:00+00:00")


@pytest.fixture(autouse=True)
def counts(monkeypatch: pytest.MonkeyPatch) -> RefusalCounts:
    """Return the counts of this test, which no thread stores. Its requests are all of one minute."""
    fresh, began = RefusalCounts(), clock.now()
    monkeypatch.setattr(refusal_counts, "clock", SimpleNamespace(now=lambda: began))
    monkeypatch.setattr(fresh, "_start_timer", lambda: None)
    monkeypatch.setattr(refusals, "counts", fresh)
    return fresh


@pytest.fixture
def client(tenant: Tenant) -> Api:
    return Api(make_token(tenant, make_principal(tenant, "alice", roles=["requester"])))


def receipts(tenant: Tenant, kind: str) -> list[dict[str, Any]]:
    with unit_of_work(tenant.id):
        return [orjson.loads(bytes(row.body)) for row in Receipt.objects.filter(kind=kind).order_by("id")]


def record_after(minutes: int, tenant: Tenant) -> None:
    with unit_of_work(tenant.id):
        refusals.record_counted_refusals(now=clock.now() + timedelta(minutes=minutes), ctx=acting_system(tenant))


def test_beyond_the_rate_refusals_are_counted_in_one_receipt(
    client: Api, tenant: Tenant, counts: RefusalCounts
) -> None:
    for _ in range(RATE + 25):
        assert client.post("/channels", {}).status_code == 403
    assert len(receipts(tenant, "request.refused")) == RATE
    counts.store()
    record_after(0, tenant)
    assert receipts(tenant, "requests.refused") == [], "the interval is not over"
    record_after(3, tenant)
    record_after(3, tenant)
    (counted,) = receipts(tenant, "requests.refused")
    first = receipts(tenant, "request.refused")[0]
    assert counted["inputs"] == {name: first["actor"][name] for name in ("principal", "credential")}
    assert counted["actor"]["principal"] == "system"
    outcome = counted["outcome"]
    assert (outcome["count"], outcome["reason_code"]) == (25, "scope_missing")
    assert outcome["reason_codes"] == ["scope_missing"]
    assert outcome["interval"] <= outcome["first_at"] <= outcome["last_at"]
    with unit_of_work(tenant.id):
        assert not RefusalCount.objects.exists()


def test_a_refusal_beyond_the_rate_costs_no_statement_of_its_own(client: Api) -> None:
    def statements() -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            client.post("/channels", {})
        return [query["sql"] for query in captured]

    recorded = statements()
    for _ in range(RATE):
        client.post("/channels", {})
    counted = statements()
    assert len(recorded) == 9
    assert counted[1:2] == recorded[1:2] == ["SELECT * FROM threada_enter($1, $2, $3, $4, $5)"]
    assert len(counted) == 4, "the request's own transaction and nothing else"


def test_a_revoked_token_is_counted_too(client: Api, tenant: Tenant, counts: RefusalCounts) -> None:
    with unit_of_work(tenant.id):
        revoke_credential(Credential.objects.get(), ctx=acting_system(tenant))
    for _ in range(RATE + 3):
        assert client.get("/me").status_code == 401
    counts.store()
    record_after(3, tenant)
    assert len(receipts(tenant, "request.refused")) == RATE
    assert [body["outcome"]["count"] for body in receipts(tenant, "requests.refused")] == [3]


def test_a_flood_hides_no_other_reason_credential_or_tenant(client: Api, tenant: Tenant, other_tenant: Tenant) -> None:
    for _ in range(RATE + 5):
        client.post("/channels", {})
    client.get("/work-items/wi_unknown")
    other = Api(make_token(tenant, make_principal(tenant, "bob", roles=["requester"])))
    other.post("/channels", {})
    elsewhere = Api(make_token(other_tenant, make_principal(other_tenant, "carol", roles=["requester"])))
    elsewhere.post("/channels", {})
    assert [body["outcome"]["reason_code"] for body in receipts(tenant, "request.refused")[RATE:]] == [
        "not_found",
        "scope_missing",
    ]
    assert len(receipts(other_tenant, "request.refused")) == 1


def test_refusals_with_an_idempotency_key_are_counted_and_answered_alike(client: Api, tenant: Tenant) -> None:
    for number in range(RATE + 2):
        answer = client.post("/work-items", UNKNOWN, headers={"Idempotency-Key": f"key-{number}"})
        assert answer.status_code == 422
    again = client.post("/work-items", UNKNOWN, headers={"Idempotency-Key": f"key-{RATE + 1}"})
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(receipts(tenant, "request.refused")) == RATE


class TestCounts:
    @pytest.fixture
    def ctx(self, tenant: Tenant) -> ActingContext:
        return acting(tenant, make_principal(tenant, "alice"))

    def test_every_minute_begins_anew(self, counts: RefusalCounts, ctx: ActingContext, tenant: Tenant) -> None:
        for minute in range(3):
            for second in range(RATE + 2):
                at = NOON + timedelta(minutes=minute, seconds=second)
                assert counts.is_beyond_rate(ctx, "not_found", now=at) is (second >= RATE)
        counts.store()
        with unit_of_work(tenant.id):
            stored = RefusalCount.objects.order_by("interval").values_list("interval", "count", "first_at", "last_at")
            assert list(stored) == [
                (start, 2, start + timedelta(seconds=RATE), start + timedelta(seconds=RATE + 1))
                for start in (NOON + timedelta(minutes=minute) for minute in range(3))
            ]

    def test_a_clock_that_was_set_back_begins_another_minute(self, counts: RefusalCounts, ctx: ActingContext) -> None:
        for number in range(RATE + 1):
            assert counts.is_beyond_rate(ctx, "not_found", now=NOON + timedelta(days=1)) is (number == RATE)
        assert counts.is_beyond_rate(ctx, "not_found", now=NOON) is False

    def test_senders_are_bounded(self, counts: RefusalCounts, ctx: ActingContext, tenant: Tenant) -> None:
        for number in range(MOST_SENDERS + 40):
            counts.is_beyond_rate(ctx, f"reason_{min(number, MOST_SENDERS)}", now=NOON)
        assert len(counts._counts) == MOST_SENDERS + 1
        counts.store()
        with unit_of_work(tenant.id):
            row = RefusalCount.objects.get()
        assert (row.principal_id, row.credential_id, row.count) == (None, None, 40 - RATE)

    def test_several_threads_lose_no_count(self, counts: RefusalCounts, ctx: ActingContext, tenant: Tenant) -> None:
        def refuse() -> None:
            for _ in range(500):
                counts.is_beyond_rate(ctx, "not_found", now=NOON)

        threads = [threading.Thread(target=refuse) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        counts.store()
        with unit_of_work(tenant.id):
            assert RefusalCount.objects.get().count == 8 * 500 - RATE

    def test_counts_wait_for_a_database_that_is_away(
        self, counts: RefusalCounts, ctx: ActingContext, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for _ in range(RATE + 1):
            counts.is_beyond_rate(ctx, "not_found", now=NOON)

        def fail(*_args: Any) -> None:
            raise ConnectionError

        with monkeypatch.context() as away:
            away.setattr(refusal_counts, "unit_of_work", fail)
            counts.store()
        counts.store()
        counts.store()
        with unit_of_work(tenant.id):
            assert RefusalCount.objects.get().count == 1


@pytest.mark.django_db(transaction=True)
def test_two_processes_store_and_two_jobs_record(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = make_tenant("acme")
    ctx = acting(tenant, make_principal(tenant, "alice"))
    processes = [RefusalCounts(), RefusalCounts()]
    for process in processes:
        monkeypatch.setattr(process, "_start_timer", lambda: None)
        for _ in range(RATE + 7):
            process.is_beyond_rate(ctx, "not_found", now=NOON)
        process.store()

    def record() -> None:
        record_finished()
        connections.close_all()

    jobs = [threading.Thread(target=record) for _ in range(4)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [body["outcome"]["count"] for body in receipts(tenant, "requests.refused")] == [14]
    for _ in range(RATE + 1):
        processes[0].is_beyond_rate(ctx, "not_found", now=NOON)
    processes[0].store()
    record_finished()
    late = [body["outcome"]["count"] for body in receipts(tenant, "requests.refused")]
    assert late == [14, RATE + 1], "counts that a process stores later get another receipt"
