"""Rows of the instance as a whole; none belongs to a tenant."""

from __future__ import annotations

from django.db import models

from threada_site.kernel import clock


class StoredMetrics(models.Model):
    """Metrics for `/metrics` as a worker last collected them, for a web whose login may not take the platform role.

    One row at most: `id` is 1.
    """

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    metrics = models.JSONField(editable=False)
    collected_at = models.DateTimeField(editable=False)

    class Meta:
        constraints = [models.CheckConstraint(name="storedmetrics_one_row", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"collected at {self.collected_at}"


class Instance(models.Model):
    """What all machines must agree on, as the first one wrote it down: fingerprints of keys, and settings.

    One row at most: `id` is 1.
    """

    id = models.SmallIntegerField(primary_key=True, default=1, editable=False)
    salt = models.BinaryField(editable=False)
    facts = models.JSONField(default=dict, editable=False)
    made_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        constraints = [models.CheckConstraint(name="instance_one_row", condition=models.Q(id=1))]

    def __str__(self) -> str:
        return f"since {self.made_at}"
