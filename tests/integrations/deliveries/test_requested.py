"""Deliveries: selected kinds and workflows, test events, attempts, and receipts that are sent again."""

from __future__ import annotations

from typing import Any

import pytest

from integrations import sweeps
from integrations.deliveries import requested
from integrations.deliveries.deliver import configure_delivery
from integrations.deliveries.senders import file
from integrations.deliveries.senders.file import file_of
from telemetry.deliveries import batches
from telemetry.deliveries.attempt_list import MOST_REQUESTS_AN_HOUR
from telemetry.models import DeliveryAttempt
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from tests.client import Api
from tests.factories import acting_system, make_principal, make_token
from tests.integrations.deliveries.collected import attributes, records, to_collector
from tests.integrations.deliveries.delivering import (
    PATH,
    again,
    change,
    events,
    lines,
    run,
    sequence,
    tell,
    to_file,
    webhook,
)
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.telemetry.sealed import seal_queued
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.usefixtures("way_out")


@pytest.fixture
def api(tenant: Tenant) -> Api:
    return Api(make_token(tenant, make_principal(tenant, "stella", roles=("tenant_admin",))))


def tell_of(tenant: Tenant, *of: tuple[str, str]) -> None:
    with unit_of_work(tenant.id):
        for kind, workflow in of:
            record(Entry(kind=kind, subject=Subject(workflow=workflow)), ctx=acting_system(tenant))


def attempts(api: Api, slug: str = "siem") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.get(f"{PATH}/{slug}/attempts").json()["data"]
    return found


def test_only_selected_kinds_and_workflows_are_sent(tenant: Tenant, receiver: Receiver) -> None:
    seal_queued(tenant)
    delivery = webhook(tenant, receiver)
    seal_queued(tenant)
    run(delivery)
    tell_of(tenant, ("execution.failed", "pay"), ("execution.failed", "hire"), ("work_item.created", "pay"))
    with unit_of_work(tenant.id):
        configure_delivery(
            "siem",
            target="webhook",
            url=delivery.url,
            secret=delivery.secret,
            kinds=["execution.failed"],
            workflows=["pay"],
            ctx=acting_system(tenant),
        )
    tell(tenant, "something else")
    size = seal_queued(tenant)
    before = len(events(receiver))
    run(delivery)
    sent = events(receiver)[before:]
    assert [(event["type"], event["data"]["subject"]["workflow_id"]) for event in sent] == [
        ("threada.execution.failed", "pay")
    ]
    run(delivery)
    assert again(delivery).next_index == size
    message = receiver.requests("/hook")[-1]["headers"]["webhook-id"]
    assert message.count(".") == 2


def test_unknown_kinds_and_workflows_are_refused(api: Api, receiver: Receiver) -> None:
    body = {"delivery_id": "siem", "target": "file", "kinds": ["execution.suceeded"], "workflows": ["nothing"]}
    refused = api.post(PATH, body)
    assert [(entry["pointer"], entry["code"]) for entry in refused.json()["errors"]] == [
        ("/kinds/0", "unknown_kind"),
        ("/workflows/0", "unknown_workflow"),
    ]
    assert "Did you mean execution.succeeded?" in refused.json()["errors"][0]["detail"]


def test_a_test_event_is_sent_by_a_worker_and_moves_nothing(tenant: Tenant, api: Api, receiver: Receiver) -> None:
    delivery = webhook(tenant, receiver)
    change(delivery, status="paused")
    asked = api.post(f"{PATH}/siem/test", {})
    assert (asked.status_code, asked.json()["status"]) == (202, "queued")
    assert api.post(f"{PATH}/siem/test", {}).json()["reason_code"] == "delivery_busy"
    webhook(tenant, receiver, "other")
    assert api.post(f"{PATH}/other/test", {}).json()["reason_code"] == "delivery_busy", "one of a tenant at a time"
    assert receiver.requests("/hook") == []
    run_jobs()
    (event,) = events(receiver)
    assert event["type"] == "threada.delivery.test"
    assert "sequence" not in event
    assert again(delivery).next_index == delivery.next_index
    assert [(entry["purpose"], entry["status"], entry["events"]) for entry in attempts(api)] == [
        ("test", "delivered", 1)
    ]
    receiver.behave(status=500, body={"customer": "secret of the receiver"})
    api.post(f"{PATH}/siem/test", {})
    run_jobs()
    failed = attempts(api)[0]
    assert (failed["status"], failed["events"]) == ("failed", 0)
    assert "secret of the receiver" not in str(failed)


