"""Counts of refused requests that have no receipt yet."""

from __future__ import annotations

from django.db import models

from threada_site.database.constraints import tenant_constraints
from threada_site.tenancy.models import TenantRow


class RefusalCount(TenantRow):
    """Number of refusals of one sender and reason within one interval, as one process counted them.

    A job deletes the rows of a finished interval and writes one receipt about them. Without principal and credential
    the row is about all senders beyond the bound.
    """

    interval = models.DateTimeField(help_text="Start of the interval.")
    principal_id = models.UUIDField(null=True)
    credential_id = models.UUIDField(null=True)
    reason_code = models.CharField(max_length=64)
    count = models.IntegerField()
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        constraints = tenant_constraints("refusalcount")
        indexes = [models.Index(fields=["interval"], name="refusalcount_interval_idx")]

    def __str__(self) -> str:
        return f"{self.count} {self.reason_code}"
