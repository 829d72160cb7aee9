"""What a job starts with: the tenant it is about, and Threada itself acting in it."""

from __future__ import annotations

import uuid
from typing import Final

import structlog

from threada_site.database.prepared_reads import PreparedRead
from threada_site.kernel.context import ActingContext, system_context
from threada_site.tenancy.models import Tenant

_tenants: Final = PreparedRead(lambda tenant: Tenant.objects.filter(id=tenant))


def tenant_of_job(tenant_id: str) -> Tenant:
    """The tenant that a job names. Raises `Tenant.DoesNotExist`."""
    found = _tenants.first(uuid.UUID(tenant_id))
    if found is None:
        raise Tenant.DoesNotExist(f"There is no tenant {tenant_id}.")
    return found


def job_context(tenant: Tenant, correlation_id: str | None = None) -> ActingContext:
    """Threada itself acting in a job; the job's log lines say in which tenant from now on."""
    correlation_id = correlation_id or uuid.uuid4().hex
    structlog.contextvars.bind_contextvars(tenant=tenant.slug, correlation_id=correlation_id)
    return system_context(tenant_id=tenant.id, tenant_slug=tenant.slug, correlation_id=correlation_id)
