"""Delivery to an OpenTelemetry collector: what arrives, as the official classes read it, and what its answers mean."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from integrations import sweeps
from integrations.services import deliver
from integrations.services.deliver import configure_delivery
from telemetry.delivery_metrics import delivery_measurements
from telemetry.formats.otlp_logs import is_trace_id, severity_of
from telemetry.models import Delivery, LogLeaf, Receipt
from telemetry.receipts import Entry, Subject
from telemetry.services import deliveries
from telemetry.services.record import record
from tests.console.people import sign_in
from tests.factories import acting_system
from tests.integrations.delivering import again, change, due_now, lose_worker, run, seal, stored, tell
from tests.jobs import run_jobs
from tests.receivers.fixtures import Receiver
from tests.workitems.office import open_office
from threada_site.kernel import clock, ids
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.roles import platform_role
from threada_site.tenancy.unit_of_work import unit_of_work

PATH = "/telemetry/deliveries"
LOGS = "/v1/logs"
TOKEN = "s3cr3t-of-the-collector"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "THREADA_EGRESS_ALLOW", ["127.0.0.1/32"])
    monkeypatch.setattr(settings, "THREADA_SECRET_REFS", ["env:COLLECTOR_TOKEN"])
    monkeypatch.setenv("COLLECTOR_TOKEN", TOKEN)


def to_collector(tenant: Tenant, collector: Receiver, **options: Any) -> Delivery:
    with unit_of_work(tenant.id):
        return configure_delivery(
            "siem", target="otlp", url=collector.url + LOGS, ctx=acting_system(tenant), **options
        ).row


def messages(collector: Receiver) -> list[ExportLogsServiceRequest]:
    return [Parse(call["body"], ExportLogsServiceRequest()) for call in collector.requests(LOGS)]


def records_of(message: ExportLogsServiceRequest) -> list[LogRecord]:
    return list(message.resource_logs[0].scope_logs[0].log_records)


def records(collector: Receiver) -> list[LogRecord]:
    return [found for message in messages(collector) for found in records_of(message)]


def attributes(of: Any) -> dict[str, Any]:
    found = {}
    for entry in of.attributes:
        kind = entry.value.WhichOneof("value")
        value = getattr(entry.value, kind)
        found[entry.key] = [one.string_value for one in value.values] if kind == "array_value" else value
    return found


def sequence(found: list[LogRecord]) -> list[int]:
    return [attributes(entry)["threada.sequence"] for entry in found]


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
    size = seal(tenant)
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


def test_who_acted_is_said(tenant: Tenant, collector: Receiver) -> None:
    office = open_office(tenant)
    delivery = to_collector(tenant, collector, from_beginning=True)
    office.api("ada").post(f"{PATH}/siem/pause", {})
    office.api("ada").post(f"{PATH}/siem/resume", {})
    seal(tenant)
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


def test_what_is_a_trace_id() -> None:
    assert is_trace_id(TRACE)
    assert not any(map(is_trace_id, ("", "0" * 32, TRACE.upper(), TRACE + "0", "req-2026-11-25")))


def test_what_retention_deleted_keeps_its_place(tenant: Tenant, collector: Receiver) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True)
    tell(tenant, "one", "two")
    size = seal(tenant)
    with platform_role():
        place = LogLeaf.objects.get(tenant_id=tenant.id, index=1)
        Receipt.objects.filter(id=place.id).delete()
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
    seal(tenant)
    run(delivery)
    usual = to_collector(tenant, collector, secret={"env": "COLLECTOR_TOKEN"})
    assert (usual.id, usual.headers) == (delivery.id, {"Authorization": "Bearer ${secret}"})
    seal(tenant)
    run(delivery)
    first, second = (call["headers"] for call in collector.requests(LOGS))
    assert (first["x-scope-orgid"], first["api-key"], first.get("authorization")) == ("acme", TOKEN, None)
    assert (second["authorization"], second.get("api-key")) == (f"Bearer {TOKEN}", None)
    assert not any(TOKEN.encode() in body for body in stored(tenant))


def test_killed_between_sending_and_settling_the_same_records_come_again(
    tenant: Tenant, collector: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True)
    tell(tenant, "one")
    size = seal(tenant)

    def killed(*_: Any, **__: Any) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(deliver, "settle_delivered", killed)
        with pytest.raises(KeyboardInterrupt):
            run(delivery)
    tell(tenant, "two")
    seal(tenant)
    run(delivery)  # the lease still runs
    lose_worker(delivery)
    run(delivery)
    first, repeated, rest = map(records_of, messages(collector))
    for entry in (*first, *repeated):
        entry.ClearField("observed_time_unix_nano")
    assert first == repeated
    assert sequence(first + rest) == list(range(size + 1))


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_be_tried_again(status: int, tenant: Tenant, collector: Receiver) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True)
    size = seal(tenant)
    collector.behave(status=status, headers={"Retry-After": "100"}, times=1)
    run(delivery)
    found = again(delivery)
    word = "rate_limited" if status in (429, 503) else "bad_response"
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
    seal(tenant)
    collector.behave(status=status, message=f"no,\nnot with {TOKEN}", headers={"Location": "/elsewhere"})
    run(delivery)
    found = again(delivery)
    assert (found.status, found.failure, found.attempts, found.next_index) == ("paused", failure, 1, 0)
    assert found.detail.startswith(f"The receiver answered {status} (")
    assert found.detail.endswith("It says: no, not with [redacted]") == (status >= 400)
    (told,) = office.bodies("telemetry.delivery_paused")
    assert told["outcome"] == {"reason_codes": [failure]}
    assert [call["path"] for call in collector.requests()] == [LOGS]
    collector.behave()
    assert office.api("ada").post(f"{PATH}/siem/resume", {}).json()["status"] == "active"
    size = seal(tenant)
    assert sweeps.remind_of_deliveries(now=clock.now()) == 1
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
def test_an_answer_that_no_collector_gives_is_no_yes(
    behaviour: dict[str, Any], tenant: Tenant, collector: Receiver
) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True)
    seal(tenant)
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
def test_what_counts_as_taken(behaviour: dict[str, Any], tenant: Tenant, collector: Receiver) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True)
    size = seal(tenant)
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
    size = seal(tenant)
    collector.behave(**behaviour)
    run(delivery)
    shown = api.get(f"{PATH}/siem").json()
    assert (shown["status"], shown["next_index"], shown["rejected"]) == ("active", size, 2)
    assert shown["failure"] == {"reason_code": "records_rejected", "detail": "too old, [redacted]"}
    (told,) = office.bodies("telemetry.delivery_records_rejected")
    assert told["inputs"] == {"delivery_id": "siem", "from_index": 0, "next_index": size, "rejected": 2}
    assert told["outcome"] == {"reason_codes": ["records_rejected"]}
    more = seal(tenant)  # the receipt about it
    assert more == size + 1
    run(delivery)  # it is rejected too: counted, and no further receipt
    assert again(delivery).rejected == 3
    assert seal(tenant) == more
    with platform_role():
        figures = {(m.name, m.labels): m.value for m in delivery_measurements()}
    assert figures["threada_delivery_rejected_receipts", (("status", "active"),)] == 3
    page = browser.get("/console/telemetry/delivery/siem/change/").content.decode()
    assert "The collector rejected receipts of the last batch; they are not sent again: too old" in page
    collector.behave()
    tell(tenant, "taken")
    seal(tenant)
    run(delivery)
    assert (again(delivery).failure, again(delivery).rejected) == ("", 3)
    assert sequence(records(collector)) == list(range(more + 1))
    collector.behave(rejected=10**6)
    tell(tenant, "rejected")
    seal(tenant)
    run(delivery)
    assert again(delivery).rejected == 4
    assert len(office.bodies("telemetry.delivery_records_rejected")) == 2


def test_a_collector_that_is_gone_and_comes_back(tenant: Tenant, collector: Receiver) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True)
    size = seal(tenant)
    there = delivery.url
    change(delivery, url="http://127.0.0.1:9/v1/logs")
    run(delivery)
    assert (again(delivery).status, again(delivery).failure) == ("active", "connection_refused")
    change(delivery, url=there)
    due_now(delivery)
    run(delivery)
    assert (again(delivery).next_index, sequence(records(collector))) == (size, [*range(size)])


def test_a_secret_that_is_gone_is_said(tenant: Tenant, collector: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    delivery = to_collector(tenant, collector, from_beginning=True, secret={"env": "COLLECTOR_TOKEN"})
    seal(tenant)
    for value, said in (("", "is not set or empty"), ("no header: \u4e2d", "can stand in no header")):
        monkeypatch.setenv("COLLECTOR_TOKEN", value)
        due_now(delivery)
        run(delivery)
        found = again(delivery)
        assert (found.failure, found.detail) == ("credential_unavailable", f"The secret env:COLLECTOR_TOKEN {said}.")
    assert collector.requests() == []


def test_batches_are_bounded(tenant: Tenant, collector: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "BATCH_EVENTS", 3)
    delivery = to_collector(tenant, collector, from_beginning=True)
    tell(tenant, *"abcdefg")
    size = seal(tenant)
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
    (told,) = office.bodies("telemetry.delivery_configured")
    assert told["inputs"] == {
        "delivery_id": "siem", "target": "otlp", "url": body["url"], "secret": body["secret"],
        "headers": body["headers"], "from_index": told["inputs"]["from_index"],
    }  # fmt: skip
    changed = api.post(PATH, {name: body[name] for name in ("delivery_id", "target", "url")})
    assert (changed.status_code, changed.json()["headers"], changed.json()["secret"]) == (200, {}, None)
    assert api.post(PATH, {**body, "target": "webhook", "headers": None}).status_code == 422
    assert api.post(PATH, {"delivery_id": "siem", "target": "file"}).json()["reason_code"] == "conflict"
    page = sign_in(office.people["ada"]).get("/console/telemetry/delivery/siem/change/").content.decode()
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
def test_what_is_refused(changes: dict[str, Any], pointer: str, tenant: Tenant) -> None:
    office = open_office(tenant)
    body = {"delivery_id": "siem", "target": "otlp", "url": "http://127.0.0.1:4318/v1/logs"}
    answer = office.api("ada").post(PATH, {**body, **changes})
    assert (answer.status_code, [entry["pointer"] for entry in answer.json()["errors"]]) == (422, [pointer])
    assert office.count(Delivery) == 0
    assert "written-out" not in answer.content.decode()
