"""Creation of tenants."""

from __future__ import annotations

from django.db import IntegrityError, transaction

from telemetry.receipts.format import Entry
from telemetry.receipts.record import record
from threada_site.database.unit_of_work import require_unit_of_work
from threada_site.identity.default_roles import DEFAULT_ROLES
from threada_site.identity.roles import write_roles
from threada_site.identity.slugs import require_slug
from threada_site.kernel import errors, ids
from threada_site.kernel.context import ActingContext, EntryPoint, system_context
from threada_site.tenancy.models import Tenant


def founding_context(slug: str, *, entry_point: EntryPoint = EntryPoint.COMMAND) -> ActingContext:
    """Return the context for creating a tenant; its `tenant_id` is the id of the new tenant.

    Open `unit_of_work(ctx.tenant_id)` and call `create_tenant` in it.
    """
    return system_context(
        tenant_id=ids.new_uuid(), tenant_slug=slug, correlation_id=ids.new_uuid().hex, entry_point=entry_point
    )


def create_tenant(slug: str, name: str = "", *, ctx: ActingContext) -> Tenant:
    """Create a tenant with the default roles, as the instance's operator (`founding_context`).

    Receipt `tenant.created`. Raise `InvalidRequest` for an invalid slug, `Conflict` if the slug is taken.
    """
    require_unit_of_work(ctx.tenant_id)
    if not ctx.is_system:
        raise errors.PermissionDenied("Tenants are created by the instance's operator.")
    require_slug(slug, naming="tenant")
    tenant = Tenant(id=ctx.tenant_id, slug=slug, name=name or slug)
    try:
        with transaction.atomic():
            tenant.save(force_insert=True)
    except IntegrityError:
        raise errors.Conflict(f"The tenant {slug!r} already exists.") from None
    write_roles(DEFAULT_ROLES, ctx=ctx)
    record(Entry(kind="tenant.created", inputs={"roles": sorted(DEFAULT_ROLES)}), ctx=ctx)
    return tenant
