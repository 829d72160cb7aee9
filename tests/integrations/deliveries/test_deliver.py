"""Continuous delivery: configuration, permissions, leases, retries, pausing and resuming."""

from __future__ import annotations

import random
from typing import Any

import pytest

from integrations import sweeps
from integrations.deliveries import deliver
from integrations.deliveries.senders.file import file_of
from telemetry.deliveries import batches as deliveries
from telemetry.deliveries.rules import Accepted, DeliveryFailure, retry_delay
from telemetry.lifecycle import DELIVERY, DeliveryStatus
from telemetry.models import Delivery
from tests.factories import acting_system
from tests.integrations.deliveries.delivering import (
    PATH,
    again,
    change,
    events,
    lines,
    lose_worker,
    run,
    sequence,
    tell,
    to_file,
    webhook,
)
from tests.jobs import lose_all_jobs, run_jobs, waiting_jobs
from tests.receivers.fixtures import Receiver
from tests.telemetry.sealed import seal_queued
from tests.workitems.office import open_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.jobs.registry import run_task
from threada_site.kernel import clock
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.usefixtures("way_out")


def test_the_lifecycle_allows_exactly_this() -> None:
    allowed = {("active", "paused"), ("active", "removed"), ("paused", "active"), ("paused", "removed")}
    assert {(a.value, b.value) for a in DeliveryStatus for b in DeliveryStatus if DELIVERY.allows(a, b)} == allowed


def test_delivery_starts_now_by_default(tenant: Tenant, receiver: Receiver) -> None:
    tell(tenant, "before")
    before = seal_queued(tenant)
    delivery = webhook(tenant, receiver)
    assert run(delivery) is False
    assert receiver.requests() == []
    tell(tenant, "after")
    seal_queued(tenant)
    run(delivery)
    assert sequence(events(receiver)) == [before, before + 1]  # the receipt of its creation is the first
    assert events(receiver)[0]["type"] == "threada.telemetry.delivery_configured"


def test_lost_lease_records_no_result(tenant: Tenant, receiver: Receiver) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    seal_queued(tenant)
    ctx = acting_system(tenant)
    with unit_of_work(tenant.id):
        stale = deliveries.lease_batch(delivery.id, now=clock.now(), ctx=ctx)
    assert stale is not None
    lose_worker(delivery)
    run(delivery)
    moved = again(delivery).next_index
    with unit_of_work(tenant.id):
        assert deliveries.settle_delivered(stale, Accepted(), now=clock.now(), ctx=ctx) is False
        deliveries.settle_failed(stale, DeliveryFailure("timeout", ""), now=clock.now(), ctx=ctx, rng=random.Random(1))
    assert (again(delivery).next_index, again(delivery).attempts, again(delivery).failure) == (moved, 0, "")


def test_waiting_doubles_to_five_minutes_and_then_pauses() -> None:
    failure = DeliveryFailure("timeout", "")
    waits = [retry_delay(failure, attempts=n, most=12, rng=random.Random(n)) for n in range(1, 14)]
    assert waits[11:] == [None, None]
    for number, wait in enumerate(waits[:11]):
        ceiling = min(300.0, 2.0**number)
        assert wait is not None
        assert ceiling / 2 <= wait <= ceiling
    assert retry_delay(DeliveryFailure("rejected_by_receiver", ""), attempts=4, most=12, rng=random.Random(1)) is None
    assert retry_delay(DeliveryFailure("timeout", "", is_final=True), attempts=1, most=12, rng=random.Random(1)) is None
    asked = retry_delay(DeliveryFailure("receiver_rate_limited", "", 9e9), attempts=1, most=12, rng=random.Random(1))
    assert asked is not None
    assert 3600 < asked <= 3601


def test_configuring(tenant: Tenant, receiver: Receiver) -> None:
    office = open_office(tenant)
    api = office.api("ada")
    body = {
        "delivery_id": "siem",
        "target": "webhook",
        "url": receiver.url,
        "secret": {"env": "HOOK_SECRET"},
        "from": "beginning",
    }
    made = api.post(PATH, body)
    assert (made.status_code, made.json()["next_index"]) == (201, 0)
    assert made.headers["Location"] == f"{PATH}/siem"
    assert api.post(PATH, body).status_code == 200
    assert len(office.bodies("telemetry.delivery_configured")) == 1
    moved = api.post(PATH, {**body, "url": receiver.url + "/other", "from": "now"})
    assert (moved.status_code, moved.json()["next_index"]) == (200, 0)
    (_, receipt_body) = office.bodies("telemetry.delivery_configured")
    assert receipt_body["inputs"] == {
        "delivery_id": "siem", "target": "webhook", "url": receiver.url + "/other", "secret": {"env": "HOOK_SECRET"},
    }  # fmt: skip
    conflict = api.post(PATH, {"delivery_id": "siem", "target": "file"})
    assert (conflict.status_code, conflict.json()["reason_code"]) == (409, "conflict")
    assert [row["delivery_id"] for row in api.get(PATH).json()["data"]] == ["siem"]
    assert api.post(f"{PATH}/siem/pause", {}).json()["status"] == "paused"
    assert api.post(f"{PATH}/siem/pause", {}).json()["reason_code"] == "transition_not_allowed"
    assert api.post(f"{PATH}/siem/remove", {}).status_code == 204
    assert api.get(f"{PATH}/siem").status_code == 404
    assert api.post(f"{PATH}/siem/resume", {}).status_code == 404
    assert api.post(PATH, {"delivery_id": "siem", "target": "file"}).status_code == 201


