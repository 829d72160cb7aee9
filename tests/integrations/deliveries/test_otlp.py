"""Delivery to an OpenTelemetry collector: received records, parsed with the official classes, and configuration."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings

from telemetry.deliveries import batches as deliveries
from telemetry.exports.formats.otlp_logs import is_trace_id, severity_of
from telemetry.models import Delivery
from telemetry.receipts.format import Entry, Subject
from telemetry.receipts.record import record
from tests.console.sign_in import sign_in
from tests.factories import acting_system
from tests.integrations.deliveries.collected import (
    LOGS,
    TOKEN,
    attributes,
    messages,
    records,
    records_of,
    sequence,
    to_collector,
)
from tests.integrations.deliveries.delivering import (
    PATH,
    again,
    delete_receipt,
    killed_before_settling,
    lose_worker,
    run,
    stored,
    tell,
)
from tests.receivers.fixtures import Receiver
from tests.telemetry.sealed import seal_queued
from tests.workitems.office import open_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Tenant

pytestmark = pytest.mark.usefixtures("way_out")

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def test_a_collector_gets_every_sealed_receipt_as_a_log_record(tenant: Tenant, collector: Receiver) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True)
    work_item, execution = ids.new_uuid(), ids.new_uuid()
    with unit_of_work(tenant.id):
        record(
            Entry(
                kind="execution.failed",
                subject=Subject(
                    work_item_id=work_item,
                    execution_id=execution,
                    workflow="invoice",
                    channel="mail",
                    integration="bank",
                    status="failed",
                ),
                inputs={"text": 'größer als \\ "5"'},
                outcome={"failure": "timeout"},
                reason_codes=("timeout",),
            ),
            ctx=replace(acting_system(tenant), correlation_id=TRACE),
        )
    size = seal_queued(tenant)
    before = clock.now()
    assert run(delivery) is False
    (call,) = collector.requests(LOGS)
    assert {name: call["headers"].get(name) for name in ("content-type", "content-encoding", "user-agent")} == {
        "content-type": "application/x-protobuf",
        "content-encoding": "gzip",
        "user-agent": f"Threada/{settings.THREADA_VERSION}",
    }
    (message,) = messages(collector)
    (resource_logs,) = message.resource_logs
    (scope_logs,) = resource_logs.scope_logs
    assert attributes(resource_logs.resource) == {
        "service.name": "threada",
        "service.version": settings.THREADA_VERSION,
        "threada.tenant.id": ids.public_id(ids.TENANT, tenant.id),
        "threada.tenant.name": tenant.slug,
    }
    assert (scope_logs.scope.name, scope_logs.scope.version) == ("threada.receipts", settings.THREADA_VERSION)
    got = records(collector)
    assert sequence(got) == list(range(size))
    assert [entry.body.string_value.encode() for entry in got] == stored(tenant)
    body = stored(tenant)[-1]
    said = json.loads(body)
    last = got[-1]
    assert attributes(last) == {
        "log.record.uid": said["id"],
        "threada.sequence": size - 1,
        "threada.sha256": hashlib.sha256(body).hexdigest(),
        "threada.correlation_id": TRACE,
        "threada.actor.kind": "system",
        "threada.actor.entry_point": said["actor"]["entry_point"],
        "threada.reason_codes": ["timeout"],
        "error.type": "timeout",
        "threada.work_item.id": ids.public_id(ids.WORK_ITEM, work_item),
        "threada.execution.id": ids.public_id(ids.EXECUTION, execution),
        "threada.workflow.id": "invoice",
        "threada.channel.id": "mail",
        "threada.integration.id": "bank",
        "threada.status": "failed",
    }
    assert (last.event_name, last.severity_number, last.severity_text) == ("threada.execution.failed", 17, "ERROR")
    assert (last.trace_id.hex(), last.span_id) == (TRACE, b"")
    assert datetime.fromtimestamp(last.time_unix_nano / 1e9, UTC) == datetime.fromisoformat(said["occurred_at"])
    observed = datetime.fromtimestamp(last.observed_time_unix_nano / 1e9, UTC)
    assert before - timedelta(milliseconds=1) <= observed <= clock.now()
    found = again(delivery)
    assert (found.next_index, found.batch_end, found.attempts, found.rejected, found.failure) == (size, None, 0, 0, "")


def test_record_contains_the_actor(tenant: Tenant, collector: Receiver) -> None:
    office = open_office(tenant)
    delivery = to_collector(tenant, collector, from_beginning=True)
    office.api("ada").post(f"{PATH}/siem/pause", {})
    office.api("ada").post(f"{PATH}/siem/resume", {})
    seal_queued(tenant)
    run(delivery)
    (paused,) = [entry for entry in records(collector) if entry.event_name == "threada.telemetry.delivery_paused"]
    said = attributes(paused)
    assert (said["user.id"], said["threada.actor.kind"], said["threada.actor.entry_point"]) == (
        json.loads(paused.body.string_value)["actor"]["principal"],
        "human",
        "api",
    )
    assert said["user.roles"] == ["tenant_admin"]
    assert paused.severity_text == "WARN"
    assert "error.type" not in said


@pytest.mark.parametrize(
    ("kind", "outcome", "severity"),
    [
        ("execution.failed", {}, "ERROR"),
        ("execution.outcome_unknown", {}, "ERROR"),
        ("telemetry.export_failed", {}, "ERROR"),
        ("policy.replay_failed", {}, "ERROR"),
        ("request.refused", {}, "WARN"),
        ("decision_step.rejected", {}, "WARN"),
        ("decision_step.expired", {}, "WARN"),
        ("telemetry.export_expired", {}, "INFO"),
        ("policy.decided", {"effect": "deny"}, "WARN"),
        ("policy.decided", {"effect": "allow"}, "INFO"),
        ("integration.breaker_opened", {}, "WARN"),
        ("telemetry.delivery_paused", {}, "WARN"),
        ("telemetry.delivery_records_rejected", {}, "WARN"),
        ("freeze.set", {}, "WARN"),
        ("freeze.lifted", {}, "INFO"),
        ("work_item.created", {}, "INFO"),
    ],
)
def test_how_severe_a_receipt_is(kind: str, outcome: dict[str, Any], severity: str) -> None:
    number, text = severity_of(kind, outcome)
    assert (text, number) == (severity, {"INFO": 9, "WARN": 13, "ERROR": 17}[severity])


def test_trace_ids() -> None:
    assert is_trace_id(TRACE)
    assert not any(map(is_trace_id, ("", "0" * 32, TRACE.upper(), TRACE + "0", "req-2026-11-25")))


def test_deleted_receipt_keeps_its_sequence(tenant: Tenant, collector: Receiver) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True)
    tell(tenant, "one", "two")
    size = seal_queued(tenant)
    place = delete_receipt(tenant, index=1)
    run(delivery)
    got = records(collector)
    assert sequence(got) == list(range(size))
    gone = got[1]
    assert attributes(gone) == {
        "log.record.uid": ids.public_id(ids.RECEIPT, place.id),
        "threada.sequence": 1,
        "threada.leaf_hash": bytes(place.hash).hex(),
    }
    assert (gone.event_name, gone.HasField("body")) == ("threada.receipt.deleted", False)
    assert datetime.fromtimestamp(gone.time_unix_nano / 1e9, UTC) == ids.instant_of(place.id)


def test_headers_carry_the_secret(tenant: Tenant, collector: Receiver) -> None:
    plain = {"X-Scope-OrgID": "acme", "api-key": "${secret}"}
    delivery = to_collector(tenant, collector, from_beginning=True, secret={"env": "COLLECTOR_TOKEN"}, headers=plain)
    seal_queued(tenant)
    run(delivery)
    usual = to_collector(tenant, collector, secret={"env": "COLLECTOR_TOKEN"})
    assert (usual.id, usual.headers) == (delivery.id, {"Authorization": "Bearer ${secret}"})
    seal_queued(tenant)
    run(delivery)
    first, second = (call["headers"] for call in collector.requests(LOGS))
    assert (first["x-scope-orgid"], first["api-key"], first.get("authorization")) == ("acme", TOKEN, None)
    assert (second["authorization"], second.get("api-key")) == (f"Bearer {TOKEN}", None)
    assert not any(TOKEN.encode() in body for body in stored(tenant))


def test_kill_between_sending_and_settling_repeats_the_records(
    tenant: Tenant, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True)
    tell(tenant, "one")
    size = seal_queued(tenant)
    killed_before_settling(delivery, monkeypatch)
    tell(tenant, "two")
    seal_queued(tenant)
    run(delivery)  # the lease still runs
    lose_worker(delivery)
    run(delivery)
    first, repeated, rest = map(records_of, messages(collector))
    for entry in (*first, *repeated):
        entry.ClearField("observed_time_unix_nano")
    assert first == repeated
    assert sequence(first + rest) == list(range(size + 1))


def test_batches_are_bounded(tenant: Tenant, collector: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "BATCH_EVENTS", 3)
    delivery = to_collector(tenant, collector, from_beginning=True)
    tell(tenant, *"abcdefg")
    size = seal_queued(tenant)
    run(delivery)
    assert max(len(records_of(message)) for message in messages(collector)) == 3
    assert sequence(records(collector)) == list(range(size))


def test_configuring(tenant: Tenant) -> None:
    office = open_office(tenant)
    api = office.api("ada")
    body = {
        "delivery_id": "siem",
        "target": "otlp",
        "url": "http://127.0.0.1:4318/v1/logs",
        "secret": {"env": "COLLECTOR_TOKEN"},
        "headers": {"X-Scope-OrgID": "acme", "Authorization": "Basic ${secret}"},
    }
    made = api.post(PATH, body)
    assert (made.status_code, made.json()["target"], made.json()["headers"], made.json()["rejected"]) == (
        201,
        "otlp",
        body["headers"],
        0,
    )
    assert api.post(PATH, body).status_code == 200
    (receipt_body,) = office.bodies("telemetry.delivery_configured")
    assert receipt_body["inputs"] == {
        "delivery_id": "siem", "target": "otlp", "url": body["url"], "secret": body["secret"],
        "headers": body["headers"], "from_index": receipt_body["inputs"]["from_index"],
    }  # fmt: skip
    changed = api.post(PATH, {name: body[name] for name in ("delivery_id", "target", "url")})
    assert (changed.status_code, changed.json()["headers"], changed.json()["secret"]) == (200, {}, None)
    assert api.post(PATH, {**body, "target": "webhook", "headers": None}).status_code == 422
    assert api.post(PATH, {"delivery_id": "siem", "target": "file"}).json()["reason_code"] == "conflict"
    page = sign_in(office.people["ada"]).get("/console/telemetry/delivery/siem/").content.decode()
    assert "http://127.0.0.1:4318/v1/logs" in page


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"url": "http://10.0.0.1/v1/logs"}, "/url"),
        ({"url": "grpc://127.0.0.1:4317"}, "/url"),
        ({"headers": {"Content-Type": "text/plain"}}, "/headers/Content-Type"),
        ({"headers": {"host": "elsewhere"}}, "/headers/host"),
        ({"headers": {"no name": "x"}}, "/headers/no name"),
        ({"headers": {"X-Org": "a\r\nb"}}, "/headers/X-Org"),
        ({"headers": {"X-Org": ""}}, "/headers/X-Org"),
        ({"headers": {"X-Org": "${env}"}}, "/headers/X-Org"),
        ({"headers": {"X-Org": "a", "x-org": "b"}}, "/headers/x-org"),
        ({"headers": {"Authorization": "Bearer written-out"}}, "/headers/Authorization"),
        ({"headers": {"X-Api-Key": "written-out"}}, "/headers/X-Api-Key"),
        ({"headers": {"X-Api-Key": "${secret}"}}, "/secret"),
        ({"headers": {"X-Org": "a"}, "secret": {"env": "COLLECTOR_TOKEN"}}, "/secret"),
        ({"secret": {"env": "SECRET_KEY"}}, "/secret"),
        ({"secret": {"value": "x"}}, "/secret"),
        ({"target": "webhook", "headers": {}, "secret": {"env": "COLLECTOR_TOKEN"}}, "/headers"),
        ({"target": "file"}, "/target"),
    ],
)
def test_refused_configurations(changes: dict[str, Any], pointer: str, tenant: Tenant) -> None:
    office = open_office(tenant)
    body = {"delivery_id": "siem", "target": "otlp", "url": "http://127.0.0.1:4318/v1/logs"}
    answer = office.api("ada").post(PATH, {**body, **changes})
    assert (answer.status_code, [entry["pointer"] for entry in answer.json()["errors"]]) == (422, [pointer])
    assert office.count(Delivery) == 0
    assert "written-out" not in answer.content.decode()
