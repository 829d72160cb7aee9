"""Drift: documents that differ from what was last applied from files."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

import structlog

from threada_site.database.roles import platform_role
from threada_site.database.unit_of_work import unit_of_work
from threada_site.kernel import clock, ids
from threada_site.kernel.context import ActingContext, system_context
from threada_site.kernel.json.canonical import canonical_sha256
from threada_site.tenancy.models import Tenant
from workitems.configuration.kinds import Applied, in_force
from workitems.models import ConfigurationBaseline

INTERVAL: Final = timedelta(minutes=5)
ENOUGH_SECONDS: Final = 20.0

log = structlog.get_logger("threada.configuration")


def note_baseline(applied: Iterable[Applied], *, prunes: bool, ctx: ActingContext) -> None:
    """Store what was applied from files as the state to compare with."""
    names = {f"{entry.kind} {entry.name}" for entry in applied}
    now = clock.now()
    ConfigurationBaseline.objects.update_or_create(
        tenant_id=ctx.tenant_id,
        defaults={
            "digests": {name: digest for name, digest in _digests(ctx).items() if name in names},
            "prunes": prunes,
            "revision": ctx.revision,
            "applied_by": None if ctx.is_system else ctx.principal_id,
            "applied_at": now,
            "drifted": [],
            "checked_at": now,
        },
    )


def drifted_documents(baseline: ConfigurationBaseline, *, ctx: ActingContext) -> list[str]:
    """Return the names (`Kind name`) of documents that differ from the baseline, with pruning also others."""
    now = _digests(ctx)
    changed = {name for name, digest in baseline.digests.items() if now.get(name) != digest}
    return sorted(changed | (now.keys() - baseline.digests.keys() if baseline.prunes else set()))


def check_drift(*, now: datetime) -> int:
    """Compare the tenants that were compared longest ago, for some seconds. Return their number."""
    with platform_role():
        due = ConfigurationBaseline.objects.filter(checked_at__lte=now - INTERVAL).order_by("checked_at")
        tenants = [baseline.tenant for baseline in due.select_related("tenant").defer("digests", "drifted")[:500]]
    started = time.monotonic()
    done = 0
    for tenant in tenants:
        if time.monotonic() - started > ENOUGH_SECONDS:
            break
        try:
            _check(tenant, now=now)
            done += 1
        except Exception:  # a failure of one tenant must not stop the others
            log.exception("drift_check_failed", tenant=tenant.slug)
    return done


def _check(tenant: Tenant, *, now: datetime) -> None:
    ctx = system_context(tenant_id=tenant.id, tenant_slug=tenant.slug, correlation_id=uuid.uuid4().hex)
    with unit_of_work(tenant.id):
        baseline = ConfigurationBaseline.objects.select_for_update().filter(tenant_id=tenant.id).first()
        if baseline is None:
            return
        baseline.drifted, baseline.checked_at = drifted_documents(baseline, ctx=ctx), now
        baseline.save(update_fields=["drifted", "checked_at"])
        if baseline.drifted:
            public_id = ids.public_id(ids.TENANT, tenant.id)
            log.info("configuration_drifted", tenant_id=public_id, documents=len(baseline.drifted))


def _digests(ctx: ActingContext) -> dict[str, str]:
    return {f"{kind} {stored.name}": canonical_sha256(stored.document) for kind, stored in in_force(ctx)}
