"""Effects per second and start latency on either engine, next to a bare loop of httpx and plain job queues."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import psycopg

from tests.benchmarks import intake_decisions
from tests.benchmarks.figures import Figure
from tests.benchmarks.neighbours import measure as neighbours
from tests.benchmarks.neighbours import prefect_server
from tests.benchmarks.world import TENANT, World
from tests.broker import PROGRAM, Broker
from tests.receivers.fixtures import Receiver

if TYPE_CHECKING:
    from threada_site.kernel.context import ActingContext
    from workitems.models import WorkItem

QUEUED = int(os.environ.get("THREADA_BENCHMARK_QUEUED", "2000"))
BARE = 400
PREFECT = 100
SINGLES = 60
TENANTS = 50
EACH = 4
AIMS: Final = {1: 0.28, 2: 0.38}
AIM_OF_TENANTS = 0.15
AIM_BESIDE_NEIGHBOUR = 1.2
AIM_P50_MS, AIM_P95_MS = 25, 40
ALLOWED = "127.0.0.1/32"
_CONFIGURATION_JOBS: Final = (
    "SELECT count(*) FROM procrastinate_jobs "
    "WHERE task_name = 'workitems.re_evaluate_for_integrations' AND status IN ('todo', 'doing')"
)
PAYLOAD: dict[str, Any] = {"vendor": "Hooli", "amount_minor": 900}


def measure(world: World) -> Iterator[Figure]:
    """Measure on either engine: a queue that is full before the worker starts, then single executions.

    Next to it, in the same run: a bare loop of httpx, and jobs of plain queues. `THREADA_BENCHMARK_QUEUED`: executions
    of a full queue.
    """
    with tempfile.TemporaryDirectory(prefix="threada-receiver-") as folder:
        receiver = Receiver(Path(folder))
        try:
            _put_bank(receiver.url)
            yield intake_decisions.figure(world, create_item=create_item, running_worker=lambda: running_worker({}))
            neighbour = neighbours.per_second(world, receiver, "procrastinate", count=BARE)
            yield from _full_queue(world, receiver, workers=1, neighbour=neighbour)
            yield from _full_queue(world, receiver, workers=2, neighbour=neighbour)
            yield _prefect(world, receiver)
            yield from _many_tenants(world, receiver)
            yield from _latency(receiver, {}, named="one worker")
            if not PROGRAM.exists():
                yield Figure(name="effects/s, one worker on Celery", value="not measured: RabbitMQ is not installed")
                return
            with _celery(Path(folder)) as environment:
                broker = environment["THREADA_BROKER_URL"]
                neighbour = neighbours.per_second(world, receiver, "celery", count=BARE, broker=broker)
                yield from _full_queue(world, receiver, workers=1, neighbour=neighbour, environment=environment)
                yield from _latency(receiver, environment, named="one worker on Celery")
        finally:
            receiver.stop()


def _full_queue(
    world: World, receiver: Receiver, *, workers: int, neighbour: float, environment: dict[str, str] | None = None
) -> Iterator[Figure]:
    for _ in range(QUEUED):
        _execute()
    named = f"{workers} worker{'s' if workers > 1 else ''}{' on Celery' if environment else ''}"
    bare = [_bare_per_second(receiver)]
    before, written = len(receiver.requests("/payments")), _wal(world)
    with _workers(workers, environment or {}):
        arrived = receiver.wait_for(before + QUEUED, path="/payments", timeout_s=300)
        written = _wal(world) - written
    bare.append(_bare_per_second(receiver))
    # The first quarter is dropped: workers start one after another and compile what they use.
    ours, beside = _per_second(arrived[before + QUEUED // 4 :]), statistics.mean(bare)
    yield Figure(
        name=f"effects/s, {named}",
        value=f"{ours:.0f}/s",
        beside=f"bare httpx loop {beside:.0f}/s (load {os.getloadavg()[0]:.0f})",
        ratio=ours / beside,
        aim=f">= {AIMS[workers]}",
        is_met=ours / beside >= AIMS[workers],
    )
    yield Figure(
        name="… beside jobs of a plain queue",
        value=f"{ours:.0f}/s",
        beside=f"one worker {neighbour:.0f}/s",
        ratio=ours / neighbour,
        aim=f">= {AIM_BESIDE_NEIGHBOUR}",
        is_met=ours / neighbour >= AIM_BESIDE_NEIGHBOUR,
    )
    yield Figure(name="… WAL of an effect, with idle writes", value=f"{written / QUEUED / 1000:.1f} kB")


def _prefect(world: World, receiver: Receiver) -> Figure:
    """Measure background tasks of Prefect with its own server and SQLite, as it starts by default."""
    name = "effects/s of plain Prefect tasks"
    if not prefect_server.PYTHON:
        return Figure(name=name, value="not measured: THREADA_BENCHMARK_PREFECT names no Python")
    found = neighbours.per_second(world, receiver, "prefect", count=PREFECT)
    return Figure(name=name, value=f"{found:.0f}/s")


def _many_tenants(world: World, receiver: Receiver) -> Iterator[Figure]:
    """Measure tenants that have four executions each. Jobs that follow from their configuration run before."""
    for number in range(TENANTS):
        _make_bank_tenant(f"tenant-{number}", receiver.url)
    with _workers(1, {}), psycopg.connect(**world.superuser(), autocommit=True) as connection:
        while connection.execute(_CONFIGURATION_JOBS).fetchone() != (0,):
            time.sleep(0.1)
    for _ in range(EACH):
        for number in range(TENANTS):
            _execute(f"tenant-{number}")
    bare, before, count = _bare_per_second(receiver), len(receiver.requests("/payments")), TENANTS * EACH
    with _workers(1, {}):
        arrived = receiver.wait_for(before + count, path="/payments", timeout_s=120)
    ours = _per_second(arrived[before + count // 4 :])
    yield Figure(
        name=f"effects/s, {TENANTS} tenants with {EACH} each",
        value=f"{ours:.0f}/s",
        beside=f"bare httpx loop {bare:.0f}/s",
        ratio=ours / bare,
        aim=f">= {AIM_OF_TENANTS}",
        is_met=ours / bare >= AIM_OF_TENANTS,
    )


def _latency(receiver: Receiver, environment: dict[str, str], *, named: str) -> Iterator[Figure]:
    before = len(receiver.requests("/payments"))
    with running_worker(environment):
        _execute()
        receiver.wait_for(before + 1, path="/payments", timeout_s=120)
        time.sleep(2)
        waits = sorted(_single_ms(receiver, before=before + 1 + number) for number in range(SINGLES))
    p50, p95 = statistics.median(waits), waits[int(len(waits) * 0.95)]
    yield Figure(
        name=f"start latency, {named}, p50 / p95",
        value=f"{p50:.0f} / {p95:.0f} ms",
        aim=f"<= {AIM_P50_MS} / {AIM_P95_MS} ms",
        is_met=p50 <= AIM_P50_MS and p95 <= AIM_P95_MS,
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
    before = len(receiver.requests("/bare"))
    with httpx.Client() as client:
        for _ in range(BARE):
            headers = {"Idempotency-Key": uuid.uuid4().hex}
            client.post(f"{receiver.url}/bare", json={"amount_minor": 900}, headers=headers).raise_for_status()
    return _per_second(receiver.requests("/bare")[before:])


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
def running_worker(own: dict[str, str]) -> Iterator[None]:
    """Run `manage.py worker` as `up` starts it; the environment names the database."""
    environment = {**os.environ, "THREADA_EGRESS_ALLOW": ALLOWED, "THREADA_LOG_LEVEL": "WARNING", **own}
    process = subprocess.Popen([sys.executable, "manage.py", "worker"], env=environment)
    try:
        yield
    finally:
        process.terminate()
        process.wait(30)


@contextmanager
def _workers(count: int, own: dict[str, str]) -> Iterator[None]:
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(running_worker(own))
        yield


def _wal(world: World) -> int:
    """Return the number of bytes of WAL that the server has ever written."""
    with psycopg.connect(**world.superuser()) as connection:
        row = connection.execute("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint").fetchone()
    assert row is not None
    return int(row[0])


@cache
def _context(tenant: str) -> ActingContext:
    from tests.factories import acting
    from threada_site.tenancy.models import Tenant, User

    return acting(Tenant.objects.get(slug=tenant), User.objects.get(username=_client(tenant)))


def _client(tenant: str) -> str:
    return "client" if tenant == TENANT else f"client-of-{tenant}"


def _make_bank_tenant(slug: str, url: str) -> None:
    """Create a tenant with the workflow and the policy of payments."""
    from tests.factories import acting_system, make_principal, make_tenant
    from threada_site.database.unit_of_work import unit_of_work
    from threada_site.kernel.context import EntryPoint
    from threada_site.runtime.prepare import DEMO_DOCUMENTS, DEMO_PACK
    from threada_site.tenancy.models import Tenant
    from workitems.configuration.apply import apply_documents, read_documents
    from workitems.gallery.catalogue import gallery_pack
    from workitems.gallery.installation import install_from_gallery

    if Tenant.objects.filter(slug=slug).exists():
        _put_bank(url, slug)  # the receiver of this run has another port
        return
    tenant = make_tenant(slug)
    with unit_of_work(tenant.id):
        ctx = acting_system(tenant, EntryPoint.COMMAND)
        apply_documents(read_documents(DEMO_DOCUMENTS), ctx=ctx)
        install_from_gallery(gallery_pack(DEMO_PACK), ctx=ctx)
    make_principal(tenant, _client(slug), kind="service", roles=("tenant_admin",))
    _put_bank(url, slug)


def _put_bank(url: str, tenant_slug: str = TENANT) -> None:
    from integrations.configuration.configure import upsert_integration
    from tests.factories import acting_system
    from threada_site.database.unit_of_work import unit_of_work
    from threada_site.kernel.context import EntryPoint
    from threada_site.tenancy.models import Tenant

    pay = {"method": "POST", "path": "/payments", "body": {"amount_minor": "${item.payload.amount_minor}"}}
    spec = {"connector": "http", "base_url": url, "idempotent": True, "actions": {"pay": pay}}
    tenant = Tenant.objects.get(slug=tenant_slug)
    with unit_of_work(tenant.id):
        upsert_integration("int_bank", spec, ctx=acting_system(tenant, EntryPoint.COMMAND))


def create_item(tenant: str = TENANT) -> WorkItem:
    """Create one payment that is not decided yet."""
    from threada_site.database.unit_of_work import unit_of_work
    from workitems.items.intake import IntakeRequest, create_work_item

    ctx = _context(tenant)
    with unit_of_work(ctx.tenant_id):
        asked = IntakeRequest(workflow="payment_run", channel="web_main", payload=PAYLOAD)
        return create_work_item(asked, ctx=ctx)


def _execute(tenant: str = TENANT) -> None:
    """Create one payment, decided and queued."""
    from threada_site.database.unit_of_work import unit_of_work
    from workitems.executions.request_action import ActionRequest, execute_action
    from workitems.items.locks import locked_item

    ctx, item = _context(tenant), create_item(tenant)
    with unit_of_work(ctx.tenant_id):
        execute_action(locked_item(item.id, ctx=ctx), ActionRequest(integration="int_bank", action="pay"), ctx=ctx)
