"""Shared state of an integration: current limits, recent calls and circuit breaker."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.tenancy.models import TenantRow


class IntegrationGauge(TenantRow):
    """State of one integration that has limits or has failed. No execution is dispatched to it before `waits_until`.

    `concurrency` and `rate_calls` copy the configuration for the dispatcher. The breaker is open while `opened_at` is
    set; after `open_until` one execution probes the receiver, with the fencing token `probe_token`.
    """

    integration = models.OneToOneField(
        "integrations.Integration", on_delete=models.PROTECT, db_constraint=False, related_name="gauge"
    )
    concurrency = models.PositiveIntegerField(null=True)
    rate_calls = models.PositiveIntegerField(null=True)
    recent_calls = ArrayField(models.DateTimeField(), default=list)
    waits_until = models.DateTimeField(null=True)
    waits_for = models.CharField(max_length=16, blank=True)
    failures = models.PositiveIntegerField(default=0, help_text="Consecutive failures caused by the receiver.")
    opened_at = models.DateTimeField(null=True)
    open_until = models.DateTimeField(null=True)
    probe_id = models.UUIDField(null=True, help_text="The execution that probes the receiver.")
    probe_token = models.PositiveBigIntegerField(default=0)

    class Meta:
        constraints = [*tenant_constraints("integrationgauge", references=("integration",))]

    def __str__(self) -> str:
        return f"gauge of {self.integration}"
