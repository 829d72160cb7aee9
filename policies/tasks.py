"""Jobs of the rulebook. Each opens its own unit of work and calls one service; each may run twice, also at once."""

from __future__ import annotations

import uuid

from procrastinate import JobContext
from procrastinate.contrib.django import app

from policies.services.emergencies import end_overdue_emergency
from policies.sweeps import END_EMERGENCY, remind_of_emergencies
from threada_site.kernel import clock
from threada_site.kernel.context import system_context
from threada_site.tenancy.jobs import MAINTENANCE_QUEUE
from threada_site.tenancy.models import Tenant
from threada_site.tenancy.unit_of_work import unit_of_work


@app.task(name=END_EMERGENCY, queue=MAINTENANCE_QUEUE)
def end_emergency(tenant_id: str, emergency_id: str) -> None:
    """End an emergency publication that nobody has confirmed in its time."""
    tenant = Tenant.objects.get(id=tenant_id)
    ctx = system_context(tenant_id=tenant.id, tenant_slug=tenant.slug, correlation_id=uuid.uuid4().hex)
    with unit_of_work(tenant.id):
        end_overdue_emergency(uuid.UUID(emergency_id), ctx=ctx)


@app.periodic(cron="* * * * * */5")
@app.task(name="policies.sweep", queue=MAINTENANCE_QUEUE, queueing_lock="policies.sweep", pass_context=True)
def sweep(_context: JobContext, timestamp: int) -> None:  # noqa: ARG001  (procrastinate's signature)
    """Every five seconds: remind of emergency publications whose time is over."""
    remind_of_emergencies(now=clock.now())
