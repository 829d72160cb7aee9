"""The summary as rows: counts by day and dimension, and the log position that they reach."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.tenancy.models import TenantRow


class SummaryCount(TenantRow):
    """Number of occurrences of one measure on one day (UTC), for one combination of the documented filters."""

    day = models.DateField()
    workflow = models.CharField(max_length=63, blank=True)
    channel = models.CharField(max_length=63, blank=True)
    integration = models.CharField(max_length=63, blank=True)
    policy_version_id = models.UUIDField(null=True)
    measure = models.CharField(max_length=24)
    label = models.CharField(max_length=64, blank=True)
    count = models.BigIntegerField()

    class Meta:
        constraints = [
            *tenant_constraints("summarycount"),
            models.UniqueConstraint(
                fields=[
                    "tenant",
                    "day",
                    "measure",
                    "label",
                    "workflow",
                    "channel",
                    "integration",
                    "policy_version_id",
                ],
                nulls_distinct=False,
                name="summarycount_once",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.measure} {self.label}: {self.count}"


class SummaryRollup(TenantRow):
    """Sums of a day's counts by one dimension (`telemetry.summary.rollups`), or over all (`dimension` empty).

    Only the triggers of `SummaryCount` write these rows.
    """

    day = models.DateField()
    dimension = models.CharField(max_length=16, blank=True)
    key = models.CharField(max_length=63, blank=True)
    measure = models.CharField(max_length=24)
    label = models.CharField(max_length=64, blank=True)
    count = models.BigIntegerField()

    class Meta:
        constraints = [
            *tenant_constraints("summaryrollup"),
            models.UniqueConstraint(
                fields=["tenant", "dimension", "day", "key", "measure", "label"], name="summaryrollup_once"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day} {self.dimension} {self.key} {self.measure} {self.label}: {self.count}"


class SummaryPosition(TenantRow):
    """The log position that the tenant's counts reach. The row lock allows one counting job at a time."""

    counted = models.BigIntegerField(
        default=0, help_text="Number of counted leaves, which is the index of the next one."
    )
    latest_at = models.DateTimeField(null=True, help_text="Time of the last counted receipt.")

    class Meta:
        constraints = [
            *tenant_constraints("summaryposition"),
            models.UniqueConstraint(fields=["tenant"], name="summaryposition_one_per_tenant"),
        ]

    def __str__(self) -> str:
        return str(self.counted)
