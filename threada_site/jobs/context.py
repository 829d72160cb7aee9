"""Tenant and acting context of a job."""

from __future__ import annotations

import uuid
from typing import Final

import structlog

from threada_site.database.prepared_reads import PreparedRead
from threada_site.kernel.context import ActingContext, system_context
from threada_site.tenancy.models import Tenant

_tenants: Final = PreparedRead(lambda tenant: Tenant.objects.filter(id=tenant))


def tenant_of_job(tenant_id: str) -> Tenant:
    """Return the tenant that a job names. Raise `Tenant.DoesNotExist` if there is none."""
    found = _tenants.first(uuid.UUID(tenant_id))
    if found is None:
        raise Tenant.DoesNotExist(f"There is no tenant {tenant_id}.")
    return found


def job_context(tenant: Tenant, correlation_id: str | None = None) -> ActingContext:
    """Return the context in which Threada itself acts, and bind tenant and correlation id to the log lines of the
    job."""
    correlation_id = correlation_id or uuid.uuid4().hex
    structlog.contextvars.bind_contextvars(tenant=tenant.slug, correlation_id=correlation_id)
    return system_context(tenant_id=tenant.id, tenant_slug=tenant.slug, correlation_id=correlation_id)
