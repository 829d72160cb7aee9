"""The configuration as it was last applied from files."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.kernel import clock
from threada_site.tenancy.models import TenantRow


class ConfigurationBaseline(TenantRow):
    """Digests of the documents that a tenant last applied from files, and which of them differ now."""

    digests = models.JSONField(default=dict, help_text="`Kind name` → SHA-256 of the document in force.")
    prunes = models.BooleanField(default=False, help_text="Whether other objects count as differing.")
    revision = models.CharField(max_length=100, blank=True)
    applied_by = models.UUIDField(null=True)
    applied_at = models.DateTimeField(default=clock.now)
    drifted = models.JSONField(default=list, help_text="Names of the documents that differ.")
    checked_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [
            *tenant_constraints("configurationbaseline"),
            models.UniqueConstraint(fields=["tenant"], name="configurationbaseline_tenant_once"),
        ]

    def __str__(self) -> str:
        return self.revision
