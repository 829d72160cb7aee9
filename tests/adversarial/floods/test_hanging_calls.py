"""Calls of one tenant hang as long as their timeout allows; executions of another tenant take their usual time."""

from __future__ import annotations

import time
from typing import Any

import pytest

from integrations.models import Execution
from tests.journeys.worker import start_worker
from tests.receivers.fixtures import Receiver, receiver
from tests.workitems.office import BANK, Office, open_office
from threada_site.database.unit_of_work import unit_of_work
from threada_site.tenancy.models import Tenant

__all__ = ["receiver"]

HANGING = 40
TIMEOUT_S = 25
SINGLES = 10
AT_MOST = 3.0
AT_MOST_S = 2.0
LIMITS: dict[str, dict[str, Any]] = {
    "sets": {},
    "one by one": {"limits": {"concurrency": 100}},
}

pytestmark = [pytest.mark.adversarial, pytest.mark.quiet, pytest.mark.django_db(transaction=True)]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("kind", LIMITS)
def test_hanging_calls_of_one_tenant_do_not_delay_another(
    tenant: Tenant, other_tenant: Tenant, receiver: Receiver, kind: str, workers: int
) -> None:
    """The calls hang in all job threads or slots of the old product for 25 s; here for a second in their slots."""
    hostile, quiet = open_office(tenant), open_office(other_tenant)
    for office, path, more in ((hostile, "/hangs", LIMITS[kind]), (quiet, "/quick", {})):
        pay = {**BANK["actions"]["pay"], "path": path, "timeout": f"PT{TIMEOUT_S}S"}
        office.put_bank(base_url=receiver.url, actions={"pay": pay}, **more)
    receiver.behave({"/hangs": {"delay_s": 60.0}, "/quick": {}})
    items = [[quiet.decided() for _ in range(SINGLES)] for _ in range(4)]
    asked = [hostile.decided() for _ in range(HANGING)]
    started = [start_worker(THREADA_EGRESS_ALLOW="127.0.0.1/32") for _ in range(workers)]
    try:
        one_by_one(quiet, items[0][:2], receiver)  # the worker has started
        idle = one_by_one(quiet, items[0][2:], receiver), together(quiet, items[1], receiver)
        hanging = [hostile.execute(item).execution.id for item in asked]
        receiver.wait_for(4, path="/hangs", timeout_s=60)
        attacked = one_by_one(quiet, items[2], receiver), together(quiet, items[3], receiver)
        with unit_of_work(hostile.tenant.id):
            running = Execution.objects.filter(id__in=hanging, status="running").count()
    finally:
        for worker in started:  # by force: it would wait for the calls
            worker.kill()
            worker.wait()
    print(
        f"\n{kind}, {workers} worker(s), {running} calls hang: longest of {SINGLES} {idle[0]:.2f} s idle, "
        f"{attacked[0]:.2f} attacked; {SINGLES} together {idle[1]:.2f} idle, {attacked[1]:.2f} attacked"
    )
    assert running >= 4
    assert attacked[0] < max(AT_MOST_S, AT_MOST * idle[0])
    assert attacked[1] < max(AT_MOST_S, AT_MOST * idle[1])


def one_by_one(office: Office, items: list[Any], receiver: Receiver) -> float:
    """Execute one after the other. Return the longest time in seconds from a request until its call has arrived."""
    waits = list[float]()
    for item in items:
        seen = len(receiver.requests("/quick"))
        asked_at = time.time()
        office.execute(item)
        waits.append(receiver.wait_for(seen + 1, path="/quick", timeout_s=60)[-1]["at"] - asked_at)
    return max(waits)


def together(office: Office, items: list[Any], receiver: Receiver) -> float:
    """Execute all at once. Return the time in seconds from the last request until the last call has arrived."""
    seen = len(receiver.requests("/quick"))
    for item in items:
        office.execute(item)
    asked_at = time.time()
    return max(0.0, receiver.wait_for(seen + len(items), path="/quick", timeout_s=60)[-1]["at"] - asked_at)
