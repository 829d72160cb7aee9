"""Jobs of identity. Each may run twice, also concurrently."""

from __future__ import annotations

from threada_site.database.roles import platform_role
from threada_site.identity.providers.domains import check_domains
from threada_site.jobs.context import job_context
from threada_site.jobs.enqueue import MAINTENANCE_QUEUE
from threada_site.jobs.registry import periodic
from threada_site.tenancy.models import IdentityProvider, SignInDomain, Tenant


@periodic("identity.check_sign_in_domains", queue=MAINTENANCE_QUEUE, cron="17 4 * * *")
def check_sign_in_domains() -> None:
    """Read the TXT records of all domains that identity providers claim. Runs every day."""
    with platform_role():
        claiming = IdentityProvider.objects.filter(current_version__spec__has_key="domains").values("tenant_id")
        holding = SignInDomain.objects.values("holder_id")
        tenants = list(Tenant.objects.filter(is_active=True, id__in=claiming.union(holding)))
    for tenant in tenants:
        check_domains(ctx=job_context(tenant))
