"""Results of a delivery by the response of an OpenTelemetry collector."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from integrations import sweeps
from tests.console.sign_in import sign_in
from tests.integrations.deliveries.collected import LOGS, TOKEN, messages, records, records_of, sequence, to_collector
from tests.integrations.deliveries.delivering import (
    PATH,
    again,
    change,
    due_now,
    metrics,
    run,
    tell,
)
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.telemetry.sealed import seal_queued
from tests.workitems.office import open_office
from threada_site.kernel import clock
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.usefixtures("way_out")


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_retryable_statuses(status: int, tenant: Tenant, collector: Receiver) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True)
    size = seal_queued(tenant)
    collector.behave(status=status, headers={"Retry-After": "100"}, times=1)
    run(delivery)
    found = again(delivery)
    word = "receiver_rate_limited" if status in (429, 503) else "bad_response"
    assert (found.status, found.failure, found.attempts, found.next_index) == ("active", word, 1, 0)
    assert found.next_try_at is not None
    assert timedelta(seconds=95) < found.next_try_at - clock.now() <= timedelta(seconds=101)
    due_now(delivery)
    run(delivery)
    assert (again(delivery).next_index, again(delivery).failure) == (size, "")
    assert sequence(records(collector)) == [*range(size), *range(size)]


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (302, "bad_response"),
        (307, "rejected_by_receiver"),
        (400, "rejected_by_receiver"),
        (401, "rejected_by_receiver"),
        (404, "rejected_by_receiver"),
        (408, "timeout"),
        (413, "rejected_by_receiver"),
        (500, "bad_response"),
        (501, "bad_response"),
    ],
)
def test_every_other_status_pauses_at_once(status: int, failure: str, tenant: Tenant, collector: Receiver) -> None:
    office = open_office(tenant)
    delivery = to_collector(tenant, collector, from_beginning=True, secret={"env": "COLLECTOR_TOKEN"})
    seal_queued(tenant)
    collector.behave(status=status, message=f"no,\nnot with {TOKEN}", headers={"Location": "/elsewhere"})
    run(delivery)
    found = again(delivery)
    assert (found.status, found.failure, found.attempts, found.next_index) == ("paused", failure, 1, 0)
    assert found.detail.startswith(f"The receiver answered {status} (")
    assert found.detail.endswith("It says: no, not with [redacted]") == (status >= 400)
    (receipt_body,) = office.bodies("telemetry.delivery_paused")
    assert receipt_body["outcome"] == {"reason_codes": [failure]}
    assert [call["path"] for call in collector.requests()] == [LOGS]
    collector.behave()
    assert office.api("ada").post(f"{PATH}/siem/resume", {}).json()["status"] == "active"
    size = seal_queued(tenant)
    assert sweeps.enqueue_due_deliveries(now=clock.now()) == 1
    run_jobs()
    assert sequence([entry for message in messages(collector)[1:] for entry in records_of(message)]) == [*range(size)]


@pytest.mark.parametrize(
    "behaviour",
    [
        {"body": "<html>Sign in</html>", "content_type": "text/html"},
        {"body": "not protobuf", "content_type": "application/x-protobuf"},
        {"body": "not json", "content_type": "application/json"},
        {"fault": "reset"},
        {"fault": "not_http"},
        {"fault": "huge"},
        {"fault": "gzip_bomb", "size": 2**24},
    ],
)
def test_invalid_response_is_a_failure(behaviour: dict[str, Any], tenant: Tenant, collector: Receiver) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True)
    seal_queued(tenant)
    collector.behave(**behaviour)
    run(delivery)
    found = again(delivery)
    assert (found.status, found.failure, found.attempts, found.next_index) == ("active", "bad_response", 1, 0)


@pytest.mark.parametrize(
    "behaviour",
    [
        {"status": 204, "body": "", "content_type": "text/plain"},
        {"status": 202, "body": "", "content_type": "application/json"},
        {"body": {"partialSuccess": {}}},
        {"body": {"partialSuccess": {"errorMessage": "slow down"}, "unknown": 1}},
        {"message": "a warning alone"},
    ],
)
def test_accepted_responses(behaviour: dict[str, Any], tenant: Tenant, collector: Receiver) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True)
    size = seal_queued(tenant)
    collector.behave(**behaviour)
    run(delivery)
    found = again(delivery)
    assert (found.next_index, found.rejected, found.failure, found.detail) == (size, 0, "", "")


@pytest.mark.parametrize(
    "behaviour",
    [
        {"rejected": 2, "message": f"too\told, {TOKEN}"},
        {"body": {"partialSuccess": {"rejectedLogRecords": "2", "errorMessage": f"too\told, {TOKEN}"}}},
    ],
)
def test_rejected_records_are_counted_said_once_and_not_sent_again(
    behaviour: dict[str, Any], tenant: Tenant, collector: Receiver
) -> None:
    office = open_office(tenant)
    api, browser = office.api("ada"), sign_in(office.people["ada"])
    delivery = to_collector(tenant, collector, from_beginning=True, secret={"env": "COLLECTOR_TOKEN"})
    size = seal_queued(tenant)
    collector.behave(**behaviour)
    run(delivery)
    shown = api.get(f"{PATH}/siem").json()
    assert (shown["status"], shown["next_index"], shown["rejected"]) == ("active", size, 2)
    assert shown["failure"] == {"reason_code": "records_rejected", "detail": "too old, [redacted]"}
    (receipt_body,) = office.bodies("telemetry.delivery_records_rejected")
    assert receipt_body["inputs"] == {"delivery_id": "siem", "from_index": 0, "next_index": size, "rejected": 2}
    assert receipt_body["outcome"] == {"reason_codes": ["records_rejected"]}
    more = seal_queued(tenant)  # the receipt of the rejection
    assert more == size + 1
    run(delivery)  # also rejected: counted, without another receipt
    assert again(delivery).rejected == 3
    assert seal_queued(tenant) == more
    assert metrics()["threada_delivery_rejected_receipts", (("status", "active"),)] == 3
    page = browser.get("/console/telemetry/delivery/siem/").content.decode()
    assert "The collector rejected receipts of the last batch; they are not sent again: too old" in page
    collector.behave()
    tell(tenant, "taken")
    seal_queued(tenant)
    run(delivery)
    assert (again(delivery).failure, again(delivery).rejected) == ("", 3)
    assert sequence(records(collector)) == list(range(more + 1))
    collector.behave(rejected=10**6)
    tell(tenant, "rejected")
    seal_queued(tenant)
    run(delivery)
    assert again(delivery).rejected == 4
    assert len(office.bodies("telemetry.delivery_records_rejected")) == 2


def test_collector_that_is_down_and_returns(tenant: Tenant, collector: Receiver) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True)
    size = seal_queued(tenant)
    there = delivery.url
    change(delivery, url="http://127.0.0.1:9/v1/logs")
    run(delivery)
    assert (again(delivery).status, again(delivery).failure) == ("active", "connection_refused")
    change(delivery, url=there)
    due_now(delivery)
    run(delivery)
    assert (again(delivery).next_index, sequence(records(collector))) == (size, [*range(size)])


def test_missing_secret_is_reported(tenant: Tenant, collector: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True, secret={"env": "COLLECTOR_TOKEN"})
    seal_queued(tenant)
    for value, said in (("", "is not set or empty"), ("no header: \u4e2d", "can stand in no header")):
        monkeypatch.setenv("COLLECTOR_TOKEN", value)
        due_now(delivery)
        run(delivery)
        found = again(delivery)
        assert (found.failure, found.detail) == ("credential_unavailable", f"The secret env:COLLECTOR_TOKEN {said}.")
    assert collector.requests() == []
