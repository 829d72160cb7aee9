"""Receipts to deliver, and one run of a delivery at a time."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

from integrations.services.deliver import run_delivery
from telemetry.models import Delivery, LogLeaf, Receipt, SealQueueEntry
from telemetry.receipts import Entry
from telemetry.services.record import record
from telemetry.tlog.hashing import leaf_hash
from tests.factories import acting_system
from threada_site.kernel import clock
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.roles import platform_role
from threada_site.tenancy.unit_of_work import unit_of_work


def tell(tenant: Tenant, *texts: str) -> None:
    with unit_of_work(tenant.id):
        for text in texts:
            record(Entry(kind="thing.told", inputs={"text": text}), ctx=acting_system(tenant))


def seal(tenant: Tenant) -> int:
    """Give every queued receipt its place, as the sealer does; how many the log holds then."""
    with platform_role():
        start = LogLeaf.objects.filter(tenant_id=tenant.id).count()
        queued = list(SealQueueEntry.objects.filter(tenant_id=tenant.id).order_by("id").values_list("id", flat=True))
        stored = dict(Receipt.objects.filter(id__in=queued).values_list("id", "body"))
        for place, receipt_id in enumerate(queued, start):
            hashed = leaf_hash(bytes(stored[receipt_id]))
            LogLeaf.objects.create(id=receipt_id, tenant_id=tenant.id, index=place, hash=hashed)
        SealQueueEntry.objects.filter(id__in=queued).delete()
    return start + len(queued)


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
