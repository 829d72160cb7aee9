"""Keeping the HTTP grammar's own memory small."""

from __future__ import annotations

from procrastinate.contrib.django import app

from threada_site.api.models import IdempotencyRecord
from threada_site.kernel import clock
from threada_site.tenancy.jobs import MAINTENANCE_QUEUE
from threada_site.tenancy.roles import platform_role


@app.periodic(cron="17 * * * *")
@app.task(name="api.forget_answers", queue=MAINTENANCE_QUEUE, queueing_lock="api.forget_answers")
def forget_answers(timestamp: int) -> None:  # noqa: ARG001  (procrastinate's signature)
    """Every hour: delete the answers whose idempotency keys have expired, of all tenants."""
    with platform_role():
        IdempotencyRecord.objects.filter(expires_at__lte=clock.now()).delete()
