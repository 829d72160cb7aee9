"""Tenants that alternate on few connections never see each other's rows (hostile experiment 28)."""

from __future__ import annotations

import random
import threading
import uuid
from collections import Counter
from collections.abc import Iterator

import pytest
from django.db import OperationalError, connection, transaction

from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Role, Tenant

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

THREADS = 50
UNITS = 120
CONNECTIONS = 2


@pytest.fixture
def small_pool() -> Iterator[None]:
    pool = connection.settings_dict["OPTIONS"]["pool"]
    before = dict(pool)
    connection.close()
    connection.close_pool()
    pool |= {"max_size": CONNECTIONS, "timeout": 60}
    yield
    connection.close()
    connection.close_pool()
    pool.clear()
    pool.update(before)


class Failed(Exception):
    """Raised inside a unit of work."""


def setting() -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT coalesce(current_setting('app.tenant', true), '')")
        return str(cursor.fetchone()[0])


def owners_of_roles(tenant_id: uuid.UUID, ending: str) -> list[uuid.UUID]:
    """Return the tenant of every role that a unit of work reads, which ends in the given way."""
    found: list[uuid.UUID] = []
    try:
        with unit_of_work(tenant_id):
            found += Role.objects.values_list("tenant_id", flat=True)
            if ending == "error":
                raise Failed
            if ending == "rollback":
                transaction.set_rollback(True)
            if ending == "timeout":
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL statement_timeout = '1ms'; SELECT pg_sleep(1)")
            if ending == "abort":
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            if ending == "savepoint":
                with pytest.raises(Failed), unit_of_work(tenant_id):
                    raise Failed
                found += Role.objects.values_list("tenant_id", flat=True)
    except (Failed, OperationalError):
        pass
    return found


def test_tenants_that_alternate_on_two_connections_read_own_rows(
    small_pool: None, tenant: Tenant, other_tenant: Tenant
) -> None:
    seen, lock = Counter[str](), threading.Lock()

    def alternate(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(UNITS):
            mine = chance.choice((tenant, other_tenant)).id
            ending = chance.choice(("commit",) * 8 + ("error", "rollback", "timeout", "savepoint"))
            if chance.random() < 0.005:
                ending = "abort"
            try:
                found = owners_of_roles(mine, ending)
                with lock:
                    seen["own"] += sum(owner == mine for owner in found)
                    seen["foreign"] += sum(owner != mine for owner in found)
                    seen["outside"] += Role.objects.count() + bool(setting())
            finally:
                connection.close()  # hands the connection back to the pool

    threads = [threading.Thread(target=alternate, args=(seed,)) for seed in range(THREADS)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    print(f"\n{seen['own']} rows read on {CONNECTIONS} connections, {seen['foreign']} of another tenant")
    assert seen["foreign"] == seen["outside"] == 0
    assert seen["own"] > THREADS * UNITS
