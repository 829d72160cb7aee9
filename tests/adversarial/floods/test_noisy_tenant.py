"""One tenant queues 50,000 executions that take a second each; single executions of another tenant run at once."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from django.db import connection, models

from integrations.models import Execution
from tests.journeys.worker import running_worker
from tests.receivers.fixtures import Receiver, receiver
from tests.workitems.office import BANK, Office, open_office
from threada_site.database.roles import owner_role, platform_role
from threada_site.tenancy.models import Tenant
from workitems.models import WorkItem

__all__ = ["receiver"]

QUEUED = 50_000
REAL = 150
SINGLES = 12
AT_MOST_S = 2.0

pytestmark = [pytest.mark.adversarial, pytest.mark.quiet, pytest.mark.django_db(transaction=True)]


def columns_of(model: type[models.Model]) -> list[str]:
    return [field.column for field in model._meta.local_concrete_fields if not field.generated]


def copy_many(execution: Execution, count: int) -> None:
    """Insert `count` more waiting executions like this one, each on an item of its own."""
    with platform_role(), connection.cursor() as cursor:
        cursor.execute(
            "CREATE TEMPORARY TABLE copies AS SELECT gen_random_uuid() AS item, gen_random_uuid() AS run "
            "FROM generate_series(1, %s)",
            [count],
        )
        for model, source, new in (
            (WorkItem, execution.work_item_id, {"id": "c.item"}),
            (
                Execution,
                execution.id,
                {
                    "id": "c.run",
                    "work_item_id": "c.item",
                    "idempotency_key": "c.run::text",
                    "dispatched_at": "NULL",
                },
            ),
        ):
            names = columns_of(model)
            values = ", ".join(new.get(name, f's."{name}"') for name in names)
            quoted = ", ".join(f'"{name}"' for name in names)
            cursor.execute(
                f"INSERT INTO {model._meta.db_table} ({quoted}) "
                f"SELECT {values} FROM {model._meta.db_table} s CROSS JOIN copies c WHERE s.id = %s",
                [source],
            )
        cursor.execute("DROP TABLE copies")
    with owner_role(), connection.cursor() as cursor:
        cursor.execute("ANALYZE integrations_execution")


def test_flood_of_one_tenant_does_not_delay_another(tenant: Tenant, other_tenant: Tenant, receiver: Receiver) -> None:
    noisy, quiet = open_office(tenant), open_office(other_tenant)
    for office, path in ((noisy, "/slow"), (quiet, "/quick")):
        pay = {**BANK["actions"]["pay"], "path": path}
        office.put_bank(base_url=receiver.url, actions={"pay": pay})
    receiver.behave({"/slow": {"delay_s": 1.0}, "/quick": {}})
    last = [noisy.execute(noisy.decided()).execution for _ in range(REAL)][-1]
    copy_many(last, QUEUED - REAL)
    items = [quiet.decided() for _ in range(SINGLES)]
    waits = []
    with running_worker(THREADA_EGRESS_ALLOW="127.0.0.1/32"):
        receiver.wait_for(6, path="/slow", timeout_s=60)
        for item in items:
            asked_at = time.time()
            quiet.execute(item)
            arrived = receiver.wait_for(len(waits) + 1, path="/quick", timeout_s=30)[-1]["at"]
            waits.append(arrived - asked_at)
            time.sleep(0.4)
        busy = len(receiver.requests("/slow"))
        waiting = _waiting(noisy)
    waits.sort()
    print(
        f"\nnoisy tenant: {waiting} waiting, {busy} calls meanwhile; another's single ones: "
        f"median {waits[len(waits) // 2] * 1000:.0f} ms, longest {waits[-1] * 1000:.0f} ms "
        f"({datetime.now(UTC):%Y-%m-%d})"
    )
    assert waiting > QUEUED - REAL
    assert waits[-1] < AT_MOST_S


def _waiting(office: Office) -> int:
    with platform_role():
        return Execution.objects.filter(tenant_id=office.tenant.id, status="started").count()