@pytest.mark.parametrize(
    ("changes", "pointer", "reason"),
    [
        ({"url": "http://10.0.0.1/"}, "/url", "invalid_request"),
        ({"url": "ftp://example.org/"}, "/url", "invalid_request"),
        ({"url": "http://user:pw@127.0.0.1/"}, "/url", "invalid_request"),
        ({"url": "nonsense"}, "/url", "invalid_request"),
        ({"secret": None}, "/secret", "invalid_request"),
        ({"secret": {"env": "SECRET_KEY"}}, "/secret", "secret_reference_not_allowed"),
        ({"secret": {"value": "whsec_x"}}, "/secret", "invalid_request"),
        ({"target": "file"}, "/target", "invalid_request"),
        ({"target": "ftp"}, "/target", "invalid_request"),
        ({"delivery_id": "No Slug"}, "/delivery_id", "invalid_request"),
    ],
)
def test_refused_configurations(changes: dict[str, Any], pointer: str, reason: str, tenant: Tenant) -> None:
    office = open_office(tenant)
    body = {"delivery_id": "siem", "target": "webhook", "url": "http://127.0.0.1/", "secret": {"env": "HOOK_SECRET"}}
    answer = office.api("ada").post(PATH, {**body, **changes})
    assert (answer.status_code, answer.json()["reason_code"]) == (422, reason)
    assert [entry["pointer"] for entry in answer.json()["errors"]] == [pointer]
    assert office.count(Delivery) == 0


def test_sending_receipts_away_needs_both_rights(tenant: Tenant) -> None:
    office = open_office(tenant)
    office.join("ivy", roles=("integration_manager",))
    office.join("olga", roles=("auditor",))
    body = {"delivery_id": "archive", "target": "file"}
    assert office.api("ivy").post(PATH, body).json()["reason_code"] == "permission_denied"
    assert office.api("olga").post(PATH, body).json()["reason_code"] == "scope_missing"
    assert office.count(Delivery) == 0


def test_tenants_are_apart(tenant: Tenant, other_tenant: Tenant) -> None:
    ours, theirs = (to_file(each, from_beginning=True) for each in (tenant, other_tenant))
    tell(tenant, "ours")
    tell(other_tenant, "theirs")
    for each in (tenant, other_tenant):
        seal_queued(each)
    assert sweeps.enqueue_due_deliveries(now=clock.now()) == 2
    assert sweeps.enqueue_due_deliveries(now=clock.now()) == 0
    run_jobs()
    assert b'"theirs"' not in file_of(ours).read_bytes()
    assert b'"theirs"' in file_of(theirs).read_bytes()
    assert len({event["source"] for event in lines(ours) + lines(theirs)}) == 2


def test_many_deliveries_of_a_tenant_do_not_delay_another(
    tenant: Tenant, other_tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while they go on after their time limit."""
    many = [to_file(tenant, from_beginning=True, slug=f"many{number}") for number in range(3)]
    other = to_file(other_tenant, from_beginning=True)
    for each in (tenant, other_tenant):
        seal_queued(each)
    assert sweeps.enqueue_due_deliveries(now=clock.now()) == 4
    assert str(other.id) in by_turns()[:2]
    assert sorted(job.priority for job in waiting_jobs()) == [-2, -1, 0, 0]
    lose_all_jobs()
    monkeypatch.setattr(deliver, "BUDGET_S", 0.0)
    for delivery in (*many, other):
        run_task(sweeps.DELIVER, {"tenant_id": str(delivery.tenant_id), "delivery_id": str(delivery.id)})
    assert by_turns()[0] == str(other.id)


def by_turns() -> list[str]:
    """Return the deliveries that wait, in the order in which workers take them."""
    return [job.arguments["delivery_id"] for job in sorted(waiting_jobs(), key=lambda job: -job.priority)]


def test_busy_delivery_yields_to_others(tenant: Tenant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "BUDGET_S", 0.0)
    delivery = to_file(tenant, from_beginning=True)
    seal_queued(tenant)
    assert run(delivery) is True
    assert not file_of(delivery).exists()


def test_the_console_shows_and_resumes(tenant: Tenant) -> None:
    from tests.console.sign_in import sign_in

    office = open_office(tenant)
    delivery = to_file(tenant)
    change(
        delivery, status="paused", failure="timeout", detail="No complete answer within 15 s.", paused_at=clock.now()
    )
    browser = sign_in(office.people["ada"])
    page = browser.get("/console/telemetry/delivery/archive/").content.decode()
    assert "It was paused automatically" in page
    assert "No complete answer within 15 s. (timeout)" in page
    assert browser.post("/console/telemetry/delivery/archive/resume/").status_code == 302
    assert again(delivery).status == "active"
    office.join("olga", roles=("auditor",))
    reader = sign_in(office.people["olga"])
    assert "Remove" not in reader.get("/console/telemetry/delivery/archive/").content.decode()
    reader.post("/console/telemetry/delivery/archive/pause/")
    assert again(delivery).status == "active"