def test_no_test_event_goes_to_an_address_that_is_not_allowed(
    tenant: Tenant, api: Api, receiver: Receiver, settings: Any
) -> None:
    webhook(tenant, receiver)
    settings.THREADA_EGRESS_ALLOW = []
    api.post(f"{PATH}/siem/test", {})
    run_jobs()
    assert receiver.requests("/hook") == []
    assert attempts(api)[0]["failure"]["reason_code"] in ("blocked_address", "secret_origin_refused")


def test_one_receipt_or_a_range_is_sent_again(tenant: Tenant, api: Api, receiver: Receiver) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    tell(tenant, "one", "two", "three")
    size = seal_queued(tenant)
    run(delivery)
    first = events(receiver)
    assert [entry["purpose"] for entry in attempts(api)] == ["scheduled"]
    assert api.post(f"{PATH}/siem/resend", {"receipt_id": first[-1]["id"]}).status_code == 202
    run_jobs()
    assert events(receiver)[size:] == first[-1:]
    api.post(f"{PATH}/siem/resend", {"first_index": 0, "last_index": size - 1})
    run_jobs()
    assert sequence(events(receiver)[size + 1 :]) == list(range(size))
    ids = [call["headers"]["webhook-id"] for call in receiver.requests("/hook")]
    assert len(set(ids)) == 3
    for body, status in (
        ({"first_index": 0, "last_index": size}, 422),
        ({"first_index": 2, "last_index": 1}, 422),
        ({"first_index": 0}, 422),
        ({"receipt_id": "rc_01k9zq6w4ve9qtr1n5m2d3c4b5"}, 404),
    ):
        assert api.post(f"{PATH}/siem/resend", body).status_code == status
    change(delivery, next_index=5000)
    assert api.post(f"{PATH}/siem/resend", {"first_index": 0, "last_index": 1000}).status_code == 422
    change(delivery, status="paused")
    assert api.post(f"{PATH}/siem/resend", {"first_index": 0, "last_index": 0}).json()["reason_code"] == "conflict"


def test_newest_files_of_requested_attempts_are_kept(tenant: Tenant, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file, "MOST_REQUESTED", 2)
    tell(tenant, "one")
    seal_queued(tenant)
    delivery = to_file(tenant, from_beginning=True)
    run(delivery)
    for _ in range(3):
        assert api.post(f"{PATH}/{delivery.slug}/test", {}).status_code == 202
        run_jobs()
    made = [one["delivery_attempt_id"] for one in attempts(api, delivery.slug)[:3]]
    assert [file_of(delivery, name).exists() for name in made] == [True, True, False]
    assert lines(delivery)


