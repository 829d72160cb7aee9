"""Requests received by an OpenTelemetry collector, parsed with the official classes."""

from __future__ import annotations

from typing import Any

from google.protobuf.json_format import Parse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord

from integrations.deliveries.deliver import configure_delivery
from telemetry.models import Delivery
from tests.factories import acting_system
from tests.receivers.fixtures import Receiver
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant

LOGS = "/v1/logs"
TOKEN = "s3cr3t-of-the-collector"


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
