"""Effects per second and start latency with one worker on either engine, next to a bare loop of httpx."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from tests.benchmarks.figures import Figure
from tests.benchmarks.world import TENANT, World
from tests.broker import PROGRAM, Broker
from tests.receivers.fixtures import Receiver

if TYPE_CHECKING:
    from threada_site.kernel.context import ActingContext

QUEUED = 400
SINGLES = 60
AIM = 0.5
ALLOWED = "127.0.0.1/32"
PAYLOAD: dict[str, Any] = {"vendor": "Hooli", "amount_minor": 900}


def measure(world: World) -> Iterator[Figure]:
    """Measure on either engine: a queue that is full before the worker starts, then single executions."""
    with tempfile.TemporaryDirectory(prefix="threada-receiver-") as folder:
        receiver = Receiver(Path(folder))
        try:
            _put_bank(receiver.url)
            bare = _bare_per_second(receiver)
            yield from _figures(receiver, bare, environment={}, named="one worker")
            if not PROGRAM.exists():
                yield Figure(name="effects/s, one worker on Celery", value="not measured: RabbitMQ is not installed")
                return
            with _celery(Path(folder)) as environment:
                yield from _figures(receiver, bare, environment=environment, named="one worker on Celery")
        finally:
            receiver.stop()


def _figures(receiver: Receiver, bare: float, *, environment: dict[str, str], named: str) -> Iterator[Figure]:
    before = len(receiver.requests("/payments"))
    for _ in range(QUEUED):
        _execute()
    with _worker(environment):
        arrived = receiver.wait_for(before + QUEUED, path="/payments", timeout_s=300)
        ours = _per_second(arrived[before:])
        time.sleep(2)
        waits = sorted(_single_ms(receiver, before=before + QUEUED + number) for number in range(SINGLES))
    yield Figure(
        name=f"effects/s, {named}",
        value=f"{ours:.0f}/s",
        beside=f"bare httpx loop {bare:.0f}/s",
        ratio=ours / bare,
        aim=f">= {AIM}",
        is_met=ours / bare >= AIM,
    )
    yield Figure(
        name=f"start latency, {named}, p50 / p95",
        value=f"{statistics.median(waits):.0f} / {waits[int(len(waits) * 0.95)]:.0f} ms",
    )


@contextmanager
def _celery(folder: Path) -> Iterator[dict[str, str]]:
    """Yield the environment of a worker with a RabbitMQ and jobs in the outbox."""
    from django.conf import settings

    broker = Broker(folder)
    broker.start()
    before = settings.THREADA_ENGINE
    settings.THREADA_ENGINE = "celery"
    try:
        yield broker.environment()
    finally:
        settings.THREADA_ENGINE = before
        broker.stop()


def _bare_per_second(receiver: Receiver) -> float:
    with httpx.Client() as client:
        for _ in range(QUEUED):
            headers = {"Idempotency-Key": uuid.uuid4().hex}
            client.post(f"{receiver.url}/bare", json={"amount_minor": 900}, headers=headers).raise_for_status()
    return _per_second(receiver.requests("/bare"))


def _per_second(requests: list[dict[str, Any]]) -> float:
    return (len(requests) - 1) / (requests[-1]["at"] - requests[0]["at"])


def _single_ms(receiver: Receiver, *, before: int) -> float:
    """Return the time from the commit of one execution until its request has arrived."""
    _execute()
    committed_at = time.time()
    arrived_at = receiver.wait_for(before + 1, path="/payments", timeout_s=30)[-1]["at"]
    time.sleep(0.1)
    return (float(arrived_at) - committed_at) * 1000


@contextmanager
def _worker(own: dict[str, str]) -> Iterator[None]:
    """Run `manage.py worker` as `up` starts it; the environment names the database."""
    environment = {**os.environ, "THREADA_EGRESS_ALLOW": ALLOWED, "THREADA_LOG_LEVEL": "WARNING", **own}
    process = subprocess.Popen([sys.executable, "manage.py", "worker"], env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


def _context() -> ActingContext:
    from tests.factories import acting
    from threada_site.tenancy.models import Tenant, User

    return acting(Tenant.objects.get(slug=TENANT), User.objects.get(username="client"))


def _put_bank(url: str) -> None:
    from integrations.configuration.configure import upsert_integration
    from tests.factories import acting_system
    from threada_site.database.unit_of_work import unit_of_work
    from threada_site.kernel.context import EntryPoint
    from threada_site.tenancy.models import Tenant

    pay = {"method": "POST", "path": "/payments", "body": {"amount_minor": "${item.payload.amount_minor}"}}
    spec = {"connector": "http", "base_url": url, "idempotent": True, "actions": {"pay": pay}}
    tenant = Tenant.objects.get(slug=TENANT)
    with unit_of_work(tenant.id):
        upsert_integration("int_bank", spec, ctx=acting_system(tenant, EntryPoint.COMMAND))


def _execute() -> None:
    """Create one payment, decided and queued."""
    from threada_site.database.unit_of_work import unit_of_work
    from workitems.executions.request_action import ActionRequest, execute_action
    from workitems.items.intake import IntakeRequest, create_work_item
    from workitems.items.locks import locked_item

    ctx = _context()
    with unit_of_work(ctx.tenant_id):
        asked = IntakeRequest(workflow="payment_run", channel="web_main", payload=PAYLOAD)
        item = create_work_item(asked, ctx=ctx)
    with unit_of_work(ctx.tenant_id):
        execute_action(locked_item(item.id, ctx=ctx), ActionRequest(integration="int_bank", action="pay"), ctx=ctx)
