"""Quotas of tenants as rows."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.tenancy.models import TenantRow


class TenantQuota(TenantRow):
    """Quota of one kind that the operator set for a tenant, and the last count of what the tenant uses.

    Without `most`, the default of the instance applies. `progress` belongs to stored bytes, which a job counts in
    batches: the pass over the tables that is in progress.
    """

    kind = models.CharField(max_length=32)
    most = models.BigIntegerField(null=True)
    used = models.BigIntegerField(default=0)
    counted_at = models.DateTimeField(null=True)
    progress = models.JSONField(default=dict)

    class Meta:
        constraints = [
            *tenant_constraints("tenantquota"),
            models.UniqueConstraint(fields=["tenant", "kind"], name="tenantquota_once"),
            models.CheckConstraint(name="tenantquota_not_negative", condition=models.Q(most__gte=0)),
        ]

    def __str__(self) -> str:
        return self.kind