def test_files_and_collectors_get_test_events_and_receipts_again(tenant: Tenant, api: Api, collector: Receiver) -> None:
    tell(tenant, "one", "two")
    size = seal_queued(tenant)
    for delivery in (to_file(tenant, from_beginning=True), to_collector(tenant, collector, from_beginning=True)):
        run(delivery)
        address = f"{PATH}/{delivery.slug}"
        for path, body in (("test", {}), ("resend", {"first_index": 1, "last_index": size - 1})):
            assert api.post(f"{address}/{path}", body).status_code == 202
            run_jobs()
        resent, tested = attempts(api, delivery.slug)[:2]
        assert [(one["purpose"], one["status"], one["events"]) for one in (tested, resent)] == [
            ("test", "delivered", 1),
            ("resend", "delivered", size - 1),
        ]
        assert again(delivery).next_index == size
        if delivery.target == "file":
            test, other = (lines(delivery, one["delivery_attempt_id"]) for one in (tested, resent))
            assert (test[0]["type"], "sequence" in test[0]) == ("threada.delivery.test", False)
            assert other == lines(delivery)[1:]
            tell(tenant, "three")
            size = seal_queued(tenant)
            run(delivery)
            assert sequence(lines(delivery)) == list(range(size)), "the file contains each receipt once"
    got = records(collector)
    assert got[size].event_name == "threada.delivery.test"
    assert "threada.sequence" not in attributes(got[size])
    assert [record.body for record in got[size + 1 :]] == [record.body for record in got[1:size]]
    collector.behave(rejected=1)
    api.post(f"{PATH}/siem/test", {})
    run_jobs()
    failed = attempts(api)[0]
    assert (failed["status"], failed["events"], failed["failure"]["reason_code"]) == ("failed", 0, "records_rejected")


def test_a_slow_receiver_does_not_hold_a_worker(
    tenant: Tenant, api: Api, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = webhook(tenant, receiver, from_beginning=True)
    tell(tenant, "one", "two", "three")
    size = seal_queued(tenant)
    run(delivery)
    monkeypatch.setattr(requested, "LONGEST_S", 0.0)
    monkeypatch.setattr(batches, "BATCH_EVENTS", 1)
    api.post(f"{PATH}/siem/resend", {"first_index": 0, "last_index": size - 1})
    run_jobs()
    assert len(events(receiver)) == size + 1
    ended = attempts(api)[0]
    assert (ended["status"], ended["failure"]["reason_code"], ended["events"]) == ("failed", "timeout", 1)


def test_requests_are_limited_by_the_hour(tenant: Tenant, api: Api, receiver: Receiver) -> None:
    delivery = webhook(tenant, receiver)
    change(delivery, next_index=5000)
    past = {"tenant_id": tenant.id, "delivery": delivery, "status": "delivered"}
    with unit_of_work(tenant.id):
        DeliveryAttempt.objects.create(**past, purpose="resend", first_index=0, last_index=9_989)
    assert (
        api.post(f"{PATH}/siem/resend", {"first_index": 0, "last_index": 10}).json()["reason_code"] == "delivery_busy"
    )
    assert api.post(f"{PATH}/siem/resend", {"first_index": 0, "last_index": 9}).status_code == 202
    with unit_of_work(tenant.id):
        DeliveryAttempt.objects.update(status="delivered")
        DeliveryAttempt.objects.bulk_create(
            DeliveryAttempt(**past, purpose="test") for _ in range(MOST_REQUESTS_AN_HOUR)
        )
    busy = api.post(f"{PATH}/siem/test", {})
    assert (busy.status_code, busy.headers["Retry-After"]) == (429, "3600")


def test_a_lost_worker_ends_the_attempt(tenant: Tenant, api: Api, receiver: Receiver) -> None:
    webhook(tenant, receiver)
    api.post(f"{PATH}/siem/test", {})
    with unit_of_work(tenant.id):
        DeliveryAttempt.objects.update(status="running", lease_until=clock.now())
    assert sweeps.enqueue_due_attempts(now=clock.now()) <= 1
    run_jobs()
    assert attempts(api)[0]["failure"]["reason_code"] == "worker_lost"
    assert receiver.requests("/hook") == []


def test_nothing_is_sent_after_the_delivery_was_removed(tenant: Tenant, api: Api, receiver: Receiver) -> None:
    delivery = webhook(tenant, receiver)
    change(delivery, next_index=5)
    assert api.post(f"{PATH}/siem/resend", {"first_index": 0, "last_index": 0}).status_code == 202
    assert api.post(f"{PATH}/siem/remove", {}).status_code == 204
    run_jobs()
    assert receiver.requests("/hook") == []
    with unit_of_work(tenant.id):
        (ended,) = DeliveryAttempt.objects.filter(purpose="resend")
    assert (ended.status, ended.failure) == ("failed", "conflict")
