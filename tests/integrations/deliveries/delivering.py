"""Deliveries, receipts for them, and single runs of a delivery."""

from __future__ import annotations

import base64
import json
import random
from datetime import timedelta
from typing import Any

import pytest

from integrations.deliveries import deliver
from integrations.deliveries.deliver import configure_delivery, run_delivery
from integrations.deliveries.senders.file import file_of
from telemetry.deliveries.metrics import delivery_metrics
from telemetry.models import Delivery, LogLeaf, Receipt
from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from tests.factories import acting_system
from tests.receivers.fixtures import Receiver
from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock
from threada_site.tenancy.models import Tenant

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()
PATH = "/telemetry/deliveries"


def tell(tenant: Tenant, *texts: str) -> None:
    with unit_of_work(tenant.id):
        for text in texts:
            record(Entry(kind="thing.noted", inputs={"text": text}), ctx=acting_system(tenant))


def run(delivery: Delivery) -> bool:
    tenant = Tenant.objects.get(id=delivery.tenant_id)
    return run_delivery(delivery.id, ctx=acting_system(tenant), rng=random.Random(1))


def again(delivery: Delivery) -> Delivery:
    with unit_of_work(delivery.tenant_id):
        return Delivery.objects.get(id=delivery.id)


def change(delivery: Delivery, **columns: Any) -> None:
    with unit_of_work(delivery.tenant_id):
        Delivery.objects.filter(id=delivery.id).update(**columns)


def due_now(delivery: Delivery) -> None:
    change(delivery, next_try_at=None)


def lose_worker(delivery: Delivery) -> None:
    change(delivery, lease_until=clock.now() - timedelta(seconds=1))


def stored(tenant: Tenant) -> list[bytes]:
    with unit_of_work(tenant.id):
        places = LogLeaf.objects.order_by("index").values_list("id", flat=True)
        bodies = dict(Receipt.objects.values_list("id", "body"))
        return [bytes(bodies[place]) for place in places]


def webhook(tenant: Tenant, receiver: Receiver, slug: str = "siem", **options: Any) -> Delivery:
    with unit_of_work(tenant.id):
        result = configure_delivery(
            slug,
            target="webhook",
            url=f"{receiver.url}/hook",
            secret={"env": "HOOK_SECRET"},
            ctx=acting_system(tenant),
            **options,
        )
    return result.row


def to_file(tenant: Tenant, slug: str = "archive", **options: Any) -> Delivery:
    with unit_of_work(tenant.id):
        return configure_delivery(slug, target="file", ctx=acting_system(tenant), **options).row


def events(receiver: Receiver) -> list[dict[str, Any]]:
    return [event for call in receiver.requests("/hook") for event in json.loads(call["body"])]


def sequence(found: list[dict[str, Any]]) -> list[int]:
    return [int(event["sequence"]) for event in found]


def lines(delivery: Delivery, attempt: str = "") -> list[dict[str, Any]]:
    return [json.loads(line) for line in file_of(delivery, attempt).read_bytes().splitlines()]


def killed_before_settling(delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a delivery whose worker dies after sending a batch and before recording the result."""

    def killed(*_: Any, **__: Any) -> bool:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(deliver, "settle_delivered", killed)
        with pytest.raises(KeyboardInterrupt):
            run(delivery)


def delete_receipt(tenant: Tenant, index: int) -> LogLeaf:
    """Delete the receipt at a log index, as retention does, and return its leaf."""
    with platform_role():
        leaf = LogLeaf.objects.get(tenant_id=tenant.id, index=index)
        Receipt.objects.filter(id=leaf.id).delete()
    return leaf


def metrics() -> dict[tuple[str, Any], float]:
    """Return the metrics of deliveries by name and labels."""
    with platform_role():
        return {(found.name, found.labels): found.value for found in delivery_metrics()}
